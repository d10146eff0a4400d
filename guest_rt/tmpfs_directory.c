/* SPDX-License-Identifier: MIT */
/* Files in memory: directories. */
#include <string.h>

#include "guest_rt/pool.h"
#include "guest_rt/tmpfs.h"

#define BUCKETS_FIRST 8u

/* ---- Entries ------------------------------------------------------------ */

/* FNV-1a. */
static uint32_t hash_of(const char *name)
{
    uint32_t hash = 2166136261u;

    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    return hash;
}

static struct tmpfs_entry **bucket_of(const struct tmpfs_directory *directory,
                                      uint32_t hash)
{
    return &directory->buckets[hash & (directory->bucket_count - 1)];
}

static struct tmpfs_entry *find(const struct tmpfs_directory *directory,
                                const char *name)
{
    uint32_t hash = hash_of(name);
    struct tmpfs_entry *entry;

    if (!directory->bucket_count)
        return NULL;
    entry = *bucket_of(directory, hash);
    while (entry && (entry->hash != hash || strcmp(entry->name, name) != 0))
        entry = entry->chain;
    return entry;
}

/* Makes room for one more. Too few buckets are slow, none are a failure. */
static bool grow(struct tmpfs_directory *directory)
{
    unsigned count = directory->bucket_count * 2;
    struct tmpfs_entry **buckets;

    if (directory->count < directory->bucket_count)
        return true;
    if (!count)
        count = BUCKETS_FIRST;
    buckets = pool_alloc(count * sizeof(struct tmpfs_entry *));
    if (!buckets)
        return directory->bucket_count > 0;
    pool_free(directory->buckets,
              directory->bucket_count * sizeof(struct tmpfs_entry *));
    directory->buckets = buckets;
    directory->bucket_count = count;
    for (struct tmpfs_entry *at = directory->first; at; at = at->next) {
        struct tmpfs_entry **bucket = bucket_of(directory, at->hash);

        at->chain = *bucket;
        *bucket = at;
    }
    return true;
}

static size_t entry_bytes(size_t length)
{
    return sizeof(struct tmpfs_entry) + length + 1;
}

static void touch(struct vnode *directory)
{
    struct tmpfs_node *node = tmpfs_node(directory);

    node->modified = node->changed = tmpfs_now();
}

/* Gives `node` this name, and takes a reference to it. */
static int add(struct vnode *vnode, const char *name, struct vnode *node)
{
    struct tmpfs_directory *directory = &tmpfs_node(vnode)->directory;
    size_t length = strlen(name);
    struct tmpfs_entry *entry, **bucket;

    if (tmpfs_node(vnode)->links == 0)
        return -ENOENT; /* it was removed */
    entry = grow(directory) ? pool_alloc(entry_bytes(length)) : NULL;
    if (!entry)
        return -ENOSPC;
    entry->node = vnode_get(node);
    entry->hash = hash_of(name);
    entry->length = (uint32_t)length;
    memcpy(entry->name, name, length);
    entry->cookie = directory->next_cookie++;
    bucket = bucket_of(directory, entry->hash);
    entry->chain = *bucket;
    *bucket = entry;
    entry->previous = directory->last;
    *(directory->last ? &directory->last->next : &directory->first) = entry;
    directory->last = entry;
    if (!directory->cursor)
        directory->cursor_cookie = 0; /* the end is not the end any more */
    directory->count++;
    touch(vnode);
    return 0;
}

/* Removes an entry, and gives its reference back. */
static void drop(struct vnode *vnode, struct tmpfs_entry *entry)
{
    struct tmpfs_directory *directory = &tmpfs_node(vnode)->directory;
    struct tmpfs_entry **at = bucket_of(directory, entry->hash);

    while (*at != entry)
        at = &(*at)->chain;
    *at = entry->chain;
    *(entry->previous ? &entry->previous->next : &directory->first) =
        entry->next;
    *(entry->next ? &entry->next->previous : &directory->last) =
        entry->previous;
    if (directory->cursor == entry)
        directory->cursor = entry->next;
    directory->count--;
    touch(vnode);
    vnode_put(entry->node);
    pool_free(entry, entry_bytes(entry->length));
}

void tmpfs_free_directory(struct tmpfs_node *node)
{
    while (node->directory.first)
        drop(&node->vnode, node->directory.first);
    pool_free(node->directory.buckets,
              node->directory.bucket_count * sizeof(struct tmpfs_entry *));
}

/* ---- Names -------------------------------------------------------------- */

int tmpfs_lookup(struct vnode *directory, const char *name,
                 struct vnode **found)
{
    struct tmpfs_entry *entry = find(&tmpfs_node(directory)->directory, name);

    if (!entry)
        return -ENOENT;
    *found = vnode_get(entry->node);
    return 0;
}

/* Names a new node, or gives it up. */
static int name_new(struct vnode *directory, const char *name,
                    struct tmpfs_node *node, struct vnode **made)
{
    int error = add(directory, name, &node->vnode);

    if (error) {
        vnode_put(&node->vnode);
        return error;
    }
    node->links = 1;
    *made = &node->vnode;
    return 0;
}

int tmpfs_create(struct vnode *directory, const char *name, mode_t mode,
                 dev_t device, struct vnode **made)
{
    struct tmpfs_node *node = tmpfs_create_node(directory, mode);

    if (!node)
        return -ENOSPC;
    node->vnode.device = device;
    if (name)
        return name_new(directory, name, node, made);
    *made = &node->vnode;
    return 0;
}

int tmpfs_mkdir(struct vnode *directory, const char *name, mode_t mode,
                struct vnode **made)
{
    struct tmpfs_node *node = tmpfs_create_node(directory, S_IFDIR | mode);
    int error = node ? name_new(directory, name, node, made) : -ENOSPC;

    if (error)
        return error;
    node->links = 2;
    tmpfs_node(directory)->links++;
    return 0;
}

int tmpfs_symlink(struct vnode *directory, const char *name, const char *target,
                  struct vnode **made)
{
    struct tmpfs_node *node = tmpfs_create_node(directory, S_IFLNK | 0777);
    size_t length = strlen(target);

    if (!node)
        return -ENOSPC;
    node->target = pool_copy_string(target, length);
    node->size = (off_t)length;
    if (!node->target) {
        vnode_put(&node->vnode);
        return -ENOSPC;
    }
    return name_new(directory, name, node, made);
}

int tmpfs_link(struct vnode *directory, const char *name, struct vnode *node)
{
    int error = tmpfs_node(node)->links || node->linkable
                    ? add(directory, name, node)
                    : -ENOENT;

    if (!error) {
        tmpfs_node(node)->links++;
        tmpfs_node(node)->changed = tmpfs_now();
    }
    return error;
}

int tmpfs_unlink(struct vnode *directory, const char *name, struct vnode *node)
{
    struct tmpfs_entry *entry = find(&tmpfs_node(directory)->directory, name);

    if (!entry || entry->node != node)
        return -ENOENT;
    tmpfs_node(node)->links--;
    tmpfs_node(node)->changed = tmpfs_now();
    drop(directory, entry);
    return 0;
}

int tmpfs_rmdir(struct vnode *directory, const char *name, struct vnode *node)
{
    struct tmpfs_entry *entry = find(&tmpfs_node(directory)->directory, name);

    if (!entry || entry->node != node)
        return -ENOENT;
    if (tmpfs_node(node)->directory.count > 0)
        return -ENOTEMPTY;
    tmpfs_node(node)->links = 0;
    tmpfs_node(directory)->links--;
    drop(directory, entry);
    return 0;
}

/* ---- Renaming ----------------------------------------------------------- */

static void exchange_nodes(struct vnode *from, struct tmpfs_entry *a,
                           struct vnode *to, struct tmpfs_entry *b)
{
    struct vnode *node = a->node;

    if (S_ISDIR(a->node->type) && !S_ISDIR(b->node->type)) {
        tmpfs_node(from)->links--;
        tmpfs_node(to)->links++;
    } else if (S_ISDIR(b->node->type) && !S_ISDIR(a->node->type)) {
        tmpfs_node(to)->links--;
        tmpfs_node(from)->links++;
    }
    a->node = b->node;
    b->node = node;
    touch(from);
    touch(to);
}

/* Takes what the new name was out of the way, without its entry. */
static int replace(struct vnode *to, struct vnode *replaced)
{
    struct tmpfs_node *node = tmpfs_node(replaced);

    if (!S_ISDIR(replaced->type)) {
        node->links--;
    } else {
        if (node->directory.count > 0)
            return -ENOTEMPTY;
        node->links = 0;
        tmpfs_node(to)->links--;
    }
    node->changed = tmpfs_now();
    return 0;
}

int tmpfs_rename(struct vnode *from, const char *name, struct vnode *node,
                 struct vnode *to, const char *new_name, struct vnode *replaced,
                 bool exchange)
{
    struct tmpfs_entry *old = find(&tmpfs_node(from)->directory, name);
    struct tmpfs_entry *new = find(&tmpfs_node(to)->directory, new_name);
    int error = 0;

    if (!old || old->node != node || (new ? new->node : NULL) != replaced)
        return -ENOENT;
    if (exchange) {
        exchange_nodes(from, old, to, new);
        return 0;
    }
    if (new) {
        error = replace(to, replaced);
        if (error)
            return error;
        new->node = vnode_get(node);
        vnode_put(replaced);
        touch(to);
    } else {
        error = add(to, new_name, node);
        if (error)
            return error;
    }
    drop(from, old);
    if (S_ISDIR(node->type)) {
        tmpfs_node(from)->links--;
        tmpfs_node(to)->links++;
    }
    tmpfs_node(node)->changed = tmpfs_now();
    return 0;
}

/* ---- Reading ------------------------------------------------------------ */

/* The first entry from `cookie` on. */
static struct tmpfs_entry *entry_from(struct tmpfs_directory *directory,
                                      off_t cookie)
{
    struct tmpfs_entry *entry = directory->first;

    if (cookie == directory->cursor_cookie)
        return directory->cursor;
    while (entry && entry->cookie < cookie)
        entry = entry->next;
    return entry;
}

static bool add_dots(struct vnode *vnode, struct file *file,
                     struct vfs_entries *entries)
{
    struct vnode *parent = vnode->parent ? vnode->parent : vnode;

    if (file->offset == 0) {
        if (!vfs_entries_add(entries, tmpfs_node(vnode)->inode, 1, S_IFDIR, ".",
                             1))
            return false;
        file->offset = 1;
    }
    if (file->offset == 1) {
        ino_t inode = parent->fs == vnode->fs ? tmpfs_node(parent)->inode : 1;

        if (!vfs_entries_add(entries, inode, 2, S_IFDIR, "..", 2))
            return false;
        file->offset = 2;
    }
    return true;
}

static long read_dir(struct file *file, void *buffer, size_t bytes)
{
    struct vnode *vnode = file->data;
    struct tmpfs_directory *directory = &tmpfs_node(vnode)->directory;
    struct vfs_entries entries = {buffer, (char *)buffer + bytes};
    bool fits = add_dots(vnode, file, &entries);
    struct tmpfs_entry *at;

    if (fits) {
        at = entry_from(directory, file->offset);
        for (; at; at = at->next) {
            struct vnode *node = at->node;

            fits = vfs_entries_add(&entries, tmpfs_node(node)->inode,
                                   at->cookie + 1, node->type, at->name,
                                   at->length);
            if (!fits)
                break;
            file->offset = at->cookie + 1;
        }
        directory->cursor = at;
        directory->cursor_cookie = file->offset;
    }
    tmpfs_node(vnode)->accessed = tmpfs_now();
    if (!fits && entries.at == buffer)
        return -EINVAL;
    return entries.at - (char *)buffer;
}

static long seek(struct file *file, off_t offset, int whence)
{
    return file_seek(file, offset, whence, 0);
}

const struct file_ops tmpfs_directory_ops = {
    .read = file_read_directory,
    .seek = seek,
    .read_dir = read_dir,
};
