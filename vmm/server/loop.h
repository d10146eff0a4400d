/* SPDX-License-Identifier: MIT */
/* The supervisor's loop: what is ready, and what time it is. */
#ifndef VMM_SERVER_LOOP_H
#define VMM_SERVER_LOOP_H

/*
 * One thread, one epoll set. Whoever has a descriptor in it embeds a
 * struct watch. Events are level-triggered: who leaves something behind is
 * called again. The time is looked at once a round: all deadlines of a round
 * are compared with the same `now_ns`.
 */

#include <stdint.h>
#include <sys/epoll.h>

struct watch {
    /* Called with what is ready: EPOLLIN, ... */
    void (*ready)(struct watch *watch, uint32_t events);
};

#define LOOP_NEVER UINT64_MAX

struct loop {
    int epoll_fd;
    uint64_t now_ns; /* CLOCK_MONOTONIC at the start of the round */
};

/* Returns 0 or a negative errno. */
int loop_init(struct loop *loop);
void loop_fini(struct loop *loop);

/* Starts watching a descriptor. Returns 0 or a negative errno. */
int loop_add(struct loop *loop, int fd, uint32_t events, struct watch *watch);

/* Watches for other events; 0: for none. */
void loop_change(struct loop *loop, int fd, uint32_t events,
                 struct watch *watch);

/* Ends watching. Others may have the descriptor's file, too: closing it does
 * not do the same. */
void loop_remove(struct loop *loop, int fd);

/*
 * One round: waits until something is ready or `deadline_ns` has come, and
 * calls whoever has something to do.
 */
void loop_turn(struct loop *loop, uint64_t deadline_ns);

static inline uint64_t loop_earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

#endif
