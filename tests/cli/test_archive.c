/* SPDX-License-Identifier: MIT */
/* The guest's files: what Linux says of the same calls, --files, input. */
#include <stdio.h>
#include <string.h>

#include "tests/cli/cli_test.h"

static struct shell shell;

TestSuite(guest_files, .timeout = 240);

/* ---- Calls -------------------------------------------------------------- */

Test(guest_files, calls_return_what_linux_returns)
{
    run_shell(&shell, "test -e $images/../../images/files/expected.txt");
    if (shell.status)
        cr_skip_test("no sources here");
    expect_status(&shell, 0,
                  "$mayfly run $images/files.elf >$dir/out\n"
                  "diff $images/../../images/files/expected.txt $dir/out");
    cr_assert_str_eq(shell.out, "");
}

/* ---- Input -------------------------------------------------------------- */

/* Input that comes bit by bit is waited for in each of these ways. */
Test(guest_files, input_is_polled)
{
    static const char *const ways[] = {"poll", "select", "epoll", "nonblock"};

    for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        char script[256];

        snprintf(script, sizeof(script),
                 ": >$dir/err\n"
                 "{ echo a\n"
                 "    until grep -q waits $dir/err; do sleep 0.02; done\n"
                 "    echo b; } | "
                 "$mayfly run $images/input.elf -- %s 2>$dir/err\n"
                 "cat $dir/err",
                 ways[i]);
        expect_status(&shell, 0, script);
        cr_assert_str_eq(shell.out, "a\nb\nwaits\nend\n", "%s: %s", ways[i],
                         shell.out);
    }
}

Test(guest_files, polled_input_is_complete)
{
    expect_status(&shell, 0,
                  "head -c 300001 /dev/urandom >$dir/in\n"
                  "$mayfly run $images/input.elf -- poll <$dir/in | "
                  "cmp - $dir/in");
    expect_status(&shell, 0,
                  "head -c 300001 /dev/urandom >$dir/in\n"
                  "cat $dir/in | $mayfly run $images/input.elf -- epoll | "
                  "cmp - $dir/in");
}

/* ---- An archive in the image -------------------------------------------- */

Test(guest_files, the_image_has_files)
{
    expect_status(&shell, 0,
                  "$mayfly run $images/archive.elf -- /etc/motd /data /deep");
    cr_assert_str_eq(shell.out, "f 0644 /etc/motd 15 10095 0\n"
                                "d 0755 /data\n"
                                "f 0644 /data/empty 0 0 0\n"
                                "f 0644 /data/numbers 13893 4192023226 0\n"
                                "d 0755 /deep\n"
                                "d 0755 /deep/directory\n"
                                "f 0755 /deep/directory/script 10 4104 0\n"
                                "l /deep/link -> ../etc/motd\n");
}

Test(guest_files, a_file_of_the_image_can_be_changed)
{
    expect_status(&shell, 0,
                  "$mayfly run $images/archive.elf -- +/etc/motd /etc/motd");
    cr_assert(strstr(shell.out, "f 0644 /etc/motd 24 26548 "), "%s", shell.out);
}

Test(guest_files, the_archive_in_an_image_is_reproducible)
{
    need_programs("gcc");
    expect_status(&shell, 0,
                  "cc=$images/../mayfly-cc source=$images/../../images/echo\n"
                  "mkdir $dir/a; echo text >$dir/a/file\n"
                  "$cc --files $dir/a $source/main.c -o $dir/1\n"
                  "cp -r $dir/a $dir/b; touch -d 2001-01-01 $dir/b/file\n"
                  "$cc $source/main.c --files=$dir/b -o $dir/2\n"
                  "cmp $dir/1 $dir/2");
    run_shell(&shell, "$images/../mayfly-cc --files /nowhere x.c");
    cr_assert_neq(shell.status, 0);
    cr_assert(strstr(shell.err, "neither a directory nor a file"));
}

/* ---- An archive from the command line ----------------------------------- */

#define MAKE_FILES                                             \
    "mkdir -p $dir/f/a/b; echo hi >$dir/f/a/b/hi\n"            \
    "touch -d @1000 $dir/f/a/b/hi; ln -s b/hi $dir/f/a/link\n" \
    "name=$(head -c 200 /dev/zero | tr '\\0' x)\n"             \
    "mkdir $dir/f/$name; echo long >$dir/f/$name/$name\n"      \
    "touch -d @1000 $dir/f/$name/$name\n"

static void expect_files(void)
{
    cr_assert(strstr(shell.out, "d 0755 /a\nd 0755 /a/b\n"
                                "f 0644 /a/b/hi 3 344 1000\n"
                                "l /a/link -> b/hi\n"),
              "%s", shell.out);
    cr_assert(strstr(shell.out, "xxx 5 1122 1000\n"), "%s", shell.out);
    cr_assert(strstr(shell.out, "/etc/motd 15"), "%s", shell.out);
}

#define RUN "$mayfly run $options $images/archive.elf -- /a /$name /etc/motd\n"

Test(guest_files, a_directory_becomes_files)
{
    expect_status(&shell, 0,
                  "umask 022\n" MAKE_FILES "options=\"--files $dir/f\"\n" RUN);
    expect_files();
}

Test(guest_files, archives_of_several_formats_become_files)
{
    static const char *const formats[] = {"gnu", "pax"};

    run_shell(&shell, "tar --version | grep GNU");
    if (shell.status)
        cr_skip_test("no GNU tar here");
    for (unsigned i = 0; i < 2; i++) {
        char script[1024];

        snprintf(script, sizeof(script),
                 "umask 022\n" MAKE_FILES
                 "tar --format=%s -C $dir/f -cf $dir/t . || exit\n"
                 "options=\"--files $dir/t\"\n" RUN,
                 formats[i]);
        expect_status(&shell, 0, script);
        expect_files();
    }
}

Test(guest_files, disks_keep_their_numbers)
{
    expect_status(&shell, 0,
                  "truncate -s 2M $dir/d; mkdir $dir/f; echo x >$dir/f/x\n"
                  "$mayfly run --files $dir/f --disk $dir/d,id=first "
                  "$images/disk.elf -- info");
    cr_assert(strstr(shell.out, "disk 0: 4096 sectors writable id 'first'\n") ||
                  strstr(shell.out, "id 'first'\ndisk 1"),
              "%s", shell.out);
    cr_assert(strstr(shell.out, "read-only id 'files'"), "%s", shell.out);
}

Test(guest_files, what_cannot_be_used_is_refused)
{
    static const struct {
        const char *script, *message;
    } cases[] = {
        {"$mayfly run --files $dir/no x", "No such file"},
        {"$mayfly run --files /dev/null x", "neither a directory nor"},
        {"mkfifo $dir/f; $mayfly run --files $dir x", "neither a file nor"},
        {": >$dir/e; $mayfly run --files $dir/e x", "too small"},
        {"truncate -s 1100M $dir/e; $mayfly run --files $dir x",
         "more than 1 GiB"},
        {"$mayfly run --files a --files b x", "given once"},
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char script[512], *at;

        snprintf(script, sizeof(script), "%s", cases[i].script);
        at = strrchr(script, 'x');
        strcpy(at, "$images/hello.elf");
        expect_status(&shell, 125, script);
        cr_assert(strstr(shell.err, cases[i].message), "%s", shell.err);
    }
}

Test(guest_files, an_archive_that_is_none_ends_the_guest)
{
    expect_status(&shell, 126,
                  "head -c 4096 /dev/urandom >$dir/t\n"
                  "$mayfly run --files $dir/t $images/archive.elf -- /a");
    cr_assert_str_eq(shell.err,
                     "mayfly: the archive of files: it is not a tar archive\n");
    /* A guest that opens nothing does not look. */
    expect_status(&shell, 0,
                  "head -c 4096 /dev/urandom >$dir/t\n"
                  "$mayfly run --files $dir/t $images/hello.elf");
}
