/* SPDX-License-Identifier: MIT */
/* Streams for tests: the guest's sockets, and the host's end of them. */
#ifndef TESTS_RING_VSOCK_PEER_H
#define TESTS_RING_VSOCK_PEER_H

#include <criterion/criterion.h>
#include <stdbool.h>

#include "guest_rt/socket.h"
#include "tests/ring/vm.h"
#include "virtio/vsock.h"

#define PORT 80u

extern struct vsock device;
extern int broker;        /* the end that connects for the guest */
extern unsigned sigpipes; /* that the guest has got */

/* Called when the guest is about to sleep: the host does something. */
extern void (*host_acts)(void);

/* A VM with the device, and "connect=0:10.9.8.7:80:peer". */
void start_vsock(void);

/* ---- The guest ---- */

struct socket *make_socket(int domain);
void close_socket(struct socket *socket);
void set_nonblocking(struct socket *socket);

/* An address of AF_INET, "10.9.8.7"; NULL: any. */
struct socket_name inet_name(const char *address, unsigned port);
struct socket_name vm_name(unsigned cid, unsigned port);

/* As the system calls. */
int guest_bind(struct socket *socket, struct socket_name name);
int guest_connect(struct socket *socket, struct socket_name name);
long guest_send(struct socket *socket, const void *data, size_t bytes);
long guest_receive(struct socket *socket, void *data, size_t bytes, int flags);
int guest_option(struct socket *socket, int option, int value);
int guest_error(struct socket *socket);
uint32_t guest_poll(struct socket *socket);

/* One that listens at this port, of any address. */
struct socket *listen_at(int domain, unsigned port, int backlog);

/* It waits for a connection. */
struct socket *accept_from(struct socket *listener);

/* "10.0.2.2:1024" */
const char *name_of(struct socket *socket, bool peer);

/* What has come is looked at. */
void look(void);

/* ---- The host ---- */

/* Offers a connection at the guest's port. Returns the other end. */
int offer(unsigned port);

/* Takes what the guest asks for, and answers: 0, or -errno. Returns the end. */
int answer_connect(int error);

/* Nothing but the end is there to be read; or a reset, which may look so. */
bool host_sees_end(int fd);
bool host_sees_reset(int fd);

#endif
