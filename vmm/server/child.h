/* SPDX-License-Identifier: MIT */
/* What the server's processes have in common when they begin. */
#ifndef VMM_SERVER_CHILD_H
#define VMM_SERVER_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Forks. The child ends when its parent does, and takes none of the signals
 * that a terminal or a service manager sends to all of a service's processes:
 * its parent decides. Returns as fork(2), with a negative errno for errors.
 */
pid_t child_fork(void);

/*
 * In the child: keeps standard output and error, and of all other descriptors
 * these, which become 3, 4, ... in their order; -1 is none, and stays that.
 * Standard input becomes /dev/null. Returns 0 or a negative errno.
 */
int child_keep(int *const fds[], unsigned count);

/* Standard output or error for a guest; -1 where nobody reads it any more. */
int child_output(int fd);

/* CLOCK_MONOTONIC, in nanoseconds. */
uint64_t child_now_ns(void);

/*
 * One packet of a SOCK_SEQPACKET socket, with descriptors (at most
 * CHILD_FDS_MAX); waits. Returns 0 or a negative errno.
 */
#define CHILD_FDS_MAX 8
int child_send(int socket, const void *data, size_t bytes, const int *fds,
               unsigned count);

/*
 * Takes a packet of exactly `bytes` bytes with at most `*count` descriptors,
 * close-on-exec, and stores how many there were; waits if the socket is
 * blocking. Returns 0; -EAGAIN; -EPIPE at the end; -EMFILE if the packet is
 * there and its descriptors are lost: there were too many, or the host has no
 * room; -EPROTO for any other packet, whose descriptors are closed.
 */
int child_receive(int socket, void *data, size_t bytes, int *fds,
                  unsigned *count);

#endif
