/* SPDX-License-Identifier: MIT */
/* kill, tkill, tgkill, and signals that the runtime sends. */
#include <errno.h>
#include <unistd.h>

#include "runtime.h"
#include "signals.h"
#include "syscalls.h"
#include "thread.h"

#define SIGNAL_CANCEL 33 /* musl's SIGCANCEL */

struct signal_info signal_info_from_here(int number, int code)
{
    /* The sender: its process number, and user 0 in the upper half. */
    return (struct signal_info){
        .number = number,
        .code = code,
        .words = {MF_PID},
    };
}

/* Sends it to a thread, or to the process; 0 sends nothing. */
static long send(struct thread *to, int number, int code)
{
    struct signal_info info = signal_info_from_here(number, code);

    return number ? signal_send(to, &info, NULL) : 0;
}

long mf_signal_send(int number)
{
    long result;

    if (!signal_is_sendable(number))
        return -EINVAL;
    mf_lock();
    result = send(NULL, number, SI_USER);
    mf_unlock();
    return result;
}

long __mayfly_sys_kill(long pid, long number)
{
    int target = (int)pid;

    if (!signal_is_sendable((int)number))
        return -EINVAL;
    /* 0, -1 and -MF_PID are this process too. */
    if (target > MF_PID || target < -MF_PID)
        return -ESRCH;
    return mf_signal_send((int)number);
}

/*
 * pthread_cancel() sends a signal for real time, of which a thread that blocks
 * it would have one more each time: they say the same.
 */
static bool is_cancelled_already(const struct thread *thread, int number)
{
    return number == SIGNAL_CANCEL &&
           (thread->signals.queue.pending & signal_bit(number));
}

long __mayfly_sys_tkill(long tid, long number)
{
    struct thread *to;
    long result = -ESRCH;

    if (!signal_is_sendable((int)number) || (int)tid <= 0)
        return -EINVAL;
    mf_lock();
    to = signal_find_thread((int)tid);
    if (to && is_cancelled_already(to, (int)number))
        result = 0;
    else if (to)
        result = send(to, (int)number, SI_TKILL);
    mf_unlock();
    return result;
}

long __mayfly_sys_tgkill(long pid, long tid, long number)
{
    if ((int)pid <= 0)
        return -EINVAL;
    return (int)pid == MF_PID ? __mayfly_sys_tkill(tid, number) : -ESRCH;
}

void signal_pipe(void)
{
    send(thread_current, SIGPIPE, SI_USER);
}
