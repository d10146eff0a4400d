/* SPDX-License-Identifier: MIT */
/* The booter: from an image to what the workers' VMs are made of. */
#ifndef VMM_SERVER_BOOT_H
#define VMM_SERVER_BOOT_H

/*
 * A generation is what VMs are restored from: a snapshot in memory, which
 * nobody can change any more, and the disks that go with it. One is made at the
 * start and one at each reload:
 *
 *   boot_start    forks the booter. It opens what the options name and hands
 *                 the disks over, confines itself, runs the image to its first
 *                 accept, writes the snapshot, reports and ends. A snapshot
 *                 instead of an image is checked and copied.
 *   boot_hear     what it has reported, when `report_fd` is readable. The
 *                 booter has said on standard error what was wrong.
 *   boot_finish   closes what is the booter's. Killing it (at the latest
 *                 boot_timeout_ns and a second after its start) and waiting
 *                 for it are the caller's.
 *   generation_release   when no worker is to be made of it any more.
 *
 * The supervisor's thread only.
 */

#include <sys/types.h>

#include "vmm/server/server.h"

struct generation {
    int snapshot_fd;                            /* -1: none */
    struct mayfly_disk disks[MAYFLY_DISKS_MAX]; /* their descriptors are ours */
    unsigned disk_count;
    bool given;            /* the snapshot was: it has no options of ours */
    bool resettable;       /* else a VM is for one use */
    uint64_t mem_bytes;    /* RAM of a VM */
    uint64_t stored_bytes; /* of the snapshot: what VMs have in common */
    uint64_t boot_ns;      /* how long it took */
};

/*
 * What the booter says: BOOT_OPENED with its disks, and then BOOT_DONE. For
 * boot.c and booter.c.
 */
enum boot_word { BOOT_OPENED = 1, BOOT_DONE };

struct boot_report {
    uint32_t word;      /* enum boot_word */
    int32_t status;     /* enum cli_status: of BOOT_DONE */
    uint64_t mem_bytes; /* likewise, and so on */
    uint32_t given;
    uint32_t resettable;
};

/* The booter, in its own process (booter.c). Does not return. */
_Noreturn void booter_run(const struct server_options *options, int report_fd,
                          int snapshot_fd);

/* A booter at work. */
struct boot_link {
    pid_t pid;
    int report_fd; /* ours: readable when there is a report, or none any more */
    struct generation made; /* so far */
    uint64_t start_ns;
    const struct cli_guest *guest;
    bool taken; /* `made` is the caller's */
};

/* Forks a booter. Returns 0 or a negative errno. */
int boot_start(const struct server_options *options, struct boot_link *link);

/*
 * Takes what the booter has said. Returns -EAGAIN if it is not done yet. Else
 * 0 with its status in `*status`: CLI_OK, and `link->made` is complete and the
 * caller's; or the status to end with, and there is nothing. A booter that
 * ended without a word has CLI_FAILED.
 */
int boot_hear(struct boot_link *link, int *status);

/* Forgets a booter that has been heard, or is not to be heard any more. */
void boot_finish(struct boot_link *link);

/* Closes all of it. Workers that were made of it keep what they have. */
void generation_release(struct generation *generation);

#endif
