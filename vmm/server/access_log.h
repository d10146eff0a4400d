/* SPDX-License-Identifier: MIT */
/* The access log: one JSON object, and one line, a connection. */
#ifndef VMM_SERVER_ACCESS_LOG_H
#define VMM_SERVER_ACCESS_LOG_H

/*
 * Lines are buffered and written whole, when the buffer is full and when the
 * loop has nothing else to do. Nobody waits for the log: what a full disk, or a
 * reader that is slow or gone, does not take stays in the buffer, and what the
 * buffer has no room for is lost and counted. The keys are in vmm/README.md.
 * SIGPIPE and SIGXFSZ have to be ignored. One thread: the supervisor's.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/server/record.h"

#define ACCESS_LOG_BUFFER_BYTES 65536u
#define ACCESS_LOG_LINE_BYTES   2560u /* the longest, its newline included */

struct access_log {
    const char *path; /* NULL: there is none */
    int fd;
    bool shared;   /* the file is others', too: it may be a blocking one */
    bool torn;     /* its first line's beginning is written already */
    bool failing;  /* it was said that it does not work */
    uint64_t lost; /* lines */
    size_t used;   /* bytes of the buffer */
    char buffer[ACCESS_LOG_BUFFER_BYTES]
        __attribute__((aligned(4096))); /* no child inherits it */
};

/*
 * Opens a file to append to it, or with "-" standard output; makes the file if
 * it is not there. With NULL there is no log, and all else does nothing. `path`
 * has to live as long as the log. Returns 0 or -errno.
 */
int access_log_open(struct access_log *log, const char *path);

/* Adds a line; `now_ns` is CLOCK_REALTIME's, of the connection's end. */
void access_log_add(struct access_log *log,
                    const struct connection_record *record, uint64_t now_ns);

/*
 * Writes what there is. Returns whether something is left: then the caller
 * tries again in a while (ACCESS_LOG_RETRY_MS), although nothing was added.
 */
#define ACCESS_LOG_RETRY_MS 100
bool access_log_flush(struct access_log *log);

/*
 * Opens the path anew, after the file was renamed; what was said before goes to
 * the old file. If that fails, the old one stays. Returns 0 or -errno.
 */
int access_log_reopen(struct access_log *log);

/* Writes what there is, for a second at most, and closes the file. */
void access_log_close(struct access_log *log);

/*
 * Writes the line of a record, ACCESS_LOG_LINE_BYTES at most with its newline.
 * Returns its length. For access_log_add() and tests.
 */
size_t access_log_format(char *to, const struct connection_record *record,
                         uint64_t now_ns);

#endif
