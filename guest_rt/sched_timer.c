/* SPDX-License-Identifier: MIT */
/* Timers: a pairing heap, the earliest deadline at its root. */
#include "guest_rt/sched_timer.h"

#include <stddef.h>

/*
 * Each timer is not later than its children, which are a list. Starting one is
 * a comparison with the root; stopping one cuts it out with its children, which
 * are then paired, and put together from the last pair on: O(log n) on average
 * (Fredman and others, "The pairing heap", Algorithmica 1, 1986).
 *
 * `link` is what points to the timer: the root, a parent's `child`, or a
 * sibling's `next`.
 */

static struct timer *root;

/* Makes one of two heaps the first child of the other, and returns that. */
static struct timer *meld(struct timer *a, struct timer *b)
{
    struct timer *above = a, *below = b;

    if (!a || !b)
        return a ? a : b;
    if (b->deadline_ns < a->deadline_ns) {
        above = b;
        below = a;
    }
    below->next = above->child;
    if (below->next)
        below->next->link = &below->next;
    above->child = below;
    below->link = &above->child;
    return above;
}

/* Makes one heap of a list of them, in two passes. */
static struct timer *meld_all(struct timer *list)
{
    struct timer *pairs = NULL, *all = NULL;

    while (list) {
        struct timer *a = list, *b = a->next, *pair;

        list = b ? b->next : NULL;
        a->next = NULL;
        if (b)
            b->next = NULL;
        pair = meld(a, b);
        pair->next = pairs;
        pairs = pair;
    }
    while (pairs) {
        struct timer *rest = pairs->next;

        pairs->next = NULL;
        all = meld(all, pairs);
        pairs = rest;
    }
    return all;
}

static void set_root(struct timer *timer)
{
    root = timer;
    if (timer) {
        timer->next = NULL;
        timer->link = &root;
    }
}

void timer_stop(struct timer *timer)
{
    struct timer *children = timer->child;

    if (!timer->link)
        return;
    timer->child = NULL;
    if (timer == root) {
        set_root(meld_all(children));
    } else {
        *timer->link = timer->next;
        if (timer->next)
            timer->next->link = timer->link;
        set_root(meld(root, meld_all(children)));
    }
    timer->next = NULL;
    timer->link = NULL;
}

void timer_start(struct timer *timer, uint64_t deadline_ns)
{
    timer_stop(timer);
    if (deadline_ns == WAIT_NO_END)
        return;
    timer->deadline_ns = deadline_ns;
    timer->child = timer->next = NULL;
    set_root(meld(root, timer));
    if (timer == root)
        timer_root_changed();
}

uint64_t timer_next_ns(void)
{
    return root ? root->deadline_ns : WAIT_NO_END;
}

void timer_fire_until(uint64_t now_ns)
{
    while (root && root->deadline_ns <= now_ns) {
        struct timer *timer = root;

        timer_stop(timer);
        timer->fire(timer);
    }
}
