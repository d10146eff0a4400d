/* SPDX-License-Identifier: MIT */
/* Functions of the program for when the VM goes on from a snapshot. */
#include <errno.h>
#include <mayfly/snapshot.h>

#include "guest_rt/generation.h"
#include "guest_rt/sched.h"
#include "guest_rt/upcall.h"

#define CALLS_MAX 32

static struct {
    void (*call)(void *argument);
    void *argument;
} calls[CALLS_MAX];

/* Also in programs that have no other use for upcalls. */
static void (*const needed)(uint64_t)
    __attribute__((used)) = upcall_watch_always;

static unsigned call_count;
static bool pending;

/*
 * Where snapshots are offered, generation_offer() calls on_clone_run() when all
 * is ready for it. Elsewhere it is called between two instructions of the
 * program, as a signal handler would be.
 */
void on_clone_tell(bool many)
{
    pending = call_count > 0;
    if (pending && !many)
        mf_note_due();
}

void on_clone_run(void)
{
    if (!pending)
        return;
    pending = false;
    for (unsigned i = 0; i < call_count; i++)
        calls[i].call(calls[i].argument);
}

int mayfly_on_clone(void (*call)(void *argument), void *argument)
{
    int result = 0;

    mf_lock();
    generation_watch();
    if (call_count < CALLS_MAX) {
        calls[call_count].call = call;
        calls[call_count++].argument = argument;
    } else {
        errno = ENOMEM;
        result = -1;
    }
    mf_unlock();
    return result;
}
