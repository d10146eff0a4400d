/* SPDX-License-Identifier: MIT */
/* The guest's paths and its files in memory; images/files compares with Linux.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "guest_rt/tmpfs.h"
#include "guest_rt/vfs_parts.h"
#include "tests/unit/guest.h"

static long open_new(const char *path)
{
    return SYS(open, path, O_RDWR | O_CREAT | O_EXCL, 0644);
}

static long write_text(long fd, const char *text)
{
    return SYS(write, fd, text, strlen(text));
}

static struct stat stat_of(const char *path)
{
    struct stat stat = {0};

    cr_assert_eq(SYS(lstat, path, &stat), 0, "%s", path);
    return stat;
}

/* ---- Paths -------------------------------------------------------------- */

Test(vfs, begins_with_the_usual_directories)
{
    static const char *const paths[] = {"/tmp", "/dev/shm", "/etc", "/proc"};

    for (unsigned i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        cr_assert(S_ISDIR(stat_of(paths[i]).st_mode));
    cr_assert_eq(stat_of("/tmp").st_mode & 07777, 01777);
    cr_assert_eq(SYS(access, "/etc/passwd", R_OK), 0);
}

Test(vfs, makes_directories_that_are_missing)
{
    cr_assert_eq(vfs_make_directories("/a/b/c", 0755), 0);
    cr_assert_eq(vfs_make_directories("/a/b/c/", 0755), 0);
    cr_assert(S_ISDIR(stat_of("/a/b/c").st_mode));
    cr_assert_eq(SYS(close, open_new("/a/file")), 0);
    cr_assert_eq(vfs_make_directories("/a/file/x", 0755), -ENOTDIR);
}

Test(vfs, writes_a_file_for_the_runtime)
{
    char text[16] = "";

    cr_assert_eq(vfs_write_file("/etc/resolv.conf", "longer", 6), 0);
    cr_assert_eq(vfs_write_file("/etc/resolv.conf", "text", 4), 0);
    cr_assert_eq(SYS(read, SYS(open, "/etc/resolv.conf", O_RDONLY, 0), text,
                     sizeof(text)),
                 4);
    cr_assert_str_eq(text, "text");
    cr_assert_eq(vfs_write_file("/missing/x", "", 0), -ENOENT);
}

Test(vfs, walks_40_links_and_not_41)
{
    char from[16], to[16];

    cr_assert_eq(SYS(close, open_new("/l0")), 0);
    for (int i = 1; i <= 41; i++) {
        snprintf(from, sizeof(from), "/l%d", i);
        snprintf(to, sizeof(to), "l%d", i - 1);
        cr_assert_eq(SYS(symlink, to, from), 0);
    }
    cr_assert_eq(SYS(access, "/l40", F_OK), 0);
    cr_assert_eq(SYS(access, "/l41", F_OK), -ELOOP);
}

Test(vfs, takes_names_of_255_bytes_and_paths_of_4095)
{
    char name[300] = "/", path[5000];

    memset(name + 1, 'n', 256);
    cr_assert_eq(open_new(name), -ENAMETOOLONG);
    name[256] = '\0';
    cr_assert_geq(open_new(name), 0);
    memset(path, '/', sizeof(path));
    path[4096] = '\0';
    cr_assert_eq(SYS(access, path, F_OK), -ENAMETOOLONG);
    path[4095] = '\0';
    cr_assert_eq(SYS(access, path, F_OK), 0);
    /* A link's target and what follows it count together. */
    memset(path, 'x', 4090);
    path[4090] = '\0';
    cr_assert_eq(SYS(symlink, path, "/far"), 0);
    cr_assert_eq(SYS(access, "/far", F_OK), -ENAMETOOLONG);
    cr_assert_eq(SYS(access, "/far/and/further", F_OK), -ENAMETOOLONG);
}

Test(vfs, finds_the_working_directory_after_it_was_renamed)
{
    char path[64];

    cr_assert_eq(vfs_make_directories("/a/b", 0755), 0);
    cr_assert_eq(SYS(chdir, "/a/b"), 0);
    cr_assert_eq(SYS(rename, "/a", "/c"), 0);
    cr_assert_eq(SYS(getcwd, path, sizeof(path)), 5);
    cr_assert_str_eq(path, "/c/b");
    cr_assert_eq(SYS(getcwd, path, 5), 5);
    cr_assert_eq(SYS(getcwd, path, 4), -ERANGE);
    cr_assert_eq(SYS(rmdir, "/c/b"), 0);
    cr_assert_eq(SYS(getcwd, path, sizeof(path)), -ENOENT);
    cr_assert_eq(SYS(access, "..", F_OK), 0);
    cr_assert_eq(open_new("x"), -ENOENT);
}

/* ---- Mounts ------------------------------------------------------------- */

static int find_nothing(struct vnode *directory, const char *name,
                        struct vnode **found)
{
    (void)directory, (void)name, (void)found;
    return -ENOENT;
}

static const struct vnode_ops empty_ops = {.lookup = find_nothing};
static struct vfs empty = {.type = "empty"};
static struct vnode empty_root = {
    .ops = &empty_ops,
    .fs = &empty,
    .references = 1,
    .type = S_IFDIR,
};

Test(vfs, crosses_mount_points_both_ways)
{
    char path[64];

    cr_assert_eq(vfs_mount("/mnt/data", &empty_root), 0);
    cr_assert_eq(vfs_mount("/mnt/data", &empty_root), -EBUSY);
    cr_assert_neq(stat_of("/mnt/data").st_dev, stat_of("/mnt").st_dev);
    cr_assert_eq(stat_of("/mnt/data/..").st_ino, stat_of("/mnt").st_ino);
    cr_assert_eq(SYS(chdir, "/mnt/data"), 0);
    cr_assert_eq(SYS(getcwd, path, sizeof(path)), 10);
    cr_assert_str_eq(path, "/mnt/data");
    cr_assert_eq(SYS(rmdir, "/mnt/data"), -EBUSY);
    cr_assert_eq(SYS(rename, "/mnt/data", "/mnt/x"), -EBUSY);
    cr_assert_eq(SYS(close, open_new("/file")), 0);
    cr_assert_eq(SYS(rename, "/file", "/mnt/data/file"), -EXDEV);
    cr_assert_eq(SYS(link, "/file", "/mnt/data/file"), -EXDEV);
    cr_assert_eq(open_new("/mnt/data/file"), -EPERM);
}

Test(vfs, changes_nothing_where_it_is_read_only)
{
    empty.read_only = true;
    cr_assert_eq(vfs_mount("/ro", &empty_root), 0);
    cr_assert_eq(open_new("/ro/file"), -EROFS);
    cr_assert_eq(SYS(mkdir, "/ro/d", 0755), -EROFS);
    cr_assert_eq(SYS(chmod, "/ro", 0700), -EROFS);
    cr_assert_eq(SYS(access, "/ro", W_OK), -EROFS);
    cr_assert_eq(SYS(access, "/ro", R_OK), 0);
}

/* ---- Files in memory ---------------------------------------------------- */

static unsigned extents_of(const char *path)
{
    struct vnode *node;
    unsigned count;

    cr_assert_eq(vfs_lookup(NULL, path, true, &node), 0);
    count = tmpfs_node(node)->file.count;
    vnode_put(node);
    return count;
}

static struct file *file_of(long fd)
{
    struct file *file = file_get(fd);

    file_put(file);
    return file;
}

static long map(long fd, size_t bytes, off_t offset)
{
    struct file *file = file_of(fd);

    return file->ops->map(file, NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                          offset);
}

Test(tmpfs, a_file_that_grows_stays_in_one_piece)
{
    long fd = open_new("/f");
    char block[1000];

    memset(block, 7, sizeof(block));
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(SYS(write, fd, block, sizeof(block)), 1000);
    cr_assert_eq(extents_of("/f"), 1);
    cr_assert_eq(stat_of("/f").st_size, 1000000);
    /* Far behind the end there is a hole. */
    cr_assert_eq(SYS(pwrite64, fd, "x", 1, 1l << 40), 1);
    cr_assert_eq(extents_of("/f"), 2);
    cr_assert_eq(SYS(pread64, fd, block, 1, (1l << 40) - 1), 1);
    cr_assert_eq(block[0], 0);
    cr_assert_eq(SYS(ftruncate, fd, 100), 0);
    cr_assert_eq(extents_of("/f"), 1);
    cr_assert_eq(stat_of("/f").st_blocks, 8);
}

Test(tmpfs, a_large_file_grows_without_being_copied)
{
    static char block[65536];
    long fd = open_new("/f");

    for (int i = 0; i < 100; i++) {
        memset(block, i, sizeof(block));
        cr_assert_eq(SYS(write, fd, block, sizeof(block)), sizeof(block));
    }
    cr_assert_eq(extents_of("/f"), 4);
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(SYS(pread64, fd, block, 65536, i * 65536l), 65536);
        cr_assert(block[0] == i && block[65535] == i);
    }
    /* A mapping needs it in one piece. */
    cr_assert_gt(map(fd, 100 * 65536, 0), 0);
    cr_assert_eq(extents_of("/f"), 1);
    cr_assert_eq(SYS(pread64, fd, block, 65536, 99 * 65536l), 65536);
    cr_assert_eq(block[7], 99);
}

Test(tmpfs, what_is_mapped_does_not_move)
{
    long fd = open_new("/f"), at;
    char text[8] = "";

    write_text(fd, "abc");
    at = map(fd, 4096, 0);
    cr_assert_gt(at, 0);
    cr_assert_eq(memcmp((char *)at, "abc", 4), 0);
    /* Growth goes elsewhere, and both sides see each other's changes. */
    cr_assert_eq(SYS(pwrite64, fd, "end", 3, 100000), 3);
    cr_assert_eq(SYS(pwrite64, fd, "X", 1, 0), 1);
    cr_assert_eq(*(char *)at, 'X');
    ((char *)at)[1] = 'Y';
    cr_assert_eq(SYS(pread64, fd, text, 3, 0), 3);
    cr_assert_str_eq(text, "XYc");
    cr_assert_eq(map(fd, 4096, 0), at);
    /* What spans both pieces can only be had once nobody has one mapped. */
    cr_assert_eq(map(fd, 200000, 0), -ENOMEM);
    file_of(fd)->ops->unmap(file_of(fd), (void *)at, 4096);
    file_of(fd)->ops->unmap(file_of(fd), (void *)at, 4096);
    at = map(fd, 200000, 0);
    cr_assert_gt(at, 0);
    cr_assert_eq(memcmp((char *)at, "XYc", 4), 0);
    cr_assert_eq(memcmp((char *)at + 100000, "end", 4), 0);
    file_of(fd)->ops->unmap(file_of(fd), (void *)at, 200000);
    cr_assert_eq(SYS(close, fd), 0);
}

Test(tmpfs, what_was_mapped_behind_the_end_is_not_in_the_file)
{
    long fd = open_new("/f"), at;
    char byte = 1;

    write_text(fd, "abc");
    at = map(fd, 4096, 0);
    ((char *)at)[10] = 'z';
    cr_assert_eq(SYS(ftruncate, fd, 100), 0);
    cr_assert_eq(SYS(pread64, fd, &byte, 1, 10), 1);
    cr_assert_eq(byte, 0);
    ((char *)at)[50] = 'z';
    cr_assert_eq(SYS(ftruncate, fd, 20), 0);
    cr_assert_eq(SYS(ftruncate, fd, 100), 0);
    cr_assert_eq(((char *)at)[50], 0);
}

Test(tmpfs, borrowed_bytes_are_copied_before_they_change)
{
    static const char text[] = "borrowed bytes";
    char all[32] = "";
    struct vnode *node;
    long fd;

    cr_assert_eq(vfs_make(NULL, "/b", S_IFREG | 0644, 0, NULL, &node), 0);
    cr_assert_eq(tmpfs_borrow(node, text, sizeof(text) - 1), 0);
    vnode_put(node);
    fd = SYS(open, "/b", O_RDWR, 0);
    cr_assert_eq(SYS(read, fd, all, sizeof(all)), 14);
    cr_assert_str_eq(all, text);
    cr_assert_eq(SYS(pwrite64, fd, "B", 1, 0), 1);
    cr_assert_eq(SYS(pwrite64, fd, "!", 1, 14), 1);
    cr_assert_eq(SYS(pread64, fd, all, sizeof(all), 0), 15);
    cr_assert_str_eq(all, "Borrowed bytes!");
    cr_assert_str_eq(text, "borrowed bytes");
}

Test(tmpfs, borrowed_bytes_can_be_cut_and_are_zero_when_they_come_back)
{
    static const char text[] = "0123456789";
    char all[32];
    struct vnode *node;
    long fd;

    cr_assert_eq(vfs_make(NULL, "/b", S_IFREG | 0644, 0, NULL, &node), 0);
    cr_assert_eq(tmpfs_borrow(node, text, 10), 0);
    vnode_put(node);
    fd = SYS(open, "/b", O_RDWR, 0);
    cr_assert_eq(SYS(ftruncate, fd, 5), 0);
    cr_assert_eq(SYS(ftruncate, fd, 8), 0);
    cr_assert_eq(SYS(pread64, fd, all, sizeof(all), 0), 8);
    cr_assert_eq(memcmp(all, "01234\0\0\0", 8), 0);
    cr_assert_eq(SYS(ftruncate, fd, 0), 0);
    cr_assert_eq(SYS(pwrite64, fd, "new", 3, 1), 3);
    cr_assert_eq(SYS(pread64, fd, all, sizeof(all), 0), 4);
    cr_assert_eq(memcmp(all, "\0new", 4), 0);
}

static unsigned loads;

static int load(void *to, uint64_t from, size_t bytes)
{
    loads++;
    memset(to, (int)from, bytes);
    return from == 99 ? -EIO : 0;
}

Test(tmpfs, loads_a_file_when_it_is_opened_first)
{
    struct vnode *node;
    char text[8] = "";

    cr_assert_eq(vfs_make(NULL, "/l", S_IFREG | 0644, 0, NULL, &node), 0);
    tmpfs_load_later(node, load, 'x', 3);
    cr_assert_eq(stat_of("/l").st_size, 3);
    cr_assert_eq(loads, 0);
    cr_assert_eq(SYS(read, SYS(open, "/l", O_RDONLY, 0), text, 8), 3);
    cr_assert_str_eq(text, "xxx");
    cr_assert_geq(SYS(open, "/l", O_RDONLY, 0), 0);
    cr_assert_eq(loads, 1);
    tmpfs_resize(tmpfs_node(node), 0);
    tmpfs_load_later(node, load, 99, 3);
    cr_assert_eq(SYS(open, "/l", O_RDONLY, 0), -EIO);
    tmpfs_load_later(node, load, 0, 0);
    cr_assert_geq(SYS(open, "/l", O_RDONLY, 0), 0);
    vnode_put(node);
}

Test(tmpfs, gives_back_all_memory)
{
    unsigned before;
    long fd;

    cr_assert_eq(SYS(access, "/", F_OK), 0);
    cr_assert_eq(SYS(close, open_new("/first")), 0);
    cr_assert_eq(SYS(unlink, "/first"), 0);
    before = guest_pieces;
    cr_assert_eq(SYS(mkdir, "/d", 0755), 0);
    fd = open_new("/d/f");
    write_text(fd, "content");
    cr_assert_eq(SYS(symlink, "target", "/d/l"), 0);
    cr_assert_eq(SYS(mkdir, "/d/e", 0755), 0);
    cr_assert_eq(SYS(rename, "/d/f", "/d/e/g"), 0);
    cr_assert_eq(SYS(link, "/d/e/g", "/d/h"), 0);
    cr_assert_eq(SYS(unlink, "/d/e/g"), 0);
    cr_assert_eq(SYS(unlink, "/d/h"), 0);
    cr_assert_eq(SYS(unlink, "/d/l"), 0);
    cr_assert_eq(SYS(rmdir, "/d/e"), 0);
    cr_assert_eq(SYS(rmdir, "/d"), 0);
    cr_assert_gt(guest_pieces, before);
    cr_assert_eq(SYS(close, fd), 0);
    cr_assert_eq(guest_pieces, before);
}

Test(tmpfs, without_memory_calls_fail_and_nothing_is_lost)
{
    size_t all;
    char text[8] = "";
    long fd = open_new("/f");

    write_text(fd, "kept");
    cr_assert_eq(SYS(close, SYS(open, "/f", O_RDONLY, 0)), 0);
    all = guest_memory_left;
    for (size_t left = 0; left < 3000; left += 40) {
        long other;

        guest_memory_left = left;
        other = SYS(open, "/new", O_RDWR | O_CREAT, 0644);
        if (other >= 0)
            SYS(close, other);
        SYS(mkdir, "/newdir", 0755);
        SYS(symlink, "f", "/newlink");
        SYS(rename, "/f", "/f2");
        SYS(rename, "/f2", "/f");
        SYS(pwrite64, fd, "more", 4, 100000);
        SYS(unlink, "/new");
        SYS(unlink, "/newlink");
        SYS(rmdir, "/newdir");
    }
    guest_memory_left = all;
    cr_assert_eq(SYS(pread64, fd, text, 4, 0), 4);
    cr_assert_str_eq(text, "kept");
    cr_assert_eq(SYS(access, "/f", F_OK) && SYS(access, "/f2", F_OK), 0);
}

Test(tmpfs, has_at_most_half_of_the_memory)
{
    static char block[1 << 20];
    long fd, result;

    guest_memory_left = 16 << 20;
    fd = open_new("/f");
    do
        result = SYS(write, fd, block, sizeof(block));
    while (result == sizeof(block));
    cr_assert_eq(result, -ENOSPC);
    cr_assert_geq(stat_of("/f").st_size, 5 << 20);
    cr_assert_geq(guest_memory_left, 7 << 20);
    cr_assert_eq(SYS(ftruncate, fd, 0), 0);
    cr_assert_eq(SYS(write, fd, block, sizeof(block)), sizeof(block));
}

/* ---- Directories -------------------------------------------------------- */

/* Reads with a small buffer; returns how many names there were. */
static unsigned count_names(long fd, void (*each)(const char *name))
{
    char buffer[128];
    unsigned count = 0;
    long bytes;

    while ((bytes = SYS(getdents64, fd, buffer, sizeof(buffer))) > 0) {
        for (long at = 0; at < bytes; count++) {
            const char *entry = buffer + at;
            const char *name = entry + offsetof(struct dirent64, d_name);
            unsigned short bytes_here;

            if (each && name[0] != '.')
                each(name);
            memcpy(&bytes_here, entry + offsetof(struct dirent64, d_reclen),
                   sizeof(bytes_here));
            at += bytes_here;
        }
    }
    cr_assert_eq(bytes, 0);
    return count;
}

static void remove_name(const char *name)
{
    cr_assert_eq(SYS(unlink, name), 0);
}

Test(tmpfs, directories_can_be_read_while_they_change)
{
    char name[32];
    long fd;

    cr_assert_eq(SYS(mkdir, "/d", 0755), 0);
    cr_assert_eq(SYS(chdir, "/d"), 0);
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof(name), "%d", i);
        cr_assert_eq(SYS(close, open_new(name)), 0);
    }
    fd = SYS(open, ".", O_RDONLY | O_DIRECTORY, 0);
    cr_assert_eq(count_names(fd, NULL), 502);
    cr_assert_eq(count_names(fd, NULL), 0);
    cr_assert_eq(SYS(close, open_new("late")), 0);
    cr_assert_eq(count_names(fd, NULL), 1);
    cr_assert_eq(SYS(lseek, fd, 0, SEEK_SET), 0);
    cr_assert_eq(count_names(fd, remove_name), 503);
    cr_assert_eq(SYS(getdents64, fd, name, 10), 0);
    cr_assert_eq(SYS(lseek, fd, 0, SEEK_SET), 0);
    cr_assert_eq(SYS(getdents64, fd, name, 10), -EINVAL);
    cr_assert_eq(count_names(fd, NULL), 2);
    cr_assert_eq(SYS(rmdir, "/d"), 0);
}

/* ---- Against a model ---------------------------------------------------- */

#define MODEL_BYTES 40000

/* Random reads, writes and sizes of one file, beside an array of bytes. */
Test(tmpfs, survives_random_use, .timeout = 30)
{
    static unsigned char model[MODEL_BYTES], buffer[MODEL_BYTES];
    size_t size = 0;
    unsigned state = 5;
    long fd = open_new("/f"), mapped = 0;

    for (unsigned round = 0; round < 20000; round++) {
        unsigned bits = (state = state * 1103515245 + 12345) >> 4;
        size_t at = bits % MODEL_BYTES, count = bits / 7 % 5000;

        if (count > MODEL_BYTES - at)
            count = MODEL_BYTES - at;
        switch (bits >> 24 & 7) {
        case 0:
            cr_assert_eq(SYS(ftruncate, fd, at), 0);
            if (at < size)
                memset(model + at, 0, size - at);
            size = at;
            break;
        case 1:
            if (mapped)
                file_of(fd)->ops->unmap(file_of(fd), (void *)mapped, 4096);
            mapped = mapped ? 0 : map(fd, 4096, (off_t)(at & -4096ul));
            cr_assert_geq(mapped, 0);
            break;
        case 2:
            cr_assert_eq(SYS(fallocate, fd, 3, at, count + 1), 0);
            for (size_t i = at; i <= at + count && i < size; i++)
                model[i] = 0;
            break;
        case 3:
        case 4:
        case 5:
            memset(model + at, (int)round, count);
            memset(buffer, (int)round, count);
            cr_assert_eq(SYS(pwrite64, fd, buffer, count, at), (long)count);
            if (count && at + count > size)
                size = at + count;
            break;
        default:
            count = SYS(pread64, fd, buffer, MODEL_BYTES, 0);
            cr_assert_eq(count, size);
            cr_assert_eq(memcmp(buffer, model, size), 0, "round %u", round);
        }
    }
}

/* ---- Files without names ------------------------------------------------ */

static long link_file(long fd, const char *path)
{
    return SYS(linkat, fd, "", AT_FDCWD, path, AT_EMPTY_PATH);
}

Test(vfs, gives_no_name_to_a_file_that_lost_its_last)
{
    long fd = open_new("/tmp/a");

    cr_assert_eq(link_file(fd, "/tmp/b"), 0);
    cr_assert_eq(SYS(unlink, "/tmp/a"), 0);
    cr_assert_eq(link_file(fd, "/tmp/a"), 0);
    cr_assert_eq(SYS(unlink, "/tmp/a"), 0);
    cr_assert_eq(SYS(unlink, "/tmp/b"), 0);
    cr_assert_eq(link_file(fd, "/tmp/a"), -ENOENT);
}

Test(vfs, gives_a_first_name_to_a_file_made_without)
{
    long fd = SYS(open, "/tmp", O_RDWR | O_TMPFILE, 0644);

    cr_assert(fd >= 0);
    cr_assert_eq(link_file(fd, "/tmp/a"), 0);
    cr_assert_eq(SYS(unlink, "/tmp/a"), 0);
    cr_assert_eq(link_file(fd, "/tmp/a"), -ENOENT);
    fd = SYS(open, "/tmp", O_RDWR | O_TMPFILE | O_EXCL, 0644);
    cr_assert_eq(link_file(fd, "/tmp/a"), -ENOENT);
}
