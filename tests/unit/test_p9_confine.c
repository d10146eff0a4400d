/* SPDX-License-Identifier: MIT */
/* 9P: nothing leads out of the share, and read-only is read-only. */
#include "tests/unit/p9_driver.h"

#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "virtio/p9_parts.h"

/* ---- Paths -----------------------------------------------------------------
 */

TestSuite(p9_escape, .init = set_up, .fini = remove_tree);

Test(p9_escape, does_not_go_above_the_root)
{
    struct stat root;

    cr_assert_eq(fstat(inside, &root), 0);
    cr_assert_eq(walk(ROOT, 2, "../.."), 0);
    take(5);
    cr_assert_eq(take(8), root.st_ino);
    cr_assert_eq(walk(2, 3, "secret"), -ENOENT);
    cr_assert_eq(walk(ROOT, 3, "sub/deep/../../../../secret"), -ECHILD);
    cr_assert_eq(walk(ROOT, 4, "sub/../sub/deep/./leaf"), 0);
    cr_assert_eq(walk(ROOT, 5, "hello/.."), -ECHILD, "no directory");
}

/* Should a path ever be wrong, the kernel holds it. */
Test(p9_escape, does_not_get_past_the_door)
{
    cr_assert_eq(p9_host_open(&p9, "../secret", O_RDONLY, 0), -EXDEV);
    cr_assert_eq(p9_host_open(&p9, "/etc", O_RDONLY, 0), -EXDEV);
    cr_assert_eq(p9_host_open(&p9, "sub/../../secret", O_RDONLY, 0), -EXDEV);
}

/* Every request that takes a name, with this one. Returns the one error. */
static int try_name(const char *name, size_t bytes)
{
    static const uint8_t types[] = {P9_LCREATE, P9_SYMLINK, P9_MKNOD, P9_MKDIR,
                                    P9_UNLINKAT};
    int error = 0;

    for (size_t i = 0; i < sizeof(types); i++) {
        begin(types[i]);
        put(ROOT, 4);
        put_bytes(name, bytes);
        if (types[i] == P9_SYMLINK)
            put_text("target");
        if (types[i] == P9_LCREATE || types[i] == P9_MKNOD)
            put(0x81a4, 4); /* flags, or the mode of a file */
        if (types[i] == P9_MKNOD)
            put(0, 8);
        if (types[i] == P9_LCREATE || types[i] == P9_MKDIR)
            put(0644, 4);
        put(0, 4);
        int result = call();
        cr_assert(i == 0 || result == error, "type %u: %d, not %d", types[i],
                  result, error);
        error = result;
    }
    return error;
}

Test(p9_escape, has_no_name_that_is_a_path)
{
    static const char *const bad[] = {"",   "/",         "..",  ".",
                                      "a/", "../secret", "/etc"};

    cr_assert_eq(walk(ROOT, 2, "hello"), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        cr_assert_eq(try_name(bad[i], strlen(bad[i])), -EINVAL);
        cr_assert_eq(link_in(ROOT, 2, bad[i]), -EINVAL);
        cr_assert_eq(rename_in(ROOT, bad[i], ROOT, "new"), -EINVAL);
        cr_assert_eq(rename_in(ROOT, "hello", ROOT, bad[i]), -EINVAL);
    }
    cr_assert_eq(try_name("a\0b", 3), -EINVAL);
    begin(P9_WALK);
    put(ROOT, 4);
    put(3, 4);
    put(1, 2);
    put_text("sub/deep");
    cr_assert_eq(call(), -EINVAL);
    assert_file(inside, "hello", "hello, guest\n");
}

Test(p9_escape, does_not_follow_links)
{
    cr_assert_eq(open_path(2, "out", O_RDONLY), -ELOOP);
    cr_assert_eq(open_path(3, "link", O_RDONLY), -ELOOP);
    cr_assert_eq(open_path(4, "up", O_RDONLY | O_DIRECTORY), -ELOOP);
    cr_assert_eq(walk(ROOT, 5, "up/secret"), -ECHILD);
    cr_assert_eq(walk(4, 5, "secret"), -ENOTDIR);
    cr_assert_eq(mkdir_in(4, "dir", 0755), -ENOTDIR);
    cr_assert_eq(unlink_in(4, "secret", 0), -ENOTDIR);
    cr_assert_eq(rename_in(4, "secret", ROOT, "mine"), -ENOTDIR);
    cr_assert_eq(rename_in(ROOT, "hello", 4, "hello"), -ENOTDIR);
    cr_assert_eq(lcreate(4, "new", O_RDWR, 0644), -ELOOP);
    assert_file(outside, "secret", "secret\n");
    cr_assert_not(is_there(outside, "dir"));
}

/* What was a directory when the fid was made leads outside when it is used. */
static void swap_for_a_link(void)
{
    cr_assert_eq(mkdirat(outside, "elsewhere", 0755), 0);
    cr_assert_eq(mkdirat(outside, "elsewhere/deep", 0755), 0);
    make_file(outside, "elsewhere/deep/leaf", "secret\n");
    cr_assert_eq(renameat(inside, "sub", inside, "away"), 0);
    cr_assert_eq(symlinkat("../elsewhere", inside, "sub"), 0);
}

Test(p9_escape, looks_again_at_every_use)
{
    struct set set = {.valid = P9_SET_MODE, .mode = 0777};

    cr_assert_eq(walk(ROOT, 2, "sub/deep/leaf"), 0);
    cr_assert_eq(walk(ROOT, 3, "sub/deep"), 0);
    swap_for_a_link();
    cr_assert_eq(lopen(2, O_RDONLY), -ELOOP);
    cr_assert_eq(getattr(2), -ELOOP);
    cr_assert_eq(setattr(2, set), -ELOOP);
    set.valid = P9_SET_SIZE;
    cr_assert_eq(setattr(2, set), -ELOOP);
    set.valid = P9_SET_MTIME;
    cr_assert_eq(setattr(2, set), -ELOOP);
    cr_assert_eq(unlink_in(3, "leaf", 0), -ELOOP);
    cr_assert_eq(lcreate(3, "new", O_RDWR, 0644), -ELOOP);
    cr_assert_eq(mkdir_in(3, "new", 0755), -ELOOP);
    cr_assert_eq(link_in(ROOT, 2, "mine"), -ELOOP);
    cr_assert_eq(rename_in(3, "leaf", ROOT, "mine"), -ELOOP);
    cr_assert_eq(about(P9_STATFS, 2), -ELOOP);
    cr_assert_eq(about(P9_REMOVE, 2), -ELOOP);
    assert_file(outside, "elsewhere/deep/leaf", "secret\n");
    cr_assert_not(is_there(outside, "elsewhere/deep/new"));
}

/* Somebody swaps a directory and a link to another, again and again. */
static atomic_bool swapping;

static void *swap(void *unused)
{
    while (atomic_load(&swapping))
        syscall(SYS_renameat2, inside, "sub", inside, "trap", RENAME_EXCHANGE);
    return unused;
}

Test(p9_escape, never_wins_a_race, .timeout = 60)
{
    pthread_t thread;
    unsigned opened = 0, made = 0;

    cr_assert_eq(mkdirat(outside, "elsewhere", 0755), 0);
    cr_assert_eq(mkdirat(outside, "elsewhere/deep", 0755), 0);
    make_file(outside, "elsewhere/deep/leaf", "secret\n");
    cr_assert_eq(symlinkat("../elsewhere", inside, "trap"), 0);
    atomic_store(&swapping, true);
    cr_assert_eq(pthread_create(&thread, NULL, swap, NULL), 0);
    /* Until both have been seen to work in between. */
    for (unsigned i = 0; i < 4000 || !opened || !made; i++) {
        if (walk(ROOT, 2, "sub/deep") == 0) {
            int error = mkdir_in(2, "made", 0755);
            cr_assert(!error || error == -ELOOP || error == -ENOTDIR ||
                          error == -EEXIST || error == -ENOENT,
                      "%d", error);
            made += error == 0;
            error = unlink_in(2, "made", P9_UNLINK_DIRECTORY);
            cr_assert_eq(clunk(2), 0);
        }
        if (open_path(3, "sub/deep/leaf", O_RDONLY) == 0) {
            cr_assert_eq(read_fid(3, 0, 16), 5);
            cr_assert_eq(memcmp(reply, "leaf\n", 5), 0);
            opened++;
        }
        cr_assert(clunk(3) <= 0);
        cr_assert_not(is_there(outside, "elsewhere/deep/made"));
    }
    atomic_store(&swapping, false);
    pthread_join(thread, NULL);
}

Test(p9_escape, does_not_open_special_files)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/share/socket",
             base);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(open_path(2, "fifo", O_RDONLY), -EACCES);
    cr_assert_eq(lopen(2, O_RDWR), -EACCES);
    cr_assert_eq(open_path(3, "socket", O_RDONLY), -EACCES);
    /* Only who may make a device can test that. */
    if (mknodat(inside, "zero", S_IFCHR | 0666, 0x105) == 0) {
        cr_assert_eq(open_path(4, "zero", O_RDONLY), -EACCES);
        cr_assert_eq(getattr(4), 0, "but it is there");
    }
}

/* Below /proc is this process itself. */
Test(p9_escape, does_not_enter_other_mounts)
{
    p9.root = open("/", O_PATH);
    cr_assert_eq(walk(ROOT, 2, "proc"), -EXDEV);
    cr_assert_eq(walk(ROOT, 2, "proc/self/mem"), -EXDEV);
    cr_assert_eq(walk(ROOT, 2, "etc"), 0);
}

/* ---- Read-only -------------------------------------------------------------
 */

TestSuite(p9_read_only, .init = set_up_read_only, .fini = remove_tree);

Test(p9_read_only, refuses_every_change)
{
    cr_assert_eq(walk(ROOT, 2, "hello"), 0);
    cr_assert_eq(lopen(2, O_RDWR), -EROFS);
    cr_assert_eq(lopen(2, O_WRONLY), -EROFS);
    cr_assert_eq(lopen(2, O_RDONLY | O_TRUNC), -EROFS);
    for (unsigned valid = 1; valid <= P9_SET_MTIME_TO; valid <<= 1)
        cr_assert_eq(setattr(2, (struct set){.valid = valid}), -EROFS);
    cr_assert_eq(lcreate(ROOT, "new", O_RDONLY, 0644), -EROFS);
    cr_assert_eq(lcreate(ROOT, "hello", O_RDONLY, 0644), -EROFS);
    cr_assert_eq(mkdir_in(ROOT, "new", 0755), -EROFS);
    cr_assert_eq(mknod_in(ROOT, "new", S_IFREG | 0644), -EROFS);
    cr_assert_eq(symlink_in(ROOT, "new", "hello"), -EROFS);
    cr_assert_eq(link_in(ROOT, 2, "new"), -EROFS);
    cr_assert_eq(unlink_in(ROOT, "hello", 0), -EROFS);
    cr_assert_eq(rename_in(ROOT, "hello", ROOT, "new"), -EROFS);
    begin(P9_RENAME);
    put(2, 4);
    put(ROOT, 4);
    put_text("new");
    cr_assert_eq(call(), -EROFS);
    cr_assert_eq(about(P9_REMOVE, 2), -EROFS);
    cr_assert_eq(clunk(2), -EBADF, "the fid is gone all the same");
    assert_file(inside, "hello", "hello, guest\n");
    cr_assert_not(is_there(inside, "new"));
}

Test(p9_read_only, can_be_read)
{
    char target[16];

    cr_assert_eq(open_path(2, "sub/deep/leaf", O_RDONLY), 0);
    cr_assert_eq(read_fid(2, 0, 10), 5);
    cr_assert_eq(write_fid(2, 0, "x"), -EROFS);
    cr_assert_eq(walk(ROOT, 3, "link"), 0);
    cr_assert_eq(about(P9_READLINK, 3), 0);
    take_text(target);
    cr_assert_str_eq(target, "hello");
}
