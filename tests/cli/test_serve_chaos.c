/* SPDX-License-Identifier: MIT */
/* mayfly serve under load, while everything around it goes wrong. */
#include "tests/cli/cli_test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/cli/cli_server.h"
#include "tests/load/load.h"
#include "tests/load/watch.h"

#define WORKERS     2
#define CONNECTIONS 32

/* Pages that a process may have more than when it had served a while. */
#define SUPERVISOR_PAGES 16
#define WORKER_PAGES     64

TestSuite(serve_chaos, .timeout = 300);
TestSuite(serve_soak, .timeout = 7200);

static struct {
    pid_t pid;
    unsigned port, admin;
    unsigned workers; /* that wait, when nothing goes on */
    char to[32];
    char dir[64];    /* a directory of its own */
    char image[96];  /* in it: what is served, and may be replaced */
    int descriptors; /* of the supervisor, when nothing goes on */
    int worker_descriptors;
    long memory_kib;
} victim;

static unsigned long from_environment(const char *name, unsigned long otherwise)
{
    const char *text = getenv(name);

    return text ? strtoul(text, NULL, 10) : otherwise;
}

/* ---- The server ---------------------------------------------------------- */

/* Replaces the image as an editor or a package manager would: at once. */
static void put_image(const char *name)
{
    char command[512];

    snprintf(command, sizeof(command), "cp %s/images/%s %s.new && mv %s.new %s",
             build_directory(), name, victim.image, victim.image, victim.image);
    cr_assert_eq(system(command), 0);
}

static pid_t start_process(const char *timeout_ms)
{
    char admin[32], workers[16], log[96];
    const char *const words[] = {
        "serve", "--listen",  victim.to,  "--admin",    admin, "--workers",
        workers, "--timeout", timeout_ms, victim.image, NULL};
    pid_t pid;
    int errors;

    snprintf(admin, sizeof(admin), "127.0.0.1:%u", victim.admin);
    snprintf(workers, sizeof(workers), "%d", WORKERS);
    snprintf(log, sizeof(log), "%s/log", victim.dir);
    errors = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    pid = start_mayfly(words, -1, errors);
    close(errors);
    return pid;
}

static void start_victim(const char *image, const char *timeout_ms)
{
    char text[512];

    need_kvm();
    strcpy(victim.dir, "/tmp/mayfly-chaos-XXXXXX");
    make_directory(victim.dir);
    snprintf(victim.image, sizeof(victim.image), "%s/image.elf", victim.dir);
    put_image(image);
    victim.workers = WORKERS;
    victim.port = watch_free_port();
    victim.admin = watch_free_port();
    snprintf(victim.to, sizeof(victim.to), "127.0.0.1:%u", victim.port);
    victim.pid = start_process(timeout_ms);
    for (unsigned i = 0; i < 1000; i++) {
        if (watch_get(victim.port, "/", text, sizeof(text)) &&
            strstr(text, "Hello"))
            return;
        usleep(10000);
    }
    cr_assert_fail("the server does not answer: %s", text);
}

static const char *metrics(void)
{
    static char text[65536];

    cr_assert(watch_get(victim.admin, "/metrics", text, sizeof(text)));
    return text;
}

static double value_in(const char *text, const char *name)
{
    char full[128];

    snprintf(full, sizeof(full), "mayfly_serve_%s", name);
    return watch_metric(text, full);
}

static double metric(const char *name)
{
    return value_in(metrics(), name);
}

/* Until a metric has reached a value. */
static void await_metric(const char *name, double value)
{
    for (unsigned i = 0; i < 2000 && metric(name) < value; i++)
        usleep(10000);
    cr_assert_geq(metric(name), value, "%s is %g, not %g", name, metric(name),
                  value);
}

static bool is_calm(void)
{
    static const char *const none[] = {
        "open_connections{state=\"waiting\"}",
        "open_connections{state=\"queued\"}",
        "open_connections{state=\"served\"}",
        "open_connections{state=\"closing\"}",
        "workers{state=\"starting\"}",
        "workers{state=\"busy\"}",
        "workers{state=\"retiring\"}",
    };
    const char *text = metrics();

    for (unsigned i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        if (value_in(text, none[i]) != 0)
            return false;
    return value_in(text, "workers{state=\"idle\"}") == victim.workers;
}

/*
 * Until no connection is left, and all workers wait for the next one. For a
 * while: a reload, or a worker's new start, may still be to come.
 */
static void await_calm(void)
{
    unsigned calm = 0;

    for (unsigned i = 0; i < 2000 && calm < 10; i++) {
        pid_t children[64];
        bool now = is_calm() &&
                   watch_children(victim.pid, children, 64) == victim.workers;

        calm = now ? calm + 1 : 0;
        usleep(10000);
    }
    cr_assert_eq(calm, 10, "%s", metrics());
}

static void assert_ends(void)
{
    pid_t children[64];
    unsigned count = watch_children(victim.pid, children, 64);
    int status = -1;

    kill(victim.pid, SIGTERM);
    cr_assert_eq(waitpid(victim.pid, &status, 0), victim.pid);
    cr_assert_eq(status, 0, "status %#x", status);
    for (unsigned i = 0; i < count; i++)
        for (unsigned n = 0; kill(children[i], 0) == 0; n++) {
            cr_assert_lt(n, 500, "a child outlives the server");
            usleep(10000);
        }
}

/* ---- What it holds ------------------------------------------------------- */

/* When it is calm: all that is left was there before. */
static void note_what_it_holds(void)
{
    pid_t worker;

    await_calm();
    cr_assert_eq(watch_children(victim.pid, &worker, 1), 1);
    usleep(50000); /* whoever asked for metrics has hung up */
    victim.descriptors = watch_descriptors(victim.pid);
    victim.worker_descriptors = watch_descriptors(worker);
    victim.memory_kib = watch_memory_kib(victim.pid, "Rss:");
    cr_assert(victim.descriptors > 0 && victim.worker_descriptors > 0);
}

/* Looks again for a while: whoever has asked for metrics may still hang up, and
 * a worker may still end. */
static void assert_descriptors(pid_t pid, int expected, const char *whose)
{
    for (unsigned n = 0; n < 500 && watch_descriptors(pid) != expected; n++)
        usleep(10000);
    cr_assert_eq(watch_descriptors(pid), expected,
                 "%s has %d descriptors instead of %d", whose,
                 watch_descriptors(pid), expected);
}

static void assert_it_holds_no_more(void)
{
    pid_t workers[64];
    unsigned count;
    long more;

    await_calm();
    count = watch_children(victim.pid, workers, 64);
    for (unsigned i = 0; i < count; i++)
        assert_descriptors(workers[i], victim.worker_descriptors, "a worker");
    assert_descriptors(victim.pid, victim.descriptors, "the supervisor");
    more = watch_memory_kib(victim.pid, "Rss:") - victim.memory_kib;
    cr_assert_leq(more / 4, SUPERVISOR_PAGES, "the supervisor has %ld KiB more",
                  more);
}

/* Each connection that came is over, in one way. */
static void assert_none_is_lost(void)
{
    static const char *const ends[] = {
        "served", "refused", "crashed", "exited", "timed-out", "failed",
        "lost",   "silent",  "overdue", "left",   "dropped",
    };
    double sum = 0;

    for (unsigned i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        char name[64];
        double ended;

        snprintf(name, sizeof(name), "connections_total{end=\"%s\"}", ends[i]);
        ended = metric(name);
        cr_assert_geq(ended, 0, "%s", name);
        sum += ended;
    }
    cr_assert_eq(sum, metric("accepted_connections_total"));
}

/* ---- Chaos --------------------------------------------------------------- */

static const char *const chaos_paths[] = {
    "/",
    "/",
    "/",
    "/fresh",
    "/fresh",
    "/fresh",
    "/random",
    "/uuid",
    "/time",
    "/big?100000",
    "/echo",
    "/slow?2",
    "/crash",
    "/exit",
    "/half",
    "/exhaust",
    "/vanish-silent",
    "/vanish-half",
    "/vanish-answer",
};
#define CHAOS_PATHS (sizeof(chaos_paths) / sizeof(chaos_paths[0]))

static struct {
    unsigned kills, reloads;
    bool replace; /* an image that can be reset by another one */
    int hanging;  /* a connection whose VM computes for ever; 0: none */
} chaos;

/* Any of them: one that waits, serves, starts or boots. */
static void kill_a_child(uint64_t number)
{
    pid_t children[64];
    unsigned count = watch_children(victim.pid, children, 64);

    if (count)
        kill(children[number % count], SIGKILL);
    chaos.kills += count > 0;
}

static void reload(const char *image)
{
    put_image(image);
    kill(victim.pid, SIGHUP);
    chaos.reloads++;
}

static int ask_to_hang(void)
{
    static const char request[] = "GET /hang HTTP/1.1\r\nHost: a\r\n\r\n";
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)victim.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    cr_assert_eq(write(fd, request, sizeof(request) - 1),
                 (ssize_t)sizeof(request) - 1);
    return fd;
}

/* 504, unless its worker was killed. */
static void assert_hanging_is_over(void)
{
    char text[512];
    ssize_t bytes = read(chaos.hanging, text, sizeof(text) - 1);

    text[bytes > 0 ? bytes : 0] = '\0';
    cr_assert(strncmp(text, "HTTP/1.1 504 ", 13) == 0 ||
                  strncmp(text, "HTTP/1.1 502 ", 13) == 0,
              "hanging: '%s'", text);
    close(chaos.hanging);
}

static bool make_trouble(void *context, uint64_t ended)
{
    uint64_t number = ended / *(const uint64_t *)context;

    if (number == 1 && chaos.replace)
        chaos.hanging = ask_to_hang();
    else if (number % 4 == 3)
        reload(chaos.replace && number % 8 == 3 ? "function-streams.elf"
               : chaos.replace                  ? "function.elf"
                                                : "function-mmap.elf");
    else
        kill_a_child(number / 2);
    return true;
}

static void print_failure(const struct load_config *config,
                          const struct load_results *results)
{
    for (unsigned i = 0; i < config->path_count; i++)
        for (unsigned n = 0; n < LOAD_OUTCOMES; n++)
            if (results->outcomes[i][n])
                fprintf(stderr, "%s: %s %llu\n", config->paths[i],
                        load_outcome_names[n],
                        (unsigned long long)results->outcomes[i][n]);
    fprintf(stderr, "%s; %u were killed\n", results->complaint, chaos.kills);
}

/* Only a death takes an answer away, and one at most. */
static void assert_outcomes(const struct load_config *config,
                            const struct load_results *results)
{
    uint64_t lost = 0,
             never = results->total[LOAD_WRONG] + results->total[LOAD_LATE] +
                     results->total[LOAD_REFUSED] + results->total[LOAD_503];

    for (unsigned i = 0; i < config->path_count; i++) {
        const uint64_t *outcomes = results->outcomes[i];

        if (load_expected(config->paths[i]) == LOAD_RIGHT) {
            lost += outcomes[LOAD_502] + outcomes[LOAD_CLOSED];
            never += outcomes[LOAD_504];
        } else {
            lost += outcomes[load_expected(config->paths[i]) == LOAD_502
                                 ? LOAD_CLOSED
                                 : LOAD_502];
            never += outcomes[LOAD_RIGHT];
        }
    }
    if (never || lost > chaos.kills)
        print_failure(config, results);
    cr_assert_eq(never, 0, "%s", results->complaint);
    cr_assert_leq(lost, chaos.kills, "%s", results->complaint);
}

static void run_load(struct load_config *config)
{
    struct load_results results;

    config->to = victim.to;
    config->connections = CONNECTIONS;
    cr_assert_eq(load_run(config, &results), 0);
    cr_assert_eq(results.ended, config->requests);
    assert_outcomes(config, &results);
    free(results.latencies);
}

static unsigned long chaos_requests(void)
{
    unsigned long requests = from_environment("MAYFLY_TEST_CHAOS", 600);

    if (requests == 0)
        cr_skip_test("MAYFLY_TEST_CHAOS is 0");
    return requests;
}

static void run_chaos(unsigned long requests)
{
    uint64_t every = 50;
    struct load_config calm = {
        .paths = chaos_paths,
        .path_count = CHAOS_PATHS,
        .requests = 100,
    };
    struct load_config config = calm;

    run_load(&calm);
    note_what_it_holds();
    config.requests = requests;
    config.progress = make_trouble;
    config.context = &every;
    config.progress_every = every;
    run_load(&config);
    if (chaos.hanging)
        assert_hanging_is_over();
    assert_it_holds_no_more();
    assert_none_is_lost();
}

static void assert_reloads(void)
{
    double before = metric("reloads_total");
    double failures = metric("reload_failures_total");
    FILE *image;

    put_image("function.elf");
    kill(victim.pid, SIGHUP);
    await_metric("reloads_total", before + 1);
    image = fopen(victim.image, "we");
    cr_assert(image && fputs("no image", image) >= 0 && fclose(image) == 0);
    kill(victim.pid, SIGHUP);
    await_metric("reload_failures_total", failures + 1);
}

Test(serve_chaos, loses_no_more_than_what_was_killed)
{
    struct load_config after = {
        .paths = chaos_paths, .path_count = 12, .requests = 50};
    unsigned long requests = chaos_requests();

    chaos.replace = true;
    start_victim("function.elf", "2000"); /* what hangs computes so long */
    run_chaos(requests);
    assert_reloads();
    chaos.kills = 0;
    run_load(&after);
    assert_it_holds_no_more();
    assert_ends();
}

Test(serve_chaos, vms_that_cannot_be_reset_are_made_anew)
{
    unsigned long requests = chaos_requests();

    start_victim("function-mmap.elf", "10000");
    victim.workers = 2 * WORKERS; /* with those that are made in advance */
    run_chaos((requests + 1) / 2);
    assert_ends();
}

/* ---- Many requests ------------------------------------------------------- */

/* What all processes have of their own, one after the other. */
struct memory {
    long supervisor_kib, workers_kib[WORKERS];
};

static void sample_memory(struct memory *memory)
{
    pid_t workers[WORKERS] = {0};

    cr_assert_eq(watch_children(victim.pid, workers, WORKERS), WORKERS);
    memory->supervisor_kib = watch_memory_kib(victim.pid, "Rss:");
    for (unsigned i = 0; i < WORKERS; i++)
        memory->workers_kib[i] = watch_memory_kib(workers[i], "Rss:");
}

static struct memory soak_first;
static unsigned soak_samples;

static bool watch_memory(void *context, uint64_t ended)
{
    struct memory now;

    (void)context;
    sample_memory(&now);
    soak_samples++;
    if (getenv("MAYFLY_TEST_SERVE_REQUESTS"))
        fprintf(stderr, "%llu requests: supervisor %ld KiB, workers %ld %ld\n",
                (unsigned long long)ended, now.supervisor_kib,
                now.workers_kib[0], now.workers_kib[1]);
    cr_assert_leq((now.supervisor_kib - soak_first.supervisor_kib) / 4,
                  SUPERVISOR_PAGES);
    for (unsigned i = 0; i < WORKERS; i++)
        cr_assert_leq((now.workers_kib[i] - soak_first.workers_kib[i]) / 4,
                      WORKER_PAGES);
    return true;
}

/* Each worker has been where it will be. */
static void warm_up(const struct load_config *config)
{
    static const char *const fresh[] = {"/fresh"};
    struct load_config first = {
        .paths = fresh, .path_count = 1, .requests = 2 * CONNECTIONS};
    struct load_config second = {.paths = config->paths,
                                 .path_count = config->path_count,
                                 .requests = 2 * CONNECTIONS};

    await_calm();
    run_load(&first);
    run_load(&second);
    sample_memory(&soak_first);
}

Test(serve_soak, memory_is_flat_over_many_requests)
{
    static const char *const paths[] = {
        "/", "/", "/", "/",      "/",      "/",       "/",     "/",
        "/", "/", "/", "/fresh", "/fresh", "/random", "/uuid", "/echo",
    };
    unsigned long requests =
        from_environment("MAYFLY_TEST_SERVE_REQUESTS", 2000);
    struct load_config config = {
        .paths = paths,
        .path_count = sizeof(paths) / sizeof(paths[0]),
        .requests = requests,
        .progress = watch_memory,
        .progress_every = requests / 10,
    };

    start_victim("function.elf", "10000");
    warm_up(&config);
    run_load(&config);
    cr_assert_eq(soak_samples, 10);
    await_calm(); /* who has answered has not reported yet */
    assert_none_is_lost();
    assert_ends();
}
