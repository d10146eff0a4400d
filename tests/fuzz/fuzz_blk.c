/* SPDX-License-Identifier: MIT */
/* Fuzzes the block device: honest drivers against a model, hostile ones. */

/*
 * The disk is an array; system calls on it do all, some or none of what they
 * are asked, as the script says. An honest driver frames its requests in every
 * way and asks for anything, and each answer has to be the model's: status,
 * used length, data, and the whole disk. With a rate limit it comes when its
 * time has come. A hostile one writes what it likes,
 * also while the device looks; then only the bounds are checked.
 */
#include "tests/fuzz/hooked.h"

#include <linux/falloc.h>

#include "tests/fuzz/blk_model.h"
#include "tests/fuzz/changing.h"
#include "tests/fuzz/no_console.h"

static int hooked_os_fstat(int fd, struct stat *status);
static ssize_t hooked_os_preadv(int fd, const struct iovec *iov, int count,
                                off_t offset);
static ssize_t hooked_os_pwritev(int fd, const struct iovec *iov, int count,
                                 off_t offset);
static int hooked_os_fallocate(int fd, int mode, off_t offset, off_t bytes);
static int hooked_os_fdatasync(int fd);
static uint64_t hooked_os_now_ns(void);

#define os_fstat     hooked_os_fstat
#define os_preadv    hooked_os_preadv
#define os_pwritev   hooked_os_pwritev
#define os_fallocate hooked_os_fallocate
#define os_fdatasync hooked_os_fdatasync
#define os_now_ns    hooked_os_now_ns

/* Each request is held against the model as it is given back. */
static void give_back(struct virtq *q, uint16_t head, uint32_t written);

#define virtq_push give_back
#include "virtio/blk.c"
#undef virtq_push

#define FD         100
#define RAM_BASE   UINT64_C(0x10000)
#define DESC       0x0000u
#define AVAIL      0x1000u
#define USED       0x2000u
#define EVENTS     0x3000u
#define SLOTS_AT   0x4000u
#define SLOTS      8u  /* requests in flight */
#define SLOT_DESCS 16u /* descriptors of each */
#define SLOT_BYTES 0x2000u
#define RAM_BYTES  (SLOTS_AT + SLOTS * SLOT_BYTES)

static _Alignas(4096) uint8_t ram[RAM_BYTES];
static const struct gmem mem = {
    .regions = {{.base = RAM_BASE, .bytes = RAM_BYTES, .host = ram}},
    .count = 1,
};
static struct blk blk;
static struct event_word events;
static struct posted posted[SLOTS];
static uint16_t post_count, answer_count; /* modulo SLOTS: the slot */
static struct script *answers;            /* how host calls end */
static bool hostile;
static bool limited;    /* there is a rate limit */
static uint64_t now_ns; /* the host's time */
static unsigned host_calls;

/* ---- The host ----------------------------------------------------------- */

static int hooked_os_fstat(int fd, struct stat *status)
{
    bug_on(fd != FD);
    *status = (struct stat){.st_mode = S_IFREG, .st_size = DISK_BYTES + 511};
    return 0;
}

/* What is posted of the request that is being served; hostile: nothing. */
static struct posted *current(void)
{
    static struct posted ignored;

    return hostile ? &ignored : &posted[blk.request.head / SLOT_DESCS];
}

/* What the host says to doing `bytes` bytes. 0 is the end of the file. */
static ssize_t answer(uint64_t bytes)
{
    ssize_t result = (ssize_t)bytes;

    host_calls++;
    change_memory();
    switch (script_below(answers, 16)) {
    case 1:
        return -EINTR;
    case 2:
        result = script_below(answers, 4) == 0 ? -EIO : result;
        break;
    case 3:
    case 4:
        result = (ssize_t)min_u64(bytes, script_number(answers, 2));
        break;
    }
    if (result <= 0)
        current()->failed = true;
    return result;
}

static void check_bounds(int fd, off_t offset, uint64_t bytes)
{
    bug_on(fd != FD || bytes == 0);
    bug_on(offset < 0 || offset > (off_t)DISK_BYTES);
    bug_on(bytes > DISK_BYTES - (uint64_t)offset);
}

static void check_change(void)
{
    bug_on(read_only);
    current()->synced = false;
}

/* Returns the sum of the pieces' lengths. */
static uint64_t count_bytes(const struct iovec *iov, int count)
{
    uint64_t bytes = 0;

    bug_on(count <= 0 || count > (int)BLK_QUEUE_MAX);
    for (int i = 0; i < count; i++) {
        const uint8_t *start = iov[i].iov_base;
        bool zeroes = blk.request.type == VIRTIO_BLK_T_WRITE_ZEROES;

        bug_on(iov[i].iov_len == 0);
        bug_on(!zeroes && (start < ram || start >= ram + RAM_BYTES));
        bug_on(!zeroes && iov[i].iov_len > (size_t)(ram + RAM_BYTES - start));
        bytes += iov[i].iov_len;
    }
    return bytes;
}

/* Moves `bytes` bytes between the pieces and the disk. */
static void move(const struct iovec *iov, uint8_t *at, ssize_t bytes, bool in)
{
    for (; bytes > 0; iov++) {
        size_t part = min_u64((uint64_t)bytes, iov->iov_len);

        if (in)
            memcpy(iov->iov_base, at, part);
        else
            memcpy(at, iov->iov_base, part);
        at += part;
        bytes -= (ssize_t)part;
    }
}

static ssize_t hooked_os_preadv(int fd, const struct iovec *iov, int count,
                                off_t offset)
{
    uint64_t bytes = count_bytes(iov, count);

    check_bounds(fd, offset, bytes);
    ssize_t moved = answer(bytes);
    move(iov, disk + offset, moved, true);
    return moved;
}

static ssize_t hooked_os_pwritev(int fd, const struct iovec *iov, int count,
                                 off_t offset)
{
    uint64_t bytes = count_bytes(iov, count);

    bug_on(blk.request.type == VIRTIO_BLK_T_DISCARD);
    check_change();
    check_bounds(fd, offset, bytes);
    ssize_t moved = answer(bytes);
    move(iov, disk + offset, moved, false);
    return moved;
}

static int hooked_os_fallocate(int fd, int mode, off_t offset, off_t bytes)
{
    bug_on(mode != (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE) &&
           mode != (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE));
    check_change();
    check_bounds(fd, offset, (uint64_t)bytes);
    if (script_below(answers, 4) == 1)
        return script_below(answers, 2) ? -EOPNOTSUPP : -EINVAL;
    ssize_t done = answer(1);
    if (done != 1)
        return done < 0 ? (int)done : -EIO;
    memset(disk + offset, 0, (size_t)bytes);
    return 0;
}

static int hooked_os_fdatasync(int fd)
{
    bug_on(fd != FD);
    ssize_t done = answer(1);
    if (done != 1)
        return done < 0 ? (int)done : -EIO;
    current()->synced = true;
    return 0;
}

static uint64_t hooked_os_now_ns(void)
{
    return now_ns;
}

/* ---- The driver's expectations ------------------------------------------- */

static void check_answer(uint16_t head, uint32_t length)
{
    unsigned slot = answer_count % SLOTS;
    const struct posted *request = &posted[slot];
    const uint8_t *in = ram + SLOTS_AT + slot * SLOT_BYTES + HALF_BYTES;
    uint8_t expected = expect_status(request);
    uint32_t written;

    bug_on(answer_count == post_count || head != slot * SLOT_DESCS);
    if (expected == VIRTIO_BLK_S_OK) {
        apply(request);
        if (request->failed)
            expected = VIRTIO_BLK_S_IOERR;
    } else {
        bug_on(request->failed); /* nothing was tried */
    }
    bug_on(in[request->in_bytes - 1] != expected);
    bug_on(in[request->in_bytes] != UNTOUCHED);
    if (expected == VIRTIO_BLK_S_OK)
        check_data(request, in);

    /* The used length ends where the device stopped writing, or is full. */
    bug_on(length > request->in_bytes);
    if (length < request->in_bytes)
        written = length;
    else
        written = request->in_bytes - 1;
    for (uint32_t i = written; i < request->in_bytes - 1; i++)
        bug_on(in[i] != UNTOUCHED);
    if (expected == VIRTIO_BLK_S_OK &&
        header_of(request).type != VIRTIO_BLK_T_FLUSH)
        bug_on(length != request->in_bytes);
}

static void give_back(struct virtq *q, uint16_t head, uint32_t written)
{
    if (!hostile)
        check_answer(head, written);
    answer_count++;
    virtq_push(q, head, written);
}

/* ---- The driver --------------------------------------------------------- */

static void bring_up(uint64_t features)
{
    struct virtq_layout layout = {gpa(RAM_BASE + DESC), gpa(RAM_BASE + AVAIL),
                                  gpa(RAM_BASE + USED), BLK_QUEUE_MAX};

    memset(ram + AVAIL, 0, SLOTS_AT - AVAIL);
    post_count = answer_count = 0;
    vdev_set_status(&blk.dev, 0);
    vdev_set_status(&blk.dev, VIRTIO_CONFIG_S_DRIVER);
    vdev_set_features(&blk.dev, features);
    vdev_set_status(&blk.dev, VIRTIO_CONFIG_S_FEATURES_OK);
    bug_on(vdev_enable_queue(&blk.dev, 0, &layout));
    vdev_set_status(&blk.dev, VIRTIO_CONFIG_S_DRIVER_OK);
    /* What a request did that the reset ended is up to the host. */
    memcpy(model, disk, DISK_BYTES);
}

static void start(struct script *script)
{
    unsigned mode = script_below(script, 16);
    struct blk_options options = {.fd = FD, .id = "fuzz"};

    hostile = mode & 1;
    options.read_only = read_only = mode & 2;
    can_flush = mode & 4;
    limited = mode & 8;
    now_ns = 1000000000;
    if (limited) {
        options.rate.ops = script_number(script, 1);
        options.rate.bytes = script_number(script, 2)
                             << script_below(script, 9);
        limited = options.rate.ops || options.rate.bytes;
    }
    changes_begin(ram);
    memset(ram, 0, sizeof(ram));
    for (unsigned i = 0; i < DISK_BYTES; i++)
        disk[i] = (uint8_t)(i / 7 + 1);
    bug_on(event_init(&events, &mem, gpa(RAM_BASE + EVENTS)));
    bug_on(blk_init(&blk, &options));
    bug_on(blk.config.capacity != SECTORS);
    vdev_bind(&blk.dev, &mem, &events, 0, NULL);
}

static void restart(void)
{
    uint64_t features = blk.dev.offered;

    if (!can_flush)
        features &= ~FEATURE(FLUSH);
    bring_up(features);
}

/* Describes one half of a slot in up to 8 pieces. Returns the next entry. */
static unsigned describe(struct script *script, unsigned entry, uint32_t at,
                         uint32_t bytes, uint16_t flags)
{
    for (unsigned left = 8; left > 0 && bytes > 0; left--, entry++) {
        uint32_t part = left == 1 || script_below(script, 2)
                            ? bytes
                            : (uint32_t)script_number(script, 1) % (bytes + 1);
        struct vring_desc desc = {RAM_BASE + at, part,
                                  flags | VRING_DESC_F_NEXT,
                                  (uint16_t)(entry + 1)};

        memcpy(ram + DESC + entry * sizeof(desc), &desc, sizeof(desc));
        at += part;
        bytes -= part;
    }
    return entry;
}

static uint64_t any_sector(struct script *script)
{
    return script_below(script, 16) == 0 ? script_number(script, 8)
                                         : script_below(script, SECTORS + 2);
}

/* Data for the request, mostly of the length that its type wants. */
static void choose_lengths(struct script *script, struct posted *request,
                           uint32_t type)
{
    uint32_t bytes = script_below(script, 8) * BLK_SECTOR_BYTES;

    if (type == VIRTIO_BLK_T_GET_ID)
        bytes = 20;
    if (type == VIRTIO_BLK_T_DISCARD || type == VIRTIO_BLK_T_WRITE_ZEROES)
        bytes = script_below(script, BLK_RANGES_MAX + 2) * RANGE_BYTES;
    if (script_below(script, 16) == 0)
        bytes = script_number(script, 2) % (HALF_BYTES - 16);
    bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
    if (script_below(script, 16) == 0)
        in = !in;
    request->out_bytes = 16 + (in ? 0 : bytes);
    request->in_bytes = 1 + (in ? bytes : 0);
    if (script_below(script, 32) == 0)
        request->out_bytes = script_below(script, 48);
    if (script_below(script, 32) == 0)
        request->in_bytes = 1 + script_below(script, 48);
}

/* What the driver has to say: a header, then ranges or anything. */
static void choose_data(struct script *script, struct posted *request,
                        uint32_t type)
{
    struct virtio_blk_outhdr header = {.type = type,
                                       .sector = any_sector(script)};
    uint8_t seed = (uint8_t)script_number(script, 1);

    for (uint32_t i = 16; i < HALF_BYTES; i++)
        request->out[i] = (uint8_t)(seed + i * 5);
    memcpy(request->out, &header, sizeof(header));
    if (type != VIRTIO_BLK_T_DISCARD && type != VIRTIO_BLK_T_WRITE_ZEROES)
        return;
    for (uint32_t i = 16; i + RANGE_BYTES <= request->out_bytes;
         i += RANGE_BYTES) {
        struct virtio_blk_discard_write_zeroes range = {
            any_sector(script), script_below(script, 6), 0};

        if (script_below(script, 4) == 0)
            range.flags = 1u << script_below(script, 3) >> 1;
        memcpy(request->out + i, &range, sizeof(range));
    }
}

static void make_available(uint16_t head)
{
    struct vring_avail *avail = (struct vring_avail *)(ram + AVAIL);

    avail->ring[avail->idx % BLK_QUEUE_MAX] = head;
    avail->idx++;
}

static void post_request(struct script *script)
{
    static const uint32_t types[] = {
        VIRTIO_BLK_T_IN,      VIRTIO_BLK_T_OUT,          VIRTIO_BLK_T_FLUSH,
        VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES, VIRTIO_BLK_T_GET_ID,
        VIRTIO_BLK_T_IN,      VIRTIO_BLK_T_OUT,
    };
    unsigned slot = post_count % SLOTS, entry = slot * SLOT_DESCS;
    uint32_t at = SLOTS_AT + slot * SLOT_BYTES;
    uint32_t type = script_below(script, 16) == 0
                        ? (uint32_t)script_number(script, 1)
                        : types[script_below(script, ARRAY_SIZE(types))];
    struct posted *request = &posted[slot];

    if (!hostile && (uint16_t)(post_count - answer_count) == SLOTS)
        return;
    request->failed = request->synced = false;
    choose_lengths(script, request, type);
    choose_data(script, request, type);
    memcpy(ram + at, request->out, HALF_BYTES);
    memset(ram + at + HALF_BYTES, UNTOUCHED, HALF_BYTES);
    entry = describe(script, entry, at, request->out_bytes, 0);
    entry = describe(script, entry, at + HALF_BYTES, request->in_bytes,
                     VRING_DESC_F_WRITE);
    ((struct vring_desc *)(ram + DESC))[entry - 1].flags &=
        (uint16_t)~VRING_DESC_F_NEXT;
    post_count++;
    make_available((uint16_t)(slot * SLOT_DESCS));
}

static uint32_t any_offset(struct script *script)
{
    return (uint32_t)script_number(script, 2) % (RAM_BYTES - 7);
}

/* Now, or at some later look of the device. */
static void write_anything(struct script *script)
{
    unsigned look = script_below(script, 32);
    uint32_t offset = any_offset(script);

    if (script_below(script, 2)) /* a descriptor */
        offset = DESC + 8 * script_below(script, 256);
    change_at(look, offset, script_number(script, 8));
}

static void check_state(void)
{
    const struct blk_request *request = &blk.request;
    bool moves =
        request->type == VIRTIO_BLK_T_IN || request->type == VIRTIO_BLK_T_OUT;
    const struct iovec *piece = request->iov;

    if (!blk.busy)
        return;
    bug_on(request->status < ram || request->status >= ram + RAM_BYTES);
    bug_on(request->in_written > request->in_bytes);
    for (uint64_t left = moves ? request->left : 0; left > 0; piece++) {
        bug_on(piece == blk.iov + BLK_QUEUE_MAX || piece->iov_len > left);
        left -= piece->iov_len;
    }
}

/* Whether the driver is asked for as many kicks as are of use. */
static void check_kicks(int result)
{
    const struct vring_used *used = (const struct vring_used *)(ram + USED);
    uint16_t wish, popped = blk.dev.queues[0].popped;
    bool waits = blk.dev.wake_ns != VDEV_NEVER;

    bug_on(waits && (!limited || blk.busy || result != 0));
    bug_on(waits && blk.dev.wake_ns <= now_ns);
    if (hostile || result != 0)
        return;
    memcpy(&wish, &used->ring[BLK_QUEUE_MAX], sizeof(wish));
    bug_on(!waits && answer_count != post_count);
    bug_on(wish != (uint16_t)(popped + (waits || blk.dev.polled) * 0x8000));
}

static void serve(struct script *script)
{
    host_calls = 0;
    int result = vdev_serve(&blk.dev);

    bug_on(result != 0 && result != -EINTR);
    /* Each call but so many a serve uses up script. */
    bug_on(host_calls > 70000 + script->left);
    check_state();
    check_kicks(result);
    if (!hostile) {
        bug_on(!vdev_is_live(&blk.dev));
        bug_on(((struct vring_used *)(ram + USED))->idx != answer_count);
        bug_on(!blk.busy && memcmp(disk, model, DISK_BYTES));
    } else if (read_only) {
        bug_on(memcmp(disk, model, DISK_BYTES));
    }
}

static void one_action(struct script *script)
{
    switch (script_below(script, 10)) {
    case 8:
        now_ns += script_number(script, script_below(script, 6));
        break;
    case 9:
        vdev_poll(&blk.dev, script_below(script, 2));
        serve(script);
        break;
    case 0:
        if (hostile)
            write_anything(script);
        break;
    case 1:
        if (script_below(script, 16) == 0)
            restart();
        else if (hostile)
            make_available((uint16_t)script_number(script, 1));
        break;
    case 2:
    case 3:
    case 4:
        post_request(script);
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
    answers = &script;
    start(&script);
    restart();
    while (script.left > 0)
        one_action(&script);
    serve(&script);
    /* Time is all that may be missing. */
    for (unsigned i = 0; !hostile && answer_count != post_count; i++) {
        bug_on(i > SLOTS);
        if (blk.dev.wake_ns != VDEV_NEVER)
            now_ns = blk.dev.wake_ns;
        serve(&script);
    }
    return 0;
}
