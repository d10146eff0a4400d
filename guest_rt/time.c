/* SPDX-License-Identifier: MIT */
/* Clocks, read without an exit, and sleeping, which is one. */
#include "guest_rt/hypercall.h"
#include "guest_rt/runtime.h"
#include "guest_rt/thread.h"

/* One consistent reading of both clocks. */
struct reading {
    uint64_t monotonic_ns;
    uint64_t realtime_ns;
};

static struct reading read_clocks(void)
{
    const struct mf_clock *clock = &mf_boot_page()->clock;
    struct reading now;
    uint32_t seq;

    do {
        uint64_t tsc, base, elapsed;

        /* Pairs with the monitor, which makes seq odd while it writes. */
        while ((seq = __atomic_load_n(&clock->seq, __ATOMIC_ACQUIRE)) & 1)
            __builtin_ia32_pause();
        base = __atomic_load_n(&clock->tsc_base, __ATOMIC_RELAXED);
        __builtin_ia32_lfence();
        tsc = __builtin_ia32_rdtsc();
        /* Never before the base, not even where TSCs differ a little. */
        elapsed = tsc > base ? tsc - base : 0;
        elapsed =
            (uint64_t)((unsigned __int128)elapsed *
                           __atomic_load_n(&clock->mult, __ATOMIC_RELAXED) >>
                       32);
        now.monotonic_ns =
            __atomic_load_n(&clock->monotonic_ns, __ATOMIC_RELAXED) + elapsed;
        now.realtime_ns =
            __atomic_load_n(&clock->realtime_ns, __ATOMIC_RELAXED) + elapsed;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    } while (__atomic_load_n(&clock->seq, __ATOMIC_RELAXED) != seq);
    return now;
}

uint64_t mf_clock_monotonic(void)
{
    return read_clocks().monotonic_ns;
}

uint64_t mf_clock_realtime(void)
{
    return read_clocks().realtime_ns;
}

void mf_sleep_until(uint64_t deadline_ns)
{
    const uint64_t *events = &mf_boot_page()->events;

    if (sched_sleep_until) {
        sched_sleep_until(deadline_ns);
        return;
    }
    /* An event ends the wait too: whoever it is for clears and handles it. */
    while (mf_clock_monotonic() < deadline_ns) {
        uint64_t until_ns = mf_sleep_deadline(deadline_ns);

        mf_hypercall(MF_HC_WAIT, __atomic_load_n(events, __ATOMIC_ACQUIRE),
                     until_ns);
    }
}
