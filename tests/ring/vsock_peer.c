/* SPDX-License-Identifier: MIT */
/* Streams for tests: the guest's sockets, and the host's end of them. */
#include "tests/ring/vsock_peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "guest_rt/hypercall.h"
#include "guest_rt/runtime.h"
#include "guest_rt/signals.h"

struct vsock device;
int broker;
unsigned sigpipes;
void (*host_acts)(void);

/* ---- What the runtime has around it -------------------------------------- */

static struct source *source;

void source_add(struct source *added)
{
    source = added;
}

bool source_begin_exit(void)
{
    return false;
}

void signal_pipe(void)
{
    sigpipes++;
}

void wait_wake(struct wait_queue *queue, uint32_t events, unsigned limit)
{
    (void)queue, (void)events, (void)limit;
}

void look(void)
{
    while (vdev_serve(&device.dev) == -EINTR)
        continue;
    if (source && source->ready(source))
        source->serve(source);
}

/* As the scheduler does it when nobody can run. */
int wait_on(struct wait_queue *queue, uint64_t deadline_ns)
{
    uint64_t *events = &mf_boot_page()->events, seen;

    (void)queue;
    if (host_acts)
        host_acts();
    if (source->ready(source)) {
        source->serve(source);
        return 0;
    }
    vm.before_block = host_acts;
    seen = __atomic_and_fetch(events, ~source->event, __ATOMIC_ACQ_REL);
    if (!source->arm(source))
        mf_hypercall(MF_HC_WAIT, seen, deadline_ns);
    if (source->ready(source))
        source->serve(source);
    return 0;
}

struct file *file_get(long fd)
{
    (void)fd;
    return NULL;
}

void file_put(struct file *file)
{
    (void)file;
}

long file_install(struct file *file, unsigned least, bool close_on_exec)
{
    (void)file, (void)least, (void)close_on_exec;
    return 0;
}

void mf_pages_free(void *pages, size_t bytes)
{
    (void)pages, (void)bytes;
}

/* ---- The VM -------------------------------------------------------------- */

void start_vsock(void)
{
    struct vsock_options options = {.connect_count = 1};
    int ends[2];

    signal(SIGPIPE, SIG_IGN);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends),
                 0);
    broker = ends[1];
    options.broker = ends[0];
    vm_option = "connect=0:10.9.8.7:80:peer";
    vm_start(-1, -1, -1);
    cr_assert_eq(vsock_init(&device, &options), 0);
    cr_assert_eq(native_add(&vm.native, &device.dev, 0), 0);
}

/* ---- The guest ----------------------------------------------------------- */

struct socket *make_socket(int domain)
{
    struct socket *socket = NULL;
    int error = socket_vsock_create(domain, SOCK_STREAM, 0, &socket);

    cr_assert_eq(error, 0, "%d", error);
    cr_assert_eq(socket_install(socket, 0), 0);
    return socket;
}

void close_socket(struct socket *socket)
{
    socket->file->ops->release(socket->file);
}

void set_nonblocking(struct socket *socket)
{
    socket->file->flags |= O_NONBLOCK;
}

struct socket_name inet_name(const char *address, unsigned port)
{
    struct socket_name name = {.bytes = sizeof(name.in)};

    name.in.sin_family = AF_INET;
    name.in.sin_port = htons((uint16_t)port);
    if (address)
        cr_assert_eq(inet_pton(AF_INET, address, &name.in.sin_addr), 1);
    return name;
}

struct socket_name vm_name(unsigned cid, unsigned port)
{
    struct sockaddr_vm vm_address = {
        .svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
    struct socket_name name = {.bytes = sizeof(vm_address)};

    memcpy(name.raw, &vm_address, sizeof(vm_address));
    return name;
}

int guest_bind(struct socket *socket, struct socket_name name)
{
    return socket->ops->bind(socket, &name);
}

int guest_connect(struct socket *socket, struct socket_name name)
{
    return socket->ops->connect(socket, &name);
}

static struct socket_message message_of(const struct iovec *piece, int flags)
{
    return (struct socket_message){
        .iov = piece, .count = 1, .bytes = piece->iov_len, .flags = flags};
}

long guest_send(struct socket *socket, const void *data, size_t bytes)
{
    struct iovec piece = {(void *)(uintptr_t)data, bytes};
    struct socket_message message = message_of(&piece, 0);

    return socket->ops->send(socket, &message);
}

long guest_receive(struct socket *socket, void *data, size_t bytes, int flags)
{
    struct iovec piece = {data, bytes};
    struct socket_message message = message_of(&piece, flags);

    return socket->ops->receive(socket, &message);
}

int guest_option(struct socket *socket, int option, int value)
{
    if (option == SO_REUSEADDR && value)
        socket->booleans |= SOCKET_REUSEADDR;
    return socket->ops->set_option(socket, SOL_SOCKET, option, &value,
                                   sizeof(value));
}

int guest_error(struct socket *socket)
{
    return -socket_take_error(socket);
}

uint32_t guest_poll(struct socket *socket)
{
    return socket->ops->poll(socket);
}

struct socket *listen_at(int domain, unsigned port, int backlog)
{
    struct socket *socket = make_socket(domain);
    struct socket_name name = domain == AF_VSOCK ? vm_name(VMADDR_CID_ANY, port)
                                                 : inet_name(NULL, port);

    if (domain == AF_INET6) {
        name = (struct socket_name){.bytes = sizeof(name.in6)};
        name.in6.sin6_family = AF_INET6;
        name.in6.sin6_port = htons((uint16_t)port);
    }
    cr_assert_eq(guest_bind(socket, name), 0);
    cr_assert_eq(socket->ops->listen(socket, backlog), 0);
    return socket;
}

struct socket *accept_from(struct socket *listener)
{
    struct socket *accepted = NULL;
    int error = listener->ops->accept(listener, &accepted);

    cr_assert_eq(error, 0, "%d", error);
    cr_assert_eq(socket_install(accepted, 0), 0);
    return accepted;
}

const char *name_of(struct socket *socket, bool peer)
{
    static char text[2][80];
    static unsigned turn;
    char address[INET6_ADDRSTRLEN];
    char *to = text[turn++ % 2];
    struct socket_name name = {0};
    struct sockaddr_vm vm_address;
    int error = socket->ops->get_name(socket, peer, &name);

    if (error) {
        snprintf(to, sizeof(text[0]), "error %d", error);
    } else if (name.any.sa_family == AF_VSOCK) {
        memcpy(&vm_address, name.raw, sizeof(vm_address));
        snprintf(to, sizeof(text[0]), "%u:%u", vm_address.svm_cid,
                 vm_address.svm_port);
    } else if (name.any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &name.in.sin_addr, address, sizeof(address));
        snprintf(to, sizeof(text[0]), "%s:%u", address,
                 ntohs(name.in.sin_port));
    } else {
        inet_ntop(AF_INET6, &name.in6.sin6_addr, address, sizeof(address));
        snprintf(to, sizeof(text[0]), "[%s]:%u", address,
                 ntohs(name.in6.sin6_port));
    }
    return to;
}

/* ---- The host ------------------------------------------------------------ */

static void make_pair(int ends[2])
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
}

int offer(unsigned port)
{
    int ends[2];

    make_pair(ends);
    cr_assert_eq(vsock_offer(&device, ends[0], port), 0);
    while (vdev_serve(&device.dev) == -EINTR)
        continue;
    return ends[1];
}

int answer_connect(int error)
{
    struct vsock_connect asked;
    struct vsock_connected answer = {.error = error};
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec piece = {&answer, sizeof(answer)};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    int ends[2] = {-1, -1};

    if (recv(broker, &asked, sizeof(asked), 0) != sizeof(asked))
        return -1;
    cr_assert_eq(asked.entry, 0);
    answer.ticket = asked.ticket;
    if (!error) {
        struct cmsghdr *header = (struct cmsghdr *)control;

        make_pair(ends);
        message.msg_control = control;
        message.msg_controllen = sizeof(control);
        header->cmsg_len = CMSG_LEN(sizeof(int));
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        memcpy(CMSG_DATA(header), &ends[0], sizeof(int));
    }
    cr_assert_eq(sendmsg(broker, &message, 0), (ssize_t)sizeof(answer));
    if (!error)
        close(ends[0]);
    return ends[1];
}

bool host_sees_end(int fd)
{
    char byte;

    look();
    return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

bool host_sees_reset(int fd)
{
    char byte;
    ssize_t bytes;

    look();
    bytes = recv(fd, &byte, 1, MSG_DONTWAIT);
    return bytes == 0 || (bytes < 0 && errno == ECONNRESET);
}
