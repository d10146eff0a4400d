/* SPDX-License-Identifier: MIT */
/* How many workers there are, and of which image. */
#ifndef VMM_SERVER_FLEET_H
#define VMM_SERVER_FLEET_H

/*
 * A batch is a generation (boot.h) and the workers that are made of it. At the
 * start, and at each reload, the booter makes a generation, whose workers are
 * `coming`. When they are ready they are the current ones: those before get
 * nothing new, finish what they have, and end. If the booter fails, or the
 * workers do not get ready, those before stay.
 *
 * A worker that ends is replaced. Where workers die before they have served
 * anything, that waits: 10 ms, then twice as long each time, up to a second.
 */

#include "vmm/server/boot.h"
#include "vmm/server/dispatch.h"

#define FLEET_DELAY_MIN_NS 10000000u
#define FLEET_DELAY_MAX_NS 1000000000u

/* Workers of a new generation that may die before it is given up. */
#define FLEET_FAILURES_MAX 3u

struct batch {
    bool exists;
    struct generation made;
    unsigned number;
    unsigned failures; /* its workers that died before they had served */
};

struct fleet {
    const struct server_options *options;
    struct loop *loop;
    struct dispatch *dispatch;
    struct metrics *metrics;
    int listener; /* which workers accept from; -1: none does, any more */

    struct batch current, coming;
    unsigned last_number;
    struct boot_link booter;
    pid_t booter_pid; /* 0: none that was not waited for */
    bool booting;     /* it has not been heard */
    bool boot_again;  /* a reload was asked for meanwhile */
    struct watch boot_watch;
    uint64_t boot_deadline_ns;

    uint64_t delay_ns, start_at_ns; /* no worker before that */
    uint64_t said_ns;               /* when a death was last told of */
    bool tended;                    /* nothing has happened since */
    int status;                     /* why it cannot serve; CLI_OK */
};

/* How many workers there may be at a time. */
unsigned fleet_room(const struct server_options *options);

/* Boots, for the first time or again. The fields up to `metrics` are set. */
void fleet_boot(struct fleet *fleet);

/* Waits for the children that have ended. */
void fleet_reap(struct fleet *fleet);

/* Starts workers, and changes generations. Once a turn. */
void fleet_tend(struct fleet *fleet);

/* When fleet_tend() has something to do next; LOOP_NEVER. */
uint64_t fleet_deadline(const struct fleet *fleet);

/* Kills all processes, and waits for them. */
void fleet_end(struct fleet *fleet);

#endif
