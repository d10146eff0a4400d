/* SPDX-License-Identifier: MIT */
/* What a server counts, as Prometheus reads it. */
#include "vmm/server/metrics.h"

#include <stdarg.h>
#include <stdio.h>

#include "vmm/mayfly.h"

/* ---- Counting ----------------------------------------------------------- */

void metrics_connection_accepted(struct metrics *metrics)
{
    metrics->accepted++;
}

void metrics_connection_ended(struct metrics *metrics,
                              const struct connection_record *record)
{
    if (record->end < CONNECTION_END_COUNT)
        metrics->ends[record->end]++;
    if (record->status >= METRICS_ANSWER_FIRST &&
        record->status - METRICS_ANSWER_FIRST < METRICS_ANSWER_COUNT)
        metrics->answers[record->status - METRICS_ANSWER_FIRST]++;
    metrics->in_bytes += record->in_bytes;
    metrics->out_bytes += record->out_bytes;
    metrics->exits += record->exits;
    histogram_add(&metrics->total, record->total_ns);
    if (record->queue_ns || record->vm_ns)
        histogram_add(&metrics->queue, record->queue_ns);
    if (record->vm_ns)
        histogram_add(&metrics->vm, record->vm_ns);
}

void metrics_vm_reset(struct metrics *metrics, uint64_t pages, uint64_t ns)
{
    if (ns == 0)
        return;
    metrics->resets++;
    metrics->reset_pages += pages;
    metrics->reset_ns += ns;
}

void metrics_count(struct metrics *metrics, enum metrics_event event)
{
    metrics->events[event]++;
}

/* ---- Text --------------------------------------------------------------- */

struct text {
    char *start;
    size_t used;
};

__attribute__((__format__(__printf__, 2, 3))) static void
put(struct text *text, const char *format, ...)
{
    size_t room = METRICS_TEXT_BYTES - text->used;
    va_list args;

    va_start(args, format);
    int length = vsnprintf(text->start + text->used, room, format, args);
    va_end(args);
    if (length > 0 && (size_t)length < room)
        text->used += (size_t)length;
}

#define NAME(of) "mayfly_serve_" of

static void put_family(struct text *text, const char *name, const char *type,
                       const char *help)
{
    put(text, "# HELP " NAME("%s") " %s\n# TYPE " NAME("%s") " %s\n", name,
        help, name, type);
}

static void put_value(struct text *text, const char *name, const char *label,
                      const char *word, uint64_t value)
{
    put(text, NAME("%s") "{%s=\"%s\"} %llu\n", name, label, word,
        (unsigned long long)value);
}

static void put_one(struct text *text, const char *name, const char *type,
                    const char *help, uint64_t value)
{
    put_family(text, name, type, help);
    put(text, NAME("%s") " %llu\n", name, (unsigned long long)value);
}

static void put_seconds(struct text *text, const char *name, uint64_t ns)
{
    put(text, NAME("%s") " %llu.%09llu\n", name,
        (unsigned long long)(ns / 1000000000),
        (unsigned long long)(ns % 1000000000));
}

static void put_histogram(struct text *text, const char *name, const char *help,
                          const struct histogram *histogram)
{
    unsigned long long count = 0;
    char sum[64];

    put_family(text, name, "histogram", help);
    for (unsigned i = 0; i < HISTOGRAM_BOUNDS; i++) {
        count += histogram->counts[i];
        put(text, NAME("%s_bucket") "{le=\"%g\"} %llu\n", name,
            (double)histogram_bounds_ns[i] / 1e9, count);
    }
    count += histogram->counts[HISTOGRAM_BOUNDS];
    put(text, NAME("%s_bucket") "{le=\"+Inf\"} %llu\n", name, count);
    snprintf(sum, sizeof(sum), "%s_sum", name);
    put_seconds(text, sum, histogram->sum_ns);
    put(text, NAME("%s_count") " %llu\n", name, count);
}

/* ---- Families ----------------------------------------------------------- */

static void put_connections(struct text *text, const struct metrics *metrics,
                            const struct metrics_gauges *gauges)
{
    static const char *const states[METRICS_CONNECTIONS_COUNT] = {
        [METRICS_WAITING] = "waiting",
        [METRICS_QUEUED] = "queued",
        [METRICS_SERVED] = "served",
        [METRICS_CLOSING] = "closing",
    };

    put_one(text, "accepted_connections_total", "counter",
            "Connections that were accepted.", metrics->accepted);
    put_family(text, "connections_total", "counter",
               "Connections that are over, by how they ended.");
    for (unsigned i = 0; i < CONNECTION_END_COUNT; i++)
        put_value(text, "connections_total", "end",
                  connection_end_name((enum connection_end)i),
                  metrics->ends[i]);
    put_family(text, "open_connections", "gauge",
               "Connections that there are now, by state.");
    for (unsigned i = 0; i < METRICS_CONNECTIONS_COUNT; i++)
        put_value(text, "open_connections", "state", states[i],
                  gauges->connections[i]);
    put_family(text, "error_responses_total", "counter",
               "Answers that the server gave in place of a VM.");
    for (unsigned i = 0; i < METRICS_ANSWER_COUNT; i++) {
        char code[8];

        snprintf(code, sizeof(code), "%u", METRICS_ANSWER_FIRST + i);
        put_value(text, "error_responses_total", "code", code,
                  metrics->answers[i]);
    }
    put_one(text, "received_bytes_total", "counter",
            "Bytes that VMs took from clients.", metrics->in_bytes);
    put_one(text, "sent_bytes_total", "counter",
            "Bytes that VMs gave to clients.", metrics->out_bytes);
    put_one(text, "access_log_lost_lines_total", "counter",
            "Lines that the access log did not take.", gauges->log_lost);
}

static void put_times(struct text *text, const struct metrics *metrics)
{
    put_histogram(text, "connection_duration_seconds",
                  "From accepting a connection to its end.", &metrics->total);
    put_histogram(text, "queue_duration_seconds",
                  "From when a connection could be served to its VM.",
                  &metrics->queue);
    put_histogram(text, "vm_duration_seconds",
                  "What a connection took in its VM.", &metrics->vm);
}

static void put_vms(struct text *text, const struct metrics *metrics)
{
    put_family(text, "starts_total", "counter",
               "VMs started: cold is booted, warm is restored.");
    put_value(text, "starts_total", "kind", "cold",
              metrics->events[METRICS_COLD_START]);
    put_value(text, "starts_total", "kind", "warm",
              metrics->events[METRICS_WARM_START]);
    put_one(text, "cold_start_failures_total", "counter",
            "Images that did not come up to their snapshot.",
            metrics->events[METRICS_COLD_START_FAILED]);
    put_one(text, "resets_total", "counter", "Times that a VM was reset.",
            metrics->resets);
    put_one(text, "reset_pages_total", "counter",
            "Pages that resets copied back.", metrics->reset_pages);
    put_family(text, "reset_seconds_total", "counter",
               "Time that resets took.");
    put_seconds(text, "reset_seconds_total", metrics->reset_ns);
    put_one(text, "exits_total", "counter",
            "Exits of VMs to the monitor while they served.", metrics->exits);
}

static void put_workers(struct text *text, const struct metrics *metrics,
                        const struct metrics_gauges *gauges)
{
    static const char *const states[METRICS_WORKERS_COUNT] = {
        [METRICS_STARTING] = "starting",
        [METRICS_IDLE] = "idle",
        [METRICS_BUSY] = "busy",
        [METRICS_RETIRING] = "retiring",
    };

    put_family(text, "workers", "gauge",
               "Workers that there are now, by state.");
    for (unsigned i = 0; i < METRICS_WORKERS_COUNT; i++)
        put_value(text, "workers", "state", states[i], gauges->workers[i]);
    put_one(text, "worker_deaths_total", "counter",
            "Workers that ended when they should not have, or were killed.",
            metrics->events[METRICS_WORKER_DEATH]);
    put_one(text, "reloads_total", "counter",
            "Reloads after which the new image serves.",
            metrics->events[METRICS_RELOAD]);
    put_one(text, "reload_failures_total", "counter",
            "Reloads after which the old image goes on.",
            metrics->events[METRICS_RELOAD_FAILED]);
}

static void put_memory(struct text *text, const struct metrics_gauges *gauges)
{
    const struct memory_use *use = &gauges->workers_use;

    put_family(text, "worker_memory_bytes", "gauge",
               "Memory of all workers; what is shared counts once.");
    put_value(text, "worker_memory_bytes", "kind", "anonymous", use->anonymous);
    put_value(text, "worker_memory_bytes", "kind", "shmem", use->shmem);
    put_value(text, "worker_memory_bytes", "kind", "file", use->file);
    put_one(text, "worker_private_memory_bytes", "gauge",
            "Memory that one worker alone maps, of all of them.", use->private);
    put_one(text, "worker_shared_memory_bytes", "gauge",
            "Memory that others map, too, counted for each worker.",
            use->shared);
    put_one(text, "snapshot_bytes", "gauge",
            "Size of the snapshot that is served from.",
            gauges->snapshot_bytes);
    put_one(text, "supervisor_memory_bytes", "gauge",
            "Proportional memory of the process that accepts connections.",
            gauges->own_use.anonymous + gauges->own_use.shmem +
                gauges->own_use.file);
}

size_t metrics_write(const struct metrics *metrics,
                     const struct metrics_gauges *gauges, char *to)
{
    struct text text = {.start = to};

    put_family(&text, "build_info", "gauge", "The version that runs.");
    put_value(&text, "build_info", "version", MAYFLY_VERSION, 1);
    put_connections(&text, metrics, gauges);
    put_times(&text, metrics);
    put_vms(&text, metrics);
    put_workers(&text, metrics, gauges);
    put_memory(&text, gauges);
    return text.used;
}
