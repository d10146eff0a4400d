/* SPDX-License-Identifier: MIT */
/* mayfly serve where guests, workers, clients or images fail. */
#include "tests/cli/cli_test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/cli/cli_server.h"
#include "tests/load/watch.h"

TestSuite(serve_faults, .timeout = 60);

/* ---- A server ----------------------------------------------------------- */

static char image[96]; /* what it serves */

static void copy_image(const char *name)
{
    char command[512];

    snprintf(command, sizeof(command), "cp -f '%s/images/%s' '%s'",
             build_directory(), name, image);
    cr_assert_eq(system(command), 0);
}

static void choose_image(const char *name)
{
    choose_paths();
    snprintf(image, sizeof(image), "%s/image", server.dir);
    copy_image(name);
}

/* With the image behind these words; `output` is its standard output. */
static void launch_printing(const char *const *words, int output)
{
    const char *all[24];
    unsigned count = 0;

    while (*words)
        all[count++] = *words++;
    all[count++] = image;
    all[count] = NULL;
    launch_server(all, output);
}

static void launch(const char *const *words)
{
    launch_printing(words, -1);
}

#define START(name, ...)                                       \
    do {                                                       \
        choose_image(name);                                    \
        launch((const char *const[]){__VA_ARGS__, (void *)0}); \
        await_words("serving ");                               \
    } while (0)

/* ---- What can be seen of it --------------------------------------------- */

static unsigned count_descriptors(void)
{
    int count = watch_descriptors(server.pid);

    cr_assert_geq(count, 0);
    return (unsigned)count;
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

/* Waits until there are so many. */
static void await_children(pid_t *pids, unsigned count)
{
    for (unsigned i = 0;
         i < 1000 && watch_children(server.pid, pids, 8) != count; i++)
        usleep(5000);
    cr_assert_eq(watch_children(server.pid, pids, 8), count);
}

/* ---- Guests that fail --------------------------------------------------- */

static void fail_in_all_ways(void)
{
    unsigned descriptors;
    int fd;

    assert_status("/", 200);
    descriptors = settle_descriptors();
    assert_status("/crash", 502);
    assert_status("/", 200);
    assert_status("/exit", 502);
    assert_status("/exhaust", 502);
    assert_status("/half", 200); /* what came of it, and nothing else */
    fd = connect_server();
    say(fd, "HELO\r\n");
    shutdown(fd, SHUT_WR);
    cr_assert_eq(read_status(fd), 0);
    assert_status("/", 200);
    assert_status("/slow?60000", 504);
    assert_status("/", 200);
    await_descriptors(descriptors);
    stop_server();
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

static unsigned count_words(const char *words)
{
    unsigned count = 0;

    for (const char *at = server.said; (at = strstr(at, words)); at++)
        count++;
    return count;
}

Test(serve_faults, a_crash_is_explained_once_in_a_while)
{
    START("function-mmap.elf", "--timeout", "20000", "--workers", "1");
    for (unsigned i = 0; i < 12; i++)
        assert_status("/crash", 502);
    kill(server.pid, SIGTERM);
    while (read_words())
        ;
    cr_assert_eq(count_words("backtrace:"), 1, "%s", server.said);
    cr_assert_eq(count_words("other crashes are only counted"), 1);
    assert_server_ended(0);
}

/* Standard output is closed, full, or nobody reads it any more. */
static void assert_nobody_reads(int output, unsigned said)
{
    choose_image("served.elf"); /* which prints when it is asked to */
    launch_printing((const char *const[]){"--workers", "1", NULL}, output);
    await_words("serving ");
    for (unsigned i = 0; i < 12; i++)
        assert_status("/print", 200);
    kill(server.pid, SIGTERM);
    while (read_words())
        ;
    cr_assert_eq(count_words("what guests print gets lost: "), said, "%s",
                 server.said);
    assert_server_ended(0);
}

Test(serve_faults, requests_do_not_fail_for_what_guests_print)
{
    int ends[2];

    assert_nobody_reads(open("/dev/full", O_WRONLY), 1);
    assert_nobody_reads(open("/dev/null", O_RDONLY), 1); /* EBADF */
    cr_assert_eq(pipe(ends), 0);
    close(ends[0]);
    assert_nobody_reads(ends[1], 0); /* it is seen before */
}

Test(serve_faults, nor_does_its_start)
{
    choose_image("httpd.elf"); /* which says that it listens */
    launch_printing((const char *const[]){"--workers", "1", NULL},
                    open("/dev/full", O_WRONLY));
    await_words("what guests print gets lost: ");
    await_words("serving ");
    assert_status("/hello?name=x", 200);
    stop_server();
}

Test(serve_faults, a_guest_that_computes_for_ever_is_stopped)
{
    START("function.elf", "--timeout", "300", "--workers", "1");
    assert_status("/hang", 504);
    stop_server();
}

/* ---- Clients that fail -------------------------------------------------- */

Test(serve_faults, clients_may_leave_or_say_nothing)
{
    unsigned descriptors;
    int silent[8], fd;

    START("function.elf", "--timeout", "2000", "--workers", "1");
    assert_status("/", 200);
    descriptors = settle_descriptors();
    for (unsigned i = 0; i < 8; i++)
        silent[i] = connect_server();
    assert_status("/", 200); /* they hold no VM */
    for (unsigned i = 0; i < 20; i++) {
        fd = i % 2 ? ask("/slow?5") : connect_server();
        if (!(i % 4))
            say(fd, "GET / HT");
        close(fd);
    }
    assert_status("/", 200);
    for (unsigned i = 0; i < 8; i++)
        cr_assert_eq(read_status(silent[i]), 0);
    await_descriptors(descriptors);
    stop_server();
}

Test(serve_faults, there_is_an_end_to_how_many_are_held)
{
    int clients[24];

    START("function.elf", "--timeout", "20000", "--workers", "1",
          "--connections", "4");
    for (unsigned i = 0; i < 24; i++)
        clients[i] = ask("/");
    for (unsigned i = 0; i < 24; i++)
        cr_assert_eq(read_status(clients[i]), 200);
    stop_server();
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
        assert_status("/", 200);
    /* Those that came last are still there, and may speak. */
    cr_assert_eq(read_status(silent[0]), 0);
    late = silent[5];
    cr_assert_eq(recv(late, &byte, 1, MSG_DONTWAIT), -1);
    say(late, "GET / HTTP/1.0\r\n\r\n");
    cr_assert_eq(read_status(late), 200);
    for (unsigned i = 1; i < 5; i++)
        close(silent[i]);
    stop_server();
}

Test(serve_faults, who_waits_too_long_is_told_503)
{
    int clients[4];
    int late = 0;

    START("function.elf", "--timeout", "400", "--workers", "1");
    for (unsigned i = 0; i < 4; i++)
        clients[i] = ask("/slow?60000");
    for (unsigned i = 0; i < 4; i++) {
        int status = read_status(clients[i]);

        cr_assert(status == 504 || status == 503, "%d", status);
        late += status == 503;
    }
    cr_assert_gt(late, 0);
    stop_server();
}

Test(serve_faults, a_host_without_descriptors_is_waited_for)
{
    struct rlimit before, limit;
    int fd;

    START("function.elf", "--timeout", "20000", "--workers", "1");
    assert_status("/", 200);
    limit.rlim_cur = 3; /* new ones have higher numbers */
    cr_assert_eq(prlimit(server.pid, RLIMIT_NOFILE, NULL, &before), 0);
    limit.rlim_max = before.rlim_max;
    cr_assert_eq(prlimit(server.pid, RLIMIT_NOFILE, &limit, NULL), 0);
    fd = ask("/");
    usleep(300000); /* it tries a few times */
    cr_assert_eq(prlimit(server.pid, RLIMIT_NOFILE, &before, NULL), 0);
    cr_assert_eq(read_status(fd), 200);
    stop_server();
}

/* ---- Workers that die --------------------------------------------------- */

Test(serve_faults, workers_that_are_killed_are_replaced)
{
    pid_t workers[8];
    unsigned descriptors;

    START("function.elf", "--timeout", "20000", "--workers", "2");
    assert_status("/", 200);
    descriptors = settle_descriptors();
    for (unsigned i = 0; i < 30; i++) {
        int clients[4], status;
        unsigned count;

        for (unsigned k = 0; k < 4; k++)
            clients[k] = ask(k % 2 ? "/slow?3" : "/");
        usleep(i * 200);
        count = watch_children(server.pid, workers, 8);
        if (count > 0)
            kill(workers[i % count], SIGKILL);
        for (unsigned k = 0; k < 4; k++) {
            status = read_status(clients[k]);
            /* Or cut off in the middle, which has no status of its own. */
            cr_assert(status == 200 || status == 502 || status == 0, "%d",
                      status);
        }
    }
    assert_status("/", 200);
    await_children(workers, 2);
    await_descriptors(descriptors);
    stop_server();
}

Test(serve_faults, nobody_outlives_the_supervisor)
{
    pid_t workers[8];

    START("function.elf", "--timeout", "20000", "--workers", "2");
    assert_status("/", 200);
    await_children(workers, 2);
    kill(server.pid, SIGKILL);
    cr_assert_eq(waitpid(server.pid, NULL, 0), server.pid);
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned k = 0; k < 1000 && kill(workers[i], 0) == 0; k++)
            usleep(5000);
        cr_assert_eq(kill(workers[i], 0), -1);
    }
    /* What it left behind is no obstacle. */
    close(server.errors);
    launch((const char *const[]){"--workers", "1", NULL});
    await_words("serving ");
    assert_status("/", 200);
    stop_server();
}

Test(serve_faults, a_socket_in_use_is_not_taken)
{
    pid_t first;

    START("function.elf", "--workers", "1");
    first = server.pid;
    close(server.errors);
    launch((const char *const[]){"--workers", "1", NULL});
    await_words("cannot listen at unix:");
    cr_assert_eq(waitpid(server.pid, NULL, 0), server.pid);
    close(server.errors);
    server.pid = first;
    server.errors = open("/dev/null", O_RDONLY);
    assert_status("/", 200);
    stop_server();
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
    assert_status("/", 200);
    descriptors = settle_descriptors();
    await_children(before, 2);
    for (unsigned i = 0; i < 12; i++) {
        clients[i] = ask("/slow?20");
        if (i == 4)
            kill(server.pid, SIGHUP);
    }
    for (unsigned i = 0; i < 12; i++)
        cr_assert_eq(read_status(clients[i]), 200);
    await_words("as it is now");
    for (unsigned i = 0; i < 2000; i++) {
        if (watch_children(server.pid, after, 8) == 2 &&
            after[0] != before[0] && after[0] != before[1] &&
            after[1] != before[1])
            break;
        usleep(5000);
        cr_assert_lt(i, 1999, "the old workers stay");
    }
    assert_status("/", 200);
    await_descriptors(descriptors);
    stop_server();
}

Test(serve_faults, a_broken_image_changes_nothing)
{
    unsigned descriptors;

    START("function.elf", "--timeout", "20000", "--workers", "1");
    assert_status("/", 200);
    descriptors = settle_descriptors();
    truncate_image(100);
    forget_words();
    kill(server.pid, SIGHUP);
    await_words("the old one stays");
    assert_status("/", 200);
    copy_image("hello.elf"); /* which never accepts anything */
    forget_words();
    kill(server.pid, SIGHUP);
    await_words("the old one stays");
    assert_status("/", 200);
    copy_image("function.elf");
    kill(server.pid, SIGHUP);
    assert_status("/", 200);
    await_descriptors(descriptors);
    stop_server();
}

Test(serve_faults, an_image_that_does_not_serve_is_an_error)
{
    choose_image("hello.elf");
    launch((const char *const[]){"--workers", "1", NULL});
    await_words("mayfly: ");
    assert_server_ended(125);
}
