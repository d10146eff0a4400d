/* SPDX-License-Identifier: MIT */
/* Directories of the host: a 9P2000.L client over virtio. */
#ifndef GUEST_RT_P9_H
#define GUEST_RT_P9_H

/*
 * Each share (`--share`) is a device and a session. Nothing is cached: every
 * lookup, read and stat asks the server, so that what the host or another VM
 * changes is seen at once, and what is written is the host's when the call
 * returns. Data moves between the program's memory and the device; it is not
 * copied here.
 *
 * A node has a fid, by which the server knows its path; an open file has one of
 * its own. Fids that are not needed any more are given up by a message that
 * nobody waits for, and that goes with the next one.
 *
 * Messages live in slots. A call takes as many as it needs, fills them, sends
 * them with one kick, and waits for their answers; the server may answer in any
 * order. Several threads may have calls under way: while one waits, others run
 * (poll_wait() sees to that). All of this runs with the runtime's lock held.
 */

#include <linux/virtio_9p.h>
#include <mayfly/p9.h>

#include "guest_rt/device.h"
#include "guest_rt/poll.h"
#include "guest_rt/ring.h"
#include "guest_rt/vfs.h"

#define P9_SLOTS      16u   /* messages at a time */
#define P9_PIECES_MAX 16u   /* of a program's memory in one message */
#define P9_OUT_BYTES  544u  /* the longest request without data: two names */
#define P9_IN_BYTES   192u  /* the longest answer without data: attributes */
#define P9_FIDS_MAX   4096u /* as many as a server has to know */
#define P9_BUCKETS    64u

struct p9_message {
    uint8_t out[P9_OUT_BYTES]; /* first: the device reads it here */
    uint8_t in[P9_IN_BYTES];
    struct iovec data[P9_PIECES_MAX]; /* of the program's memory */
    unsigned data_count;
    bool data_comes;    /* the server writes it: behind the answer's fields */
    uint16_t out_bytes; /* put so far */
    uint16_t in_bytes;  /* of the answer, before the data, as it should be */
    uint16_t taken;     /* of those, taken so far */
    bool used;          /* the slot is not free */
    bool forgotten;     /* nobody waits: freed when it is answered */
    bool done;
    uint32_t written; /* bytes of the whole answer */
    uint32_t fid;     /* that is given up by it */
};

struct p9_node {
    struct vnode vnode;
    struct p9_node *next; /* with the same hash */
    uint64_t inode;       /* the server's number of the file */
    uint32_t fid;
    uint32_t made_fid;     /* open since the file was made, or P9_NO_FID */
    struct p9_file *files; /* open on it */
    struct stat found;     /* what the lookup that found it saw ... */
    uint64_t found_ns;     /* ... at this time; 0: that was used */
};

struct p9_file {
    struct p9_file *next; /* of the same node */
    struct p9_node *node;
    uint32_t fid;
    bool writable;
    /* Entries of a directory that were read and not yet asked for. */
    uint8_t *entries;
    unsigned at, end;
    off_t offset; /* where those at `at` are */
};

struct p9_fs {
    struct vfs vfs;
    struct device device;
    struct ring ring;
    struct poll poll;
    bool broken;       /* the device has given up */
    uint32_t msize;    /* bytes of a message */
    uint32_t io_bytes; /* data of one */
    struct p9_node *buckets[P9_BUCKETS];
    struct p9_message *in_flight[DEVICE_QUEUE_SIZE_MAX]; /* by head */
    struct p9_message *slots;                            /* P9_SLOTS */
    unsigned free_slots;
    uint32_t fid_hint; /* where to look for a free one */
    uint64_t fids[P9_FIDS_MAX / 64];
};

static inline struct p9_fs *p9_fs_of(const struct vnode *node)
{
    return (struct p9_fs *)node->fs;
}

static inline struct p9_node *p9_node_of(struct vnode *node)
{
    return (struct p9_node *)node;
}

/* ---- Messages (p9.c) ---------------------------------------------------- */

/*
 * Takes `count` slots; waits until there are as many. Fids are looked up after
 * that, as other threads may replace them meanwhile. A thread that has some
 * gives them back before it takes others: else all could wait for each other.
 */
void p9_take(struct p9_fs *fs, struct p9_message **messages, unsigned count);
void p9_give(struct p9_fs *fs, struct p9_message **messages, unsigned count);

/* Begins a request; its answer has `in_bytes` bytes before any data. */
void p9_begin(struct p9_message *message, uint8_t type, unsigned in_bytes);

/* The lengths of answers: fields behind the header. */
#define P9_ANSWER(bytes) (P9_HEADER_BYTES + (bytes))

void p9_put(struct p9_message *message, uint64_t value, unsigned bytes);
void p9_put_name(struct p9_message *message, const char *name);

/* Fields of the answer, behind its header. */
uint64_t p9_next(struct p9_message *message, unsigned bytes);

/* Sends them all and waits for the answers. */
void p9_exchange(struct p9_fs *fs, struct p9_message **messages,
                 unsigned count);

/* What became of it: 0, the server's -errno, or -EIO. */
int p9_result(const struct p9_message *message);

/* p9_exchange() of one, and its result. */
int p9_call(struct p9_fs *fs, struct p9_message *message);

/*
 * Whether a message failed because the one before, on which it depends, was
 * not yet done: a server may take them in any order. Then it is sent again.
 */
bool p9_came_too_early(int before, int error);

/* A number for a fid, or P9_NO_FID. */
uint32_t p9_new_fid(struct p9_fs *fs);
/* The server never got to know it. */
void p9_free_fid(struct p9_fs *fs, uint32_t fid);
/* Tells the server to forget it; nobody waits. P9_NO_FID is fine. */
void p9_forget_fid(struct p9_fs *fs, uint32_t fid);
/* Sends what waits for the next call now. */
void p9_publish(struct p9_fs *fs);

/* ---- Nodes (p9_node.c) -------------------------------------------------- */

extern const struct vnode_ops p9_ops;

/*
 * The node of the file with these attributes (an answer to P9_GETATTR), which
 * `fid` leads to: takes it over, failed or not. Returns it with a reference, or
 * NULL if there is no memory.
 */
struct vnode *p9_find_node(struct p9_fs *fs, uint32_t fid, uint64_t inode,
                           mode_t mode, dev_t device);

/* Begins a request about one fid and nothing else. */
void p9_begin_about(struct p9_message *message, uint8_t type, uint32_t fid,
                    unsigned in_bytes);

/* Begins P9_GETATTR, and takes its answer. */
void p9_begin_getattr(struct p9_message *message, uint32_t fid);
void p9_take_attributes(struct p9_message *message, struct stat *stat);

/* Begins P9_WALK from `fid` to `name` (NULL: to where it is). */
void p9_begin_walk(struct p9_message *message, uint32_t fid, uint32_t to,
                   const char *name);

/* What stat() and set() do, of an open file (NULL: of the node). */
int p9_stat(struct p9_node *node, const struct p9_file *file,
            struct stat *stat);
int p9_set(struct p9_node *node, const struct p9_file *file,
           const struct vfs_change *change);

/* ---- Open files (p9_file.c, p9_directory.c) ------------------------------ */

int p9_open(struct vnode *vnode, int flags, struct file **opened);
void p9_release_file(struct file *file);
int p9_stat_file(struct file *file, struct stat *stat);
int p9_sync_file(struct file *file, bool data_only);

extern const struct file_ops p9_directory_ops;

#endif
