/* SPDX-License-Identifier: MIT */
/* What was measured, as tables, as JSON and as data for the plots. */
#include "tests/bench/bench.h"

#include <math.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static const char *const case_names[CASES] = {"alive", "cold"};
static const char *const case_titles[CASES] = {
    "Start latency, another VM alive",
    "Start latency, no VM alive",
};

/* ---- The host ------------------------------------------------------ */

static const char *backend(void)
{
    return !access("/sys/module/kvm_pvm", F_OK)     ? "kvm_pvm (software)"
           : !access("/sys/module/kvm_intel", F_OK) ? "kvm_intel"
           : !access("/sys/module/kvm_amd", F_OK)   ? "kvm_amd"
                                                    : "unknown";
}

static void cpu_model(char model[64])
{
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[256];

    strcpy(model, "unknown");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "model name : %63[^\n]", model) == 1)
            break;
    if (file)
        fclose(file);
}

static void now_utc(char text[32])
{
    time_t now = time(NULL);

    strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
}

static void put_host(FILE *to, const struct results *results)
{
    struct utsname kernel;
    char model[64], date[32], pinned[32] = "not pinned";

    uname(&kernel);
    cpu_model(model);
    now_utc(date);
    if (results->cpu >= 0)
        snprintf(pinned, sizeof(pinned), "pinned to CPU %d", results->cpu);
    fprintf(to,
            "%s, Linux %s, %s, %d CPUs, %s\n"
            "%u rounds, %s, %s, load %.1f before\n",
            date, kernel.release, model, get_nprocs(), backend(),
            results->rounds, pinned,
            results->realtime ? "SCHED_FIFO" : "not real-time", results->load);
}

/* ---- Tables -------------------------------------------------------- */

/* A number in a column of eight, or a dash. */
static void put_cell(FILE *to, double value, int decimals)
{
    if (isnan(value))
        fprintf(to, " %8s", "-");
    else
        fprintf(to, " %8.*f", decimals, value);
}

static void put_percentiles(FILE *to, const struct samples *samples)
{
    put_cell(to, samples_percentile(samples, 10), 0);
    put_cell(to, samples_median(samples), 0);
    put_cell(to, samples_percentile(samples, 99), 0);
}

static double first_ratio(const struct results *results, unsigned i, int which)
{
    return samples_median_ratio(&results->competitors[i].first_us[which],
                                &results->competitors[FLOOR].first_us[which]);
}

static double exit_ratio(const struct results *results, unsigned i, int which)
{
    return samples_median_ratio(&results->competitors[i].exit_us[which],
                                &results->competitors[FLOOR].exit_us[which]);
}

static void put_latency(FILE *to, const struct results *results, int which)
{
    if (!results->competitors[FLOOR].exit_us[which].count) {
        fprintf(to, "\n%s: not measured, VMs of others were\n",
                case_titles[which]);
        return;
    }
    fprintf(to, "\n%-33s %19s us %23s us %13s\n", case_titles[which],
            "to first output,", "to exit,", "x floor");
    fprintf(to, "%-24s %8s %8s %8s %8s %8s %8s %6s %6s\n", "", "p10", "median",
            "p99", "p10", "median", "p99", "first", "exit");
    for (unsigned i = 0; i < COMPETITORS; i++) {
        const struct competitor *competitor = &results->competitors[i];

        fprintf(to, "%-24s", competitor->label);
        if (competitor->skipped) {
            fprintf(to, "  skipped: %s\n", competitor->skipped);
            continue;
        }
        put_percentiles(to, &competitor->first_us[which]);
        put_percentiles(to, &competitor->exit_us[which]);
        if (competitor->every)
            fprintf(to, "  (%u rounds)\n", competitor->exit_us[which].count);
        else if (i == BOOT)
            fprintf(to, " %6s %6.2f\n", "-", exit_ratio(results, i, which));
        else
            fprintf(to, " %6.2f %6.2f\n", first_ratio(results, i, which),
                    exit_ratio(results, i, which));
    }
}

static void put_counts(FILE *to, const struct results *results)
{
    fprintf(to, "\n%-24s %8s %8s %8s   %s\n", "Counts, by ptrace", "calls",
            "RSS KiB", "PSS KiB", "at the end, started alone");
    for (unsigned i = 0; i < COMPETITORS; i++) {
        const struct competitor *competitor = &results->competitors[i];

        if (!competitor->traced)
            continue;
        fprintf(to, "%-24s %8u %8.0f %8.0f\n", competitor->label,
                competitor->trace.calls, competitor->trace.rss_kib,
                competitor->trace.pss_kib);
    }
    const struct trace *trace = &results->competitors[HELLO].trace;
    int column = fprintf(to, "mayfly hello calls:");
    for (unsigned i = 0; i < SYSCALLS_MAX; i++) {
        if (!trace->by_number[i])
            continue;
        if (column > 68)
            column = fprintf(to, "\n   ") - 1;
        column += fprintf(to, " %s", trace_name(i));
        if (trace->by_number[i] > 1)
            column += fprintf(to, " x%u", trace->by_number[i]);
    }
    fprintf(to, "\nmayfly hello touches %.0f pages of guest memory\n",
            results->hello_pages);
}

static void put_stages(FILE *to, const struct results *results)
{
    fprintf(to, "\nWhere the time of hello goes, us (medians)\n");
    for (unsigned i = 0; i < results->stage_count; i++)
        fprintf(to, "%s%-12s %6.0f",
                i % 4 ? "   "
                : i   ? "\n"
                      : "",
                results->stages[i].name,
                samples_median(&results->stages[i].took_us));
    fputc('\n', to);
}

static void put_pair(FILE *to, const char *what, const struct pair *pair,
                     int decimals)
{
    fprintf(to, "%-36s %10.*f %10.*f\n", what, decimals, pair->guest, decimals,
            pair->native);
}

static void put_rest(FILE *to, const struct results *results)
{
    const struct fleet *fleet = &results->fleet;

    fprintf(to, "\n%-36s %10s %10s\n", "In a guest and on Linux (musl)",
            "guest", "Linux");
    put_pair(to, "getppid(), ns", &results->getppid_ns, 2);
    put_pair(to, "syscall(SYS_getppid), ns", &results->getppid_raw_ns, 2);
    put_pair(to, "clock_gettime(), ns", &results->clock_ns, 1);
    put_pair(to, "1 GiB through a pipe, MiB/s", &results->pipe_mib_s, 0);
    fprintf(to, "  exits per MiB written %22.2f\n",
            results->pipe_exits_per_mib);

    fprintf(to,
            "\n%u VMs alive at once in %u processes\n"
            "  started, each having printed  %8.0f a second\n"
            "  PSS of one                    %8.1f KiB (%.0f KiB if alone)\n"
            "  host memory for one           %8.1f KiB (MemAvailable)\n"
            "  processor time in %.1f s       %8.1f us, all together\n"
            "  stopped and reaped in         %8.2f s, %d left\n",
            fleet->count, fleet->count, fleet->starts_per_s, fleet->pss_kib,
            fleet->alone_pss_kib, fleet->host_kib, fleet->idle_seconds,
            fleet->idle_cpu_us, fleet->stop_seconds,
            fleet->vms_left > 0 ? fleet->vms_left : 0);
}

/* ---- Targets ------------------------------------------------------- */

static unsigned put_most(FILE *to, const char *figure, double value,
                         int decimals, double most, const char *unit)
{
    return put_target(to, figure, value, "<=", most, decimals, unit);
}

static unsigned put_targets(FILE *to, const struct results *results)
{
    const struct trace *hello = &results->competitors[HELLO].trace;
    const struct fleet *fleet = &results->fleet;
    unsigned missed = 0;

    fprintf(to, "\n%-46s %8s %4s %8s\n", "Targets", "measured", "", "target");
    missed += put_most(to, "hello to first output, another VM alive",
                       first_ratio(results, HELLO, ALIVE), 2, 1.4, "x");
    missed += put_most(to, "hello to exit, another VM alive",
                       exit_ratio(results, HELLO, ALIVE), 2, 1.25, "x");
    if (results->competitors[FLOOR].exit_us[COLD].count)
        fprintf(to, "%-46s %8.2f %21s\n%-46s %8.2f %21s\n",
                "hello to first output, none alive",
                first_ratio(results, HELLO, COLD), "x    no target",
                "hello to exit, none alive", exit_ratio(results, HELLO, COLD),
                "x    no target");
    missed += put_most(to, "exits to user space, hello", results->hello_exits,
                       0, 1, "");
    missed += put_most(to, "exits to user space, boot", results->boot_exits, 0,
                       1, "");
    missed += put_most(to, "system calls of the monitor, hello", hello->calls,
                       0, 40, "");
    missed += put_most(to, "peak RSS of the monitor, hello", hello->rss_kib, 0,
                       768, "KiB");
    missed += put_most(to, "PSS of the monitor, one of many", fleet->pss_kib, 0,
                       128, "KiB");
    missed += put_most(to, "monitor, stripped", results->monitor_bytes / 1024,
                       1, 128, "KiB");
    missed += put_most(to, "hello image, stripped", results->hello_bytes / 1024,
                       1, 48, "KiB");
    missed +=
        put_target(to, "VMs alive at once", fleet->count, ">=", 1000, 0, "");
    missed += put_most(to, "processor time of all of them while idle",
                       fleet->idle_cpu_us, 0, 0, "us");
    return missed;
}

unsigned report_text(FILE *to, const struct results *results)
{
    put_host(to, results);
    for (int which = 0; which < CASES; which++)
        put_latency(to, results, which);
    put_counts(to, results);
    put_stages(to, results);
    put_rest(to, results);
    return put_targets(to, results);
}

/* ---- Plots --------------------------------------------------------- */

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
        die("cannot write the plots' data");
}

/* A block for gnuplot's `index`: a competitor's times in ascending order. It is
 * there without times as well, so that a block's number says whose it is. */
static void put_distribution(FILE *to, const char *label,
                             const struct samples *samples)
{
    fprintf(to, "\"%s\"\n", label);
    for (int permille = 0; permille <= 1000; permille += 5)
        fprintf(to, "%.1f %.1f\n", samples_percentile(samples, permille / 10.0),
                permille / 10.0);
    fprintf(to, "\n\n");
}

void report_plot_data(const char *directory, const struct results *results)
{
    FILE *first = create(directory, "first-output.dat");
    FILE *exits = create(directory, "exit.dat");
    FILE *stages = create(directory, "timeline.dat");
    double at = 0;

    for (unsigned i = 0; i < COMPETITORS; i++) {
        const struct competitor *competitor = &results->competitors[i];

        put_distribution(first, competitor->label,
                         &competitor->first_us[ALIVE]);
        put_distribution(exits, competitor->label, &competitor->exit_us[ALIVE]);
    }
    for (unsigned i = 0; i < results->stage_count; i++) {
        double took = samples_median(&results->stages[i].took_us);

        fprintf(stages, "%s %.1f %.1f\n", results->stages[i].name, at, took);
        at += took;
    }
    finish(first);
    finish(exits);
    finish(stages);
}

/* ---- JSON ---------------------------------------------------------- */

static void json_case(FILE *to, const struct results *results, unsigned i,
                      int which)
{
    const struct competitor *competitor = &results->competitors[i];

    fprintf(to, ",\n      \"%s\": {\n        ", case_names[which]);
    json_samples(to, "first_output_us", &competitor->first_us[which]);
    fprintf(to, ",\n        ");
    json_samples(to, "exit_us", &competitor->exit_us[which]);
    if (!competitor->every) {
        fprintf(to, ",\n        ");
        json_number(to, "first_output_ratio",
                    i == BOOT ? NAN : first_ratio(results, i, which));
        fprintf(to, ", ");
        json_number(to, "exit_ratio", exit_ratio(results, i, which));
    }
    fprintf(to, "}");
}

static void json_trace(FILE *to, const struct trace *trace)
{
    const char *comma = "";

    fprintf(to,
            ",\n      \"system_calls\": %u, \"rss_kib\": %.0f,"
            " \"pss_kib\": %.0f, \"hwm_kib\": %.0f,\n"
            "      \"system_calls_by_name\": {",
            trace->calls, trace->rss_kib, trace->pss_kib, trace->hwm_kib);
    for (unsigned i = 0; i < SYSCALLS_MAX; i++) {
        if (!trace->by_number[i])
            continue;
        fprintf(to, "%s\"%s\": %u", comma, trace_name(i), trace->by_number[i]);
        comma = ", ";
    }
    fputc('}', to);
}

static void json_competitors(FILE *to, const struct results *results)
{
    fprintf(to, "  \"competitors\": {");
    for (unsigned i = 0; i < COMPETITORS; i++) {
        const struct competitor *competitor = &results->competitors[i];

        fprintf(to, "%s\n    \"%s\": {\n      \"skipped\": ", i ? "," : "",
                competitor->name);
        if (competitor->skipped)
            fprintf(to, "\"%s\"", competitor->skipped);
        else
            fprintf(to, "null");
        for (int which = 0; which < CASES; which++)
            json_case(to, results, i, which);
        if (competitor->traced)
            json_trace(to, &competitor->trace);
        fprintf(to, "}");
    }
    fprintf(to, "\n  },\n");
}

static void json_setting(FILE *to, const struct results *results)
{
    struct utsname kernel;
    char model[64], date[32];

    uname(&kernel);
    cpu_model(model);
    now_utc(date);
    fprintf(to,
            "  \"host\": {\"date\": \"%s\", \"kernel\": \"%s\","
            " \"cpu\": \"%s\", \"cpus\": %d, \"backend\": \"%s\"},\n"
            "  \"rounds\": %u,\n  \"pinned_cpu\": %d,\n  \"realtime\": %s,\n"
            "  \"load_before\": %.2f,\n"
            "  \"cold_rounds_put_off\": %u,\n",
            date, kernel.release, model, get_nprocs(), backend(),
            results->rounds, results->cpu, results->realtime ? "true" : "false",
            results->load, results->disturbed);
}

static void json_pair(FILE *to, const char *key, const struct pair *pair)
{
    fprintf(to, "  \"%s\": {\"guest\": %.10g, \"native\": %.10g},\n", key,
            pair->guest, pair->native);
}

void report_json(const char *path, const struct results *results)
{
    const struct fleet *fleet = &results->fleet;
    FILE *to = create(path, "");

    fprintf(to, "{\n  \"schema\": 1,\n");
    json_setting(to, results);
    json_competitors(to, results);
    fprintf(to, "  \"stages_us\": {");
    for (unsigned i = 0; i < results->stage_count; i++) {
        fprintf(to, "%s\n    ", i ? "," : "");
        json_samples(to, results->stages[i].name, &results->stages[i].took_us);
    }
    fprintf(to, "\n  },\n");
    json_pair(to, "getppid_ns", &results->getppid_ns);
    json_pair(to, "syscall_getppid_ns", &results->getppid_raw_ns);
    json_pair(to, "clock_gettime_ns", &results->clock_ns);
    json_pair(to, "pipe_mib_s", &results->pipe_mib_s);
    fprintf(to,
            "  \"pipe_exits_per_mib\": %.10g,\n"
            "  \"hello\": {\"exits\": %.0f, \"guest_pages\": %.0f,"
            " \"monitor_calls\": %.0f},\n"
            "  \"boot\": {\"exits\": %.0f},\n"
            "  \"bytes_stripped\": {\"mayfly\": %.0f, \"hello\": %.0f},\n",
            results->pipe_exits_per_mib, results->hello_exits,
            results->hello_pages, results->hello_monitor_calls,
            results->boot_exits, results->monitor_bytes, results->hello_bytes);
    fprintf(to,
            "  \"fleet\": {\"vms\": %u, \"starts_per_s\": %.10g,"
            " \"pss_kib\": %.10g, \"alone_pss_kib\": %.10g,\n"
            "    \"host_kib\": %.10g, \"idle_seconds\": %.10g,"
            " \"idle_cpu_us\": %.10g, \"stop_seconds\": %.10g,"
            " \"vms_left\": %d}\n}\n",
            fleet->count, fleet->starts_per_s, fleet->pss_kib,
            fleet->alone_pss_kib, fleet->host_kib, fleet->idle_seconds,
            fleet->idle_cpu_us, fleet->stop_seconds, fleet->vms_left);
    finish(to);
}
