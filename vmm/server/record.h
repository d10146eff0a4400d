/* SPDX-License-Identifier: MIT */
/* What there is to say about a connection that is over. */
#ifndef VMM_SERVER_RECORD_H
#define VMM_SERVER_RECORD_H

/*
 * The supervisor fills one in for each connection that it has accepted, when it
 * closes its own descriptor of it, and gives it to the metrics and to the
 * access log. It owns what is pointed to; both take what they need at once.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/* How a connection ended. */
enum connection_end {
    CONNECTION_SERVED,    /* a VM had it until it was over */
    CONNECTION_REFUSED,   /* the guest did not take it */
    CONNECTION_CRASHED,   /* the guest crashed */
    CONNECTION_EXITED,    /* the guest's program ended */
    CONNECTION_TIMED_OUT, /* its VM took too long */
    CONNECTION_FAILED,    /* its worker could not go on */
    CONNECTION_LOST,      /* its worker died, or had to be killed */
    CONNECTION_SILENT,    /* its client said nothing in time */
    CONNECTION_OVERDUE,   /* it waited for a worker for too long */
    CONNECTION_LEFT,      /* its client was gone before a VM had it */
    CONNECTION_DROPPED,   /* the server ended at once */
    CONNECTION_END_COUNT,
};

/* Zero: there was none, or it is not known. */
struct connection_record {
    uint64_t id;
    enum connection_end end;
    unsigned status;      /* of HTTP, that the supervisor gave: 502, ... */
    socklen_t peer_bytes; /* of the address */
    const struct sockaddr *peer; /* the client; may be NULL */
    const char *request;         /* the first bytes, if they look like HTTP */
    size_t request_bytes;        /* only the first line of them is used */
    uint64_t in_bytes;           /* from the client */
    uint64_t out_bytes;          /* to the client */
    uint64_t queue_ns;           /* from when it could be served to its VM */
    uint64_t vm_ns;              /* in the VM; 0: no VM had it */
    uint64_t total_ns;           /* from accept to end */
    uint64_t reset_pages;        /* that were copied back after it */
    uint64_t exits;              /* from the VM to the monitor */
    pid_t worker;                /* that had it last */
};

/* The end's word, as in metrics and logs: "served", "timed-out", ... */
const char *connection_end_name(enum connection_end end);

#endif
