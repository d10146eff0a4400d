/* SPDX-License-Identifier: MIT */
/* The example of tests/embed works. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>

int embed_main(int argc, char **argv);

#define main embed_main
#include "tests/embed/embed.c" /* NOLINT: a program is what is tested */
#undef main

#include "tests/kvm/kvm_test.h"

Test(embed, hands_text_to_a_guest_and_tells_how_it_ended, .timeout = 240,
     .init = cr_redirect_stdout)
{
    char path[4096], program[] = "embed", text[] = "text for the guest";
    char *argv[] = {program, path, text, NULL};

    need_kvm();
    snprintf(path, sizeof(path), "%s/images/cat.elf", build_directory());
    cr_assert_eq(embed_main(3, argv), 0);
    fflush(stdout);
    char output[256] = "";
    FILE *printed = cr_get_redirected_stdout();
    size_t bytes = fread(output, 1, sizeof(output) - 1, printed);
    cr_assert_gt(bytes, 0);
    cr_assert_eq(
        strncmp(output, "text for the guest\nembed: end 0, status 0, ",
                strlen("text for the guest\nembed: end 0, status 0, ")),
        0, "%s", output);
}

Test(embed, says_how_it_is_used)
{
    char program[] = "embed";
    char *argv[] = {program, NULL};

    cr_redirect_stderr();
    cr_assert_eq(embed_main(1, argv), 2);
}
