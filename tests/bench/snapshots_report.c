/* SPDX-License-Identifier: MIT */
/* What was measured of snapshots: tables, JSON, and data for the plot. */
#include "tests/bench/snapshots.h"

#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

const char *const start_titles[STARTS] = {
    [START_NATIVE] = "process (static musl)",
    [START_FLOOR] = "KVM floor",
    [START_COLD] = "cold start",
    [START_RESTORE] = "restore",
};

static const char *const start_names[STARTS] = {
    [START_NATIVE] = "native",
    [START_FLOOR] = "floor",
    [START_COLD] = "cold",
    [START_RESTORE] = "restore",
};

/* ---- Tables -------------------------------------------------------------- */

static void put_host(FILE *to, const struct snapshot_results *results)
{
    struct utsname kernel;
    char pinned[32] = "not pinned";

    uname(&kernel);
    if (results->cpu >= 0)
        snprintf(pinned, sizeof(pinned), "pinned to CPU %d", results->cpu);
    fprintf(to,
            "Snapshots: Linux %s, %d CPUs, %s, %u rounds, starts %s, load %.1f "
            "before\n\n",
            kernel.release, get_nprocs(), pinned, results->rounds,
            results->realtime ? "SCHED_FIFO" : "not real-time", results->load);
}

static void put_row(FILE *to, const char *name, const struct samples *samples)
{
    fprintf(to, "%-40s %8.1f %8.1f %8.1f\n", name,
            samples_percentile(samples, 10), samples_median(samples),
            samples_percentile(samples, 99));
}

static void put_latencies(FILE *to, const struct snapshot_results *results)
{
    char name[64];

    fprintf(to, "%-40s %8s %8s %8s\n", "Latency, us", "p10", "median", "p99");
    put_row(to, "bare ring-3 exit", &results->bare_us);
    for (unsigned i = 0; i < RESETS; i++) {
        snprintf(name, sizeof(name), "reset and empty call, %u pages dirtied",
                 reset_pages[i]);
        put_row(to, name, &results->resets[i].us);
    }
    for (unsigned i = 0; i < CLONES; i++) {
        snprintf(name, sizeof(name), "clone, new VM, writes %u pages",
                 clone_pages[i]);
        put_row(to, name, &results->clones[i].us);
        put_row(to, "... nothing learned", &results->clones[i].plain_us);
        put_row(to, "... VM created ahead", &results->clones[i].ahead_us);
        put_row(to, "... restored instead", &results->clones[i].restore_us);
        put_row(to, "... its end", &results->clones[i].destroy_us);
    }
    for (unsigned i = 0; i < STARTS; i++) {
        snprintf(name, sizeof(name), "%s, spawn to first output",
                 start_titles[i]);
        put_row(to, name, &results->starts_us[i]);
    }
}

static void put_counts(FILE *to, const struct snapshot_results *results)
{
    const struct idle_clones *idle = &results->idle;

    fprintf(to, "\nCounts\n");
    for (unsigned i = 0; i < RESETS; i++)
        fprintf(to,
                "a reset after %u pages copies %.1f pages back; with its call "
                "%.1f system calls\n",
                reset_pages[i], results->resets[i].pages,
                results->resets[i].monitor_calls);
    fprintf(to,
            "%u clones one after the other: %.3f s, ended in %.3f s; the "
            "snapshot has %.0f KiB\n",
            idle->count, idle->seconds, idle->destroy_seconds,
            results->snapshot_kib);
    fprintf(to,
            "as many VMs of the floor: %.3f s; as many clones, in %u "
            "processes: %.3f s\n",
            idle->bare_seconds, IDLE_PROCESSES, idle->spread_seconds);
}

static double over_floor(const struct snapshot_results *results)
{
    return samples_median_ratio(&results->starts_us[START_RESTORE],
                                &results->starts_us[START_FLOOR]);
}

static unsigned put_targets(FILE *to, const struct snapshot_results *results)
{
    const struct idle_clones *idle = &results->idle;
    unsigned missed = 0;

    fprintf(to, "\n%-46s %8s      %8s\n", "Targets", "measured", "target");
    missed += put_target(to, "reset and call over an exit, 0 pages",
                         samples_median(&results->resets[RESET_0].added_us),
                         "<=", 5, 1, "us");
    missed += put_target(to, "reset and call over an exit, 64 pages",
                         samples_median(&results->resets[RESET_64].added_us),
                         "<=", 12, 1, "us");
    missed += put_target(to, "restore in a new process, first output",
                         over_floor(results), "<=", 1.5, 2, "x");
    missed += put_target(to, "clone in one process, 10 pages",
                         samples_median(&results->clones[CLONE_10].us),
                         "<=", 420, 0, "us");
    missed += put_target(to, "clone in one process, 30 pages",
                         samples_median(&results->clones[CLONE_30].us),
                         "<=", 550, 0, "us");
    missed +=
        put_target(to, "1000 clones alive, one after the other",
                   idle->seconds * 1000 / idle->count, "<=", 0.65, 2, "s");
    missed += put_target(to, "idle clone, 30 pages, PSS", idle->pss_kib,
                         "<=", 200, 0, "KiB");
    missed += put_target(to, "idle clone, 30 pages, MemAvailable",
                         idle->available_kib / 1024, "<=", 0.75, 2, "MiB");
    return missed;
}

unsigned snapshots_text(FILE *to, const struct snapshot_results *results)
{
    put_host(to, results);
    put_latencies(to, results);
    put_counts(to, results);
    return put_targets(to, results);
}

/* ---- JSON ---------------------------------------------------------------- */

static void json_resets(FILE *to, const struct snapshot_results *results)
{
    fprintf(to, "  ");
    json_samples(to, "bare_exit_us", &results->bare_us);
    fprintf(to, ",\n  \"resets\": {\n");
    for (unsigned i = 0; i < RESETS; i++) {
        const struct resets *resets = &results->resets[i];

        fprintf(to, "    \"%u\": {", reset_pages[i]);
        json_samples(to, "us", &resets->us);
        fprintf(to, ", ");
        json_samples(to, "added_us", &resets->added_us);
        fprintf(to, ", ");
        json_number(to, "pages", resets->pages);
        fprintf(to, ", ");
        json_number(to, "monitor_calls", resets->monitor_calls);
        fprintf(to, "}%s\n", i + 1 < RESETS ? "," : "");
    }
    fprintf(to, "  },\n");
}

static void json_clones(FILE *to, const struct snapshot_results *results)
{
    const struct idle_clones *idle = &results->idle;

    fprintf(to, "  \"clones\": {\n");
    for (unsigned i = 0; i < CLONES; i++) {
        fprintf(to, "    \"%u\": {", clone_pages[i]);
        json_samples(to, "us", &results->clones[i].us);
        fprintf(to, ", ");
        json_samples(to, "plain_us", &results->clones[i].plain_us);
        fprintf(to, ", ");
        json_samples(to, "ahead_us", &results->clones[i].ahead_us);
        fprintf(to, ", ");
        json_samples(to, "restore_us", &results->clones[i].restore_us);
        fprintf(to, ", ");
        json_samples(to, "destroy_us", &results->clones[i].destroy_us);
        fprintf(to, "}%s\n", i + 1 < CLONES ? "," : "");
    }
    fprintf(to, "  },\n  \"idle\": {\"count\": %u, ", idle->count);
    json_number(to, "seconds", idle->seconds);
    fprintf(to, ", ");
    json_number(to, "destroy_seconds", idle->destroy_seconds);
    fprintf(to, ", ");
    json_number(to, "bare_seconds", idle->bare_seconds);
    fprintf(to, ", ");
    json_number(to, "spread_seconds", idle->spread_seconds);
    fprintf(to, ", ");
    json_number(to, "pss_kib", idle->pss_kib);
    fprintf(to, ", ");
    json_number(to, "available_kib", idle->available_kib);
    fprintf(to, "},\n");
}

void snapshots_json(const char *path, const struct snapshot_results *results)
{
    FILE *to = fopen(path, "we");

    if (!to)
        die("%s", path);
    fprintf(to, "{\n");
    json_host(to);
    fprintf(to,
            "  \"rounds\": %u, \"pinned_cpu\": %d, \"realtime\": %s, "
            "\"load_before\": %.2f,\n",
            results->rounds, results->cpu, results->realtime ? "true" : "false",
            results->load);
    json_resets(to, results);
    json_clones(to, results);
    fprintf(to, "  \"starts_us\": {\n");
    for (unsigned i = 0; i < STARTS; i++) {
        fprintf(to, "    ");
        json_samples(to, start_names[i], &results->starts_us[i]);
        fprintf(to, "%s\n", i + 1 < STARTS ? "," : "");
    }
    fprintf(to, "  },\n  ");
    json_number(to, "restore_over_floor", over_floor(results));
    fprintf(to, ",\n  ");
    json_number(to, "snapshot_kib", results->snapshot_kib);
    fprintf(to, "\n}\n");
    if (fclose(to))
        die("%s", path);
}

/* ---- The plot ------------------------------------------------------------ */

void snapshots_plot_data(const char *path,
                         const struct snapshot_results *results)
{
    FILE *to = fopen(path, "we");

    if (!to)
        die("%s", path);
    plot_distribution(to, "reset + call", &results->resets[RESET_0].us);
    plot_distribution(to, "native process", &results->starts_us[START_NATIVE]);
    plot_distribution(to, "clone, 10 pages", &results->clones[CLONE_10].us);
    plot_distribution(to, "KVM floor", &results->starts_us[START_FLOOR]);
    plot_distribution(to, "restore", &results->starts_us[START_RESTORE]);
    plot_distribution(to, "cold start", &results->starts_us[START_COLD]);
    if (fclose(to))
        die("%s", path);
}
