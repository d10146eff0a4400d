/* SPDX-License-Identifier: MIT */
/* The system calls that the runtime implements: the one list of them. */
#ifndef MAYFLY_SYSCALLS_H
#define MAYFLY_SYSCALLS_H

/*
 * Each entry is X(number, name, arguments, state, note): the Linux x86-64
 * number, the name as in SYS_name, how many arguments the implementation
 * takes, FULL or PARTIAL, and for a partial one what is missing.
 *
 * Everything else is generated from this list: the prototypes below, musl's
 * direct calls (musl/overlay/arch/x86_64/syscall_arch.h), the dispatcher
 * behind syscall(3) (syscall.c) and the table in README.md (syscalls-table).
 * A new system call is a line here and a function __mayfly_sys_NAME.
 */
/* clang-format off */
#define MAYFLY_SYSCALLS(X)                                                     \
    X(0, read, 3, PARTIAL,                                                     \
      "descriptors 0 to 2 only; fills memory that is not writable, too")       \
    X(1, write, 3, PARTIAL, "descriptors 0 to 2 only")                         \
    X(3, close, 1, PARTIAL, "descriptors 0 to 2 only")                         \
    X(5, fstat, 2, PARTIAL, "descriptors 0 to 2 only")                         \
    X(7, poll, 3, PARTIAL, "standard input always counts as readable")         \
    X(8, lseek, 3, PARTIAL, "ESPIPE: nothing can seek yet")                    \
    X(9, mmap, 6, PARTIAL, "anonymous only; PROT_EXEC is refused, other "      \
                           "protections are not enforced")                     \
    X(10, mprotect, 3, PARTIAL, "always ENOSYS, which musl tolerates")         \
    X(11, munmap, 2, PARTIAL, "unmapped memory stays accessible")              \
    X(12, brk, 1, FULL, "")                                                    \
    X(13, rt_sigaction, 4, PARTIAL, "SA_ONSTACK and SA_RESTART have no effect")\
    X(14, rt_sigprocmask, 4, FULL, "")                                         \
    X(16, ioctl, 3, PARTIAL, "TCGETS and TIOCGWINSZ")                          \
    X(19, readv, 3, PARTIAL, "descriptors 0 to 2 only")                        \
    X(20, writev, 3, PARTIAL, "descriptors 0 to 2 only")                       \
    X(24, sched_yield, 0, FULL, "")                                            \
    X(25, mremap, 5, PARTIAL, "no MREMAP_FIXED")                               \
    X(28, madvise, 3, PARTIAL, "MADV_DONTNEED clears; the rest is accepted")   \
    X(34, pause, 0, FULL, "")                                                  \
    X(35, nanosleep, 2, FULL, "")                                              \
    X(39, getpid, 0, FULL, "")                                                 \
    X(56, clone, 5, PARTIAL, "always EAGAIN: one thread only")                 \
    X(60, exit, 1, PARTIAL, "ends the VM, as exit_group does")                 \
    X(62, kill, 2, PARTIAL, "itself only")                                     \
    X(63, uname, 1, FULL, "")                                                  \
    X(72, fcntl, 3, PARTIAL, "F_GETFD, F_SETFD, F_GETFL and F_SETFL; flags "   \
                             "have no effect")                                 \
    X(79, getcwd, 2, FULL, "")                                                 \
    X(96, gettimeofday, 2, FULL, "")                                           \
    X(97, getrlimit, 2, FULL, "")                                              \
    X(99, sysinfo, 1, PARTIAL, "no load averages")                             \
    X(102, getuid, 0, FULL, "")                                                \
    X(104, getgid, 0, FULL, "")                                                \
    X(107, geteuid, 0, FULL, "")                                               \
    X(108, getegid, 0, FULL, "")                                               \
    X(110, getppid, 0, FULL, "")                                               \
    X(127, rt_sigpending, 2, FULL, "")                                         \
    X(131, sigaltstack, 2, PARTIAL, "remembered, never used")                  \
    X(158, arch_prctl, 2, PARTIAL, "ARCH_SET_FS, ARCH_GET_FS, ARCH_SET_GS "    \
                                   "and ARCH_GET_GS")                          \
    X(186, gettid, 0, FULL, "")                                                \
    X(200, tkill, 2, PARTIAL, "itself only")                                   \
    X(201, time, 1, FULL, "")                                                  \
    X(202, futex, 6, PARTIAL, "WAIT and WAKE of a single thread")              \
    X(218, set_tid_address, 1, PARTIAL, "the address is not cleared on exit")  \
    X(228, clock_gettime, 2, PARTIAL, "CPU-time clocks count elapsed time")    \
    X(229, clock_getres, 2, FULL, "")                                          \
    X(230, clock_nanosleep, 4, PARTIAL, "no CPU-time clocks")                  \
    X(231, exit_group, 1, FULL, "")                                            \
    X(234, tgkill, 3, PARTIAL, "itself only")                                  \
    X(302, prlimit64, 4, PARTIAL, "limits cannot be changed")                  \
    X(318, getrandom, 3, FULL, "")
/* clang-format on */

#define MAYFLY_PARAMETERS_0 void
#define MAYFLY_PARAMETERS_1 long
#define MAYFLY_PARAMETERS_2 long, long
#define MAYFLY_PARAMETERS_3 long, long, long
#define MAYFLY_PARAMETERS_4 long, long, long, long
#define MAYFLY_PARAMETERS_5 long, long, long, long, long
#define MAYFLY_PARAMETERS_6 long, long, long, long, long, long

#define MAYFLY_ARGUMENTS_0(a, b, c, d, e, f) ()
#define MAYFLY_ARGUMENTS_1(a, b, c, d, e, f) (a)
#define MAYFLY_ARGUMENTS_2(a, b, c, d, e, f) (a, b)
#define MAYFLY_ARGUMENTS_3(a, b, c, d, e, f) (a, b, c)
#define MAYFLY_ARGUMENTS_4(a, b, c, d, e, f) (a, b, c, d)
#define MAYFLY_ARGUMENTS_5(a, b, c, d, e, f) (a, b, c, d, e)
#define MAYFLY_ARGUMENTS_6(a, b, c, d, e, f) (a, b, c, d, e, f)

/* Each takes and returns what the Linux call of that name does: -errno. */
#define MAYFLY_DECLARE(number, name, arguments, state, note) \
    long __mayfly_sys_##name(MAYFLY_PARAMETERS_##arguments);
MAYFLY_SYSCALLS(MAYFLY_DECLARE)
#undef MAYFLY_DECLARE

/*
 * Counts a call that has no implementation in the boot page, where the
 * monitor finds it for --stats. Calls past MF_MISSING_MAX different numbers
 * are not counted. Returns -ENOSYS.
 */
long __mayfly_sys_missing(long number);

/*
 * Makes the system call with this number, known only at run time. Returns
 * what it returns, or -ENOSYS. A program that reaches this function contains
 * all of the runtime; everything else that calls goes to one function.
 */
long __mayfly_syscall(long number, long a, long b, long c, long d, long e,
                      long f);

/*
 * The cases of a switch over the number, each a direct call. With a number
 * that is constant at compile time one of them remains.
 */
#define MAYFLY_CASE(number, name, arguments, state, note)                      \
    case number:                                                               \
        return __mayfly_sys_##name MAYFLY_ARGUMENTS_##arguments(a, b, c, d, e, \
                                                                f);

#endif
