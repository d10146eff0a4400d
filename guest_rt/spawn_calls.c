/* SPDX-License-Identifier: MIT */
/* System calls that make processes, run programs, or wait for them. */
#include <errno.h>
#include <sched.h>
#include <sys/wait.h>

#include "spawn.h"
#include "syscalls.h"

long __mayfly_sys_fork(void)
{
    return spawn_refuse("fork");
}

long __mayfly_sys_vfork(void)
{
    return spawn_refuse("vfork");
}

/* musl makes threads by __mayfly_clone(). */
long __mayfly_sys_clone(long flags, long stack, long parent_tid, long child_tid,
                        long tls)
{
    (void)stack;
    (void)parent_tid;
    (void)child_tid;
    (void)tls;
    return spawn_refuse(flags & CLONE_VM ? "clone" : "fork");
}

long __mayfly_sys_clone3(long arguments, long bytes)
{
    (void)arguments;
    (void)bytes;
    return spawn_refuse("clone3");
}

long __mayfly_sys_execve(long path, long argv, long envp)
{
    (void)path;
    (void)argv;
    (void)envp;
    return spawn_refuse("execve");
}

long __mayfly_sys_execveat(long directory, long path, long argv, long envp,
                           long flags)
{
    (void)directory;
    (void)path;
    (void)argv;
    (void)envp;
    (void)flags;
    return spawn_refuse("execveat");
}

long __mayfly_sys_wait4(long pid, long status, long options, long usage)
{
    (void)pid;
    (void)status;
    (void)usage;
    if ((unsigned)options &
        ~(WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL))
        return -EINVAL;
    return -ECHILD;
}

long __mayfly_sys_waitid(long type, long id, long info, long options,
                         long usage)
{
    const unsigned kinds = WEXITED | WSTOPPED | WCONTINUED;

    (void)id;
    (void)info;
    (void)usage;
    if ((unsigned)options &
            ~(WNOHANG | WNOWAIT | kinds | __WNOTHREAD | __WCLONE | __WALL) ||
        !((unsigned)options & kinds) ||
        (type != P_ALL && type != P_PID && type != P_PGID && type != P_PIDFD))
        return -EINVAL;
    return -ECHILD;
}
