/* SPDX-License-Identifier: MIT */
/* What the tests of sockets share: printing results, the loopback. */
#ifndef IMAGES_SOCKETS_SOCKETS_H
#define IMAGES_SOCKETS_SOCKETS_H

#include <stdbool.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* Prints a call's result, or its errno's name. Returns the result. */
long show(const char *what, long result);

/* For calls that return a descriptor. */
int show_fd(const char *what, int fd);

/* Prints what poll() says of a descriptor. */
void show_events(const char *what, int fd);

/* Waits until one of the events is there, 5 s at most. */
void wait_for(int fd, short events);

/* An option's value, or -errno. */
int get_int(int fd, int level, int option);
int set_int(int fd, int level, int option, int value);

union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

/* Fills in an address of this machine's own. Returns its size. */
socklen_t loopback(union address *address, int family, unsigned port);

/* The port that a socket is bound to. */
unsigned port_of(int fd);

/* Prints a socket's address, or its peer's. */
void show_name(const char *what, int fd, bool peer);

/* Listens on the loopback. Returns the descriptor. */
int listen_on(int family, unsigned port, int backlog);

/* Connects to the loopback. Returns the descriptor. */
int connect_to(int family, unsigned port);

struct pair {
    int client, server;
};

/* A connection over the loopback. */
struct pair make_pair(int family);

/* What main() runs, each printing what its calls return. */
void test_arguments(void);
void test_options(void);
void test_connection(int family);
void test_reset(void);
void test_pipe_signal(void);
void test_bulk(int family);
void test_datagrams(int family);
void test_dual(void);
void test_many(void);
void test_socketpair(int type, const char *name);
void test_unix(void);
void test_rights(void);
void test_rights_without_room(void);
void test_interfaces(void);

#endif
