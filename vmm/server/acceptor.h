/* SPDX-License-Identifier: MIT */
/* In a worker: accepting connections itself. */
#ifndef VMM_SERVER_ACCEPTOR_H
#define VMM_SERVER_ACCEPTOR_H

/*
 * Where a client's connection goes to a worker that waits for it, nobody else
 * has to be woken. Life of such a connection:
 *
 *   acceptor_try      accepts it; that number becomes `begun`, and its first
 *                     bytes are looked at. If there are none yet, the
 *                     supervisor gets it, and there is none.
 *   acceptor_close    the guest has served it well
 *   acceptor_finish   reports it in the page, where the supervisor looks once
 *                     in a while; or sends it to the supervisor, with its
 *                     report, if it was not served well
 *
 * The connection itself is KEEPER_CONNECTION (keeper.h), as is that of a job;
 * the VM has a copy. All are the worker's own thread.
 */

#include "vmm/server/worker.h"

struct acceptor {
    int listener; /* -1: it never accepts */
    int keeper;   /* the keeper's socket, for it only */
    int epoll_fd;
    int socket; /* to the supervisor */
    struct worker_page *page;
    bool enabled;      /* the listener is waited for */
    uint64_t begin_ns; /* when the last one was accepted */
};

/*
 * Before the VM is made; something else is KEEPER_CONNECTION until all that
 * stays open is open. The fields up to `page` are set. Returns 0 or a
 * negative errno.
 */
int acceptor_open(struct acceptor *acceptor);

/* The supervisor allows it. */
void acceptor_enable(struct acceptor *acceptor);

/* Accepts a connection for a VM. Returns its descriptor, or -1. */
int acceptor_try(struct acceptor *acceptor);

/* Waits for a connection or a packet. Returns whether there is a packet. */
bool acceptor_wait(struct acceptor *acceptor);

/* A copy for the VM. */
int acceptor_copy(const struct acceptor *acceptor);

void acceptor_close(struct acceptor *acceptor);

/* Returns whether the supervisor has it, else it has closed its end. */
bool acceptor_finish(struct acceptor *acceptor,
                     const struct worker_report *report);

#endif
