/* SPDX-License-Identifier: MIT */
/* Sockets: what their kinds have in common. */
#ifndef GUEST_RT_SOCKET_H
#define GUEST_RT_SOCKET_H

/*
 * A socket is an open file whose functions (socket_file_ops, socket_file.c)
 * hand over to those of its kind: TCP and UDP over lwIP (socket_tcp.c,
 * socket_udp.c), streams over the virtio socket device (socket_vsock.c), those
 * of the family AF_UNIX (socket_unix.c), and the answers to questions of the
 * family AF_NETLINK (socket_netlink.c). Each kind's structure begins with the
 * struct socket.
 *
 *   system calls     socket.c, socket_message.c, socket_option.c
 *   inet             socket_inet.c (addresses), socket_tcp.c, socket_udp.c, ...
 *   the stack        lwip/
 *   streams          socket_vsock*.c, over vsock.c
 *
 * All functions run with the runtime's lock; results are 0 or more, or -errno,
 * as those of the system calls.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "file.h"

struct socket;

/* An address, of any family. */
struct socket_name {
    socklen_t bytes;
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
        unsigned char raw[128];
    };
};

/* One message to send, or to be received. */
struct socket_message {
    const struct iovec *iov;
    int count;
    size_t bytes;             /* of all pieces */
    int flags;                /* MSG_* as given */
    struct socket_name *name; /* where to, or from; NULL: not wanted */
    void *control;            /* ancillary data, and its room */
    size_t control_bytes;
    size_t control_used; /* received: how much of that */
    int result_flags;    /* received: MSG_TRUNC and so on */
};

/* What a kind of socket can do. NULL means what is said in brackets. */
struct socket_ops {
    int (*bind)(struct socket *socket, const struct socket_name *name);
    int (*connect)(struct socket *socket, const struct socket_name *name);
    int (*listen)(struct socket *socket, int backlog); /* [-EOPNOTSUPP] */
    /* Blocks; `*accepted` has no file yet. [-EOPNOTSUPP] */
    int (*accept)(struct socket *socket, struct socket **accepted);
    long (*send)(struct socket *socket, struct socket_message *message);
    long (*receive)(struct socket *socket, struct socket_message *message);
    int (*shutdown)(struct socket *socket, int how); /* SHUT_* */
    int (*get_name)(struct socket *socket, bool peer, struct socket_name *name);
    /* Of all levels but SOL_SOCKET, of which it gets what concerns it. */
    int (*set_option)(struct socket *socket, int level, int option,
                      const void *value, socklen_t bytes); /* [-ENOPROTOOPT] */
    int (*get_option)(struct socket *socket, int level, int option, void *value,
                      socklen_t *bytes); /* [-ENOPROTOOPT] */
    uint32_t (*poll)(struct socket *socket);
    long (*ioctl)(struct socket *socket, unsigned request,
                  long argument); /* [-ENOTTY] */
    void (*release)(struct socket *socket);
};

struct socket {
    const struct socket_ops *ops;
    struct file *file; /* NULL: not accepted yet */
    int domain, type, protocol;
    int error;                    /* SO_ERROR: tells of it once */
    uint64_t receive_ns, send_ns; /* SO_RCVTIMEO, SO_SNDTIMEO; 0: none */
    uint32_t receive_limit;       /* SO_RCVBUF */
    uint32_t send_limit;          /* SO_SNDBUF */
    uint32_t low_water;           /* SO_RCVLOWAT */
    uint32_t booleans;            /* SOCKET_* */
    struct linger linger;
};

/* Options that are on or off, as bits of `booleans`. */
#define SOCKET_REUSEADDR 1u
#define SOCKET_REUSEPORT 2u
#define SOCKET_KEEPALIVE 4u
#define SOCKET_BROADCAST 8u
#define SOCKET_PASSCRED  16u
#define SOCKET_TIMESTAMP 32u
#define SOCKET_DONTROUTE 64u
#define SOCKET_OOBINLINE 128u

/* What Linux grants if nobody asks (net.core.[rw]mem_default). */
#define SOCKET_LIMIT_DEFAULT 212992u
#define SOCKET_LIMIT_MAX     (4u << 20)

extern const struct file_ops socket_file_ops;

/* ---- socket_file.c ---- */

/* Memory for sockets; zeroed. NULL: there is none. */
void *socket_alloc(size_t bytes);
void socket_free(void *memory);

/* Fills in what a new socket begins with. */
void socket_init(struct socket *socket, const struct socket_ops *ops,
                 int domain, int type, int protocol);

/*
 * Makes the socket a file and gives it a descriptor; `flags` are SOCK_NONBLOCK
 * and SOCK_CLOEXEC. On failure it is released. Returns the descriptor, or
 * -errno.
 */
long socket_install(struct socket *socket, int flags);

/* The socket of a descriptor, with a reference to its file. 0 or -errno. */
int socket_get(long fd, struct socket **socket);

/* The boundary of a call on one socket, which `call` is about. */
#define ON_SOCKET(fd, result, call)            \
    do {                                       \
        struct socket *socket;                 \
        mf_lock();                             \
        (result) = socket_get((fd), &socket);  \
        if (!(result)) {                       \
            struct file *file_ = socket->file; \
            (result) = (call);                 \
            file_put(file_);                   \
        }                                      \
        mf_unlock();                           \
    } while ((result) == -EINTR && sched_restart())

/*
 * Waits until the socket's file is woken. Returns 0 to look again; -EAGAIN if
 * it must not block or time is up; -EINTR.
 */
int socket_wait(struct socket *socket, int flags, uint64_t deadline_ns);

/* The same for accept(): see snapshot_before_wait(). */
int socket_wait_accept(struct socket *socket, uint64_t deadline_ns);

/* When a call has to end that begins now; `ns` as in struct socket. */
uint64_t socket_deadline(uint64_t ns);

static inline void socket_wake(struct socket *socket, uint32_t events)
{
    if (socket->file)
        file_wake(socket->file, events);
}

/* Takes SO_ERROR: a negative errno, or 0. */
static inline int socket_take_error(struct socket *socket)
{
    int error = socket->error;

    socket->error = 0;
    return -error;
}

/* -EPIPE, with a SIGPIPE unless `flags` has MSG_NOSIGNAL. */
int socket_broken_pipe(int flags);

/* A name that a program gives (socket_name.c). Returns 0 or -errno. */
int socket_take_name(struct socket_name *name, const void *address,
                     socklen_t bytes);

/*
 * Hands a name to a program, cut to the room that is at `bytes`, where its size
 * goes. Nobody wants it without an address. Returns 0 or -errno.
 */
int socket_give_name(const struct socket_name *name, void *address,
                     socklen_t *bytes);

/* Copies up to `bytes` bytes from or to the message's pieces, from `at` on. */
size_t socket_copy_out(const struct socket_message *message, size_t at,
                       const void *from, size_t bytes);
size_t socket_copy_in(const struct socket_message *message, size_t at, void *to,
                      size_t bytes);

/* ---- The kinds ---- */

int socket_inet_create(int domain, int type, int protocol,
                       struct socket **socket);
/* Whether streams of AF_INET go there: there is that device, and no card. */
bool socket_vsock_is_inet(void);
int socket_vsock_create(int domain, int type, int protocol,
                        struct socket **socket);
int socket_unix_create(int type, struct socket **socket);
int socket_unix_connect_pair(struct socket *one, struct socket *other);
int socket_netlink_create(int type, int protocol, struct socket **socket);

#endif
