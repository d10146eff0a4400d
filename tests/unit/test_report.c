/* SPDX-License-Identifier: MIT */
/* What is said of a crash. */
#include <criterion/criterion.h>
#include <mayfly/abi.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/cli.h"

/* The report of a crash in one frame; the caller frees it. */
static char *text_of(const struct mayfly_crash *crash)
{
    const struct mayfly_frame frame = {.address = crash->rip, .name = "main"};
    char *text = NULL;
    size_t bytes;
    FILE *to = open_memstream(&text, &bytes);

    cr_assert_not_null(to);
    report_crash(to, crash, &frame, 1);
    fclose(to);
    return text;
}

Test(report, of_a_triple_fault_has_the_registers_if_there_are_any)
{
    struct mayfly_crash crash = {.kind = MAYFLY_CRASH_TRIPLE, .rip = 0xfff0};

    crash.regs[MF_RSP] = 0x123450;
    char *text = text_of(&crash);
    cr_assert_not_null(strstr(text, "triple fault)\n  rip 000000000000fff0"),
                       "%s", text);
    cr_assert_not_null(strstr(text, "0000000000123450"), "%s", text);
    cr_assert_not_null(strstr(text, "backtrace:\n  #0"), "%s", text);
    free(text);
    crash.regs[MF_RSP] = 0;
    text = text_of(&crash);
    cr_assert_not_null(strstr(text, "triple fault); this processor keeps no"),
                       "%s", text);
    cr_assert_null(strstr(text, "backtrace"), "%s", text);
    free(text);
}
