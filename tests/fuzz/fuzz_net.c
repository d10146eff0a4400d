/* SPDX-License-Identifier: MIT */
/* Fuzzes the network device with hostile drivers, hosts and networks. */

/*
 * The driver posts chains of all kinds, writes into its rings, also while the
 * device looks, sends commands and starts again with other features. The host
 * has a tap or a stream socket, and calls on it do all, some or none of what
 * they are asked. Held throughout: what the host is given to fill or to send is
 * the guest's memory or the device's own, a frame is only read when there is
 * room for it, what is sent is as negotiated, a serve ends, and no packet waits
 * for a notification that nobody is to send.
 */
#include "tests/fuzz/hooked.h"

#include "tests/fuzz/changing.h"
#include "virtio/limit.h"

static uint64_t now_ns;

static uint64_t hooked_os_now_ns(void)
{
    return now_ns;
}

#define os_now_ns hooked_os_now_ns

#undef CONFIG_BYTES
#include "virtio/net.c"
#include "virtio/net_ctrl.c"
#include "virtio/net_notify.c"
#include "virtio/net_rx.c"
#include "virtio/net_tx.c"
#include "virtio/stream.c"
#include "virtio/tap.c"

#define FD         100
#define RAM_BASE   UINT64_C(0x10000)
#define QUEUE_SIZE 16u
#define DESC(q)    ((q)*0x1000u)
#define AVAIL(q)   (DESC(q) + 0x600u)
#define USED(q)    (DESC(q) + 0x800u)
#define EVENTS     0x3000u
#define DATA       0x4000u
#define DATA_BYTES 0x14000u /* enough for the largest frame */
#define RAM_BYTES  (DATA + DATA_BYTES)

static _Alignas(4096) uint8_t ram[RAM_BYTES];
static const struct gmem mem = {
    .regions = {{.base = RAM_BASE, .bytes = RAM_BYTES, .host = ram}},
    .count = 1,
};
static struct net net;
static struct tap tap;
static struct stream stream;
static struct event_word events;
static unsigned next_desc[NET_QUEUES];
static struct script *answers; /* how host calls end */
static unsigned host_calls;

/* ---- The host ----------------------------------------------------------- */

static int hooked_os_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    return (int)count + (fds == NULL) + timeout_ms;
}

static int hooked_os_ioctl(int fd, unsigned long request, uintptr_t argument)
{
    if (request == TUNGETIFF) {
        ((struct ifreq *)argument)->ifr_flags =
            IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
        return 0;
    }
    bug_on(fd != FD || request != TUNSETOFFLOAD);
    bug_on(argument & ~(uintptr_t)(TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6));
    return answers && script_below(answers, 8) == 1 ? -EINVAL : 0;
}

/* What the host says to moving `bytes` bytes. */
static ssize_t answer_host(uint64_t bytes)
{
    host_calls++;
    now_ns += script_below(answers, 4) * 1000;
    change_memory();
    switch (script_below(answers, 32)) {
    case 1:
        return -EINTR;
    case 2:
        return script_below(answers, 4) ? -ENOBUFS : -EIO;
    case 3:
    case 4:
        return -EAGAIN;
    default:
        return (ssize_t)bytes;
    }
}

/* Whether the driver can make no more room than there is. */
static bool is_full(void)
{
    const struct virtq *q = &net.dev.queues[NET_RX];

    return net.rx.count == q->size || net.rx.pieces + q->size > NET_PIECES_MAX;
}

/* A frame is to be read: checks where it goes. Returns its largest length. */
static uint64_t check_room(const struct iovec *iov, int count)
{
    uint64_t room = NET_ETH_BYTES;

    bug_on(count < 3 || count > (int)NET_IOV_MAX);
    bug_on(iov[0].iov_base != &tap.header || iov[0].iov_len != 12);
    bug_on(iov[1].iov_len != NET_ETH_BYTES || lies_in(&iov[1], ram, RAM_BYTES));
    bug_on(iov[count - 1].iov_len != 1);
    for (int i = 2; i < count - 1; i++) {
        bug_on(iov[i].iov_len == 0 || !lies_in(&iov[i], ram, RAM_BYTES));
        room += iov[i].iov_len;
    }
    bug_on(room > max_u64(frame_bytes_max(&net), NET_ETH_BYTES));
    bug_on((net.dev.features & NET_FEATURE(MRG_RXBUF)) &&
           room < frame_bytes_max(&net) && !is_full());
    return room;
}

/* Fills the pieces with up to `bytes` bytes. Returns how many. */
static ssize_t fill(const struct iovec *iov, int count, uint64_t bytes)
{
    uint64_t done = 0;

    for (int i = 0; i < count && done < bytes; i++) {
        size_t part = min_u64(iov[i].iov_len, bytes - done);

        memset(iov[i].iov_base, (int)i, part);
        done += part;
    }
    return (ssize_t)done;
}

static ssize_t read_tap(const struct iovec *iov, int count)
{
    uint64_t room = check_room(iov, count);
    ssize_t bytes = answer_host(12 + script_number(answers, 2) % (room + 2));
    net_header header = {.num_buffers = 0};

    if (bytes < 0)
        return bytes;
    bytes = fill(iov, count, (uint64_t)bytes);
    if (script_below(answers, 2)) {
        uint64_t bits = script_number(answers, 8);
        memcpy(&header, &bits, sizeof(bits));
    }
    memcpy(iov[0].iov_base, &header, sizeof(header));
    if (script_below(answers, 2))
        memset(iov[1].iov_base, 0xff, 6);
    change_memory();
    return bytes;
}

/* Mostly whole frames, one after the other; sometimes anything. */
static ssize_t read_stream(const struct iovec *iov, int count)
{
    static uint32_t left; /* of the frame, as the peer sees it */
    uint64_t bytes = 0;
    uint8_t *to = iov[0].iov_base;

    bug_on(count != 1 || iov[0].iov_len == 0);
    bug_on(!lies_in(&iov[0], stream.in, sizeof(stream.in)));
    if (stream.in_end == 0)
        left = 0;
    while (bytes + 4 < iov[0].iov_len && script_below(answers, 4)) {
        if (left == 0) {
            left = (uint32_t)script_number(answers, 2) % 1600;
            if (script_below(answers, 64) == 1)
                left = (uint32_t)script_number(answers, 4);
            uint32_t length = htobe32(left);
            memcpy(to + bytes, &length, 4);
            bytes += 4;
        }
        uint64_t part = min_u64(left, iov[0].iov_len - bytes);
        if (script_below(answers, 4) == 1)
            part = min_u64(part, script_number(answers, 1));
        memset(to + bytes, 0x02, part);
        bytes += part;
        left -= (uint32_t)part;
    }
    if (bytes == 0)
        return script_below(answers, 16) ? -EAGAIN : 0;
    host_calls++;
    return (ssize_t)bytes;
}

static ssize_t hooked_os_readv(int fd, const struct iovec *iov, int count)
{
    bug_on(fd != FD || net.backend->gone);
    if (net.backend == &tap.backend)
        return read_tap(iov, count);
    return read_stream(iov, count);
}

/* The host gets a header: it has to be as negotiated, and to make sense. */
static void check_sent(const struct virtio_net_hdr *hdr, uint64_t bytes)
{
    bool segments = hdr->gso_type != VIRTIO_NET_HDR_GSO_NONE;

    bug_on(hdr->flags & ~VIRTIO_NET_HDR_F_NEEDS_CSUM);
    bug_on(hdr->flags && !net_has(&net, NET_FEATURE(CSUM)));
    bug_on(hdr->flags && hdr->csum_start + hdr->csum_offset + 2u > bytes);
    bug_on(segments && (!hdr->flags || hdr->gso_size == 0));
    bug_on(hdr->gso_type == VIRTIO_NET_HDR_GSO_TCPV4 &&
           !net_has(&net, NET_FEATURE(HOST_TSO4)));
    bug_on(hdr->gso_type == VIRTIO_NET_HDR_GSO_TCPV6 &&
           !net_has(&net, NET_FEATURE(HOST_TSO6)));
    bug_on(segments && hdr->gso_type != VIRTIO_NET_HDR_GSO_TCPV4 &&
           hdr->gso_type != VIRTIO_NET_HDR_GSO_TCPV6);
    bug_on(hdr->hdr_len > bytes);
    bug_on(bytes < NET_ETH_BYTES || bytes > NET_FRAME_MAX);
}

static ssize_t hooked_os_writev(int fd, const struct iovec *iov, int count)
{
    bool is_tap = net.backend == &tap.backend;
    uint64_t bytes = 0;
    ssize_t sent;

    bug_on(fd != FD || net.backend->gone);
    bug_on(count < 1 || count > (int)NET_IOV_MAX);
    if (is_tap)
        bug_on(iov[0].iov_base != &tap.header || iov[0].iov_len != 12);
    else
        bug_on(!lies_in(&iov[0], &stream, sizeof(stream)));
    for (int i = 1; i < count; i++) {
        bug_on(!lies_in(&iov[i], ram, RAM_BYTES) || iov[i].iov_len == 0);
        bytes += iov[i].iov_len;
    }
    if (is_tap)
        check_sent(&tap.header.hdr, bytes);
    bytes += iov[0].iov_len;
    sent = answer_host(bytes);
    if (!is_tap && sent > 0 && script_below(answers, 4) == 1)
        sent = 1 + (ssize_t)(script_number(answers, 2) % (uint64_t)sent);
    return sent;
}

/* ---- The driver --------------------------------------------------------- */

/* Some of the features that are offered; mostly all of them. */
static uint64_t choose_features(struct script *script)
{
    uint64_t features = net.dev.offered;

    for (unsigned i = script_below(script, 8); i > 0; i--)
        features &= ~(UINT64_C(1) << script_below(script, 64));
    return features | UINT64_C(1) << VIRTIO_F_VERSION_1;
}

/* Nothing of what the driver did is left. */
static void reset(void)
{
    vdev_set_status(&net.dev, 0);
    bug_on(net.rx.count || net.rx.pieces || net.rx.bytes || net.tx_stuck);
    bug_on(net.offloads || net.dev.wake_ns != VDEV_NEVER);
    bug_on(memcmp(net.config.mac, net.mac, ETH_ALEN) != 0);
}

static void bring_up(struct script *script)
{
    memset(ram, 0, EVENTS);
    memset(next_desc, 0, sizeof(next_desc));
    reset();
    vdev_set_status(&net.dev, VIRTIO_CONFIG_S_DRIVER);
    vdev_set_features(&net.dev, choose_features(script));
    vdev_set_status(&net.dev, VIRTIO_CONFIG_S_FEATURES_OK);
    for (unsigned i = 0; i < NET_QUEUES; i++) {
        struct virtq_layout layout = {gpa(RAM_BASE + DESC(i)),
                                      gpa(RAM_BASE + AVAIL(i)),
                                      gpa(RAM_BASE + USED(i)), QUEUE_SIZE};
        int error = script_below(script, 16) == 1
                        ? 0
                        : vdev_enable_queue(&net.dev, i, &layout);
        bug_on(error && error != -EINVAL);
    }
    vdev_set_status(&net.dev, VIRTIO_CONFIG_S_DRIVER_OK);
}

static void start(struct script *script)
{
    static const uint16_t mtus[] = {0, 68, 1500, 9000, 65535};
    unsigned mode = script_below(script, 32);
    struct net_options options = {
        .backend = mode & 1 ? &stream.backend : &tap.backend,
        .mac = {2, 2, 2, 2, 2, 2},
        .mtu = mtus[script_below(script, ARRAY_SIZE(mtus))],
        .queue_size = QUEUE_SIZE,
    };

    if (mode & 2)
        options.rates[NET_RX].ops = options.rates[NET_TX].bytes = 100000;
    now_ns = UINT64_C(1) << 40;
    changes_begin(ram);
    memset(ram, 0, sizeof(ram));
    answers = NULL;
    bug_on(tap_init(&tap, FD));
    stream_init(&stream, FD);
    answers = script;
    bug_on(event_init(&events, &mem, gpa(RAM_BASE + EVENTS)));
    bug_on(net_init(&net, &options));
    vdev_bind(&net.dev, &mem, &events, 0, NULL);
}

static struct vring_desc *desc(unsigned q, unsigned n)
{
    return (struct vring_desc *)(ram + DESC(q)) + n % QUEUE_SIZE;
}

static void make_available(unsigned q, uint16_t head)
{
    struct vring_avail *avail = (struct vring_avail *)(ram + AVAIL(q));

    avail->ring[avail->idx % QUEUE_SIZE] = head;
    avail->idx++;
}

static void add(unsigned q, uint32_t offset, uint32_t bytes, unsigned flags)
{
    unsigned n = next_desc[q]++;

    *desc(q, n) = (struct vring_desc){RAM_BASE + offset, bytes,
                                      (uint16_t)(flags | VRING_DESC_F_NEXT),
                                      (uint16_t)((n + 1) % QUEUE_SIZE)};
}

static void submit(unsigned q, unsigned head)
{
    desc(q, next_desc[q] - 1)->flags &= (uint16_t)~VRING_DESC_F_NEXT;
    make_available(q, (uint16_t)(head % QUEUE_SIZE));
}

static uint32_t any_place(struct script *script, uint32_t bytes)
{
    return DATA + (uint32_t)script_number(script, 2) % (DATA_BYTES - bytes);
}

static uint32_t any_bytes(struct script *script)
{
    switch (script_below(script, 4)) {
    case 0:
        return script_below(script, 64);
    case 1:
        return (uint32_t)script_number(script, 2);
    default:
        return 2048;
    }
}

static void post_rx(struct script *script)
{
    unsigned head = next_desc[NET_RX];

    for (unsigned i = 1 + script_below(script, 3); i > 0; i--) {
        uint32_t bytes = any_bytes(script);
        add(NET_RX, any_place(script, bytes), bytes, VRING_DESC_F_WRITE);
    }
    submit(NET_RX, head);
}

static void post_tx(struct script *script)
{
    unsigned head = next_desc[NET_TX];
    uint32_t bytes = any_bytes(script), at = any_place(script, bytes + 12);
    net_header header = {.num_buffers = 0};
    uint32_t cut = script_below(script, 32);

    header.hdr.flags = (uint8_t)script_below(script, 4);
    header.hdr.gso_type = (uint8_t)script_below(script, 8);
    if (script_below(script, 2))
        header.hdr.gso_type = 0;
    header.hdr.gso_size = (uint16_t)script_below(script, 3);
    header.hdr.hdr_len = (uint16_t)script_number(script, 2);
    header.hdr.csum_start = (uint16_t)script_below(script, 128);
    header.hdr.csum_offset = (uint16_t)script_below(script, 32);
    memcpy(ram + at, &header, sizeof(header));
    if (cut < bytes + 12) {
        add(NET_TX, at, cut, 0);
        add(NET_TX, at + cut, bytes + 12 - cut, 0);
    } else {
        add(NET_TX, at, bytes + 12, 0);
    }
    submit(NET_TX, head);
}

/* A command that the device knows, mostly with data of the right length. */
static void post_command(struct script *script)
{
    static const uint8_t commands[][3] = {
        {0, 0, 1}, {0, 1, 1}, {0, 2, 1},  {0, 3, 1}, {0, 4, 1},
        {0, 5, 1}, {1, 0, 8}, {1, 0, 20}, {1, 1, 6}, {5, 0, 8},
        {6, 0, 8}, {6, 1, 8}, {6, 2, 12}, {6, 3, 4}, {2, 0, 2},
    };
    const uint8_t *command = commands[script_below(script, 15)];
    unsigned head = next_desc[NET_CTRL];
    uint32_t bytes = command[2], at = any_place(script, 300);

    if (script_below(script, 16) == 1)
        bytes = script_below(script, 255);
    ram[at] = command[0];
    ram[at + 1] = command[1];
    for (uint32_t i = 0; i < bytes; i++)
        ram[at + 2 + i] =
            script_below(script, 4) ? 0 : (uint8_t)script_number(script, 1);
    add(NET_CTRL, at, 2 + bytes, 0);
    if (script_below(script, 16) != 1)
        add(NET_CTRL, at + 280, 1 + script_below(script, 12),
            VRING_DESC_F_WRITE);
    submit(NET_CTRL, head);
}

/* Now, or at some later look of the device. */
static void write_anything(struct script *script)
{
    unsigned look = script_below(script, 32);
    uint32_t offset = (uint32_t)script_number(script, 2) % (RAM_BYTES - 7);

    if (script_below(script, 2)) /* a ring */
        offset = DESC(script_below(script, NET_QUEUES)) +
                 8 * (script_below(script, 128) % 64);
    change_at(look, offset, script_number(script, 8));
}

/* ---- What always holds -------------------------------------------------- */

static void check_held(void)
{
    const struct net_rx *rx = &net.rx;
    uint64_t bytes = 0, room = 0;
    unsigned pieces = 0;

    bug_on(rx->count > QUEUE_SIZE || rx->pieces > NET_PIECES_MAX);
    for (unsigned i = 0; i < rx->count; i++) {
        bytes += rx->chains[i].bytes;
        pieces += rx->chains[i].pieces;
    }
    for (unsigned i = 0; i < rx->pieces; i++) {
        bug_on(!lies_in(&rx->iov[i], ram, RAM_BYTES));
        room += rx->iov[i].iov_len;
    }
    bug_on(bytes != rx->bytes || room != bytes || pieces != rx->pieces);
}

/* After a serve: whoever is to be told of something is told, or will be. */
static void check_owed(void)
{
    struct pollfd file;

    for (unsigned i = NET_RX; i <= NET_TX; i++) {
        const struct coalesce *c = &net.moderation[i].coalesce;
        const struct virtq *q = &net.dev.queues[i];

        bug_on(!q->broken && q->enabled && c->pending == 0 &&
               q->published != net.moderation[i].since);
        bug_on(c->pending > 0 && net.dev.wake_ns > coalesce_deadline(c));
        bug_on(c->pending > 0 && !coalesce_is_on(c));
        bug_on(q->enabled && q->pushed != q->published && !q->broken);
    }
    vdev_want(&net.dev, &file);
    bug_on(file.fd != -1 && (file.fd != FD || net.backend->gone));
    bug_on(file.fd != -1 && !(file.events & (POLLIN | POLLOUT)));
    bug_on((file.events & POLLIN) && !net.rx.has_room);
    bug_on(net.backend->gone && (net.config.status & VIRTIO_NET_S_LINK_UP));
}

static void serve(struct script *script)
{
    bool ready = script_below(script, 2);
    int result;

    host_calls = 0;
    result = ready ? vdev_ready(&net.dev) : vdev_serve(&net.dev);
    bug_on(result != 0 && result != -EINTR);
    /* For each frame one call, or two where the rest of one goes first. */
    bug_on(host_calls > 3 * NET_SERVE_FRAMES + script->left + 64);
    check_held();
    if (vdev_is_live(&net.dev))
        check_owed();
}

static void one_action(struct script *script)
{
    switch (script_below(script, 16)) {
    case 0:
    case 1:
        write_anything(script);
        break;
    case 2:
        if (script_below(script, 4) == 1)
            bring_up(script);
        else
            make_available(script_below(script, NET_QUEUES),
                           (uint16_t)script_number(script, 1));
        break;
    case 3:
        now_ns += script_number(script, 3);
        break;
    case 4:
        vdev_poll(&net.dev, script_below(script, 2));
        break;
    case 5:
    case 6:
    case 7:
        post_rx(script);
        break;
    case 8:
    case 9:
        post_tx(script);
        break;
    case 10:
    case 11:
        post_command(script);
        break;
    default:
        serve(script);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct script script = {data, bytes};

    log_set_sink(ignore_line);
    start(&script);
    bring_up(&script);
    while (script.left > 0)
        one_action(&script);
    serve(&script);
    reset();
    return 0;
}
