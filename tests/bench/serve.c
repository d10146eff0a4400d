/* SPDX-License-Identifier: MIT */
/* Measures `mayfly serve` against a process. See tests/bench/README.md. */
#include "tests/bench/serve.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/load/load.h"
#include "tests/load/watch.h"

#define OUT "build/bench/"

static struct serve_results results;

/* A server that runs. */
static struct {
    pid_t pid;
    unsigned port, admin;
    char to[32];
} servers[SERVERS];

static const char *const hello[] = {"/"};

static unsigned number_from_env(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);

    return text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

double serve_added_us(const struct serve_results *of, unsigned server)
{
    const struct samples *native = &of->servers[SERVER_NATIVE].p50_us;
    const struct samples *other = &of->servers[server].p50_us;
    struct samples added = {0};

    for (unsigned i = 0; i < native->count && i < other->count; i++)
        samples_add(&added, other->values[i] - native->values[i]);
    double median = samples_median(&added);
    free(added.values);
    return median;
}

double serve_ratio(const struct serve_results *of, unsigned server)
{
    return samples_median_ratio(&of->servers[server].per_second,
                                &of->servers[SERVER_NATIVE].per_second);
}

/* ---- Loads --------------------------------------------------------------- */

/* Every answer has to be right, but those of a crowd are only counted. */
static void ask(unsigned server, unsigned clients, unsigned requests,
                struct load_results *got)
{
    const struct load_config config = {
        .to = servers[server].to,
        .paths = hello,
        .path_count = 1,
        .connections = clients,
        .requests = requests,
    };

    if (load_run(&config, got))
        die("cannot ask %s", servers[server].to);
}

static void ask_right(unsigned server, unsigned clients, unsigned requests,
                      struct load_results *got)
{
    ask(server, clients, requests, got);
    if (got->total[LOAD_RIGHT] != requests)
        die("%s: %s", serve_titles[server], got->complaint);
}

static void ask_alone(unsigned server)
{
    struct serve_server *of = &results.servers[server];
    struct load_results got;

    ask_right(server, 1, results.requests, &got);
    samples_add(&of->p50_us, load_percentile(&got, 50));
    samples_add(&of->p99_us, load_percentile(&got, 99));
    for (size_t i = 0; i < got.latency_count; i++)
        samples_add(&of->us, (double)got.latencies[i]);
    free(got.latencies);
}

static void ask_together(unsigned server)
{
    struct load_results got;

    ask_right(server, results.clients, 4 * results.requests, &got);
    samples_add(&results.servers[server].per_second,
                (double)got.ended / got.seconds);
    free(got.latencies);
}

static void ask_crowd(unsigned server)
{
    struct serve_crowd *crowd = &results.servers[server].crowd;
    struct load_results got;

    ask(server, 1000, 10000, &got);
    crowd->asked = got.ended;
    crowd->right = got.total[LOAD_RIGHT];
    crowd->seconds = got.seconds;
    crowd->p50_ms = load_percentile(&got, 50) / 1000;
    crowd->p99_ms = load_percentile(&got, 99) / 1000;
    crowd->longest_ms = load_percentile(&got, 100) / 1000;
    memcpy(crowd->surprise, got.complaint, sizeof(crowd->surprise));
    free(got.latencies);
}

/* ---- Servers ------------------------------------------------------------- */

static void start_native(unsigned server)
{
    char port[16];
    const char *const argv[] = {OUT "function", port, NULL};

    snprintf(port, sizeof(port), "%u", servers[server].port);
    servers[server].pid = spawn_waiting(argv, STDOUT_FILENO);
}

static void start_vm(unsigned server, const char *image)
{
    char listen[32], admin[32];
    const char *const argv[] = {OUT "mayfly", "serve", "--workers", "1",
                                "--listen",   listen,  "--admin",   admin,
                                image,        NULL};

    servers[server].admin = watch_free_port();
    snprintf(listen, sizeof(listen), "%s", servers[server].to);
    snprintf(admin, sizeof(admin), "127.0.0.1:%u", servers[server].admin);
    servers[server].pid = spawn_waiting(argv, STDOUT_FILENO);
}

static void wait_until_ready(unsigned server)
{
    for (unsigned i = 0; i < 500; i++) {
        struct load_results got;

        ask(server, 1, 1, &got);
        free(got.latencies);
        if (got.total[LOAD_RIGHT] == 1)
            return;
        usleep(20000);
    }
    die("%s does not answer", serve_titles[server]);
}

static void start_servers(void)
{
    for (unsigned i = 0; i < SERVERS; i++) {
        servers[i].port = watch_free_port();
        snprintf(servers[i].to, sizeof(servers[i].to), "127.0.0.1:%u",
                 servers[i].port);
        if (i == SERVER_NATIVE)
            start_native(i);
        else
            start_vm(i, i == SERVER_VM ? OUT "function.elf"
                                       : OUT "function-streams.elf");
        wait_until_ready(i);
    }
}

/* ---- Counts -------------------------------------------------------------- */

/* What a server says of itself. */
struct said {
    double exits, resets, pages, reset_seconds;
};

static void read_metrics(unsigned server, struct said *said)
{
    static char text[65536];

    if (!watch_get(servers[server].admin, "/metrics", text, sizeof(text)))
        die("%s has no metrics", serve_titles[server]);
    said->exits = watch_metric(text, "mayfly_serve_exits_total");
    said->resets = watch_metric(text, "mayfly_serve_resets_total");
    said->pages = watch_metric(text, "mayfly_serve_reset_pages_total");
    said->reset_seconds =
        watch_metric(text, "mayfly_serve_reset_seconds_total");
}

static void count_work(unsigned server, unsigned requests)
{
    struct serve_counts *counts = &results.servers[server].counts;
    struct load_results got;
    struct said before, after;

    read_metrics(server, &before);
    ask_right(server, 1, requests, &got);
    free(got.latencies);
    usleep(50000); /* the last reset is after the answer */
    read_metrics(server, &after);
    counts->exits = (after.exits - before.exits) / requests;
    counts->resets = (after.resets - before.resets) / requests;
    counts->pages = (after.pages - before.pages) / requests;
    counts->reset_us = (after.reset_seconds - before.reset_seconds) * 1e6 /
                       (after.resets - before.resets);
}

static void count_calls(unsigned server, unsigned requests)
{
    struct serve_counts *counts = &results.servers[server].counts;
    struct load_results got;
    struct trace traces[CALLERS];
    pid_t pids[CALLERS] = {servers[server].pid};

    if (watch_children(pids[0], &pids[CALLER_WORKER], 1) != 1)
        die("%s has no worker", serve_titles[server]);
    trace_attach(pids, CALLERS);
    ask_right(server, 1, requests, &got);
    free(got.latencies);
    usleep(50000);
    trace_detach(traces);
    for (unsigned i = 0; i < CALLERS; i++) {
        counts->calls[i] = (double)traces[i].calls / requests;
        for (unsigned n = 0; n < SYSCALLS_MAX; n++)
            counts->by_number[i][n] = (double)traces[i].by_number[n] / requests;
    }
}

/* ---- All of it ----------------------------------------------------------- */

static void run_round(unsigned round)
{
    for (unsigned i = 0; i < SERVERS; i++)
        ask_alone((i + round) % SERVERS);
    for (unsigned i = 0; i < SERVERS; i++)
        ask_together((i + round) % SERVERS);
}

static void on_signal(int number)
{
    kill_waiting();
    _exit(128 + number);
}

static void allow_descriptors(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files))
        die("RLIMIT_NOFILE");
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

int main(void)
{
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    allow_descriptors();
    results.rounds = number_from_env("BENCH_SERVE_ROUNDS", 20);
    results.requests = 500;
    results.clients = 16;
    results.load = file_number("/proc/loadavg", "");
    start_servers();
    for (unsigned i = 0; i < results.rounds; i++)
        run_round(i);
    for (unsigned i = 0; i < SERVERS; i++)
        ask_crowd(i);
    for (unsigned i = SERVER_VM; i < SERVERS; i++) {
        count_work(i, 1000);
        count_calls(i, 200);
    }
    stop_waiting(-1);
    unsigned missed = serve_text(stdout, &results);
    serve_json(OUT "serve.json", &results);
    serve_plot_data(OUT "serve.dat", &results);
    printf("\n%u target%s missed\n", missed, missed == 1 ? "" : "s");
    return 0;
}
