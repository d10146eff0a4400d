/* SPDX-License-Identifier: MIT */
/* --disk: its words, its files, their locks, and where the bytes go. */
#include <stdio.h>
#include <string.h>

#include "tests/cli/cli_test.h"

static struct shell shell;

TestSuite(disk_option, .timeout = 240);

/* A script that fails before a VM exists: status 125 and a message. */
static void assert_refused(const char *script, const char *message)
{
    run_shell(&shell, script);
    cr_assert_eq(shell.status, 125, "%s: status %d", script, shell.status);
    cr_assert(strstr(shell.err, message), "%s: %s", script, shell.err);
    cr_assert_str_eq(shell.out, "");
}

#define MAKE_DISK "truncate -s 2M $dir/d\n"
#define RUN       "$mayfly run --disk $dir/d $images/disk.elf -- "

/* ---- Words ----------------------------------------------------------- */

Test(disk_option, bad_words_are_refused)
{
    assert_refused("$mayfly run --disk x", "an image is needed");
    assert_refused("$mayfly run --disk", "--disk needs a value");
    assert_refused("$mayfly run --disk '' x", "--disk needs a file");
    assert_refused("$mayfly run --disk ,ro x", "--disk needs a file");
    assert_refused("$mayfly run --disk d, x", "not ''");
    assert_refused("$mayfly run --disk d,rw x", "not 'rw'");
    assert_refused("$mayfly run --disk d,ro,RO x", "not 'RO'");
    assert_refused("$mayfly run --disk d,id x", "not 'id'");
    assert_refused("$mayfly run --disk d,id= x", "1 to 20 bytes");
    assert_refused("$mayfly run --disk d,id=123456789012345678901 x",
                   "1 to 20 bytes");
}

Test(disk_option, more_than_eight_are_refused)
{
    assert_refused("$mayfly run --disk 1 --disk 2 --disk 3 --disk 4 --disk 5 "
                   "--disk 6 --disk 7 --disk 8 --disk 9 x",
                   "at most 8 disks");
}

Test(disk_option, good_words_are_taken_in_any_order)
{
    expect_status(&shell, 0,
                  MAKE_DISK
                  "cp $dir/d $dir/e\n"
                  "$mayfly run --disk $dir/d,id=12345678901234567890,ro \\\n"
                  "    --disk $dir/e,ro,id=b --disk $dir/d,ro \\\n"
                  "    $images/disk.elf -- info");
    cr_assert_str_eq(shell.out, "disk 0: 4096 sectors read-only id "
                                "'12345678901234567890'\n"
                                "disk 1: 4096 sectors read-only id 'b'\n"
                                "disk 2: 4096 sectors read-only id ''\n");
}

/* ---- Files ----------------------------------------------------------- */

#define ON(file) "$mayfly run --disk " file " $images/hello.elf"

Test(disk_option, files_that_are_no_disks_are_refused)
{
    assert_refused(ON("$dir/none"), "/none: No such file or directory");
    assert_refused(ON("$dir"), "Is a directory");
    assert_refused(ON("$dir,ro"), "it is a directory");
    assert_refused(ON("/dev/null"), "neither a regular file nor a block");
    assert_refused("mkfifo $dir/f\n" ON("$dir/f"), "neither a regular file");
    assert_refused("mkfifo $dir/f\n" ON("$dir/f,ro"), "neither a regular file");
    assert_refused(": >$dir/d\n" ON("$dir/d"), "smaller than a sector");
    assert_refused("truncate -s 511 $dir/d\n" ON("$dir/d"),
                   "smaller than a sector");
}

Test(disk_option, the_last_sector_is_the_last_whole_one)
{
    expect_status(&shell, 0, "truncate -s 1535 $dir/d\n" RUN "info read 1 1");
    cr_assert(strstr(shell.out, "disk 0: 2 sectors"), "%s", shell.out);
    expect_status(&shell, 1, "truncate -s 1535 $dir/d\n" RUN "read 2 1");
    cr_assert_str_eq(shell.err, "read: Invalid argument\n");
}

Test(disk_option, a_file_that_may_only_be_read_is_enough_for_ro)
{
    expect_status(&shell, 0,
                  MAKE_DISK
                  "chmod 444 $dir/d\n"
                  "$mayfly run --disk $dir/d,ro $images/disk.elf -- info");
    expect_status(&shell, 1,
                  MAKE_DISK
                  "$mayfly run --disk $dir/d,ro $images/disk.elf -- fill 0 1");
    cr_assert_str_eq(shell.err, "fill: Read-only file system\n");
}

/* ---- Locks ----------------------------------------------------------- */

/* A VM holds the disk while a second one asks for it. */
#define WHILE_HELD(words, then)                                            \
    MAKE_DISK "mkfifo $dir/hold\n"                                         \
              "$mayfly run --disk $dir/d" words                            \
              " $images/disk.elf -- info wait \\\n"                        \
              "    <$dir/hold >$dir/out &\n"                               \
              "exec 3>$dir/hold\n"                                         \
              "until grep -q sectors $dir/out; do sleep 0.01; done\n" then \
              "\nstatus=$?\necho >&3\nwait $! || exit 99\nexit $status"

#define SECOND(words) \
    "$mayfly run --disk $dir/d" words " $images/disk.elf -- read 0 1"

Test(disk_option, a_disk_has_one_writer_or_readers_only)
{
    expect_status(&shell, 125, WHILE_HELD("", SECOND("")));
    cr_assert(strstr(shell.err, "one writer, or readers only"), "%s",
              shell.err);
    expect_status(&shell, 125, WHILE_HELD("", SECOND(",ro")));
    cr_assert(strstr(shell.err, "someone may write to it"), "%s", shell.err);
    expect_status(&shell, 125, WHILE_HELD(",ro", SECOND("")));
    expect_status(&shell, 0, WHILE_HELD(",ro", SECOND(",ro")));
}

Test(disk_option, the_lock_ends_with_the_vm)
{
    expect_status(&shell, 0, MAKE_DISK RUN "info\n" RUN "info");
}

Test(disk_option, one_vm_cannot_have_a_disk_twice)
{
    expect_status(&shell, 125,
                  MAKE_DISK "$mayfly run --disk $dir/d --disk $dir/d \\\n"
                            "    $images/disk.elf -- info");
}

/* ---- Bytes ----------------------------------------------------------- */

Test(disk_option, the_guest_reads_what_the_file_has)
{
    expect_status(&shell, 0,
                  "head -c 3000320 /dev/urandom >$dir/d\n" RUN
                  "dump 0 5860 >$dir/out\n"
                  "cmp $dir/d $dir/out");
}

Test(disk_option, the_file_has_what_the_guest_wrote_and_nothing_else)
{
    expect_status(&shell, 0,
                  "head -c 2097152 /dev/urandom >$dir/d\n"
                  "cp $dir/d $dir/before\n" RUN "fill 100 3000 flush || exit\n"
                  "for f in d before; do\n"
                  "    head -c 51200 $dir/$f >$dir/$f.head\n"
                  "    tail -c +1587201 $dir/$f >$dir/$f.tail\n"
                  "done\n"
                  "cmp $dir/d.head $dir/before.head || exit\n"
                  "cmp $dir/d.tail $dir/before.tail || exit\n" RUN
                  "verify 100 3000");
    cr_assert_str_eq(shell.out, "as written\n");
}

Test(disk_option, direct_access_sees_the_same_bytes)
{
    need_kvm();
    run_shell(&shell, MAKE_DISK
              "dd if=$dir/d of=/dev/null iflag=direct bs=4096 count=1 || "
              "exit 77\n"
              "d=\"$mayfly run --disk $dir/d,direct $images/disk.elf --\"\n"
              "$d fill 0 4096 flush && $d verify 0 4096 && " RUN
              "verify 0 4096");
    if (shell.status == 77)
        cr_skip_test("the file system has no O_DIRECT");
    cr_assert_eq(shell.status, 0, "%s", shell.err);
    cr_assert_str_eq(shell.out, "as written\nas written\n");
}

Test(disk_option, an_error_of_the_host_reaches_the_guest)
{
    expect_status(&shell, 1,
                  MAKE_DISK
                  "mkfifo $dir/hold\n" RUN "info wait read 4095 1 \\\n"
                  "    <$dir/hold >$dir/out &\n"
                  "exec 3>$dir/hold\n"
                  "until grep -q sectors $dir/out; do sleep 0.01; done\n"
                  "truncate -s 1M $dir/d\n"
                  "echo >&3\n"
                  "wait $!");
    cr_assert(strstr(shell.err, "read: I/O error\n"), "%s", shell.err);
}

Test(disk_option, a_limit_on_file_sizes_is_an_error_and_not_the_end)
{
    expect_status(&shell, 1, MAKE_DISK "ulimit -f 16\n" RUN "fill 0 4096");
    cr_assert(strstr(shell.err, "fill: I/O error\n"), "%s", shell.err);
}

Test(disk_option, statistics_count_what_each_disk_did)
{
    static const char disks[] =
        "\"disks\": [\n"
        "    {\"requests\": 3, \"read_bytes\": 0, \"written_bytes\": 5120, "
        "\"flushes\": 1, \"errors\": 0},\n"
        "    {\"requests\": 1, \"read_bytes\": 0, \"written_bytes\": 0, "
        "\"flushes\": 0, \"errors\": 0}\n"
        "  ],\n";

    expect_status(&shell, 0,
                  MAKE_DISK
                  "cp $dir/d $dir/e\n"
                  "$mayfly run --stats --disk $dir/d --disk $dir/e \\\n"
                  "    $images/disk.elf -- info fill 0 10 flush");
    cr_assert(is_json(shell.err), "%s", shell.err);
    cr_assert(strstr(shell.err, disks), "%s", shell.err);
    cr_assert_eq(json_number(shell.err, "exits_hypercall"), 5);
    expect_status(&shell, 0, "$mayfly run --stats $images/hello.elf");
    cr_assert(is_json(shell.err), "%s", shell.err);
    cr_assert(strstr(shell.err, "\"disks\": [],\n"), "%s", shell.err);
}
