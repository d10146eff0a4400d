/* SPDX-License-Identifier: MIT */
/* 9P: sessions, fids, files and directories. */
#include "tests/unit/p9_driver.h"

#include <dirent.h>
#include <linux/virtio_9p.h>
#include <linux/virtio_ids.h>

/* ---- The device ------------------------------------------------------------
 */

TestSuite(p9, .fini = remove_tree);

Test(p9, has_a_tag_and_one_queue)
{
    uint16_t bytes;
    char tag[6] = "";

    start((struct p9_options){.fd = -1});
    vdev_read_config(&p9.dev, 0, &bytes, sizeof(bytes));
    vdev_read_config(&p9.dev, offsetof(struct virtio_9p_config, tag), tag, 5);
    cr_assert_eq(bytes, 5);
    cr_assert_str_eq(tag, "share");
    cr_assert_eq(p9.dev.class->type, VIRTIO_ID_9P);
    cr_assert_eq(p9.dev.class->queue_count, 1);
    cr_assert(p9.dev.offered & 1u << VIRTIO_9P_MOUNT_TAG);
}

static int try(int fd, const char *tag, uint32_t queue_size)
{
    static struct p9 other;
    struct p9_options options = {
        .fd = fd,
        .tag = tag,
        .queue_size = queue_size,
    };
    int error = p9_init(&other, &options);

    p9_fini(&other);
    memset(&other, 0, sizeof(other));
    return error;
}

Test(p9, is_a_directory_of_a_real_file_system)
{
    make_tree();
    cr_assert_eq(try(inside, "a", 0), 0);
    cr_assert_eq(try(inside, "a", 4), 0);
    cr_assert_eq(try(inside, "a", 2), -EINVAL);
    cr_assert_eq(try(inside, "a", 256), -EINVAL);
    cr_assert_eq(try(inside, "", 0), -EINVAL);
    cr_assert_eq(try(inside, "123456789012345678901234567890123", 0), -EINVAL);
    cr_assert_eq(try(open("/dev/null", O_RDONLY), "a", 0), -ENOTDIR);
    cr_assert_eq(try(open("/proc/self", O_PATH), "a", 0), -EINVAL);
    cr_assert_eq(try(-1, "a", 0), -EBADF);
}

/* ---- Sessions --------------------------------------------------------------
 */

TestSuite(p9_session, .init = set_up, .fini = remove_tree);

Test(p9_session, negotiates_the_size_of_messages)
{
    char name[16];

    cr_assert_eq(version(8192, P9_VERSION_NAME), 0);
    cr_assert_eq(take(4), 8192);
    take_text(name);
    cr_assert_str_eq(name, P9_VERSION_NAME);
    cr_assert_eq(version(P9_MSIZE_MIN - 1, P9_VERSION_NAME), -EMSGSIZE);
    cr_assert_eq(version(UINT32_MAX, P9_VERSION_NAME), 0);
    cr_assert_eq(take(4), P9_MSIZE_MAX);
}

Test(p9_session, knows_one_version)
{
    char name[16];

    cr_assert_eq(version(8192, "9P2000.u"), 0);
    take(4);
    take_text(name);
    cr_assert_str_eq(name, "unknown");
    cr_assert_eq(attach(5), -EPROTO);
}

Test(p9_session, begins_without_fids)
{
    cr_assert_eq(open_path(2, "hello", O_RDONLY), 0);
    cr_assert_eq(p9.fids->open, 1);
    cr_assert_eq(version(8192, P9_VERSION_NAME), 0);
    cr_assert_eq(p9.fids->open, 0);
    cr_assert_eq(clunk(2), -EBADF);
    cr_assert_eq(clunk(ROOT), -EBADF);
}

Test(p9_session, ends_with_a_reset)
{
    cr_assert_eq(open_path(2, "hello", O_RDONLY), 0);
    bring_up();
    cr_assert_eq(p9.fids->open, 0);
    cr_assert_eq(attach(ROOT), -EPROTO);
    cr_assert_eq(version(8192, P9_VERSION_NAME), 0);
    cr_assert_eq(attach(ROOT), 0);
}

Test(p9_session, has_one_tree_and_no_secrets)
{
    begin(P9_ATTACH);
    put(9, 4);
    put(P9_NO_FID, 4);
    put_text("root");
    put_text("/etc");
    put(0, 4);
    cr_assert_eq(call(), -ENOENT);
    cr_assert_eq(attach(ROOT), -EEXIST);
    begin(P9_AUTH);
    put(3, 4);
    cr_assert_eq(call(), -EOPNOTSUPP);
}

Test(p9_session, refuses_what_it_does_not_know)
{
    for (unsigned type = 0; type < 256; type++) {
        bool odd = type & 1;

        if (!odd && type >= P9_STATFS && type <= P9_REMOVE)
            continue;
        begin((uint8_t)type);
        cr_assert_eq(call(), -EOPNOTSUPP, "type %u", type);
    }
    begin(P9_XATTRWALK);
    cr_assert_eq(call(), -EOPNOTSUPP);
}

Test(p9_session, flushes_what_is_answered_already)
{
    begin(P9_FLUSH);
    put(6, 2);
    cr_assert_eq(call(), 0);
}

/* ---- Walking ---------------------------------------------------------------
 */

TestSuite(p9_walk, .init = set_up, .fini = remove_tree);

Test(p9_walk, goes_down_and_names_each_file)
{
    struct stat deep;

    cr_assert_eq(walk(ROOT, 2, "sub/deep/leaf"), 0);
    cr_assert_eq(take(1), P9_QID_DIRECTORY);
    reply += 12;
    cr_assert_eq(take(1), P9_QID_DIRECTORY);
    take(4);
    cr_assert_eq(fstatat(inside, "sub/deep", &deep, 0), 0);
    cr_assert_eq(take(8), deep.st_ino);
    cr_assert_eq(take(1), P9_QID_FILE);
    cr_assert_eq(walk(ROOT, 3, "link"), 0);
    cr_assert_eq(take(1), P9_QID_SYMLINK);
}

Test(p9_walk, copies_a_fid)
{
    cr_assert_eq(walk(ROOT, 2, "sub"), 0);
    cr_assert_eq(walk(2, 3, ""), 0);
    cr_assert_eq(walk(2, 2, "deep"), 0, "itself moves on");
    cr_assert_eq(walk(2, 4, "leaf"), 0);
    cr_assert_eq(walk(3, 5, "leaf"), -ENOENT);
    cr_assert_eq(walk(3, 4, ""), -EEXIST);
    cr_assert_eq(walk(77, 78, ""), -EBADF);
}

Test(p9_walk, tells_how_far_it_came)
{
    cr_assert_eq(walk(ROOT, 2, "sub/nothing/leaf"), -ECHILD);
    cr_assert_eq(reply[-2], 1);
    cr_assert_eq(clunk(2), -EBADF, "no fid is made");
    cr_assert_eq(walk(ROOT, 2, "nothing"), -ENOENT);
}

Test(p9_walk, takes_16_names)
{
    cr_assert_eq(walk(ROOT, 2, "././././././././././././././."), 0);
    cr_assert_eq(walk(ROOT, 3, "./././././././././././././././."), 0);
    cr_assert_eq(walk(ROOT, 4, "././././././././././././././././."), -EINVAL);
}

Test(p9_walk, does_not_leave_an_open_fid)
{
    cr_assert_eq(open_path(2, "sub", O_RDONLY), 0);
    cr_assert_eq(walk(2, 2, "deep"), -EBUSY);
    cr_assert_eq(walk(2, 3, "deep"), 0);
}

Test(p9_walk, makes_4096_fids_and_no_more)
{
    unsigned made = 0;

    /* They collide as much as they can. */
    while (walk(ROOT, 2 + made * P9_FID_BUCKETS, "") == 0)
        made++;
    cr_assert_eq(made, P9_FIDS_MAX - 1);
    cr_assert_eq(walk(ROOT, 2 + made * P9_FID_BUCKETS, ""), -ENFILE);
    cr_assert_eq(clunk(2 + 17 * P9_FID_BUCKETS), 0);
    cr_assert_eq(walk(ROOT, 3, "hello"), 0);
    cr_assert_eq(walk(ROOT, 4, "hello"), -ENFILE);
}

/* ---- Files -----------------------------------------------------------------
 */

TestSuite(p9_file, .init = set_up, .fini = remove_tree);

Test(p9_file, is_read_where_one_likes)
{
    cr_assert_eq(open_path(2, "hello", O_RDONLY), 0);
    reply += P9_QID_BYTES;
    cr_assert_eq(take(4), 1u << 20, "iounit");
    cr_assert_eq(read_fid(2, 0, 100), 13);
    cr_assert_eq(memcmp(reply, "hello, guest\n", 13), 0);
    cr_assert_eq(read_fid(2, 7, 5), 5);
    cr_assert_eq(memcmp(reply, "guest", 5), 0);
    cr_assert_eq(read_fid(2, 13, 100), 0);
    cr_assert_eq(read_fid(2, 0, 0), 0);
    cr_assert_eq(read_fid(2, UINT64_MAX, 1), -EINVAL);
    cr_assert_eq(p9.read_bytes, 18);
}

Test(p9_file, is_written)
{
    cr_assert_eq(open_path(2, "hello", O_RDWR), 0);
    cr_assert_eq(write_fid(2, 7, "world"), 5);
    cr_assert_eq(write_fid(2, 0, ""), 0);
    assert_file(inside, "hello", "hello, world\n");
    cr_assert_eq(p9.written_bytes, 5);
}

Test(p9_file, is_appended_to)
{
    cr_assert_eq(open_path(2, "hello", O_WRONLY | O_APPEND), 0);
    cr_assert_eq(write_fid(2, 0, "more\n"), 5);
    assert_file(inside, "hello", "hello, guest\nmore\n");
}

Test(p9_file, is_created_and_open)
{
    struct stat made;

    cr_assert_eq(walk(ROOT, 2, "sub"), 0);
    cr_assert_eq(lcreate(2, "new", O_RDWR | O_EXCL, 06751), 0);
    cr_assert_eq(write_fid(2, 0, "new\n"), 4);
    assert_file(inside, "sub/new", "new\n");
    cr_assert_eq(fstatat(inside, "sub/new", &made, 0), 0);
    cr_assert_eq(made.st_mode, S_IFREG | 0751, "without set-id bits");
    cr_assert_eq(walk(ROOT, 3, ""), 0);
    cr_assert_eq(lcreate(3, "hello", O_RDWR | O_EXCL, 0644), -EEXIST);
    cr_assert_eq(lcreate(3, "fifo", O_RDWR, 0644), -EACCES);
    cr_assert_eq(lcreate(3, "out", O_RDWR, 0644), -ELOOP);
    cr_assert_eq(lcreate(3, "hello", O_RDWR | O_TRUNC, 0644), 0);
    assert_file(inside, "hello", "");
}

Test(p9_file, can_be_opened_once)
{
    cr_assert_eq(open_path(2, "hello", O_RDONLY), 0);
    cr_assert_eq(lopen(2, O_RDONLY), -EINVAL);
    cr_assert_eq(lcreate(2, "new", O_RDWR, 0644), -EINVAL);
}

Test(p9_file, stays_open_without_a_name)
{
    cr_assert_eq(open_path(2, "hello", O_RDWR), 0);
    cr_assert_eq(unlink_in(ROOT, "hello", 0), 0);
    cr_assert_not(is_there(inside, "hello"));
    cr_assert_eq(read_fid(2, 0, 5), 5);
    cr_assert_eq(getattr(2), 0);
    cr_assert_eq(setattr(2, (struct set){.valid = P9_SET_SIZE, .size = 3}), 0);
    cr_assert_eq(read_fid(2, 0, 5), 3);
    cr_assert_eq(clunk(2), 0);
}

Test(p9_file, is_open_for_what_was_asked)
{
    cr_assert_eq(open_path(2, "hello", O_RDONLY), 0);
    cr_assert_eq(write_fid(2, 0, "x"), -EBADF);
    cr_assert_eq(open_path(3, "hello", O_WRONLY), 0);
    cr_assert_eq(read_fid(3, 0, 1), -EBADF);
    cr_assert_eq(open_path(4, "hello", O_ACCMODE), -EINVAL);
    cr_assert_eq(read_fid(4, 0, 1), -EBADF, "not open");
    cr_assert_eq(read_fid(99, 0, 1), -EBADF);
}

Test(p9_file, is_synced)
{
    cr_assert_eq(open_path(2, "hello", O_RDWR), 0);
    begin(P9_FSYNC);
    put(2, 4);
    put(0, 4);
    cr_assert_eq(call(), 0);
    begin(P9_FSYNC);
    put(ROOT, 4);
    put(1, 4);
    cr_assert_eq(call(), -EBADF);
}

Test(p9_file, opens_1024_and_no_more)
{
    unsigned made = 0;

    for (; open_path(2 + made, "hello", O_RDONLY) == 0; made++)
        ;
    /* Unless the host's own limit came first. */
    cr_assert(made == P9_OPEN_MAX || lopen(2 + made, O_RDONLY) == -EMFILE);
    cr_assert_eq(p9.fids->open, made);
    cr_assert_eq(clunk(2), 0);
    cr_assert_eq(lopen(2 + made, O_RDONLY), 0);
}

Test(p9_file, takes_a_mebibyte_at_once)
{
    const uint32_t bytes = 1u << 20;

    room = bytes + 64;
    cr_assert_eq(walk(ROOT, 2, ""), 0);
    cr_assert_eq(lcreate(2, "large", O_RDWR, 0644), 0);
    begin(P9_WRITE);
    put(2, 4);
    put(0, 8);
    put(bytes, 4);
    memset(request, 'w', bytes);
    request += bytes;
    cr_assert_eq(call(), 0);
    cr_assert_eq(take(4), bytes);
    cr_assert_eq(read_fid(2, 0, UINT32_MAX), bytes);
    for (uint32_t i = 0; i < bytes; i++)
        cr_assert_eq(reply[i], 'w');
}

Test(p9_file, is_locked_by_its_guest_alone)
{
    cr_assert_eq(open_path(2, "hello", O_RDWR), 0);
    begin(P9_LOCK);
    put(2, 4);
    put(1, 1);
    put(0, 4);
    put(0, 8);
    put(0, 8);
    put(55, 4);
    put_text("guest");
    cr_assert_eq(call(), 0);
    cr_assert_eq(take(1), P9_LOCK_SUCCESS);
    begin(P9_GETLOCK);
    put(2, 4);
    put(1, 1);
    put(10, 8);
    put(20, 8);
    put(55, 4);
    put_text("guest");
    cr_assert_eq(call(), 0);
    cr_assert_eq(take(1), P9_LOCK_UNLOCKED);
    cr_assert_eq(take(8), 10);
}

/* ---- Directories -----------------------------------------------------------
 */

TestSuite(p9_directory, .init = set_up, .fini = remove_tree);

static int readdir_fid(uint32_t fid, uint64_t offset, uint32_t bytes)
{
    begin(P9_READDIR);
    put(fid, 4);
    put(offset, 8);
    put(bytes, 4);
    return call();
}

/* Reads all of it, `bytes` at a time. Returns how many entries there are. */
static unsigned list(uint32_t fid, uint32_t bytes, uint64_t above)
{
    uint64_t offset = 0;
    unsigned count = 0;

    for (;;) {
        cr_assert_eq(readdir_fid(fid, offset, bytes), 0);
        uint32_t got = (uint32_t)take(4);
        cr_assert_leq(got, bytes);
        if (got == 0)
            return count;
        for (const uint8_t *end = reply + got; reply < end; count++) {
            char name[256];

            uint8_t type = (uint8_t)take(1);
            take(4);
            uint64_t inode = take(8);
            offset = take(8);
            uint8_t kind = (uint8_t)take(1);
            take_text(name);
            cr_assert_eq(type == P9_QID_DIRECTORY, kind == DT_DIR);
            if (strcmp(name, "..") == 0)
                cr_assert_eq(inode, above);
        }
    }
}

Test(p9_directory, is_read_in_pieces)
{
    struct stat root;

    cr_assert_eq(fstat(inside, &root), 0);
    cr_assert_eq(open_path(2, "", O_RDONLY | O_DIRECTORY), 0);
    /* . .. hello sub link out up fifo; nothing is told of what is above */
    cr_assert_eq(list(2, 4096, root.st_ino), 8);
    cr_assert_eq(list(2, 60, root.st_ino), 8);
    cr_assert_eq(open_path(3, "sub", O_RDONLY), 0);
    cr_assert_eq(list(3, 4096, root.st_ino), 3);
}

Test(p9_directory, with_many_files_is_read_whole)
{
    struct stat root;
    char name[64];

    for (unsigned i = 0; i < 2000; i++) {
        snprintf(name, sizeof(name), "sub/deep/%u-%.*s", i, (int)(i % 40),
                 "0123456789012345678901234567890123456789");
        make_file(inside, name, "");
    }
    room = 0x10000;
    cr_assert_eq(open_path(2, "sub/deep", O_RDONLY), 0);
    cr_assert_eq(fstatat(inside, "sub", &root, 0), 0);
    cr_assert_eq(list(2, 0x10000, root.st_ino), 2003);
}

Test(p9_directory, wants_room_for_an_entry)
{
    cr_assert_eq(open_path(2, "", O_RDONLY), 0);
    cr_assert_eq(readdir_fid(2, 0, 20), -EINVAL);
    cr_assert_eq(open_path(3, "hello", O_RDONLY), 0);
    cr_assert_eq(readdir_fid(3, 0, 100), -ENOTDIR);
    cr_assert_eq(read_fid(2, 0, 10), -EISDIR);
    cr_assert_eq(open_path(4, "sub", O_RDWR), -EISDIR);
    cr_assert_eq(open_path(5, "hello", O_RDONLY | O_DIRECTORY), -ENOTDIR);
    cr_assert_eq(readdir_fid(ROOT, 0, 100), -EBADF);
}
