/* SPDX-License-Identifier: MIT */
/* --disk FILE,mount=PATH: files that outlast the VM, however it ends. */
#include <string.h>

#include "tests/cli/cli_test.h"

static struct shell shell;

TestSuite(mount_option, .timeout = 240);

#define MAKE_DISK                  \
    "PATH=$PATH:/sbin:/usr/sbin\n" \
    "truncate -s 16M $dir/d\n"     \
    "mke2fs -q -F -t ext4 $dir/d || exit 99\n"
#define RUN(words) \
    "$mayfly run --disk $dir/d,mount=/data" words " $images/persist.elf -- "
#define CHECK \
    "e2fsck -fn $dir/d >$dir/fsck 2>&1 || { cat $dir/fsck; exit 98; }\n"

Test(mount_option, bad_paths_are_refused)
{
    run_shell(&shell, "$mayfly run --disk d,mount=data x");
    cr_assert_eq(shell.status, 125);
    cr_assert(strstr(shell.err, "an absolute path"), "%s", shell.err);
    run_shell(&shell, "$mayfly run --disk d,mount= x");
    cr_assert_eq(shell.status, 125);
}

Test(mount_option, direct_access_is_refused)
{
    run_shell(&shell, "$mayfly run --disk d,mount=/data,direct x");
    cr_assert_eq(shell.status, 125);
    cr_assert(strstr(shell.err, "mount= or direct, not both: "), "%s",
              shell.err);
    cr_assert(strstr(shell.err, "not aligned"), "%s", shell.err);
}

Test(mount_option, programs_do_with_files_what_they_do_elsewhere)
{
    need_programs("mke2fs e2fsck");
    expect_status(&shell, 0, MAKE_DISK RUN("") "calls\n" CHECK);
    cr_assert_str_eq(shell.out, "calls: ok\n", "%s", shell.out);
}

Test(mount_option, threads_share_a_disk)
{
    need_programs("mke2fs e2fsck");
    expect_status(&shell, 0, MAKE_DISK RUN("") "threads\n" CHECK);
    cr_assert_str_eq(shell.out, "threads: ok\n", "%s", shell.out);
}

/* With the device's own thread both really wait, in the middle of their calls.
 */
Test(mount_option, threads_at_one_name_have_one_winner)
{
    need_programs("mke2fs e2fsck");
    expect_status(&shell, 0,
                  MAKE_DISK "for io in inline thread; do\n"
                            "$mayfly run --io $io --disk $dir/d,mount=/data "
                            "$images/races.elf -- /data 20 || exit\n"
                            "done\n" CHECK);
    cr_assert(strstr(shell.out, "17 of 17 races\n"), "%s", shell.out);
}

/* The second VM has none of it in its cache, so that mmap waits for the disk.
 */
Test(mount_option, threads_that_map_a_file_at_once_share_its_pages)
{
    need_programs("mke2fs e2fsck");
    expect_status(&shell, 0,
                  MAKE_DISK RUN("") "mapped\n" RUN("") "map\n" CHECK);
    cr_assert_str_eq(shell.out, "map: ok\n", "%s", shell.out);
}

/*
 * The monitor is killed when the guest has promised some records; the next VM
 * finds them, and so it goes on. What the last one leaves is clean.
 */
Test(mount_option, a_killed_monitor_loses_nothing_that_was_synced)
{
    need_programs("mke2fs e2fsck");
    expect_status(
        &shell, 0,
        MAKE_DISK
        "for round in 1 2 3 4; do\n"
        "    " RUN(
            "") "write >$dir/out &\n"
                "    pid=$!\n"
                "    for i in $(seq 1000); do\n"
                "        [ $(wc -l <$dir/out) -lt $((round * 3)) ] || break\n"
                "        sleep 0.02\n"
                "    done\n"
                "    kill -9 $pid\n"
                "    wait $pid 2>/dev/null\n"
                "    told=$(sed -n 's/^synced \\([0-9]*\\)$/\\1/p' $dir/out | "
                "tail -1)\n"
                "    [ -n \"$told\" ] || exit 97\n"
                "    cp $dir/d $dir/copy\n"
                "    e2fsck -p $dir/copy >$dir/fsck || [ $? = 1 ] || exit 96\n"
                "    e2fsck -fn $dir/copy >$dir/fsck 2>&1 || exit 95\n"
                "    " RUN("") "check $told || exit 94\n"
                               "    " CHECK "done\n");
}

Test(mount_option, what_nobody_synced_is_kept_after_some_seconds)
{
    need_programs("mke2fs e2fsck");
    expect_status(
        &shell, 0,
        MAKE_DISK RUN("") "lazy >$dir/out &\n"
                          "for i in $(seq 1000); do\n"
                          "    ! grep -q waited $dir/out || break\n"
                          "    sleep 0.02\n"
                          "done\n"
                          "kill -9 $!\n"
                          "wait $! 2>/dev/null\n" RUN("") "check 2\n");
}

Test(mount_option, a_signal_that_ends_the_guest_leaves_the_disk_clean)
{
    need_programs("mke2fs e2fsck");
    expect_status(
        &shell, 0,
        MAKE_DISK RUN("") "killed\n[ $? = 142 ] || exit 97\n" CHECK RUN(
            "") "check 2\n");
}

Test(mount_option, a_read_only_disk_can_be_read)
{
    need_programs("mke2fs e2fsck");
    expect_status(&shell, 0,
                  MAKE_DISK RUN("") "calls\n" RUN(",ro") "check 0\n");
    cr_assert_str_eq(shell.out, "calls: ok\ncheck: 0 records, ok\n");
    run_shell(&shell, MAKE_DISK RUN(",ro") "calls\n");
    cr_assert_eq(shell.status, 1);
    cr_assert(strstr(shell.out, "Read-only file system"), "%s", shell.out);
}

Test(mount_option, a_disk_without_a_file_system_ends_the_guest)
{
    run_shell(&shell, "truncate -s 4M $dir/d\n" RUN("") "calls\n");
    cr_assert_eq(shell.status, 1);
    cr_assert(strstr(shell.err, "there is no ext4 file system"), "%s",
              shell.err);
}

Test(mount_option, an_image_without_ext4_says_so)
{
    run_shell(&shell,
              "truncate -s 4M $dir/d\n"
              "$mayfly run --disk $dir/d,mount=/data $images/files.elf\n");
    cr_assert_eq(shell.status, 1);
    cr_assert(strstr(shell.err, "mayfly-cc --ext4"), "%s", shell.err);
}
