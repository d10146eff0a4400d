/* SPDX-License-Identifier: MIT */
/* Linux's system calls and what the runtime has of them: the one list. */
#ifndef MAYFLY_SYSCALLS_H
#define MAYFLY_SYSCALLS_H

/*
 * Each entry is X(number, name, arguments, state, note): the Linux x86-64
 * number, the name as in SYS_name, how many arguments it takes, and FULL,
 * PARTIAL or NONE, with what is missing of a partial one.
 *
 * Everything else is generated from this list: the prototypes below, musl's
 * direct calls (syscalls-table --musl), the dispatcher behind syscall(3)
 * (syscall.c), what answers ENOSYS (missing.c) and the table in README.md
 * (syscalls-table). To implement a call, change its line from NONE and write
 * the function __mayfly_sys_NAME; musl need not be built again for that.
 */
/* clang-format off */
#define MAYFLY_SYSCALLS(X)                                                    \
    X(0, read, 3, FULL, "")                                                   \
    X(1, write, 3, FULL, "")                                                  \
    X(2, open, 3, FULL, "")                                                   \
    X(3, close, 1, FULL, "")                                                  \
    X(4, stat, 2, FULL, "")                                                   \
    X(5, fstat, 2, FULL, "")                                                  \
    X(6, lstat, 2, FULL, "")                                                  \
    X(7, poll, 3, FULL, "")                                                   \
    X(8, lseek, 3, FULL, "")                                                  \
    X(9, mmap, 6, PARTIAL,                                                    \
      "fixed addresses in free memory only; no W and X together; shared "     \
      "mappings of files in memory alone")                                    \
    X(10, mprotect, 3, PARTIAL, "no W and X together")                        \
    X(11, munmap, 2, FULL, "")                                                \
    X(12, brk, 1, FULL, "")                                                   \
    X(13, rt_sigaction, 4, FULL, "")                                          \
    X(14, rt_sigprocmask, 4, FULL, "")                                        \
    X(15, rt_sigreturn, 0, NONE, "")                                          \
    X(16, ioctl, 3, PARTIAL,                                                  \
      "FIOCLEX, FIONCLEX, FIONBIO, FIONREAD, TCGETS and TIOCGWINSZ")          \
    X(17, pread64, 4, FULL, "")                                               \
    X(18, pwrite64, 4, FULL, "")                                              \
    X(19, readv, 3, FULL, "")                                                 \
    X(20, writev, 3, FULL, "")                                                \
    X(21, access, 2, FULL, "")                                                \
    X(22, pipe, 1, FULL, "")                                                  \
    X(23, select, 5, FULL, "")                                                \
    X(24, sched_yield, 0, FULL, "")                                           \
    X(25, mremap, 5, PARTIAL, "no MREMAP_DONTUNMAP; files do not grow")       \
    X(26, msync, 3, FULL, "")                                                 \
    X(27, mincore, 3, PARTIAL, "all that is mapped counts as there")          \
    X(28, madvise, 3, PARTIAL, "MADV_DONTNEED and MADV_FREE; other advice "   \
                               "is accepted")                                 \
    X(29, shmget, 3, NONE, "")                                                \
    X(30, shmat, 3, NONE, "")                                                 \
    X(31, shmctl, 3, NONE, "")                                                \
    X(32, dup, 1, FULL, "")                                                   \
    X(33, dup2, 2, FULL, "")                                                  \
    X(34, pause, 0, FULL, "")                                                 \
    X(35, nanosleep, 2, FULL, "")                                             \
    X(36, getitimer, 2, FULL, "")                                             \
    X(37, alarm, 1, FULL, "")                                                 \
    X(38, setitimer, 3, FULL, "")                                             \
    X(39, getpid, 0, FULL, "")                                                \
    X(40, sendfile, 4, FULL, "")                                              \
    X(41, socket, 3, PARTIAL,                                                 \
      "AF_INET, AF_INET6, AF_UNIX, AF_VSOCK, lists of AF_NETLINK; no raw sockets")      \
    X(42, connect, 3, FULL, "")                                               \
    X(43, accept, 3, FULL, "")                                                \
    X(44, sendto, 6, FULL, "")                                                \
    X(45, recvfrom, 6, FULL, "")                                              \
    X(46, sendmsg, 3, FULL, "")                                               \
    X(47, recvmsg, 3, PARTIAL, "no IP_PKTINFO and its like")                  \
    X(48, shutdown, 2, FULL, "")                                              \
    X(49, bind, 3, FULL, "")                                                  \
    X(50, listen, 2, FULL, "")                                                \
    X(51, getsockname, 3, FULL, "")                                           \
    X(52, getpeername, 3, FULL, "")                                           \
    X(53, socketpair, 4, FULL, "")                                            \
    X(54, setsockopt, 5, PARTIAL,                                             \
      "SO_LINGER does not wait; SO_REUSEPORT shares nothing")                 \
    X(55, getsockopt, 5, PARTIAL, "TCP_INFO: states, sizes and times only")   \
    X(56, clone, 5, PARTIAL, "threads by musl; no processes: ENOSYS")         \
    X(57, fork, 0, PARTIAL, "ENOSYS, and a line that says so")                \
    X(58, vfork, 0, PARTIAL, "ENOSYS, and a line that says so")               \
    X(59, execve, 3, PARTIAL, "ENOSYS, and a line that says so")              \
    X(60, exit, 1, FULL, "")                                                  \
    X(61, wait4, 4, FULL, "")                                                 \
    X(62, kill, 2, FULL, "")                                                  \
    X(63, uname, 1, FULL, "")                                                 \
    X(64, semget, 3, NONE, "")                                                \
    X(65, semop, 3, NONE, "")                                                 \
    X(66, semctl, 4, NONE, "")                                                \
    X(67, shmdt, 1, NONE, "")                                                 \
    X(68, msgget, 2, NONE, "")                                                \
    X(69, msgsnd, 4, NONE, "")                                                \
    X(70, msgrcv, 5, NONE, "")                                                \
    X(71, msgctl, 3, NONE, "")                                                \
    X(72, fcntl, 3, PARTIAL, "no F_SETOWN, leases and seals")                 \
    X(73, flock, 2, FULL, "")                                                 \
    X(74, fsync, 1, FULL, "")                                                 \
    X(75, fdatasync, 1, FULL, "")                                             \
    X(76, truncate, 2, FULL, "")                                              \
    X(77, ftruncate, 2, FULL, "")                                             \
    X(78, getdents, 3, NONE, "")                                              \
    X(79, getcwd, 2, FULL, "")                                                \
    X(80, chdir, 1, FULL, "")                                                 \
    X(81, fchdir, 1, FULL, "")                                                \
    X(82, rename, 2, FULL, "")                                                \
    X(83, mkdir, 2, FULL, "")                                                 \
    X(84, rmdir, 1, FULL, "")                                                 \
    X(85, creat, 2, FULL, "")                                                 \
    X(86, link, 2, FULL, "")                                                  \
    X(87, unlink, 1, FULL, "")                                                \
    X(88, symlink, 2, FULL, "")                                               \
    X(89, readlink, 3, FULL, "")                                              \
    X(90, chmod, 2, FULL, "")                                                 \
    X(91, fchmod, 2, FULL, "")                                                \
    X(92, chown, 3, FULL, "")                                                 \
    X(93, fchown, 3, FULL, "")                                                \
    X(94, lchown, 3, FULL, "")                                                \
    X(95, umask, 1, FULL, "")                                                 \
    X(96, gettimeofday, 2, FULL, "")                                          \
    X(97, getrlimit, 2, FULL, "")                                             \
    X(98, getrusage, 2, PARTIAL,                                              \
      "no faults, no blocks; all time is the program's")                      \
    X(99, sysinfo, 1, PARTIAL, "no load averages")                            \
    X(100, times, 1, FULL, "")                                                \
    X(101, ptrace, 4, NONE, "")                                               \
    X(102, getuid, 0, FULL, "")                                               \
    X(103, syslog, 3, NONE, "")                                               \
    X(104, getgid, 0, FULL, "")                                               \
    X(105, setuid, 1, FULL, "")                                               \
    X(106, setgid, 1, FULL, "")                                               \
    X(107, geteuid, 0, FULL, "")                                              \
    X(108, getegid, 0, FULL, "")                                              \
    X(109, setpgid, 2, FULL, "")                                              \
    X(110, getppid, 0, FULL, "")                                              \
    X(111, getpgrp, 0, FULL, "")                                              \
    X(112, setsid, 0, FULL, "")                                               \
    X(113, setreuid, 2, FULL, "")                                             \
    X(114, setregid, 2, FULL, "")                                             \
    X(115, getgroups, 2, FULL, "")                                            \
    X(116, setgroups, 2, PARTIAL, "64 groups at most")                        \
    X(117, setresuid, 3, FULL, "")                                            \
    X(118, getresuid, 3, FULL, "")                                            \
    X(119, setresgid, 3, FULL, "")                                            \
    X(120, getresgid, 3, FULL, "")                                            \
    X(121, getpgid, 1, FULL, "")                                              \
    X(122, setfsuid, 1, FULL, "")                                             \
    X(123, setfsgid, 1, FULL, "")                                             \
    X(124, getsid, 1, FULL, "")                                               \
    X(125, capget, 2, FULL, "")                                               \
    X(126, capset, 2, FULL, "")                                               \
    X(127, rt_sigpending, 2, FULL, "")                                        \
    X(128, rt_sigtimedwait, 4, FULL, "")                                      \
    X(129, rt_sigqueueinfo, 3, FULL, "")                                      \
    X(130, rt_sigsuspend, 2, FULL, "")                                        \
    X(131, sigaltstack, 2, FULL, "")                                          \
    X(132, utime, 2, FULL, "")                                                \
    X(133, mknod, 3, FULL, "")                                                \
    X(135, personality, 1, FULL, "")                                          \
    X(136, ustat, 2, NONE, "")                                                \
    X(137, statfs, 2, FULL, "")                                               \
    X(138, fstatfs, 2, FULL, "")                                              \
    X(139, sysfs, 3, NONE, "")                                                \
    X(140, getpriority, 2, PARTIAL, "one value for all")                      \
    X(141, setpriority, 3, PARTIAL, "remembered, without effect")             \
    X(142, sched_setparam, 2, PARTIAL, "checked, without effect")             \
    X(143, sched_getparam, 2, PARTIAL, "always 0")                            \
    X(144, sched_setscheduler, 3, PARTIAL, "checked, without effect")         \
    X(145, sched_getscheduler, 1, PARTIAL, "always SCHED_OTHER")              \
    X(146, sched_get_priority_max, 1, FULL, "")                               \
    X(147, sched_get_priority_min, 1, FULL, "")                               \
    X(148, sched_rr_get_interval, 2, FULL, "")                                \
    X(149, mlock, 2, FULL, "")                                                \
    X(150, munlock, 2, FULL, "")                                              \
    X(151, mlockall, 1, FULL, "")                                             \
    X(152, munlockall, 0, FULL, "")                                           \
    X(153, vhangup, 0, NONE, "")                                              \
    X(154, modify_ldt, 3, NONE, "")                                           \
    X(155, pivot_root, 2, NONE, "")                                           \
    X(156, _sysctl, 1, NONE, "")                                              \
    X(157, prctl, 5, PARTIAL, "names, dumpable, no_new_privs, timer slack")   \
    X(158, arch_prctl, 2, PARTIAL,                                            \
      "ARCH_SET_FS, ARCH_GET_FS, ARCH_SET_GS and ARCH_GET_GS")                \
    X(159, adjtimex, 1, NONE, "")                                             \
    X(160, setrlimit, 2, PARTIAL, "only RLIMIT_NOFILE is enforced")           \
    X(161, chroot, 1, PARTIAL, "to the root itself only")                     \
    X(162, sync, 0, FULL, "")                                                 \
    X(163, acct, 1, NONE, "")                                                 \
    X(164, settimeofday, 2, FULL, "")                                         \
    X(165, mount, 5, NONE, "")                                                \
    X(166, umount2, 2, NONE, "")                                              \
    X(167, swapon, 2, NONE, "")                                               \
    X(168, swapoff, 1, NONE, "")                                              \
    X(169, reboot, 4, NONE, "")                                               \
    X(170, sethostname, 2, FULL, "")                                          \
    X(171, setdomainname, 2, FULL, "")                                        \
    X(172, iopl, 1, NONE, "")                                                 \
    X(173, ioperm, 3, NONE, "")                                               \
    X(175, init_module, 3, NONE, "")                                          \
    X(176, delete_module, 2, NONE, "")                                        \
    X(179, quotactl, 4, NONE, "")                                             \
    X(186, gettid, 0, FULL, "")                                               \
    X(187, readahead, 3, FULL, "")                                            \
    X(188, setxattr, 5, NONE, "")                                             \
    X(189, lsetxattr, 5, NONE, "")                                            \
    X(190, fsetxattr, 5, NONE, "")                                            \
    X(191, getxattr, 4, NONE, "")                                             \
    X(192, lgetxattr, 4, NONE, "")                                            \
    X(193, fgetxattr, 4, NONE, "")                                            \
    X(194, listxattr, 3, NONE, "")                                            \
    X(195, llistxattr, 3, NONE, "")                                           \
    X(196, flistxattr, 3, NONE, "")                                           \
    X(197, removexattr, 2, NONE, "")                                          \
    X(198, lremovexattr, 2, NONE, "")                                         \
    X(199, fremovexattr, 2, NONE, "")                                         \
    X(200, tkill, 2, FULL, "")                                                \
    X(201, time, 1, FULL, "")                                                 \
    X(202, futex, 6, PARTIAL,                                                 \
      "no WAIT_REQUEUE_PI; priorities are not inherited")                     \
    X(203, sched_setaffinity, 3, FULL, "")                                    \
    X(204, sched_getaffinity, 3, FULL, "")                                    \
    X(206, io_setup, 2, NONE, "")                                             \
    X(207, io_destroy, 1, NONE, "")                                           \
    X(208, io_getevents, 5, NONE, "")                                         \
    X(209, io_submit, 3, NONE, "")                                            \
    X(210, io_cancel, 3, NONE, "")                                            \
    X(212, lookup_dcookie, 3, NONE, "")                                       \
    X(213, epoll_create, 1, FULL, "")                                         \
    X(216, remap_file_pages, 5, NONE, "")                                     \
    X(217, getdents64, 3, FULL, "")                                           \
    X(218, set_tid_address, 1, FULL, "")                                      \
    X(219, restart_syscall, 0, NONE, "")                                      \
    X(220, semtimedop, 4, NONE, "")                                           \
    X(221, fadvise64, 4, FULL, "")                                            \
    X(222, timer_create, 3, FULL, "")                                         \
    X(223, timer_settime, 4, FULL, "")                                        \
    X(224, timer_gettime, 2, FULL, "")                                        \
    X(225, timer_getoverrun, 1, FULL, "")                                     \
    X(226, timer_delete, 1, FULL, "")                                         \
    X(227, clock_settime, 2, FULL, "")                                        \
    X(228, clock_gettime, 2, FULL, "")                                        \
    X(229, clock_getres, 2, FULL, "")                                         \
    X(230, clock_nanosleep, 4, PARTIAL, "no CPU-time clocks")                 \
    X(231, exit_group, 1, FULL, "")                                           \
    X(232, epoll_wait, 4, FULL, "")                                           \
    X(233, epoll_ctl, 4, PARTIAL, "no epoll within an epoll")                 \
    X(234, tgkill, 3, FULL, "")                                               \
    X(235, utimes, 2, FULL, "")                                               \
    X(237, mbind, 6, NONE, "")                                                \
    X(238, set_mempolicy, 3, NONE, "")                                        \
    X(239, get_mempolicy, 5, NONE, "")                                        \
    X(240, mq_open, 4, NONE, "")                                              \
    X(241, mq_unlink, 1, NONE, "")                                            \
    X(242, mq_timedsend, 5, NONE, "")                                         \
    X(243, mq_timedreceive, 5, NONE, "")                                      \
    X(244, mq_notify, 2, NONE, "")                                            \
    X(245, mq_getsetattr, 3, NONE, "")                                        \
    X(246, kexec_load, 4, NONE, "")                                           \
    X(247, waitid, 5, FULL, "")                                               \
    X(248, add_key, 5, NONE, "")                                              \
    X(249, request_key, 4, NONE, "")                                          \
    X(250, keyctl, 5, NONE, "")                                               \
    X(251, ioprio_set, 3, NONE, "")                                           \
    X(252, ioprio_get, 2, NONE, "")                                           \
    X(253, inotify_init, 0, NONE, "")                                         \
    X(254, inotify_add_watch, 3, NONE, "")                                    \
    X(255, inotify_rm_watch, 2, NONE, "")                                     \
    X(256, migrate_pages, 4, NONE, "")                                        \
    X(257, openat, 4, FULL, "")                                               \
    X(258, mkdirat, 3, FULL, "")                                              \
    X(259, mknodat, 4, FULL, "")                                              \
    X(260, fchownat, 5, FULL, "")                                             \
    X(261, futimesat, 3, FULL, "")                                            \
    X(262, newfstatat, 4, FULL, "")                                           \
    X(263, unlinkat, 3, FULL, "")                                             \
    X(264, renameat, 4, FULL, "")                                             \
    X(265, linkat, 5, FULL, "")                                               \
    X(266, symlinkat, 3, FULL, "")                                            \
    X(267, readlinkat, 4, FULL, "")                                           \
    X(268, fchmodat, 3, FULL, "")                                             \
    X(269, faccessat, 3, FULL, "")                                            \
    X(270, pselect6, 6, FULL, "")                                             \
    X(271, ppoll, 5, FULL, "")                                                \
    X(272, unshare, 1, NONE, "")                                              \
    X(273, set_robust_list, 2, FULL, "")                                      \
    X(274, get_robust_list, 3, FULL, "")                                      \
    X(275, splice, 6, NONE, "")                                               \
    X(276, tee, 4, NONE, "")                                                  \
    X(277, sync_file_range, 4, FULL, "")                                      \
    X(278, vmsplice, 4, NONE, "")                                             \
    X(279, move_pages, 6, NONE, "")                                           \
    X(280, utimensat, 4, FULL, "")                                            \
    X(281, epoll_pwait, 6, FULL, "")                                          \
    X(282, signalfd, 3, FULL, "")                                             \
    X(283, timerfd_create, 2, FULL, "")                                       \
    X(284, eventfd, 1, FULL, "")                                              \
    X(285, fallocate, 4, FULL, "")                                            \
    X(286, timerfd_settime, 4, FULL, "")                                      \
    X(287, timerfd_gettime, 2, FULL, "")                                      \
    X(288, accept4, 4, FULL, "")                                              \
    X(289, signalfd4, 4, FULL, "")                                            \
    X(290, eventfd2, 2, FULL, "")                                             \
    X(291, epoll_create1, 1, FULL, "")                                        \
    X(292, dup3, 3, FULL, "")                                                 \
    X(293, pipe2, 2, PARTIAL, "no O_DIRECT packets")                          \
    X(294, inotify_init1, 1, NONE, "")                                        \
    X(295, preadv, 5, FULL, "")                                               \
    X(296, pwritev, 5, FULL, "")                                              \
    X(297, rt_tgsigqueueinfo, 4, FULL, "")                                    \
    X(298, perf_event_open, 5, NONE, "")                                      \
    X(299, recvmmsg, 5, PARTIAL, "as recvmsg")                                \
    X(300, fanotify_init, 2, NONE, "")                                        \
    X(301, fanotify_mark, 6, NONE, "")                                        \
    X(302, prlimit64, 4, PARTIAL, "only RLIMIT_NOFILE is enforced")           \
    X(303, name_to_handle_at, 5, NONE, "")                                    \
    X(304, open_by_handle_at, 3, NONE, "")                                    \
    X(305, clock_adjtime, 2, NONE, "")                                        \
    X(306, syncfs, 1, FULL, "")                                               \
    X(307, sendmmsg, 4, FULL, "")                                             \
    X(308, setns, 2, NONE, "")                                                \
    X(309, getcpu, 3, FULL, "")                                               \
    X(310, process_vm_readv, 6, NONE, "")                                     \
    X(311, process_vm_writev, 6, NONE, "")                                    \
    X(312, kcmp, 5, NONE, "")                                                 \
    X(313, finit_module, 3, NONE, "")                                         \
    X(314, sched_setattr, 3, NONE, "")                                        \
    X(315, sched_getattr, 4, NONE, "")                                        \
    X(316, renameat2, 5, FULL, "")                                            \
    X(317, seccomp, 3, NONE, "")                                              \
    X(318, getrandom, 3, FULL, "")                                            \
    X(319, memfd_create, 2, PARTIAL, "no seals and huge pages")               \
    X(320, kexec_file_load, 5, NONE, "")                                      \
    X(321, bpf, 3, NONE, "")                                                  \
    X(322, execveat, 5, PARTIAL, "ENOSYS, and a line that says so")           \
    X(323, userfaultfd, 1, NONE, "")                                          \
    X(324, membarrier, 3, PARTIAL, "no SYNC_CORE, no RSEQ")                   \
    X(325, mlock2, 3, FULL, "")                                               \
    X(326, copy_file_range, 6, FULL, "")                                      \
    X(327, preadv2, 6, PARTIAL, "RWF_HIPRI only")                             \
    X(328, pwritev2, 6, PARTIAL, "RWF_HIPRI, RWF_DSYNC and RWF_SYNC only")    \
    X(329, pkey_mprotect, 4, NONE, "")                                        \
    X(330, pkey_alloc, 2, NONE, "")                                           \
    X(331, pkey_free, 1, NONE, "")                                            \
    X(332, statx, 5, FULL, "")                                                \
    X(333, io_pgetevents, 6, NONE, "")                                        \
    X(334, rseq, 4, NONE, "")                                                 \
    X(424, pidfd_send_signal, 4, NONE, "")                                    \
    X(425, io_uring_setup, 2, NONE, "")                                       \
    X(426, io_uring_enter, 6, NONE, "")                                       \
    X(427, io_uring_register, 4, NONE, "")                                    \
    X(428, open_tree, 3, NONE, "")                                            \
    X(429, move_mount, 5, NONE, "")                                           \
    X(430, fsopen, 2, NONE, "")                                               \
    X(431, fsconfig, 5, NONE, "")                                             \
    X(432, fsmount, 3, NONE, "")                                              \
    X(433, fspick, 3, NONE, "")                                               \
    X(434, pidfd_open, 2, NONE, "")                                           \
    X(435, clone3, 2, PARTIAL, "ENOSYS, and a line that says so")             \
    X(436, close_range, 3, FULL, "")                                          \
    X(437, openat2, 4, NONE, "")                                              \
    X(438, pidfd_getfd, 3, NONE, "")                                          \
    X(439, faccessat2, 4, FULL, "")                                           \
    X(440, process_madvise, 5, NONE, "")                                      \
    X(441, epoll_pwait2, 6, FULL, "")                                         \
    X(442, mount_setattr, 5, NONE, "")                                        \
    X(443, quotactl_fd, 4, NONE, "")                                          \
    X(444, landlock_create_ruleset, 3, NONE, "")                              \
    X(445, landlock_add_rule, 4, NONE, "")                                    \
    X(446, landlock_restrict_self, 2, NONE, "")                               \
    X(447, memfd_secret, 1, NONE, "")                                         \
    X(448, process_mrelease, 2, NONE, "")                                     \
    X(449, futex_waitv, 5, NONE, "")                                          \
    X(450, set_mempolicy_home_node, 4, NONE, "")
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
