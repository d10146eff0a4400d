/* SPDX-License-Identifier: MIT */
/* The command line from outside: a shell runs it, a test looks at the rest. */
#ifndef TESTS_CLI_CLI_TEST_H
#define TESTS_CLI_CLI_TEST_H

/*
 *   struct shell shell;
 *
 *   run_shell(&shell, "$mayfly run $images/hello.elf >&-");
 *   cr_assert_eq(shell.status, 0);
 *
 * In the script $mayfly and $images are what is tested, and $dir is an empty
 * directory of the test's own, removed when the script has ended. Standard
 * input is empty.
 */

#include <criterion/criterion.h>
#include <stdbool.h>

#include "tests/environment.h"

#define SHELL_OUTPUT_ROOM 65536

struct shell {
    int status; /* as a shell has it: 128 plus the number of a signal */
    char out[SHELL_OUTPUT_ROOM];
    char err[SHELL_OUTPUT_ROOM];
};

/* Runs a script to its end. */
void run_shell(struct shell *shell, const char *script);

/* Makes a directory, whose name ends in XXXXXX as mkdtemp(3) has it. It is
 * removed, with all that is in it, when the test has ended, however it has. */
void make_directory(char *dir);

/* Runs a script that needs KVM; its status has to be this. */
void expect_status(struct shell *shell, int status, const char *script);

/* Skips the test where one of these programs, separated by blanks, is missing:
 * the machine of tests/svm has none but busybox's. */
void need_programs(const char *names);

/* Whether a text is one JSON value and nothing else. */
bool is_json(const char *text);

/* The number behind the first "key": in a JSON text; -1 if there is none. */
long long json_number(const char *text, const char *key);

#endif
