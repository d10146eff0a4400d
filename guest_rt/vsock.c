/* SPDX-License-Identifier: MIT */
/* The virtio socket device (virtio 1.2, 5.10): packets to and from it. */
#include "guest_rt/vsock.h"

#include <errno.h>
#include <linux/virtio_ids.h>

#include "guest_rt/device.h"
#include "guest_rt/lwip/arch/cc.h"
#include "guest_rt/runtime.h"

#define EVENTS        8u
#define BATCH         64u /* packets: then others have their turn */
#define RESERVED      16u /* of the ring: for packets without data */
#define FLUSH_PACKETS 16u
#define FLUSH_NS      50000u
#define STEP_NS       1000000u

static struct {
    struct device device;
    struct ring rings[VSOCK_QUEUES];
    struct source source;
    const struct vsock_user *user;
    uint64_t cid;
    bool blocked;
    bool gave_up, broken; /* the device has; and that was told */
    unsigned unflushed;   /* packets that the device was not shown */
    uint64_t flushed_ns;  /* when it was shown some last */
    struct vsock_buffer *first_waiting, *last_waiting; /* to be sent */
    /* By the heads of their chains. */
    struct vsock_buffer *posted[DEVICE_QUEUE_SIZE_MAX];
    struct vsock_buffer *sending[DEVICE_QUEUE_SIZE_MAX];
    struct virtio_vsock_event events[EVENTS];
} vsock;

/* ---- Buffers ------------------------------------------------------------- */

struct vsock_buffer *vsock_buffer_create(size_t bytes)
{
    struct vsock_buffer *buffer = inet_memory_alloc(sizeof(*buffer) + bytes);

    if (buffer) {
        buffer->next = NULL;
        buffer->start = buffer->end = 0;
        buffer->room = (uint32_t)bytes;
    }
    return buffer;
}

void vsock_buffer_destroy(struct vsock_buffer *buffer)
{
    inet_memory_free(buffer);
}

/* There is room: never more of them are posted than at first. */
static void post_buffer(struct vsock_buffer *buffer)
{
    struct ring *ring = &vsock.rings[VSOCK_RX];
    struct iovec piece = {&buffer->header, VSOCK_HEADER_BYTES + buffer->room};

    vsock.posted[ring_next_head(ring)] = buffer;
    ring_add(ring, &piece, 0, 1);
}

/* Events have no order that would matter: each buffer may be any. */
static void post_event(void)
{
    struct ring *ring = &vsock.rings[VSOCK_EVENT];
    struct iovec piece = {&vsock.events[ring_next_head(ring) % EVENTS],
                          sizeof(vsock.events[0])};

    ring_add(ring, &piece, 0, 1);
}

/* ---- Showing the device what there is ------------------------------------ */

static bool publish(unsigned queue)
{
    struct ring *ring = &vsock.rings[queue];

    return ring->added != ring->published && ring_publish(ring);
}

/* Under the native transport a kick is for all queues. */
static void show(void)
{
    static const unsigned order[] = {VSOCK_TX, VSOCK_RX, VSOCK_EVENT};
    bool kicked = false;

    if (vsock.unflushed > 0) {
        vsock.unflushed = 0;
        vsock.flushed_ns = mf_clock_monotonic();
    }
    for (unsigned i = 0; i < VSOCK_QUEUES; i++)
        if (publish(order[i]) && (!kicked || vsock.device.registers)) {
            kicked = true;
            device_kick(&vsock.device, order[i]);
        }
}

/* Those that go idle call it with `now`. */
static void flush(bool now)
{
    if (now || vsock.unflushed >= FLUSH_PACKETS ||
        (vsock.unflushed > 0 &&
         mf_clock_monotonic() - vsock.flushed_ns >= FLUSH_NS))
        show();
}

/* ---- Sending ------------------------------------------------------------- */

static void add_packet(struct vsock_buffer *packet)
{
    struct ring *ring = &vsock.rings[VSOCK_TX];
    struct iovec piece = {&packet->header,
                          VSOCK_HEADER_BYTES + packet->header.len};

    vsock.sending[ring_next_head(ring)] = packet;
    ring_add(ring, &piece, 1, 0);
    vsock.unflushed++;
}

static void reap_sent(void)
{
    uint32_t written;

    for (int head; (head = ring_reap(&vsock.rings[VSOCK_TX], &written)) >= 0;)
        vsock_buffer_destroy(vsock.sending[head]);
}

/* What had to wait goes on, in its order. */
static void send_waiting(void)
{
    struct vsock_buffer *packet;

    while ((packet = vsock.first_waiting) &&
           (vsock.rings[VSOCK_TX].free_count > 0 || vsock.broken)) {
        vsock.first_waiting = packet->next;
        if (vsock.broken)
            vsock_buffer_destroy(packet);
        else
            add_packet(packet);
    }
}

void vsock_put(struct vsock_buffer *packet)
{
    packet->next = NULL;
    if (vsock.first_waiting)
        vsock.last_waiting->next = packet;
    else
        vsock.first_waiting = packet;
    vsock.last_waiting = packet;
    reap_sent();
    send_waiting();
    flush(false);
}

bool vsock_has_room(void)
{
    if (vsock.rings[VSOCK_TX].free_count <= RESERVED)
        reap_sent();
    return !vsock.first_waiting && vsock.rings[VSOCK_TX].free_count > RESERVED;
}

void vsock_want_room(void)
{
    vsock.blocked = true;
}

/* ---- Receiving ----------------------------------------------------------- */

static void read_cid(void)
{
    device_read_config(&vsock.device,
                       offsetof(struct virtio_vsock_config, guest_cid),
                       &vsock.cid, sizeof(vsock.cid));
}

/*
 * Before packets are looked at: those of streams that begin after a reset come
 * after it.
 */
static void take_events(void)
{
    bool reset = false;
    uint32_t written;

    while (ring_reap(&vsock.rings[VSOCK_EVENT], &written) >= 0) {
        post_event(); /* there is one kind of event (5.10.6.7) */
        reset = true;
    }
    if (vsock.gave_up && !vsock.broken)
        reset = vsock.broken = true;
    if (!reset)
        return;
    read_cid();
    vsock.user->reset();
}

/* A packet of which all is there, or NULL; others go back. */
static struct vsock_buffer *take_packet(void)
{
    struct ring *ring = &vsock.rings[VSOCK_RX];
    uint32_t written;
    int head;

    while ((head = ring_reap(ring, &written)) >= 0) {
        struct vsock_buffer *packet = vsock.posted[head];

        if (written >= VSOCK_HEADER_BYTES &&
            packet->header.len <= written - VSOCK_HEADER_BYTES &&
            packet->header.len <= packet->room) {
            packet->start = 0;
            packet->end = packet->header.len;
            return packet;
        }
        post_buffer(packet);
    }
    return NULL;
}

/* Data is copied if it is little, else its buffer replaced by another one. */
static void receive(struct vsock_buffer *packet)
{
    struct vsock_buffer *other = NULL;

    if (packet->end >= VSOCK_RECEIVE_BYTES / 4)
        other = vsock_buffer_create(VSOCK_RECEIVE_BYTES);
    vsock.user->receive(packet, other);
    post_buffer(other ? other : packet);
}

static bool wants_sent(void)
{
    return vsock.blocked || vsock.first_waiting;
}

static bool is_ready(struct source *source)
{
    (void)source;
    flush(true);
    return ring_has_used(&vsock.rings[VSOCK_RX]) ||
           ring_has_used(&vsock.rings[VSOCK_EVENT]) ||
           (wants_sent() && ring_has_used(&vsock.rings[VSOCK_TX]));
}

static bool arm(struct source *source)
{
    bool found;

    (void)source;
    flush(true);
    found = ring_want_event(&vsock.rings[VSOCK_RX]);
    found |= ring_want_event(&vsock.rings[VSOCK_EVENT]);
    if (wants_sent())
        found |= ring_want_event(&vsock.rings[VSOCK_TX]);
    if (!vsock.gave_up && device_is_broken(&vsock.device))
        found = vsock.gave_up = true;
    return found;
}

static void serve(struct source *source)
{
    struct vsock_buffer *packet;

    (void)source;
    reap_sent();
    take_events();
    for (unsigned i = 0; i < BATCH && (packet = take_packet()); i++)
        receive(packet);
    send_waiting();
    for (unsigned i = 0; i < VSOCK_QUEUES; i++)
        ring_refuse_event(&vsock.rings[i]);
    if (vsock.blocked && vsock_has_room()) {
        vsock.blocked = false;
        vsock.user->room();
    }
    flush(false);
}

void vsock_poll(void)
{
    if (!vsock.user)
        return;
    if (is_ready(&vsock.source))
        serve(&vsock.source);
}

/* ---- The beginning and the end ------------------------------------------- */

static int post_all(void)
{
    unsigned count = vsock.rings[VSOCK_RX].size;

    if (count > VSOCK_BUFFERS)
        count = VSOCK_BUFFERS;
    for (; count > 0; count--) {
        struct vsock_buffer *buffer = vsock_buffer_create(VSOCK_RECEIVE_BYTES);

        if (!buffer)
            return -EIO;
        post_buffer(buffer);
    }
    for (unsigned i = 0; i < EVENTS && i < vsock.rings[VSOCK_EVENT].size; i++)
        post_event();
    return 0;
}

static int open_device(void)
{
    int error = device_open(&vsock.device, VIRTIO_ID_VSOCK, 0, 0, vsock.rings,
                            VSOCK_QUEUES);

    for (unsigned i = 0; i < VSOCK_QUEUES && !error; i++)
        if (vsock.rings[i].size == 0 ||
            vsock.rings[i].size > DEVICE_QUEUE_SIZE_MAX)
            error = -EIO;
    return error ? error : post_all();
}

int vsock_start(const struct vsock_user *user)
{
    static int result = 1; /* not tried yet */

    if (result <= 0)
        return result;
    result = open_device();
    if (result)
        return result;
    read_cid();
    vsock.user = user;
    vsock.source = (struct source){.event = device_event(&vsock.device),
                                   .ready = is_ready,
                                   .arm = arm,
                                   .serve = serve};
    source_add(&vsock.source);
    show();
    return 0;
}

uint64_t vsock_cid(void)
{
    return vsock.cid;
}

/* Without the scheduler: no other thread goes on. */
static void sleep_alone(uint64_t deadline_ns)
{
    uint64_t seen = __atomic_load_n(&mf_boot_page()->events, __ATOMIC_ACQUIRE);

    mf_hypercall(MF_HC_WAIT, seen, mf_sleep_deadline(deadline_ns));
}

void vsock_drain(uint64_t ns)
{
    uint64_t end_ns = mf_clock_monotonic() + ns;
    bool kicked = false;

    if (!vsock.user)
        return;
    for (;;) {
        reap_sent();
        send_waiting();
        show();
        if (!ring_in_flight(&vsock.rings[VSOCK_TX]) ||
            mf_clock_monotonic() >= end_ns)
            return;
        /* It may look when this VM waits, only; but this is its end. */
        if (!kicked)
            device_kick(&vsock.device, VSOCK_TX);
        else if (!ring_has_used(&vsock.rings[VSOCK_TX]))
            sleep_alone(mf_clock_monotonic() + STEP_NS);
        kicked = true;
    }
}
