/* SPDX-License-Identifier: MIT */
/* A directory and a hand-written driver for the 9P device's tests. */
#ifndef TESTS_UNIT_P9_DRIVER_H
#define TESTS_UNIT_P9_DRIVER_H

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "virtio/p9.h"
#include "vmm/base/os.h"

#define RAM_BASE  UINT64_C(0x100000)
#define RAM_BYTES UINT64_C(0x400000)
#define EVENTS    RAM_BASE
#define DESC      (RAM_BASE + 0x1000)
#define AVAIL     (RAM_BASE + 0x2000)
#define USED      (RAM_BASE + 0x3000)
#define REQUEST   (RAM_BASE + 0x10000)
#define ANSWER    (RAM_BASE + 0x180000)
#define NEXT      VRING_DESC_F_NEXT
#define WRITE     VRING_DESC_F_WRITE
#define UNTOUCHED 0xee

#define ROOT 1u /* the fid of the share's root */

static _Alignas(4096) uint8_t ram[RAM_BYTES];
static const struct gmem mem = {
    .regions = {{RAM_BASE, RAM_BYTES, ram}},
    .count = 1,
};
static struct event_word events;
static struct p9 p9;
static char base[] = "/tmp/mayfly-p9-XXXXXX"; /* what is outside, too */
static int outside;                           /* that directory */
static int inside;                            /* the share, below it */
static unsigned lines;                        /* of log */

static uint8_t *request;     /* where the next field goes */
static uint64_t request_at;  /* ... the message begins */
static const uint8_t *reply; /* the next field of the answer */
static uint32_t room = 0x4000;

static inline void *at(uint64_t address)
{
    return ram + (address - RAM_BASE);
}

static inline void count_line(enum log_level level, const char *line)
{
    (void)level;
    (void)line;
    lines++;
}

/* ---- The host ------------------------------------------------------------ */

static inline void make_file(int dir, const char *name, const char *text)
{
    int fd = openat(dir, name, O_CREAT | O_WRONLY | O_TRUNC, 0644);

    cr_assert_geq(fd, 0, "%s: %s", name, strerror(errno));
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static inline bool is_there(int dir, const char *name)
{
    return faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static inline void assert_file(int dir, const char *name, const char *text)
{
    char data[256] = "";
    int fd = openat(dir, name, O_RDONLY);

    cr_assert_geq(fd, 0, "%s: %s", name, strerror(errno));
    cr_assert_geq(read(fd, data, sizeof(data) - 1), 0);
    cr_assert_str_eq(data, text);
    close(fd);
}

/*
 *  secret         outside
 *  share/         the share
 *    hello        "hello, guest\n"
 *    sub/deep/leaf
 *    link         -> hello
 *    out          -> ../secret
 *    up           -> ..
 *    fifo
 */
static inline void make_tree(void)
{
    umask(0);
    cr_assert_not_null(mkdtemp(base));
    outside = open(base, O_RDONLY | O_DIRECTORY);
    make_file(outside, "secret", "secret\n");
    cr_assert_eq(mkdirat(outside, "share", 0755), 0);
    inside = openat(outside, "share", O_RDONLY | O_DIRECTORY);
    make_file(inside, "hello", "hello, guest\n");
    cr_assert_eq(mkdirat(inside, "sub", 0755), 0);
    cr_assert_eq(mkdirat(inside, "sub/deep", 0755), 0);
    make_file(inside, "sub/deep/leaf", "leaf\n");
    cr_assert_eq(symlinkat("hello", inside, "link"), 0);
    cr_assert_eq(symlinkat("../secret", inside, "out"), 0);
    cr_assert_eq(symlinkat("..", inside, "up"), 0);
    cr_assert_eq(mkfifoat(inside, "fifo", 0644), 0);
}

static inline void remove_tree(void)
{
    char command[64];

    p9_fini(&p9);
    snprintf(command, sizeof(command), "rm -rf '%s'", base);
    cr_assert_eq(system(command), 0);
}

/* ---- The driver ---------------------------------------------------------- */

static inline void bring_up(void)
{
    struct virtq_layout layout = {gpa(DESC), gpa(AVAIL), gpa(USED),
                                  p9.dev.queue_size_max[0]};

    memset(at(AVAIL), 0, 0x2000);
    cr_assert_eq(event_init(&events, &mem, gpa(EVENTS)), 0);
    vdev_bind(&p9.dev, &mem, &events, 3, NULL);
    vdev_set_status(&p9.dev, 0);
    vdev_set_status(&p9.dev, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    vdev_set_status(&p9.dev, VIRTIO_CONFIG_S_DRIVER);
    vdev_set_features(&p9.dev, p9.dev.offered);
    vdev_set_status(&p9.dev, VIRTIO_CONFIG_S_FEATURES_OK);
    cr_assert_eq(vdev_enable_queue(&p9.dev, 0, &layout), 0);
    vdev_set_status(&p9.dev, VIRTIO_CONFIG_S_DRIVER_OK);
    cr_assert_eq(vdev_serve(&p9.dev), 0);
}

static inline void put(uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++, value >>= 8)
        *request++ = (uint8_t)value;
}

static inline void put_bytes(const char *text, size_t bytes)
{
    put(bytes, 2);
    memcpy(request, text, bytes);
    request += bytes;
}

static inline void put_text(const char *text)
{
    put_bytes(text, strlen(text));
}

static inline uint64_t take(unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = bytes; i > 0; i--)
        value = value << 8 | reply[i - 1];
    reply += bytes;
    return value;
}

static inline void take_text(char *to)
{
    size_t bytes = take(2);

    memcpy(to, reply, bytes);
    to[bytes] = '\0';
    reply += bytes;
}

static inline void begin(uint8_t type)
{
    request = at(request_at = REQUEST);
    put(0, 4);
    put(type, 1);
    put(7, 2);
}

static inline uint32_t request_bytes(void)
{
    return (uint32_t)(request - (uint8_t *)at(request_at));
}

static inline uint16_t used_count(void)
{
    return ((struct vring_used *)at(USED))->idx;
}

/* Makes the message available in one piece each way, as it is. */
static inline void submit(uint32_t bytes, uint32_t answer_bytes)
{
    struct vring_desc *desc = at(DESC);
    struct vring_avail *avail = at(AVAIL);

    desc[0] = (struct vring_desc){REQUEST, bytes, NEXT, 1};
    desc[1] = (struct vring_desc){ANSWER, answer_bytes, WRITE, 0};
    memset(at(ANSWER), UNTOUCHED, answer_bytes + 1);
    avail->ring[avail->idx % p9.dev.queues[0].size] = 0;
    avail->idx++;
}

/* Looks at the answer. Returns 0 with its fields at `reply`, or -errno. */
static inline int parse(uint8_t type)
{
    struct vring_used *used = at(USED);
    uint32_t length = used->ring[(used->idx - 1) % p9.dev.queues[0].size].len;

    reply = at(ANSWER);
    cr_assert_eq(take(4), length);
    uint8_t got = (uint8_t)take(1);
    cr_assert_eq(take(2), 7, "the tag");
    cr_assert_eq(reply[length - P9_HEADER_BYTES], UNTOUCHED);
    if (got == P9_LERROR) {
        cr_assert_eq(length, P9_ERROR_BYTES);
        return -(int)take(4);
    }
    cr_assert_eq(got, type + 1);
    return 0;
}

/* Sends what was put since begin(). Returns as parse() does. */
static inline int call(void)
{
    uint8_t *start = at(request_at);
    uint32_t bytes = request_bytes();
    uint16_t before = used_count();

    memcpy(start, &bytes, 4);
    submit(bytes, room);
    cr_assert_eq(vdev_serve(&p9.dev), 0);
    cr_assert_eq(used_count(), (uint16_t)(before + 1));
    return parse(start[4]);
}

/* ---- Requests ------------------------------------------------------------ */

static inline int version(uint32_t msize, const char *name)
{
    begin(P9_VERSION);
    put(msize, 4);
    put_text(name);
    return call();
}

static inline int attach(uint32_t fid)
{
    begin(P9_ATTACH);
    put(fid, 4);
    put(P9_NO_FID, 4);
    put_text("nobody");
    put_text("");
    put(0, 4);
    return call();
}

/* Walks along a path with '/' between the names. */
static inline int walk(uint32_t from, uint32_t to, const char *path)
{
    uint8_t *count_at;
    unsigned count = 0;

    begin(P9_WALK);
    put(from, 4);
    put(to, 4);
    count_at = request;
    put(0, 2);
    while (*path) {
        size_t bytes = strcspn(path, "/");

        put_bytes(path, bytes);
        count++;
        path += bytes + (path[bytes] == '/');
    }
    count_at[0] = (uint8_t)count;
    int error = call();
    if (!error && take(2) != count)
        return -ECHILD; /* not all of it */
    return error;
}

/* A request about one fid and nothing else. */
static inline int about(uint8_t type, uint32_t fid)
{
    begin(type);
    put(fid, 4);
    return call();
}

static inline int clunk(uint32_t fid)
{
    return about(P9_CLUNK, fid);
}

static inline int lopen(uint32_t fid, unsigned flags)
{
    begin(P9_LOPEN);
    put(fid, 4);
    put(flags, 4);
    return call();
}

static inline int lcreate(uint32_t fid, const char *name, unsigned flags,
                          unsigned mode)
{
    begin(P9_LCREATE);
    put(fid, 4);
    put_text(name);
    put(flags, 4);
    put(mode, 4);
    put(0, 4);
    return call();
}

static inline int open_path(uint32_t fid, const char *path, unsigned flags)
{
    int error = walk(ROOT, fid, path);

    return error ? error : lopen(fid, flags);
}

/* Returns how much, at `reply`, or -errno. */
static inline long read_fid(uint32_t fid, uint64_t offset, uint32_t bytes)
{
    begin(P9_READ);
    put(fid, 4);
    put(offset, 8);
    put(bytes, 4);
    int error = call();
    return error ? error : (long)take(4);
}

static inline long write_fid(uint32_t fid, uint64_t offset, const char *text)
{
    begin(P9_WRITE);
    put(fid, 4);
    put(offset, 8);
    put(strlen(text), 4);
    memcpy(request, text, strlen(text));
    request += strlen(text);
    int error = call();
    return error ? error : (long)take(4);
}

/* Requests with a directory and a name, and what is then put. */
static inline void name_in(uint8_t type, uint32_t dir, const char *name)
{
    begin(type);
    put(dir, 4);
    put_text(name);
}

static inline int mkdir_in(uint32_t dir, const char *name, unsigned mode)
{
    name_in(P9_MKDIR, dir, name);
    put(mode, 4);
    put(0, 4);
    return call();
}

static inline int mknod_in(uint32_t dir, const char *name, unsigned mode)
{
    name_in(P9_MKNOD, dir, name);
    put(mode, 4);
    put(1, 4);
    put(3, 4);
    put(0, 4);
    return call();
}

static inline int symlink_in(uint32_t dir, const char *name, const char *target)
{
    name_in(P9_SYMLINK, dir, name);
    put_text(target);
    put(0, 4);
    return call();
}

static inline int link_in(uint32_t dir, uint32_t fid, const char *name)
{
    begin(P9_LINK);
    put(dir, 4);
    put(fid, 4);
    put_text(name);
    return call();
}

static inline int unlink_in(uint32_t dir, const char *name, unsigned flags)
{
    name_in(P9_UNLINKAT, dir, name);
    put(flags, 4);
    return call();
}

static inline int rename_in(uint32_t from, const char *old, uint32_t to,
                            const char *new)
{
    name_in(P9_RENAMEAT, from, old);
    put(to, 4);
    put_text(new);
    return call();
}

static inline int getattr(uint32_t fid)
{
    begin(P9_GETATTR);
    put(fid, 4);
    put(P9_GETATTR_BASIC, 8);
    return call();
}

struct set {
    uint32_t valid, mode, uid, gid;
    uint64_t size, atime[2], mtime[2];
};

static inline int setattr(uint32_t fid, struct set set)
{
    begin(P9_SETATTR);
    put(fid, 4);
    put(set.valid, 4);
    put(set.mode, 4);
    put(set.uid, 4);
    put(set.gid, 4);
    put(set.size, 8);
    for (unsigned i = 0; i < 2; i++)
        put(set.atime[i], 8);
    for (unsigned i = 0; i < 2; i++)
        put(set.mtime[i], 8);
    return call();
}

/* ---- Setting up ---------------------------------------------------------- */

static inline void start(struct p9_options options)
{
    log_set_sink(count_line);
    make_tree();
    options.fd = inside;
    options.tag = "share";
    cr_assert_eq(p9_init(&p9, &options), 0);
    bring_up();
}

static inline void start_session(struct p9_options options)
{
    start(options);
    cr_assert_eq(version(P9_MSIZE_MAX, P9_VERSION_NAME), 0);
    cr_assert_eq(attach(ROOT), 0);
}

static inline void set_up(void)
{
    start_session((struct p9_options){.fd = -1});
}

static inline void set_up_read_only(void)
{
    start_session((struct p9_options){.fd = -1, .read_only = true});
}

#endif
