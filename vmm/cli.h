/* SPDX-License-Identifier: MIT */
/* The command line: what its files share. Uses the public library only. */
#ifndef VMM_CLI_H
#define VMM_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "vmm/mayfly.h"

/*
 * Exit statuses. A guest's own status passes through; these mean that there is
 * none. 125 to 127 are what container tools use for the same cases; a VM that
 * a signal ended has CLI_SIGNALLED plus the signal's number, as in a shell.
 */
enum cli_status {
    CLI_OK = 0,
    CLI_CRASHED = 123,   /* the guest crashed */
    CLI_TIMED_OUT = 124, /* --timeout ended it, as timeout(1) does */
    CLI_FAILED = 125,    /* the monitor could not do it */
    CLI_NOT_IMAGE = 126, /* the file is not an image */
    CLI_NOT_FOUND = 127, /* there is no such file */
    CLI_SIGNALLED = 128,
};

/* The subcommands: argv[0] is the subcommand's name. Return the status. */
int cmd_run(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_doctor(int argc, char **argv);

/* Prints "mayfly: " and the message to standard error. Returns `status`. */
__attribute__((__format__(__printf__, 2, 3))) int
cli_fail(int status, const char *format, ...);

/* A usage error: the message, and where to find help. Returns CLI_FAILED. */
__attribute__((__format__(__printf__, 2, 3))) int
cli_misuse(const char *command, const char *format, ...);

/*
 * Opens an image. Returns the descriptor, above the three standard ones, or
 * -1 with the status in `*status` after saying why. A standard descriptor that
 * was closed is kept occupied, and its bit (1 << fd) set in `*closed`.
 */
int cli_open_image(const char *path, unsigned *closed, int *status);

/* One --disk option. */
struct cli_disk {
    const char *path;
    const char *id; /* NULL: none */
    bool read_only;
    bool direct; /* past the host's page cache */
};

/*
 * Takes FILE[,ro][,id=NAME][,direct] apart, cutting `text` at its commas.
 * Returns CLI_OK, or CLI_FAILED after saying what is wrong.
 */
int cli_parse_disk(char *text, struct cli_disk *disk);

/*
 * Opens the file and locks it: one writer, or readers only. Returns CLI_OK and
 * fills `*opened`, or CLI_FAILED after saying why not.
 */
int cli_open_disk(const struct cli_disk *disk, struct mayfly_disk *opened);

/* What a run is reported on. */
struct cli_run {
    const char *image; /* its path, as given */
    uint64_t start_ns; /* CLOCK_MONOTONIC at the start of main */
    long peak_rss_kib;
    int status; /* the exit status */
    struct mayfly_result result;
    struct mayfly_stats stats;
};

/* One line about what the run cost. */
void report_summary(FILE *to, const struct cli_run *run);

/* All counts, as JSON: the schema is in vmm/README.md. */
void report_stats(FILE *to, const struct cli_run *run);

/* Where the time went, as a table for people. */
void report_timeline(FILE *to, const struct cli_run *run);

/* The same as a Chrome trace (JSON). */
void report_trace(FILE *to, const struct cli_run *run);

/* A crash, for people: what, where, registers, frames. */
void report_crash(FILE *to, const struct mayfly_crash *crash,
                  const struct mayfly_frame *frames, unsigned count);

#endif
