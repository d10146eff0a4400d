/* SPDX-License-Identifier: MIT */
/* What was measured of the devices, as JSON and as data for the plots. */
#include "tests/bench/io.h"

#include <math.h>
#include <string.h>

const char *const io_mode_names[IO_MODES] = {"host",   "auto",     "inline",
                                             "thread", "sleeping", "mmio"};
const char *const io_mode_titles[IO_MODES] = {"host process",    "mayfly",
                                              "--io inline",     "--io thread",
                                              "thread, no poll", "virtio-mmio"};
const char *const io_start_names[IO_STARTS] = {
    "none", "entropy", "balloon", "disk", "net-fd", "all-fd", "all-tap"};
const char *const io_start_titles[IO_STARTS] = {"no devices",
                                                "entropy",
                                                "balloon",
                                                "disk",
                                                "network, open tap",
                                                "all, tap open already",
                                                "all, opening the tap"};
const char *const io_metric_names[IO_METRICS] = {
    [IO_MEDIAN_US] = "median_us",
    [IO_MIN_US] = "min_us",
    [IO_P99_US] = "p99_us",
    [IO_MEAN_US] = "mean_us",
    [IO_RATE] = "per_second",
    [IO_CPU_US] = "cpu_us",
    [IO_CLIENT_US] = "client_cpu_us",
    [IO_EXITS] = "exits_per_1000",
    [IO_HYPERCALLS] = "hypercalls_per_1000",
    [IO_UPCALLS] = "upcalls_per_1000",
    [IO_REQUESTS] = "requests",
    [IO_KICKS] = "kicks",
    [IO_BATCHES] = "batches",
    [IO_BATCH_MAX] = "batch_max",
    [IO_NOTIFICATIONS] = "notifications",
    [IO_SUPPRESSED] = "suppressed",
    [IO_HAD_THREAD] = "io_thread",
    [IO_SLEEPS] = "io_sleeps",
    [IO_SERVER_CPU] = "server_on_cpu",
    [IO_CLIENT_CPU] = "client_on_cpu",
    [IO_DONE] = "done",
    [IO_LOST] = "lost",
    [IO_UNDELIVERED] = "undelivered",
};

static FILE *create(const char *directory, const char *name)
{
    char path[256];

    snprintf(path, sizeof(path), "%s%s", directory, name);
    FILE *file = fopen(path, "we");
    if (!file)
        die("cannot write %s", path);
    return file;
}

static void finish(FILE *file)
{
    if (fclose(file))
        die("cannot write the figures");
}

/* ---- JSON ---------------------------------------------------------- */

static void put_number(FILE *to, double value)
{
    if (isnan(value))
        fprintf(to, "null");
    else
        fprintf(to, "%.10g", value);
}

static void put_samples(FILE *to, const char *name,
                        const struct samples *samples)
{
    fprintf(to, "\"%s\": [", name);
    for (unsigned i = 0; i < samples->count; i++) {
        fprintf(to, "%s", i ? ", " : "");
        put_number(to, samples->values[i]);
    }
    fputc(']', to);
}

static void put_mode(FILE *to, const struct io_load *load, unsigned mode)
{
    const char *comma = "\n        ";

    for (unsigned i = 0; i < IO_METRICS; i++) {
        if (!load->samples[mode][i].count)
            continue;
        fprintf(to, "%s", comma);
        put_samples(to, io_metric_names[i], &load->samples[mode][i]);
        comma = ",\n        ";
    }
}

static void put_load(FILE *to, const struct io_load *load)
{
    const char *comma = "";

    fprintf(to,
            "    \"%s\": {\n      \"bytes\": %u, \"depth\": %u, \"count\": %u,"
            "\n      \"modes\": {",
            load->name, load->bytes, load->depth, load->count);
    for (unsigned mode = 0; mode < IO_MODES; mode++) {
        if (!load->samples[mode][IO_CPU_US].count)
            continue;
        fprintf(to, "%s\n      \"%s\": {", comma, io_mode_names[mode]);
        put_mode(to, load, mode);
        fprintf(to, "}");
        comma = ",";
    }
    fprintf(to, "}}");
}

static void put_targets(FILE *to)
{
    struct io_target targets[IO_TARGETS_MAX];
    unsigned count = io_targets(targets);

    fprintf(to, "  \"targets\": [");
    for (unsigned i = 0; i < count; i++) {
        fprintf(to, "%s\n    {\"figure\": \"%s\", \"value\": ", i ? "," : "",
                targets[i].figure);
        put_number(to, targets[i].value);
        fprintf(to, ", \"%s\": %.10g, \"unit\": \"%s\", \"met\": %s}",
                targets[i].at_least ? "at_least" : "at_most", targets[i].limit,
                targets[i].unit, io_target_met(&targets[i]) ? "true" : "false");
    }
    fprintf(to, "\n  ],\n");
}

static void put_starts(FILE *to)
{
    fprintf(to, "  \"bring_up\": {");
    for (unsigned i = 0; i < IO_STARTS; i++) {
        fprintf(to, "%s\n    \"%s\": {\"exits\": ", i ? "," : "",
                io_start_names[i]);
        put_number(to, io_results.start_exits[i]);
        fprintf(to, ", ");
        put_samples(to, "exit_us", &io_results.exit_us[i]);
        fprintf(to, "}");
    }
    fprintf(to, "\n  },\n  ");
    put_samples(to, "open_disk_us", &io_results.open_disk_us);
    fprintf(to, ",\n  ");
    put_samples(to, "open_tap_us", &io_results.open_tap_us);
    fprintf(to, ",\n");
}

static void put_host(FILE *to)
{
    fprintf(to, "{\n");
    json_host(to);
    fprintf(to,
            "  \"rounds\": %u,\n  \"load_before\": %.2f,\n"
            "  \"net_skipped\": ",
            io_results.rounds, io_results.load);
    if (io_results.net_skipped)
        fprintf(to, "\"%s\",\n", io_results.net_skipped);
    else
        fprintf(to, "null,\n");
}

void io_report_json(const char *path)
{
    FILE *to = create(path, "");

    put_host(to);
    put_targets(to);
    fprintf(to, "  \"loads\": {\n");
    for (unsigned i = 0; i < IO_LOADS; i++) {
        put_load(to, &io_results.loads[i]);
        fprintf(to, "%s\n", i + 1 < IO_LOADS ? "," : "");
    }
    fprintf(to, "  },\n");
    put_starts(to);
    fprintf(to, "  \"device_text_bytes\": ");
    put_number(to, io_results.device_text_bytes);
    fprintf(to, ",\n  \"monitor_bytes_stripped\": %.0f\n}\n",
            io_results.monitor_bytes);
    finish(to);
}

/* ---- Plots --------------------------------------------------------- */

/* A line for gnuplot: a mode's title and one figure of several loads. */
static void put_bars(FILE *to, const unsigned *loads, unsigned count,
                     unsigned metric, double scale)
{
    for (unsigned mode = 0; mode < IO_MODES; mode++) {
        const struct samples *first =
            &io_results.loads[loads[0]].samples[mode][metric];

        if (!first->count)
            continue;
        fprintf(to, "\"%s\"", io_mode_titles[mode]);
        for (unsigned i = 0; i < count; i++) {
            double value = samples_median(
                &io_results.loads[loads[i]].samples[mode][metric]);

            if (isnan(value))
                fprintf(to, " ?");
            else
                fprintf(to, " %.3f", value * scale);
        }
        fputc('\n', to);
    }
    fprintf(to, "\n\n");
}

/* What its round trips were: the shortest, the median, one in a hundred. */
static void put_trips(FILE *to, unsigned load)
{
    for (unsigned mode = 0; mode < IO_MODES; mode++) {
        const struct samples *samples = io_results.loads[load].samples[mode];

        if (!samples[IO_MEDIAN_US].count)
            continue;
        fprintf(to, "\"%s\" %.3f %.3f %.3f %.3f %.3f\n", io_mode_titles[mode],
                samples_median(&samples[IO_MIN_US]),
                samples_percentile(&samples[IO_MEDIAN_US], 0),
                samples_median(&samples[IO_MEDIAN_US]),
                samples_percentile(&samples[IO_MEDIAN_US], 100),
                samples_median(&samples[IO_P99_US]));
    }
    fprintf(to, "\n\n");
}

void io_report_plot_data(const char *directory)
{
    static const unsigned latencies[] = {IO_READ_1, IO_WRITE_1};
    static const unsigned rates[] = {IO_READ_32, IO_WRITE_32};
    static const unsigned sequential[] = {IO_SEQUENTIAL_1, IO_SEQUENTIAL_4};
    FILE *disk = create(directory, "io-disk.dat");

    put_bars(disk, latencies, 2, IO_MEDIAN_US, 1);
    put_bars(disk, rates, 2, IO_RATE, 1e-3);
    put_bars(disk, sequential, 2, IO_RATE, 128.0 / (1 << 20));
    finish(disk);
    if (io_results.net_skipped)
        return;
    FILE *ping = create(directory, "io-ping.dat");
    put_trips(ping, IO_PING_BUSY);
    put_trips(ping, IO_PING_IDLE);
    finish(ping);
}
