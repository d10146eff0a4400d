/* SPDX-License-Identifier: MIT */
/* --share: its words, its directories, and what a guest finds there. */
#include <stdio.h>
#include <string.h>

#include "tests/cli/cli_test.h"

static struct shell shell;

TestSuite(share_option, .timeout = 240);

/* A script that fails before a VM exists: status 125 and a message. */
static void assert_refused(const char *script, const char *message)
{
    run_shell(&shell, script);
    cr_assert_eq(shell.status, 125, "%s: status %d", script, shell.status);
    cr_assert(strstr(shell.err, message), "%s: %s", script, shell.err);
    cr_assert_str_eq(shell.out, "");
}

#define WITH(share) "$mayfly run --share " share " $images/hello.elf"

/* ---- Words --------------------------------------------------------------- */

Test(share_option, bad_words_are_refused)
{
    assert_refused("$mayfly run --share", "--share needs a value");
    assert_refused(WITH("''"), "HOSTDIR");
    assert_refused(WITH("$dir"), "HOSTDIR");
    assert_refused(WITH(":/h"), "HOSTDIR");
    assert_refused(WITH("$dir:h"), "HOSTDIR");
    assert_refused(WITH(",rw:/h"), "needs a directory");
    assert_refused(WITH("$dir,:/h"), "not ''");
    assert_refused(WITH("$dir,RW:/h"), "not 'RW'");
    assert_refused(WITH("$dir,iops=0:/h"), "iops=");
    assert_refused(WITH("$dir:/"), "a plain path");
    assert_refused(WITH("$dir:/a/../b"), "a plain path");
    assert_refused(WITH("$dir:/a//b"), "a plain path");
    assert_refused(WITH("$dir:/$(printf %01024d 0)"), "a plain path");
}

Test(share_option, paths_are_taken_once)
{
    assert_refused("$mayfly run --share $dir:/h --share /etc:/h/ x",
                   "two shares at /h");
}

Test(share_option, more_than_four_are_refused)
{
    assert_refused("$mayfly run --share /:/1 --share /:/2 --share /:/3 "
                   "--share /:/4 --share /:/5 x",
                   "at most 4 shares");
}

Test(share_option, names_may_have_colons)
{
    expect_status(&shell, 0,
                  "mkdir $dir/a:b $dir/a:b/c:\n"
                  "echo text >$dir/a:b/c:/f\n"
                  "$mayfly run --share $dir/a:b/c::/h $images/share.elf \\\n"
                  "    cat /h/f");
    cr_assert_str_eq(shell.out, "cat /h/f: text\n\n");
}

/* ---- Directories --------------------------------------------------------- */

Test(share_option, what_is_no_directory_is_refused)
{
    assert_refused(WITH("$dir/none:/h"), "/none: No such file or directory");
    assert_refused(": >$dir/f\n" WITH("$dir/f:/h"), "it is not a directory");
    assert_refused("mkfifo $dir/f\n" WITH("$dir/f:/h"), "not a directory");
    assert_refused(WITH("/proc:/h"), "the monitor itself");
    assert_refused(WITH("/proc/self/task,rw:/h"), "the monitor itself");
}

#define TREE                                               \
    "mkdir $dir/s $dir/s/sub\n"                            \
    "echo hello >$dir/s/hello; echo secret >$dir/secret\n" \
    "echo leaf >$dir/s/sub/leaf\n"                         \
    "ln -s hello $dir/s/link; ln -s ../secret $dir/s/out\n"

#define RUN(words) "$mayfly run --share $dir/s" words ":/h $images/share.elf "

Test(share_option, is_listed_and_read)
{
    expect_status(&shell, 0,
                  TREE RUN("") "ls /h -- cat /h/hello -- cat /h/link "
                               "-- cat /h/sub/leaf -- cat /h/sub/../hello "
                               "-- readlink /h/out -- stat /h/sub/leaf");
    cr_assert_str_eq(shell.out, "ls /h: hello link@ out@ sub/ (4)\n"
                                "cat /h/hello: hello\n\n"
                                "cat /h/link: hello\n\n"
                                "cat /h/sub/leaf: leaf\n\n"
                                "cat /h/sub/../hello: hello\n\n"
                                "readlink /h/out: ../secret\n"
                                "stat /h/sub/leaf: 100644 1 0:0 5\n");
}

/* Links lead where they do in the guest. */
Test(share_option, does_not_lead_outside)
{
    expect_status(&shell, 3,
                  TREE RUN("") "cat /h/out -- cat /h/../secret "
                               "-- ls /h/../h/../h/.. -- cat /h/../../secret");
    cr_assert_str_eq(shell.out,
                     "cat /h/out: No such file or directory\n"
                     "cat /h/../secret: No such file or directory\n"
                     "ls /h/../h/../h/..: dev/ etc/ h/ proc/ root/ run/ tmp/ "
                     "var/ (8)\n"
                     "cat /h/../../secret: No such file or directory\n");
}

Test(share_option, is_read_only_unless_told)
{
    expect_status(
        &shell, 9,
        TREE RUN("") "put /h/hello x -- put /h/new x -- mkdir /h/d "
                     "-- rm /h/hello -- mv /h/hello /h/x -- ln /h/hello /h/x "
                     "-- chmod /h/hello 777 -- cut /h/hello 0 -- ln-s a /h/b "
                     "&& exit 1; s=$?; [ $(cat $dir/s/hello) = hello ] || "
                     "exit 77; exit $s");
    for (const char *line = shell.out; *line; line = strchr(line, '\n') + 1)
        cr_assert(strstr(line, "Read-only file system\n"), "%s", line);
}

Test(share_option, is_written_with_rw)
{
    expect_status(
        &shell, 0,
        TREE RUN(
            ",rw") "put /h/hello bye -- append /h/hello bye "
                   "-- put /h/new new -- secret /h/s hush -- mkdir /h/d "
                   "-- mv /h/new /h/d/moved -- ln /h/d/moved /h/twin "
                   "-- ln-s hello /h/soft -- chmod /h/d/moved 6711 "
                   "-- touch /h/d/moved -- rm /h/link -- cut /h/sub/leaf 2 "
                   "-- mknod /h/fifo 10000 -- orphan /h/o >/dev/null &&\n"
                   "cd $dir/s && cat hello && cat s twin sub/leaf && \\\n"
                   "    stat -c ' %n %a %h' d/moved s && \\\n"
                   "    readlink soft && ls");
    cr_assert_str_eq(shell.out, "byebyehushnewle d/moved 711 2\n"
                                " s 400 1\nhello\n"
                                "d\nfifo\nhello\nout\ns\nsoft\nsub\ntwin\n");
}

/* Runs one command on an empty directory in every way that it is served. */
static void assert_everywhere(const char *command, const char *said)
{
    static const char *const modes[] = {"--io auto",
                                        "--io inline",
                                        "--io thread",
                                        "--transport mmio --io inline",
                                        "--transport mmio --io thread",
                                        "--sandbox namespaces"};

    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        char script[512];

        snprintf(script, sizeof(script),
                 "mkdir $dir/s; $mayfly run %s --share $dir/s,rw:/h "
                 "$images/share.elf %s && ls -s $dir/s | tail -n +2 | wc -l",
                 modes[i], command);
        expect_status(&shell, 0, script);
        cr_assert_str_eq(shell.out, said, "%s: %s", modes[i], shell.out);
    }
}

Test(share_option, moves_much_at_once)
{
    assert_everywhere("large /h/large",
                      "large /h/large: 0 wrong, 3158073 bytes\n1\n");
}

Test(share_option, serves_many_threads)
{
    assert_everywhere("threads /h", "threads /h: 0 of 480 failed\n0\n");
}

Test(share_option, threads_at_one_name_have_one_winner)
{
    expect_status(
        &shell, 0,
        "mkdir $dir/s\n"
        "$mayfly run --share $dir/s,rw:/s $images/races.elf -- /s 20");
    cr_assert(strstr(shell.out, "17 of 17 races\n"), "%s", shell.out);
}

Test(share_option, may_be_several)
{
    expect_status(&shell, 1,
                  "mkdir $dir/1 $dir/2; echo one >$dir/1/f\n"
                  "$mayfly run --share $dir/1:/mnt/one --share "
                  "$dir/2,rw:/mnt/two \\\n"
                  "    $images/share.elf ls /mnt -- cat /mnt/one/f "
                  "-- put /mnt/two/f two -- mv /mnt/one/f /mnt/two/g");
    cr_assert_str_eq(shell.out, "ls /mnt: one/ two/ (2)\n"
                                "cat /mnt/one/f: one\n\n"
                                "put /mnt/two/f: ok\n"
                                "mv /mnt/one/f: Cross-device link\n");
}

Test(share_option, has_directories_of_any_size)
{
    expect_status(&shell, 0,
                  "mkdir $dir/s; (cd $dir/s; seq 3000 | xargs touch)\n" RUN(
                      "") "ls /h | grep -o '(.*'");
    cr_assert_str_eq(shell.out, "(3000)\n");
}

/* What the host changes while the guest runs is seen at once. */
Test(share_option, is_never_old)
{
    expect_status(
        &shell, 0,
        TREE "mkfifo $dir/in\n"
             "$mayfly run --share $dir/s:/h $images/share.elf cat /h/hello \\\n"
             "    -- line x -- cat /h/hello -- ls /h <$dir/in >$dir/out &\n"
             "exec 3>$dir/in\n"
             "until grep -q line $dir/out; do :; done\n"
             "echo changed >$dir/s/hello; rm $dir/s/link; : >$dir/s/new\n"
             "echo >&3; wait; cat $dir/out");
    cr_assert_str_eq(shell.out, "cat /h/hello: hello\n\n"
                                "line x: ok\n"
                                "cat /h/hello: changed\n\n"
                                "ls /h: hello new out@ sub/ (4)\n");
}

Test(share_option, is_counted)
{
    expect_status(&shell, 0,
                  TREE "$mayfly run --stats=$dir/j --share $dir/s:/h "
                       "$images/share.elf cat /h/hello && cat $dir/j");
    const char *json = strchr(shell.out, '{');
    cr_assert(json && is_json(json));
    const char *shares = strstr(json, "\"shares\"");
    cr_assert_not_null(shares);
    cr_assert_eq(json_number(shares, "read_bytes"), 6);
    cr_assert_eq(json_number(shares, "written_bytes"), 0);
    cr_assert_eq(json_number(shares, "errors"), 0);
}

Test(share_option, is_not_there_without_the_option)
{
    expect_status(&shell, 1, "$mayfly run $images/share.elf ls /h");
    cr_assert_str_eq(shell.out, "ls /h: No such file or directory\n");
}
