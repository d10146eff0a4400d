/* SPDX-License-Identifier: MIT */
/* libmayfly: processes that accept connections for their VM. */
#ifndef MAYFLY_ACCEPTOR_H
#define MAYFLY_ACCEPTOR_H

/*
 * What a process does with descriptors of its own after mayfly_confine(), which
 * forbids that otherwise, if it accepts connections for a VM that `serves`:
 * accept4(2) from `listener`; dup(2) of `connection`, for mayfly_offer(); and
 * sendmsg(2) to `reports`. All are less than MAYFLY_ACCEPTOR_FDS, and what is
 * cannot be shut down then, nor have other options: connections of VMs are not.
 */
#define MAYFLY_ACCEPTOR_FDS 8

struct mayfly_acceptor {
    int listener, connection, reports;
};

#endif
