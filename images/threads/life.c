/* SPDX-License-Identifier: MIT */
/* The beginning and the end of threads, their numbers, attributes and time. */
#include "test.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/times.h>
#include <time.h>
#include <unistd.h>

/* ---- Joining ------------------------------------------------------------ */

static void *add_one(void *number)
{
    return (void *)((long)number + 1);
}

static void *end_inside(void *number)
{
    pthread_exit(number);
}

static void *join_other(void *thread)
{
    return finish((pthread_t)thread);
}

void test_join(void)
{
    pthread_t thread = start(add_one, (void *)41);

    CHECK(finish(thread) == (void *)42);
    CHECK(finish(start(end_inside, (void *)43)) == (void *)43);
    /* By a thread other than the one that made it. */
    CHECK(finish(start(join_other, (void *)start(add_one, (void *)1))) ==
          (void *)2);
    /* One after the other: their stacks and numbers are used again. */
    for (long i = 0; i < 3000; i++)
        CHECK(finish(start(add_one, (void *)i)) == (void *)(i + 1));
}

static unsigned ended;

static void *count_end(void *unused)
{
    __atomic_fetch_add(&ended, 1, __ATOMIC_SEQ_CST);
    return unused;
}

/* Their stacks are given back: all together would be more than memory. */
void test_detach(void)
{
    for (unsigned i = 1; i <= 3000; i++) {
        CHECK(pthread_detach(start(count_end, NULL)) == 0);
        while (__atomic_load_n(&ended, __ATOMIC_SEQ_CST) < i)
            sched_yield();
    }
}

/* ---- Very many ---------------------------------------------------------- */

#define MANY 2500

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER;
static bool open;
static unsigned inside;

static void *wait_at_gate(void *number)
{
    pthread_mutex_lock(&gate);
    inside++;
    while (!open)
        pthread_cond_wait(&opened, &gate);
    pthread_mutex_unlock(&gate);
    return number;
}

void test_many(void)
{
    static pthread_t threads[MANY];
    pthread_attr_t attribute;

    pthread_attr_init(&attribute);
    CHECK(pthread_attr_setstacksize(&attribute, 32768) == 0);
    for (long i = 0; i < MANY; i++)
        CHECK(pthread_create(&threads[i], &attribute, wait_at_gate,
                             (void *)i) == 0);
    for (unsigned there = 0; there < MANY;) {
        sched_yield();
        pthread_mutex_lock(&gate);
        there = inside;
        pthread_mutex_unlock(&gate);
    }
    pthread_mutex_lock(&gate);
    open = true;
    pthread_cond_broadcast(&opened);
    pthread_mutex_unlock(&gate);
    for (long i = 0; i < MANY; i++)
        CHECK(finish(threads[i]) == (void *)i);
    printf("%d threads at once\n", MANY);
}

/* ---- Attributes and numbers --------------------------------------------- */

static void *see_stack(void *unused)
{
    pthread_attr_t attribute;
    char name[16] = "";
    size_t bytes;
    void *low;

    CHECK(pthread_getattr_np(pthread_self(), &attribute) == 0);
    CHECK(pthread_attr_getstack(&attribute, &low, &bytes) == 0);
    CHECK(bytes >= 65536 && (char *)&bytes > (char *)low &&
          (char *)&bytes < (char *)low + bytes);
    CHECK(prctl(PR_SET_NAME, "a rather long name") == 0);
    CHECK(prctl(PR_GET_NAME, name) == 0);
    CHECK(strcmp(name, "a rather long n") == 0);
    return unused;
}

static volatile bool enough;

static void *spin(void *unused)
{
    while (!enough)
        continue;
    return unused;
}

/* On the smallest stack there may be; printf is for others. */
static void *be_preempted(void *unused)
{
    struct rusage usage;

    do
        CHECK(getrusage(RUSAGE_THREAD, &usage) == 0);
    while (usage.ru_nivcsw < 3);
    return unused;
}

static void *see_number(void *mains)
{
    CHECK(syscall(SYS_gettid) > (long)mains && getpid() == 1);
    return (void *)syscall(SYS_gettid);
}

static char own_stack[65536] __attribute__((aligned(64)));

void test_attributes(void)
{
    long mains = syscall(SYS_gettid);
    pthread_t thread, other;
    pthread_attr_t attribute;

    CHECK(mains == 1);
    pthread_attr_init(&attribute);
    CHECK(pthread_attr_setstacksize(&attribute, 65536) == 0);
    CHECK(pthread_create(&thread, &attribute, see_stack, NULL) == 0);
    finish(thread);
    CHECK(pthread_attr_setstacksize(&attribute, PTHREAD_STACK_MIN) == 0);
    CHECK(pthread_create(&thread, &attribute, be_preempted, NULL) == 0);
    other = start(spin, NULL);
    finish(thread);
    enough = true;
    finish(other);
    CHECK(finish(start(see_number, (void *)mains)) !=
          finish(start(see_number, (void *)mains)));

    CHECK(pthread_attr_setstack(&attribute, own_stack, sizeof(own_stack)) == 0);
    CHECK(pthread_create(&thread, &attribute, add_one, NULL) == 0);
    CHECK(finish(thread) == (void *)1);
}

/* ---- Time --------------------------------------------------------------- */

static void compute_ns(uint64_t ns)
{
    uint64_t start_ns = now_ns(CLOCK_THREAD_CPUTIME_ID);

    while (now_ns(CLOCK_THREAD_CPUTIME_ID) - start_ns < ns)
        continue;
}

static pthread_barrier_t measured;

static void *compute(void *unused)
{
    compute_ns(30000000);
    pthread_barrier_wait(&measured);
    pthread_barrier_wait(&measured);
    return unused;
}

/*
 * Waits do not count: at least in some of them, because a machine that is busy
 * may have the guest stand still while it runs.
 */
static void check_waits(void)
{
    for (unsigned i = 0; i < 200; i++) {
        uint64_t real_ns = now_ns(CLOCK_MONOTONIC);
        uint64_t process_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID);

        sleep_ms(5);
        process_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID) - process_ns;
        if (process_ns < (now_ns(CLOCK_MONOTONIC) - real_ns) / 2)
            return;
    }
    CHECK(!"waits count");
}

void test_clocks(void)
{
    uint64_t process_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    uint64_t own_ns = now_ns(CLOCK_THREAD_CPUTIME_ID), other_ns;
    struct rusage usage;
    clockid_t clock;
    pthread_t thread;

    check_waits();

    /* What another thread runs counts for it and for the process. */
    pthread_barrier_init(&measured, NULL, 2);
    thread = start(compute, NULL);
    CHECK(pthread_getcpuclockid(thread, &clock) == 0);
    pthread_barrier_wait(&measured);
    other_ns = now_ns(clock);
    CHECK(other_ns >= 30000000);
    own_ns = now_ns(CLOCK_THREAD_CPUTIME_ID) - own_ns;
    CHECK(now_ns(CLOCK_PROCESS_CPUTIME_ID) - process_ns >= own_ns + other_ns);
    pthread_barrier_wait(&measured);
    finish(thread);
    CHECK(clock_gettime(clock, &(struct timespec){0}) < 0 && errno == EINVAL);

    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    CHECK(usage.ru_utime.tv_usec + usage.ru_utime.tv_sec * 1000000 >= 30000);
    CHECK(usage.ru_nvcsw > 0);
    CHECK(times(&(struct tms){0}) > 0);
    CHECK(clock_gettime(77, &(struct timespec){0}) < 0 && errno == EINVAL);
}

/* ---- Other calls -------------------------------------------------------- */

void test_calls(void)
{
    struct sched_param param = {.sched_priority = 5};
    cpu_set_t set;
    int policy;

    CHECK(sched_getaffinity(0, sizeof(set), &set) == 0);
    CHECK(CPU_COUNT(&set) == 1 && CPU_ISSET(0, &set));
    CHECK(sched_setaffinity(0, sizeof(set), &set) == 0);
    CPU_ZERO(&set);
    CPU_SET(1, &set);
    CHECK(sched_setaffinity(0, sizeof(set), &set) < 0 && errno == EINVAL);
    CHECK(sysconf(_SC_NPROCESSORS_ONLN) == 1);
    CHECK(sched_getcpu() == 0);
    CHECK(sched_get_priority_max(SCHED_RR) == 99);
    CHECK(sched_get_priority_min(SCHED_RR) == 1);
    CHECK(sched_get_priority_max(SCHED_OTHER) == 0);
    CHECK(pthread_getschedparam(pthread_self(), &policy, &param) == 0);
    CHECK(policy == SCHED_OTHER && param.sched_priority == 0);
    CHECK(pthread_setschedparam(pthread_self(), SCHED_FIFO, &param) == EINVAL);
    param.sched_priority = 10;
    CHECK(pthread_setschedparam(pthread_self(), SCHED_FIFO, &param) == 0);
    CHECK(getpriority(PRIO_PROCESS, 0) == 0);
    CHECK(setpriority(PRIO_PROCESS, 0, 5) == 0);
    CHECK(getpriority(PRIO_PROCESS, 0) == 5);
}

/* ---- The end ------------------------------------------------------------ */

static void *end_last(void *unused)
{
    sleep_ms(5);
    puts("the last thread ends");
    return unused;
}

/* Main ends first; the program ends with the last thread, with status 0. */
void test_exit(void)
{
    start(end_last, NULL);
    pthread_exit(NULL);
}
