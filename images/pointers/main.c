/* SPDX-License-Identifier: MIT */
/* Bad pointers in system calls are errors, and nothing else. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/*
 *   pointers          calls with memory that is not there; the expected errors
 *                     are those of a Linux process, as which this runs too
 *   pointers taken    memory that another thread takes away during the call
 *
 * The exit status is 0 if every line says ok.
 */

#define PAGE 4096
#define SIZE 8 /* of a signal set */

static int failures;

static void report(const char *name, long result, int error, int wanted)
{
    if (result == -1 && error == wanted) {
        printf("ok   %s\n", name);
        return;
    }
    printf("FAIL %s: %ld, %s instead of %s\n", name, result,
           result == -1 ? strerror(error) : "no error", strerror(wanted));
    failures++;
}

#define FAILS(wanted, name, ...)                          \
    do {                                                  \
        long result_ = (errno = 0, syscall(__VA_ARGS__)); \
        report(name, result_, errno, wanted);             \
    } while (0)

#define FAULTS(name, ...) FAILS(EFAULT, name, __VA_ARGS__)

/* ---- Memory that is not there -------------------------------------------- */

static char *page;  /* what is before the bad one */
static char *bad;   /* PROT_NONE */
static char *fixed; /* can be read only */

static void map_pages(void)
{
    page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    fixed = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bad = page + PAGE;
    if (page == MAP_FAILED || fixed == MAP_FAILED ||
        mprotect(bad, PAGE, PROT_NONE)) {
        perror("mmap");
        exit(2);
    }
}

/* ---- Files --------------------------------------------------------------- */

static void check_files(void)
{
    struct iovec vector = {bad, 8};
    int fd = open("/tmp/pointers", O_RDWR | O_CREAT | O_TRUNC, 0600), pipes[2];
    struct stat stat;

    if (fd < 0 || pipe(pipes) || write(fd, "0123456789", 10) != 10 ||
        write(pipes[1], "0123456789", 10) != 10)
        exit(2);
    memset(bad - 4, 'x', 4);
    FAULTS("read", SYS_read, pipes[0], bad, 8);
    FAULTS("read to what can be read", SYS_read, pipes[0], fixed, 8);
    FAULTS("write", SYS_write, pipes[1], bad, 8);
    FAULTS("write to a file", SYS_write, fd, bad, 8);
    FAULTS("pread", SYS_pread64, fd, bad, 8, 0l);
    FAULTS("pwrite", SYS_pwrite64, fd, bad, 8, 0l);
    FAULTS("readv", SYS_readv, pipes[0], bad, 1);
    FAULTS("readv, a piece", SYS_readv, pipes[0], &vector, 1);
    FAULTS("writev", SYS_writev, pipes[1], bad, 1);
    FAULTS("writev, a piece", SYS_writev, pipes[1], &vector, 1);
    FAULTS("open", SYS_open, bad, O_RDONLY, 0);
    FAULTS("open, a name without an end", SYS_open, bad - 4, O_RDONLY, 0);
    FAULTS("stat, the name", SYS_stat, bad, &stat);
    FAULTS("stat", SYS_stat, "/tmp/pointers", bad);
    FAULTS("fstat", SYS_fstat, fd, bad);
    FAULTS("fstat to what can be read", SYS_fstat, fd, fixed);
    FAULTS("statfs", SYS_statfs, "/tmp", bad);
    FAULTS("readlink", SYS_readlink, "/proc/self/exe", bad, 100);
    FAULTS("getcwd", SYS_getcwd, bad, 100);
    FAULTS("rename", SYS_rename, "/tmp/pointers", bad);
    FAULTS("mkdir", SYS_mkdir, bad, 0700);
    FAULTS("utimensat", SYS_utimensat, AT_FDCWD, "/tmp/pointers", bad, 0);
    FAULTS("pipe2", SYS_pipe2, bad, 0);
    FAULTS("FIONREAD", SYS_ioctl, pipes[0], FIONREAD, bad);
    FAULTS("FIONBIO", SYS_ioctl, pipes[0], FIONBIO, bad);
    FAULTS("F_GETLK", SYS_fcntl, fd, F_GETLK, bad);
    FAULTS("F_SETLK", SYS_fcntl, fd, F_SETLK, bad);
    FAULTS("sendfile", SYS_sendfile, pipes[1], fd, bad, 4);
    FAULTS("memfd_create", SYS_memfd_create, bad, 0);
    close(fd);
    fd = open("/tmp", O_RDONLY | O_DIRECTORY);
    FAULTS("getdents64", SYS_getdents64, fd, bad, 1000);
    close(fd);
    close(pipes[0]);
    close(pipes[1]);
    unlink("/tmp/pointers");
}

/* ---- Waiting ------------------------------------------------------------- */

static void check_waiting(void)
{
    struct epoll_event event = {.events = EPOLLIN};
    int epoll = epoll_create1(0), counter = eventfd(1, 0);
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    struct pollfd one = {.fd = counter, .events = POLLIN};
    struct timespec none = {0};

    FAULTS("epoll_ctl", SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, counter, bad);
    epoll_ctl(epoll, EPOLL_CTL_ADD, counter, &event);
    FAULTS("epoll_wait", SYS_epoll_wait, epoll, bad, 1, 0);
    FAULTS("epoll_pwait", SYS_epoll_pwait, epoll, &event, 1, 0, bad, SIZE);
    FAULTS("poll", SYS_poll, bad, 1, 0);
    FAULTS("ppoll, the time", SYS_ppoll, &one, 1, bad, 0, SIZE);
    FAULTS("ppoll, the mask", SYS_ppoll, &one, 1, &none, bad, SIZE);
    FAULTS("select", SYS_select, 1, bad, 0, 0, 0);
    FAULTS("select, the time", SYS_select, 0, 0, 0, 0, bad);
    FAULTS("pselect6", SYS_pselect6, 1, 0, bad, 0, &none, 0);
    FAULTS("pselect6, the mask", SYS_pselect6, 0, 0, 0, 0, &none, bad);
    FAULTS("an eventfd", SYS_read, counter, bad, 8);
    FAULTS("timerfd_settime", SYS_timerfd_settime, timer, 0, bad, 0);
    FAULTS("timerfd_gettime", SYS_timerfd_gettime, timer, bad);
    FAULTS("nanosleep", SYS_nanosleep, bad, 0);
    FAULTS("clock_nanosleep", SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, bad, 0);
    close(epoll);
    close(counter);
    close(timer);
}

/* ---- Futexes ------------------------------------------------------------- */

static void check_futexes(void)
{
    static int word;
    char *high = (char *)(1ul << 62);

    FAULTS("FUTEX_WAIT", SYS_futex, bad, FUTEX_WAIT, 0, 0, 0, 0);
    FAULTS("FUTEX_WAIT_PRIVATE", SYS_futex, bad, FUTEX_WAIT_PRIVATE, 0, 0, 0,
           0);
    FAULTS("FUTEX_WAIT at 0", SYS_futex, 0, FUTEX_WAIT_PRIVATE, 0, 0, 0, 0);
    FAULTS("FUTEX_WAIT, the time", SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, bad,
           0, 0);
    FAULTS("FUTEX_WAKE", SYS_futex, bad, FUTEX_WAKE, 1, 0, 0, 0);
    FAULTS("FUTEX_WAKE far away", SYS_futex, high, FUTEX_WAKE_PRIVATE, 1, 0, 0,
           0);
    FAULTS("FUTEX_CMP_REQUEUE", SYS_futex, bad, FUTEX_CMP_REQUEUE_PRIVATE, 1,
           1l, &word, 0);
    FAULTS("FUTEX_WAKE_OP", SYS_futex, &word, FUTEX_WAKE_OP_PRIVATE, 1, 1l, bad,
           FUTEX_OP(FUTEX_OP_SET, 1, FUTEX_OP_CMP_EQ, 0));
    FAULTS("FUTEX_LOCK_PI", SYS_futex, bad, FUTEX_LOCK_PI_PRIVATE, 0, 0, 0, 0);
    FAULTS("FUTEX_UNLOCK_PI", SYS_futex, bad, FUTEX_UNLOCK_PI_PRIVATE, 0, 0, 0,
           0);
    FAILS(EINVAL, "FUTEX_WAIT, not aligned", SYS_futex, (char *)&word + 1,
          FUTEX_WAIT_PRIVATE, 0, 0, 0, 0);
    FAILS(EINVAL, "FUTEX_WAKE, not aligned", SYS_futex, (char *)&word + 2,
          FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
    FAILS(EINVAL, "FUTEX_CMP_REQUEUE, not aligned", SYS_futex, &word,
          FUTEX_CMP_REQUEUE_PRIVATE, 1, 1l, (char *)&word + 1, 0);
}

/* ---- Signals ------------------------------------------------------------- */

static void check_signals(void)
{
    uint64_t set = 1ull << (SIGUSR1 - 1);
    struct timespec none = {0};

    FAULTS("rt_sigaction", SYS_rt_sigaction, SIGUSR1, bad, 0, SIZE);
    FAULTS("rt_sigaction, the old one", SYS_rt_sigaction, SIGUSR1, 0, bad,
           SIZE);
    FAULTS("rt_sigprocmask", SYS_rt_sigprocmask, SIG_BLOCK, bad, 0, SIZE);
    FAULTS("rt_sigprocmask, the old one", SYS_rt_sigprocmask, SIG_BLOCK, &set,
           bad, SIZE);
    FAULTS("rt_sigpending", SYS_rt_sigpending, bad, SIZE);
    FAULTS("rt_sigsuspend", SYS_rt_sigsuspend, bad, SIZE);
    FAULTS("rt_sigtimedwait", SYS_rt_sigtimedwait, bad, 0, &none, SIZE);
    FAULTS("rt_sigtimedwait, the time", SYS_rt_sigtimedwait, &set, 0, bad,
           SIZE);
    raise(SIGUSR1);
    FAULTS("rt_sigtimedwait, the result", SYS_rt_sigtimedwait, &set, bad, &none,
           SIZE);
    FAULTS("rt_sigqueueinfo", SYS_rt_sigqueueinfo, getpid(), SIGUSR1, bad);
    FAULTS("sigaltstack", SYS_sigaltstack, bad, 0);
    FAULTS("sigaltstack, the old one", SYS_sigaltstack, 0, bad);
    FAULTS("signalfd4", SYS_signalfd4, -1, bad, SIZE, 0);
    FAULTS("setitimer", SYS_setitimer, ITIMER_REAL, bad, 0);
    FAULTS("getitimer", SYS_getitimer, ITIMER_REAL, bad);
    FAULTS("timer_create", SYS_timer_create, CLOCK_MONOTONIC, 0, bad);
}

/* ---- Sockets ------------------------------------------------------------- */

static void check_sockets(void)
{
    struct iovec vector = {bad, 8};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    socklen_t length = sizeof(int);
    int pair[2], value;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) ||
        write(pair[1], "0123456789", 10) != 10)
        exit(2);
    FAULTS("socketpair", SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, bad);
    FAULTS("bind", SYS_bind, pair[0], bad, 16);
    FAULTS("connect", SYS_connect, pair[0], bad, 16);
    FAULTS("getsockname", SYS_getsockname, pair[0], bad, &length);
    FAULTS("getsockname, the size", SYS_getsockname, pair[0], page, bad);
    FAULTS("sendto", SYS_sendto, pair[0], bad, 8, 0, 0, 0);
    FAULTS("recvfrom", SYS_recvfrom, pair[0], bad, 8, 0, 0, 0);
    FAULTS("sendmsg", SYS_sendmsg, pair[0], bad, 0);
    FAULTS("recvmsg", SYS_recvmsg, pair[0], bad, 0);
    FAULTS("sendmsg, a piece", SYS_sendmsg, pair[0], &message, 0);
    FAULTS("recvmsg, a piece", SYS_recvmsg, pair[0], &message, 0);
    message.msg_iov = (struct iovec *)bad;
    FAULTS("recvmsg, the pieces", SYS_recvmsg, pair[0], &message, 0);
    length = sizeof(value);
    FAULTS("setsockopt", SYS_setsockopt, pair[0], SOL_SOCKET, SO_SNDBUF, bad,
           4);
    FAULTS("getsockopt", SYS_getsockopt, pair[0], SOL_SOCKET, SO_TYPE, bad,
           &length);
    FAULTS("getsockopt, the size", SYS_getsockopt, pair[0], SOL_SOCKET, SO_TYPE,
           &value, bad);
    close(pair[0]);
    close(pair[1]);
}

/* ---- The rest ------------------------------------------------------------ */

static void check_rest(void)
{
    unsigned id;

    FAULTS("clock_gettime", SYS_clock_gettime, CLOCK_MONOTONIC, bad);
    FAULTS("clock_gettime to what can be read", SYS_clock_gettime,
           CLOCK_REALTIME, fixed);
    FAULTS("clock_gettime of CPU time", SYS_clock_gettime,
           CLOCK_THREAD_CPUTIME_ID, bad);
    FAULTS("clock_getres", SYS_clock_getres, CLOCK_MONOTONIC, bad);
    FAULTS("gettimeofday", SYS_gettimeofday, bad, 0);
    FAULTS("time", SYS_time, bad);
    FAULTS("clock_settime", SYS_clock_settime, CLOCK_REALTIME, bad);
    FAULTS("settimeofday", SYS_settimeofday, bad, 0);
    FAULTS("uname", SYS_uname, bad);
    FAULTS("sysinfo", SYS_sysinfo, bad);
    FAULTS("getrusage", SYS_getrusage, RUSAGE_SELF, bad);
    FAULTS("times", SYS_times, bad);
    FAULTS("getrlimit", SYS_getrlimit, RLIMIT_NOFILE, bad);
    FAULTS("setrlimit", SYS_setrlimit, RLIMIT_NOFILE, bad);
    FAULTS("getresuid", SYS_getresuid, &id, &id, bad);
    FAULTS("prctl, a name", SYS_prctl, PR_SET_NAME, bad, 0, 0, 0);
    FAULTS("prctl, a name that is asked for", SYS_prctl, PR_GET_NAME, bad, 0, 0,
           0);
    FAULTS("arch_prctl", SYS_arch_prctl, 0x1003, bad);
    FAULTS("sched_getparam", SYS_sched_getparam, 0, bad);
    FAULTS("sched_setparam", SYS_sched_setparam, 0, bad);
    FAULTS("sched_getaffinity", SYS_sched_getaffinity, 0, 128, bad);
    FAULTS("sched_setaffinity", SYS_sched_setaffinity, 0, 8, bad);
    FAULTS("sched_rr_get_interval", SYS_sched_rr_get_interval, 0, bad);
    FAULTS("getcpu", SYS_getcpu, bad, 0, 0);
    FAULTS("getrandom", SYS_getrandom, bad, 8, 0);
    FAULTS("mincore", SYS_mincore, page, PAGE, bad);
    FAULTS("get_robust_list", SYS_get_robust_list, 0, bad, &id);
    FAULTS("capget", SYS_capget, bad, 0);
}

/* ---- Memory that is taken away ------------------------------------------- */

static char *buffer;
static int ends[2];

/* Waits until the other thread does, takes its memory, lets it go on. */
static void *take(void *argument)
{
    bool unmap = argument;

    usleep(20000);
    if (unmap)
        munmap(buffer, PAGE);
    else
        mprotect(buffer, PAGE, PROT_READ);
    if (write(ends[1], "12345678", 8) != 8)
        exit(2);
    return NULL;
}

static void begin_taking(pthread_t *thread, bool unmap)
{
    buffer = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_create(thread, NULL, take, (void *)(long)unmap);
}

/* Whether a call that blocks says EFAULT once its memory is not there. */
#define IS_TAKEN(name, unmap, ...)                   \
    do {                                             \
        pthread_t thread_;                           \
        long result_;                                \
        int error_;                                  \
        begin_taking(&thread_, unmap);               \
        result_ = (errno = 0, syscall(__VA_ARGS__)); \
        error_ = errno;                              \
        pthread_join(thread_, NULL);                 \
        report(name, result_, error_, EFAULT);       \
    } while (0)

static void make_ends(void)
{
    close(ends[0]);
    close(ends[1]);
    if (pipe(ends))
        exit(2);
}

static void check_taken(void)
{
    struct epoll_event event = {.events = EPOLLIN};
    int epoll = epoll_create1(0);

    ends[0] = ends[1] = -1;
    make_ends();
    IS_TAKEN("read of a pipe, unmapped", true, SYS_read, ends[0], buffer, 8);
    make_ends();
    IS_TAKEN("read of a pipe, protected", false, SYS_read, ends[0], buffer, 8);
    make_ends();
    epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event);
    IS_TAKEN("epoll_wait", true, SYS_epoll_wait, epoll, buffer, 1, -1);
    make_ends();
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
        exit(2);
    IS_TAKEN("recv", true, SYS_recvfrom, ends[0], buffer, 8, 0, 0, 0);
    close(ends[0]);
    close(ends[1]);
    ends[0] = ends[1] = eventfd(0, 0);
    IS_TAKEN("read of an eventfd", false, SYS_read, ends[0], buffer, 8);
}

int main(int argc, char **argv)
{
    map_pages();
    if (argc > 1 && strcmp(argv[1], "taken") == 0) {
        check_taken();
        return failures != 0;
    }
    check_files();
    check_waiting();
    check_futexes();
    check_signals();
    check_sockets();
    check_rest();
    return failures != 0;
}
