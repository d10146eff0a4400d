/* SPDX-License-Identifier: MIT */
/* Directories of the host: nodes and what they are. */
#include <errno.h>
#include <string.h>

#include "guest_rt/p9.h"
#include "guest_rt/pool.h"
#include "guest_rt/runtime.h"

/*
 * stat() of a path is a lookup, whose answer has the attributes, and the stat
 * of what was found: by then they are as old as this at most, which nobody can
 * tell from new ones. They are used once.
 */
#define FOUND_NS 2000u

/* All attributes: 8, a qid, 3 of 4, and 15 of 8. */
#define ATTRIBUTE_BYTES P9_ANSWER(8 + P9_QID_BYTES + 12 + 120)

/* ---- Messages about nodes ----------------------------------------------- */

void p9_begin_about(struct p9_message *message, uint8_t type, uint32_t fid,
                    unsigned in_bytes)
{
    p9_begin(message, type, in_bytes);
    p9_put(message, fid, 4);
}

void p9_begin_walk(struct p9_message *message, uint32_t fid, uint32_t to,
                   const char *name)
{
    p9_begin_about(message, P9_WALK, fid,
                   P9_ANSWER(2 + (name ? P9_QID_BYTES : 0)));
    p9_put(message, to, 4);
    p9_put(message, name ? 1 : 0, 2);
    if (name)
        p9_put_name(message, name);
}

void p9_begin_getattr(struct p9_message *message, uint32_t fid)
{
    p9_begin_about(message, P9_GETATTR, fid, ATTRIBUTE_BYTES);
    p9_put(message, P9_GETATTR_BASIC, 8);
}

static struct timespec take_time(struct p9_message *message)
{
    struct timespec time = {.tv_sec = (time_t)p9_next(message, 8)};

    time.tv_nsec = (long)p9_next(message, 8);
    return time;
}

void p9_take_attributes(struct p9_message *message, struct stat *stat)
{
    p9_next(message, 8); /* all that is asked for is there */
    p9_next(message, 1);
    p9_next(message, 4);
    stat->st_ino = p9_next(message, 8);
    stat->st_mode = (mode_t)p9_next(message, 4);
    stat->st_uid = (uid_t)p9_next(message, 4);
    stat->st_gid = (gid_t)p9_next(message, 4);
    stat->st_nlink = p9_next(message, 8);
    stat->st_rdev = p9_next(message, 8);
    stat->st_size = (off_t)p9_next(message, 8);
    stat->st_blksize = (blksize_t)p9_next(message, 8);
    stat->st_blocks = (blkcnt_t)p9_next(message, 8);
    stat->st_atim = take_time(message);
    stat->st_mtim = take_time(message);
    stat->st_ctim = take_time(message);
}

/* The file's fid, or the one that serves best for the node, at this moment. */
static uint32_t fid_of(const struct p9_node *node, const struct p9_file *file,
                       bool writable)
{
    if (file)
        return file->fid;
    file = node->files;
    while (file && writable && !file->writable)
        file = file->next;
    return file ? file->fid : node->fid;
}

int p9_stat(struct p9_node *node, const struct p9_file *file, struct stat *stat)
{
    struct p9_fs *fs = p9_fs_of(&node->vnode);
    struct p9_message *message;
    int error;

    if (!file && node->found_ns &&
        mf_clock_monotonic() - node->found_ns < FOUND_NS) {
        *stat = node->found;
        node->found_ns = 0;
        return 0;
    }
    p9_take(fs, &message, 1);
    p9_begin_getattr(message, fid_of(node, file, false));
    error = p9_call(fs, message);
    if (!error)
        p9_take_attributes(message, stat);
    p9_give(fs, &message, 1);
    return error;
}

/* Sends a request that has nothing but 0 or an error for an answer. */
static int call_plain(struct p9_fs *fs, struct p9_message *message)
{
    int error = p9_call(fs, message);

    p9_give(fs, &message, 1);
    return error;
}

/* ---- The table of nodes -------------------------------------------------- */

static struct p9_node **bucket_of(struct p9_fs *fs, uint64_t inode)
{
    return &fs->buckets[(inode * UINT64_C(0x9e3779b97f4a7c15)) >> 58];
}

_Static_assert(P9_BUCKETS == 1 << (64 - 58), "as the hash has bits");

static struct p9_node *find(struct p9_fs *fs, uint64_t inode, mode_t type)
{
    struct p9_node *node = *bucket_of(fs, inode);

    while (node && (node->inode != inode || node->vnode.type != type))
        node = node->next;
    return node;
}

static struct p9_node *add(struct p9_fs *fs, uint32_t fid, uint64_t inode,
                           mode_t type, dev_t device)
{
    struct p9_node *node = pool_alloc(sizeof(*node));
    struct p9_node **bucket = bucket_of(fs, inode);

    if (!node)
        return NULL;
    node->vnode = (struct vnode){
        .ops = &p9_ops,
        .fs = &fs->vfs,
        .references = 1,
        .type = type,
        .device = device,
    };
    node->inode = inode;
    node->fid = fid;
    node->made_fid = P9_NO_FID;
    node->next = *bucket;
    *bucket = node;
    return node;
}

/*
 * A node that is there gets the new fid: it leads to the file for sure, while
 * the old one leads to where the file was found before.
 */
struct vnode *p9_find_node(struct p9_fs *fs, uint32_t fid, uint64_t inode,
                           mode_t mode, dev_t device)
{
    struct p9_node *node = find(fs, inode, mode & S_IFMT);
    uint32_t old = fid;

    if (node) {
        vnode_get(&node->vnode);
        old = node->fid;
        node->fid = fid;
        p9_forget_fid(fs, old);
        return &node->vnode;
    }
    node = add(fs, fid, inode, mode & S_IFMT, device);
    if (!node) {
        p9_forget_fid(fs, fid);
        return NULL;
    }
    return &node->vnode;
}

static void release(struct vnode *vnode)
{
    struct p9_fs *fs = p9_fs_of(vnode);
    struct p9_node *node = p9_node_of(vnode);
    struct p9_node **link = bucket_of(fs, node->inode);
    uint32_t fid = node->fid, made_fid = node->made_fid;

    while (*link != node)
        link = &(*link)->next;
    *link = node->next;
    pool_free(node, sizeof(*node));
    p9_forget_fid(fs, fid);
    p9_forget_fid(fs, made_fid);
}

/* ---- Finding and making -------------------------------------------------- */

/*
 * Finds out where a walk has led, if anywhere, and what is there. `*known` says
 * that the server knows the fid.
 */
static int look(struct vnode *directory, uint32_t fid, const char *name,
                struct stat *stat, bool *known)
{
    struct p9_fs *fs = p9_fs_of(directory);
    struct p9_message *messages[2];
    int error, second;

    p9_take(fs, messages, 2);
    p9_begin_walk(messages[0], p9_node_of(directory)->fid, fid, name);
    p9_begin_getattr(messages[1], fid);
    p9_exchange(fs, messages, 2);
    error = p9_result(messages[0]);
    second = p9_result(messages[1]);
    if (p9_came_too_early(error, second)) {
        p9_begin_getattr(messages[1], fid);
        second = p9_call(fs, messages[1]);
    }
    *known = !error;
    if (!error && !second)
        p9_take_attributes(messages[1], stat);
    p9_give(fs, messages, 2);
    return error ? error : second;
}

/* Whoever has slots does not wait for more: what follows comes after them. */
static int lookup(struct vnode *directory, const char *name,
                  struct vnode **found)
{
    struct p9_fs *fs = p9_fs_of(directory);
    uint32_t fid = p9_new_fid(fs);
    struct stat stat = {0};
    uint64_t came_ns;
    bool known;
    int error;

    if (fid == P9_NO_FID)
        return -ENFILE;
    error = look(directory, fid, name, &stat, &known);
    came_ns = mf_clock_monotonic();
    if (error) {
        if (known)
            p9_forget_fid(fs, fid);
        else
            p9_free_fid(fs, fid);
        return error;
    }
    *found = p9_find_node(fs, fid, stat.st_ino, stat.st_mode, stat.st_rdev);
    if (!*found)
        return -ENOMEM;
    p9_node_of(*found)->found = stat;
    p9_node_of(*found)->found_ns = came_ns;
    return 0;
}

/* Begins a request that makes `name` in a directory: P9_MKDIR and the like. */
static void begin_make(struct p9_message *message, uint8_t type,
                       struct vnode *directory, const char *name)
{
    p9_begin_about(message, type, p9_node_of(directory)->fid,
                   P9_ANSWER(P9_QID_BYTES));
    p9_put_name(message, name);
}

/* Sends that, and looks the name up. */
static int make(struct p9_message *message, struct vnode *directory,
                const char *name, struct vnode **made)
{
    int error = call_plain(p9_fs_of(directory), message);

    return error ? error : lookup(directory, name, made);
}

/*
 * A file is made by P9_LCREATE: it is open then, whatever its mode says, as
 * the program's own open() has it, which follows.
 */
static int create_file(struct vnode *directory, const char *name, mode_t mode,
                       struct vnode **made)
{
    struct p9_fs *fs = p9_fs_of(directory);
    uint32_t fid = p9_new_fid(fs);
    struct p9_message *message;
    int error;

    if (fid == P9_NO_FID)
        return -ENFILE;
    p9_take(fs, &message, 1);
    p9_begin_walk(message, p9_node_of(directory)->fid, fid, NULL);
    error = p9_call(fs, message);
    if (error) {
        p9_free_fid(fs, fid);
        p9_give(fs, &message, 1);
        return error;
    }
    p9_begin_about(message, P9_LCREATE, fid, P9_ANSWER(P9_QID_BYTES + 4));
    p9_put_name(message, name);
    p9_put(message, O_RDWR | O_EXCL, 4);
    p9_put(message, mode & 07777, 4);
    p9_put(message, 0, 4);
    error = call_plain(fs, message);
    if (!error)
        error = lookup(directory, name, made);
    if (!error && S_ISREG((*made)->type) &&
        p9_node_of(*made)->made_fid == P9_NO_FID)
        p9_node_of(*made)->made_fid = fid;
    else
        p9_forget_fid(fs, fid);
    return error;
}

static int create(struct vnode *directory, const char *name, mode_t mode,
                  dev_t device, struct vnode **made)
{
    struct p9_message *message;

    if (!name)
        return -EOPNOTSUPP;
    if (S_ISREG(mode))
        return create_file(directory, name, mode, made);
    p9_take(p9_fs_of(directory), &message, 1);
    begin_make(message, P9_MKNOD, directory, name);
    p9_put(message, mode, 4);
    p9_put(message, device >> 8 & 0xfff, 4);
    p9_put(message, device & 0xff, 4);
    p9_put(message, 0, 4);
    return make(message, directory, name, made);
}

static int mkdir_in(struct vnode *directory, const char *name, mode_t mode,
                    struct vnode **made)
{
    struct p9_message *message;

    p9_take(p9_fs_of(directory), &message, 1);
    begin_make(message, P9_MKDIR, directory, name);
    p9_put(message, mode, 4);
    p9_put(message, 0, 4);
    return make(message, directory, name, made);
}

/* The target is too long for a message: it and what follows are data. */
static int symlink_in(struct vnode *directory, const char *name,
                      const char *target, struct vnode **made)
{
    size_t bytes = strlen(target);
    struct p9_message *message;
    char *copy = pool_alloc(bytes + 4);
    int error;

    if (!copy)
        return -ENOMEM;
    memcpy(copy, target, bytes); /* and a group of 0 */
    p9_take(p9_fs_of(directory), &message, 1);
    begin_make(message, P9_SYMLINK, directory, name);
    p9_put(message, bytes, 2);
    message->data[0] = (struct iovec){copy, bytes + 4};
    message->data_count = 1;
    error = make(message, directory, name, made);
    pool_free(copy, bytes + 4);
    return error;
}

static int link_to(struct vnode *directory, const char *name,
                   struct vnode *node)
{
    struct p9_fs *fs = p9_fs_of(directory);
    struct p9_message *message;

    p9_take(fs, &message, 1);
    p9_begin_about(message, P9_LINK, p9_node_of(directory)->fid, P9_ANSWER(0));
    p9_put(message, p9_node_of(node)->fid, 4);
    p9_put_name(message, name);
    return call_plain(fs, message);
}

/* ---- Removing and renaming ----------------------------------------------- */

static int remove_name(struct vnode *directory, const char *name,
                       unsigned flags)
{
    struct p9_fs *fs = p9_fs_of(directory);
    struct p9_message *message;

    p9_take(fs, &message, 1);
    p9_begin_about(message, P9_UNLINKAT, p9_node_of(directory)->fid,
                   P9_ANSWER(0));
    p9_put_name(message, name);
    p9_put(message, flags, 4);
    return call_plain(fs, message);
}

static int unlink_in(struct vnode *directory, const char *name,
                     struct vnode *node)
{
    (void)node;
    return remove_name(directory, name, 0);
}

static int rmdir_in(struct vnode *directory, const char *name,
                    struct vnode *node)
{
    (void)node;
    return remove_name(directory, name, P9_UNLINK_DIRECTORY);
}

/* The server lets fids go with their files. */
static int rename_to(struct vnode *from, const char *name, struct vnode *node,
                     struct vnode *to, const char *new_name,
                     struct vnode *replaced, bool exchange)
{
    struct p9_fs *fs = p9_fs_of(from);
    struct p9_message *message;

    (void)node;
    (void)replaced;
    if (exchange)
        return -EINVAL; /* as Linux says of file systems that cannot */
    p9_take(fs, &message, 1);
    p9_begin_about(message, P9_RENAMEAT, p9_node_of(from)->fid, P9_ANSWER(0));
    p9_put_name(message, name);
    p9_put(message, p9_node_of(to)->fid, 4);
    p9_put_name(message, new_name);
    return call_plain(fs, message);
}

/* ---- Attributes ---------------------------------------------------------- */

static long readlink_of(struct vnode *vnode, char *buffer, size_t bytes)
{
    struct p9_fs *fs = p9_fs_of(vnode);
    char *rest = pool_alloc(VFS_PATH_MAX);
    struct p9_message *message;
    long result;

    if (!rest)
        return -ENOMEM;
    /* An error takes two bytes more than the length before the target. */
    p9_take(fs, &message, 1);
    p9_begin_about(message, P9_READLINK, p9_node_of(vnode)->fid,
                   P9_ERROR_BYTES);
    message->data[0] = (struct iovec){rest + 2, VFS_PATH_MAX - 2};
    message->data_count = 1;
    message->data_comes = true;
    message->in_bytes = P9_ANSWER(2);
    result = p9_call(fs, message);
    if (!result) {
        size_t length = p9_next(message, 2);

        memcpy(rest, message->in + P9_ANSWER(2), 2);
        if (length > VFS_PATH_MAX || length > message->written)
            length = 0;
        result = (long)(length < bytes ? length : bytes);
        memcpy(buffer, rest, (size_t)result);
    }
    p9_give(fs, &message, 1);
    pool_free(rest, VFS_PATH_MAX);
    return result;
}

static int stat_node(struct vnode *vnode, struct stat *stat)
{
    return p9_stat(p9_node_of(vnode), NULL, stat);
}

static void put_time(struct p9_message *message, struct timespec time)
{
    p9_put(message, (uint64_t)time.tv_sec, 8);
    p9_put(message, (uint64_t)time.tv_nsec, 8);
}

/* Each flag of vfs.h, and what the protocol calls it. */
static const struct {
    unsigned from, to;
} set_flags[] = {
    {VFS_SET_MODE, P9_SET_MODE},
    {VFS_SET_OWNER, P9_SET_UID},
    {VFS_SET_GROUP, P9_SET_GID},
    {VFS_SET_SIZE, P9_SET_SIZE},
    {VFS_SET_ACCESSED, P9_SET_ATIME | P9_SET_ATIME_TO},
    {VFS_SET_MODIFIED, P9_SET_MTIME | P9_SET_MTIME_TO},
};

int p9_set(struct p9_node *node, const struct p9_file *file,
           const struct vfs_change *change)
{
    struct p9_fs *fs = p9_fs_of(&node->vnode);
    struct p9_message *message;
    unsigned valid = 0;

    for (unsigned i = 0; i < sizeof(set_flags) / sizeof(set_flags[0]); i++)
        if (change->mask & set_flags[i].from)
            valid |= set_flags[i].to;
    p9_take(fs, &message, 1);
    p9_begin_about(message, P9_SETATTR,
                   fid_of(node, file, change->mask & VFS_SET_SIZE),
                   P9_ANSWER(0));
    p9_put(message, valid, 4);
    p9_put(message, change->mode, 4);
    p9_put(message, change->owner, 4);
    p9_put(message, change->group, 4);
    p9_put(message, (uint64_t)change->size, 8);
    put_time(message, change->accessed);
    put_time(message, change->modified);
    return call_plain(fs, message);
}

static int set_node(struct vnode *vnode, const struct vfs_change *change)
{
    p9_node_of(vnode)->found_ns = 0;
    return p9_set(p9_node_of(vnode), NULL, change);
}

static int statfs_node(struct vnode *vnode, struct statfs *statfs)
{
    struct p9_fs *fs = p9_fs_of(vnode);
    struct p9_message *message;
    int error;

    p9_take(fs, &message, 1);
    p9_begin_about(message, P9_STATFS, p9_node_of(vnode)->fid,
                   P9_ANSWER(4 + 4 + 6 * 8 + 4));
    error = p9_call(fs, message);
    if (!error) {
        statfs->f_type = (unsigned)p9_next(message, 4);
        statfs->f_bsize = statfs->f_frsize = (unsigned)p9_next(message, 4);
        statfs->f_blocks = p9_next(message, 8);
        statfs->f_bfree = p9_next(message, 8);
        statfs->f_bavail = p9_next(message, 8);
        statfs->f_files = p9_next(message, 8);
        statfs->f_ffree = p9_next(message, 8);
        p9_next(message, 8);
        statfs->f_namelen = (unsigned)p9_next(message, 4);
    }
    p9_give(fs, &message, 1);
    return error;
}

const struct vnode_ops p9_ops = {
    .lookup = lookup,
    .create = create,
    .mkdir = mkdir_in,
    .symlink = symlink_in,
    .link = link_to,
    .unlink = unlink_in,
    .rmdir = rmdir_in,
    .rename = rename_to,
    .readlink = readlink_of,
    .stat = stat_node,
    .set = set_node,
    .open = p9_open,
    .statfs = statfs_node,
    .release = release,
};
