/* SPDX-License-Identifier: MIT */
/* How runs end: exit statuses, messages, signals, and reports. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cli/cli_test.h"

#define GREETING "Hello from a Mayfly VM.\n"

static struct shell shell;

TestSuite(status, .timeout = 240);
TestSuite(report, .timeout = 240);

static void assert_fails(int status, const char *script, const char *message)
{
    expect_status(&shell, status, script);
    cr_assert(strstr(shell.err, message), "%s: %s", script, shell.err);
    cr_assert_eq(strncmp(shell.err, "mayfly: ", 8), 0, "%s", shell.err);
}

/* ---- Statuses ----------------------------------------------------------- */

Test(status, is_the_guests)
{
    expect_status(&shell, 0, "$mayfly run $images/exitcode.elf 0");
    expect_status(&shell, 1, "$mayfly run $images/exitcode.elf 1");
    expect_status(&shell, 255, "$mayfly run $images/exitcode.elf 255");
    expect_status(&shell, 0, "$mayfly run $images/exitcode.elf 256");
    cr_assert_str_eq(shell.err, "");
}

Test(status, is_123_for_a_crash_which_is_explained)
{
    assert_fails(123, "$mayfly run $images/null.elf write",
                 "page fault (vector 14, error 0x6): writing 0x0, not mapped");
    cr_assert(strstr(shell.err, "  rip 0"));
    cr_assert(strstr(shell.err, " rsp 0"));
    cr_assert(strstr(shell.err, "#0  0x"));
    cr_assert(strstr(shell.err, " main+0x"));
    assert_fails(123, "$mayfly run $images/overflow.elf", "stack overflow");
    assert_fails(123, "$mayfly run $images/illegal.elf", "illegal instruction");
    assert_fails(123, "$mayfly run $images/abort.elf", "signal 6");
    assert_fails(123, "$mayfly run $images/wild.elf", "hypercall");
}

Test(status, is_123_after_the_output_before_the_crash)
{
    expect_status(&shell, 123, "$mayfly run $images/abort.elf 2>&1");
    cr_assert_eq(strncmp(shell.out, "giving up: step 3\nmayfly: ", 26), 0);
}

Test(status, is_124_for_a_time_limit)
{
    assert_fails(124, "$mayfly run --timeout 0.1 $images/loop.elf",
                 "time limit");
    assert_fails(124, "$mayfly run --timeout 0.1 $images/forever.elf",
                 "time limit");
}

Test(status, is_125_when_a_report_cannot_be_written)
{
    assert_fails(125, "$mayfly run --stats=/nonexistent/x $images/hello.elf",
                 "cannot write /nonexistent/x");
    cr_assert_str_eq(shell.out, "");
    assert_fails(125, "$mayfly run --stats=/dev/full $images/hello.elf",
                 "cannot write /dev/full");
    assert_fails(125, "$mayfly run --timeline=/dev/full $images/hello.elf",
                 "cannot write /dev/full");
}

Test(status, is_125_when_output_cannot_be_written)
{
    assert_fails(125, "$mayfly run $images/hello.elf >/dev/full",
                 "No space left on device");
}

Test(status, is_126_for_what_is_no_image)
{
    assert_fails(126, "$mayfly run $images", "directory");
    assert_fails(126, ": >$dir/empty; $mayfly run $dir/empty",
                 "not an ELF file");
    assert_fails(126, "echo text >$dir/text; $mayfly run $dir/text",
                 "not an ELF file");
    assert_fails(126, "$mayfly run /bin/sh", "build it with mayfly-cc");
    assert_fails(126, "$mayfly run /dev/null", "not an ELF file");
    assert_fails(126,
                 "head -c 3000 $images/hello.elf >$dir/cut\n"
                 "$mayfly run $dir/cut",
                 "past the file's end");
}

Test(status, is_127_for_an_image_that_is_not_there)
{
    assert_fails(127, "$mayfly run /nonexistent", "No such file");
    assert_fails(127, "$mayfly run /dev/null/x", "Not a directory");
    assert_fails(127, "$mayfly run ''", "No such file");
}

static void assert_ended_by(const char *signal, int status, const char *image)
{
    char script[256];

    /* A while after the process is confined, the guest runs. */
    snprintf(script, sizeof(script),
             "$mayfly run $images/%s.elf & pid=$!\n"
             "i=0; until grep -q '^Seccomp:.*2' /proc/$pid/status ||\n"
             "    [ $((i += 1)) = 200 ]; do sleep 0.05; done\n"
             "sleep 0.3; kill -%s $pid; wait $pid",
             image, signal);
    expect_status(&shell, status, script);
    cr_assert_not(strstr(shell.err, "crashed"));
}

Test(status, is_130_after_sigint)
{
    assert_ended_by("INT", 130, "loop");
    assert_ended_by("INT", 130, "forever");
}

Test(status, is_143_after_sigterm)
{
    assert_ended_by("TERM", 143, "loop");
    assert_ended_by("TERM", 143, "forever");
}

Test(status, is_137_after_sigkill_as_for_any_process)
{
    assert_ended_by("KILL", 137, "loop");
}

Test(status, is_141_when_the_reader_goes_away)
{
    expect_status(&shell, 141,
                  "{ $mayfly run $images/write.elf 100; echo $? >$dir/status; }"
                  " | head -c 1000 >$dir/some\n"
                  "exit $(cat $dir/status)");
    cr_assert_str_eq(shell.err, "");
}

/* ---- Reports ------------------------------------------------------------ */

static long long number(const char *key)
{
    long long value = json_number(shell.out, key);

    cr_assert_geq(value, 0, "no \"%s\" in %s", key, shell.out);
    return value;
}

Test(report, stats_are_json_whose_counts_agree)
{
    expect_status(&shell, 0,
                  "$mayfly run --stats=$dir/stats $images/cat.elf "
                  "<$images/hello.elf >$dir/copy && cat $dir/stats");
    cr_assert(is_json(shell.out), "%s", shell.out);
    cr_assert_eq(number("schema"), 1);
    cr_assert_eq(number("status"), 0);
    cr_assert(strstr(shell.out, "\"end\": \"exited\""));
    cr_assert_eq(number("exits"),
                 number("exits_hypercall") + number("exits_interrupt"));
    cr_assert_eq(number("exits_hypercall"),
                 number("hypercall_exit") + number("hypercall_wait") +
                     number("hypercall_kick") + number("hypercall_crash") +
                     number("hypercall_populate"));
    cr_assert_eq(number("hypercall_exit"), 1);
    cr_assert_eq(number("input_bytes"), number("output_bytes"));
    cr_assert_gt(number("output_writes"), 0);
    cr_assert_gt(number("monitor_calls"), 0);
    cr_assert_leq(number("mem_touched_bytes"), number("mem_bytes"));
    cr_assert_leq(number("entry"), number("first-output"));
}

Test(report, stats_tell_of_every_kind_of_end)
{
    static const struct {
        const char *script, *end;
        int status;
    } cases[] = {
        {"$images/null.elf", "crashed", 123},
        {"--timeout 0.1 $images/loop.elf", "timed-out", 124},
        {"$images/exitcode.elf 9", "exited", 9},
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char script[256], end[64];

        snprintf(script, sizeof(script),
                 "$mayfly run --stats=$dir/stats %s 2>$dir/errors; s=$?\n"
                 "cat $dir/stats; exit $s",
                 cases[i].script);
        expect_status(&shell, cases[i].status, script);
        cr_assert(is_json(shell.out));
        snprintf(end, sizeof(end), "\"end\": \"%s\"", cases[i].end);
        cr_assert(strstr(shell.out, end), "%s", shell.out);
        cr_assert_eq(number("status"), cases[i].status);
    }
}

Test(report, stats_without_a_file_go_to_standard_error)
{
    expect_status(&shell, 0, "$mayfly run --stats $images/hello.elf");
    cr_assert_str_eq(shell.out, GREETING);
    cr_assert(is_json(shell.err), "%s", shell.err);
}

Test(report, stats_escape_the_name_of_the_image)
{
    expect_status(&shell, 0,
                  "cp $images/boot.elf \"$dir/a\\\"\\\\b\"\n"
                  "$mayfly run --stats \"$dir/a\\\"\\\\b\"");
    cr_assert(is_json(shell.err), "%s", shell.err);
}

Test(report, stats_name_missing_system_calls)
{
    expect_status(&shell, 0, "$mayfly run --stats $images/syscall.elf");
    cr_assert(is_json(shell.err));
    cr_assert(strstr(shell.err, "\"unknown(9999)\": 1"), "%s", shell.err);
}

Test(report, a_timeline_is_a_table_with_every_stage)
{
    static const char *const stages[] = {
        "exec",     "create", "vm",    "vcpu", "memory",       "image",
        "confined", "entry",  "start", "main", "first-output", "end",
    };

    expect_status(&shell, 0, "$mayfly run --timeline $images/hello.elf");
    const char *at = shell.err;
    for (unsigned i = 0; i < sizeof(stages) / sizeof(stages[0]); i++) {
        at = strstr(at, stages[i]);
        cr_assert(at, "no %s, or out of order: %s", stages[i], shell.err);
    }
}

Test(report, a_timeline_file_is_a_chrome_trace)
{
    expect_status(&shell, 0,
                  "$mayfly run --timeline=$dir/trace $images/hello.elf "
                  ">$dir/out && cat $dir/trace");
    cr_assert(is_json(shell.out), "%s", shell.out);
    cr_assert(strstr(shell.out, "\"traceEvents\""));
    cr_assert(strstr(shell.out, "\"name\": \"first-output\", \"ph\": \"X\""));
}

Test(report, the_summary_is_one_line)
{
    expect_status(&shell, 0, "$mayfly run --summary $images/hello.elf");
    cr_assert_eq(strncmp(shell.err, "mayfly: ", 8), 0);
    cr_assert_eq(strchr(shell.err, '\n'), shell.err + strlen(shell.err) - 1);
    cr_assert(strstr(shell.err, " exit"));
}
