/* SPDX-License-Identifier: MIT */
/* Fuzzes the 9P device: honest clients and hostile ones, on a made-up host. */

/*
 * The host (p9_host.h) checks what it is asked: that every path is opened
 * beneath the root as it has to be, that names are names, that descriptors are
 * open and all are closed in the end, that nothing changes through a read-only
 * share, that data goes where guest memory is. An honest client's answers have
 * its tag, its type and their length; a hostile one writes what it likes into
 * its memory, also while the device looks.
 */
#include "tests/fuzz/p9_host.h"

#include "tests/fuzz/p9_client.h"

#define DESC       0x0000u
#define AVAIL      0x1000u
#define USED       0x2000u
#define EVENTS     0x3000u
#define SLOTS_AT   0x4000u
#define SLOTS      8u  /* requests in flight */
#define SLOT_DESCS 16u /* descriptors of each */
#define SLOT_BYTES 0x4000u
#define HALF_BYTES (SLOT_BYTES / 2)
#define UNTOUCHED  0xee

_Static_assert(SLOTS_AT + SLOTS * SLOT_BYTES == RAM_BYTES, "all of it");

/* What the driver knows of a request in flight. */
struct posted {
    uint32_t out_bytes, in_bytes;
    uint8_t header[P9_HEADER_BYTES];
};

static struct event_word events;
static struct posted posted[SLOTS];
static uint16_t post_count, answer_count; /* modulo SLOTS: the slot */
static bool hostile;

/* ---- The driver's expectations ------------------------------------------- */

static void check_answer(uint16_t head, uint32_t length)
{
    unsigned slot = answer_count % SLOTS;
    const struct posted *request = &posted[slot];
    const uint8_t *in = ram + SLOTS_AT + slot * SLOT_BYTES + HALF_BYTES;
    uint32_t size;

    bug_on(answer_count == post_count || head != slot * SLOT_DESCS);
    bug_on(length < P9_HEADER_BYTES || length > request->in_bytes);
    memcpy(&size, in, 4);
    bug_on(size != length);
    bug_on(in[length] != UNTOUCHED && length == request->in_bytes);
    if (request->out_bytes < P9_HEADER_BYTES) {
        bug_on(in[4] != P9_LERROR);
        return;
    }
    bug_on(in[4] != P9_LERROR && in[4] != request->header[4] + 1);
    bug_on(memcmp(in + 5, request->header + 5, 2));
    if (in[4] == P9_LERROR)
        bug_on(length != P9_ERROR_BYTES || in[7] == EINTR);
}

static void give_back(struct virtq *q, uint16_t head, uint32_t written)
{
    if (!hostile)
        check_answer(head, written);
    answer_count++;
    virtq_push(q, head, written);
}

/* ---- The driver's requests ----------------------------------------------- */

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

static void make_available(uint16_t head)
{
    struct vring_avail *avail = (struct vring_avail *)(ram + AVAIL);

    avail->ring[avail->idx % P9_QUEUE_MAX] = head;
    avail->idx++;
}

static void post_request(struct script *script)
{
    static uint8_t message[MESSAGE_BYTES_MAX];
    unsigned slot = post_count % SLOTS, entry = slot * SLOT_DESCS;
    uint32_t at = SLOTS_AT + slot * SLOT_BYTES;
    struct posted *request = &posted[slot];
    uint32_t bytes;

    if (!hostile && (uint16_t)(post_count - answer_count) == SLOTS)
        return;
    bytes = make_message(script, message);
    if (bytes > HALF_BYTES)
        bytes = HALF_BYTES;
    request->out_bytes = bytes;
    request->in_bytes = HALF_BYTES - 8;
    if (script_below(script, 16) == 0)
        request->in_bytes = P9_ERROR_BYTES + script_below(script, 64);
    memcpy(request->header, message, P9_HEADER_BYTES);
    memcpy(ram + at, message, bytes);
    memset(ram + at + HALF_BYTES, UNTOUCHED, HALF_BYTES);
    entry = describe(script, entry, at, bytes, 0);
    entry = describe(script, entry, at + HALF_BYTES, request->in_bytes,
                     VRING_DESC_F_WRITE);
    ((struct vring_desc *)(ram + DESC))[entry - 1].flags &=
        (uint16_t)~VRING_DESC_F_NEXT;
    post_count++;
    make_available((uint16_t)(slot * SLOT_DESCS));
}

/* ---- The session --------------------------------------------------------- */

static void bring_up(void)
{
    struct virtq_layout layout = {gpa(RAM_BASE + DESC), gpa(RAM_BASE + AVAIL),
                                  gpa(RAM_BASE + USED), P9_QUEUE_MAX};

    memset(ram + AVAIL, 0, SLOTS_AT - AVAIL);
    post_count = answer_count = 0;
    vdev_set_status(&p9.dev, 0);
    vdev_set_status(&p9.dev, VIRTIO_CONFIG_S_DRIVER);
    vdev_set_features(&p9.dev, p9.dev.offered);
    vdev_set_status(&p9.dev, VIRTIO_CONFIG_S_FEATURES_OK);
    bug_on(vdev_enable_queue(&p9.dev, 0, &layout));
    vdev_set_status(&p9.dev, VIRTIO_CONFIG_S_DRIVER_OK);
    bug_on(fd_count != 0);
}

/* Most sessions begin with these two: the root has fid 0. */
static void begin_session(void)
{
    static const char attach[] =
        "\x18\0\0\0\x68\1\0\0\0\0\0\xff\xff\xff\xff\0\0\0\0\0\0\0\0";
    uint8_t *at = ram + SLOTS_AT;

    for (unsigned i = 0; i < 2; i++) {
        struct script none = {(const uint8_t *)"", 0};
        unsigned entry = i * SLOT_DESCS;

        next_field = at;
        if (i == 0) {
            put_number(P9_HEADER_BYTES + 14, 4);
            put_number(P9_VERSION, 1);
            put_number(1, 2);
            put_version();
        } else {
            memcpy(at, attach, sizeof(attach));
            at[0] = sizeof(attach) - 1;
            next_field = at + at[0];
        }
        posted[i].out_bytes = (uint32_t)(next_field - at);
        posted[i].in_bytes = 64;
        memcpy(posted[i].header, at, P9_HEADER_BYTES);
        entry = describe(&none, entry, (uint32_t)(at - ram),
                         posted[i].out_bytes, 0);
        entry = describe(&none, entry, (uint32_t)(at - ram) + HALF_BYTES, 64,
                         VRING_DESC_F_WRITE);
        ((struct vring_desc *)(ram + DESC))[entry - 1].flags &=
            (uint16_t)~VRING_DESC_F_NEXT;
        memset(at + HALF_BYTES, UNTOUCHED, HALF_BYTES);
        at += SLOT_BYTES;
        post_count++;
        make_available((uint16_t)(i * SLOT_DESCS));
    }
}

static void start(struct script *script)
{
    unsigned mode = script_below(script, 16);
    struct p9_options options = {.fd = ROOT_FD, .tag = "fuzz"};
    struct script none = {(const uint8_t *)"", 0};

    answers = &none;
    hostile = mode & 1;
    options.read_only = read_only = mode & 2;
    if (mode & 4)
        options.rate.ops = 1 + script_number(script, 1);
    now_ns = 1000000000;
    changes_begin(ram);
    memset(ram, 0, sizeof(ram));
    memset(fds, 0, sizeof(fds));
    memset(&p9, 0, sizeof(p9));
    fd_count = 0;
    bug_on(event_init(&events, &mem, gpa(RAM_BASE + EVENTS)));
    bug_on(p9_init(&p9, &options));
    vdev_bind(&p9.dev, &mem, &events, 0, NULL);
    bring_up();
    if (!(mode & 8))
        begin_session();
    answers = script;
}

/* Now, or at some later look of the device. */
static void write_anything(struct script *script)
{
    unsigned look = script_below(script, 32);
    uint32_t offset = (uint32_t)script_number(script, 2) % (RAM_BYTES - 7);

    if (script_below(script, 2)) /* a descriptor */
        offset = DESC + 8 * script_below(script, 256);
    change_at(look, offset, script_number(script, 8));
}

/* Between requests nothing is open but what fids have open. */
static void check_fids(void)
{
    unsigned used = 0, open = 0;

    for (unsigned i = 0; i < p9.fids->fresh; i++) {
        const struct p9_fid *fid = &p9.fids->fids[i];

        used += fid->used;
        if (!fid->used || fid->fd < 0)
            continue;
        open++;
        check_data(fid->fd);
    }
    bug_on(open != p9.fids->open || open != fd_count);
    bug_on(used > P9_FIDS_MAX);
}

static void serve(struct script *script)
{
    host_calls = 0;
    int result = vdev_serve(&p9.dev);

    bug_on(result != 0 && result != -EINTR);
    bug_on(host_calls > 200000 + script->left);
    bug_on(read_only && changes_seen);
    check_fids();
    if (!hostile) {
        bug_on(!vdev_is_live(&p9.dev));
        bug_on(((struct vring_used *)(ram + USED))->idx != answer_count);
    }
}

static void one_action(struct script *script)
{
    switch (script_below(script, 9)) {
    case 8:
        now_ns += script_number(script, script_below(script, 6));
        break;
    case 0:
        if (hostile)
            write_anything(script);
        break;
    case 1:
        if (script_below(script, 16) == 0)
            bring_up();
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
    struct script script = {data ? data : (const uint8_t *)"", bytes};

    log_set_sink(ignore_line);
    changes_seen = false;
    start(&script);
    while (script.left > 0)
        one_action(&script);
    serve(&script);
    for (unsigned i = 0; !hostile && answer_count != post_count; i++) {
        bug_on(i > SLOTS);
        if (p9.dev.wake_ns != VDEV_NEVER)
            now_ns = p9.dev.wake_ns;
        serve(&script);
    }
    p9_fini(&p9);
    bug_on(fd_count != 0);
    return 0;
}
