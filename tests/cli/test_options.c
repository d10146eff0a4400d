/* SPDX-License-Identifier: MIT */
/* Commands, options and operands: what is taken and what is refused. */
#include <stdio.h>
#include <string.h>

#include "tests/cli/cli_test.h"

#define GREETING "Hello from a Mayfly VM.\n"

static struct shell shell;

TestSuite(options, .timeout = 240);
TestSuite(help, .timeout = 60);
TestSuite(inspect, .timeout = 60);
TestSuite(doctor, .timeout = 60);

/* Usage errors need no KVM. */
static void assert_misuse(const char *script, const char *message)
{
    run_shell(&shell, script);
    cr_assert_eq(shell.status, 125, "%s: status %d", script, shell.status);
    cr_assert(strstr(shell.err, message), "%s: %s", script, shell.err);
    cr_assert_str_eq(shell.out, "");
}

/* ---- Help --------------------------------------------------------------- */

Test(help, goes_to_standard_output_with_status_0)
{
    static const char *const scripts[] = {
        "$mayfly --help",        "$mayfly help",
        "$mayfly run --help",    "$mayfly inspect --help",
        "$mayfly doctor --help", "$mayfly run --mem 1M --help no-image",
    };

    for (unsigned i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
        run_shell(&shell, scripts[i]);
        cr_assert_eq(shell.status, 0, "%s", scripts[i]);
        cr_assert_eq(strncmp(shell.out, "Usage: mayfly ", 14), 0, "%s",
                     scripts[i]);
        cr_assert_str_eq(shell.err, "");
    }
}

Test(help, names_every_option_of_run)
{
    static const char *const names[] = {
        "--mem",       "--env",  "--timeout", "--sandbox",
        "--summary",   "--disk", "--stats",   "--timeline",
        "--log-level", "--help", "123",       "124",
        "125",         "126",    "127",       "128",
    };

    run_shell(&shell, "$mayfly run --help");
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        cr_assert(strstr(shell.out, names[i]), "%s", names[i]);
}

Test(help, is_an_error_when_nothing_was_asked_for)
{
    assert_misuse("$mayfly", "Usage: mayfly ");
}

Test(help, tells_the_version)
{
    run_shell(&shell, "$mayfly --version");
    cr_assert_eq(shell.status, 0);
    cr_assert_eq(strncmp(shell.out, "mayfly ", 7), 0);
}

Test(help, fails_when_it_cannot_be_written)
{
    run_shell(&shell, "$mayfly --help >/dev/full");
    cr_assert_eq(shell.status, 125);
    run_shell(&shell, "$mayfly --help >&-");
    cr_assert_eq(shell.status, 125);
}

/* ---- Refusals ----------------------------------------------------------- */

Test(options, unknown_commands_and_options_are_refused_by_name)
{
    assert_misuse("$mayfly fly", "no command 'fly'");
    assert_misuse("$mayfly run --fast x", "'--fast'");
    assert_misuse("$mayfly run -x x", "-x");
    assert_misuse("$mayfly inspect --fast x", "'--fast'");
    assert_misuse("$mayfly doctor --fast", "'--fast'");
}

Test(options, missing_and_superfluous_operands_are_refused)
{
    assert_misuse("$mayfly run", "an image is needed");
    assert_misuse("$mayfly run --mem 1M", "an image is needed");
    assert_misuse("$mayfly run --mem", "--mem");
    assert_misuse("$mayfly inspect", "one image or snapshot is needed");
    assert_misuse("$mayfly inspect a b", "one image or snapshot is needed");
    assert_misuse("$mayfly doctor x", "takes no arguments");
}

Test(options, bad_sizes_are_refused)
{
    static const char *const sizes[] = {
        "''",
        "0",
        "0M",
        "junk",
        "1X",
        "1MM",
        "1MB",
        "-1",
        "+1M",
        "' 1'",
        "1.5M",
        "0x1",
        "M",
        "99999999999999999999",
        "99999999999999999999G",
        "18014398509481984K",
        "17179869184G",
    };

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char script[128];

        snprintf(script, sizeof(script), "$mayfly run --mem %s x", sizes[i]);
        assert_misuse(script, "--mem");
    }
}

Test(options, bad_time_limits_are_refused)
{
    static const char *const limits[] = {
        "''",   "0",    "0.0",      "-1",
        ".",    "junk", "1s",       "nan",
        "inf",  "1e9",  "31622401", "0.0000000001",
        "1.5.", "+1",   "' 1'",     "99999999999999999999",
    };

    for (unsigned i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        char script[128];

        snprintf(script, sizeof(script), "$mayfly run --timeout %s x",
                 limits[i]);
        assert_misuse(script, "--timeout");
    }
}

Test(options, other_bad_values_are_refused)
{
    assert_misuse("$mayfly run --sandbox maybe x", "--sandbox");
    assert_misuse("$mayfly run --log-level loud x", "--log-level");
    assert_misuse("$mayfly run --env =V x", "--env");
}

/* ---- What is taken ------------------------------------------------------ */

Test(options, sizes_in_bytes_and_units_of_either_case)
{
    static const char *const sizes[] = {"1M",      "1m",  "1024K", "1024k",
                                        "1048576", "16G", "3g"};

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char script[128];

        snprintf(script, sizeof(script),
                 "$mayfly run --mem %s $images/hello.elf", sizes[i]);
        expect_status(&shell, 0, script);
        cr_assert_str_eq(shell.out, GREETING);
    }
}

Test(options, too_little_and_too_much_memory_are_explained)
{
    expect_status(&shell, 125, "$mayfly run --mem 17G $images/hello.elf");
    cr_assert(strstr(shell.err, "at most 16384 possible"), "%s", shell.err);
    expect_status(&shell, 125, "$mayfly run --mem 4K $images/hello.elf");
    cr_assert(strstr(shell.err, "does not fit into 4 KiB"), "%s", shell.err);
}

Test(options, every_sandbox_and_log_level)
{
    expect_status(&shell, 0, "$mayfly run --sandbox on $images/hello.elf");
    expect_status(&shell, 0, "$mayfly run --sandbox off $images/hello.elf");
    expect_status(&shell, 0,
                  "for l in error warn info debug; do\n"
                  "    $mayfly run --log-level $l $images/hello.elf || exit\n"
                  "done");
}

Test(options, a_log_level_silences_what_a_guest_causes)
{
    expect_status(&shell, 0, "$mayfly run $images/ring.elf -- past-end");
    cr_assert(strstr(shell.err, "warning"));
    expect_status(&shell, 0,
                  "$mayfly run --log-level error $images/ring.elf -- past-end");
    cr_assert_str_eq(shell.err, "");
}

Test(options, environment_by_value_and_by_copy)
{
    expect_status(&shell, 0,
                  "export COPIED='a b' OTHER=no\n"
                  "$mayfly run --env A=1 --env COPIED --env NONE --env E= \\\n"
                  "    --env B=x=y $images/args.elf");
    cr_assert(strstr(shell.out, "\nA=1\nCOPIED=a b\nE=\nB=x=y\n"), "%s",
              shell.out);
    cr_assert_not(strstr(shell.out, "OTHER"));
    cr_assert_not(strstr(shell.out, "NONE"));
}

Test(options, arguments_behind_the_image_are_the_guests)
{
    expect_status(&shell, 0, "$mayfly run $images/args.elf -- --mem x ''");
    cr_assert(strstr(shell.out, "args.elf\nargv[1]=--mem\nargv[2]=x\n"
                                "argv[3]=\n"));
    expect_status(&shell, 0, "$mayfly run $images/args.elf --help");
    cr_assert(strstr(shell.out, "argv[1]=--help\n"));
    expect_status(&shell, 0, "$mayfly run -- $images/args.elf -- -- a");
    cr_assert(strstr(shell.out, "argv[1]=--\nargv[2]=a\n"), "%s", shell.out);
}

Test(options, a_time_limit_that_is_not_reached_changes_nothing)
{
    expect_status(&shell, 0,
                  "$mayfly run --timeout 31622400 $images/hello.elf");
    cr_assert_str_eq(shell.out, GREETING);
    expect_status(&shell, 0, "$mayfly run --timeout 1000.25 $images/hello.elf");
    expect_status(&shell, 124, "$mayfly run --timeout .05 $images/loop.elf");
}

/* ---- inspect and doctor ------------------------------------------------- */

Test(inspect, shows_what_an_image_is_made_of)
{
    run_shell(&shell, "$mayfly inspect $images/hello.elf");
    cr_assert_eq(shell.status, 0);
    cr_assert(strstr(shell.out, "abi      1."));
    cr_assert(strstr(shell.out, "memory   at least "));
    cr_assert(strstr(shell.out, "r-x\n"));
    cr_assert(strstr(shell.out, "rw-\n"));
    cr_assert_not(strstr(shell.out, "rwx\n"));
    cr_assert_str_eq(shell.err, "");
}

Test(inspect, has_the_same_statuses_for_bad_images_as_run)
{
    run_shell(&shell, "$mayfly inspect /nonexistent");
    cr_assert_eq(shell.status, 127);
    run_shell(&shell, "$mayfly inspect /bin/sh");
    cr_assert_eq(shell.status, 126);
}

Test(inspect, fails_when_it_cannot_be_written)
{
    run_shell(&shell, "$mayfly inspect $images/hello.elf >/dev/full");
    cr_assert_eq(shell.status, 125);
    run_shell(&shell, "$mayfly inspect $images/hello.elf >&-");
    cr_assert_eq(shell.status, 125);
}

Test(doctor, says_that_this_host_can_run_guests)
{
    expect_status(&shell, 0, "$mayfly doctor");
    cr_assert(strstr(shell.out, "This host can run guests.\n"));
    cr_assert(strstr(shell.out, "backend: "));
}
