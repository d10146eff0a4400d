/* SPDX-License-Identifier: MIT */
/* Build-time tool: prints the monitor's seccomp filters as BPF in C. */

/*
 * libseccomp compiles the allow-list below; the monitor embeds the result and
 * needs no library at run time. There is one filter for VMs with
 * nothing but consoles, one for VMs with other devices, and two for VMs with
 * shared directories: read-only ones, and others; and three of these once more
 * for VMs with streams; one for VMs whose process accepts connections for them;
 * and one each for the broker and for keepers. The kernel walks a
 * filter once per system-call number when it is installed, so the price of
 * installing it is the length of those paths: a binary search keeps them short.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/mayfly.h"

/* What running, reporting and ending a VM takes, once it is built. */
static const int always[] = {
    /* console: moving bytes, and waiting for them */
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    /* signals and the tick */
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(timer_settime),
    SCMP_SYS(clock_gettime), /* where the vDSO cannot answer it */
    /* reports: messages, symbols, statistics */
    SCMP_SYS(write),
    SCMP_SYS(pread64),
    SCMP_SYS(mincore),
    SCMP_SYS(pwrite64),  /* a snapshot */
    SCMP_SYS(getrandom), /* a seed, after a reset */
    /* the end */
    SCMP_SYS(close),
    SCMP_SYS(munmap),
    SCMP_SYS(madvise),
    SCMP_SYS(timer_delete),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
};

/* What streams take beside other devices. Some with arguments. */
static const int for_sockets[] = {
    SCMP_SYS(accept4),   SCMP_SYS(shutdown),   SCMP_SYS(recvmsg),
    SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait),
};

/* What other devices take beside that. */
static const int for_devices[] = {
    /* disks: read, write, flush, discard and write zeroes */
    SCMP_SYS(preadv),
    SCMP_SYS(pwritev),
    SCMP_SYS(fdatasync),
    SCMP_SYS(fallocate),
    /* the I/O thread: its start and end, its lock, what it costs others */
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(futex),
    SCMP_SYS(sched_yield),
    SCMP_SYS(getrusage),
    SCMP_SYS(getcpu),
};

/*
 * What shared directories take beside that. Paths are in memory, where a filter
 * does not see them: openat2() keeps beneath the share, and so does Landlock.
 */
static const int for_shares[] = {
    SCMP_SYS(openat2),    SCMP_SYS(fstat), SCMP_SYS(fstatfs),
    SCMP_SYS(readlinkat), SCMP_SYS(lseek), SCMP_SYS(getdents64),
    SCMP_SYS(fsync),
};

/* And those that can be written to. Some with arguments: allow_changes(). */
static const int for_writable_shares[] = {
    SCMP_SYS(ftruncate),
    SCMP_SYS(symlinkat),
    SCMP_SYS(renameat),
};

static const unsigned long ioctls_always[] = {
    KVM_RUN,           KVM_GET_SREGS, KVM_GET_XSAVE, /* a snapshot */
    KVM_GET_DIRTY_LOG, /* a reset: what it copies back */
    TIOCGWINSZ,        /* a terminal has changed its size */
};

static const unsigned long ioctls_for_devices[] = {
    TUNSETOFFLOAD, /* tap: what the guest takes */
};

/* One more thread of this process, and nothing else that clone() can do. */
#define THREAD (CLONE_VM | CLONE_SIGHAND | CLONE_THREAD)
#define THREAD_DETAILS                                       \
    (CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_SETTLS | \
     CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | CLONE_DETACHED)

/* Stands for the monitor's own process in the filter, until that is known. */
#define SECCOMP_PROCESS 0x7ff0f1d5

/* Likewise for the descriptors of struct mayfly_acceptor. */
#define SECCOMP_LISTENER   0x7ff0f1d6
#define SECCOMP_CONNECTION 0x7ff0f1d7
#define SECCOMP_REPORTS    0x7ff0f1d8

/* More than such a process may open: limit_files() in confine.c. */
#define FDS_MAX 4096u

/* MAYFLY_KICK_SIGNAL, which C libraries number differently. */
static const int kick_signals[] = {34, 35};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* The kernel takes 32 bits; libcs extend the rest as they like. */
#define IOCTL_MASK 0xffffffffu

static void check(int result, const char *what)
{
    if (result >= 0)
        return;
    fprintf(stderr, "seccomp_gen: %s: %s\n", what, strerror(-result));
    exit(1);
}

/* ---- The way of numbers that nobody may call ----------------------------- */

/*
 * Most numbers are of this kind, and the kernel walks the way of each. In place
 * of the test for x32, whose numbers are above all that is allowed anyway, a
 * program gets two of its own: is the number above the highest that is allowed,
 * or in the largest gap below it? A third of what installing costs is saved.
 */

#define PROGRAM_MAX 512u
#define NUMBERS     1024u /* more than there are system calls */

struct program {
    struct sock_filter ops[PROGRAM_MAX];
    unsigned count;
};

/* Where the way of a number ends, or first depends on an argument. */
static unsigned walk(const struct program *program, uint32_t number,
                     uint32_t arch)
{
    uint32_t value = 0;
    unsigned at = 0;

    while (at < program->count) {
        const struct sock_filter *op = &program->ops[at];
        bool taken = false;

        if (op->code == (BPF_LD | BPF_W | BPF_ABS)) {
            if (op->k != offsetof(struct seccomp_data, nr) &&
                op->k != offsetof(struct seccomp_data, arch))
                return at;
            value = op->k == offsetof(struct seccomp_data, nr) ? number : arch;
            at++;
            continue;
        }
        if (BPF_CLASS(op->code) != BPF_JMP)
            return at;
        if (BPF_OP(op->code) == BPF_JEQ)
            taken = value == op->k;
        else if (BPF_OP(op->code) == BPF_JGT)
            taken = value > op->k;
        else if (BPF_OP(op->code) == BPF_JGE)
            taken = value >= op->k;
        else
            return at;
        at += 1 + (taken ? op->jt : op->jf);
    }
    return at;
}

static bool is_killed(const struct program *program, unsigned at)
{
    return program->ops[at].code == (BPF_RET | BPF_K) &&
           (program->ops[at].k == SECCOMP_RET_KILL_PROCESS ||
            program->ops[at].k == SECCOMP_RET_KILL_THREAD);
}

static bool is_denied(const struct program *program, uint32_t number)
{
    return is_killed(program, walk(program, number, AUDIT_ARCH_X86_64));
}

/* All numbers have to end where they ended, or be killed as they were. */
static bool is_same(const struct program *one, const struct program *other)
{
    static const uint32_t archs[] = {AUDIT_ARCH_X86_64, AUDIT_ARCH_I386};

    for (size_t i = 0; i < COUNT(archs); i++)
        for (uint32_t number = 0; number < 2 * NUMBERS; number++) {
            /* The upper half: those of x32, and the last ones. */
            uint32_t tried = number < NUMBERS           ? number
                             : number < 3 * NUMBERS / 2 ? number + 0x40000000
                                                        : ~(number - NUMBERS);
            unsigned is = walk(one, tried, archs[i]);
            unsigned becomes = walk(other, tried, archs[i]);

            if (is != becomes &&
                !(is_killed(one, is) && is_killed(other, becomes)))
                return false;
        }
    return true;
}

/* The largest row of denied numbers below `highest`: (*after, *before). */
static void find_gap(const struct program *program, uint32_t highest,
                     uint32_t *after, uint32_t *before)
{
    uint32_t last = 0;

    *after = *before = 0;
    for (uint32_t number = 1; number <= highest; number++) {
        if (is_denied(program, number))
            continue;
        if (number - last > *before - *after) {
            *after = last;
            *before = number;
        }
        last = number;
    }
}

#define JUMP(test, to, jt, jf) \
    (struct sock_filter) BPF_JUMP(BPF_JMP | (test) | BPF_K, to, jt, jf)

static void shorten(struct program *program)
{
    struct program original = *program;
    struct sock_filter *ops = program->ops;
    uint32_t highest = NUMBERS - 1, after, before;
    unsigned kill = 0;

    while (highest > 0 && is_denied(program, highest))
        highest--;
    find_gap(program, highest, &after, &before);
    while (kill < program->count && !is_killed(program, kill))
        kill++;
    /* Without a binary search libseccomp makes something else: let it be. */
    if (program->count < 8 || ops[2].k != offsetof(struct seccomp_data, nr) ||
        ops[3].k != 0x40000000 || ops[4].k != UINT32_MAX ||
        ops[5].k != offsetof(struct seccomp_data, nr))
        return;
    if (kill >= program->count || kill > 255)
        check(-E2BIG, "jump to a filter's end");
    ops[3] = JUMP(BPF_JGT, highest, (uint8_t)(kill - 4), 0);
    ops[4] = JUMP(BPF_JGE, before, 1, 0);
    ops[5] = JUMP(BPF_JGT, after, (uint8_t)(kill - 6), 0);
    if (!is_same(&original, program))
        check(-EINVAL, "shorten a filter");
}

/* Reads the program back from the temporary file behind `file`. */
static void print_program(FILE *file, const char *name)
{
    struct program program;

    rewind(file);
    program.count =
        (unsigned)fread(program.ops, sizeof(program.ops[0]), PROGRAM_MAX, file);
    if (program.count == PROGRAM_MAX)
        check(-E2BIG, "read a filter");
    shorten(&program);
    printf("__attribute__((__unused__))\n");
    printf("static struct sock_filter %s[] = {\n", name);
    for (unsigned i = 0; i < program.count; i++) {
        const struct sock_filter *op = &program.ops[i];

        printf("    {0x%02x, %u, %u, 0x%08x},\n", op->code, op->jt, op->jf,
               op->k);
    }
    printf("};\n");
}

static void export(scmp_filter_ctx filter, const char *name)
{
    FILE *file = tmpfile();

    if (!file)
        check(-errno, "make a temporary file");
    check(seccomp_export_bpf(filter, fileno(file)), "export");
    print_program(file, name);
    seccomp_release(filter);
    fclose(file);
}

/* ---- The lists ----------------------------------------------------------- */

static void allow(scmp_filter_ctx filter, const int *calls, size_t count)
{
    for (size_t i = 0; i < count; i++)
        check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0),
              "allow a call");
}

static void allow_ioctls(scmp_filter_ctx filter, const unsigned long *requests,
                         size_t count)
{
    for (size_t i = 0; i < count; i++)
        check(seccomp_rule_add(
                  filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                  SCMP_A1(SCMP_CMP_MASKED_EQ, IOCTL_MASK, requests[i])),
              "allow an ioctl");
}

static void allow_devices(scmp_filter_ctx filter)
{
    allow(filter, for_devices, COUNT(for_devices));
    allow_ioctls(filter, ioctls_for_devices, COUNT(ioctls_for_devices));
    check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                           SCMP_A0(SCMP_CMP_MASKED_EQ,
                                   (scmp_datum_t) ~(THREAD_DETAILS), THREAD)),
          "allow a thread");
    /* Its arguments are in memory; libcs fall back to clone. */
    check(seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0),
          "refuse clone3");
    /* Of the calling thread only: to which processors it may go. */
    check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(sched_getaffinity),
                           1, SCMP_A0_32(SCMP_CMP_EQ, 0)),
          "allow to ask for processors");
    check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(sched_setaffinity),
                           1, SCMP_A0_32(SCMP_CMP_EQ, 0)),
          "allow another processor");
    for (size_t i = 0; i < COUNT(kick_signals); i++)
        check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 2,
                               SCMP_A0_32(SCMP_CMP_EQ, SECCOMP_PROCESS),
                               SCMP_A2_32(SCMP_CMP_EQ, kick_signals[i])),
              "allow a signal");
}

/* Not in every list of calls: Linux 6.6 and later. */
#define FCHMODAT2 452

/* Modes have no set-id bits, and nodes are files or FIFOs. */
static void allow_changes(scmp_filter_ctx filter)
{
    const scmp_datum_t set_id = S_ISUID | S_ISGID;
    const scmp_datum_t kinds[] = {S_IFREG, S_IFIFO};
    const scmp_datum_t unlinks[] = {0, AT_REMOVEDIR};
    const scmp_datum_t times[] = {0, AT_SYMLINK_NOFOLLOW};

    allow(filter, for_writable_shares, COUNT(for_writable_shares));
    check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mkdirat), 1,
                           SCMP_A2(SCMP_CMP_MASKED_EQ, set_id, 0)),
          "allow directories");
    check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fchmod), 1,
                           SCMP_A1(SCMP_CMP_MASKED_EQ, set_id, 0)),
          "allow modes");
    check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, FCHMODAT2, 2,
                           SCMP_A2(SCMP_CMP_MASKED_EQ, set_id, 0),
                           SCMP_A3_32(SCMP_CMP_EQ, AT_EMPTY_PATH)),
          "allow modes by path");
    check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(linkat), 1,
                           SCMP_A4_32(SCMP_CMP_EQ, 0)),
          "allow links");
    for (size_t i = 0; i < COUNT(kinds); i++)
        check(seccomp_rule_add(
                  filter, SCMP_ACT_ALLOW, SCMP_SYS(mknodat), 1,
                  SCMP_A2(SCMP_CMP_MASKED_EQ, S_IFMT | set_id, kinds[i])),
              "allow nodes");
    for (size_t i = 0; i < COUNT(unlinks); i++)
        check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(unlinkat), 1,
                               SCMP_A2_32(SCMP_CMP_EQ, unlinks[i])),
              "allow to remove");
    for (size_t i = 0; i < COUNT(times); i++)
        check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(utimensat), 1,
                               SCMP_A3_32(SCMP_CMP_EQ, times[i])),
              "allow times");
}

static void allow_more(scmp_filter_ctx filter)
{
    check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(sendto), 2,
                           SCMP_A3_32(SCMP_CMP_EQ, MSG_MORE),
                           SCMP_A4(SCMP_CMP_EQ, 0)),
          "allow to send what is not the last");
}

/* The first argument is this descriptor. */
static void allow_of(scmp_filter_ctx filter, int call, unsigned descriptor)
{
    check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1,
                           SCMP_A0_32(SCMP_CMP_EQ, descriptor)),
          "allow a call for a descriptor");
}

/*
 * What others listen at, too, stays as it is: it is only accepted from. Not by
 * "another descriptor than this": the kernel takes 32 bits of 64.
 */
static void allow_accepting(scmp_filter_ctx filter)
{
    static const int calls[] = {SCMP_SYS(recvmsg), SCMP_SYS(epoll_ctl),
                                SCMP_SYS(epoll_wait)};

    allow(filter, calls, COUNT(calls));
    allow_more(filter);
    allow_of(filter, SCMP_SYS(accept4), SECCOMP_LISTENER);
    allow_of(filter, SCMP_SYS(dup), SECCOMP_CONNECTION);
    allow_of(filter, SCMP_SYS(sendmsg), SECCOMP_REPORTS);
    for (scmp_datum_t from = MAYFLY_ACCEPTOR_FDS; from < FDS_MAX; from *= 2) {
        check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(shutdown), 1,
                               SCMP_A0(SCMP_CMP_MASKED_EQ, ~(from - 1), from)),
              "allow to end connections");
        check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(setsockopt), 3,
                               SCMP_A0(SCMP_CMP_MASKED_EQ, ~(from - 1), from),
                               SCMP_A1_32(SCMP_CMP_EQ, SOL_SOCKET),
                               SCMP_A2_32(SCMP_CMP_EQ, SO_LINGER)),
              "allow to cut a connection off");
    }
}

static void allow_sockets(scmp_filter_ctx filter)
{
    allow(filter, for_sockets, COUNT(for_sockets));
    check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(setsockopt), 2,
                           SCMP_A1_32(SCMP_CMP_EQ, SOL_SOCKET),
                           SCMP_A2_32(SCMP_CMP_EQ, SO_LINGER)),
          "allow to cut a connection off");
    allow_more(filter);
}

/*
 * What the process that connects for guests takes (cli_broker.c). Addresses are
 * in memory, where a filter does not see them.
 */
static void print_broker(void)
{
    static const int calls[] = {
        SCMP_SYS(connect),       SCMP_SYS(getsockopt),
        SCMP_SYS(recvfrom),      SCMP_SYS(sendmsg),
        SCMP_SYS(poll),          SCMP_SYS(close),
        SCMP_SYS(exit_group),    SCMP_SYS(rt_sigreturn),
        SCMP_SYS(clock_gettime), SCMP_SYS(restart_syscall),
    };
    const scmp_datum_t families[] = {AF_INET, AF_INET6};
    const int kind = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);

    if (!filter)
        check(-ENOMEM, "start a filter");
    allow(filter, calls, COUNT(calls));
    for (size_t i = 0; i < COUNT(families); i++)
        check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
                               SCMP_A0_32(SCMP_CMP_EQ, families[i]),
                               SCMP_A1_32(SCMP_CMP_EQ, kind)),
              "allow sockets");
    export(filter, "filter_for_broker");
}

/* What a process takes that gives back one descriptor (server/keeper.c). */
static void print_keeper(void)
{
    static const int calls[] = {SCMP_SYS(recvfrom), SCMP_SYS(sendmsg),
                                SCMP_SYS(exit_group),
                                SCMP_SYS(restart_syscall)};
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);

    if (!filter)
        check(-ENOMEM, "start a filter");
    allow(filter, calls, COUNT(calls));
    export(filter, "filter_for_keeper");
}

/* What a filter is for: each has all that the one before it has. */
enum level { CONSOLES, DEVICES, SHARES, WRITABLE_SHARES };

enum sockets { NO_SOCKETS, SOCKETS, ACCEPTOR };

static void print_filter(const char *name, enum level level,
                         enum sockets sockets)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);

    if (!filter)
        check(-ENOMEM, "start a filter");
    check(seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2),
          "binary search");
    allow(filter, always, COUNT(always));
    allow_ioctls(filter, ioctls_always, COUNT(ioctls_always));
    if (level >= DEVICES)
        allow_devices(filter);
    if (level >= SHARES)
        allow(filter, for_shares, COUNT(for_shares));
    if (level >= WRITABLE_SHARES)
        allow_changes(filter);
    if (sockets == SOCKETS)
        allow_sockets(filter);
    if (sockets == ACCEPTOR)
        allow_accepting(filter);
    /* Where memory of a snapshot is not there any more: an empty page. */
    check(seccomp_rule_add(
              filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
              SCMP_A2(SCMP_CMP_EQ, PROT_READ | PROT_WRITE),
              SCMP_A3(SCMP_CMP_EQ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED)),
          "allow an empty page");
    export(filter, name);
}

int main(void)
{
    printf("/* Generated by vmm/seccomp_gen.c. */\n");
    printf("#define SECCOMP_PROCESS 0x%x\n", SECCOMP_PROCESS);
    printf("#define SECCOMP_LISTENER 0x%x\n", SECCOMP_LISTENER);
    printf("#define SECCOMP_CONNECTION 0x%x\n", SECCOMP_CONNECTION);
    printf("#define SECCOMP_REPORTS 0x%x\n", SECCOMP_REPORTS);
    print_filter("filter_for_consoles", CONSOLES, NO_SOCKETS);
    print_filter("filter_for_devices", DEVICES, NO_SOCKETS);
    print_filter("filter_for_shares", SHARES, NO_SOCKETS);
    print_filter("filter_for_writable_shares", WRITABLE_SHARES, NO_SOCKETS);
    print_filter("filter_for_sockets", DEVICES, SOCKETS);
    print_filter("filter_for_sockets_and_shares", SHARES, SOCKETS);
    print_filter("filter_for_sockets_and_writable_shares", WRITABLE_SHARES,
                 SOCKETS);
    print_filter("filter_for_acceptor", DEVICES, ACCEPTOR);
    print_broker();
    print_keeper();
    return fflush(stdout) || ferror(stdout);
}
