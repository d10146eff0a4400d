/* SPDX-License-Identifier: MIT */
/* The files that a program starts with: an archive in the image, or a disk. */
#include <mayfly/disk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest_rt/console.h"
#include "guest_rt/option.h"
#include "guest_rt/pool.h"
#include "guest_rt/runtime.h"
#include "guest_rt/tar.h"
#include "guest_rt/tmpfs.h"

/*
 * mayfly-cc --files puts a tar archive between these symbols; its files are
 * read where they lie. mayfly run --files gives the VM a disk that is one, and
 * says which by the option files=; its headers are read at the start, and each
 * file when it is opened first. Where both have a path, the disk's counts.
 */
extern const char mf_archive_begin[] __attribute__((weak));
extern const char mf_archive_end[] __attribute__((weak));

/* What an image that cannot be run exits with. */
#define EXIT_BAD 126

static unsigned disk_index;

/* ---- Where the bytes are ------------------------------------------------ */

static int read_image(void *context, void *to, uint64_t from, size_t bytes)
{
    (void)context;
    memcpy(to, mf_archive_begin + from, bytes);
    return 0;
}

/* A window of the disk, which headers are read through. */
struct window {
    unsigned char *bytes;
    uint64_t sector; /* the first one in it */
    long sectors;    /* of it that are filled */
    uint64_t end;    /* sectors of the disk */
};

#define WINDOW_SECTORS 16l

static int fill_window(struct window *window, uint64_t sector)
{
    uint64_t left = window->end - sector;
    long sectors =
        left < (uint64_t)WINDOW_SECTORS ? (long)left : WINDOW_SECTORS;
    long result = disk_read(disk_index, sector, window->bytes, sectors);

    window->sector = sector;
    window->sectors = result < 0 ? 0 : sectors;
    return result < 0 ? (int)result : 0;
}

static int read_disk(void *context, void *to, uint64_t from, size_t bytes)
{
    struct window *window = context;

    while (bytes > 0) {
        uint64_t sector = from / DISK_SECTOR_BYTES;
        size_t skip, part;

        if (sector - window->sector >= (uint64_t)window->sectors) {
            int error = fill_window(window, sector);

            if (error)
                return error;
        }
        skip = (size_t)(from - window->sector * DISK_SECTOR_BYTES);
        part = (size_t)window->sectors * DISK_SECTOR_BYTES - skip;
        if (part > bytes)
            part = bytes;
        memcpy(to, window->bytes + skip, part);
        to = (char *)to + part;
        from += part;
        bytes -= part;
    }
    return 0;
}

/*
 * Loads a file: `to` are whole pages, and its first byte begins a sector. What
 * is behind the end in the last sector is not the file's.
 */
static int load_file(void *to, uint64_t from, size_t bytes)
{
    size_t sectors = (bytes + DISK_SECTOR_BYTES - 1) / DISK_SECTOR_BYTES;
    long result =
        disk_read(disk_index, from / DISK_SECTOR_BYTES, to, (long)sectors);

    if (result < 0)
        return (int)result;
    memset((char *)to + bytes, 0, sectors * DISK_SECTOR_BYTES - bytes);
    return 0;
}

/* ---- Unpacking ---------------------------------------------------------- */

_Noreturn static void fail(const char *path, const char *reason)
{
    char line[512];
    struct iovec whole = {line, 0};
    int length = snprintf(line, sizeof(line),
                          "mayfly: the archive of files: %.300s%s%s\n", path,
                          *path ? ": " : "", reason);

    whole.iov_len = (size_t)length;
    console_writev(2, &whole, 1);
    mf_exit(EXIT_BAD);
}

/* Makes way for a file: a later entry replaces an earlier one. */
static int make_way(const char *path)
{
    struct vfs_walk walk;
    struct vnode *node;
    int error = vfs_walk_start(&walk, NULL, path);

    if (!error)
        error = vfs_walk_last(&walk, false, &node);
    if (!error && node) {
        if (S_ISDIR(node->type))
            error = -EISDIR;
        else
            error = walk.at->ops->unlink
                        ? walk.at->ops->unlink(walk.at, walk.name, node)
                        : -EROFS;
        vnode_put(node);
    }
    vfs_walk_end(&walk);
    return error;
}

/* The directories that a path is in. */
static int make_parents(char *path)
{
    char *slash = strrchr(path, '/');
    int error;

    if (slash == path)
        return 0;
    *slash = '\0';
    error = vfs_make_directories(path, 0755);
    *slash = '/';
    return error;
}

static int add_link(const char *path, const char *target)
{
    struct vfs_walk walk;
    struct vnode *node;
    char *absolute = pool_alloc(TAR_PATH_MAX + 1);
    int error;

    if (!absolute)
        return -ENOMEM;
    absolute[0] = '/';
    strcpy(absolute + 1, target);
    error = vfs_lookup(NULL, absolute, false, &node);
    pool_free(absolute, TAR_PATH_MAX + 1);
    if (error)
        return error;
    error = vfs_walk_start(&walk, NULL, path);
    if (!error && walk.at->fs != node->fs)
        error = -EXDEV;
    if (!error)
        error = S_ISDIR(node->type) || !walk.at->ops->link
                    ? -EPERM
                    : walk.at->ops->link(walk.at, walk.name, node);
    vfs_walk_end(&walk);
    vnode_put(node);
    return error;
}

static int add_content(struct vnode *node, const struct tar_entry *entry,
                       bool in_image)
{
    if (node->ops != &tmpfs_ops)
        return -EXDEV;
    if (in_image)
        return tmpfs_borrow(node, mf_archive_begin + entry->from,
                            (size_t)entry->bytes);
    tmpfs_load_later(node, load_file, entry->from, (size_t)entry->bytes);
    return 0;
}

static int set_attributes(struct vnode *node, const struct tar_entry *entry)
{
    struct vfs_change change = {
        .mask = VFS_SET_MODE | VFS_SET_ACCESSED | VFS_SET_MODIFIED,
        .mode = entry->mode & 07777,
        .accessed.tv_sec = (time_t)entry->modified,
        .modified.tv_sec = (time_t)entry->modified,
    };

    if (S_ISLNK(node->type))
        change.mask &= ~(unsigned)VFS_SET_MODE;
    return vnode_set(node, &change);
}

static int add_node(const char *path, const struct tar_entry *entry,
                    bool in_image)
{
    struct vnode *node;
    int error = vfs_make(NULL, path, entry->mode, 0, entry->target, &node);

    /* A directory may be there, and a link to one is as good. */
    if (error == -EEXIST && S_ISDIR(entry->mode)) {
        error = vfs_lookup(NULL, path, true, &node);
        if (!error && !S_ISDIR(node->type)) {
            vnode_put(node);
            error = -EEXIST;
        }
    }
    if (error)
        return error;
    if (S_ISREG(entry->mode))
        error = add_content(node, entry, in_image);
    if (!error)
        error = set_attributes(node, entry);
    vnode_put(node);
    return error;
}

static void add_entry(const struct tar_entry *entry, char *path, bool in_image)
{
    int error;

    path[0] = '/';
    strcpy(path + 1, entry->path);
    if (!entry->path[0])
        return; /* the root is as it is */
    error = make_parents(path);
    if (!error && !S_ISDIR(entry->mode))
        error = make_way(path);
    if (!error)
        error = entry->is_link ? add_link(path, entry->target)
                               : add_node(path, entry, in_image);
    if (error)
        fail(path, strerror(-error));
}

/* Unpacks an archive; its buffers are too large for every stack. */
static void unpack(tar_read *read, void *context, uint64_t bytes, bool in_image)
{
    struct {
        struct tar_entry entry;
        char path[TAR_PATH_MAX + 1];
    } *work = mf_pages_alloc(sizeof(*work));
    struct tar tar;
    int result;

    if (!work)
        fail("", strerror(ENOMEM));
    tar_start(&tar, read, context, bytes);
    while ((result = tar_next(&tar, &work->entry)) > 0)
        add_entry(&work->entry, work->path, in_image);
    if (result)
        fail("", tar.fault ? tar.fault : strerror(-result));
    mf_pages_free(work, sizeof(*work));
}

static void unpack_disk(const char *option)
{
    struct window window = {0};
    struct disk_info info;
    int error;

    disk_index = (unsigned)strtoul(option, NULL, 10);
    error = disk_open(disk_index, &info);
    if (error)
        fail("its disk", strerror(-error));
    window.end = info.sectors;
    window.bytes = mf_pages_alloc(WINDOW_SECTORS * DISK_SECTOR_BYTES);
    if (!window.bytes)
        fail("", strerror(ENOMEM));
    unpack(read_disk, &window, info.sectors * DISK_SECTOR_BYTES, false);
    mf_pages_free(window.bytes, WINDOW_SECTORS * DISK_SECTOR_BYTES);
}

void vfs_start_archive(void)
{
    const char *option = option_get("files", 0);
    uintptr_t begin = (uintptr_t)mf_archive_begin;
    uintptr_t end = (uintptr_t)mf_archive_end;

    if (begin != end)
        unpack(read_image, NULL, end - begin, true);
    if (option)
        unpack_disk(option);
}
