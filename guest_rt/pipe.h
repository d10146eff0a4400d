/* SPDX-License-Identifier: MIT */
/* Pipes, with and without a name. */
#ifndef GUEST_RT_PIPE_H
#define GUEST_RT_PIPE_H

/*
 * A pipe is a ring of bytes between files that read and files that write it,
 * the ends. It lives as long as it has an end. The ring starts with a page and
 * grows to PIPE_BYTES when it is full. A FIFO's node has its pipe while it is
 * open (vnode.special); without a node there are two ends.
 */

#include "file.h"

#define PIPE_BYTES  65536u
#define PIPE_ATOMIC 4096u /* PIPE_BUF */

struct pipe;

struct pipe_end {
    struct pipe_end *next;
    struct pipe *pipe;
    struct file *file;
    unsigned writers_seen; /* writer_opens when it was opened */
};

struct pipe {
    struct pipe_end *ends;
    unsigned readers, writers; /* ends; one may be both */
    unsigned reader_opens, writer_opens;
    struct wait_queue opening; /* of a FIFO */
    struct vnode *node;        /* that FIFO, or NULL */
    ino_t inode;
    unsigned char *ring;
    size_t bytes;       /* of the ring */
    size_t first, used; /* where the oldest byte is, and how many there are */
};

extern const struct file_ops pipe_ops;

struct pipe *pipe_create(void);

/* Frees a pipe without ends. */
void pipe_free(struct pipe *pipe);

/* Adds an end: a file with one reference, or NULL. */
struct file *pipe_open_end(struct pipe *pipe, int flags);

#endif
