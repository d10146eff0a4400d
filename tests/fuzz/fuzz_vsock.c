/* SPDX-License-Identifier: MIT */
/* Fuzzes the socket device with hostile drivers, hosts and brokers. */

/*
 * The driver posts buffers and packets of all kinds, for streams that there are
 * and others, writes into its rings, also while the device looks, and starts
 * again. The host's sockets take and give all, some or none of what they are
 * asked, end and break; connections come, and answers of a broker. Held
 * throughout: what the host is given to fill or to send is the guest's memory
 * or the stream's own buffer, no stream gets more than it has credit for, each
 * descriptor is closed once, a serve ends, and no packet waits while there is
 * room for it.
 */
#include "tests/fuzz/hooked.h"

#include "tests/fuzz/changing.h"

#include "virtio/pieces.h"
#include "virtio/vsock.h"

static uint64_t now_ns;

static uint64_t hooked_os_now_ns(void)
{
    return now_ns += 1000;
}

static int hooked_os_mmap(size_t bytes, int protection, int flags, int fd,
                          void **address);
static int hooked_os_munmap(void *address, size_t bytes);
static int hooked_os_epoll_create(void);
static int hooked_os_epoll_control(int epoll_fd, int operation, int fd,
                                   struct epoll_event *event);
static int hooked_os_epoll_look(int epoll_fd, struct epoll_event *events,
                                int count);
static int hooked_os_accept(int fd);
static int hooked_os_shutdown(int fd, int how);
static ssize_t hooked_os_send_more(int fd, const void *from, size_t bytes);
static int hooked_os_set_abort(int fd);
static int hooked_os_close(int fd);
static ssize_t hooked_os_recvmsg(int fd, struct msghdr *message, int flags);

#define os_now_ns        hooked_os_now_ns
#define os_mmap          hooked_os_mmap
#define os_munmap        hooked_os_munmap
#define os_epoll_create  hooked_os_epoll_create
#define os_epoll_control hooked_os_epoll_control
#define os_epoll_look    hooked_os_epoll_look
#define os_accept        hooked_os_accept
#define os_shutdown      hooked_os_shutdown
#define os_set_abort     hooked_os_set_abort
#define os_send_more     hooked_os_send_more
#define os_close         hooked_os_close
#define os_recvmsg       hooked_os_recvmsg

#include "virtio/vsock.c"
#include "virtio/vsock_host.c"
#include "virtio/vsock_rx.c"
#include "virtio/vsock_stream.c"
#include "virtio/vsock_tx.c"

#define RAM_BASE   UINT64_C(0x10000)
#define QUEUE_SIZE 16u
#define DESC(q)    ((q)*0x1000u)
#define AVAIL(q)   (DESC(q) + 0x600u)
#define USED(q)    (DESC(q) + 0x800u)
#define EVENTS     0x3000u
#define DATA       0x4000u
#define DATA_BYTES 0x14000u
#define RAM_BYTES  (DATA + DATA_BYTES)
#define EPOLL      10
#define LISTENER   11
#define BROKER     12
#define FIRST_FD   100
#define FDS        4096

/* What the host has behind a descriptor. */
struct file {
    bool open, watched;
    uint64_t data; /* epoll's */
};

static _Alignas(4096) uint8_t ram[RAM_BYTES];
static const struct gmem mem = {
    .regions = {{.base = RAM_BASE, .bytes = RAM_BYTES, .host = ram}},
    .count = 1,
};
static struct vsock vsock;
static struct event_word events;
static unsigned next_desc[VSOCK_QUEUES];
static struct script *script;
static uint8_t buffers[BUFFERS_BYTES];
static struct file files[FDS];
static unsigned file_count, open_count;
static bool connection, answer_due;
static struct vsock_connect question;
static struct epoll_event due[EVENTS_AT_ONCE];
static unsigned due_count;

#include "tests/fuzz/vsock_files.h"

/* ---- The driver --------------------------------------------------------- */

static void enable_all(void)
{
    for (unsigned i = 0; i < VSOCK_QUEUES; i++) {
        struct virtq_layout layout = {
            gpa(RAM_BASE + DESC(i)), gpa(RAM_BASE + AVAIL(i)),
            gpa(RAM_BASE + USED(i)), i == VSOCK_EVENT ? 8 : QUEUE_SIZE};
        int error = script_below(script, 32) == 1
                        ? 0
                        : vdev_enable_queue(&vsock.dev, i, &layout);
        bug_on(error && error != -EINVAL);
    }
}

static void bring_up(void)
{
    memset(ram, 0, EVENTS);
    memset(next_desc, 0, sizeof(next_desc));
    vdev_set_status(&vsock.dev, 0);
    for (unsigned i = 0; i < vsock.fresh; i++)
        bug_on(is_known(&vsock.streams[i]));
    vdev_set_status(&vsock.dev, VIRTIO_CONFIG_S_DRIVER);
    vdev_set_features(&vsock.dev, vsock.dev.offered);
    vdev_set_status(&vsock.dev, VIRTIO_CONFIG_S_FEATURES_OK);
    enable_all();
    vdev_set_status(&vsock.dev, VIRTIO_CONFIG_S_DRIVER_OK);
}

static void start(void)
{
    const struct vsock_options options = {.broker = BROKER, .connect_count = 2};

    now_ns = UINT64_C(1) << 40;
    changes_begin(ram);
    memset(ram, 0, sizeof(ram));
    memset(&vsock, 0, sizeof(vsock));
    file_count = open_count = due_count = 0;
    connection = answer_due = false;
    bug_on(event_init(&events, &mem, gpa(RAM_BASE + EVENTS)));
    bug_on(vsock_init(&vsock, &options));
    bug_on(vsock_listen(&vsock, LISTENER, 80));
    vdev_bind(&vsock.dev, &mem, &events, 0, NULL);
}

static void add(unsigned q, uint32_t offset, uint32_t bytes, unsigned flags)
{
    unsigned size = q == VSOCK_EVENT ? 8 : QUEUE_SIZE, n = next_desc[q]++;
    struct vring_desc *desc = (struct vring_desc *)(ram + DESC(q)) + n % size;

    *desc = (struct vring_desc){RAM_BASE + offset, bytes,
                                (uint16_t)(flags | VRING_DESC_F_NEXT),
                                (uint16_t)((n + 1) % size)};
}

static void submit(unsigned q, unsigned head)
{
    unsigned size = q == VSOCK_EVENT ? 8 : QUEUE_SIZE;
    struct vring_desc *desc = (struct vring_desc *)(ram + DESC(q));
    struct vring_avail *avail = (struct vring_avail *)(ram + AVAIL(q));

    desc[(next_desc[q] - 1) % size].flags &= (uint16_t)~VRING_DESC_F_NEXT;
    avail->ring[avail->idx % size] = (uint16_t)(head % size);
    avail->idx++;
}

static uint32_t any_place(uint32_t bytes)
{
    return DATA + (uint32_t)script_number(script, 2) % (DATA_BYTES - bytes);
}

static void post_rx(void)
{
    unsigned head = next_desc[VSOCK_RX];
    uint32_t bytes = 64u << script_below(script, 9);

    if (script_below(script, 32) == 1)
        bytes = script_below(script, 64);
    if (script_below(script, 4) == 1)
        add(VSOCK_RX, any_place(64), script_below(script, 64),
            VRING_DESC_F_WRITE);
    add(VSOCK_RX, any_place(bytes), bytes, VRING_DESC_F_WRITE);
    submit(VSOCK_RX, head);
}

static void post_event(void)
{
    unsigned head = next_desc[VSOCK_EVENT];

    add(VSOCK_EVENT, any_place(8), script_below(script, 16) ? 4 : 3,
        VRING_DESC_F_WRITE);
    submit(VSOCK_EVENT, head);
}

/* Mostly what a stream in its state is to get. */
static uint16_t choose_op(const struct vsock_stream *stream)
{
    unsigned chance = script_below(script, 64);

    if (chance < 2)
        return (uint16_t)script_below(script, 9);
    if (stream->state == VSOCK_REQUESTED)
        return VIRTIO_VSOCK_OP_RESPONSE;
    if (stream->state != VSOCK_OPEN)
        return VIRTIO_VSOCK_OP_REQUEST;
    if (chance < 16)
        return VIRTIO_VSOCK_OP_CREDIT_UPDATE;
    if (chance < 20)
        return VIRTIO_VSOCK_OP_CREDIT_REQUEST;
    return chance < 23 ? VIRTIO_VSOCK_OP_SHUTDOWN : VIRTIO_VSOCK_OP_RW;
}

/* Ports of a stream that there is, or was, or others. */
static void choose_ports(struct virtio_vsock_hdr *header)
{
    const struct vsock_stream *stream =
        &vsock.streams[script_below(script, 8) % VSOCK_STREAMS_MAX];

    header->op = choose_op(stream);
    if (script_below(script, 8) != 1)
        header->fwd_cnt = stream->tx_cnt;
    header->src_port = stream->guest_port;
    header->dst_port = stream->host_port;
    if (header->op == VIRTIO_VSOCK_OP_REQUEST) {
        header->src_port = script_below(script, 8);
        header->dst_port = VSOCK_CONNECT_PORT + script_below(script, 3);
    } else if (script_below(script, 16) == 1) {
        header->dst_port = (uint32_t)script_number(script, 4);
    }
}

static void post_tx(void)
{
    struct virtio_vsock_hdr header = {
        .src_cid = VSOCK_GUEST_CID,
        .dst_cid = VSOCK_HOST_CID,
        .type = VIRTIO_VSOCK_TYPE_STREAM,
        .flags = script_below(script, 4),
        .buf_alloc = 1u << script_below(script, 18),
        .fwd_cnt = (uint32_t)script_number(script, 2),
    };
    unsigned head = next_desc[VSOCK_TX];
    uint32_t bytes = 0, at, cut = script_below(script, 60);

    choose_ports(&header);
    if (header.op == VIRTIO_VSOCK_OP_RW)
        bytes = (uint32_t)script_number(script, 2) >> script_below(script, 16);
    header.len = bytes;
    if (script_below(script, 32) == 1)
        header.len = (uint32_t)script_number(script, 4);
    if (script_below(script, 32) == 1)
        header.type = 2;
    if (script_below(script, 32) == 1)
        header.src_cid = script_number(script, 8);
    at = any_place(bytes + VSOCK_HEADER_BYTES);
    memcpy(ram + at, &header, sizeof(header));
    if (cut < VSOCK_HEADER_BYTES) {
        add(VSOCK_TX, at, cut, 0);
        add(VSOCK_TX, at + cut, bytes + VSOCK_HEADER_BYTES - cut, 0);
    } else {
        add(VSOCK_TX, at, bytes + VSOCK_HEADER_BYTES, 0);
    }
    submit(VSOCK_TX, head);
}

/* Now, or at some later look of the device. */
static void write_anything(void)
{
    unsigned look = script_below(script, 32);
    uint32_t offset = (uint32_t)script_number(script, 2) % (RAM_BYTES - 7);

    if (script_below(script, 2)) /* a ring */
        offset = DESC(script_below(script, VSOCK_QUEUES)) +
                 8 * (script_below(script, 128) % 64);
    change_at(look, offset, script_number(script, 8));
}

/* ---- What happens to the host's files ----------------------------------- */

static void offer_stream(void)
{
    uint32_t port, room;
    int fd;

    if (file_count > FDS - 8)
        return;
    fd = open_file();
    port = script_below(script, 4);
    room = script_below(script, 2) ? script_below(script, 200) : 0;
    if (vsock_offer_ahead(&vsock, fd, port, room))
        hooked_os_close(fd);
}

/* Something is ready, or was: an event may be about a file that is closed. */
static void make_ready(void)
{
    static const uint32_t kinds[] = {
        EPOLLIN,
        EPOLLOUT,
        EPOLLIN | EPOLLOUT,
        EPOLLIN | EPOLLRDHUP,
        EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP,
        EPOLLERR | EPOLLHUP,
    };
    unsigned what = script_below(script, 16);
    struct epoll_event event = {.events = kinds[script_below(script, 6)]};

    if (due_count == EVENTS_AT_ONCE)
        return;
    if (what == 0) {
        connection = true;
        event.data.u64 = IS_LISTENER;
    } else if (what == 1) {
        event.data.u64 = IS_BROKER;
    } else if (file_count > 0) {
        event.data.u64 = files[script_number(script, 2) % file_count].data;
    }
    due[due_count++] = event;
}

/* ---- What always holds -------------------------------------------------- */

static void check(void)
{
    unsigned used = 0, lingering = 0, fds = 0, named = 0, found = 0;
    unsigned unwatched = 0;

    for (unsigned i = 0; i < vsock.fresh; i++) {
        const struct vsock_stream *stream = &vsock.streams[i];

        used += stream->state != VSOCK_FREE;
        lingering += stream->state == VSOCK_LINGERING;
        named += stream->named;
        fds += stream->fd >= 0;
        unwatched += stream->fd >= 0 && !stream->watched;
        bug_on(stream->out_bytes > VSOCK_BUFFER_BYTES);
        bug_on(stream->state == VSOCK_FREE &&
               (stream->fd >= 0 || stream->named || stream->to_send));
        bug_on(stream->to_send && !stream->queued);
        bug_on(stream->named && vsock_find(&vsock, stream->guest_port,
                                           stream->host_port) != stream);
    }
    for (unsigned i = 0; i < VSOCK_STREAMS_MAX; i++)
        for (unsigned link = vsock.rows[i]; link != VSOCK_NONE; found++)
            link = vsock.streams[link - 1].next;
    bug_on(used != vsock.used || lingering != vsock.lingering);
    bug_on(found != named || fds != open_count);
    bug_on(unwatched != vsock.unwatched);
    bug_on(vsock.refusal_count > VSOCK_RESETS_MAX);
}

/* Serves it until there is nothing more to do, which comes soon. */
static void serve(bool ready)
{
    int more = ready ? vdev_ready(&vsock.dev) : 0;

    for (unsigned rounds = 0; rounds < 10000; rounds++) {
        check();
        more = vdev_serve(&vsock.dev);
        if (!more)
            break;
    }
    bug_on(more);
    bug_on(vdev_is_live(&vsock.dev) && has_packet(&vsock) &&
           virtq_has_chain(&vsock.dev.queues[VSOCK_RX]) && change_count == 0);
}

static void save_and_load(void)
{
    struct vdev_state state;

    if (!vdev_is_live(&vsock.dev))
        return;
    vdev_save(&vsock.dev, &state);
    vdev_set_status(&vsock.dev, 0);
    if (script_below(script, 4) == 1)
        state.extra_bytes = script_below(script, 32);
    if (vdev_load(&vsock.dev, &state))
        bring_up();
}

/* What mostly ends all streams. */
static void act_rarely(void)
{
    switch (script_below(script, 16)) {
    case 0:
        bring_up();
        break;
    case 1:
        save_and_load();
        break;
    case 2:
    case 3:
        write_anything();
        break;
    case 4:
        vsock_set_quiet(&vsock, script_below(script, 2));
        break;
    default:
        break;
    }
}

static void act(void)
{
    switch (script_below(script, 16)) {
    case 0:
        act_rarely();
        break;
    case 1:
    case 2:
        serve(true);
        break;
    case 3:
        post_event();
        break;
    case 4:
        offer_stream();
        break;
    case 5:
    case 6:
        make_ready();
        break;
    case 7:
        vdev_poll(&vsock.dev, script_below(script, 2));
        break;
    case 8:
    case 9:
    case 10:
        post_rx();
        break;
    case 11:
        serve(true);
        break;
    case 12:
        serve(false);
        break;
    default:
        post_tx();
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct script input = {data, bytes};

    log_set_sink(ignore_line);
    script = &input;
    start();
    bring_up();
    while (input.left > 0) {
        act();
        check();
    }
    serve(true);
    vsock_fini(&vsock);
    bug_on(open_count != 0);
    return 0;
}
