/* SPDX-License-Identifier: MIT */
/* mayfly serve where guests, workers, clients or images fail. */
#include "tests/cli/cli_test.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(serve_faults, .timeout = 60);

/* ---- A server ----------------------------------------------------------- */

static char dir[] = "/tmp/mayfly-faults-XXXXXX";
static char path[64], image[64]; /* its socket, and what it serves */
static pid_t server;
static int errors; /* what it says on standard error */
static char said[65536];
static size_t said_bytes;

static void copy_image(const char *name)
{
    char command[512];

    snprintf(command, sizeof(command), "cp -f '%s/images/%s' '%s'",
             build_directory(), name, image);
    cr_assert_eq(system(command), 0);
}

static void choose_paths(const char *name)
{
    need_kvm();
    cr_assert(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/socket", dir);
    snprintf(image, sizeof(image), "%s/image", dir);
    copy_image(name);
}

static void exec_server(const char *const *words)
{
    char mayfly[256], listen_at[80];
    const char *argv[24] = {mayfly, "serve", "--listen", listen_at};
    unsigned count = 4;

    snprintf(mayfly, sizeof(mayfly), "%s/mayfly", build_directory());
    snprintf(listen_at, sizeof(listen_at), "unix:%s", path);
    while (*words)
        argv[count++] = *words++;
    argv[count] = image;
    execv(mayfly, (char *const *)argv);
    _exit(99);
}

static void launch(const char *const *words)
{
    int fds[2];

    cr_assert_eq(pipe(fds), 0);
    said_bytes = 0;
    server = fork();
    if (server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGHUP, SIG_DFL);
        dup2(fds[1], STDERR_FILENO);
        for (int fd = 3; fd < 64; fd++)
            close(fd);
        exec_server(words);
    }
    close(fds[1]);
    errors = fds[0];
}

/* Reads on until it has said this. */
static void await_words(const char *words)
{
    said[said_bytes] = '\0';
    while (!strstr(said, words)) {
        ssize_t more =
            read(errors, said + said_bytes, sizeof(said) - 1 - said_bytes);

        cr_assert_gt(more, 0, "it ended before it said '%s': %s", words, said);
        said_bytes += (size_t)more;
        said[said_bytes] = '\0';
    }
}

/* What it says from here on. */
static void forget_words(void)
{
    said_bytes = 0;
}

#define START(name, ...)                                       \
    do {                                                       \
        choose_paths(name);                                    \
        launch((const char *const[]){__VA_ARGS__, (void *)0}); \
        await_words("serving ");                               \
    } while (0)

static void assert_ended(int expected)
{
    int status = -1;

    cr_assert_eq(waitpid(server, &status, 0), server);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == expected,
              "status %#x", status);
    close(errors);
    cr_assert_eq(access(path, F_OK), -1, "the socket's file is left");
    unlink(image);
    cr_assert_eq(rmdir(dir), 0);
}

static void stop(void)
{
    kill(server, SIGTERM);
    assert_ended(0);
}

/* ---- What can be seen of it --------------------------------------------- */

static unsigned count_descriptors(void)
{
    char name[64];
    unsigned count = 0;
    DIR *directory;

    snprintf(name, sizeof(name), "/proc/%d/fd", server);
    directory = opendir(name);
    cr_assert(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

/* How many there are when nothing goes on. */
static unsigned settle_descriptors(void)
{
    unsigned count = 0;

    for (unsigned same = 0; same < 10; same++) {
        unsigned now = count_descriptors();

        if (now != count)
            same = 0;
        count = now;
        usleep(5000);
    }
    return count;
}

/* Waits until as many are open as before: what is over is closed soon. */
static void await_descriptors(unsigned count)
{
    for (unsigned i = 0; i < 1000 && count_descriptors() != count; i++)
        usleep(5000);
    cr_assert_eq(count_descriptors(), count, "%u, not %u", count_descriptors(),
                 count);
}

/* Its children, zombies included. */
static unsigned list_children(pid_t *pids, unsigned room)
{
    char name[64], text[4096] = "", *at = text;
    unsigned count = 0;
    int fd;

    snprintf(name, sizeof(name), "/proc/%d/task/%d/children", server, server);
    fd = open(name, O_RDONLY);
    cr_assert_geq(fd, 0);
    cr_assert_geq(read(fd, text, sizeof(text) - 1), 0);
    close(fd);
    while (count < room && (pids[count] = (pid_t)strtol(at, &at, 10)) > 0)
        count++;
    return count;
}

/* Waits until there are so many. */
static void await_children(pid_t *pids, unsigned count)
{
    for (unsigned i = 0; i < 1000 && list_children(pids, 8) != count; i++)
        usleep(5000);
    cr_assert_eq(list_children(pids, 8), count);
}

/* ---- Clients ------------------------------------------------------------ */

static int connect_server(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0,
                 "%s", strerror(errno));
    return fd;
}

static void say(int fd, const char *text)
{
    cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL),
                 (ssize_t)strlen(text));
}

static int request(const char *target)
{
    char text[128];
    int fd = connect_server();

    snprintf(text, sizeof(text),
             "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", target);
    say(fd, text);
    return fd;
}

/* Reads to the end. Returns the status of HTTP in it; 0: nothing came. */
static int answer(int fd)
{
    static char text[65536];
    size_t bytes = 0;
    ssize_t more;
    int status = 0;

    while ((more = recv(fd, text + bytes, sizeof(text) - 1 - bytes, 0)) > 0)
        bytes += (size_t)more;
    text[bytes] = '\0';
    close(fd);
    if (bytes == 0)
        return 0;
    cr_assert_eq(sscanf(text, "HTTP/1.1 %d ", &status), 1, "%s", text);
    cr_assert_not(strstr(text + 1, "HTTP/1.1"), "two answers: %s", text);
    return status;
}

static void get(const char *target, int status)
{
    int got = answer(request(target));

    cr_assert_eq(got, status, "%s: %d, not %d", target, got, status);
}

/* ---- Guests that fail --------------------------------------------------- */

static void fail_in_all_ways(void)
{
    unsigned descriptors;
    int fd;

    get("/", 200);
    descriptors = settle_descriptors();
    get("/crash", 502);
    get("/", 200);
    get("/exit", 502);
    get("/exhaust", 502);
    get("/half", 200); /* what came of it, and nothing else */
    fd = connect_server();
    say(fd, "HELO\r\n");
    shutdown(fd, SHUT_WR);
    cr_assert_eq(answer(fd), 0);
    get("/", 200);
    get("/slow?60000", 504);
    get("/", 200);
    await_descriptors(descriptors);
    stop();
}

Test(serve_faults, clients_are_told_how_guests_fail)
{
    START("function.elf", "--timeout", "2000", "--workers", "1");
    fail_in_all_ways();
}

Test(serve_faults, so_are_those_of_vms_for_one_use)
{
    START("function-mmap.elf", "--timeout", "2000", "--workers", "1");
    fail_in_all_ways();
}

Test(serve_faults, a_guest_that_computes_for_ever_is_stopped)
{
    START("function.elf", "--timeout", "300", "--workers", "1");
    get("/hang", 504);
    stop();
}

/* ---- Clients that fail -------------------------------------------------- */

Test(serve_faults, clients_may_leave_or_say_nothing)
{
    unsigned descriptors;
    int silent[8], fd;

    START("function.elf", "--timeout", "2000", "--workers", "1");
    get("/", 200);
    descriptors = settle_descriptors();
    for (unsigned i = 0; i < 8; i++)
        silent[i] = connect_server();
    get("/", 200); /* they hold no VM */
    for (unsigned i = 0; i < 20; i++) {
        fd = i % 2 ? request("/slow?5") : connect_server();
        if (!(i % 4))
            say(fd, "GET / HT");
        close(fd);
    }
    get("/", 200);
    for (unsigned i = 0; i < 8; i++)
        cr_assert_eq(answer(silent[i]), 0);
    await_descriptors(descriptors);
    stop();
}

Test(serve_faults, there_is_an_end_to_how_many_are_held)
{
    int clients[24];

    START("function.elf", "--timeout", "20000", "--workers", "1",
          "--connections", "4");
    for (unsigned i = 0; i < 24; i++)
        clients[i] = request("/");
    for (unsigned i = 0; i < 24; i++)
        cr_assert_eq(answer(clients[i]), 200);
    stop();
}

Test(serve_faults, silent_clients_do_not_keep_others_out)
{
    int silent[6], late;
    char byte;

    START("function.elf", "--timeout", "50000", "--workers", "1",
          "--connections", "4");
    for (unsigned i = 0; i < 6; i++)
        silent[i] = connect_server();
    for (unsigned i = 0; i < 4; i++)
        get("/", 200);
    /* Those that came last are still there, and may speak. */
    cr_assert_eq(answer(silent[0]), 0);
    late = silent[5];
    cr_assert_eq(recv(late, &byte, 1, MSG_DONTWAIT), -1);
    say(late, "GET / HTTP/1.0\r\n\r\n");
    cr_assert_eq(answer(late), 200);
    for (unsigned i = 1; i < 5; i++)
        close(silent[i]);
    stop();
}

Test(serve_faults, who_waits_too_long_is_told_503)
{
    int clients[4];
    int late = 0;

    START("function.elf", "--timeout", "400", "--workers", "1");
    for (unsigned i = 0; i < 4; i++)
        clients[i] = request("/slow?60000");
    for (unsigned i = 0; i < 4; i++) {
        int status = answer(clients[i]);

        cr_assert(status == 504 || status == 503, "%d", status);
        late += status == 503;
    }
    cr_assert_gt(late, 0);
    stop();
}

Test(serve_faults, a_host_without_descriptors_is_waited_for)
{
    struct rlimit before, limit;
    int fd;

    START("function.elf", "--timeout", "20000", "--workers", "1");
    get("/", 200);
    limit.rlim_cur = 3; /* new ones have higher numbers */
    cr_assert_eq(prlimit(server, RLIMIT_NOFILE, NULL, &before), 0);
    limit.rlim_max = before.rlim_max;
    cr_assert_eq(prlimit(server, RLIMIT_NOFILE, &limit, NULL), 0);
    fd = request("/");
    usleep(300000); /* it tries a few times */
    cr_assert_eq(prlimit(server, RLIMIT_NOFILE, &before, NULL), 0);
    cr_assert_eq(answer(fd), 200);
    stop();
}

/* ---- Workers that die --------------------------------------------------- */

Test(serve_faults, workers_that_are_killed_are_replaced)
{
    pid_t workers[8];
    unsigned descriptors;

    START("function.elf", "--timeout", "20000", "--workers", "2");
    get("/", 200);
    descriptors = settle_descriptors();
    for (unsigned i = 0; i < 30; i++) {
        int clients[4], status;
        unsigned count;

        for (unsigned k = 0; k < 4; k++)
            clients[k] = request(k % 2 ? "/slow?3" : "/");
        usleep(i * 200);
        count = list_children(workers, 8);
        if (count > 0)
            kill(workers[i % count], SIGKILL);
        for (unsigned k = 0; k < 4; k++) {
            status = answer(clients[k]);
            /* Or cut off in the middle, which has no status of its own. */
            cr_assert(status == 200 || status == 502 || status == 0, "%d",
                      status);
        }
    }
    get("/", 200);
    await_children(workers, 2);
    await_descriptors(descriptors);
    stop();
}

Test(serve_faults, nobody_outlives_the_supervisor)
{
    pid_t workers[8];

    START("function.elf", "--timeout", "20000", "--workers", "2");
    get("/", 200);
    await_children(workers, 2);
    kill(server, SIGKILL);
    cr_assert_eq(waitpid(server, NULL, 0), server);
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned k = 0; k < 1000 && kill(workers[i], 0) == 0; k++)
            usleep(5000);
        cr_assert_eq(kill(workers[i], 0), -1);
    }
    /* What it left behind is no obstacle. */
    close(errors);
    launch((const char *const[]){"--workers", "1", NULL});
    await_words("serving ");
    get("/", 200);
    stop();
}

/* ---- The end ------------------------------------------------------------ */

Test(serve_faults, what_is_there_is_served_before_the_end)
{
    int clients[6];

    START("function.elf", "--timeout", "20000", "--workers", "1");
    for (unsigned i = 0; i < 6; i++)
        clients[i] = request("/slow?30");
    kill(server, SIGTERM);
    for (unsigned i = 0; i < 6; i++)
        cr_assert_eq(answer(clients[i]), 200);
    assert_ended(0);
}

Test(serve_faults, a_second_signal_ends_it_at_once)
{
    int fd;

    START("function.elf", "--timeout", "50000", "--workers", "1");
    fd = request("/slow?60000");
    kill(server, SIGTERM);
    for (unsigned i = 0; i < 1000 && access(path, F_OK) == 0; i++)
        usleep(5000);
    kill(server, SIGINT);
    assert_ended(128 + SIGINT);
    answer(fd);
}

Test(serve_faults, a_socket_in_use_is_not_taken)
{
    pid_t first;

    START("function.elf", "--workers", "1");
    first = server;
    close(errors);
    launch((const char *const[]){"--workers", "1", NULL});
    await_words("cannot listen at unix:");
    cr_assert_eq(waitpid(server, NULL, 0), server);
    close(errors);
    server = first;
    errors = open("/dev/null", O_RDONLY);
    get("/", 200);
    stop();
}

/* ---- Another image ------------------------------------------------------ */

static void truncate_image(off_t bytes)
{
    cr_assert_eq(truncate(image, bytes), 0);
}

Test(serve_faults, an_image_is_replaced_while_it_serves)
{
    pid_t before[8], after[8];
    unsigned descriptors;
    int clients[12];

    START("function.elf", "--timeout", "20000", "--workers", "2");
    get("/", 200);
    descriptors = settle_descriptors();
    await_children(before, 2);
    for (unsigned i = 0; i < 12; i++) {
        clients[i] = request("/slow?20");
        if (i == 4)
            kill(server, SIGHUP);
    }
    for (unsigned i = 0; i < 12; i++)
        cr_assert_eq(answer(clients[i]), 200);
    for (unsigned i = 0; i < 2000; i++) {
        if (list_children(after, 8) == 2 && after[0] != before[0] &&
            after[0] != before[1] && after[1] != before[1])
            break;
        usleep(5000);
        cr_assert_lt(i, 1999, "the old workers stay");
    }
    get("/", 200);
    await_descriptors(descriptors);
    stop();
}

Test(serve_faults, a_broken_image_changes_nothing)
{
    unsigned descriptors;

    START("function.elf", "--timeout", "20000", "--workers", "1");
    get("/", 200);
    descriptors = settle_descriptors();
    truncate_image(100);
    forget_words();
    kill(server, SIGHUP);
    await_words("the old one stays");
    get("/", 200);
    copy_image("hello.elf"); /* which never accepts anything */
    forget_words();
    kill(server, SIGHUP);
    await_words("the old one stays");
    get("/", 200);
    copy_image("function.elf");
    kill(server, SIGHUP);
    get("/", 200);
    await_descriptors(descriptors);
    stop();
}

Test(serve_faults, an_image_that_does_not_serve_is_an_error)
{
    choose_paths("hello.elf");
    launch((const char *const[]){"--workers", "1", NULL});
    await_words("mayfly: ");
    assert_ended(125);
}
