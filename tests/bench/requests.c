/* SPDX-License-Identifier: MIT */
/* What one request costs a VM that is reset after each: counts and times. */

/*
 *   requests [COUNT]
 *
 * One thread hands COUNT connections (2000), one after the other, to a VM of
 * images/served, each with a request that is there already, as `mayfly serve`
 * does it: mayfly_offer(), mayfly_run(), mayfly_reset(). The client is in this
 * process, too, and not in the times. Prints medians, and counts per request,
 * which repeat exactly but for interruptions.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/bench.h"
#include "vmm/mayfly.h"

#define IMAGE   "build/images/served.elf"
#define REQUEST "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\n\r\n"
#define WARM_UP 100

enum { OFFER, RUN, RESET, ALL, STEPS };

static const char *const step_names[STEPS] = {"offer", "run", "reset", "all"};

static char error[MAYFLY_ERROR_BYTES];

static void must(int result, const char *what)
{
    if (result)
        die("%s: %s", what, error);
}

/* ---- The VM -------------------------------------------------------------- */

static int take_snapshot(void)
{
    const char *const args[] = {IMAGE, "8000", NULL};
    struct mayfly_options options = MAYFLY_OPTIONS;
    int image = open(IMAGE, O_RDONLY | O_CLOEXEC);
    int file = memfd_create("snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct mayfly_result result;
    struct mayfly *vm;

    if (image < 0 || file < 0)
        die(IMAGE);
    options.args = args;
    options.sockets = true;
    options.snapshots = MAYFLY_SNAPSHOT_ACCEPT;
    must(mayfly_create(&options, &vm, error), "mayfly_create");
    must(mayfly_load(vm, image, error), "mayfly_load");
    must(mayfly_run(vm, &result, error), "mayfly_run");
    if (result.end != MAYFLY_AT_SNAPSHOT)
        die("no snapshot: end %d", result.end);
    must(mayfly_snapshot(vm, file, error), "mayfly_snapshot");
    mayfly_destroy(vm);
    close(image);
    if (fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE))
        die("cannot seal a snapshot");
    return file;
}

static struct mayfly *start(void)
{
    struct mayfly_options options = MAYFLY_OPTIONS;
    struct mayfly *vm;
    int file = take_snapshot();

    options.serves = options.resettable = true;
    options.timeout_ns = 10000000000u;
    must(mayfly_create(&options, &vm, error), "mayfly_create");
    must(mayfly_restore(vm, file, error), "mayfly_restore");
    must(mayfly_confine(vm, 0, error), "mayfly_confine");
    return vm;
}

/* ---- Connections --------------------------------------------------------- */

/*
 * The client is another process: this one is confined. It makes a connection
 * for each byte that it reads, passes the server's end, and then answers with
 * how many bytes it heard.
 */
static int listen_anywhere(struct sockaddr_in *at)
{
    socklen_t bytes = sizeof(*at);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *at = (struct sockaddr_in){.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || bind(fd, (struct sockaddr *)at, bytes) || listen(fd, 8) ||
        getsockname(fd, (struct sockaddr *)at, &bytes) ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)))
        die("cannot listen");
    return fd;
}

static void pass(int to, int fd)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    char byte = 'c';
    struct iovec iov = {&byte, 1};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    struct cmsghdr *part = CMSG_FIRSTHDR(&message);

    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(fd));
    memcpy(CMSG_DATA(part), &fd, sizeof(fd));
    if (sendmsg(to, &message, 0) != 1)
        die("cannot pass a connection");
}

static int take_passed(int from)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    char byte;
    struct iovec iov = {&byte, 1};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    ssize_t bytes;
    int fd;

    /* The tick of a VM that does not run may interrupt it, once. */
    while ((bytes = recvmsg(from, &message, MSG_CMSG_CLOEXEC)) < 0 &&
           errno == EINTR)
        continue;
    if (bytes != 1)
        die("no connection came");
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
    return fd;
}

static void be_client(int control)
{
    struct sockaddr_in at;
    int listener = listen_anywhere(&at);
    uint32_t heard;
    char byte, answer[1024];

    while (read(control, &byte, 1) == 1) {
        int fd = socket(AF_INET, SOCK_STREAM, 0), other;
        ssize_t part;

        if (connect(fd, (struct sockaddr *)&at, sizeof(at)) ||
            write(fd, REQUEST, strlen(REQUEST)) != (ssize_t)strlen(REQUEST))
            die("cannot connect");
        other = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        pass(control, other);
        close(other);
        heard = 0;
        while ((part = read(fd, answer, sizeof(answer))) > 0)
            heard += (uint32_t)part;
        close(fd);
        if (write(control, &heard, sizeof(heard)) != sizeof(heard))
            break;
    }
    _exit(0);
}

static int start_client(void)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
        die("cannot make a socket");
    if (fork() == 0) {
        close(ends[0]);
        be_client(ends[1]);
    }
    close(ends[1]);
    return ends[0];
}

/* ---- Requests ------------------------------------------------------------ */

#define COUNT_MAX 100000u

/* Shared by this process and the one with the VM, which is confined. */
static struct {
    bool done;
    struct mayfly_stats before, after;
    double us[STEPS][COUNT_MAX];
} * results;

static void serve_one(struct mayfly *vm, int client, unsigned index)
{
    uint64_t times[STEPS];
    struct mayfly_result result;
    char byte = 'c';
    struct iovec iov = {&byte, 1};
    uint32_t heard;
    ssize_t bytes;
    int fd;

    if (writev(client, &iov, 1) != 1)
        die("no client");
    fd = take_passed(client);
    times[OFFER] = now_ns();
    must(mayfly_offer(vm, fd, 0, error), "mayfly_offer");
    times[RUN] = now_ns();
    must(mayfly_run(vm, &result, error), "mayfly_run");
    if (result.end != MAYFLY_SERVED)
        die("end %d", result.end);
    times[RESET] = now_ns();
    must(mayfly_reset(vm, error), "mayfly_reset");
    times[ALL] = now_ns();
    for (unsigned i = OFFER; i < ALL; i++)
        results->us[i][index] = (double)(times[i + 1] - times[i]) / 1e3;
    results->us[ALL][index] = (double)(times[ALL] - times[OFFER]) / 1e3;
    iov = (struct iovec){&heard, sizeof(heard)};
    while ((bytes = readv(client, &iov, 1)) < 0 && errno == EINTR)
        continue;
    if (bytes != sizeof(heard) || heard < 50)
        die("no answer");
}

static void be_server(unsigned count)
{
    int client = start_client();
    struct mayfly *vm = start();

    for (unsigned i = 0; i < WARM_UP; i++)
        serve_one(vm, client, i);
    mayfly_get_stats(vm, &results->before);
    for (unsigned i = 0; i < count; i++)
        serve_one(vm, client, i);
    mayfly_get_stats(vm, &results->after);
    results->done = true;
    _exit(0);
}

static void print(unsigned count)
{
    for (unsigned i = 0; i < STEPS; i++) {
        const struct samples us = {results->us[i], count};

        printf("%-8s %7.1f us (p99 %.1f)\n", step_names[i], samples_median(&us),
               samples_percentile(&us, 99));
    }
#define EACH(what) \
    ((double)(results->after.what - results->before.what) / count)
    printf("exits    %7.3f: %.3f hypercalls (%.3f kicks, %.3f waits), %.3f "
           "interruptions\n",
           EACH(exits), EACH(exits_hypercall), EACH(hypercall_kick),
           EACH(hypercall_wait), EACH(exits_interrupt));
    printf("calls    %7.3f of the host's kernel\n", EACH(monitor_calls));
    printf("pages    %7.3f copied back\n", EACH(reset_pages));
#undef EACH
}

int main(int argc, char **argv)
{
    unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 10) : 2000;
    pid_t server;

    if (count < 1 || count > COUNT_MAX)
        die("1 to %u requests", COUNT_MAX);
    results = mmap(NULL, sizeof(*results), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (results == MAP_FAILED)
        die("no memory");
    server = fork();
    if (server == 0)
        be_server((unsigned)count);
    waitpid(server, NULL, 0);
    if (!results->done)
        die("the server died");
    print((unsigned)count);
    return 0;
}
