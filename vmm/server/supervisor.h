/* SPDX-License-Identifier: MIT */
/* The supervisor: all of its parts. */
#ifndef VMM_SERVER_SUPERVISOR_H
#define VMM_SERVER_SUPERVISOR_H

/*
 *   BOOTING    the sockets are there, the first workers are not: the kernel
 *              holds connections
 *   SERVING
 *   DRAINING   SIGTERM or SIGINT came: what the kernel already has is accepted,
 *              and all that is there is served
 *   ENDED      that is done, or a second signal came, or there is nothing to
 *              serve with
 */

#include "vmm/server/admin.h"
#include "vmm/server/fleet.h"
#include "vmm/server/listen.h"
#include "vmm/server/pace.h"

enum supervisor_phase { BOOTING, SERVING, DRAINING, ENDED };

/* What was read last of it (gauges.c). */
struct supervisor_memory {
    struct memory_use workers, own;
    uint64_t again_ns; /* not before that */
};

struct supervisor {
    const struct server_options *options;
    struct loop loop;
    struct metrics metrics;
    struct access_log log;
    struct clients clients;
    struct dispatch dispatch;
    struct fleet fleet;
    struct pace pace;
    enum supervisor_phase phase;
    int status; /* to end with */

    struct listener listener;
    struct watch listen_watch;
    bool listening;         /* it is watched for connections */
    bool was_ready;         /* it was in this round */
    bool crowded;           /* it was, and there was no room */
    unsigned batch;         /* connections to accept at once */
    unsigned full;          /* rounds in a row in which there were so many */
    uint64_t pause_ns;      /* accept no sooner; 0: now */
    unsigned backlog;       /* DRAINING: the kernel may have so many more */
    uint64_t held_until_ns; /* the same: it hands out silent ones till then */
    uint64_t hurry_ns;      /* the same: when silent ones are closed */

    int signal_fd;
    struct watch signal_watch;

    struct listener admin_listener;
    struct admin *admin; /* NULL: none */
    struct watch admin_watch;
    int memory_fd; /* of this process */
    struct supervisor_memory memory;
    uint64_t log_ns; /* when the log is to be written; 0: there is nothing */
};

/* What somebody sees who asks at the admin endpoint; `context` is a supervisor
 * (admin.h). */
size_t supervisor_write_metrics(void *context, char *to);
bool supervisor_is_healthy(void *context);

#endif
