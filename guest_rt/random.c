/* SPDX-License-Identifier: MIT */
/* Random numbers: getrandom(2). */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "guest_rt/chacha.h"
#include "guest_rt/hypercall.h"
#include "guest_rt/runtime.h"
#include "guest_rt/sched.h"
#include "guest_rt/syscalls.h"
#include "guest_rt/user.h"

/*
 * ChaCha20 with fast key erasure: every request first replaces the key by part
 * of its own key stream, so that what is read from memory later says nothing
 * about numbers given out before.
 *
 * The key comes from the monitor's seed. When the VM becomes a copy of
 * another, the monitor changes the boot page's generation and puts a fresh
 * seed there; it is mixed in before the next number.
 */
static uint64_t key[CHACHA_KEY_BYTES / sizeof(uint64_t)];
static uint64_t key_generation;
static bool key_ready;

static void wipe(void *secret, size_t bytes)
{
    memset(secret, 0, bytes);
    __asm__ volatile("" : : "r"(secret) : "memory");
}

/*
 * The VM may become another one anywhere in here. Each word of the seed is
 * taken and wiped in one step, so that nothing of a new one is lost: what comes
 * in the middle is mixed in in part, and the rest the next time, which follows.
 */
static void mix_in_seed(struct mf_boot *boot, uint64_t generation)
{
    uint64_t *seed = (uint64_t *)boot->seed;

    _Static_assert(sizeof(boot->seed) == sizeof(key), "one word for one");
    for (size_t i = 0; i < sizeof(key) / sizeof(key[0]); i++)
        key[i] ^= __atomic_exchange_n(&seed[i], 0, __ATOMIC_ACQ_REL);
    key_generation = generation;
    key_ready = true;
}

static void fill(uint8_t *out, size_t bytes)
{
    static const uint8_t nonce[CHACHA_NONCE_BYTES];
    uint8_t block[CHACHA_BLOCK_BYTES], stream_key[CHACHA_KEY_BYTES];
    uint8_t *from = block + CHACHA_KEY_BYTES;
    size_t left_in_block = CHACHA_BLOCK_BYTES - CHACHA_KEY_BYTES;
    uint32_t counter = 0;

    memcpy(stream_key, key, sizeof(key));
    chacha_block(stream_key, counter++, nonce, block);
    memcpy(key, block, sizeof(key));

    while (bytes) {
        size_t part = bytes < left_in_block ? bytes : left_in_block;

        memcpy(out, from, part);
        out += part;
        bytes -= part;
        if (!bytes)
            break;
        /* 2^32 blocks are 256 GiB: more than a guest has memory for. */
        chacha_block(stream_key, counter++, nonce, block);
        from = block;
        left_in_block = CHACHA_BLOCK_BYTES;
    }
    wipe(block, sizeof(block));
    wipe(stream_key, sizeof(stream_key));
}

/*
 * What is handed out was made by the VM that it is handed out in: what was
 * begun in another one is made anew.
 */
void mf_random_fill(void *buffer, size_t bytes)
{
    struct mf_boot *boot = mf_boot_page();
    uint64_t generation;

    do {
        generation = __atomic_load_n(&boot->generation, __ATOMIC_ACQUIRE);
        if (!key_ready || generation != key_generation)
            mix_in_seed(boot, generation);
        fill(buffer, bytes);
    } while (__atomic_load_n(&boot->generation, __ATOMIC_ACQUIRE) !=
             generation);
}

/* Others have their turn in between. */
#define PART_BYTES 65536

long __mayfly_sys_getrandom(long buffer, long bytes, long flags)
{
    const long known = GRND_NONBLOCK | GRND_RANDOM | 4 /* GRND_INSECURE */;

    if (flags & ~known)
        return -EINVAL;
    if (bytes < 0)
        return -EFAULT;
    for (long done = 0; done < bytes; done += PART_BYTES) {
        size_t part = (size_t)(bytes - done);
        char *to = (char *)buffer + done;
        bool there;

        if (part > PART_BYTES)
            part = PART_BYTES;
        mf_lock();
        there = user_can_write(to, part);
        if (there)
            mf_random_fill(to, part);
        mf_unlock();
        if (!there)
            return done ? done : -EFAULT;
    }
    return bytes;
}
