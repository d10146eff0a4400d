/* SPDX-License-Identifier: MIT */
/* Messages and error texts: levels, bounds, and the limit for guests. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/error.h"
#include "vmm/base/log.h"

static unsigned lines;
static enum log_level last_level;
static char last_line[1024];

static void take_line(enum log_level level, const char *line)
{
    lines++;
    last_level = level;
    snprintf(last_line, sizeof(last_line), "%s", line);
}

static void set_up(void)
{
    log_set_sink(take_line);
}

TestSuite(log, .init = set_up);

Test(log, passes_warnings_and_drops_information_by_default)
{
    log_warn("seen %d", 1);
    cr_assert_eq(lines, 1);
    cr_assert_str_eq(last_line, "seen 1");
    cr_assert_eq(last_level, LOG_WARN);
    log_info("not seen");
    cr_assert_eq(lines, 1);
}

Test(log, passes_levels_up_to_the_one_set)
{
    log_set_level(LOG_ERROR);
    log_warn("dropped");
    cr_assert_eq(lines, 0);
    log_error("passes");
    cr_assert_eq(lines, 1);
    log_set_level(LOG_DEBUG);
    log_debug("passes");
    cr_assert_eq(lines, 2);
}

Test(log, cuts_long_lines)
{
    char text[2000];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    log_warn("%s", text);
    cr_assert_eq(strlen(last_line), 511);
}

Test(log, lets_a_guest_say_5_things_and_then_says_that_it_stops)
{
    struct log_limit limit = {0};

    for (unsigned i = 1; i <= LOG_LIMIT_BURST; i++) {
        log_guest(&limit, "message %u", i);
        cr_assert_eq(lines, i);
    }
    cr_assert_str_eq(last_line, "message 5");
    log_guest(&limit, "message 6");
    cr_assert_eq(lines, 6);
    cr_assert_str_eq(last_line, "further messages of this kind are dropped");
    for (unsigned i = 0; i < 100000; i++)
        log_guest(&limit, "message");
    cr_assert_eq(lines, 6);
}

Test(log, limits_each_kind_of_message_by_itself)
{
    struct log_limit one = {0}, other = {0};

    for (unsigned i = 0; i < 20; i++)
        log_guest(&one, "one");
    log_guest(&other, "other");
    cr_assert_str_eq(last_line, "other");
}

Test(log, writes_to_standard_error_one_line_at_a_time,
     .init = cr_redirect_stderr)
{
    log_set_sink(NULL);
    log_warn("a %s", "line");
    fflush(stderr);
    cr_assert_stderr_eq_str("mayfly: warning: a line\n");
}

/* ---- Error texts -------------------------------------------------------- */

Test(error, returns_its_code_and_fills_the_text)
{
    char text[ERROR_BYTES];

    cr_assert_eq(error_set(text, -ENOEXEC, "no %s", "way"), -ENOEXEC);
    cr_assert_str_eq(text, "no way");
    cr_assert_eq(error_system(text, -ENOENT, "open %d", 7), -ENOENT);
    cr_assert_str_eq(text, "open 7: No such file or directory");
}

Test(error, does_without_a_place_for_the_text)
{
    cr_assert_eq(error_set(NULL, -EIO, "text"), -EIO);
    cr_assert_eq(error_system(NULL, -EIO, "text"), -EIO);
}

Test(error, cuts_texts_at_the_limit)
{
    struct {
        char text[ERROR_BYTES];
        char behind;
    } room = {.behind = '!'};
    char text[2 * ERROR_BYTES];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    error_set(room.text, -EIO, "%s", text);
    cr_assert_eq(strlen(room.text), ERROR_BYTES - 1);
    error_system(room.text, -EIO, "%s", text);
    cr_assert_eq(strlen(room.text), ERROR_BYTES - 1);
    error_system(room.text, -EIO, "%.*s", ERROR_BYTES - 4, text);
    cr_assert_str_eq(room.text + ERROR_BYTES - 4, ": I");
    cr_assert_eq(room.behind, '!');
}
