/* SPDX-License-Identifier: MIT */
/* What a run has to say afterwards: summary, statistics, timeline, crash. */
#include "vmm/cli.h"

#include <stddef.h>
#include <string.h>

#define STATS_SCHEMA 1

/* ---- Statistics --------------------------------------------------------- */

static double milliseconds(uint64_t from_ns, uint64_t to_ns)
{
    return to_ns > from_ns ? (double)(to_ns - from_ns) / 1e6 : 0;
}

void report_summary(FILE *to, const struct cli_run *run)
{
    const struct mayfly_stats *stats = &run->stats;

    fprintf(
        to,
        "mayfly: %.2f ms, %llu exit%s, %llu system calls, %llu KiB of guest "
        "memory touched, %ld KiB peak\n",
        milliseconds(run->start_ns, stats->stage_ns[MAYFLY_STAGE_END]),
        (unsigned long long)stats->exits, stats->exits == 1 ? "" : "s",
        (unsigned long long)stats->monitor_calls,
        (unsigned long long)stats->mem_touched_bytes >> 10, run->peak_rss_kib);
}

static void put_json_string(FILE *to, const char *text)
{
    char escaped[CLI_ESCAPED_BYTES] = {0};

    fputc('"', to);
    for (; *text; text++)
        fwrite(escaped, 1, cli_escape_json((unsigned char)*text, escaped), to);
    fputc('"', to);
}

static void put_count(FILE *to, const char *name, uint64_t count)
{
    fprintf(to, "  \"%s\": %llu,\n", name, (unsigned long long)count);
}

static const char *end_name(enum mayfly_end end)
{
    switch (end) {
    case MAYFLY_EXITED:
        return "exited";
    case MAYFLY_CRASHED:
        return "crashed";
    case MAYFLY_TIMED_OUT:
        return "timed-out";
    case MAYFLY_STOPPED:
        return "stopped";
    case MAYFLY_OUTPUT_CLOSED:
        return "output-closed";
    case MAYFLY_OUTPUT_FAILED:
        return "output-failed";
    case MAYFLY_AT_SNAPSHOT:
        return "snapshot";
    case MAYFLY_AT_CALL:
        return "call";
    case MAYFLY_SERVED:
        return "served";
    }
    return "unknown";
}

/* A counter of a structure of counters, by its name. */
struct counter {
    const char *name;
    size_t offset;
};

static const struct counter disk_counters[] = {
    {"requests", offsetof(struct mayfly_disk_stats, requests)},
    {"read_bytes", offsetof(struct mayfly_disk_stats, read_bytes)},
    {"written_bytes", offsetof(struct mayfly_disk_stats, written_bytes)},
    {"flushes", offsetof(struct mayfly_disk_stats, flushes)},
    {"errors", offsetof(struct mayfly_disk_stats, errors)},
    {NULL, 0},
};

static const struct counter net_counters[] = {
    {"rx_frames", offsetof(struct mayfly_net_stats, rx_frames)},
    {"rx_bytes", offsetof(struct mayfly_net_stats, rx_bytes)},
    {"rx_dropped", offsetof(struct mayfly_net_stats, rx_dropped)},
    {"tx_frames", offsetof(struct mayfly_net_stats, tx_frames)},
    {"tx_bytes", offsetof(struct mayfly_net_stats, tx_bytes)},
    {"tx_dropped", offsetof(struct mayfly_net_stats, tx_dropped)},
    {NULL, 0},
};

static const struct counter share_counters[] = {
    {"requests", offsetof(struct mayfly_share_stats, requests)},
    {"read_bytes", offsetof(struct mayfly_share_stats, read_bytes)},
    {"written_bytes", offsetof(struct mayfly_share_stats, written_bytes)},
    {"errors", offsetof(struct mayfly_share_stats, errors)},
    {NULL, 0},
};

static const struct counter stream_counters[] = {
    {"offered", offsetof(struct mayfly_stream_stats, offered)},
    {"opened", offsetof(struct mayfly_stream_stats, opened)},
    {"refused", offsetof(struct mayfly_stream_stats, refused)},
    {"resets", offsetof(struct mayfly_stream_stats, resets)},
    {"in_bytes", offsetof(struct mayfly_stream_stats, in_bytes)},
    {"out_bytes", offsetof(struct mayfly_stream_stats, out_bytes)},
    {NULL, 0},
};

/* One object with these counters, up to the one without a name. */
static void put_counters(FILE *to, const void *stats,
                         const struct counter *counter)
{
    for (const char *before = "{"; counter->name; counter++, before = ", ") {
        const char *at = (const char *)stats + counter->offset;

        fprintf(to, "%s\"%s\": %llu", before, counter->name,
                (unsigned long long)*(const uint64_t *)at);
    }
    fputc('}', to);
}

/* One object a disk, in the order of --disk. */
static void put_disks(FILE *to, const struct mayfly_stats *stats)
{
    fprintf(to, "  \"disks\": [");
    for (unsigned i = 0; i < stats->disk_count; i++) {
        fputs(i ? ",\n    " : "\n    ", to);
        put_counters(to, &stats->disks[i], disk_counters);
    }
    fprintf(to, "%s],\n", stats->disk_count ? "\n  " : "");
}

/* Likewise, in the order of --net. */
static void put_nets(FILE *to, const struct mayfly_stats *stats)
{
    fprintf(to, "  \"nets\": [");
    for (unsigned i = 0; i < stats->net_count; i++) {
        fputs(i ? ",\n    " : "\n    ", to);
        put_counters(to, &stats->nets[i], net_counters);
    }
    fprintf(to, "%s],\n", stats->net_count ? "\n  " : "");
}

/* Likewise, in the order of --share. */
static void put_shares(FILE *to, const struct mayfly_stats *stats)
{
    fprintf(to, "  \"shares\": [");
    for (unsigned i = 0; i < stats->share_count; i++) {
        fputs(i ? ",\n    " : "\n    ", to);
        put_counters(to, &stats->shares[i], share_counters);
    }
    fprintf(to, "%s],\n", stats->share_count ? "\n  " : "");
}

static void put_streams(FILE *to, const struct mayfly_stats *stats)
{
    if (!stats->has_streams)
        return;
    fprintf(to, "  \"streams\": ");
    put_counters(to, &stats->streams, stream_counters);
    fprintf(to, ",\n");
}

/* Requests that the guest did not have to kick for. */
static uint64_t kicks_suppressed(const struct mayfly_device_stats *device)
{
    return device->requests > device->kicks ? device->requests - device->kicks
                                            : 0;
}

/* Notifications that needed no upcall: the guest waited, looked, or had one. */
static uint64_t upcalls_suppressed(const struct mayfly_stats *stats)
{
    uint64_t notifications = 0;

    for (unsigned i = 0; i < stats->device_count; i++)
        notifications += stats->devices[i].notifications;
    return notifications > stats->injections ? notifications - stats->injections
                                             : 0;
}

/* One object a device, in the order of the guest's table. */
static void put_devices(FILE *to, const struct mayfly_stats *stats)
{
    fprintf(to, "  \"devices\": [");
    for (unsigned i = 0; i < stats->device_count; i++) {
        const struct mayfly_device_stats *device = &stats->devices[i];

        fprintf(to, "%s\n    {\"name\": ", i ? "," : "");
        put_json_string(to, device->name);
        fprintf(to,
                ", \"requests\": %llu, \"kicks\": %llu, "
                "\"kicks_suppressed\": %llu, \"batches\": %llu, "
                "\"batch_max\": %llu, \"notifications\": %llu, "
                "\"suppressed\": %llu}",
                (unsigned long long)device->requests,
                (unsigned long long)device->kicks,
                (unsigned long long)kicks_suppressed(device),
                (unsigned long long)device->batches,
                (unsigned long long)device->batch_max,
                (unsigned long long)device->notifications,
                (unsigned long long)device->suppressed);
    }
    fprintf(to, "%s],\n", stats->device_count ? "\n  " : "");
}

/* Requests of disks and shares, and packets of networks. */
static uint64_t requests_and_packets(const struct mayfly_stats *stats)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < stats->disk_count; i++)
        count += stats->disks[i].requests;
    for (unsigned i = 0; i < stats->net_count; i++)
        count += stats->nets[i].rx_frames + stats->nets[i].tx_frames;
    for (unsigned i = 0; i < stats->share_count; i++)
        count += stats->shares[i].requests;
    return count;
}

/* What a thousand of those cost; nothing where there was none. */
static void put_costs(FILE *to, const struct mayfly_stats *stats)
{
    double thousands = (double)requests_and_packets(stats) / 1000;

    if (thousands > 0)
        fprintf(to,
                "  \"exits_per_1000\": %.3f,\n"
                "  \"upcalls_per_1000\": %.3f,\n",
                (double)stats->exits / thousands,
                (double)stats->injections / thousands);
}

void report_stats(FILE *to, const struct cli_run *run)
{
    const struct mayfly_stats *stats = &run->stats;

    fprintf(to, "{\n  \"schema\": %d,\n  \"version\": \"%s\",\n  \"image\": ",
            STATS_SCHEMA, MAYFLY_VERSION);
    put_json_string(to, run->image);
    fprintf(to, ",\n  \"end\": \"%s\",\n  \"status\": %d,\n",
            end_name(run->result.end), run->status);
    put_count(to, "exits", stats->exits);
    put_count(to, "exits_hypercall", stats->exits_hypercall);
    put_count(to, "exits_registers", stats->exits_registers);
    put_count(to, "exits_interrupt", stats->exits_interrupt);
    put_count(to, "hypercall_exit", stats->hypercall_exit);
    put_count(to, "hypercall_wait", stats->hypercall_wait);
    put_count(to, "hypercall_kick", stats->hypercall_kick);
    put_count(to, "hypercall_crash", stats->hypercall_crash);
    put_count(to, "hypercall_populate", stats->hypercall_populate);
    put_count(to, "hypercall_snapshot", stats->hypercall_snapshot);
    put_count(to, "hypercall_call", stats->hypercall_call);
    put_count(to, "injections", stats->injections);
    put_count(to, "upcalls_suppressed", upcalls_suppressed(stats));
    put_count(to, "upcall_signals", stats->upcall_signals);
    put_count(to, "monitor_calls", stats->monitor_calls);
    put_count(to, "mem_bytes", stats->mem_bytes);
    put_count(to, "mem_touched_bytes", stats->mem_touched_bytes);
    put_count(to, "returned_bytes", stats->returned_bytes);
    put_count(to, "peak_rss_bytes", (uint64_t)run->peak_rss_kib << 10);
    put_count(to, "output_bytes", stats->output_bytes);
    put_count(to, "output_writes", stats->output_writes);
    put_count(to, "input_bytes", stats->input_bytes);
    put_disks(to, stats);
    put_nets(to, stats);
    put_shares(to, stats);
    put_streams(to, stats);
    put_devices(to, stats);
    put_costs(to, stats);
    put_count(to, "io_thread", stats->io_thread);
    put_count(to, "io_rounds", stats->io_rounds);
    put_count(to, "io_sleeps", stats->io_sleeps);
    put_count(to, "io_parks", stats->io_parks);
    put_count(to, "io_moves", stats->io_moves);
    put_count(to, "io_displaced", stats->io_displaced);
    put_count(to, "io_poll_ns", stats->io_poll_ns);

    fprintf(to, "  \"stages_ns\": {");
    const char *comma = "";
    for (unsigned i = 0; i < MAYFLY_STAGE_COUNT; i++) {
        if (!stats->stage_ns[i])
            continue;
        fprintf(to, "%s\n    \"%s\": %llu", comma,
                mayfly_stage_name((enum mayfly_stage)i),
                (unsigned long long)(stats->stage_ns[i] - run->start_ns));
        comma = ",";
    }
    fprintf(to, "\n  },\n  \"missing_system_calls\": {");
    comma = "";
    for (unsigned i = 0; i < stats->missing_count; i++) {
        const struct mayfly_missing *missing = &stats->missing[i];

        fprintf(to, "%s\n    \"%s(%u)\": %u", comma, missing->name,
                missing->number, missing->count);
        comma = ",";
    }
    fprintf(to, "%s}\n}\n", *comma ? "\n  " : "");
}

/* ---- Timeline ----------------------------------------------------------- */

void report_timeline(FILE *to, const struct cli_run *run)
{
    uint64_t before = run->start_ns;

    fprintf(to, "%-14s %10s %10s\n", "stage", "at us", "took us");
    fprintf(to, "%-14s %10.1f %10s\n", "exec", 0.0, "-");
    for (unsigned i = 0; i < MAYFLY_STAGE_COUNT; i++) {
        uint64_t at = run->stats.stage_ns[i];

        if (!at)
            continue;
        fprintf(to, "%-14s %10.1f %10.1f\n",
                mayfly_stage_name((enum mayfly_stage)i),
                milliseconds(run->start_ns, at) * 1e3,
                milliseconds(before, at) * 1e3);
        before = at;
    }
}

void report_trace(FILE *to, const struct cli_run *run)
{
    uint64_t before = run->start_ns;
    const char *comma = "";

    fprintf(to, "{\"displayTimeUnit\": \"ns\", \"traceEvents\": [");
    for (unsigned i = 0; i < MAYFLY_STAGE_COUNT; i++) {
        uint64_t at = run->stats.stage_ns[i];

        if (!at)
            continue;
        fprintf(to,
                "%s\n {\"name\": \"%s\", \"ph\": \"X\", \"pid\": 1, \"tid\": 1,"
                " \"ts\": %.3f, \"dur\": %.3f}",
                comma, mayfly_stage_name((enum mayfly_stage)i),
                milliseconds(run->start_ns, before) * 1e3,
                milliseconds(before, at) * 1e3);
        before = at;
        comma = ",";
    }
    fprintf(to, "\n]}\n");
}

/* ---- Crashes ------------------------------------------------------------ */

static const char *vector_name(unsigned vector)
{
    static const char *const names[] = {
        [0] = "divide error",
        [1] = "debug exception",
        [2] = "non-maskable interrupt",
        [3] = "breakpoint",
        [4] = "overflow",
        [5] = "bound range exceeded",
        [6] = "illegal instruction",
        [7] = "no floating-point unit",
        [8] = "double fault",
        [10] = "invalid task state",
        [11] = "segment not present",
        [12] = "stack segment fault",
        [13] = "general protection fault",
        [14] = "page fault",
        [16] = "x87 floating-point error",
        [17] = "misaligned access",
        [18] = "machine check",
        [19] = "SIMD floating-point error",
    };

    if (vector >= sizeof(names) / sizeof(names[0]) || !names[vector])
        return "exception";
    return names[vector];
}

/* Page-fault error code (Intel SDM volume 3, 4.7). */
#define FAULT_PRESENT 1u
#define FAULT_WRITE   2u
#define FAULT_FETCH   16u

static void put_fault(FILE *to, const struct mayfly_crash *crash)
{
    fprintf(to, "%s (vector %u, error %#llx)",
            crash->stack_overflow ? "stack overflow"
                                  : vector_name(crash->vector),
            crash->vector, (unsigned long long)crash->error);
    if (!crash->has_address)
        return;
    fprintf(to, ": %s 0x%llx, %s",
            crash->error & FAULT_FETCH   ? "executing"
            : crash->error & FAULT_WRITE ? "writing"
                                         : "reading",
            (unsigned long long)crash->address,
            crash->error & FAULT_PRESENT ? "not permitted" : "not mapped");
}

static void put_reason(FILE *to, const struct mayfly_crash *crash)
{
    unsigned long long error = crash->error;

    switch (crash->kind) {
    case MAYFLY_CRASH_FAULT:
        put_fault(to, crash);
        break;
    case MAYFLY_CRASH_ABORT:
        fprintf(to, "the program ended itself with signal %u (%s)",
                crash->vector, strsignal((int)crash->vector));
        break;
    case MAYFLY_CRASH_TRIPLE:
        fprintf(to, "an exception that it has no handler for (triple fault)");
        break;
    case MAYFLY_CRASH_HYPERCALL:
        fprintf(to, "a hypercall that makes no sense (%llu)", error);
        break;
    case MAYFLY_CRASH_MEMORY:
        fprintf(to, "access to guest-physical address %#llx, where nothing is",
                error);
        break;
    case MAYFLY_CRASH_LOST:
        fprintf(to, "the file of its snapshot was cut short");
        break;
    case MAYFLY_CRASH_KVM:
        fprintf(to, "KVM cannot go on with it (exit reason %llu)", error);
        break;
    }
}

#define RSP 7 /* in struct mayfly_crash's `regs` */

/* AMD's processors do after a triple fault: the guest's state is lost. */
static bool has_started_again(const struct mayfly_crash *crash)
{
    return crash->kind == MAYFLY_CRASH_TRIPLE && crash->rip == 0xfff0 &&
           crash->regs[RSP] == 0;
}

/* One line a frame; runs of the same one, as recursion has them, are folded. */
static void put_frames(FILE *to, const struct mayfly_frame *frames,
                       unsigned count)
{
    for (unsigned i = 0; i < count;) {
        unsigned same = 1;

        while (i + same < count &&
               frames[i + same].address == frames[i].address)
            same++;
        fprintf(to, "  #%-2u 0x%08llx", i,
                (unsigned long long)frames[i].address);
        if (frames[i].name[0])
            fprintf(to, " %s+0x%llx", frames[i].name,
                    (unsigned long long)frames[i].offset);
        if (same > 1)
            fprintf(to, " (%u times)", same);
        fputc('\n', to);
        i += same;
    }
}

void report_crash(FILE *to, const struct mayfly_crash *crash,
                  const struct mayfly_frame *frames, unsigned count)
{
    static const char *const names[] = {
        "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp",
        "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15",
    };

    fprintf(to, "mayfly: the guest crashed: ");
    put_reason(to, crash);
    if (has_started_again(crash)) {
        fprintf(to, "; this processor keeps no registers then\n");
        return;
    }
    fprintf(to, "\n  rip %016llx  rflags %08llx\n",
            (unsigned long long)crash->rip, (unsigned long long)crash->rflags);
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        fprintf(to, "  %-3s %016llx%s", names[i],
                (unsigned long long)crash->regs[i], i % 4 == 3 ? "\n" : "");
    fprintf(to, "backtrace:\n");
    put_frames(to, frames, count);
}
