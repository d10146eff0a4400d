/* SPDX-License-Identifier: MIT */
/* What the booter and the workers do with their guests alike. */
#ifndef VMM_SERVER_GUEST_H
#define VMM_SERVER_GUEST_H

#include "vmm/mayfly.h"

struct cli_guest;

/* Where a guest comes from. */
enum guest_origin {
    GUEST_BOOTS,    /* from an image */
    GUEST_GOES_ON,  /* from a snapshot of one that we have booted */
    GUEST_IS_GIVEN, /* from a snapshot that somebody else has taken */
};

/*
 * Fills in what the command line says of a guest, and where its output goes:
 * to standard output and error, where somebody reads them. If it may connect to
 * anything, this starts the process that does (the broker), which ends with
 * this one. Before the sandbox. Returns CLI_OK, or CLI_FAILED after saying why
 * not.
 */
int guest_prepare(const struct cli_guest *guest, enum guest_origin origin,
                  struct mayfly_options *options);

/* Says that what guests print is not taken. */
void guest_explain_loss(const struct mayfly_counts *counts);

/* Says on standard error what a crash was. Sandboxed or not. */
void guest_explain_crash(struct mayfly *vm, const struct mayfly_crash *crash);

#endif
