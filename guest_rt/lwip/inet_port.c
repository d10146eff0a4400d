/* SPDX-License-Identifier: MIT */
/* What lwIP asks of its platform: time, random numbers, sums. */
#include <string.h>

#include "guest_rt/lwip/inet.h"
#include "guest_rt/runtime.h"
#include "lwip/sys.h"

u32_t sys_now(void)
{
    return (u32_t)(mf_clock_monotonic() / 1000000u);
}

uint32_t inet_random(void)
{
    uint32_t value;

    mf_random_fill(&value, sizeof(value));
    return value;
}

/*
 * The sum of RFC 1071, eight bytes at a time. As lwIP wants it, a buffer at an
 * odd address is no special case: the words are those of the buffer.
 */
uint16_t inet_checksum(const void *data, int bytes)
{
    const unsigned char *at = data;
    unsigned __int128 wide = 0;
    uint64_t sum;

    for (; bytes >= 8; bytes -= 8, at += 8) {
        uint64_t word;

        memcpy(&word, at, sizeof(word));
        wide += word;
    }
    if (bytes > 0) {
        uint64_t word = 0;

        memcpy(&word, at, (size_t)bytes);
        wide += word;
    }
    /* 2^16, 2^32 and 2^64 are all 1 in this arithmetic. */
    sum = (uint64_t)wide;
    sum += (uint64_t)(wide >> 64);
    sum += sum < (uint64_t)(wide >> 64);
    sum = (sum & 0xffffffffu) + (sum >> 32);
    sum = (sum & 0xffffu) + (sum >> 16 & 0xffffu) + (sum >> 32);
    sum = (sum & 0xffffu) + (sum >> 16);
    sum = (sum & 0xffffu) + (sum >> 16);
    return (uint16_t)sum;
}
