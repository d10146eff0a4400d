/* SPDX-License-Identifier: MIT */
/* What a server says of itself: every count is exact. */
#include "tests/cli/cli_test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/cli/cli_server.h"
#include "tests/exposition.h"

TestSuite(serve_admin, .timeout = 60);

/* ---- A server and its clients ------------------------------------------- */

#define ROOM (2u << 20)

static char admin_path[96], log_path[96];
static const char *timeout_ms = "300"; /* one test waits for it */
static char answer[ROOM], page[ROOM], lines[ROOM];
static size_t sent_bytes, answer_bytes; /* all that clients sent and got */

/* `log` is a file, or NULL: one in the directory. `output` is its standard
 * output, which belongs to it then; -1: as it is. */
static void start(const char *image, const char *log, const char *workers,
                  int output)
{
    char admin_at[112];

    choose_paths();
    snprintf(admin_path, sizeof(admin_path), "%s/admin", server.dir);
    snprintf(admin_at, sizeof(admin_at), "unix:%s", admin_path);
    snprintf(log_path, sizeof(log_path), "%s/log", server.dir);
    launch_server((const char *const[]){"--admin", admin_at, "--access-log",
                                        log ? log : log_path, "--workers",
                                        workers, "--timeout", timeout_ms,
                                        "--boot-timeout", "20000", "--mem",
                                        "48M", image_path(image), NULL},
                  output);
}

/* Returns the answer's status, with the answer in `to`; 0: there was none. */
static int get(const char *from, const char *path, char *to)
{
    char request[256];
    int fd = connect_path(from), status = 0;
    int bytes = snprintf(request, sizeof(request),
                         "GET %s HTTP/1.1\r\nHost: x\r\n"
                         "Connection: close\r\n\r\n",
                         path);

    cr_assert_eq(send(fd, request, (size_t)bytes, MSG_NOSIGNAL), bytes);
    sent_bytes += from == server.path ? (size_t)bytes : 0;
    size_t got = read_to_end(fd, to, ROOM);
    sscanf(to, "HTTP/1.1 %d ", &status);
    answer_bytes += from == server.path && status < 500 ? got : 0;
    return status;
}

static void serve(const char *path, int status)
{
    int got = get(server.path, path, answer);

    cr_assert_eq(got, status, "%s: %d, not %d", path, got, status);
}

/* ---- What it says ------------------------------------------------------- */

static double metric(const char *series)
{
    static struct exposition exposition;
    char name[128];

    cr_assert_eq(get(admin_path, "/metrics", page), 200);
    char *text = strstr(page, "\r\n\r\n") + 4;
    cr_assert(exposition_check(&exposition, text), "%s", exposition.fault);
    snprintf(name, sizeof(name), "mayfly_serve_%s", series);
    return exposition_value(text, name);
}

static void assert_metric(const char *series, double value)
{
    double is = metric(series);

    cr_assert_eq(is, value, "%s is %g, not %g", series, is, value);
}

/* Waits for what comes a moment after a client has its answer. */
static void await_metric(const char *series, double value)
{
    for (unsigned i = 0; i < 1000 && metric(series) != value; i++)
        usleep(5000);
    assert_metric(series, value);
}

static void await_health(int status)
{
    for (unsigned i = 0; i < 2000; i++) {
        if (get(admin_path, "/healthz", page) == status)
            return;
        usleep(5000);
    }
    cr_assert_fail("the server's health is not %d", status);
}

static unsigned count_lines(const char *part)
{
    unsigned count = 0;

    for (const char *at = lines; (at = strstr(at, part)); at++)
        count++;
    return count;
}

/* Reads the log. Asserts that its lines are objects. Returns how many. */
static unsigned read_log(const char *path)
{
    static char line[4096];
    unsigned count = 0;

    read_to_end(open(path, O_RDONLY), lines, sizeof(lines));
    for (const char *at = lines; *at; count++) {
        size_t length = strcspn(at, "\n");

        cr_assert(at[length] == '\n' && length < sizeof(line));
        snprintf(line, sizeof(line), "%.*s", (int)length, at);
        cr_assert(is_json(line), "%s", line);
        cr_assert_eq(json_number(line, "schema"), 1);
        at += length + 1;
    }
    return count;
}

Test(serve_admin, counts_what_became_of_each_connection)
{
    start("served.elf", NULL, "2", -1);
    await_health(200);
    for (unsigned i = 0; i < 20; i++)
        serve("/", 200);
    serve("/crash", 502);
    serve("/crash", 502);
    serve("/exit", 502);
    serve("/hang", 504);

    await_metric("connection_duration_seconds_count", 24);
    assert_metric("accepted_connections_total", 24);
    assert_metric("connections_total{end=\"served\"}", 20);
    assert_metric("connections_total{end=\"crashed\"}", 2);
    assert_metric("connections_total{end=\"exited\"}", 1);
    assert_metric("connections_total{end=\"timed-out\"}", 1);
    assert_metric("error_responses_total{code=\"502\"}", 3);
    assert_metric("error_responses_total{code=\"503\"}", 0);
    assert_metric("error_responses_total{code=\"504\"}", 1);
    assert_metric("queue_duration_seconds_count", 24);
    assert_metric("vm_duration_seconds_count", 24);
    assert_metric("vm_duration_seconds_bucket{le=\"0.25\"}", 23);
    assert_metric("resets_total", 24);
    assert_metric("starts_total{kind=\"cold\"}", 1);
    assert_metric("starts_total{kind=\"warm\"}", 2);
    assert_metric("worker_deaths_total", 0);
    assert_metric("received_bytes_total", (double)sent_bytes);
    assert_metric("sent_bytes_total", (double)answer_bytes);
    await_metric("workers{state=\"idle\"}", 2);
    assert_metric("open_connections{state=\"served\"}", 0);
    cr_assert_geq(metric("reset_pages_total"), 24);
    cr_assert_geq(metric("exits_total"), 24);

    stop_server();
    cr_assert_eq(read_log(log_path), 24);
    cr_assert_eq(count_lines("\"end\": \"served\", \"status\": null"), 20);
    cr_assert_eq(count_lines("\"end\": \"exited\", \"status\": 502"), 1);
    cr_assert_eq(count_lines("\"end\": \"crashed\", \"status\": 502"), 2);
    cr_assert_eq(count_lines("\"request\": \"GET /hang HTTP/1.1\""), 1);
    cr_assert_eq(count_lines("\"end\": \"timed-out\", \"status\": 504"), 1);
    cr_assert_eq(count_lines("\"client\": \"unix\""), 24);
    cr_assert_eq(count_lines("\"id\": 24, "), 1);
}

Test(serve_admin, tells_memory_that_is_shared_from_copies)
{
    start("served.elf", NULL, "2", -1);
    await_metric("workers{state=\"idle\"}", 2);
    serve("/1048576", 200);
    await_metric("resets_total", 1);
    /* The MiB that the guest wrote is a worker's own, and stays. */
    for (unsigned i = 0; i < 1000; i++)
        if (metric("worker_memory_bytes{kind=\"anonymous\"}") > 1 << 20)
            break;
    cr_assert_gt(metric("worker_memory_bytes{kind=\"anonymous\"}"), 1 << 20);
    cr_assert_gt(metric("worker_private_memory_bytes"), 1 << 20);
    cr_assert_gt(metric("worker_memory_bytes{kind=\"shmem\"}"), 0);
    cr_assert_gt(metric("worker_shared_memory_bytes"), 0);
    cr_assert_gt(metric("snapshot_bytes"), 65536);
    cr_assert_gt(metric("supervisor_memory_bytes"), 0);
    stop_server();
}

Test(serve_admin, is_not_healthy_while_it_boots)
{
    start("forever.elf", NULL, "1", -1);
    await_health(503);
    assert_metric("starts_total{kind=\"warm\"}", 0);
    kill(server.pid, SIGKILL);
    waitpid(server.pid, NULL, 0);
}

Test(serve_admin, is_not_healthy_while_it_drains)
{
    int fd;

    start("served.elf", NULL, "1", -1);
    await_health(200);
    fd = connect_server();
    cr_assert_eq(send(fd, "GET /hang HTTP/1.0\r\n\r\n", 22, 0), 22);
    await_metric("open_connections{state=\"served\"}", 1);
    kill(server.pid, SIGTERM);
    await_health(503);
    cr_assert_gt(read_to_end(fd, answer, sizeof(answer)), 0);
    cr_assert_eq(strncmp(answer, "HTTP/1.1 504 ", 13), 0);
    assert_server_ended(0);
}

Test(serve_admin, counts_reloads_and_begins_a_new_log)
{
    char old[112];

    start("served.elf", NULL, "1", -1);
    snprintf(old, sizeof(old), "%s.1", log_path);
    await_health(200);
    serve("/", 200);
    await_metric("connections_total{end=\"served\"}", 1);
    cr_assert_eq(rename(log_path, old), 0);
    kill(server.pid, SIGHUP);
    await_metric("reloads_total", 1);
    serve("/", 200);
    await_metric("connections_total{end=\"served\"}", 2);
    assert_metric("starts_total{kind=\"cold\"}", 2);
    assert_metric("starts_total{kind=\"warm\"}", 2);
    assert_metric("reload_failures_total", 0);
    assert_metric("worker_deaths_total", 0);
    stop_server();
    cr_assert_eq(read_log(old), 1);
    cr_assert_eq(read_log(log_path), 1);
}

Test(serve_admin, counts_workers_that_die)
{
    char *pid;

    start("served.elf", NULL, "1", -1);
    await_health(200);
    serve("/", 200);
    await_metric("connections_total{end=\"served\"}", 1);
    for (unsigned i = 0; i < 400 && read_log(log_path) == 0; i++)
        usleep(5000);
    cr_assert(pid = strstr(lines, "\"worker\": "));
    kill(atoi(pid + strlen("\"worker\": ")), SIGKILL);
    await_metric("worker_deaths_total", 1);
    await_metric("starts_total{kind=\"warm\"}", 2);
    serve("/", 200);
    assert_metric("starts_total{kind=\"cold\"}", 1);
    stop_server();
}

/* Takes an answer that is larger than all others. */
static void serve_large(const char *request)
{
    int fd = connect_server();

    say(fd, request);
    cr_assert_gt(read(fd, answer, sizeof(answer)), 0);
    cr_assert_eq(strncmp(answer, "HTTP/1.1 200 ", 13), 0);
    while (read(fd, answer, sizeof(answer)) > 0)
        ;
    close(fd);
}

/* From then on each reset copies what that one request wrote. */
Test(serve_admin, a_vm_that_grew_large_is_not_kept_for_ever)
{
    timeout_ms = "20000";
    start("served.elf", NULL, "1", -1);
    await_health(200);
    serve_large("GET /17000000 HTTP/1.1\r\n\r\n");
    for (unsigned i = 0; i < 62; i++)
        serve("/", 200);
    await_metric("resets_total", 63);
    cr_assert_gt(metric("reset_pages_total"), 63 * 4096);
    assert_metric("starts_total{kind=\"warm\"}", 1);
    serve("/", 200);
    await_metric("starts_total{kind=\"warm\"}", 2);
    double pages = metric("reset_pages_total");
    serve("/", 200);
    await_metric("resets_total", 65);
    cr_assert_lt(metric("reset_pages_total") - pages, 4096);
    assert_metric("worker_deaths_total", 0);
    stop_server();
}

Test(serve_admin, serves_on_when_the_disk_of_its_log_is_full)
{
    start("served.elf", "/dev/full", "1", -1);
    await_health(200);
    for (unsigned i = 0; i < 300; i++)
        serve("/", 200);
    await_metric("connections_total{end=\"served\"}", 300);
    double lost = metric("access_log_lost_lines_total");
    cr_assert(lost > 0 && lost < 300, "%g", lost);
    stop_server();
}

Test(serve_admin, serves_on_when_nobody_reads_its_log)
{
    int fds[2];

    cr_assert_eq(pipe(fds), 0);
    start("served.elf", "-", "1", fds[1]);
    await_health(200);
    serve("/", 200);
    cr_assert_gt(read(fds[0], lines, sizeof(lines) - 1), 0);
    cr_assert(is_json(lines), "%s", lines);
    close(fds[0]);
    for (unsigned i = 0; i < 5; i++)
        serve("/", 200);
    await_metric("access_log_lost_lines_total", 5);
    stop_server();
}
