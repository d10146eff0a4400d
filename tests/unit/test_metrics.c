/* SPDX-License-Identifier: MIT */
/* Metrics of a server: counting, and the text that Prometheus reads. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/exposition.h"
#include "vmm/server/metrics.h"

#define MS UINT64_C(1000000)

static struct metrics metrics;
static struct metrics_gauges gauges;
static struct exposition exposition;
static char text[METRICS_TEXT_BYTES + 1];

static void write_text(void)
{
    size_t bytes = metrics_write(&metrics, &gauges, text);

    cr_assert_leq(bytes, METRICS_TEXT_BYTES);
    text[bytes] = '\0';
    cr_assert_eq(strlen(text), bytes);
    cr_assert(exposition_check(&exposition, text), "%s", exposition.fault);
}

static void assert_value(const char *series, double value)
{
    cr_assert_eq(exposition_value(text, series), value, "%s is %g, not %g\n%s",
                 series, exposition_value(text, series), value, text);
}

/* ---- The checker itself ------------------------------------------------- */

#define HEAD(name, type) "# HELP " name " What.\n# TYPE " name " " type "\n"

static void assert_wrong(const char *wrong)
{
    cr_assert_not(exposition_check(&exposition, wrong), "%s", wrong);
}

Test(metrics, are_held_against_a_strict_grammar)
{
    static const char *const wrong[] = {
        "a 1\n",
        HEAD("a", "gauge"),
        HEAD("a", "counter") "a 1\n",
        HEAD("a_total", "gauge") "a_total 1\n",
        HEAD("a", "gauge") "b 1\n",
        HEAD("a", "gauge") "a 1",
        HEAD("a", "gauge") "a 1\na 1\n",
        HEAD("a", "gauge") "a  1\n",
        HEAD("a", "gauge") "a x\n",
        HEAD("a", "gauge") "a 1 \n",
        HEAD("a", "gauge") "a{} 1\n",
        HEAD("a", "gauge") "a{x=1} 1\n",
        HEAD("a", "gauge") "a{x=\"1\"\n",
        HEAD("a", "gauge") "a 1\n" HEAD("a", "gauge") "a{x=\"1\"} 1\n",
        HEAD("a", "gauge") "a 1\n\n",
        HEAD("9a", "gauge") "9a 1\n",
        HEAD("a", "histogram") "a_bucket{le=\"1\"} 1\na_sum 1\na_count 1\n",
        HEAD("a", "histogram") "a_bucket{le=\"+Inf\"} 2\na_sum 1\na_count 1\n",
        HEAD("a", "histogram") "a_bucket{le=\"+Inf\"} 1\na_count 1\n",
        HEAD("a", "histogram") "a_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\n"
                               "a_sum 1\na_count 1\n",
    };

    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_wrong(wrong[i]);
    cr_assert(exposition_check(
        &exposition, HEAD("a", "gauge") "a{x=\"1\",y=\"2\"} 1\na 2e-05\n" HEAD(
                         "b", "histogram") "b_bucket{le=\"1\"} 1\n"
                                           "b_bucket{le=\"+Inf\"} 1\n"
                                           "b_sum 0.5\nb_count 1\n"));
}

/* ---- The text ----------------------------------------------------------- */

Test(metrics, of_a_server_that_did_nothing_are_all_there)
{
    write_text();
    assert_value("mayfly_serve_accepted_connections_total", 0);
    assert_value("mayfly_serve_connections_total{end=\"crashed\"}", 0);
    assert_value("mayfly_serve_error_responses_total{code=\"504\"}", 0);
    assert_value("mayfly_serve_connection_duration_seconds_count", 0);
    assert_value("mayfly_serve_connection_duration_seconds_bucket{le=\"+Inf\"}",
                 0);
}

Test(metrics, have_room_for_the_largest_numbers)
{
    memset(&metrics, 0xff, sizeof(metrics));
    memset(&gauges, 0xff, sizeof(gauges));
    for (struct histogram *h = &metrics.total; h <= &metrics.queue; h++)
        memset(h->counts, 0, sizeof(h->counts));
    write_text();
    assert_value("mayfly_serve_worker_shared_memory_bytes", 0x1p64);
    cr_assert_lt(strlen(text), METRICS_TEXT_BYTES / 2);
}

Test(metrics, name_every_end)
{
    for (unsigned i = 0; i < CONNECTION_END_COUNT; i++)
        cr_assert(connection_end_name((enum connection_end)i));
    cr_assert_str_eq(connection_end_name(CONNECTION_END_COUNT), "unknown");
}

Test(metrics, count_a_connection_once_everywhere)
{
    struct connection_record record = {
        .end = CONNECTION_TIMED_OUT,
        .status = 504,
        .in_bytes = 5,
        .out_bytes = 7,
        .queue_ns = 1 * MS,
        .vm_ns = 1500 * MS,
        .total_ns = 1502 * MS,
        .exits = 3,
    };

    metrics_connection_accepted(&metrics);
    metrics_connection_ended(&metrics, &record);
    write_text();
    assert_value("mayfly_serve_accepted_connections_total", 1);
    assert_value("mayfly_serve_connections_total{end=\"timed-out\"}", 1);
    assert_value("mayfly_serve_connections_total{end=\"served\"}", 0);
    assert_value("mayfly_serve_error_responses_total{code=\"504\"}", 1);
    assert_value("mayfly_serve_error_responses_total{code=\"502\"}", 0);
    assert_value("mayfly_serve_received_bytes_total", 5);
    assert_value("mayfly_serve_sent_bytes_total", 7);
    assert_value("mayfly_serve_exits_total", 3);
    assert_value("mayfly_serve_connection_duration_seconds_sum", 1.502);
    assert_value("mayfly_serve_vm_duration_seconds_sum", 1.5);
    assert_value("mayfly_serve_vm_duration_seconds_bucket{le=\"1\"}", 0);
    assert_value("mayfly_serve_vm_duration_seconds_bucket{le=\"2.5\"}", 1);
    assert_value("mayfly_serve_queue_duration_seconds_bucket{le=\"0.001\"}", 1);
    assert_value("mayfly_serve_queue_duration_seconds_bucket{le=\"0.0005\"}",
                 0);
}

Test(metrics, time_only_what_there_was)
{
    struct connection_record silent = {.end = CONNECTION_SILENT,
                                       .total_ns = 10000 * MS};
    struct connection_record overdue = {.end = CONNECTION_OVERDUE,
                                        .status = 503,
                                        .queue_ns = 10000 * MS,
                                        .total_ns = 10001 * MS};

    metrics_connection_ended(&metrics, &silent);
    metrics_connection_ended(&metrics, &overdue);
    write_text();
    assert_value("mayfly_serve_connection_duration_seconds_count", 2);
    assert_value("mayfly_serve_queue_duration_seconds_count", 1);
    assert_value("mayfly_serve_vm_duration_seconds_count", 0);
}

Test(metrics, count_neither_unknown_ends_nor_other_answers)
{
    struct connection_record record = {.end = CONNECTION_END_COUNT,
                                       .status = 501};

    metrics_connection_ended(&metrics, &record);
    record.status = 505;
    metrics_connection_ended(&metrics, &record);
    write_text();
    assert_value("mayfly_serve_connection_duration_seconds_count", 2);
    assert_value("mayfly_serve_error_responses_total{code=\"502\"}", 0);
    assert_value("mayfly_serve_error_responses_total{code=\"504\"}", 0);
}

Test(metrics, count_resets_and_what_happens_once_in_a_while)
{
    metrics_vm_reset(&metrics, 30, 12000);
    metrics_vm_reset(&metrics, 12, 1000);
    metrics_vm_reset(&metrics, 0, 0);
    metrics_count(&metrics, METRICS_COLD_START);
    metrics_count(&metrics, METRICS_WARM_START);
    metrics_count(&metrics, METRICS_WARM_START);
    metrics_count(&metrics, METRICS_WORKER_DEATH);
    metrics_count(&metrics, METRICS_RELOAD_FAILED);
    write_text();
    assert_value("mayfly_serve_resets_total", 2);
    assert_value("mayfly_serve_reset_pages_total", 42);
    assert_value("mayfly_serve_reset_seconds_total", 0.000013);
    assert_value("mayfly_serve_starts_total{kind=\"cold\"}", 1);
    assert_value("mayfly_serve_starts_total{kind=\"warm\"}", 2);
    assert_value("mayfly_serve_worker_deaths_total", 1);
    assert_value("mayfly_serve_reloads_total", 0);
    assert_value("mayfly_serve_reload_failures_total", 1);
    assert_value("mayfly_serve_cold_start_failures_total", 0);
}

Test(metrics, show_gauges_as_they_are_given)
{
    gauges.connections[METRICS_QUEUED] = 4;
    gauges.workers[METRICS_IDLE] = 2;
    gauges.snapshot_bytes = 123456;
    gauges.workers_use = (struct memory_use){1, 2, 3, 4, 5};
    gauges.own_use = (struct memory_use){10, 20, 30, 40, 50};
    gauges.log_lost = 9;
    write_text();
    assert_value("mayfly_serve_open_connections{state=\"queued\"}", 4);
    assert_value("mayfly_serve_workers{state=\"idle\"}", 2);
    assert_value("mayfly_serve_snapshot_bytes", 123456);
    assert_value("mayfly_serve_worker_memory_bytes{kind=\"anonymous\"}", 1);
    assert_value("mayfly_serve_worker_memory_bytes{kind=\"shmem\"}", 2);
    assert_value("mayfly_serve_worker_memory_bytes{kind=\"file\"}", 3);
    assert_value("mayfly_serve_worker_private_memory_bytes", 4);
    assert_value("mayfly_serve_worker_shared_memory_bytes", 5);
    assert_value("mayfly_serve_supervisor_memory_bytes", 60);
    assert_value("mayfly_serve_access_log_lost_lines_total", 9);
}

/* ---- Histograms --------------------------------------------------------- */

Test(histogram, has_ascending_bounds_from_50_us_to_a_minute)
{
    cr_assert_eq(histogram_bounds_ns[0], 50000);
    cr_assert_eq(histogram_bounds_ns[HISTOGRAM_BOUNDS - 1], 60000 * MS);
    for (unsigned i = 1; i < HISTOGRAM_BOUNDS; i++)
        cr_assert_gt(histogram_bounds_ns[i], histogram_bounds_ns[i - 1]);
}

Test(histogram, counts_a_bound_below_it)
{
    for (unsigned i = 0; i < HISTOGRAM_BOUNDS; i++) {
        struct histogram histogram = {0};

        histogram_add(&histogram, histogram_bounds_ns[i]);
        histogram_add(&histogram, histogram_bounds_ns[i] + 1);
        cr_assert_eq(histogram.counts[i], 1);
        cr_assert_eq(histogram.counts[i + 1], 1);
        cr_assert_eq(histogram.sum_ns, 2 * histogram_bounds_ns[i] + 1);
    }
}

/* ---- Memory ------------------------------------------------------------- */

#define ROLLUP                                                 \
    "00400000-7ffc00000000 ---p 00000000 00:00 0   [rollup]\n" \
    "Rss:                 100 kB\n"                            \
    "Pss:                  60 kB\n"                            \
    "Pss_Dirty:            11 kB\n"                            \
    "Pss_Anon:             10 kB\n"                            \
    "Pss_File:             30 kB\n"                            \
    "Pss_Shmem:            20 kB\n"                            \
    "Shared_Clean:         40 kB\n"                            \
    "Shared_Dirty:         15 kB\n"                            \
    "Private_Clean:        25 kB\n"                            \
    "Private_Dirty:        20 kB\n"

Test(memory, is_read_by_kind)
{
    struct memory_use use = {.file = 1024};
    char rollup[] = ROLLUP "Referenced: 100 kB\n";

    cr_assert_eq(memory_add_text(rollup, &use), 0);
    cr_assert_eq(use.anonymous, 10 << 10);
    cr_assert_eq(use.shmem, 20 << 10);
    cr_assert_eq(use.file, 31 << 10);
    cr_assert_eq(use.private, 45 << 10);
    cr_assert_eq(use.shared, 55 << 10);
}

Test(memory, is_not_made_up_where_a_kernel_does_not_say)
{
    struct memory_use use = {0}, none = {0};
    char rollup[] = ROLLUP, twice[] = ROLLUP "Pss_Anon: 10 kB\n", empty[] = "";

    memcpy(strstr(rollup, "Pss_Shmem"), "Pss_Other", 9);
    cr_assert_eq(memory_add_text(rollup, &use), -EINVAL);
    cr_assert_eq(memory_add_text(twice, &use), -EINVAL);
    cr_assert_eq(memory_add_text(empty, &use), -EINVAL);
    cr_assert_arr_eq(&use, &none, sizeof(use));
}

/* Waits, with so many bytes of its own and so many that are its parent's. */
static void be_a_worker(int ready, char *own, size_t bytes)
{
    memset(own, 1, bytes);
    cr_assert_eq(write(ready, "", 1), 1);
    pause();
}

Test(memory, tells_copies_from_what_is_shared, .timeout = 20)
{
    const size_t bytes = 4 << 20;
    struct memory_use before = {0}, after = {0};
    int snapshot = memfd_create("snapshot", 0), pipes[2], fd;
    char byte;

    cr_assert_eq(ftruncate(snapshot, (off_t)bytes), 0);
    char *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_POPULATE, snapshot, 0);
    cr_assert(map != MAP_FAILED && pipe(pipes) == 0);
    cr_assert((fd = memory_open(getpid())) >= 0);
    cr_assert_eq(memory_add(fd, &before), 0);
    close(fd);
    pid_t child = fork();
    if (child == 0)
        be_a_worker(pipes[1], map, bytes / 2);
    cr_assert((fd = memory_open(child)) >= 0);
    cr_assert_eq(read(pipes[0], &byte, 1), 1);
    cr_assert_eq(memory_add(fd, &after), 0);
    cr_assert_geq(after.anonymous, bytes / 2);
    cr_assert_geq(after.private, bytes / 2);
    kill(child, SIGKILL);
    cr_assert_eq(waitpid(child, NULL, 0), child);
    cr_assert_eq(memory_add(fd, &after), -ESRCH);
    close(fd);
}
