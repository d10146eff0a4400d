/* SPDX-License-Identifier: MIT */
/* mayfly serve: what it is asked for, booting, and what a VM is given. */
#include "tests/cli/cli_test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/cli/cli_server.h"

static struct shell shell;

TestSuite(serve, .timeout = 60);

/* ---- Words -------------------------------------------------------------- */

static void assert_refused(const char *words, const char *message)
{
    char script[512];

    snprintf(script, sizeof(script), "$mayfly serve %s", words);
    run_shell(&shell, script);
    cr_assert_eq(shell.status, 125, "%s: status %d", words, shell.status);
    cr_assert(strstr(shell.err, message), "%s: %s", words, shell.err);
}

#define AT "--listen unix:$dir/s "

Test(serve, names_its_options)
{
    static const char *const words[] = {
        "--listen",       "--workers",    "--pool",
        "--timeout",      "--admin",      "--max-requests-per-vm",
        "--connections",  "--access-log", "--boot-timeout",
        "--server-first", "--mem",        "--allow-connect",
        "--hostname",     "--disk",       "SIGHUP",
    };

    run_shell(&shell, "$mayfly serve --help");
    cr_assert_eq(shell.status, 0);
    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        cr_assert(strstr(shell.out, words[i]), "%s", words[i]);
}

Test(serve, its_options_are_checked)
{
    static const char *const cases[][2] = {
        {"x", "--listen is needed"},
        {"--listen 80 x", "--listen 80: ADDR:PORT, *:PORT or unix:PATH is"},
        {"--listen :80 x", "--listen :80: ADDR:PORT, *:PORT or unix:PATH is"},
        {"--listen unix: x", "--listen unix:: a path is missing"},
        {"--listen unix:$(printf %0108d 0) x", "107 bytes at most"},
        {"--listen 127.0.0.1:65536 x", "a port is a number to 65535"},
        {"--listen 127.0.0.1: x", "a port is a number to 65535"},
        {"--listen ::1:80 x", "an address of IPv6 is in brackets"},
        {"--listen [1.2.3.4]:80 x", "no address of IPv6"},
        /* Why not differs where there is no server of names. */
        {"--listen no!name:80 x", "--listen no!name:80: "},
        {AT, "an image or a snapshot is needed"},
        {AT "--workers 0 x", "--workers takes a number from 1"},
        {AT "--workers 1025 x", "--workers takes a number from 1"},
        {AT "--pool 1025 x", "--pool takes a number"},
        {AT "--timeout 0 x", "--timeout takes milliseconds"},
        {AT "--timeout 1s x", "--timeout takes milliseconds"},
        {AT "--boot-timeout 86400001 x", "--boot-timeout takes milliseconds"},
        {AT "--max-requests-per-vm 0 x", "--max-requests-per-vm takes"},
        {AT "--connections 0 x", "--connections takes"},
        {AT "--poll 1000001 x", "--poll takes microseconds"},
        {AT "--mem x x", "--mem takes a size"},
        {AT "--disk d x", "add ',ro'"},
        {AT "--admin 1 x", "--admin 1: "},
        {AT "--net user x", "unknown option '--net': VMs that serve have no"},
        {AT "--share /:/a x", "unknown option '--share': VMs that serve have"},
        {AT "-p 80:80 x", "unknown option '-p': --listen says where"},
        {AT "--frob x", "unknown option '--frob'; try"},
        {AT "--mem", "--mem needs a value"},
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_refused(cases[i][0], cases[i][1]);
}

Test(serve, tells_why_it_cannot_listen)
{
    need_kvm();
    assert_refused("--listen 192.0.2.7:80 x", "*:PORT is all of them");
    assert_refused("--listen unix:$mayfly x", "a file is there that is no");
    assert_refused("--listen unix:$dir/none/s x", "No such file");
    assert_refused("--listen 127.0.0.1:7 --admin unix:$mayfly x",
                   "a file is there that is no");
    assert_refused(AT "--access-log $dir/none/log x",
                   "cannot open the access log");
    run_shell(&shell, "ulimit -n 40; $mayfly serve " AT "x");
    cr_assert_eq(shell.status, 125);
    cr_assert(strstr(shell.err, "(ulimit -n)"), "%s", shell.err);
}

/* ---- Booting ------------------------------------------------------------- */

static void assert_not_booted(const char *words, int status,
                              const char *message)
{
    char script[512];

    need_kvm();
    snprintf(script, sizeof(script),
             "echo text >$dir/text; $mayfly serve " AT "%s", words);
    run_shell(&shell, script);
    cr_assert_eq(shell.status, status, "%s: status %d: %s", words, shell.status,
                 shell.err);
    cr_assert(strstr(shell.err, message), "%s: %s", words, shell.err);
}

Test(serve, tells_what_is_wrong_with_an_image)
{
    assert_not_booted("$dir/none", 127, "cannot open");
    assert_not_booted("$dir/text", 126, "not an ELF file");
    assert_not_booted("--mem 4K $images/served.elf", 125, "memory");
}

Test(serve, tells_why_there_was_no_first_accept)
{
    assert_not_booted("$images/exitcode.elf 7", 125,
                      "ended with status 7 before it accepted a connection");
    assert_not_booted("$images/null.elf", 123,
                      "crashed before it accepted a connection");
    cr_assert(strstr(shell.err, "page fault"), "%s", shell.err);
    assert_not_booted("--boot-timeout 100 $images/forever.elf", 124,
                      "did not come to its first accept within 100 ms");
    assert_not_booted("$images/calls.elf", 125, "waits for calls");
}

Test(serve, tells_what_is_wrong_with_a_snapshot)
{
    need_kvm();
    run_shell(&shell,
              "$mayfly run --snapshot $dir/s $images/served.elf || exit 1\n"
              "serve() { $mayfly serve --listen unix:$dir/u \"$@\"; }\n"
              "serve --mem 32M $dir/s; echo $?\n"
              "serve $dir/s argument; echo $?\n"
              "head -c 5000 $dir/s >$dir/cut; serve $dir/cut; echo $?\n"
              "serve --files $dir/none $dir/s; echo $?\n");
    cr_assert_str_eq(shell.out, "125\n125\n126\n125\n", "%s%s", shell.out,
                     shell.err);
    cr_assert(strstr(shell.err, "are in the snapshot"), "%s", shell.err);
}

Test(serve, wants_a_snapshot_that_many_may_go_on_from)
{
    need_kvm();
    run_shell(&shell, "$mayfly run --snapshot $dir/snapshot "
                      "$images/forever.elf & sleep 0.3\n"
                      "kill -USR1 $!; wait $!\n"
                      "$mayfly serve " AT "$dir/snapshot");
    cr_assert_eq(shell.status, 125, "%d: %s", shell.status, shell.err);
    cr_assert(strstr(shell.err, "one VM only may go on from it"), "%s",
              shell.err);
}

/* ---- A server ----------------------------------------------------------- */

/* Asks for a path. Returns the answer's body. */
static const char *get(const char *what)
{
    static char answer[65536];
    char request[256];
    int fd = connect_server();

    snprintf(request, sizeof(request),
             "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", what);
    say(fd, request);
    read_to_end(fd, answer, sizeof(answer));
    const char *body = strstr(answer, "\r\n\r\n");
    cr_assert(body, "%s: '%s'", what, answer);
    return body + 4;
}

static void assert_got(const char *what, const char *expected)
{
    const char *body = get(what);

    cr_assert_eq(strncmp(body, expected, strlen(expected)), 0, "%s: '%s'", what,
                 body);
}

/* ---- What a VM is -------------------------------------------------------- */

/* Of all that a program has, including a secret that was left everywhere. */
static void assert_nothing_is_left(void)
{
    char first[64];

    for (unsigned i = 0; i < 12; i++)
        assert_got("/fresh", "clean");
    snprintf(first, sizeof(first), "%s", get("/random"));
    cr_assert_str_neq(get("/random"), first);
}

Test(serve, each_connection_finds_memory_that_nobody_has_used)
{
    START_SERVER("--workers", "2", "function.elf");
    assert_nothing_is_left();
    stop_server();
}

Test(serve, images_that_cannot_be_reset_are_made_anew)
{
    START_SERVER("--workers", "2", "function-mmap.elf");
    assert_nothing_is_left();
    stop_server();
}

Test(serve, memory_is_fresh_after_a_crash_and_an_exit_too)
{
    static const char *const ends[] = {"/crash", "/exit", "/exhaust"};

    START_SERVER("--workers", "1", "function.elf");
    for (unsigned i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        assert_got("/fresh", "clean");
        get(ends[i]);
        assert_got("/fresh", "clean");
    }
    stop_server();
}

Test(serve, a_vm_serves_as_many_connections_as_it_may)
{
    static const char *const counts[] = {"1", "2", "3", "1", "2", "3", "1"};

    START_SERVER("--workers", "1", "--max-requests-per-vm", "3", "served.elf");
    for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        assert_got("/count", counts[i]);
    stop_server();
}

Test(serve, goes_on_from_a_snapshot_though_its_file_is_gone)
{
    char script[256], snapshot[80];

    choose_paths();
    snprintf(snapshot, sizeof(snapshot), "%s/snapshot", server.dir);
    snprintf(script, sizeof(script),
             "$mayfly run --snapshot %s $images/served.elf", snapshot);
    run_shell(&shell, script);
    cr_assert_eq(shell.status, 0, "%s", shell.err);
    START_SERVER("--hostname", "other", snapshot);
    cr_assert_eq(truncate(snapshot, 4096), 0);
    unlink(snapshot);
    for (unsigned i = 0; i < 4; i++)
        assert_got("/count", "1");
    stop_server();
}

/* ---- What a VM may ------------------------------------------------------- */

/* A server of the test's, which answers one connection. Returns its port. */
static unsigned answer_one(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(address);
    char text[64];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one;

    cr_assert_eq(bind(fd, (struct sockaddr *)&address, bytes), 0);
    cr_assert_eq(listen(fd, 4), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        one = accept(fd, NULL, NULL);
        if (recv(one, text, sizeof(text), 0) > 0)
            send(one, "the answer", 10, 0);
        _exit(0);
    }
    return ntohs(address.sin_port);
}

Test(serve, a_vm_connects_to_what_it_may_and_to_nothing_else)
{
    unsigned allowed = answer_one(), other = answer_one();
    char to[64], what[64];

    snprintf(to, sizeof(to), "127.0.0.1:%u", allowed);
    START_SERVER("--workers", "2", "--allow-connect", to, "function.elf");
    snprintf(what, sizeof(what), "/connect?127.0.0.1:%u", other);
    cr_assert_null(strstr(get(what), "the answer"));
    snprintf(what, sizeof(what), "/connect?127.0.0.1:%u", allowed);
    assert_got(what, "the answer");
    stop_server();
}

/* The worker's process number: what boots the image was there before it. */
static void find_worker(char *process, size_t room)
{
    char script[128];

    snprintf(script, sizeof(script),
             "for p in $(cat /proc/%d/task/%d/children); do :; done; "
             "printf %%s $p",
             server.pid, server.pid);
    run_shell(&shell, script);
    snprintf(process, room, "%.15s", shell.out);
    cr_assert_neq(*process, '\0');
}

static void assert_shell_says(const char *expected, const char *format,
                              const char *process)
{
    char script[256];

    snprintf(script, sizeof(script), format, process);
    run_shell(&shell, script);
    cr_assert_str_eq(shell.out, expected, "%s: %s", script, shell.out);
}

/* How often all of the server's processes have slept. */
static void count_sleeps(char *counts, size_t room)
{
    char script[160];

    snprintf(script, sizeof(script),
             "for p in %d $(cat /proc/%d/task/%d/children); do "
             "grep ^voluntary /proc/$p/status; done",
             server.pid, server.pid, server.pid);
    run_shell(&shell, script);
    snprintf(counts, room, "%.200s", shell.out);
}

Test(serve, where_nothing_happens_nobody_wakes_up)
{
    char before[256], after[256];
    bool same = false;

    START_SERVER("--workers", "2", "served.elf");
    assert_got("/count", "1");
    /* Not if a device of the host or the like has woken one for a moment. */
    for (unsigned i = 0; i < 20 && !same; i++) {
        count_sleeps(before, sizeof(before));
        usleep(100000);
        count_sleeps(after, sizeof(after));
        same = strcmp(before, after) == 0;
    }
    cr_assert(same, "%s%s", before, after);
    stop_server();
}

Test(serve, a_worker_holds_its_vm_and_what_it_accepts_with)
{
    char process[16];
    int waiting[3];

    START_SERVER("--workers", "1", "--admin", "127.0.0.1:0", "served.elf");
    for (unsigned i = 0; i < 3; i++)
        waiting[i] = connect_server(); /* others' connections */
    assert_got("/count", "1");
    find_worker(process, sizeof(process));
    assert_shell_says("/dev/kvm\n"
                      "anon_inode:[eventpoll]\n"
                      "anon_inode:[eventpoll]\n"
                      "anon_inode:kvm-vcpu:0\n"
                      "anon_inode:kvm-vm\n"
                      "socket\n" /* to listen at, to the supervisor, and */
                      "socket\n" /* the keeper's */
                      "socket\n",
                      "cd /proc/%s/fd; for f in *; do "
                      "[ $f -lt 3 ] || readlink $f; done | "
                      "sed 's/^socket:.*/socket/' | LC_ALL=C sort",
                      process);
    assert_shell_says("CapEff:\t0000000000000000\n"
                      "NoNewPrivs:\t1\n"
                      "Seccomp:\t2\n",
                      "grep -E '^(CapEff|NoNewPrivs|Seccomp):' "
                      "/proc/%s/status",
                      process);
    for (unsigned i = 0; i < 3; i++)
        close(waiting[i]);
    stop_server();
}

/* Whether a text is anywhere in a process's memory. */
static bool has_in_memory(const char *process, const char *text)
{
    static char part[1 << 20];
    unsigned long from, to;
    char name[64], line[512];
    bool found = false;

    snprintf(name, sizeof(name), "/proc/%s/mem", process);
    int memory = open(name, O_RDONLY | O_CLOEXEC);
    snprintf(name, sizeof(name), "/proc/%s/maps", process);
    FILE *maps = fopen(name, "re");
    cr_assert(memory >= 0 && maps, "%s: %s", process, strerror(errno));
    while (!found && fgets(line, sizeof(line), maps)) {
        if (sscanf(line, "%lx-%lx rw", &from, &to) != 2)
            continue;
        while (!found && from < to) {
            size_t bytes = to - from < sizeof(part) ? to - from : sizeof(part);
            ssize_t got = pread(memory, part, bytes, (off_t)from);

            found = got > 0 && memmem(part, (size_t)got, text, strlen(text));
            from += bytes;
        }
    }
    fclose(maps);
    close(memory);
    return found;
}

/* One that waits: those that are spent have gone meanwhile. */
static void find_idle_worker(char *process, size_t room)
{
    char before[16] = "";

    for (find_worker(process, room); strcmp(process, before) != 0;
         find_worker(process, room)) {
        snprintf(before, sizeof(before), "%.15s", process);
        usleep(100000);
    }
}

Test(serve, a_worker_has_nothing_of_others_connections)
{
    /* Put together here, so that it is nowhere else. */
    char secret[32], request[128], process[16], self[16];
    int fd;

    snprintf(secret, sizeof(secret), "s%de%dcret", 4711, getpid());
    START_SERVER("--workers", "2", "--pool", "0", "--access-log", "/dev/null",
                 "function-mmap.elf");
    snprintf(request, sizeof(request), "/%s", secret);
    get(request); /* it is logged */
    snprintf(request, sizeof(request), "GET /slow?2000 HTTP/1.1\r\nX: %s\r\n",
             secret);
    fd = connect_server();
    say(fd, request);
    /* Each worker is made anew, of a process that has had all that. */
    assert_got("/fresh", "clean");
    get("/");
    find_idle_worker(process, sizeof(process));
    snprintf(self, sizeof(self), "%d", server.pid);
    cr_assert(has_in_memory(self, secret), "the test does not see it");
    cr_assert_not(has_in_memory(process, secret));
    close(fd);
    stop_server();
}

Test(serve, no_process_outlives_it)
{
    char process[16], script[64];
    unsigned tries = 0;

    START_SERVER("--workers", "1", "--allow-connect", "192.0.2.1:1",
                 "served.elf");
    find_worker(process, sizeof(process));
    kill(server.pid, SIGKILL);
    cr_assert_eq(waitpid(server.pid, NULL, 0), server.pid);
    snprintf(script, sizeof(script), "grep -q 'State:.[^Z]' /proc/%s/status",
             process);
    do {
        usleep(10000);
        run_shell(&shell, script);
    } while (shell.status == 0 && ++tries < 500);
    cr_assert_neq(shell.status, 0);
}
