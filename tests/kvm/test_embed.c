/* SPDX-License-Identifier: MIT */
/* The examples of tests/embed work. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>

int embed_main(int argc, char **argv);
int calls_main(int argc, char **argv);

#define main embed_main
#include "tests/embed/embed.c" /* NOLINT: a program is what is tested */
#undef main

#define main calls_main
#include "tests/embed/calls.c" /* NOLINT: likewise */
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

/* As images/calls/README.md shows it. */
Test(embed, calls_functions_of_a_guest_that_is_as_new_each_time, .timeout = 240,
     .init = cr_redirect_stdout)
{
    char path[4096], program[] = "calls", text[] = "text for the guest";
    char crash[] = "crash", reverse[] = "reverse", hang[] = "hang";
    char dirty[] = "dirty";
    char *argv[] = {program, path,  crash, reverse, hang,
                    reverse, dirty, dirty, text,    NULL};

    need_kvm();
    snprintf(path, sizeof(path), "%s/images/calls.elf", build_directory());
    cr_assert_eq(calls_main(9, argv), 0);
    fflush(stdout);
    char output[512] = "";
    FILE *printed = cr_get_redirected_stdout();
    cr_assert_gt(fread(output, 1, sizeof(output) - 1, printed), 0);
    cr_assert_str_eq(output, "crash: crashed, 0: \n"
                             "reverse: answered, 18: tseug eht rof txet\n"
                             "hang: took too long, 0: \n"
                             "reverse: answered, 18: tseug eht rof txet\n"
                             "dirty: answered, 1: \n"
                             "dirty: answered, 1: \n");
}

Test(embed, says_what_cannot_be_called)
{
    char path[4096], program[] = "calls", none[] = "none", text[] = "";
    char *argv[] = {program, path, none, text, NULL};

    need_kvm();
    cr_redirect_stderr();
    cr_assert_eq(calls_main(2, argv), 2);
    snprintf(path, sizeof(path), "%s/images/calls.elf", build_directory());
    cr_assert_eq(calls_main(4, argv), 1);
    snprintf(path, sizeof(path), "%s/images/hello.elf", build_directory());
    cr_assert_eq(calls_main(4, argv), 1);
}
