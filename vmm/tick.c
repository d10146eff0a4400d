/* SPDX-License-Identifier: MIT */
/* The signal that looks after a computing guest, every few milliseconds. */
#include "vmm/tick.h"

#include <errno.h>
#include <pthread.h>

#include "vmm/base/os.h"

/* As the kernel has struct sigevent; libcs differ in naming the thread. */
struct kernel_sigevent {
    uint64_t value;
    int32_t signal;
    int32_t notify;
    int32_t thread;
    int32_t padding[11];
};

#define KERNEL_SIGEV_THREAD_ID 4

int tick_create(struct tick *tick, pid_t thread, int signal)
{
    struct kernel_sigevent event = {
        .signal = signal,
        .notify = KERNEL_SIGEV_THREAD_ID,
        .thread = thread,
    };
    int result = (int)os_syscall(SYS_timer_create, CLOCK_MONOTONIC, &event,
                                 &tick->timer);

    tick->made = result == 0;
    return result;
}

void tick_destroy(struct tick *tick)
{
    if (tick->made)
        os_syscall(SYS_timer_delete, tick->timer);
    *tick = (struct tick){0};
}

/* Makes the tick come in `first_ns` and then regularly; 0 disarms it. */
static int set_timer(struct tick *tick, uint64_t now, uint64_t first_ns)
{
    struct itimerspec every = {0};

    if (first_ns) {
        every.it_value = os_timespec(first_ns);
        every.it_interval = os_timespec(TICK_NS);
    }
    int result =
        (int)os_syscall(SYS_timer_settime, tick->timer, 0, &every, NULL);
    if (!result)
        tick->next_ns = first_ns ? now + first_ns : 0;
    return result;
}

int tick_arm(struct tick *tick, uint64_t due_ns)
{
    if (tick->next_ns && due_ns >= tick->next_ns)
        return 0;
    uint64_t now = os_now_ns();
    uint64_t first_ns = due_ns > now ? min_u64(due_ns - now, TICK_NS) : 1;
    return set_timer(tick, now, first_ns);
}

void tick_came(struct tick *tick, uint64_t now_ns)
{
    tick->next_ns = now_ns + TICK_NS;
}

int tick_disarm(struct tick *tick)
{
    return tick->next_ns ? set_timer(tick, 0, 0) : 0;
}

/* ---- A thread's own ----------------------------------------------------- */

static _Thread_local struct {
    struct tick tick;
    pid_t thread; /* whose it is: a forked child has a copy, but no timer */
    unsigned users;
} here;

static pthread_key_t key; /* its values end with their threads */
static int key_error;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void end_own(void *tick)
{
    tick_destroy(tick);
}

static void make_key(void)
{
    key_error = pthread_key_create(&key, end_own);
}

static int make_own(pid_t thread, int signal)
{
    int result;

    pthread_once(&once, make_key);
    here.thread = 0;
    here.users = 0;
    here.tick = (struct tick){0};
    if (key_error)
        return -key_error;
    result = tick_create(&here.tick, thread, signal);
    if (!result)
        result = -pthread_setspecific(key, &here.tick);
    if (result)
        tick_destroy(&here.tick);
    else
        here.thread = thread;
    return result;
}

int tick_join(int signal, struct tick **tick, pid_t *thread)
{
    int result = 0;

    *thread = (pid_t)os_syscall(SYS_gettid);
    if (here.thread != *thread)
        result = make_own(*thread, signal);
    *tick = &here.tick;
    here.users += !result;
    return result;
}

void tick_leave(void)
{
    if (here.users > 0 && --here.users == 0 && tick_disarm(&here.tick))
        here.tick.next_ns = 0; /* it comes once, and is a stray */
}

void tick_stray(int timer)
{
    const struct itimerspec none = {0};
    int saved = errno;

    syscall(SYS_timer_settime, timer, 0, &none, NULL);
    if (here.tick.made && here.tick.timer == timer)
        here.tick.next_ns = 0;
    errno = saved;
}
