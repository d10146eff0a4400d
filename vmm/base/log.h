/* SPDX-License-Identifier: MIT */
/* What the monitor says, and how often a guest can make it say something. */
#ifndef VMM_BASE_LOG_H
#define VMM_BASE_LOG_H

/*
 * Messages go to one sink for the whole process: a function that the embedder
 * sets, standard error by default. A message is one line without its newline.
 * What a guest can cause carries a struct log_limit, so that a hostile guest
 * fills no disk: the first LOG_LIMIT_BURST messages pass, the next one says
 * that the rest is dropped, and then there is silence.
 */

#include "vmm/base/util.h"

enum log_level {
    LOG_ERROR,
    LOG_WARN,
    LOG_INFO,
    LOG_DEBUG,
};

#define LOG_LIMIT_BURST 5u

/* Zero-initialised; one per VM and kind of message. */
struct log_limit {
    unsigned said;
};

typedef void log_sink(enum log_level level, const char *line);

/* Messages above `level` are dropped. Any thread. */
void log_set_level(enum log_level level);

/* Sends messages to `sink`; NULL restores standard error. Any thread. */
void log_set_sink(log_sink *sink);

/* Says something about the monitor or its host. Any thread. */
PRINTF_LIKE(2, 3)
void log_at(enum log_level level, const char *format, ...);

/* Says something that a guest caused, at level LOG_WARN. Any thread. */
PRINTF_LIKE(2, 3)
void log_guest(struct log_limit *limit, const char *format, ...);

#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

#endif
