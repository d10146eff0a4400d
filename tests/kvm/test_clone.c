/* SPDX-License-Identifier: MIT */
/* Clones: what no two of them have in common, and what they find. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/kvm/kvm_test.h"

TestSuite(clone, .timeout = 240);

/* ---- The peer of a guest's network --------------------------------------- */

#define FRAME_ROOM 2048u

static const uint8_t peer_mac[6] = {0x52, 0x54, 0, 0, 0, 2};

static struct mayfly_net net;

/* A network with us at its other end. Returns our socket. */
static int make_net(struct guest *guest)
{
    int sockets[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets),
                 0);
    net = (struct mayfly_net){.fd = sockets[0], .kind = MAYFLY_NET_STREAM};
    guest->options.nets = &net;
    guest->options.net_count = 1;
    return sockets[1];
}

/* The guest may be gone: it does not wait for answers to all that it asks. */
static void send_frame(int fd, const uint8_t *frame, uint32_t bytes)
{
    uint32_t length = htonl(bytes);
    uint8_t packet[sizeof(length) + FRAME_ROOM];
    size_t all = sizeof(length) + bytes;

    memcpy(packet, &length, sizeof(length));
    memcpy(packet + sizeof(length), frame, bytes);
    ssize_t sent = send(fd, packet, all, MSG_NOSIGNAL);
    cr_assert(sent == (ssize_t)all ||
              (sent < 0 && (errno == EPIPE || errno == ECONNRESET)));
}

static bool read_all(int fd, void *to, size_t bytes, int flags)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t got = recv(fd, (char *)to + done, bytes - done, flags);

        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

/* Returns the length of the next frame, 0 if there is none. */
static uint32_t read_frame(int fd, uint8_t frame[FRAME_ROOM], int flags)
{
    uint32_t length;

    if (!read_all(fd, &length, 4, flags))
        return 0;
    length = ntohl(length);
    cr_assert_leq(length, FRAME_ROOM);
    cr_assert(read_all(fd, frame, length, 0));
    return length;
}

static unsigned word16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

static uint32_t word32(const uint8_t *at)
{
    return (uint32_t)word16(at) << 16 | word16(at + 2);
}

static void put32(uint8_t *at, uint32_t value)
{
    value = htonl(value);
    memcpy(at, &value, 4);
}

/* 10.0.0.1 asks who is at that address, and is known there from then on. */
static void send_question(int fd, uint32_t address)
{
    uint8_t frame[42] = {[12] = 8, 6, 0, 1, 8, 0, 6, 4, 0, 1};

    memset(frame, 0xff, 6);
    memcpy(frame + 6, peer_mac, 6);
    memcpy(frame + 22, peer_mac, 6);
    put32(frame + 28, 0x0a000001);
    put32(frame + 38, address);
    send_frame(fd, frame, sizeof(frame));
}

static uint16_t sum(const uint8_t *data, unsigned bytes, uint32_t start)
{
    for (unsigned i = 0; i < bytes; i += 2)
        start += word16(data + i);
    while (start >> 16)
        start = (start & 0xffff) + (start >> 16);
    return (uint16_t)~start;
}

static void put_sum(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* Is it the beginning of a connection, over IPv4? */
static bool is_syn(const uint8_t *frame, uint32_t bytes)
{
    return bytes >= 54 && word16(frame + 12) == 0x800 && frame[14] == 0x45 &&
           frame[23] == IPPROTO_TCP && (frame[47] & 0x3f) == 2;
}

/* Takes the connection that the frame begins. */
static void answer_syn(int fd, const uint8_t *syn)
{
    uint8_t frame[54] = {[12] = 8, [14] = 0x45, [17] = 40, [22] = 64};

    memcpy(frame, syn + 6, 6);
    memcpy(frame + 6, peer_mac, 6);
    frame[23] = IPPROTO_TCP;
    memcpy(frame + 26, syn + 30, 4);
    memcpy(frame + 30, syn + 26, 4);
    put_sum(frame + 24, sum(frame + 14, 20, 0));
    memcpy(frame + 34, syn + 36, 2);
    memcpy(frame + 36, syn + 34, 2);
    put32(frame + 38, 1000);
    put32(frame + 42, word32(syn + 38) + 1);
    frame[46] = 5 << 4;
    frame[47] = 0x12;
    frame[48] = 0x20;
    put_sum(frame + 50, sum(frame + 26, 28, IPPROTO_TCP + 20));
    send_frame(fd, frame, sizeof(frame));
}

/* Answers all that 10.0.0.1 is asked, until the guest is gone. */
static void *be_peer(void *argument)
{
    uint8_t frame[FRAME_ROOM];
    int fd = *(int *)argument;
    uint32_t bytes;

    while ((bytes = read_frame(fd, frame, 0)) > 0) {
        if (word16(frame + 12) == 0x806 && word32(frame + 38) == 0x0a000001)
            send_question(fd, word32(frame + 28));
        if (is_syn(frame, bytes))
            answer_syn(fd, frame);
    }
    return NULL;
}

/* ---- Taking and going on ------------------------------------------------- */

/* A snapshot of images/clones, with a network as 10.0.0.2. */
static int take_with_net(const char *mode, char output[GUEST_OUTPUT_ROOM])
{
    static const char *const options[] = {"ip=0:10.0.0.2/16", "hostname=parent",
                                          NULL};
    struct guest guest = {
        .image = "clones",
        .args = {mode},
        .options = {.snapshots = MAYFLY_SNAPSHOT_CALLS,
                    .guest_options = options},
    };
    int peer = make_net(&guest), fd;
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, be_peer, &peer), 0);
    fd = take_snapshot(&guest);
    collect_guest(&guest);
    close(net.fd);
    pthread_join(thread, NULL);
    close(peer);
    memcpy(output, guest.output, GUEST_OUTPUT_ROOM);
    return fd;
}

/* What a clone has said and sent. */
struct clone {
    char output[GUEST_OUTPUT_ROOM];
    uint8_t mac[6];    /* of all its frames */
    uint32_t sequence; /* of the connection that it begins */
};

/* Every frame is in the clone's own name. */
static void check_frame(const uint8_t *frame, const uint8_t mac[6],
                        uint32_t address)
{
    cr_assert_arr_eq(frame + 6, mac, 6);
    if (word16(frame + 12) == 0x800)
        cr_assert_eq(word32(frame + 26), address, "%08x", word32(frame + 26));
    if (word16(frame + 12) == 0x806) {
        cr_assert_arr_eq(frame + 22, mac, 6);
        cr_assert_eq(word32(frame + 28), address);
    }
    /* A link-local address is made of it; :: has none yet. */
    if (word16(frame + 12) == 0x86dd && frame[22])
        cr_assert_arr_eq(frame + 35, mac + 3, 3);
}

static void read_frames(int fd, struct clone *clone, uint32_t address)
{
    uint8_t frame[FRAME_ROOM];
    unsigned frames = 0, begun = 0;
    uint32_t bytes;

    while ((bytes = read_frame(fd, frame, MSG_DONTWAIT)) > 0) {
        if (frames++ == 0)
            memcpy(clone->mac, frame + 6, 6);
        check_frame(frame, clone->mac, address);
        if (!is_syn(frame, bytes))
            continue;
        clone->sequence = word32(frame + 38);
        begun++;
    }
    cr_assert_eq(begun, 1, "%u of %u frames: %s", begun, frames, clone->output);
}

/* Runs a clone with this address, which `options` tell it. */
static void run_clone_with(int snapshot, const char *const *options,
                           uint32_t address, struct clone *clone)
{
    struct guest guest = {
        .restore = true,
        .image_fd = dup(snapshot),
        .options = {.guest_options = options},
    };
    int peer = make_net(&guest);

    send_question(peer, address);
    run_guest(&guest);
    assert_exited(&guest, 5, NULL);
    memcpy(clone->output, guest.output, sizeof(clone->output));
    read_frames(peer, clone, address);
    close(net.fd);
    close(peer);
}

/* Runs a clone that is 10.0.x.y. */
static void run_clone(int snapshot, unsigned number, struct clone *clone)
{
    uint32_t address = 0x0a000000 + 256 + number;
    char ip[40], host[40];
    const char *const options[] = {ip, host, NULL};

    snprintf(ip, sizeof(ip), "ip=0:10.0.%u.%u/16", address >> 8 & 255,
             address & 255);
    snprintf(host, sizeof(host), "hostname=clone%u", number);
    run_clone_with(snapshot, options, address, clone);
}

/* ---- What is different --------------------------------------------------- */

#define VALUE_BYTES 48

struct values {
    const char *name; /* of the line */
    unsigned nth;     /* of several with this name */
    unsigned count;
    char (*all)[VALUE_BYTES];
};

static const char *find_line(const char *output, const char *name, unsigned nth)
{
    size_t length = strlen(name);

    for (const char *line = output; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, length) == 0 && line[length] == ' ' &&
            nth-- == 0)
            return line + length + 1;
    }
    return NULL;
}

static void note(struct values *values, const char *output)
{
    const char *line = find_line(output, values->name, values->nth);

    cr_assert(line, "no %s: %s", values->name, output);
    size_t bytes = strcspn(line, "\n");
    cr_assert_lt(bytes, VALUE_BYTES);
    memcpy(values->all[values->count], line, bytes);
    values->all[values->count++][bytes] = '\0';
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* How many different ones there are. */
static unsigned count_different(struct values *values)
{
    unsigned different = 1;

    qsort(values->all, values->count, VALUE_BYTES, compare);
    for (unsigned i = 1; i < values->count; i++)
        different += strcmp(values->all[i - 1], values->all[i]) != 0;
    return different;
}

static int compare_words(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

Test(clone, a_thousand_have_nothing_in_common)
{
    enum { CLONES = 1000 };
    const char *wanted = getenv("MAYFLY_TEST_CLONES");
    const unsigned most = wanted ? (unsigned)atoi(wanted) : CLONES;
    const unsigned count = most < CLONES ? most : CLONES;
    static struct values unique[] = {
        {.name = "random"}, {.name = "urandom"}, {.name = "uuid"},
        {.name = "auxv"},   {.name = "canary"},  {.name = "canary", .nth = 1},
        {.name = "told"},   {.name = "mac"},     {.name = "ip"},
        {.name = "host"},
    };
    /* There are 16384 of these. */
    static struct values ports[] = {{.name = "tcp"}, {.name = "udp"}};
    static uint32_t sequences[CLONES];
    static struct clone clone;
    int fd = take_with_net(NULL, clone.output);

    for (size_t i = 0; i < sizeof(unique) / sizeof(unique[0]); i++)
        unique[i].all = calloc(CLONES, VALUE_BYTES);
    for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
        ports[i].all = calloc(CLONES, VALUE_BYTES);
    for (unsigned i = 0; i < count; i++) {
        run_clone(fd, i, &clone);
        cr_assert(strstr(clone.output, "timer Operation canceled\n"), "%s",
                  clone.output);
        for (size_t j = 0; j < sizeof(unique) / sizeof(unique[0]); j++)
            note(&unique[j], clone.output);
        for (size_t j = 0; j < sizeof(ports) / sizeof(ports[0]); j++)
            note(&ports[j], clone.output);
        sequences[i] = clone.sequence;
    }
    for (size_t j = 0; j < sizeof(unique) / sizeof(unique[0]); j++)
        cr_expect_eq(count_different(&unique[j]), count, "%s: %u",
                     unique[j].name, count_different(&unique[j]));
    for (size_t j = 0; j < sizeof(ports) / sizeof(ports[0]); j++)
        cr_expect_gt(count_different(&ports[j]), count * 9 / 10, "%s: %u",
                     ports[j].name, count_different(&ports[j]));
    qsort(sequences, count, sizeof(sequences[0]), compare_words);
    /* 1000 of 2^32 by chance: one pair in 8000 runs of this. */
    for (unsigned i = 1; i < count; i++)
        cr_expect_neq(sequences[i - 1], sequences[i]);
    close(fd);
}

Test(clone, does_not_speak_on_its_parents_connections)
{
    static struct clone clone;
    int fd = take_with_net("connect", clone.output);

    cr_assert_str_eq(clone.output, "connected 0\n");
    for (unsigned i = 0; i < 3; i++) {
        run_clone(fd, i, &clone);
        cr_assert(strstr(clone.output, "read Connection reset by peer\n"), "%s",
                  clone.output);
    }
    close(fd);
}

/*
 * The same addresses and ports: sequence numbers are those of another key all
 * the same. 4 us are one more of them, so that these are 0.4 s apart at least.
 */
Test(clone, keeps_what_it_is_not_told_anew)
{
    enum { CLONES = 4, APART = 100000 };
    static struct clone clones[CLONES];
    int fd = take_with_net(NULL, clones[0].output);

    for (unsigned i = 0; i < CLONES; i++) {
        run_clone_with(fd, NULL, 0x0a000002, &clones[i]);
        cr_assert(strstr(clones[i].output, "\nip 10.0.0.2\nhost parent\n"),
                  "%s", clones[i].output);
        for (unsigned j = 0; j < i; j++)
            cr_assert_gt(abs((int)(clones[i].sequence - clones[j].sequence)),
                         APART, "%u %u", clones[i].sequence,
                         clones[j].sequence);
    }
    close(fd);
}

/* ---- Servers --------------------------------------------------------------
 */

Test(clone, is_told_before_it_accepts)
{
    struct guest first = {
        .image = "clones",
        .args = {"accept"},
        .options = {.snapshots = MAYFLY_SNAPSHOT_ACCEPT},
    };
    int fd = take_snapshot(&first);

    collect_guest(&first);
    for (int i = 0; i < 3; i++) {
        struct guest guest = {.restore = true, .image_fd = dup(fd)};

        run_guest(&guest);
        assert_exited(&guest, 8, NULL);
        cr_assert_str_eq(strchr(guest.output, '\n'), "\naccepted 1\n");
        cr_assert(strncmp(guest.output, "told ", 5) == 0, "%s", guest.output);
    }
    close(fd);
}

/* Between the last look at its descriptors and its wait. */
Test(clone, hears_of_connections_that_it_lost_before_it_waits)
{
    static char output[GUEST_OUTPUT_ROOM];
    struct guest guest = {
        .restore = true,
        .image_fd = take_with_net("epoll", output),
        .options = {.timeout_ns = 10000000000},
    };
    int peer = make_net(&guest);

    run_guest(&guest);
    close(peer);
    close(net.fd);
    assert_exited(&guest, 9, NULL);
    cr_assert(strstr(guest.output, "event 1\n"), "%s", guest.output);
}

/* ---- Functions of the program -------------------------------------------- */

Test(clone, calls_the_program_while_all_else_stands_still)
{
    struct guest first = {
        .image = "clones",
        .args = {"busy"},
        .options = {.snapshots = MAYFLY_SNAPSHOT_CALLS},
    };
    char error[MAYFLY_ERROR_BYTES] = "";
    int fd = take_snapshot(&first);

    for (int round = 0;; round++) {
        for (int i = 0; i < 10; i++) {
            struct guest guest = {.restore = true, .image_fd = dup(fd)};

            run_guest(&guest);
            assert_exited(&guest, 6, NULL);
            cr_assert_str_eq(strchr(guest.output, '\n'), "\nintruded 0\n", "%s",
                             guest.output);
        }
        close(fd);
        if (round == 3)
            break;
        cr_assert_eq(mayfly_run(first.vm, &first.result, error), 0, "%s",
                     error);
        fd = write_snapshot(&first);
    }
    collect_guest(&first);
}

/* ---- Anywhere ------------------------------------------------------------ */

static void *request_soon(void *guest)
{
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    mayfly_request_snapshot(((struct guest *)guest)->vm);
    return NULL;
}

static int take_soon(const char *mode)
{
    struct guest guest = {
        .image = "clones",
        .args = {mode},
        .options = {.snapshots = MAYFLY_SNAPSHOT_ANYWHERE},
    };
    char error[MAYFLY_ERROR_BYTES] = "";
    pthread_t thread;
    int fd;

    load_guest(&guest);
    cr_assert_eq(pthread_create(&thread, NULL, request_soon, &guest), 0);
    cr_assert_eq(mayfly_run(guest.vm, &guest.result, error), 0, "%s", error);
    pthread_join(thread, NULL);
    fd = write_snapshot(&guest);
    collect_guest(&guest);
    return fd;
}

Test(clone, is_told_while_it_computes)
{
    struct guest guest = {
        .restore = true,
        .image_fd = take_soon("compute"),
        .options = {.timeout_ns = 10000000000},
    };

    run_guest(&guest);
    assert_exited(&guest, 10, NULL);
}

/* It was to sleep for a second, and the second is over when it goes on. */
Test(clone, wakes_when_the_time_it_waits_for_has_passed)
{
    struct guest second = {.restore = true, .image_fd = take_soon("sleep")};

    nanosleep(&(struct timespec){.tv_sec = 1, .tv_nsec = 500000000}, NULL);
    run_guest(&second);
    assert_exited(&second, 7, NULL);
    cr_assert(strncmp(second.output, "slept 0.", 8) == 0, "%s", second.output);
}
