/* SPDX-License-Identifier: MIT */
/* Messages: one line each, bounded, in a single write. */
#include "vmm/base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_BYTES_MAX 512

static void log_to_stderr(enum log_level level, const char *line)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    char text[LINE_BYTES_MAX + 32];
    int bytes =
        snprintf(text, sizeof(text), "mayfly: %s: %s\n", names[level], line);

    /* There is nowhere to report that a report could not be written. */
    if (write(STDERR_FILENO, text, (size_t)bytes) < 0)
        return;
}

static _Atomic(enum log_level) log_level = LOG_WARN;
static _Atomic(log_sink *) log_current_sink = log_to_stderr;

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&log_level, level, memory_order_relaxed);
}

void log_set_sink(log_sink *sink)
{
    atomic_store_explicit(&log_current_sink, sink ? sink : log_to_stderr,
                          memory_order_relaxed);
}

static void log_args(enum log_level level, const char *format, va_list args)
{
    char line[LINE_BYTES_MAX];

    if (level > atomic_load_explicit(&log_level, memory_order_relaxed))
        return;
    vsnprintf(line, sizeof(line), format, args);
    atomic_load_explicit(&log_current_sink, memory_order_relaxed)(level, line);
}

void log_at(enum log_level level, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    log_args(level, format, args);
    va_end(args);
}

void log_guest(struct log_limit *limit, const char *format, ...)
{
    va_list args;

    if (limit->said > LOG_LIMIT_BURST)
        return;
    if (limit->said++ == LOG_LIMIT_BURST) {
        log_at(LOG_WARN, "further messages of this kind are dropped");
        return;
    }
    va_start(args, format);
    log_args(LOG_WARN, format, args);
    va_end(args);
}
