/* SPDX-License-Identifier: MIT */
/* What is done when the runtime's lock is free: others' turns, signals. */
#include "guest_rt/generation.h"
#include "guest_rt/thread.h"

void mf_note_due(void)
{
    mf_runtime_lock.due = true;
}

/*
 * An upcall may come anywhere in here. With the lock held it notes that there
 * is something to do, and the loop sees that; without, it calls this itself.
 */
void mf_due(void)
{
    do {
        if (generation_due)
            generation_due();
        mf_lock();
        mf_runtime_lock.due = false;
        if (signal_host_look)
            signal_host_look();
        if (sched_due)
            sched_due();
        mf_runtime_lock.depth--;
        if (signal_deliver_due)
            signal_deliver_due();
    } while (mf_runtime_lock.due);
}
