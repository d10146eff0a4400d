/* SPDX-License-Identifier: MIT */
/* Clients and workers that tests play. */
#include "tests/unit/server.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/cli.h"
#include "vmm/server/child.h"

struct loop server_loop;
struct metrics server_metrics;
struct clients server_clients;
struct dispatch server_dispatch;
struct listener server_listener;
unsigned server_kills;
int server_accept_error, server_pass_error;

static struct access_log no_log;
static struct sockaddr_in address;
static unsigned descriptors;
static uint64_t ahead_ns; /* of the clock */

/* ---- The host ----------------------------------------------------------- */

int accept4(int fd, struct sockaddr *peer, socklen_t *bytes, int flags)
{
    errno = server_accept_error;
    return errno ? -1 : (int)syscall(SYS_accept4, fd, peer, bytes, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    errno = server_pass_error;
    return errno ? -1 : syscall(SYS_sendmsg, fd, message, flags);
}

static unsigned count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;

    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static void count_kill(pid_t pid)
{
    cr_assert_gt(pid, 100000);
    server_kills++;
}

static void listen_somewhere(void)
{
    socklen_t bytes = sizeof(address);

    address = (struct sockaddr_in){.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server_listener.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    cr_assert_eq(bind(server_listener.fd, (struct sockaddr *)&address, bytes),
                 0);
    cr_assert_eq(listen(server_listener.fd, 64), 0);
    cr_assert_eq(
        getsockname(server_listener.fd, (struct sockaddr *)&address, &bytes),
        0);
}

void server_start(unsigned serving_max)
{
    descriptors = count_descriptors();
    cr_assert_eq(loop_init(&server_loop), 0);
    server_clients = (struct clients){
        .loop = &server_loop,
        .metrics = &server_metrics,
        .log = &no_log,
        .timeout_ns = SERVER_FAKE_TIMEOUT_NS,
        .queue = dispatch_queue,
        .context = &server_dispatch,
    };
    server_dispatch = (struct dispatch){
        .loop = &server_loop,
        .clients = &server_clients,
        .metrics = &server_metrics,
        .timeout_ns = SERVER_FAKE_TIMEOUT_NS,
        .start_timeout_ns = SERVER_FAKE_TIMEOUT_NS,
        .serving_max = serving_max,
        .kill = count_kill,
    };
    cr_assert_eq(clients_init(&server_clients, 32, 8), 0);
    cr_assert_eq(dispatch_init(&server_dispatch, 8), 0);
    listen_somewhere();
}

void server_end(void)
{
    clients_drop(&server_clients);
    cr_assert_eq(clients_count(&server_clients), 0);
    clients_fini(&server_clients);
    dispatch_fini(&server_dispatch);
    loop_fini(&server_loop);
    close(server_listener.fd);
    cr_assert_eq(count_descriptors(), descriptors);
}

static void expire(void)
{
    server_loop.now_ns += ahead_ns;
    clients_expire(&server_clients);
    dispatch_expire(&server_dispatch);
}

void server_wait(uint64_t ns)
{
    server_turn();
    ahead_ns += ns;
    server_loop.now_ns += ns;
    clients_expire(&server_clients);
    dispatch_expire(&server_dispatch);
}

void server_turn(void)
{
    /* Level-triggered: a few rounds see to all of it. */
    for (unsigned i = 0; i < 8; i++) {
        loop_turn(&server_loop, 0);
        expire();
    }
}

/* ---- Clients ------------------------------------------------------------ */

int server_knock(const char *text)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
    return fd;
}

int server_accept(void)
{
    return clients_accept(&server_clients, server_listener.fd);
}

int server_connect(const char *text)
{
    int fd = server_knock(text);

    cr_assert_eq(server_accept(), 0);
    return fd;
}

void server_connect_all(int *clients, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        clients[i] = server_connect(GET);
}

int server_connect_to(const char *text, int *connection)
{
    int fd = server_knock(text);

    *connection = accept(server_listener.fd, NULL, NULL);
    cr_assert_geq(*connection, 0);
    return fd;
}

void server_expect(int client, const char *text)
{
    char got[1024] = "";
    size_t bytes = 0;
    ssize_t more;

    server_turn();
    while ((more = recv(client, got + bytes, sizeof(got) - 1 - bytes,
                        MSG_DONTWAIT)) > 0)
        bytes += (size_t)more;
    if (text) {
        cr_assert_eq(more, 0, "after '%s': %s", got, strerror(errno));
        cr_assert_str_eq(got, text);
    } else {
        cr_assert(more < 0 && errno == ECONNRESET, "'%s'", got);
    }
    close(client);
    server_turn();
}

/* ---- Workers ------------------------------------------------------------ */

static struct fake create(bool reusable, unsigned generation, int keeper)
{
    static pid_t last_pid = 100000;
    int ends[2];
    struct worker_link link = {.pid = ++last_pid, .keeper = keeper};
    struct fake fake = {.connection = -1, .keeper = -1};

    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    link.fd = ends[0];
    link.page = mmap(NULL, sizeof(*link.page), PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    fake.fd = ends[1];
    fake.page = link.page;
    fake.worker = dispatch_add(&server_dispatch, &link, generation, reusable);
    cr_assert(fake.worker);
    return fake;
}

struct fake fake_create(bool reusable)
{
    return create(reusable, 1, -1);
}

struct fake fake_start_own(unsigned generation)
{
    const struct worker_report ready = {.event = WORKER_READY};
    struct fake fake;
    int ends[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    fake = create(true, generation, ends[0]);
    fake.keeper = ends[1];
    fake_say(&fake, &ready);
    return fake;
}

struct fake fake_start(bool reusable)
{
    const struct worker_report ready = {.event = WORKER_READY};
    struct fake fake = fake_create(reusable);

    fake_say(&fake, &ready);
    return fake;
}

int server_begin(struct fake *fake, const char *request)
{
    int client;

    server_start(1);
    *fake = fake_start(true);
    client = server_connect(request);
    cr_assert(fake_take(fake));
    return client;
}

void server_start_two(struct fake *a, struct fake *b)
{
    server_start(2);
    *a = fake_start(true);
    *b = fake_start(true);
}

bool fake_take(struct fake *fake)
{
    struct worker_job job;
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec data = {&job, sizeof(job)};
    struct msghdr message = {
        .msg_iov = &data,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };

    if (recvmsg(fake->fd, &message, MSG_DONTWAIT) != (ssize_t)sizeof(job))
        return false;
    memcpy(&fake->connection, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
    fake->id = job.id;
    cr_assert_eq(job.timeout_ns, SERVER_FAKE_TIMEOUT_NS);
    if (worker_claim(fake->page, job.id))
        return true;
    close(fake->connection);
    fake->connection = -1;
    return false;
}

void fake_say(struct fake *fake, const struct worker_report *report)
{
    cr_assert_eq(send(fake->fd, report, sizeof(*report), 0),
                 (ssize_t)sizeof(*report));
    server_turn();
}

void fake_report(struct fake *fake, enum worker_end end)
{
    const struct worker_report report = {
        .event = WORKER_DONE, .end = end, .id = fake->id};

    if (fake->connection >= 0)
        close(fake->connection);
    fake->connection = -1;
    fake_say(fake, &report);
}

void fake_serve(struct fake *fake, const char *answer, bool spent)
{
    struct worker_report report = {
        .event = WORKER_DONE, .id = fake->id, .spent = spent};
    char request[256];

    report.in_bytes = (uint64_t)recv(fake->connection, request, sizeof(request),
                                     MSG_DONTWAIT);
    report.out_bytes = strlen(answer);
    fake->page->progress.in_bytes += report.in_bytes;
    fake->page->progress.out_bytes += report.out_bytes;
    cr_assert_eq(send(fake->connection, answer, strlen(answer), 0),
                 (ssize_t)strlen(answer));
    shutdown(fake->connection, SHUT_RDWR);
    close(fake->connection);
    fake->connection = -1;
    fake_say(fake, &report);
}

void fake_answer(struct fake *fake, int client)
{
    cr_assert(fake_take(fake));
    fake_serve(fake, ANSWER, false);
    server_expect(client, ANSWER);
}

uint64_t fake_begin_own(struct fake *fake)
{
    struct worker_owns *own = &fake->page->own;
    struct worker_own *mine = &own->all[own->begun % WORKER_OWN_MAX];

    mine->report = (struct worker_report){0};
    mine->returned = 0;
    mine->look_bytes = strlen(GET);
    memcpy(mine->look, GET, strlen(GET));
    return ++own->begun;
}

void fake_finish_own(struct fake *fake, uint64_t number)
{
    struct worker_owns *own = &fake->page->own;

    own->all[(number - 1) % WORKER_OWN_MAX].report = (struct worker_report){
        .event = WORKER_DONE,
        .id = number,
        .in_bytes = strlen(GET),
        .out_bytes = strlen(ANSWER),
    };
    fake->page->progress.in_bytes += strlen(GET);
    fake->page->progress.out_bytes += strlen(ANSWER);
    own->answered = own->done = number;
}

void fake_give_back(struct fake *fake, const struct worker_report *report,
                    int connection)
{
    struct worker_owns *own = &fake->page->own;

    cr_assert_eq(child_send(fake->fd, report, sizeof(*report), &connection, 1),
                 0);
    close(connection);
    own->all[(own->begun - 1) % WORKER_OWN_MAX].returned = 1;
    own->done = own->begun;
    server_turn();
}

void fake_leave(struct fake *fake, int connection)
{
    cr_assert_eq(child_send(fake->keeper, "", 1, &connection, connection >= 0),
                 0);
    if (connection >= 0)
        close(connection);
    fake_die(fake);
    close(fake->keeper);
}

void fake_die(struct fake *fake)
{
    if (fake->connection >= 0)
        close(fake->connection);
    close(fake->fd);
    server_turn();
    dispatch_bury(fake->worker);
    server_turn();
}

/* Processes that keeper.c and child.c start end so. */
_Noreturn void cli_end_at_once(int status)
{
    _exit(status);
}
