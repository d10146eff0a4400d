/* SPDX-License-Identifier: MIT */
/* 9P: names and attributes. */
#include "tests/unit/p9_driver.h"

#include <sys/sysmacros.h>

/* ---- Names -----------------------------------------------------------------
 */

TestSuite(p9_name, .init = set_up, .fini = remove_tree);

Test(p9_name, of_a_directory_is_made_and_removed)
{
    struct stat made;

    cr_assert_eq(mkdir_in(ROOT, "dir", 07755), 0);
    cr_assert_eq(take(1), P9_QID_DIRECTORY);
    cr_assert_eq(fstatat(inside, "dir", &made, 0), 0);
    cr_assert_eq(made.st_mode & 06777, 0755);
    cr_assert_eq(mkdir_in(ROOT, "dir", 0755), -EEXIST);
    cr_assert_eq(unlink_in(ROOT, "dir", 0), -EISDIR);
    cr_assert_eq(unlink_in(ROOT, "sub", P9_UNLINK_DIRECTORY), -ENOTEMPTY);
    cr_assert_eq(unlink_in(ROOT, "dir", P9_UNLINK_DIRECTORY), 0);
    cr_assert_not(is_there(inside, "dir"));
}

Test(p9_name, of_a_link_says_what_it_was_given)
{
    char target[64];

    cr_assert_eq(symlink_in(ROOT, "new", "/etc/passwd"), 0);
    cr_assert_eq(take(1), P9_QID_SYMLINK);
    cr_assert_eq(walk(ROOT, 2, "new"), 0);
    cr_assert_eq(about(P9_READLINK, 2), 0);
    take_text(target);
    cr_assert_str_eq(target, "/etc/passwd");
    cr_assert_eq(about(P9_READLINK, ROOT), -EINVAL);
}

Test(p9_name, can_be_a_second_one)
{
    struct stat status;

    cr_assert_eq(walk(ROOT, 2, "hello"), 0);
    cr_assert_eq(walk(ROOT, 3, "sub"), 0);
    cr_assert_eq(link_in(3, 2, "twin"), 0);
    assert_file(inside, "sub/twin", "hello, guest\n");
    cr_assert_eq(walk(ROOT, 4, "out"), 0);
    cr_assert_eq(link_in(3, 4, "still"), 0);
    cr_assert_eq(fstatat(inside, "sub/still", &status, AT_SYMLINK_NOFOLLOW), 0);
    cr_assert(S_ISLNK(status.st_mode), "the link, not what it leads to");
    cr_assert_eq(link_in(3, 3, "dir"), -EPERM);
    cr_assert_eq(link_in(3, ROOT, "dir"), -EPERM);
}

Test(p9_name, is_of_a_file_or_a_fifo)
{
    cr_assert_eq(mknod_in(ROOT, "file", S_IFREG | 04644), 0);
    cr_assert_eq(mknod_in(ROOT, "pipe", S_IFIFO | 0644), 0);
    cr_assert_eq(mknod_in(ROOT, "null", S_IFCHR | 0666), -EPERM);
    cr_assert_eq(mknod_in(ROOT, "disk", S_IFBLK | 0666), -EPERM);
    cr_assert_eq(mknod_in(ROOT, "socket", S_IFSOCK | 0666), -EPERM);
    cr_assert_eq(mknod_in(ROOT, "dir", S_IFDIR | 0755), -EPERM);
    cr_assert(is_there(inside, "file") && is_there(inside, "pipe"));
    cr_assert_not(is_there(inside, "null"));
}

Test(p9_name, changes_with_what_is_below_it)
{
    cr_assert_eq(walk(ROOT, 2, "sub"), 0);
    cr_assert_eq(walk(ROOT, 3, "sub/deep/leaf"), 0);
    cr_assert_eq(mkdir_in(ROOT, "subway", 0755), 0);
    cr_assert_eq(walk(ROOT, 4, "subway"), 0);
    cr_assert_eq(rename_in(ROOT, "sub", 4, "moved"), 0);
    assert_file(inside, "subway/moved/deep/leaf", "leaf\n");
    cr_assert_eq(getattr(2), 0, "fids go with their files");
    cr_assert_eq(lopen(3, O_RDONLY), 0);
    cr_assert_eq(getattr(4), 0, "which begins alike and is not below");
    cr_assert_eq(rename_in(4, "moved", 2, "inner"), -EINVAL);
}

Test(p9_name, changes_by_its_fid)
{
    cr_assert_eq(walk(ROOT, 2, "hello"), 0);
    cr_assert_eq(walk(ROOT, 3, "sub"), 0);
    begin(P9_RENAME);
    put(2, 4);
    put(3, 4);
    put_text("hi");
    cr_assert_eq(call(), 0);
    assert_file(inside, "sub/hi", "hello, guest\n");
    cr_assert_eq(lopen(2, O_RDONLY), 0);
    begin(P9_RENAME);
    put(ROOT, 4);
    put(3, 4);
    put_text("root");
    cr_assert_eq(call(), -EBUSY);
}

Test(p9_name, is_removed_with_its_fid)
{
    cr_assert_eq(walk(ROOT, 2, "hello"), 0);
    cr_assert_eq(about(P9_REMOVE, 2), 0);
    cr_assert_not(is_there(inside, "hello"));
    cr_assert_eq(clunk(2), -EBADF);
    cr_assert_eq(walk(ROOT, 2, "sub"), 0);
    cr_assert_eq(about(P9_REMOVE, 2), -ENOTEMPTY);
    cr_assert_eq(clunk(2), -EBADF, "gone all the same");
    cr_assert_eq(walk(ROOT, 2, ""), 0);
    cr_assert_eq(about(P9_REMOVE, 2), -EBUSY);
}

Test(p9_name, may_have_255_bytes)
{
    char name[258];

    memset(name, 'n', sizeof(name));
    name[256] = '\0';
    cr_assert_eq(mkdir_in(ROOT, name, 0755), -ENAMETOOLONG);
    cr_assert_eq(walk(ROOT, 2, name), -ENAMETOOLONG);
    name[255] = '\0';
    cr_assert_eq(mkdir_in(ROOT, name, 0755), 0);
    cr_assert_eq(walk(ROOT, 2, name), 0);
}

Test(p9_name, may_lie_as_deep_as_a_path_is_long)
{
    char name[256];
    unsigned depth = 0;
    int error;

    memset(name, 'd', 255);
    name[255] = '\0';
    cr_assert_eq(walk(ROOT, 2, ""), 0);
    while ((error = mkdir_in(2, name, 0755)) == 0) {
        cr_assert_eq(walk(2, 2, name), 0);
        depth++;
    }
    cr_assert_eq(error, -ENAMETOOLONG);
    cr_assert_eq(depth, 16, "16 names of 255 bytes are a path of 4095");
}

/* ---- Attributes ------------------------------------------------------------
 */

TestSuite(p9_attribute, .init = set_up, .fini = remove_tree);

Test(p9_attribute, are_those_of_the_file_but_for_its_owner)
{
    struct stat file;

    /* Only user 0 can do that; then it shows. */
    cr_assert(fchownat(inside, "hello", 65534, 65534, 0) == 0 || geteuid());
    cr_assert_eq(fstatat(inside, "hello", &file, 0), 0);
    cr_assert_eq(walk(ROOT, 2, "hello"), 0);
    cr_assert_eq(getattr(2), 0);
    cr_assert_eq(take(8), P9_GETATTR_BASIC);
    reply += P9_QID_BYTES;
    cr_assert_eq(take(4), file.st_mode);
    cr_assert_eq(take(4), 0);
    cr_assert_eq(take(4), 0);
    cr_assert_eq(take(8), 1);
    take(8);
    cr_assert_eq(take(8), 13);
    cr_assert_eq(take(8), (uint64_t)file.st_blksize);
    take(8);
    take(16);
    cr_assert_eq(take(8), (uint64_t)file.st_mtim.tv_sec);
    cr_assert_eq(take(8), (uint64_t)file.st_mtim.tv_nsec);
}

Test(p9_attribute, of_the_mode_have_no_set_id_bits)
{
    struct stat file;
    struct set set = {.valid = P9_SET_MODE, .mode = 06700};

    cr_assert_eq(walk(ROOT, 2, "hello"), 0);
    cr_assert_eq(setattr(2, set), 0);
    cr_assert_eq(fstatat(inside, "hello", &file, 0), 0);
    cr_assert_eq(file.st_mode, S_IFREG | 0700);
    set.mode = 0640;
    cr_assert_eq(lopen(2, O_RDONLY), 0);
    cr_assert_eq(setattr(2, set), 0);
    cr_assert_eq(fstatat(inside, "hello", &file, 0), 0);
    cr_assert_eq(file.st_mode, S_IFREG | 0640);
    cr_assert_eq(walk(ROOT, 3, "out"), 0);
    cr_assert_eq(setattr(3, set), -EOPNOTSUPP);
    cr_assert_eq(fstatat(outside, "secret", &file, 0), 0);
    cr_assert_eq(file.st_mode, S_IFREG | 0644);
}

Test(p9_attribute, of_the_size_are_cut_and_grown)
{
    struct set set = {.valid = P9_SET_SIZE, .size = 5};

    cr_assert_eq(walk(ROOT, 2, "hello"), 0);
    cr_assert_eq(setattr(2, set), 0);
    assert_file(inside, "hello", "hello");
    cr_assert_eq(lopen(2, O_RDONLY), 0);
    set.size = 2;
    cr_assert_eq(setattr(2, set), 0, "open for reading, and still by its path");
    assert_file(inside, "hello", "he");
    set.size = UINT64_MAX;
    cr_assert_eq(setattr(2, set), -EINVAL);
    set.size = 1;
    cr_assert_eq(setattr(ROOT, set), -EISDIR);
    cr_assert_eq(walk(ROOT, 3, "out"), 0);
    cr_assert_eq(setattr(3, set), -ELOOP);
    cr_assert_eq(walk(ROOT, 4, "fifo"), 0);
    cr_assert_eq(setattr(4, set), -EACCES);
}

Test(p9_attribute, of_time_are_set)
{
    struct set set = {
        .valid =
            P9_SET_ATIME | P9_SET_ATIME_TO | P9_SET_MTIME | P9_SET_MTIME_TO,
        .atime = {1000, 5},
        .mtime = {2000, 6},
    };
    struct stat file;

    cr_assert_eq(walk(ROOT, 2, "hello"), 0);
    cr_assert_eq(setattr(2, set), 0);
    cr_assert_eq(fstatat(inside, "hello", &file, 0), 0);
    cr_assert(file.st_atim.tv_sec == 1000 && file.st_atim.tv_nsec == 5);
    cr_assert(file.st_mtim.tv_sec == 2000 && file.st_mtim.tv_nsec == 6);
    set.valid = P9_SET_ATIME;
    cr_assert_eq(setattr(2, set), 0);
    cr_assert_eq(fstatat(inside, "hello", &file, 0), 0);
    cr_assert_gt(file.st_atim.tv_sec, 2000, "now");
    cr_assert_eq(file.st_mtim.tv_sec, 2000, "as it was");
    set.valid = P9_SET_MTIME | P9_SET_MTIME_TO;
    set.mtime[0] = 3000;
    cr_assert_eq(setattr(ROOT, set), 0);
    cr_assert_eq(walk(ROOT, 3, "out"), 0);
    cr_assert_eq(setattr(3, set), 0);
    cr_assert_eq(fstatat(outside, "secret", &file, 0), 0);
    cr_assert_neq(file.st_mtim.tv_sec, 3000, "of the link alone");
    set.mtime[1] = 2000000000;
    cr_assert_eq(setattr(2, set), -EINVAL);
}

Test(p9_attribute, of_the_owner_cannot_be_others)
{
    struct set set = {.valid = P9_SET_UID | P9_SET_GID};

    cr_assert_eq(walk(ROOT, 2, "hello"), 0);
    cr_assert_eq(setattr(2, set), 0, "it is the guest's already");
    set.gid = UINT32_MAX;
    cr_assert_eq(setattr(2, set), 0);
    set.uid = 1000;
    cr_assert_eq(setattr(2, set), -EPERM);
}

Test(p9_attribute, of_the_file_system_are_told)
{
    cr_assert_eq(about(P9_STATFS, ROOT), 0);
    take(4);
    cr_assert_gt(take(4), 0);
    cr_assert_gt(take(8), 0);
    reply += 32;
    cr_assert_eq(take(8), 0, "but not which one it is");
    cr_assert_eq(take(4), 255);
}
