/* SPDX-License-Identifier: MIT */
/* Standard input and output: files, pipes, terminals, and nothing at all. */
#include <fcntl.h>
#include <pty.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/cli/cli_test.h"

#define GREETING "Hello from a Mayfly VM.\n"

static struct shell shell;

TestSuite(files, .timeout = 290);

/* ---- Input -------------------------------------------------------------- */

#define MAKE_INPUT "head -c 3000001 /dev/urandom >$dir/in\n"
#define COMPARE    "cmp $dir/in $dir/out\n"

Test(files, cat_copies_a_file)
{
    expect_status(&shell, 0,
                  MAKE_INPUT
                  "$mayfly run $images/cat.elf <$dir/in >$dir/out\n" COMPARE);
}

Test(files, cat_copies_a_pipe)
{
    expect_status(&shell, 0,
                  MAKE_INPUT "cat $dir/in | $mayfly run $images/cat.elf | "
                             "cat >$dir/out\n" COMPARE);
}

Test(files, cat_copies_a_pipe_that_fills_slowly)
{
    expect_status(&shell, 0,
                  "{ echo a; sleep 0.2; echo b; sleep 0.2; echo c; } | "
                  "$mayfly run $images/cat.elf");
    cr_assert_str_eq(shell.out, "a\nb\nc\n");
}

Test(files, cat_copies_nothing)
{
    expect_status(&shell, 0, "$mayfly run $images/cat.elf </dev/null");
    cr_assert_str_eq(shell.out, "");
    expect_status(&shell, 0, ": | $mayfly run $images/cat.elf");
    cr_assert_str_eq(shell.out, "");
}

Test(files, cat_of_a_directory_is_the_hosts_error)
{
    need_kvm();
    run_shell(&shell, "$mayfly run $images/cat.elf <$dir");
    cr_assert_neq(shell.status, 0);
    cr_assert(strstr(shell.err, "irectory"), "%s", shell.err);
}

Test(files, input_that_the_guest_does_not_read_stays_for_the_next)
{
    expect_status(&shell, 0,
                  "{ echo one; echo two; } >$dir/in\n"
                  "{ $mayfly run $images/hello.elf >$dir/out; cat; } <$dir/in");
    cr_assert_str_eq(shell.out, "one\ntwo\n");
}

/* ---- Closed descriptors ------------------------------------------------- */

Test(files, a_guest_runs_with_any_of_them_closed)
{
    static const char *const closed[] = {"<&-", ">&-", "2>&-", "<&- >&-",
                                         "<&- >&- 2>&-"};

    for (unsigned i = 0; i < sizeof(closed) / sizeof(closed[0]); i++) {
        char script[128];

        snprintf(script, sizeof(script),
                 "$mayfly run $images/exitcode.elf 7 %s", closed[i]);
        expect_status(&shell, 7, script);
    }
}

Test(files, reading_a_closed_input_fails)
{
    expect_status(&shell, 1, "$mayfly run $images/cat.elf <&-");
    cr_assert(strstr(shell.err, "Bad file descriptor"), "%s", shell.err);
}

Test(files, writing_a_closed_output_fails_in_the_guest)
{
    expect_status(&shell, 1, "echo text | $mayfly run $images/cat.elf >&-");
    cr_assert(strstr(shell.err, "Bad file descriptor"), "%s", shell.err);
}

Test(files, a_crash_report_does_not_land_in_the_image)
{
    expect_status(&shell, 0,
                  "cp $images/null.elf $dir/image\n"
                  "$mayfly run $dir/image <&- >&- 2>&-\n"
                  "cmp $images/null.elf $dir/image");
}

/* ---- Output ------------------------------------------------------------- */

/* A counter in every 8 bytes, which od prints as text and awk checks. */
Test(files, a_few_mib_of_output_arrive_whole_and_in_order)
{
    expect_status(&shell, 0,
                  "$mayfly run $images/write.elf 3 >$dir/file\n"
                  "$mayfly run $images/write.elf 3 | cat >$dir/pipe\n"
                  "cmp $dir/file $dir/pipe && wc -c <$dir/pipe");
    cr_assert_eq(atol(shell.out), 3 << 20);
}

static int count_through_pipe(const char *mib)
{
    uint64_t words[8192], next = 0;
    size_t got;
    char command[4200];

    snprintf(command, sizeof(command),
             "%s/mayfly run %s/images/write.elf %s </dev/null",
             build_directory(), build_directory(), mib);
    FILE *pipe = popen(command, "r");
    while ((got = fread(words, 8, 8192, pipe)) > 0)
        for (size_t i = 0; i < got; i++)
            if (words[i] != next++)
                return -1;
    return pclose(pipe) == 0 ? (int)(next * 8 >> 20) : -1;
}

/* MAYFLY_TEST_OUTPUT_MIB=1024 makes it a GiB. */
Test(files, many_mib_of_output_arrive_whole_and_in_order)
{
    const char *wanted = getenv("MAYFLY_TEST_OUTPUT_MIB");
    const char *mib = wanted ? wanted : "64";

    need_kvm();
    cr_assert_eq(count_through_pipe(mib), atoi(mib));
}

Test(files, output_appends_where_the_file_stands)
{
    expect_status(&shell, 0,
                  "{ echo before; $mayfly run $images/hello.elf; echo after; }"
                  " >$dir/out; cat $dir/out");
    cr_assert_str_eq(shell.out, "before\n" GREETING "after\n");
}

Test(files, standard_output_and_error_are_kept_apart)
{
    expect_status(&shell, 0, "$mayfly run $images/libc.elf");
    cr_assert_str_eq(shell.err, "to standard error\n");
    cr_assert_not(strstr(shell.out, "to standard error"));
}

Test(files, output_and_error_output_in_one_file_keep_their_order)
{
    expect_status(&shell, 0,
                  "$mayfly run $images/order.elf 1000 >$dir/both 2>&1\n"
                  "i=0; while read -r line; do\n"
                  "    [ \"$line\" = $i ] || echo \"$line, not $i\"\n"
                  "    i=$((i + 1))\n"
                  "done <$dir/both; echo $i lines");
    cr_assert_str_eq(shell.out, "1000 lines\n");
}

Test(files, error_output_is_not_lost_in_a_file_shared_with_output)
{
    expect_status(&shell, 0, "$mayfly run $images/libc.elf 2>&1 >&1");
    cr_assert(strstr(shell.out, "to standard error\n"));
    cr_assert(strstr(shell.out, "ok   atexit\n"));
}

/* ---- Terminals ---------------------------------------------------------- */

/* Starts an image on a new terminal. */
static pid_t run_on_terminal(const char *name, int *terminal)
{
    char program[4096], image[4096];

    need_kvm();
    snprintf(program, sizeof(program), "%s/mayfly", build_directory());
    snprintf(image, sizeof(image), "%s/images/%s.elf", build_directory(), name);
    pid_t child = forkpty(terminal, NULL, NULL, NULL);
    cr_assert_geq(child, 0);
    if (child == 0) {
        execl(program, "mayfly", "run", image, NULL);
        _exit(126);
    }
    return child;
}

/* Types a line at a guest on a terminal, then its end of file. */
Test(files, cat_talks_to_a_terminal)
{
    char text[256] = "";
    size_t bytes = 0;
    int terminal, status;

    pid_t child = run_on_terminal("cat", &terminal);
    cr_assert_eq(write(terminal, "typed\n", 6), 6);
    /* The terminal's echo, then the guest's copy. */
    while (!strstr(text, "typed\r\ntyped\r\n")) {
        ssize_t got = read(terminal, text + bytes, sizeof(text) - 1 - bytes);

        cr_assert_gt(got, 0, "%s", text);
        bytes += (size_t)got;
    }
    cr_assert_eq(write(terminal, "\4", 1), 1);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    close(terminal);
}

Test(files, ctrl_c_on_a_terminal_ends_the_guest_with_130)
{
    char text[256] = "";
    int terminal, status;

    pid_t child = run_on_terminal("forever", &terminal);
    cr_assert_gt(read(terminal, text, sizeof(text) - 1), 0);
    cr_assert_eq(write(terminal, "\3", 1), 1);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 130, "%#x",
              (unsigned)status);
    close(terminal);
}
