/* SPDX-License-Identifier: MIT */
/* `mayfly run --snapshot` and `mayfly restore`, as their users have them. */
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
