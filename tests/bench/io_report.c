/* SPDX-License-Identifier: MIT */
/* What was measured of the devices, as tables, and what was aimed at. */
#include "tests/bench/io.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>

double io_median_difference(const struct samples *a, const struct samples *b)
{
    struct samples differences = {0};

    for (unsigned i = 0; i < a->count && i < b->count; i++)
        samples_add(&differences, a->values[i] - b->values[i]);
    double median = samples_median(&differences);
    free(differences.values);
    return median;
}

static const struct samples *get(unsigned load, unsigned mode, unsigned metric)
{
    return &io_results.loads[load].samples[mode][metric];
}

static double median_of(unsigned load, unsigned mode, unsigned metric)
{
    return samples_median(get(load, mode, metric));
}

/* What a mode adds to the time of the host process of the same round. */
static double added(unsigned load, unsigned mode, unsigned metric)
{
    return io_median_difference(get(load, mode, metric),
                                get(load, IO_HOST, metric));
}

static double rate_ratio(unsigned load, unsigned mode)
{
    return samples_median_ratio(get(load, mode, IO_RATE),
                                get(load, IO_HOST, IO_RATE));
}

static bool was_measured(const struct io_load *load, unsigned mode)
{
    return load->samples[mode][IO_CPU_US].count > 0;
}

/* ---- Targets ------------------------------------------------------- */

struct list {
    struct io_target *targets;
    unsigned count;
};

static void aim(struct list *list, const char *figure, double value,
                double limit, bool at_least, int decimals, const char *unit)
{
    struct io_target *target = &list->targets[list->count];

    if (isnan(value) || list->count == IO_TARGETS_MAX)
        return;
    snprintf(target->figure, sizeof(target->figure), "%s", figure);
    target->value = value;
    target->limit = limit;
    target->at_least = at_least;
    target->decimals = decimals;
    target->unit = unit;
    list->count++;
}

static void at_most(struct list *list, const char *figure, double value,
                    double limit, int decimals, const char *unit)
{
    aim(list, figure, value, limit, false, decimals, unit);
}

static void at_least(struct list *list, const char *figure, double value,
                     double limit)
{
    aim(list, figure, value, limit, true, 2, "x");
}

static void aim_at_disks(struct list *list)
{
    at_most(list, "4 KiB random read, depth 1: added, median",
            added(IO_READ_1, IO_AUTO, IO_MEDIAN_US), 5, 1, "us");
    at_most(list, "4 KiB random read, depth 1: added, mean",
            added(IO_READ_1, IO_AUTO, IO_MEAN_US), 5, 1, "us");
    at_least(list, "128 KiB sequential read, one at a time",
             rate_ratio(IO_SEQUENTIAL_1, IO_AUTO), 0.7);
    at_least(list, "128 KiB sequential read, 4 at once",
             rate_ratio(IO_SEQUENTIAL_4, IO_AUTO), 0.7);
    at_most(list, "exits per 1000 requests, 32 reads at once",
            median_of(IO_READ_32, IO_AUTO, IO_EXITS), 10, 2, "");
}

/* By all runs together: what became of them is no matter of chance. */
static double packets_lost(unsigned mode)
{
    double lost = io_results.net_skipped ? NAN : 0;

    for (unsigned load = IO_PING_BUSY; load < IO_LOADS; load++)
        for (unsigned i = 0; i < get(load, mode, IO_LOST)->count; i++)
            lost += get(load, mode, IO_LOST)->values[i];
    return lost;
}

static void aim_at_networks(struct list *list)
{
    at_most(list, "ping, busy: added, median",
            added(IO_PING_BUSY, IO_AUTO, IO_MEDIAN_US), 25, 1, "us");
    at_most(list, "ping, idle: added, median",
            added(IO_PING_IDLE, IO_AUTO, IO_MEDIAN_US), 75, 1, "us");
    at_least(list, "64-byte packets echoed, against a process",
             rate_ratio(IO_ECHO, IO_AUTO), 0.5);
    at_most(list, "packets lost that the tap delivered, all runs",
            packets_lost(IO_AUTO), 0, 0, "");
    at_most(list, "exits per 1000 packets, echoed",
            median_of(IO_ECHO, IO_AUTO, IO_EXITS), 5, 2, "");
    at_most(list, "upcalls per 1000 packets, computing guest",
            median_of(IO_COMPUTE, IO_AUTO, IO_UPCALLS), 50, 2, "");
}

static double start_exits(unsigned which)
{
    return io_results.start_exits[which] -
           io_results.start_exits[IO_START_NONE];
}

static double start_us(unsigned which)
{
    return io_median_difference(&io_results.exit_us[which],
                                &io_results.exit_us[IO_START_NONE]);
}

unsigned io_targets(struct io_target targets[IO_TARGETS_MAX])
{
    struct list list = {.targets = targets};

    aim_at_disks(&list);
    aim_at_networks(&list);
    at_most(&list, "exits to bring all devices up",
            start_exits(IO_START_ALL_TAP), 0, 0, "");
    at_most(&list, "bring-up of all devices, tap open already",
            start_us(IO_START_ALL_FD), 60, 0, "us");
    at_most(&list, "bring-up of all devices, opening the tap too",
            start_us(IO_START_ALL_TAP), 60, 0, "us");
    at_most(&list, "monitor, stripped", io_results.monitor_bytes / 1024, 200, 1,
            "KiB");
    return list.count;
}

bool io_target_met(const struct io_target *target)
{
    return target->at_least ? target->value >= target->limit
                            : target->value <= target->limit;
}

/* ---- Tables -------------------------------------------------------- */

static void put_host(FILE *to)
{
    time_t now = time(NULL);
    struct utsname kernel;
    char date[32];

    uname(&kernel);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
    fprintf(to,
            "\nDisks and networks: %s, Linux %s, %d CPUs\n"
            "%u rounds, not pinned, not real-time, load %.1f before; medians "
            "of the rounds;\nrates and what is added are medians of the "
            "differences and ratios in a round\n",
            date, kernel.release, get_nprocs(), io_results.rounds,
            io_results.load);
}

/* A number in a column, or a dash. */
static void put_cell(FILE *to, double value, int width, int decimals)
{
    if (isnan(value))
        fprintf(to, " %*s", width, "-");
    else
        fprintf(to, " %*.*f", width, decimals, value);
}

/* Where it ran: the pair of processors (server and client) most often seen. */
static void put_place(FILE *to, const struct io_load *load, unsigned mode)
{
    const struct samples *server = &load->samples[mode][IO_SERVER_CPU];
    const struct samples *client = &load->samples[mode][IO_CLIENT_CPU];
    unsigned most = 0, best = 0;

    for (unsigned i = 0; i < server->count; i++) {
        unsigned same = 0;

        for (unsigned j = 0; j < server->count; j++)
            same += server->values[i] == server->values[j] &&
                    (!client->count || client->values[i] == client->values[j]);
        if (same > most) {
            most = same;
            best = i;
        }
    }
    if (client->count)
        fprintf(to, "  %.0f, %.0f", server->values[best], client->values[best]);
    else
        fprintf(to, "  %.0f", server->values[best]);
    fprintf(to, " (%u of %u)", most, server->count);
}

static void put_mode(FILE *to, unsigned index, unsigned mode)
{
    const struct io_load *load = &io_results.loads[index];
    double rate = median_of(index, mode, IO_RATE);
    bool host = mode == IO_HOST;

    fprintf(to, "  %-20s", io_mode_titles[mode]);
    put_cell(to, median_of(index, mode, IO_MEDIAN_US), 8, 1);
    put_cell(to, host ? NAN : added(index, mode, IO_MEDIAN_US), 7, 1);
    put_cell(to, median_of(index, mode, IO_P99_US), 8, 1);
    put_cell(to, median_of(index, mode, IO_MEAN_US), 7, 2);
    put_cell(to, host ? NAN : added(index, mode, IO_MEAN_US), 7, 2);
    put_cell(to, rate / 1e3, 7, 1);
    put_cell(to, rate * load->bytes / (1 << 20), 7, 0);
    put_cell(to, host ? NAN : rate_ratio(index, mode), 6, 2);
    put_cell(to, median_of(index, mode, IO_CPU_US), 7, 2);
    put_cell(to, median_of(index, mode, IO_CLIENT_US), 7, 2);
    put_place(to, load, mode);
    fputc('\n', to);
}

static void put_load(FILE *to, unsigned index)
{
    const struct io_load *load = &io_results.loads[index];

    fprintf(to, "\n%s (%u %ss a run)\n", load->title, load->count, load->unit);
    fprintf(to, "  %-20s %8s %7s %8s %7s %7s %7s %7s %6s %7s %7s  %s\n", "",
            "median", "added", "p99", "mean", "added", "1000/s", "MiB/s",
            "x host", "CPU us", "client", "on CPU");
    for (unsigned mode = 0; mode < IO_MODES; mode++)
        if (was_measured(load, mode))
            put_mode(to, index, mode);
}

/* A count of the device, by 1000 requests. */
static void put_count(FILE *to, unsigned index, unsigned mode, unsigned metric)
{
    put_cell(to,
             median_of(index, mode, metric) * 1000 /
                 median_of(index, mode, IO_DONE),
             8, 1);
}

static void put_counts_of_mode(FILE *to, unsigned index, unsigned mode)
{
    double requests = median_of(index, mode, IO_REQUESTS);
    double kicks = median_of(index, mode, IO_KICKS);
    double batches = median_of(index, mode, IO_BATCHES);

    fprintf(to, "  %-20s", io_mode_titles[mode]);
    put_cell(to, median_of(index, mode, IO_EXITS), 8, 1);
    put_cell(to, median_of(index, mode, IO_HYPERCALLS), 8, 1);
    put_cell(to, median_of(index, mode, IO_UPCALLS), 8, 1);
    put_count(to, index, mode, IO_REQUESTS);
    put_count(to, index, mode, IO_KICKS);
    put_cell(to, (requests - kicks) * 1000 / median_of(index, mode, IO_DONE), 8,
             1);
    put_count(to, index, mode, IO_NOTIFICATIONS);
    put_count(to, index, mode, IO_SUPPRESSED);
    put_cell(to, batches > 0 ? requests / batches : NAN, 6, 1);
    put_cell(to, median_of(index, mode, IO_BATCH_MAX), 5, 0);
    fprintf(to, "  %s\n",
            median_of(index, mode, IO_HAD_THREAD) > 0 ? "thread" : "inline");
}

static void put_counts(FILE *to)
{
    fprintf(to,
            "\nCounts per 1000 requests, pings or packets\n"
            "  %-20s %8s %8s %8s %8s %8s %8s %8s %8s %6s %5s  %s\n",
            "", "exits", "of guest", "upcalls", "requests", "kicks", "saved",
            "notified", "saved", "batch", "max", "by");
    for (unsigned i = 0; i < IO_LOADS; i++) {
        const struct io_load *load = &io_results.loads[i];

        if (!was_measured(load, IO_AUTO))
            continue;
        fprintf(to, "%s\n", load->title);
        for (unsigned mode = IO_AUTO; mode < IO_MODES; mode++)
            if (was_measured(load, mode))
                put_counts_of_mode(to, i, mode);
    }
}

/* Runs in which packets were lost, which spoils their other figures. */
static void put_losses(FILE *to)
{
    for (unsigned i = IO_PING_BUSY; i < IO_LOADS; i++)
        for (unsigned mode = 0; mode < IO_MODES; mode++) {
            const struct samples *lost = get(i, mode, IO_LOST);
            const struct samples *dropped = get(i, mode, IO_UNDELIVERED);

            for (unsigned j = 0; j < lost->count; j++)
                if (lost->values[j] > 0 || dropped->values[j] > 0)
                    fprintf(to,
                            "%s, %s, round %u: %.0f lost, %.0f dropped "
                            "by the tap\n",
                            io_results.loads[i].name, io_mode_titles[mode],
                            j + 1, lost->values[j], dropped->values[j]);
        }
}

/* What moderation costs and saves: with it against without. */
static void put_moderation(FILE *to)
{
    unsigned mode = IO_AUTO;

    fprintf(to,
            "\nA computing guest, moderated (64 packets, 250 us) and not\n"
            "  upcalls per 1000 packets, 256 on their way %10.1f %10.1f\n"
            "  round trip, 256 on their way, us           %10.1f %10.1f\n"
            "  upcalls per 1000 packets, one by one       %10.1f %10.1f\n"
            "  round trip, one by one, us                 %10.1f %10.1f\n"
            "  added latency, one by one, us              %10.1f\n"
            "  the same against a guest that polls, us    %10.1f\n",
            median_of(IO_COMPUTE, mode, IO_UPCALLS),
            median_of(IO_PROMPT, mode, IO_UPCALLS),
            median_of(IO_COMPUTE, mode, IO_MEDIAN_US),
            median_of(IO_PROMPT, mode, IO_MEDIAN_US),
            median_of(IO_COMPUTE_ONE, mode, IO_UPCALLS),
            median_of(IO_PROMPT_ONE, mode, IO_UPCALLS),
            median_of(IO_COMPUTE_ONE, mode, IO_MEDIAN_US),
            median_of(IO_PROMPT_ONE, mode, IO_MEDIAN_US),
            io_median_difference(get(IO_COMPUTE_ONE, mode, IO_MEDIAN_US),
                                 get(IO_PROMPT_ONE, mode, IO_MEDIAN_US)),
            io_median_difference(get(IO_COMPUTE_ONE, mode, IO_MEDIAN_US),
                                 get(IO_ECHO_ONE, mode, IO_MEDIAN_US)));
}

static void put_starts(FILE *to)
{
    fprintf(to,
            "\nBring-up, a guest that ends at once (%u rounds)\n"
            "  %-28s %8s %8s %8s\n",
            io_results.start_rounds, "", "exit us", "added", "exits");
    for (unsigned i = 0; i < IO_STARTS; i++) {
        if (!io_results.exit_us[i].count)
            continue;
        fprintf(to, "  %-28s", io_start_titles[i]);
        put_cell(to, samples_median(&io_results.exit_us[i]), 8, 0);
        put_cell(to, i == IO_START_NONE ? NAN : start_us(i), 8, 0);
        put_cell(to, io_results.start_exits[i], 8, 0);
        fputc('\n', to);
    }
    fprintf(to,
            "  within that, of the host: opening, locking and closing the "
            "disk %.1f us",
            samples_median(&io_results.open_disk_us));
    if (io_results.open_tap_us.count)
        fprintf(to, ",\n  opening and closing a tap %.1f us",
                samples_median(&io_results.open_tap_us));
    fprintf(to, "\n\nCode of the devices, rings and transports %.1f KiB\n",
            io_results.device_text_bytes / 1024);
}

static unsigned put_targets(FILE *to)
{
    struct io_target targets[IO_TARGETS_MAX];
    unsigned count = io_targets(targets), missed = 0;

    fprintf(to, "\n%-46s %8s %4s %8s\n", "Targets", "measured", "", "target");
    for (unsigned i = 0; i < count; i++) {
        const struct io_target *target = &targets[i];
        missed += put_target(to, target->figure, target->value,
                             target->at_least ? ">=" : "<=", target->limit,
                             target->decimals, target->unit);
    }
    return missed;
}

unsigned io_report_text(FILE *to)
{
    put_host(to);
    for (unsigned i = 0; i < IO_LOADS; i++)
        if (was_measured(&io_results.loads[i], IO_AUTO))
            put_load(to, i);
    put_counts(to);
    if (io_results.net_skipped) {
        fprintf(to, "\nNetworks: skipped: %s\n", io_results.net_skipped);
    } else {
        put_moderation(to);
        put_losses(to);
    }
    put_starts(to);
    return put_targets(to);
}
