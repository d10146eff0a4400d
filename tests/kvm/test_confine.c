/* SPDX-License-Identifier: MIT */
/* The sandbox: what it lets a run do, and that all else is deadly. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/kvm/kvm_test.h"

TestSuite(confine, .timeout = 240);

/* Exit statuses of the child that is confined. */
#define CHILD_FINE   0
#define CHILD_FAILED 99

/* Loads a guest and gives up everything; ends the child if that fails. */
static void confine(struct guest *guest)
{
    load_guest(guest);
    if (mayfly_confine(guest->vm, 0, NULL))
        _exit(CHILD_FAILED);
}

/* Does something in a confined process. Returns what wait() says of it. */
static int in_confined_child(const char *image, void (*act)(struct guest *))
{
    int status = 0;

    need_kvm();
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        struct guest guest = {.image = image};

        confine(&guest);
        act(&guest);
        _exit(CHILD_FINE);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    return status;
}

/* ---- What is allowed ---------------------------------------------------- */

static void expect(bool right)
{
    if (!right)
        _exit(CHILD_FAILED);
}

/* What must work when confined: a sanitizer makes calls of its own there. */
static void need_plain_build(void)
{
#if defined(__SANITIZE_ADDRESS__)
    cr_skip_test("a sanitizer makes forbidden system calls");
#endif
}

static void run_to_exit(struct guest *guest)
{
    expect(mayfly_run(guest->vm, &guest->result, NULL) == 0);
    expect(guest->result.end == MAYFLY_EXITED && guest->result.status == 0);
    mayfly_get_stats(guest->vm, &guest->stats);
    expect(guest->stats.stage_ns[MAYFLY_STAGE_CONFINED] != 0);
}

static void run_to_page_fault(struct guest *guest)
{
    expect(mayfly_run(guest->vm, &guest->result, NULL) == 0);
    expect(guest->result.end == MAYFLY_CRASHED);
    expect(guest->result.crash.has_address);
    guest->frame_count = mayfly_backtrace(guest->vm, &guest->result.crash,
                                          guest->frames, MAYFLY_FRAMES_MAX);
    expect(find_frame(guest, "main") >= 0);
}

static void run_to_overflow(struct guest *guest)
{
    expect(mayfly_run(guest->vm, &guest->result, NULL) == 0);
    expect(guest->result.crash.stack_overflow);
}

static struct mayfly *alarmed;

static void on_alarm(int number)
{
    (void)number;
    mayfly_stop(alarmed);
}

/* The timer is started before: making one is not allowed later. */
static void set_alarm(struct mayfly *vm)
{
    const struct sigaction action = {.sa_handler = on_alarm};
    const struct itimerval soon = {.it_value = {.tv_usec = 200000}};

    alarmed = vm;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &soon, NULL);
}

static void run_to_stop(struct guest *guest)
{
    expect(mayfly_run(guest->vm, &guest->result, NULL) == 0);
    expect(guest->result.end == MAYFLY_STOPPED);
}

static void destroy(struct guest *guest)
{
    run_to_exit(guest);
    mayfly_destroy(guest->vm);
}

Test(confine, lets_guests_run_print_and_sleep, .init = need_plain_build)
{
    static const char *const images[] = {"hello", "cat",   "sleep", "libc",
                                         "fpu",   "clock", "args"};

    for (unsigned i = 0; i < sizeof(images) / sizeof(images[0]); i++)
        cr_assert_eq(in_confined_child(images[i], run_to_exit), 0, "%s",
                     images[i]);
}

static const char *const disk_args[] = {
    "disk", "info",  "fill",    "0", "64", "read", "0",
    "64",   "flush", "discard", "8", "8",  NULL};

/* Loads a guest with a disk and confines the process. */
static void confine_with_disk(struct guest *guest)
{
    static struct mayfly_disk disk;

    disk.fd = memfd_create("disk", MFD_CLOEXEC);
    expect(disk.fd >= 0 && ftruncate(disk.fd, 1 << 20) == 0);
    *guest = (struct guest){
        .image = "disk",
        .options = {.disks = &disk, .disk_count = 1, .args = disk_args},
    };
    confine(guest);
}

Test(confine, lets_guests_use_disks_if_they_have_them, .init = need_plain_build)
{
    int status = 0;

    need_kvm();
    pid_t child = fork();
    if (child == 0) {
        struct guest guest;

        confine_with_disk(&guest);
        run_to_exit(&guest);
        expect(guest.stats.disks[0].requests == 5);
        expect(guest.stats.disks[0].errors == 0);
        _exit(CHILD_FINE);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
}

Test(confine, lets_a_page_fault_be_explained, .init = need_plain_build)
{
    cr_assert_eq(in_confined_child("null", run_to_page_fault), 0);
    cr_assert_eq(in_confined_child("overflow", run_to_overflow), 0);
}

Test(confine, lets_a_vm_be_destroyed, .init = need_plain_build)
{
    cr_assert_eq(in_confined_child("hello", destroy), 0);
}

Test(confine, lets_a_signal_handler_stop_the_vm, .init = need_plain_build)
{
    static const char *const images[] = {"loop", "forever"};

    need_kvm();
    for (unsigned i = 0; i < sizeof(images) / sizeof(images[0]); i++) {
        int status = 0;
        pid_t child = fork();

        if (child == 0) {
            struct guest guest = {.image = images[i]};

            load_guest(&guest);
            set_alarm(guest.vm);
            expect(mayfly_confine(guest.vm, 0, NULL) == 0);
            run_to_stop(&guest);
            _exit(CHILD_FINE);
        }
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert_eq(status, 0, "%s", images[i]);
    }
}

/* ---- What is deadly ----------------------------------------------------- */

#define FORBIDDEN(name, ...)              \
    static void name(struct guest *guest) \
    {                                     \
        (void)guest;                      \
        (void)!(__VA_ARGS__);             \
    }

static struct sockaddr address = {.sa_family = AF_UNIX};

FORBIDDEN(do_open, syscall(SYS_open, "/dev/null", O_RDONLY))
FORBIDDEN(do_openat, syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY))
FORBIDDEN(do_creat, syscall(SYS_creat, "/tmp/x", 0600))
FORBIDDEN(do_read, syscall(SYS_read, 0, &address, 1))
FORBIDDEN(do_stat, syscall(SYS_stat, "/", NULL))
FORBIDDEN(do_unlink, syscall(SYS_unlink, "/tmp/none"))
FORBIDDEN(do_socket, syscall(SYS_socket, AF_INET, SOCK_STREAM, 0))
FORBIDDEN(do_connect, syscall(SYS_connect, 0, &address, sizeof(address)))
FORBIDDEN(do_bind, syscall(SYS_bind, 0, &address, sizeof(address)))
FORBIDDEN(do_sendmsg, syscall(SYS_sendmsg, 1, NULL, 0))
FORBIDDEN(do_execve, syscall(SYS_execve, "/bin/true", NULL, NULL))
FORBIDDEN(do_fork, syscall(SYS_fork))
FORBIDDEN(do_clone, syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0))
FORBIDDEN(do_mmap, syscall(SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))
FORBIDDEN(do_mprotect, syscall(SYS_mprotect, 0, 4096, PROT_READ))
FORBIDDEN(do_dup, syscall(SYS_dup, 1))
FORBIDDEN(do_kill, syscall(SYS_kill, getppid(), 0))
FORBIDDEN(do_tgkill, syscall(SYS_tgkill, 1, 1, 0))
FORBIDDEN(do_ptrace, syscall(SYS_ptrace, 0, 0, 0, 0))
FORBIDDEN(do_prctl, syscall(SYS_prctl, PR_SET_DUMPABLE, 1))
FORBIDDEN(do_unshare, syscall(SYS_unshare, CLONE_NEWUSER))
FORBIDDEN(do_prlimit, syscall(SYS_prlimit64, 0, RLIMIT_CORE, NULL, NULL))
FORBIDDEN(do_bpf, syscall(SYS_bpf, 0, NULL, 0))
FORBIDDEN(do_io_uring, syscall(SYS_io_uring_setup, 1, NULL))
FORBIDDEN(do_process_vm_writev, syscall(SYS_process_vm_writev, 1, 0, 0, 0, 0))
FORBIDDEN(do_highest_number, syscall(100000))
FORBIDDEN(do_negative_number, syscall(-1))
FORBIDDEN(do_x32_number, syscall(0x40000000 | SYS_exit_group, 0))
FORBIDDEN(do_ioctl_tty, ioctl(0, TIOCSTI, "x"))
FORBIDDEN(do_ioctl_create_vm, ioctl(0, KVM_CREATE_VM, 0))
FORBIDDEN(do_ioctl_memory, ioctl(0, KVM_SET_USER_MEMORY_REGION, 0))
FORBIDDEN(do_ioctl_next, ioctl(0, KVM_RUN + 1, 0))

/* The 32-bit entry has numbers of its own: 20 is getpid there. */
static void do_int80(struct guest *guest)
{
    long result = 20;

    (void)guest;
    __asm__ volatile("int $0x80" : "+a"(result) : : "memory");
}

static const struct {
    const char *name;
    void (*act)(struct guest *);
} forbidden[] = {
    {"open", do_open},
    {"openat", do_openat},
    {"creat", do_creat},
    {"read", do_read},
    {"stat", do_stat},
    {"unlink", do_unlink},
    {"socket", do_socket},
    {"connect", do_connect},
    {"bind", do_bind},
    {"sendmsg", do_sendmsg},
    {"execve", do_execve},
    {"fork", do_fork},
    {"clone", do_clone},
    {"mmap", do_mmap},
    {"mprotect", do_mprotect},
    {"dup", do_dup},
    {"kill", do_kill},
    {"tgkill", do_tgkill},
    {"ptrace", do_ptrace},
    {"prctl", do_prctl},
    {"unshare", do_unshare},
    {"prlimit64", do_prlimit},
    {"bpf", do_bpf},
    {"io_uring_setup", do_io_uring},
    {"process_vm_writev", do_process_vm_writev},
    {"a number past the last", do_highest_number},
    {"a negative number", do_negative_number},
    {"an x32 number", do_x32_number},
    {"the 32-bit entry", do_int80},
    {"ioctl TIOCSTI", do_ioctl_tty},
    {"ioctl KVM_CREATE_VM", do_ioctl_create_vm},
    {"ioctl KVM_SET_USER_MEMORY_REGION", do_ioctl_memory},
    {"the ioctl after KVM_RUN", do_ioctl_next},
};

Test(confine, kills_the_process_for_any_other_system_call)
{
    for (unsigned i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
        int status = in_confined_child("boot", forbidden[i].act);

        cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS,
                  "%s: status %#x", forbidden[i].name, (unsigned)status);
    }
}

/* What taking one needs is made before, if it was asked for then. */
static void take_unasked(struct guest *guest)
{
    char error[MAYFLY_ERROR_BYTES] = "";
    int fd = guest->out_file;

    expect(mayfly_run(guest->vm, &guest->result, error) == 0);
    expect(guest->result.end == MAYFLY_AT_CALL);
    expect(mayfly_snapshot(guest->vm, fd, error) == -EPERM);
    expect(strstr(error, "options.snapshots"));
}

Test(confine, says_why_no_snapshot_is_taken_that_was_not_asked_for,
     .init = need_plain_build)
{
    cr_assert_eq(in_confined_child("secrets", take_unasked), CHILD_FINE);
}

FORBIDDEN(do_preadv, syscall(SYS_preadv, 0, NULL, 0, 0, 0))
FORBIDDEN(do_pwritev, syscall(SYS_pwritev, 0, NULL, 0, 0, 0))
FORBIDDEN(do_fdatasync, syscall(SYS_fdatasync, 0))
FORBIDDEN(do_fallocate, syscall(SYS_fallocate, 0, 0, 0, 0))

Test(confine, kills_a_process_without_disks_for_what_disks_need)
{
    static void (*const acts[])(struct guest *) = {do_preadv, do_pwritev,
                                                   do_fdatasync, do_fallocate};

    for (unsigned i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
        int status = in_confined_child("boot", acts[i]);

        cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS,
                  "call %u: status %#x", i, (unsigned)status);
    }
}

FORBIDDEN(do_accept, syscall(SYS_accept4, 0, NULL, NULL, 0))
FORBIDDEN(do_shutdown, syscall(SYS_shutdown, 0, 0))
FORBIDDEN(do_recvmsg, syscall(SYS_recvmsg, 0, NULL, 0))
FORBIDDEN(do_epoll_ctl, syscall(SYS_epoll_ctl, 0, 0, 0, NULL))
FORBIDDEN(do_epoll_wait, syscall(SYS_epoll_wait, 0, NULL, 0, 0))
FORBIDDEN(do_linger, setsockopt(0, SOL_SOCKET, SO_LINGER, NULL, 0))
FORBIDDEN(do_keepalive, setsockopt(0, SOL_SOCKET, SO_KEEPALIVE, NULL, 0))

/* What a child with streams does, once it is confined; it may accept. */
static int in_child_that_accepts(const struct mayfly_acceptor *acceptor,
                                 void (*act)(struct guest *))
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        struct guest guest = {
            .image = "boot",
            .options = {.sockets = true, .acceptor = acceptor},
        };

        confine(&guest);
        act(&guest);
        _exit(CHILD_FINE);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    return status;
}

static int in_child_with_streams(void (*act)(struct guest *))
{
    return in_child_that_accepts(NULL, act);
}

Test(confine, has_calls_for_streams_where_there_are_streams)
{
    static void (*const acts[])(struct guest *) = {do_accept,     do_shutdown,
                                                   do_recvmsg,    do_epoll_ctl,
                                                   do_epoll_wait, do_linger};

    need_kvm();
    need_plain_build();
    for (unsigned i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
        int status = in_child_with_streams(acts[i]);

        cr_assert(WIFEXITED(status), "call %u: %#x", i, (unsigned)status);
        status = in_confined_child("boot", acts[i]);
        cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS,
                  "call %u: %#x", i, (unsigned)status);
    }
    for (unsigned i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
        int status = in_child_with_streams(forbidden[i].act);

        cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "%s: %#x",
                  forbidden[i].name, (unsigned)status);
    }
    cr_assert(WIFSIGNALED(in_child_with_streams(do_keepalive)));
}

#define LISTENER   5
#define CONNECTION 3
#define REPORTS    4

FORBIDDEN(do_accept_of_it, syscall(SYS_accept4, LISTENER, NULL, NULL, 0))
FORBIDDEN(do_dup_of_it, syscall(SYS_dup, CONNECTION))
FORBIDDEN(do_sendmsg_to_it, syscall(SYS_sendmsg, REPORTS, NULL, 0))
FORBIDDEN(do_shutdown_others, syscall(SYS_shutdown, MAYFLY_ACCEPTOR_FDS, 0))
FORBIDDEN(do_shutdown_last, syscall(SYS_shutdown, 4095, 0))
FORBIDDEN(do_linger_others,
          setsockopt(MAYFLY_ACCEPTOR_FDS, SOL_SOCKET, SO_LINGER, NULL, 0))

FORBIDDEN(do_dup_listener, syscall(SYS_dup, LISTENER))
FORBIDDEN(do_sendmsg_to_listener, syscall(SYS_sendmsg, LISTENER, NULL, 0))
FORBIDDEN(do_shutdown_low, syscall(SYS_shutdown, MAYFLY_ACCEPTOR_FDS - 1, 0))
FORBIDDEN(do_shutdown_listener, syscall(SYS_shutdown, LISTENER, 2))
FORBIDDEN(do_shutdown_64, syscall(SYS_shutdown, 0x100000000 | LISTENER, 2))
FORBIDDEN(do_shutdown_64_more, syscall(SYS_shutdown, 0x800000000 | LISTENER, 2))
FORBIDDEN(do_linger_listener,
          setsockopt(LISTENER, SOL_SOCKET, SO_LINGER, NULL, 0))
FORBIDDEN(do_keepalive_others,
          setsockopt(MAYFLY_ACCEPTOR_FDS, SOL_SOCKET, SO_KEEPALIVE, NULL, 0))

Test(confine, lets_who_accepts_do_so_and_leaves_the_listener_alone)
{
    const struct mayfly_acceptor acceptor = {LISTENER, CONNECTION, REPORTS};
    static void (*const allowed[])(struct guest *) = {
        do_accept_of_it,    do_dup_of_it,     do_sendmsg_to_it,
        do_shutdown_others, do_shutdown_last, do_linger_others,
        do_recvmsg,         do_epoll_wait};
    static void (*const others[])(struct guest *) = {
        do_accept,           do_dup_listener,      do_sendmsg_to_listener,
        do_shutdown_low,     do_shutdown_listener, do_shutdown_64,
        do_shutdown_64_more, do_linger_listener,   do_keepalive_others};

    need_kvm();
    need_plain_build();
    for (unsigned i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        int status = in_child_that_accepts(&acceptor, allowed[i]);

        cr_assert(WIFEXITED(status), "call %u: %#x", i, (unsigned)status);
    }
    for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        int status = in_child_that_accepts(&acceptor, others[i]);

        cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS,
                  "call %u: %#x", i, (unsigned)status);
    }
}

Test(confine, kills_a_process_with_disks_for_all_the_rest)
{
    need_kvm();
    for (unsigned i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
        int status = 0;
        pid_t child = fork();

        if (child == 0) {
            struct guest guest;

            confine_with_disk(&guest);
            forbidden[i].act(&guest);
            _exit(CHILD_FINE);
        }
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS,
                  "%s: status %#x", forbidden[i].name, (unsigned)status);
    }
}

/* ---- What the process looks like ---------------------------------------- */

static int status_file, limits_file;

/* Reads what was opened before; the kernel writes it now. */
static void expect_line(int fd, const char *line)
{
    static char text[8192];
    ssize_t got = pread(fd, text, sizeof(text) - 1, 0);

    expect(got > 0);
    text[got] = '\0';
    expect(strstr(text, line) != NULL);
}

static void look_at_process(struct guest *guest)
{
    (void)guest;
    expect_line(status_file, "CapInh:\t0000000000000000\n"
                             "CapPrm:\t0000000000000000\n"
                             "CapEff:\t0000000000000000\n");
    expect_line(status_file, "NoNewPrivs:\t1\n");
    expect_line(status_file, "Seccomp:\t2\n");
    expect_line(limits_file, "Max core file size        0 ");
    expect_line(limits_file, "Max open files            2 ");
}

Test(confine, leaves_no_privilege_and_no_room_for_descriptors,
     .init = need_plain_build)
{
    int status = 0;

    need_kvm();
    pid_t child = fork();
    if (child == 0) {
        struct guest guest = {.image = "boot"};

        status_file = open("/proc/self/status", O_RDONLY);
        limits_file = open("/proc/self/limits", O_RDONLY);
        confine(&guest);
        look_at_process(&guest);
        _exit(CHILD_FINE);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
}

Test(confine, refuses_flags_that_it_does_not_know)
{
    struct guest guest = {.image = "boot"};
    char error[MAYFLY_ERROR_BYTES];

    load_guest(&guest);
    cr_assert_lt(mayfly_confine(guest.vm, 0x80, error), 0);
    cr_assert(strstr(error, "unknown flags"));
    mayfly_destroy(guest.vm);
}
