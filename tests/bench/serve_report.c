/* SPDX-License-Identifier: MIT */
/* What was measured of `mayfly serve`: tables, JSON, and data for the plot. */
#include "tests/bench/serve.h"

#include <sys/sysinfo.h>
#include <sys/utsname.h>

const char *const serve_titles[SERVERS] = {
    [SERVER_NATIVE] = "a process (static musl)",
    [SERVER_VM] = "mayfly serve",
    [SERVER_STREAMS] = "mayfly serve, --streams",
};

const char *const serve_names[SERVERS] = {
    [SERVER_NATIVE] = "native",
    [SERVER_VM] = "serve",
    [SERVER_STREAMS] = "streams",
};

static const char *const caller_names[CALLERS] = {"supervisor", "worker"};

/* ---- Tables -------------------------------------------------------------- */

static void put_host(FILE *to, const struct serve_results *results)
{
    struct utsname kernel;

    uname(&kernel);
    fprintf(to,
            "Serving: Linux %s, %d CPUs, %u rounds, load %.1f before; "
            "a connection a request, one worker, a fresh VM each\n\n",
            kernel.release, get_nprocs(), results->rounds, results->load);
}

static void put_speed(FILE *to, const struct serve_results *results)
{
    fprintf(to, "%-26s %26s  %9s %19u clients\n", "", "one client, us, p50",
            "p99", results->clients);
    fprintf(to, "%-26s %8s %8s %8s  %9s %10s %8s %6s\n", "", "lowest", "median",
            "added", "median", "requests/s", "p90", "x");
    for (unsigned i = 0; i < SERVERS; i++) {
        const struct serve_server *server = &results->servers[i];

        fprintf(to, "%-26s %8.1f %8.1f %8.1f  %9.1f %10.0f %8.0f %6.2f\n",
                serve_titles[i], samples_percentile(&server->p50_us, 0),
                samples_median(&server->p50_us), serve_added_us(results, i),
                samples_median(&server->p99_us),
                samples_median(&server->per_second),
                samples_percentile(&server->per_second, 90),
                serve_ratio(results, i));
    }
}

static void put_crowds(FILE *to, const struct serve_results *results)
{
    fprintf(to, "\n%-26s %8s %8s %8s %8s %8s %8s\n",
            "1000 connections at a time", "asked", "right", "seconds",
            "p50, ms", "p99, ms", "longest");
    for (unsigned i = 0; i < SERVERS; i++) {
        const struct serve_crowd *crowd = &results->servers[i].crowd;

        fprintf(to, "%-26s %8llu %8llu %8.2f %8.1f %8.1f %8.1f\n",
                serve_titles[i], (unsigned long long)crowd->asked,
                (unsigned long long)crowd->right, crowd->seconds, crowd->p50_ms,
                crowd->p99_ms, crowd->longest_ms);
        if (crowd->surprise[0])
            fprintf(to, "  %s\n", crowd->surprise);
    }
}

/* Those that a request, or every other one, makes. */
static void put_calls(FILE *to, const struct serve_counts *counts)
{
    for (unsigned i = 0; i < CALLERS; i++) {
        int column = fprintf(to, "  %s:", caller_names[i]);

        for (unsigned n = 0; n < SYSCALLS_MAX; n++) {
            if (counts->by_number[i][n] < 0.05)
                continue;
            if (column > 68)
                column = fprintf(to, "\n     ") - 1;
            column +=
                fprintf(to, " %s %.1f", trace_name(n), counts->by_number[i][n]);
        }
        fputc('\n', to);
    }
}

static void put_counts(FILE *to, const struct serve_results *results)
{
    fprintf(to, "\n%-26s %8s %8s %8s %8s %12s %8s\n", "A request, one client",
            "exits", "resets", "pages", "us", "system calls", "worker");
    for (unsigned i = SERVER_VM; i < SERVERS; i++) {
        const struct serve_counts *counts = &results->servers[i].counts;

        fprintf(to, "%-26s %8.2f %8.2f %8.1f %8.1f %12.1f %8.1f\n",
                serve_titles[i], counts->exits, counts->resets, counts->pages,
                counts->reset_us, counts->calls[CALLER_SUPERVISOR],
                counts->calls[CALLER_WORKER]);
        put_calls(to, counts);
    }
}

static unsigned put_targets(FILE *to, const struct serve_results *results)
{
    const struct serve_server *server = &results->servers[SERVER_VM];
    unsigned missed = 0;

    fprintf(to, "\n%-46s %8s      %8s\n", "Targets", "measured", "target");
    missed += put_target(to, "throughput against a process",
                         serve_ratio(results, SERVER_VM), ">=", 0.6, 2, "x");
    missed += put_target(to, "added to a request, p50, one client",
                         serve_added_us(results, SERVER_VM), "<=", 70, 1, "us");
    missed += put_target(to, "exits to user space a request",
                         server->counts.exits, "<=", 2, 2, "");
    missed += put_target(to, "right of 10000 over 1000 connections",
                         (double)server->crowd.right, ">=", 10000, 0, "");
    return missed;
}

unsigned serve_text(FILE *to, const struct serve_results *results)
{
    put_host(to, results);
    put_speed(to, results);
    put_crowds(to, results);
    put_counts(to, results);
    return put_targets(to, results);
}

/* ---- JSON ---------------------------------------------------------------- */

static void json_crowd(FILE *to, const struct serve_crowd *crowd)
{
    fprintf(to, ",\n      \"crowd\": {\"asked\": %llu, \"right\": %llu, ",
            (unsigned long long)crowd->asked, (unsigned long long)crowd->right);
    json_number(to, "seconds", crowd->seconds);
    fprintf(to, ", ");
    json_number(to, "p50_ms", crowd->p50_ms);
    fprintf(to, ", ");
    json_number(to, "p99_ms", crowd->p99_ms);
    fprintf(to, ", ");
    json_number(to, "longest_ms", crowd->longest_ms);
    fputc('}', to);
}

static void json_calls(FILE *to, const struct serve_counts *counts)
{
    for (unsigned i = 0; i < CALLERS; i++) {
        const char *comma = "";

        fprintf(to, ",\n      \"%s_calls\": ", caller_names[i]);
        fprintf(to, "%.10g,\n      \"%s_calls_by_name\": {", counts->calls[i],
                caller_names[i]);
        for (unsigned n = 0; n < SYSCALLS_MAX; n++) {
            if (counts->by_number[i][n] == 0)
                continue;
            fprintf(to, "%s\"%s\": %.10g", comma, trace_name(n),
                    counts->by_number[i][n]);
            comma = ", ";
        }
        fputc('}', to);
    }
}

static void json_counts(FILE *to, const struct serve_counts *counts)
{
    fprintf(to, ",\n      ");
    json_number(to, "exits", counts->exits);
    fprintf(to, ", ");
    json_number(to, "resets", counts->resets);
    fprintf(to, ", ");
    json_number(to, "reset_pages", counts->pages);
    fprintf(to, ", ");
    json_number(to, "reset_us", counts->reset_us);
    json_calls(to, counts);
}

static void json_server(FILE *to, const struct serve_results *results,
                        unsigned which)
{
    const struct serve_server *server = &results->servers[which];

    fprintf(to, "    \"%s\": {\n      ", serve_names[which]);
    json_samples(to, "p50_us", &server->p50_us);
    fprintf(to, ",\n      ");
    json_samples(to, "p99_us", &server->p99_us);
    fprintf(to, ",\n      ");
    json_samples(to, "us", &server->us);
    fprintf(to, ",\n      ");
    json_samples(to, "per_second", &server->per_second);
    fprintf(to, ",\n      ");
    json_number(to, "added_us", serve_added_us(results, which));
    fprintf(to, ", ");
    json_number(to, "ratio", serve_ratio(results, which));
    json_crowd(to, &server->crowd);
    if (which != SERVER_NATIVE)
        json_counts(to, &server->counts);
    fprintf(to, "}%s\n", which + 1 < SERVERS ? "," : "");
}

void serve_json(const char *path, const struct serve_results *results)
{
    FILE *to = fopen(path, "we");

    if (!to)
        die("%s", path);
    fprintf(to, "{\n");
    json_host(to);
    fprintf(to,
            "  \"rounds\": %u, \"requests\": %u, \"clients\": %u, "
            "\"load_before\": %.2f,\n",
            results->rounds, results->requests, results->clients,
            results->load);
    fprintf(to, "  \"servers\": {\n");
    for (unsigned i = 0; i < SERVERS; i++)
        json_server(to, results, i);
    fprintf(to, "  }\n}\n");
    if (fclose(to))
        die("%s", path);
}

/* ---- The plot ------------------------------------------------------------ */

void serve_plot_data(const char *path, const struct serve_results *results)
{
    FILE *to = fopen(path, "we");

    if (!to)
        die("%s", path);
    plot_distribution(to, "request to a process",
                      &results->servers[SERVER_NATIVE].us);
    plot_distribution(to, "request, fresh VM each",
                      &results->servers[SERVER_VM].us);
    if (fclose(to))
        die("%s", path);
}
