/* SPDX-License-Identifier: MIT */
/* Free page reporting: memory that was given back goes back to the host. */
#include "report.h"

#include <errno.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_ids.h>

#include "device.h"
#include "hypercall.h"
#include "poll.h"
#include "ring.h"
#include "runtime.h"

/* Queues of a balloon with all its features; reporting_vq is the last one. */
#define QUEUES 5u

/* One chain describes as many ranges as this. */
#define REPORT_PIECES 16u

/* Of one buffer, whose length has 32 bits. */
#define REPORT_PIECE_BYTES (UINT64_C(1) << 30)

static struct {
    struct region *regions;
    unsigned region_count;
    size_t pending;  /* about as much is free and not reported */
    uint64_t due_ns; /* when the next report may be made */
    bool busy;       /* a report is being made */

    int state; /* of the device: 1 when open, -errno when there is none */
    struct device device;
    struct ring rings[QUEUES];
    unsigned queue; /* the one for reports */
    struct poll poll;
} report;

/* ---- The device --------------------------------------------------------- */

/*
 * Opens the device. Queues that are not there are left out of the numbering by
 * some devices and drivers: reporting_vq is the last one either way.
 */
static int open_device(void)
{
    int error = device_open(&report.device, VIRTIO_ID_BALLOON, 0,
                            UINT64_C(1) << VIRTIO_BALLOON_F_REPORTING,
                            report.rings, QUEUES);

    if (error)
        return error;
    for (unsigned i = 0; i < QUEUES; i++)
        if (report.rings[i].size > 0)
            report.queue = i;
    /* With F_PAGE_POISON free pages would have to be cleared first. */
    if (!device_has_feature(&report.device, VIRTIO_BALLOON_F_REPORTING) ||
        device_has_feature(&report.device, VIRTIO_BALLOON_F_PAGE_POISON))
        return -EOPNOTSUPP;
    return 1;
}

/* Reports free memory and waits until the device has it. Returns 1 or -EIO. */
static int send(const struct iovec *pieces, unsigned count)
{
    struct ring *ring = &report.rings[report.queue];
    uint32_t unused;
    int error;

    if (ring_add(ring, pieces, 0, count) < 0)
        return -EIO;
    if (ring_publish(ring))
        device_kick(&report.device, report.queue);
    /* Nobody may get the memory meanwhile. */
    poll_alone = true;
    error = poll_ring(&report.poll, &report.device, ring);
    poll_alone = false;
    if (error)
        return error;
    ring_reap(ring, &unused);
    return 1;
}

/* ---- What to report, and when ------------------------------------------- */

/* What is to be sent, piece by piece. */
struct batch {
    struct iovec pieces[REPORT_PIECES];
    unsigned count, most;
    uint64_t bytes; /* in all batches */
};

static void flush(struct batch *batch)
{
    if (batch->count > 0 && report.state > 0)
        report.state = send(batch->pieces, batch->count);
    batch->count = 0;
}

static void add_range(struct batch *batch, uintptr_t from, uintptr_t to)
{
    batch->bytes += to - from;
    while (from < to) {
        size_t part =
            to - from < REPORT_PIECE_BYTES ? to - from : REPORT_PIECE_BYTES;

        batch->pieces[batch->count++] = (struct iovec){(void *)from, part};
        if (batch->count == batch->most)
            flush(batch);
        from += part;
    }
}

/* How many ranges go into one chain. */
static unsigned most_pieces(void)
{
    unsigned size = report.rings[report.queue].size;

    return size < REPORT_PIECES ? size : REPORT_PIECES;
}

/* When the next report may be made after this one. */
static uint64_t next_report(const struct batch *batch)
{
    return mf_clock_monotonic() +
           batch->bytes / REGION_PAGE * REPORT_NS_PER_PAGE;
}

/* Reports everything that is free. */
static void report_all(void)
{
    struct batch batch = {.most = most_pieces()};
    uintptr_t from, to;

    report.busy = true;
    for (unsigned i = 0; i < report.region_count; i++)
        while (region_find_unreported(&report.regions[i], REPORT_LEAST, &from,
                                      &to))
            add_range(&batch, from, to);
    flush(&batch);
    report.busy = false;
    report.pending = 0;
    report.due_ns = next_report(&batch);
}

/* Reports if that is worth it; it is time. */
static void report_if_worth(void)
{
    /* What is pending may be in use again, or in small pieces. */
    report.pending = 0;
    for (unsigned i = 0; i < report.region_count; i++)
        report.pending +=
            region_unreported_bytes(&report.regions[i], REPORT_LEAST);
    if (report.pending < REPORT_BYTES_MIN)
        return;
    if (!report.state)
        report.state = open_device();
    if (report.state > 0)
        report_all();
}

static bool may_report(void)
{
    return report.pending >= REPORT_BYTES_MIN && report.state >= 0 &&
           !report.busy;
}

void report_range(uintptr_t from, uintptr_t to, bool as_zero)
{
    struct batch batch = {0};

    if (to - from < REPORT_BYTES_MIN || report.state < 0 || report.busy ||
        mf_clock_monotonic() < report.due_ns)
        return;
    if (!report.state)
        report.state = open_device();
    if (report.state < 0 || (as_zero && report.device.registers))
        return;
    batch.most = most_pieces();
    report.busy = true;
    add_range(&batch, from, to);
    flush(&batch);
    report.busy = false;
    report.due_ns = next_report(&batch);
}

/* Others may do something before a sleep, too: see ext4/guest_mount.c. */
static uint64_t (*other_before_sleep)(uint64_t deadline_ns);

static uint64_t before_sleep(uint64_t deadline_ns)
{
    if (other_before_sleep)
        deadline_ns = other_before_sleep(deadline_ns);
    return report_before_sleep(deadline_ns);
}

static void watch_sleep(void)
{
    static bool watching;

    if (watching)
        return;
    watching = true;
    other_before_sleep = mf_before_sleep;
    mf_before_sleep = before_sleep;
}

void report_freed(struct region *regions, unsigned count, size_t bytes)
{
    report.regions = regions;
    report.region_count = count;
    report.pending += bytes;
    watch_sleep();
    if (may_report() && mf_clock_monotonic() >= report.due_ns)
        report_if_worth();
}

uint64_t report_before_sleep(uint64_t deadline_ns)
{
    if (!may_report())
        return deadline_ns;
    if (mf_clock_monotonic() >= report.due_ns) {
        report_if_worth();
        return deadline_ns;
    }
    return deadline_ns < report.due_ns ? deadline_ns : report.due_ns;
}
