/* SPDX-License-Identifier: MIT */
/* 9P: messages of every shape, and limits. */
#include "tests/unit/p9_driver.h"

#include <linux/virtio_config.h>

TestSuite(p9_message, .init = set_up, .fini = remove_tree);

/* Sends `bytes` bytes at REQUEST with that length in its header. */
static int ask(uint32_t size, uint32_t bytes, uint32_t answer_bytes)
{
    uint8_t type = ((uint8_t *)at(REQUEST))[4];

    memcpy(at(REQUEST), &size, 4);
    submit(bytes, answer_bytes);
    cr_assert_eq(vdev_serve(&p9.dev), 0);
    return parse(type);
}

/* Begins one whole request of each kind. Returns whether there is another. */
static bool begin_kind(unsigned kind)
{
    static const struct {
        uint8_t type;
        const char *fields; /* 1, 2, 4, 8: bytes of a number; s: a string */
    } kinds[] = {
        {P9_STATFS, "4"},
        {P9_LOPEN, "44"},
        {P9_LCREATE, "4s444"},
        {P9_SYMLINK, "4ss4"},
        {P9_MKNOD, "4s4444"},
        {P9_RENAME, "44s"},
        {P9_READLINK, "4"},
        {P9_GETATTR, "48"},
        {P9_SETATTR, "4444488888"},
        {P9_READDIR, "484"},
        {P9_FSYNC, "44"},
        {P9_LOCK, "414884s"},
        {P9_GETLOCK, "41884s"},
        {P9_LINK, "44s"},
        {P9_MKDIR, "4s44"},
        {P9_RENAMEAT, "4s4s"},
        {P9_UNLINKAT, "4s4"},
        {P9_VERSION, "4s"},
        {P9_ATTACH, "44ss4"},
        {P9_FLUSH, "2"},
        {P9_READ, "484"},
        {P9_WRITE, "484"},
        {P9_CLUNK, "4"},
        {P9_REMOVE, "4"},
    };

    if (kind == ARRAY_SIZE(kinds))
        return false;
    begin(kinds[kind].type);
    for (const char *field = kinds[kind].fields; *field; field++)
        if (*field == 's')
            put_text("name");
        else
            put(ROOT, (unsigned)(*field - '0'));
    return true;
}

Test(p9_message, must_be_whole)
{
    for (unsigned kind = 0; begin_kind(kind); kind++) {
        uint32_t bytes = request_bytes();

        /* A fid that is not there comes after what is missing. */
        for (uint32_t cut = P9_HEADER_BYTES; cut < bytes; cut++)
            cr_assert_eq(ask(cut, cut, room), -EINVAL, "kind %u, %u bytes",
                         kind, cut);
    }
}

Test(p9_message, has_nothing_behind_it)
{
    for (unsigned kind = 0; begin_kind(kind); kind++) {
        bool is_write = ((uint8_t *)at(REQUEST))[4] == P9_WRITE;

        put(0, 1);
        if (!is_write) /* there it would be data */
            cr_assert_eq(ask(request_bytes(), request_bytes(), room), -EINVAL,
                         "kind %u", kind);
    }
}

Test(p9_message, is_as_long_as_it_says)
{
    begin(P9_CLUNK);
    put(99, 4);
    cr_assert_eq(ask(12, 11, room), -EINVAL, "longer than what is there");
    cr_assert_eq(ask(11, 200, room), -EBADF, "shorter");
    cr_assert_eq(ask(0, 11, room), -EINVAL);
    cr_assert_eq(ask(UINT32_MAX, 11, room), -EINVAL);
    cr_assert_eq(ask(6, 11, room), -EINVAL);
    begin(P9_SYMLINK);
    put(ROOT, 4);
    put_text("a");
    put_bytes(at(ANSWER), 20000);
    put(0, 4);
    cr_assert_eq(call(), -EMSGSIZE, "no request without data is so long");
    cr_assert_eq(version(8192, P9_VERSION_NAME), 0);
    cr_assert_eq(ask(8193, 8193, room), -EMSGSIZE, "more than was agreed");
}

Test(p9_message, without_a_header_is_answered)
{
    struct vring_used *used = at(USED);

    submit(3, room);
    cr_assert_eq(vdev_serve(&p9.dev), 0);
    reply = at(ANSWER);
    cr_assert_eq(take(4), P9_ERROR_BYTES);
    cr_assert_eq(take(1), P9_LERROR);
    cr_assert_eq(take(2), P9_NO_TAG);
    cr_assert_eq(used->ring[(used->idx - 1) % P9_QUEUE_MAX].len,
                 P9_ERROR_BYTES);
}

Test(p9_message, has_strings_within_it)
{
    begin(P9_MKDIR);
    put(ROOT, 4);
    put(0xffff, 2); /* far more than there is */
    put(0, 8);
    cr_assert_eq(call(), -EINVAL);
    begin(P9_WALK);
    put(ROOT, 4);
    put(2, 4);
    put(2, 2); /* names, of which one is there */
    put_text("sub");
    cr_assert_eq(call(), -EINVAL);
}

Test(p9_message, writes_what_it_has)
{
    cr_assert_eq(open_path(2, "hello", O_RDWR), 0);
    begin(P9_WRITE);
    put(2, 4);
    put(0, 8);
    put(5, 4);
    put(0x41414141, 4);
    cr_assert_eq(call(), -EINVAL, "4 bytes are no 5");
    begin(P9_WRITE);
    put(2, 4);
    put(0, 8);
    put(2, 4);
    put(0x41414141, 4);
    cr_assert_eq(call(), 0, "but more than 2");
    assert_file(inside, "hello", "AAllo, guest\n");
}

Test(p9_message, is_answered_within_its_room)
{
    char target[] = "0123456789";

    cr_assert_eq(symlink_in(ROOT, "s", target), 0);
    cr_assert_eq(walk(ROOT, 2, "s"), 0);
    room = P9_HEADER_BYTES + 2 + 9;
    cr_assert_eq(about(P9_READLINK, 2), -EMSGSIZE);
    room++;
    cr_assert_eq(about(P9_READLINK, 2), 0);
    room = 64;
    cr_assert_eq(open_path(3, "hello", O_RDONLY), 0);
    room = P9_DATA_BYTES + 4;
    cr_assert_eq(read_fid(3, 0, 100), 4, "as much as fits");
    room = P9_DATA_BYTES;
    cr_assert_eq(read_fid(3, 0, 100), 0);
}

Test(p9_message, without_room_for_an_error_stops_the_device)
{
    begin(P9_CLUNK);
    put(99, 4);
    submit(11, P9_ERROR_BYTES);
    cr_assert_eq(vdev_serve(&p9.dev), 0);
    cr_assert(vdev_is_live(&p9.dev));
    submit(11, P9_ERROR_BYTES - 1);
    cr_assert_eq(vdev_serve(&p9.dev), 0);
    cr_assert(p9.dev.status & VIRTIO_CONFIG_S_NEEDS_RESET);
    cr_assert_eq(lines, 1);
    bring_up();
    cr_assert_eq(version(8192, P9_VERSION_NAME), 0);
}

/* ---- Pieces ----------------------------------------------------------------
 */

/* Makes [address, address + bytes) descriptors of at most `piece` bytes. */
static unsigned cut(unsigned entry, uint64_t address, uint32_t bytes,
                    uint32_t piece, uint16_t flags)
{
    struct vring_desc *desc = at(DESC);

    for (; bytes > 0; entry++) {
        uint32_t part = (uint32_t)min_u64(bytes, piece);

        desc[entry] = (struct vring_desc){address, part, flags | NEXT,
                                          (uint16_t)(entry + 1)};
        address += part;
        bytes -= part;
    }
    return entry;
}

/* As call(), with everything in pieces. */
static int call_in_pieces(uint32_t out, uint32_t in, uint32_t answer_bytes)
{
    struct vring_desc *desc = at(DESC);
    struct vring_avail *avail = at(AVAIL);
    uint32_t bytes = request_bytes();
    unsigned end;

    memcpy(at(REQUEST), &bytes, 4);
    memset(at(ANSWER), UNTOUCHED, answer_bytes + 1);
    end = cut(0, REQUEST, bytes, out, 0);
    end = cut(end, ANSWER, answer_bytes, in, WRITE);
    desc[end - 1].flags &= (uint16_t)~NEXT;
    avail->ring[avail->idx % P9_QUEUE_MAX] = 0;
    avail->idx++;
    cr_assert_eq(vdev_serve(&p9.dev), 0);
    return parse(((uint8_t *)at(REQUEST))[4]);
}

Test(p9_message, may_come_and_go_in_pieces)
{
    cr_assert_eq(open_path(2, "hello", O_RDWR), 0);
    for (uint32_t piece = 1; piece < 40; piece++) {
        begin(P9_WRITE);
        put(2, 4);
        put(0, 8);
        put(5, 4);
        memcpy(request, "HELLO", 5);
        request += 5;
        cr_assert_eq(call_in_pieces(piece, piece, 30), 0);
        cr_assert_eq(take(4), 5);
        begin(P9_READ);
        put(2, 4);
        put(0, 8);
        put(100, 4);
        cr_assert_eq(call_in_pieces(piece, piece, 40), 0);
        cr_assert_eq(take(4), 13);
        cr_assert_eq(memcmp(reply, "HELLO, guest\n", 13), 0);
    }
}

/* ---- Limits ----------------------------------------------------------------
 */

TestSuite(p9_limit, .fini = remove_tree);

Test(p9_limit, holds_requests_back)
{
    struct p9_options options = {.fd = -1, .rate = {.ops = 10}};

    start(options);
    cr_assert_eq(version(8192, P9_VERSION_NAME), 0);
    begin(P9_CLUNK);
    put(99, 4);
    uint16_t before = used_count();
    submit(11, room);
    cr_assert_eq(vdev_serve(&p9.dev), 0);
    cr_assert_eq(used_count(), before);
    cr_assert_neq(p9.dev.wake_ns, VDEV_NEVER);
    cr_assert_eq(p9.delayed, 1);
    while (os_now_ns() < p9.dev.wake_ns)
        usleep(1000);
    cr_assert_eq(vdev_serve(&p9.dev), 0);
    cr_assert_eq(used_count(), (uint16_t)(before + 1));
}

Test(p9_limit, charges_the_bytes_that_were_moved)
{
    struct p9_options options = {.fd = -1, .rate = {.bytes = 100}};

    start_session(options);
    cr_assert_eq(open_path(2, "hello", O_RDONLY), 0);
    cr_assert_eq(read_fid(2, 0, 13), 13);
    begin(P9_CLUNK);
    put(2, 4);
    submit(11, room);
    cr_assert_eq(vdev_serve(&p9.dev), 0);
    cr_assert_neq(p9.dev.wake_ns, VDEV_NEVER, "13 of a burst of 10");
}
