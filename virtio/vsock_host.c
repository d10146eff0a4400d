/* SPDX-License-Identifier: MIT */
/* What the host has for the socket device: events, connections, a broker. */
#include "virtio/vsock_parts.h"

#define EVENTS_AT_ONCE 64

/* What an event is about: a stream, or with one of these something else. */
#define IS_LISTENER (UINT64_C(1) << 63)
#define IS_BROKER   (UINT64_C(1) << 62)

#define RETRY_NS 10000000u /* when the host had no descriptor to give */

/* ---- Connections to the guest ------------------------------------------- */

static int set_up_listener(struct vsock *vsock, int fd, unsigned index)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET,
                                .data.u64 = IS_LISTENER | index};

    return os_epoll_control(vsock->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

int vsock_listen(struct vsock *vsock, int fd, uint32_t guest_port)
{
    unsigned index = vsock->listener_count;
    int error = -ENOSPC;

    if (index < VSOCK_LISTENERS_MAX)
        error = set_up_listener(vsock, fd, index);
    if (error)
        return error;
    vsock->listeners[index] =
        (struct vsock_listener){.fd = fd, .guest_port = guest_port};
    vsock->listener_count++;
    return 0;
}

/* A port of ours that no other stream has, as each has another number. */
static uint32_t choose_port(const struct vsock *vsock,
                            const struct vsock_stream *stream)
{
    const uint32_t rounds =
        (UINT16_MAX + 1 - VSOCK_HOST_PORT_BASE) / VSOCK_STREAMS_MAX;

    return VSOCK_HOST_PORT_BASE +
           stream->generation % rounds * VSOCK_STREAMS_MAX +
           vsock_index(vsock, stream);
}

static int offer_socket(struct vsock *vsock, int fd, uint32_t guest_port,
                        uint32_t room, bool given)
{
    struct vsock_stream *stream = vsock_take_stream(vsock);

    if (!stream)
        return -EAGAIN;
    vsock_attach(vsock, stream, fd);
    stream->state = VSOCK_REQUESTED;
    stream->guest_alloc = room;
    stream->given = given;
    vsock_name(vsock, stream, guest_port, choose_port(vsock, stream));
    vsock_send(vsock, stream, VSOCK_SEND_REQUEST);
    vsock->stats.offered++;
    return 0;
}

int vsock_offer(struct vsock *vsock, int fd, uint32_t guest_port)
{
    return offer_socket(vsock, fd, guest_port, 0, true);
}

int vsock_offer_ahead(struct vsock *vsock, int fd, uint32_t guest_port,
                      uint32_t room)
{
    return offer_socket(vsock, fd, guest_port, room, true);
}

/* The host has no more of something: try again, but not at once. */
static bool is_shortage(int error)
{
    return error == -EMFILE || error == -ENFILE || error == -ENOBUFS ||
           error == -ENOMEM;
}

/* Takes one. Returns whether to go on with the listener. */
static bool accept_one(struct vsock *vsock, struct vsock_listener *listener)
{
    int fd = os_accept(listener->fd);

    if (fd >= 0) {
        if (offer_socket(vsock, fd, listener->guest_port, 0, false))
            os_close(fd);
        return true;
    }
    if (is_shortage(fd))
        vsock->retry_ns = os_now_ns() + RETRY_NS;
    /* Anything else is about a connection that is gone (accept(2)). */
    listener->ready = fd != -EAGAIN && fd != -EINVAL;
    return listener->ready && !is_shortage(fd);
}

static bool has_place(const struct vsock *vsock)
{
    return vsock->used < VSOCK_STREAMS_MAX || vsock->lingering > 0;
}

bool vsock_may_accept(struct vsock *vsock)
{
    bool ready = false;

    for (unsigned i = 0; i < vsock->listener_count; i++)
        ready |= vsock->listeners[i].ready;
    return ready && has_place(vsock) && vsock->retry_ns == VDEV_NEVER &&
           virtq_has_chain(&vsock->dev.queues[VSOCK_RX]);
}

int vsock_accept(struct vsock *vsock)
{
    unsigned budget = VSOCK_SERVE_ACCEPTS;
    bool has_room = virtq_has_chain(&vsock->dev.queues[VSOCK_RX]);

    vsock->retry_ns = VDEV_NEVER;
    vsock->awaits_room = false;
    for (unsigned i = 0; i < vsock->listener_count; i++) {
        struct vsock_listener *listener = &vsock->listeners[i];

        if (listener->ready && !has_room)
            vsock->awaits_room = true;
        while (listener->ready && has_room && has_place(vsock)) {
            if (budget-- == 0)
                return -EINTR;
            if (!accept_one(vsock, listener))
                break;
        }
    }
    return 0;
}

/* ---- Connections by the guest ------------------------------------------- */

/* The ticket of a stream's question: an answer is for nobody else. */
static uint32_t ticket_of(const struct vsock *vsock,
                          const struct vsock_stream *stream)
{
    return stream->generation << 16 | vsock_index(vsock, stream);
}

int vsock_ask_broker(struct vsock *vsock, struct vsock_stream *stream,
                     uint32_t entry)
{
    struct vsock_connect question = {entry, ticket_of(vsock, stream)};
    struct iovec iov = {&question, sizeof(question)};
    ssize_t sent = os_writev(vsock->broker, &iov, 1);

    if (sent < 0)
        return (int)sent;
    return sent == sizeof(question) ? 0 : -EIO;
}

/* Nobody connects for the guest any more. */
static void lose_broker(struct vsock *vsock)
{
    log_warn("vsock: the broker is gone: the guest cannot connect any more");
    (void)os_epoll_control(vsock->epoll_fd, EPOLL_CTL_DEL, vsock->broker, NULL);
    vsock->broker = -1;
    for (unsigned i = 0; i < vsock->fresh; i++) {
        struct vsock_stream *stream = &vsock->streams[i];

        if (stream->state == VSOCK_AT_BROKER)
            vsock_reset_stream(vsock, stream);
    }
}

/* The stream that waits for this answer, or NULL: it may be over by now. */
static struct vsock_stream *find_asker(struct vsock *vsock, uint32_t ticket)
{
    unsigned index = ticket & UINT16_MAX;
    struct vsock_stream *stream = &vsock->streams[index % VSOCK_STREAMS_MAX];

    return index < vsock->fresh && ticket_of(vsock, stream) == ticket &&
                   stream->state == VSOCK_AT_BROKER
               ? stream
               : NULL;
}

/* `fd` is the connected socket, or -1. */
static void hear_answer(struct vsock *vsock, uint32_t ticket, int fd)
{
    struct vsock_stream *stream = find_asker(vsock, ticket);

    if (stream && fd >= 0) {
        vsock_attach(vsock, stream, fd);
        stream->state = VSOCK_OPEN;
        vsock->stats.opened++;
        vsock_send(vsock, stream, VSOCK_SEND_RESPONSE);
        return;
    }
    if (fd >= 0)
        os_close(fd);
    if (!stream)
        return;
    vsock->stats.refused++;
    vsock_reset_stream(vsock, stream);
}

/* Takes the descriptor out of what came with an answer, or -1. */
static int take_descriptor(const struct msghdr *message)
{
    const struct cmsghdr *part = CMSG_FIRSTHDR(message);
    int fd = -1;

    if (part && part->cmsg_level == SOL_SOCKET &&
        part->cmsg_type == SCM_RIGHTS && part->cmsg_len == CMSG_LEN(sizeof(fd)))
        memcpy(&fd, CMSG_DATA(part), sizeof(fd));
    return fd;
}

/* Takes one answer. Returns whether there may be another one. */
static bool hear_broker(struct vsock *vsock)
{
    struct vsock_connected answer;
    struct iovec iov = {&answer, sizeof(answer)};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct msghdr message = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };
    ssize_t bytes = os_recvmsg(vsock->broker, &message, MSG_CMSG_CLOEXEC);

    if (bytes == -EAGAIN || bytes == -EINTR)
        return bytes == -EINTR;
    if (bytes != sizeof(answer)) {
        lose_broker(vsock);
        return false;
    }
    int fd = take_descriptor(&message);
    if (fd >= 0 && answer.error) {
        os_close(fd);
        fd = -1;
    }
    hear_answer(vsock, answer.ticket, fd);
    return true;
}

/* ---- Events ------------------------------------------------------------- */

/* Something happened to a stream's socket. */
static void note_stream(struct vsock *vsock, const struct epoll_event *event)
{
    unsigned index = event->data.u64 % VSOCK_STREAMS_MAX;
    struct vsock_stream *stream = &vsock->streams[index];
    uint32_t broken = event->events & (EPOLLERR | EPOLLHUP);

    /* It may be about a file that is closed since. */
    if (stream->fd < 0 ||
        stream->generation != (uint32_t)(event->data.u64 >> 16))
        return;
    if (event->events & (EPOLLRDHUP | EPOLLHUP))
        stream->hung_up = true;
    if (broken || event->events & (EPOLLIN | EPOLLRDHUP))
        stream->readable = true;
    if (broken || event->events & EPOLLOUT)
        stream->writable = true;
    if (vsock_wants_read(stream))
        vsock_queue(vsock, stream);
    vsock_flush(vsock, stream);
}

static void note_event(struct vsock *vsock, const struct epoll_event *event)
{
    uint64_t what = event->data.u64;

    if (what & IS_LISTENER) {
        vsock->listeners[what & UINT16_MAX].ready = true;
    } else if (what & IS_BROKER) {
        /* As many as there can be questions. */
        for (unsigned i = 0; i < VSOCK_STREAMS_MAX && vsock->broker >= 0; i++)
            if (!hear_broker(vsock))
                break;
    } else {
        note_stream(vsock, event);
    }
}

int vsock_look(struct vsock *vsock)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    int count;

    vsock_watch(vsock);
    count = os_epoll_look(vsock->epoll_fd, events, EVENTS_AT_ONCE);

    for (int i = 0; i < count; i++)
        note_event(vsock, &events[i]);
    return count == EVENTS_AT_ONCE ? -EINTR : 0;
}

int vsock_set_up_broker(struct vsock *vsock, int fd)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET,
                                .data.u64 = IS_BROKER};

    vsock->broker = fd;
    return os_epoll_control(vsock->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}
