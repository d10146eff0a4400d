/* SPDX-License-Identifier: MIT */
/* Real time that jumps. */
#include "guest_rt/clock_jump.h"

#include <stddef.h>

#include "guest_rt/generation.h"

static struct clock_watch *watches;
static struct clock_watch *cursor; /* the next to be told */

void clock_watch_add(struct clock_watch *watch)
{
    if (watch->link)
        return;
    generation_watch();
    watch->next = watches;
    watch->link = &watches;
    if (watches)
        watches->link = &watch->next;
    watches = watch;
}

void clock_watch_remove(struct clock_watch *watch)
{
    if (!watch->link)
        return;
    if (cursor == watch)
        cursor = watch->next;
    *watch->link = watch->next;
    if (watch->next)
        watch->next->link = watch->link;
    watch->link = NULL;
}

void clock_jumped(void)
{
    for (struct clock_watch *watch = watches; watch; watch = cursor) {
        cursor = watch->next;
        watch->jumped(watch);
    }
}
