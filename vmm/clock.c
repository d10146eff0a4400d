/* SPDX-License-Identifier: MIT */
/* Keeping the guest's clock in step with the host's. */
#include "vmm/clock.h"

#include <string.h>
#include <time.h>
#include <x86intrin.h>

#include "vmm/base/os.h"

/* Long enough for a rate that is better than the calibrated kHz. */
#define RATE_INTERVAL_NS 1000000000ull

/* A guest that is ahead runs slower by one part in 2^SLEW_SHIFT. */
#define SLEW_SHIFT 11

static uint64_t host_time_ns(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t scale(uint64_t ticks, uint64_t mult)
{
    return (uint64_t)((unsigned __int128)ticks * mult >> 32);
}

void clock_init(struct clock *clock, uint32_t tsc_khz)
{
    memset(clock, 0, sizeof(*clock));
    clock->epoch_ns = clock->updated_ns = os_now_ns();
    clock->epoch_tsc = __rdtsc();
    clock->now.tsc_khz = tsc_khz;
    clock->now.tsc_base = clock->epoch_tsc;
    clock->now.mult = (1000000ull << 32) / tsc_khz;
    clock->now.realtime_ns = host_time_ns(CLOCK_REALTIME);
}

void clock_resume(struct clock *clock, uint32_t tsc_khz, uint64_t monotonic_ns,
                  uint32_t seq)
{
    clock_init(clock, tsc_khz);
    clock->start_ns = monotonic_ns;
    clock->now.monotonic_ns = monotonic_ns;
    clock->now.seq = seq & ~1u;
}

void clock_update(struct clock *clock)
{
    struct mf_clock *now = &clock->now;
    uint64_t host_ns = os_now_ns();
    uint64_t tsc = __rdtsc();
    uint64_t elapsed_ns = host_ns - clock->epoch_ns;
    uint64_t told_ns =
        now->monotonic_ns + scale(tsc - now->tsc_base, now->mult);
    uint64_t mult = (1000000ull << 32) / now->tsc_khz;

    if (elapsed_ns >= RATE_INTERVAL_NS && tsc > clock->epoch_tsc)
        mult = (uint64_t)(((unsigned __int128)elapsed_ns << 32) /
                          (tsc - clock->epoch_tsc));
    if (told_ns > clock->start_ns + elapsed_ns)
        mult -= mult >> SLEW_SHIFT;
    now->tsc_base = tsc;
    now->mult = mult;
    now->monotonic_ns = max_u64(told_ns, clock->start_ns + elapsed_ns);
    now->realtime_ns = host_time_ns(CLOCK_REALTIME);
    clock->updated_ns = host_ns;
}

int clock_publish(struct clock *clock, const struct gmem *mem)
{
    void *host;
    int error =
        gmem_map(mem, gpa(MF_BOOT_PAGE + offsetof(struct mf_boot, clock)),
                 sizeof(struct mf_clock), &host);

    if (error)
        return error;
    /*
     * Readers repeat while seq is odd or has changed. The guest does not run
     * now, so the order of the stores is for later: more than one vCPU.
     */
    struct mf_clock *shared = host;
    clock->now.seq += 2;
    __atomic_store_n(&shared->seq, clock->now.seq - 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    shared->tsc_khz = clock->now.tsc_khz;
    shared->tsc_base = clock->now.tsc_base;
    shared->mult = clock->now.mult;
    shared->monotonic_ns = clock->now.monotonic_ns;
    shared->realtime_ns = clock->now.realtime_ns;
    __atomic_store_n(&shared->seq, clock->now.seq, __ATOMIC_RELEASE);
    return 0;
}

uint64_t clock_host_from_guest(const struct clock *clock, uint64_t guest_ns)
{
    uint64_t since_ns;

    if (guest_ns < clock->start_ns)
        return clock->epoch_ns; /* long ago */
    since_ns = guest_ns - clock->start_ns;
    return since_ns > UINT64_MAX - clock->epoch_ns ? UINT64_MAX
                                                   : since_ns + clock->epoch_ns;
}

uint64_t clock_guest_ns(const struct clock *clock)
{
    return clock->start_ns + (os_now_ns() - clock->epoch_ns);
}

uint64_t clock_host_from_tsc(const struct clock *clock, uint64_t tsc)
{
    if (tsc < clock->epoch_tsc)
        return 0;
    return clock->epoch_ns + scale(tsc - clock->epoch_tsc,
                                   (1000000ull << 32) / clock->now.tsc_khz);
}
