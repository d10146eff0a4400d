/* SPDX-License-Identifier: MIT */
/* The virtio memory balloon (virtio 1.2, 5.5) with free page reporting. */
#ifndef VIRTIO_BALLOON_H
#define VIRTIO_BALLOON_H

/*
 * Memory that the guest does not use goes back to the host: what the driver
 * reports as free (5.5.6.7), and what it gives to the balloon of its own
 * accord: it is never asked to, the target is 0. Each whole host page of it is
 * dropped by MADV_DONTNEED; when the guest uses it again, it finds zeroes. That
 * frees only private anonymous memory, which is what VMs have; a shared mapping
 * would keep its pages. Of a huge page, the part that is named is dropped.
 *
 * Nothing has to be done for a page that leaves the balloon, so the driver need
 * not wait for an answer: MUST_TELL_HOST is not offered, DEFLATE_ON_OOM is.
 * Neither are statistics, free page hints and page poison. Used lengths are 0:
 * nothing is promised about what is in a page that was reported.
 *
 * The standard numbers the queues firmly, so that reports come by queue 4
 * (5.5.2). Linux counts only queues that exist, so that it looks for them at
 * queue 2, which is statsq where that is offered; QEMU numbers as Linux does.
 * Here both are there and do the same. Queue 3 (free_page_vq) is not.
 *
 * The driver may name any of its memory, its rings and stack and the boot page
 * included: they read as zeroes from then on, which is its own loss. What it
 * may not write (page tables, descriptor tables) it cannot drop either, as it
 * is not in the device's memory. A page outside is ignored and counted.
 *
 * One chain is served at a time. What is not finished stays here and goes on at
 * the next serve; a reset forgets it. The device asks to be kicked for each
 * chain. Everything runs in the thread that serves it.
 */

#include <linux/virtio_balloon.h>

#include "virtio/device.h"

enum balloon_queue {
    BALLOON_INFLATE = 0, /* virtio 1.2, 5.5.2 */
    BALLOON_DEFLATE = 1,
    BALLOON_REPORT_PACKED = 2, /* where Linux expects it */
    BALLOON_REPORT = 4,
};

#define BALLOON_QUEUES 5u  /* the numbers in use, and 3 */
#define BALLOON_CHAINS 16u /* entries of the inflate and deflate queues */
#define BALLOON_REPORT_MAX                            \
    32u /* entries for reports: what Linux insists on \
         */
#define BALLOON_PAGE_BYTES                            \
    4096u /* the protocol's unit, and the host's page \
           */

/* The chain that is being served. */
struct balloon_chain {
    unsigned queue;      /* where it came from */
    uint16_t head;       /* names it there */
    struct iovec *piece; /* goes on here */
    unsigned reports;    /* report: pieces that are left */
    uint64_t pages;      /* inflate: page numbers that are left */
};

struct balloon {
    struct vdev dev;
    struct virtio_balloon_config
        config; /* num_pages, which is 0, and the driver's actual */

    uint64_t inflated_pages; /* given to the balloon so far */
    uint64_t deflated_pages; /* and taken back */
    uint64_t reports;        /* chains of free pages */
    uint64_t reported_bytes; /* in them */
    uint64_t freed_bytes;    /* dropped, of both kinds */
    uint64_t refused_pages;  /* outside memory, or kept by the host */

    bool busy; /* `chain` is under way */
    struct balloon_chain chain;
    struct iovec iov[BALLOON_REPORT_MAX]; /* its pieces */
    struct log_limit limit;               /* for saying what the host refused */
};

/* Sets up `balloon`. The device is `balloon->dev`. */
void balloon_init(struct balloon *balloon);

#endif
