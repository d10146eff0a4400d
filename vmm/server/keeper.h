/* SPDX-License-Identifier: MIT */
/* Keepers: a worker's connection outlives it. */
#ifndef VMM_SERVER_KEEPER_H
#define VMM_SERVER_KEEPER_H

/*
 * A worker that accepts connections itself has a keeper, a process that shares
 * its table of descriptors and nothing else, and sleeps. What the worker
 * accepts is in the table from the moment on at which the kernel hands it out,
 * so there is none at which the worker's death loses it: the supervisor asks
 * the keeper for the descriptor with the number KEEPER_CONNECTION, the first
 * one that is free when a worker accepts. The keeper ends when the supervisor
 * has closed its end of their socket, and is confined to this.
 *
 * It costs the worker nothing but a copy of the descriptor for its VM (dup(2)).
 */

#define KEEPER_CONNECTION 3

/*
 * In a worker that is not confined yet: starts its keeper, which listens at
 * `socket`, a blocking one. Returns 0 or a negative errno.
 */
int keeper_start(int socket);

/*
 * In the supervisor, when the worker is no more: its connection. Returns a
 * descriptor, of whatever; or -1: there is none, or the keeper is gone.
 */
int keeper_fetch(int socket);

#endif
