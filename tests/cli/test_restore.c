/* SPDX-License-Identifier: MIT */
/* `mayfly run --snapshot` and `mayfly restore`, as their users have them. */
#include <stdio.h>
#include <string.h>

#include "tests/cli/cli_test.h"

TestSuite(restore, .timeout = 240);

static struct shell shell;

Test(restore, has_the_name_that_it_is_given_or_that_it_had)
{
    expect_status(
        &shell, 5,
        "$mayfly run --hostname first --snapshot $dir/s $images/clones.elf &&"
        "$mayfly restore $dir/s; $mayfly restore --hostname second $dir/s");
    const char *first = strstr(shell.out, "\nhost first\n");
    cr_assert(first, "%s", shell.out);
    cr_assert(strstr(first, "\nhost second\n"), "%s", shell.out);
}

Test(restore, refuses_names_that_are_none)
{
    static const char *const scripts[] = {
        "$mayfly run --hostname '' $images/clones.elf",
        "n=0123456789; $mayfly run --hostname $n$n$n$n$n$n$n image",
        "$mayfly restore --hostname 'two words' $dir/s",
        "$mayfly restore --hostname -x $dir/s",
        "$mayfly run --hostname a --hostname b $images/clones.elf",
    };

    for (unsigned i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
        run_shell(&shell, scripts[i]);
        cr_assert_eq(shell.status, 125, "%s: %d", scripts[i], shell.status);
        cr_assert(strstr(shell.err, "--hostname"), "%s", shell.err);
    }
}

Test(restore, says_what_is_in_the_snapshot_already)
{
    run_shell(&shell, "$mayfly restore --mem 32M $dir/s");
    cr_assert_eq(shell.status, 125);
    cr_assert(strstr(shell.err, "what --mem says is in the snapshot"), "%s",
              shell.err);
}

/* ... and leaves no file behind. */
static void assert_no_snapshot(const char *options, const char *message)
{
    char script[256];

    snprintf(script, sizeof(script),
             "$mayfly run --snapshot $dir/s %s $images/served.elf; "
             "echo $?; ls $dir",
             options);
    run_shell(&shell, script);
    cr_assert_str_eq(shell.out, "125\n", "%s", shell.out);
    cr_assert(strstr(shell.err, message), "%s", shell.err);
}

Test(restore, says_of_which_vms_there_are_no_snapshots)
{
    need_kvm();
    assert_no_snapshot("--share /:/host",
                       "--snapshot and --share do not go together");
    assert_no_snapshot("--transport mmio",
                       "--snapshot and --transport mmio do not go together");
}
