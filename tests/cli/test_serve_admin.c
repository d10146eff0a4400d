/* SPDX-License-Identifier: MIT */
/* What a server says of itself: every count is exact. */
#include "tests/cli/cli_test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/exposition.h"

TestSuite(serve_admin, .timeout = 60);

/* ---- A server and its clients ------------------------------------------- */

#define ROOM (2u << 20)

static char dir[] = "/tmp/mayfly-admin-XXXXXX";
static char listen_path[64], admin_path[64], log_path[64];
static char answer[ROOM], page[ROOM], lines[ROOM];
static size_t sent_bytes, answer_bytes; /* all that clients sent and got */
static pid_t server;

static void choose_paths(void)
{
    need_kvm();
    cr_assert(mkdtemp(dir));
    snprintf(listen_path, sizeof(listen_path), "%s/socket", dir);
    snprintf(admin_path, sizeof(admin_path), "%s/admin", dir);
    snprintf(log_path, sizeof(log_path), "%s/log", dir);
}

/* `output` is its standard output, which belongs to it then; -1: as it is. */
static void start(const char *image, const char *log, const char *workers,
                  int output)
{
    char mayfly[256], path[256], listen_at[80], admin_at[80];

    snprintf(mayfly, sizeof(mayfly), "%s/mayfly", build_directory());
    snprintf(path, sizeof(path), "%s/images/%s", build_directory(), image);
    snprintf(listen_at, sizeof(listen_at), "unix:%s", listen_path);
    snprintf(admin_at, sizeof(admin_at), "unix:%s", admin_path);
    server = fork();
    if (server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGHUP, SIG_DFL);
        if (output >= 0)
            dup2(output, STDOUT_FILENO);
        for (int fd = 3; fd < 64; fd++)
            close(fd);
        execl(mayfly, mayfly, "serve", "--listen", listen_at, "--admin",
              admin_at, "--access-log", log, "--workers", workers, "--timeout",
              "300", "--boot-timeout", "20000", path, (char *)NULL);
        _exit(99);
    }
    if (output >= 0)
        close(output);
}

/* It may not listen yet. */
static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    for (unsigned i = 0; i < 2000; i++) {
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
            return fd;
        usleep(5000);
    }
    cr_assert_fail("cannot connect to %s: %s", path, strerror(errno));
    return -1;
}

/* Reads to the end of the connection. Returns how much. */
static size_t read_all(int fd, char *to, size_t room)
{
    size_t at = 0;
    ssize_t part;

    while ((part = read(fd, to + at, room - 1 - at)) > 0)
        at += (size_t)part;
    to[at] = '\0';
    close(fd);
    return at;
}

/* Returns the answer's status, with the answer in `to`; 0: there was none. */
static int get(const char *from, const char *path, char *to)
{
    char request[256];
    int fd = connect_to(from), status = 0;
    int bytes = snprintf(request, sizeof(request),
                         "GET %s HTTP/1.1\r\nHost: x\r\n"
                         "Connection: close\r\n\r\n",
                         path);

    cr_assert_eq(send(fd, request, (size_t)bytes, MSG_NOSIGNAL), bytes);
    sent_bytes += from == listen_path ? (size_t)bytes : 0;
    size_t got = read_all(fd, to, ROOM);
    sscanf(to, "HTTP/1.1 %d ", &status);
    answer_bytes += from == listen_path && status < 500 ? got : 0;
    return status;
}

static void serve(const char *path, int status)
{
    int got = get(listen_path, path, answer);

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

static void end(int status)
{
    int result = -1;

    cr_assert_eq(waitpid(server, &result, 0), server);
    cr_assert(WIFEXITED(result) && WEXITSTATUS(result) == status,
              "status %#x, not %d", result, status);
    rmdir(dir);
}

static void stop(void)
{
    kill(server, SIGTERM);
    end(0);
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

    read_all(open(path, O_RDONLY), lines, sizeof(lines));
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
    choose_paths();
    start("served.elf", log_path, "2", -1);
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

    stop();
    cr_assert_eq(read_log(log_path), 24);
    cr_assert_eq(count_lines("\"end\": \"served\", \"status\": null"), 20);
    cr_assert_eq(count_lines("\"end\": \"exited\", \"status\": 502"), 1);
    cr_assert_eq(count_lines("\"end\": \"crashed\", \"status\": 502"), 2);
    cr_assert_eq(count_lines("\"request\": \"GET /hang HTTP/1.1\""), 1);
    cr_assert_eq(count_lines("\"end\": \"timed-out\", \"status\": 504"), 1);
    cr_assert_eq(count_lines("\"client\": \"unix\""), 24);
    cr_assert_eq(count_lines("\"id\": 24, "), 1);
    unlink(log_path);
}

Test(serve_admin, tells_memory_that_is_shared_from_copies)
{
    choose_paths();
    start("served.elf", log_path, "2", -1);
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
    stop();
    unlink(log_path);
}

Test(serve_admin, is_not_healthy_while_it_boots)
{
    choose_paths();
    start("forever.elf", log_path, "1", -1);
    await_health(503);
    assert_metric("starts_total{kind=\"warm\"}", 0);
    kill(server, SIGTERM);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    unlink(log_path);
    unlink(listen_path);
    unlink(admin_path);
    rmdir(dir);
}

Test(serve_admin, is_not_healthy_while_it_drains)
{
    int fd;

    choose_paths();
    start("served.elf", log_path, "1", -1);
    await_health(200);
    fd = connect_to(listen_path);
    cr_assert_eq(send(fd, "GET /hang HTTP/1.0\r\n\r\n", 22, 0), 22);
    await_metric("open_connections{state=\"served\"}", 1);
    kill(server, SIGTERM);
    await_health(503);
    cr_assert_gt(read_all(fd, answer, sizeof(answer)), 0);
    cr_assert_eq(strncmp(answer, "HTTP/1.1 504 ", 13), 0);
    end(0);
    unlink(log_path);
}

Test(serve_admin, counts_reloads_and_begins_a_new_log)
{
    char old[80];

    choose_paths();
    snprintf(old, sizeof(old), "%s.1", log_path);
    start("served.elf", log_path, "1", -1);
    await_health(200);
    serve("/", 200);
    await_metric("connections_total{end=\"served\"}", 1);
    cr_assert_eq(rename(log_path, old), 0);
    kill(server, SIGHUP);
    await_metric("reloads_total", 1);
    serve("/", 200);
    await_metric("connections_total{end=\"served\"}", 2);
    assert_metric("starts_total{kind=\"cold\"}", 2);
    assert_metric("starts_total{kind=\"warm\"}", 2);
    assert_metric("reload_failures_total", 0);
    assert_metric("worker_deaths_total", 0);
    stop();
    cr_assert_eq(read_log(old), 1);
    cr_assert_eq(read_log(log_path), 1);
    unlink(old);
    unlink(log_path);
}

Test(serve_admin, counts_workers_that_die)
{
    char *pid;

    choose_paths();
    start("served.elf", log_path, "1", -1);
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
    stop();
    unlink(log_path);
}

Test(serve_admin, serves_on_when_the_disk_of_its_log_is_full)
{
    choose_paths();
    start("served.elf", "/dev/full", "1", -1);
    await_health(200);
    for (unsigned i = 0; i < 300; i++)
        serve("/", 200);
    await_metric("connections_total{end=\"served\"}", 300);
    double lost = metric("access_log_lost_lines_total");
    cr_assert(lost > 0 && lost < 300, "%g", lost);
    stop();
}

Test(serve_admin, serves_on_when_nobody_reads_its_log)
{
    int fds[2];

    choose_paths();
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
    stop();
}
