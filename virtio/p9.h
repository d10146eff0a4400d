/* SPDX-License-Identifier: MIT */
/* The virtio 9P transport device (id 9): a directory of the host's. */
#ifndef VIRTIO_P9_H
#define VIRTIO_P9_H

/*
 * A share is one directory of the host and what lies below it on the same
 * mount, read-only or not. The guest speaks 9P2000.L over one queue: a chain is
 * one request and room for its answer. Requests are served one after the other
 * in the order in which the driver made them available, each by the system
 * calls that it names; data of reads and writes moves straight between the file
 * and guest memory.
 *
 * The guest names files by fids, numbers of its own. What stands behind a fid
 * is a path from the share's root, of checked names without links, and once it
 * is opened a descriptor. Every use of a path begins at the root again, by
 * openat2() that stays beneath it (p9_host.h), so nothing that others do to the
 * directories meanwhile leads outside. Symbolic links are the guest's to
 * follow. Files that are neither regular nor directories are never opened.
 *
 * Nothing that the guest does ends in more than an error for that request; only
 * a chain that has no room for an error stops the device. A request that a
 * signal interrupts stays and is done again at the next serve. A reset, or a
 * new session (P9_VERSION), forgets all fids and closes what they had open.
 *
 * A limit on requests and bytes per second may hold a request back before it
 * begins; the bytes of a read or write are charged when they are known.
 *
 * Everything runs in the thread that serves the device.
 */

#include <mayfly/p9.h>

#include "virtio/device.h"
#include "virtio/limit.h"

#define P9_QUEUE_MAX     128u /* entries of the largest queue */
#define P9_TAG_MAX       32u  /* bytes of the mount tag */
#define P9_FIDS_MAX      4096u
#define P9_OPEN_MAX      1024u     /* of these, open at a time */
#define P9_PATH_BYTES    4096u     /* a path from the root, its NUL included */
#define P9_MSIZE_MIN     4096u     /* bytes of a message ... */
#define P9_MSIZE_MAX     0x101000u /* ... 1 MiB of data and a page more */
#define P9_REQUEST_BYTES 8192u     /* a request without a write's data */
#define P9_DIRENTS_BYTES 16384u    /* read of a directory at once */
#define P9_ANSWER_BYTES  20480u    /* an answer without a read's data */

struct p9_options {
    int fd;                 /* the directory; borrowed, may be O_PATH */
    bool read_only;         /* all changes are refused */
    const char *tag;        /* the mount tag, 1 to P9_TAG_MAX bytes. Copied. */
    uint32_t queue_size;    /* 4 ... P9_QUEUE_MAX, a power of two; 0: largest */
    struct limit_rate rate; /* requests, and bytes of their data */
};

/* What a fid of the guest's stands for. */
struct p9_fid {
    uint32_t number; /* the guest's name for it */
    uint16_t next;   /* index of the next one in its bucket, or free */
    uint8_t type;    /* P9_QID_*: what was found there last */
    bool used;
    int fd; /* open on it, or -1 */
};

#define P9_FID_BUCKETS 1024u

struct p9_fids {
    struct p9_fid fids[P9_FIDS_MAX];
    uint16_t buckets[P9_FID_BUCKETS]; /* index + 1; 0: empty */
    uint16_t free;                    /* index + 1 of the first free one */
    uint16_t fresh;                   /* fids from here on were never used */
    unsigned open;                    /* descriptors */
    char paths[P9_FIDS_MAX][P9_PATH_BYTES]; /* touched as they are used */
};

/* The fields that are left of a request's private copy. */
struct p9_reader {
    uint8_t *at;
    size_t left;
    bool bad; /* something was missing, or no string */
};

/* The request that is being served. */
struct p9_request {
    uint16_t head; /* names its chain */
    uint8_t type;
    uint16_t tag;
    struct iovec *out; /* pieces that the device reads ... */
    struct iovec *in;  /* ... and those that it writes: guest memory */
    uint64_t data;     /* bytes of a write's data, behind its header */
    uint64_t room;     /* for the answer */
    uint32_t in_data;  /* of a read, written behind the answer's header */
    uint64_t moved;    /* bytes of data, for the budget and the limit */
    bool flushed;      /* the host was asked to write to its disk */
    size_t copied;     /* bytes of the private copy */
    uint8_t copy[P9_REQUEST_BYTES];
};

struct p9 {
    struct vdev dev;
    struct {
        uint16_t tag_bytes; /* struct virtio_9p_config */
        uint8_t tag[P9_TAG_MAX];
    } config;
    int root;
    uint64_t root_device, root_inode; /* the host's numbers of it */
    bool read_only;
    uint32_t msize; /* of this session; 0: there is none yet */
    struct p9_fids *fids;

    uint64_t requests;      /* answered so far */
    uint64_t read_bytes;    /* moved from files to the guest */
    uint64_t written_bytes; /* and back */
    uint64_t errors;        /* answered with an error */
    uint64_t delayed;       /* times that the rate limit said to wait */

    bool busy; /* `request` is under way */
    struct p9_request request;
    uint8_t fields[P9_REQUEST_BYTES]; /* its copy, as it is taken apart */
    struct p9_reader reader;
    size_t answered; /* bytes of the answer so far */
    uint8_t answer[P9_ANSWER_BYTES];
    uint8_t dirents[P9_DIRENTS_BYTES];
    struct iovec iov[P9_QUEUE_MAX]; /* the request's pieces */
    struct limit rate;              /* what may pass */
    struct log_limit limit;
};

/*
 * Sets up a zeroed `p9` as the share in `options`, which are not kept. The
 * device itself is `p9->dev`. Returns 0; -EINVAL for a bad queue size or tag,
 * or a directory of a file system through which the monitor itself could be
 * reached (proc); -ENOTDIR; -ENOSYS where the kernel has no openat2(); -ENOMEM;
 * or what the host refused.
 */
MUST_CHECK int p9_init(struct p9 *p9, const struct p9_options *options);

/* Closes and frees all that p9_init() and requests took. Zeroed: nothing. */
void p9_fini(struct p9 *p9);

#endif
