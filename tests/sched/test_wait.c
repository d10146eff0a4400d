/* SPDX-License-Identifier: MIT */
/* The guest's wait queues and mutexes, with one thread after the other. */
#include <criterion/criterion.h>

/* Guest code is not in the library that other unit tests link. */
#include "guest_rt/sched_wait.c"

bool user_can_read(const void *at, size_t bytes)
{
    return at || !bytes;
}

bool user_can_write(const void *at, size_t bytes)
{
    return at || !bytes;
}

static unsigned wakes, blocks;

void sched_wake(struct thread *thread)
{
    wakes++;
    thread->woken = true;
}

/* What happens while a thread is blocked. */
static void (*meanwhile)(void);

int sched_block(uint64_t deadline_ns)
{
    (void)deadline_ns;
    blocks++;
    if (meanwhile)
        meanwhile();
    return 0;
}

int sched_block_uninterrupted(uint64_t deadline_ns)
{
    return sched_block(deadline_ns);
}

static struct wait_queue queue;

struct mark {
    struct waiter waiter;
    unsigned told;
    uint32_t events;
    bool uses_up, leaves;
};

static struct mark marks[4];

static bool tell(struct waiter *waiter, uint32_t events)
{
    struct mark *mark = (struct mark *)waiter;

    mark->told++;
    mark->events = events;
    if (mark->leaves)
        wait_remove(waiter);
    return mark->uses_up;
}

static void set_up(void)
{
    static struct thread self;

    thread_current = &self;
    for (unsigned i = 0; i < 4; i++) {
        marks[i] = (struct mark){.waiter.wake = tell, .uses_up = true};
        wait_add(&queue, &marks[i].waiter);
    }
}

TestSuite(sched_wait, .init = set_up, .timeout = 60);

Test(sched_wait, tells_the_first_ones_up_to_the_limit)
{
    wait_wake(&queue, 5, 2);
    cr_assert_eq(marks[0].told, 1);
    cr_assert_eq(marks[1].told, 1);
    cr_assert_eq(marks[1].events, 5);
    cr_assert_eq(marks[2].told, 0);
    wait_wake(&queue, 0, 0);
    cr_assert_eq(marks[0].told, 1);
}

Test(sched_wait, does_not_count_who_did_not_use_it_up)
{
    marks[0].uses_up = marks[1].uses_up = false;
    wait_wake(&queue, 1, 1);
    cr_assert_eq(marks[0].told, 1);
    cr_assert_eq(marks[2].told, 1);
    cr_assert_eq(marks[3].told, 0);
}

Test(sched_wait, lets_waiters_leave_while_they_are_told)
{
    for (unsigned i = 0; i < 4; i++)
        marks[i].leaves = true;
    wait_wake(&queue, 1, WAIT_ALL);
    cr_assert_null(queue.first);
    cr_assert_null(queue.last);
    cr_assert_null(marks[3].waiter.queue);
}

Test(sched_wait, keeps_its_order_when_one_leaves)
{
    wait_remove(&marks[1].waiter);
    wait_remove(&marks[1].waiter);
    wait_remove(&marks[3].waiter);
    wait_add(&queue, &marks[1].waiter);
    wait_wake(&queue, 1, 2);
    cr_assert_eq(marks[0].told + marks[2].told, 2);
    cr_assert_eq(marks[1].told, 0);
    cr_assert_eq(queue.last, &marks[1].waiter);
}

/* Queues itself again when it is told. */
static bool tell_and_return(struct waiter *waiter, uint32_t events)
{
    struct wait_queue *of = waiter->queue;

    (void)events;
    ((struct mark *)waiter)->told++;
    wait_remove(waiter);
    wait_add(of, waiter);
    return true;
}

Test(sched_wait, tells_nobody_twice)
{
    for (unsigned i = 0; i < 4; i++)
        marks[i].waiter.wake = tell_and_return;
    wait_wake(&queue, 1, WAIT_ALL);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(marks[i].told, 1);
}

static void wake_queue(void)
{
    wait_wake(&queue, 1, WAIT_ALL);
}

Test(sched_wait, waits_once_and_leaves_the_queue)
{
    meanwhile = wake_queue;
    cr_assert_eq(wait_on(&queue, WAIT_NO_END), 0);
    cr_assert_eq(blocks, 1);
    cr_assert_eq(wakes, 1);
    cr_assert_eq(queue.last, &marks[3].waiter);
}

static struct mutex mutex;

static void unlock_at_the_third(void)
{
    if (blocks == 3)
        mutex_unlock(&mutex);
}

/* A block that ends without a reason is no reason to go on. */
Test(sched_wait, hands_a_mutex_over)
{
    mutex_lock(&mutex);
    meanwhile = unlock_at_the_third;
    mutex_lock(&mutex);
    cr_assert_eq(blocks, 3);
    cr_assert(mutex.locked);
    cr_assert_null(mutex.waiters.first);
    mutex_unlock(&mutex);
    cr_assert(!mutex.locked);
}
