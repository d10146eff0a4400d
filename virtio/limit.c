/* SPDX-License-Identifier: MIT */
/* Rate limits: two token buckets, for operations and for bytes. */
#include "virtio/limit.h"

#define TOKEN          UINT64_C(1000000000) /* tokens are counted in billionths */
#define BURST_PER_RATE (TOKEN / 10)         /* a tenth of a second's worth */

typedef unsigned __int128 u128;

/* Debts end here. Far above any one, far below where sums would overflow. */
#define MISSING_MAX ((u128)1 << 120)

void limit_init(struct limit *limit, struct limit_rate rate)
{
    *limit = (struct limit){
        .ops.rate = rate.ops,
        .bytes.rate = rate.bytes,
    };
}

static u128 min_u128(u128 a, u128 b)
{
    return a < b ? a : b;
}

/* What a full bucket holds. */
static u128 burst_of(const struct limit_bucket *bucket)
{
    u128 burst = (u128)bucket->rate * BURST_PER_RATE;

    return burst < TOKEN ? TOKEN : burst;
}

/* The product fits, whatever the two are. */
static void fill(struct limit_bucket *bucket, uint64_t elapsed_ns)
{
    bucket->missing -=
        min_u128(bucket->missing, (u128)bucket->rate * elapsed_ns);
}

/* How long until `tokens` can be taken, in nanoseconds; 0: now. */
static u128 time_to_wait(const struct limit_bucket *bucket, uint64_t tokens)
{
    u128 burst = burst_of(bucket);
    u128 needed = min_u128((u128)tokens * TOKEN, burst);

    if (bucket->rate == 0 || bucket->missing + needed <= burst)
        return 0;
    return (bucket->missing + needed - burst + bucket->rate - 1) / bucket->rate;
}

static void take(struct limit_bucket *bucket, uint64_t tokens)
{
    if (bucket->rate)
        bucket->missing =
            min_u128(bucket->missing + (u128)tokens * TOKEN, MISSING_MAX);
}

uint64_t limit_take(struct limit *limit, uint64_t now_ns, uint64_t bytes)
{
    uint64_t elapsed_ns = 0;
    u128 wait, wait_bytes;

    if (now_ns > limit->filled_ns) {
        elapsed_ns = now_ns - limit->filled_ns;
        limit->filled_ns = now_ns;
    }
    fill(&limit->ops, elapsed_ns);
    fill(&limit->bytes, elapsed_ns);
    wait = time_to_wait(&limit->ops, 1);
    wait_bytes = time_to_wait(&limit->bytes, bytes);
    if (wait_bytes > wait)
        wait = wait_bytes;
    if (wait > 0)
        return (uint64_t)min_u128(limit->filled_ns + wait, UINT64_MAX - 1);
    take(&limit->ops, 1);
    take(&limit->bytes, bytes);
    return 0;
}

void limit_charge(struct limit *limit, uint64_t bytes)
{
    take(&limit->bytes, bytes);
}
