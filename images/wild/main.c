/* SPDX-License-Identifier: MIT */
/* Makes a senseless hypercall, or an access to a forbidden port. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <mayfly/abi.h>

#define BOOT ((const struct mf_boot *)MF_BOOT_PAGE)

static long hypercall(uint8_t number, uint64_t a, uint64_t b)
{
    long result;

    __asm__ volatile("out %%al, %1"
                     : "=a"(result)
                     : "N"(MF_HYPERCALL_PORT), "a"((long)number), "D"(a), "S"(b)
                     : "memory");
    return result;
}

static uint64_t end_of_memory(void)
{
    uint64_t low = MF_RAM_LOW_END;

    return BOOT->mem_bytes <= low ? BOOT->mem_bytes
                                  : MF_RAM_HIGH_BASE + BOOT->mem_bytes - low;
}

static long unknown_number(void)
{
    return hypercall(0x7f, 1, 2);
}

static long highest_number(void)
{
    return hypercall(0xff, UINT64_MAX, UINT64_MAX);
}

static long crash_null(void)
{
    return hypercall(MF_HC_CRASH, 0, 0);
}

static long crash_system(void)
{
    return hypercall(MF_HC_CRASH, 0x1000, 0);
}

static long crash_at_end(void)
{
    return hypercall(MF_HC_CRASH, end_of_memory() - sizeof(struct mf_crash), 0);
}

static long crash_past_end(void)
{
    return hypercall(MF_HC_CRASH, end_of_memory() - 8, 0);
}

static long crash_beyond(void)
{
    return hypercall(MF_HC_CRASH, 1ull << 40, 0);
}

static long crash_overflow(void)
{
    return hypercall(MF_HC_CRASH, UINT64_MAX - 7, 0);
}

/* A report whose every field is nonsense. */
static long crash_garbage(void)
{
    static struct mf_crash crash;

    memset(&crash, 0xa5, sizeof(crash));
    return hypercall(MF_HC_CRASH, (uint64_t)&crash, 0);
}

/* A chain of frames that has no end. */
static long crash_frames(void)
{
    static uint64_t frame[2];
    static struct mf_crash crash;

    frame[0] = (uint64_t)frame;
    frame[1] = (uint64_t)crash_frames;
    crash.rip = (uint64_t)crash_frames;
    crash.regs[MF_RBP] = (uint64_t)frame;
    return hypercall(MF_HC_CRASH, (uint64_t)&crash, 0);
}

static long kick_all(void)
{
    return hypercall(MF_HC_KICK, UINT64_MAX, UINT64_MAX);
}

static long wait_past(void)
{
    return hypercall(MF_HC_WAIT, BOOT->events, 0);
}

static long wait_changed(void)
{
    return hypercall(MF_HC_WAIT, ~BOOT->events, MF_WAIT_FOREVER);
}

static long exit_huge(void)
{
    return hypercall(MF_HC_EXIT, 0xffffffffffffff2aull, 0);
}

static long port_out(void)
{
    __asm__ volatile("out %%al, $0x80" : : "a"(0L) : "memory");
    return 0;
}

static long port_out_next(void)
{
    __asm__ volatile("out %%al, %0"
                     :
                     : "N"(MF_HYPERCALL_PORT + 1), "a"(0L)
                     : "memory");
    return 0;
}

static long port_in(void)
{
    long value = 0;

    __asm__ volatile("in %1, %%al"
                     : "+a"(value)
                     : "N"(MF_HYPERCALL_PORT)
                     : "memory");
    return value;
}

static long port_wide(void)
{
    __asm__ volatile("out %%eax, %0"
                     :
                     : "N"(MF_HYPERCALL_PORT), "a"(0L)
                     : "memory");
    return 0;
}

static long port_string(void)
{
    static const char text[4096];
    const char *from = text;
    uint64_t count = sizeof(text);

    __asm__ volatile("rep outsb"
                     : "+S"(from), "+c"(count)
                     : "d"(MF_HYPERCALL_PORT)
                     : "memory");
    return 0;
}

#define CASE(name, function) \
    {                        \
        name, function       \
    }

static const struct {
    const char *name;
    long (*run)(void);
} cases[] = {
    CASE("unknown-number", unknown_number),
    CASE("highest-number", highest_number),
    CASE("crash-null", crash_null),
    CASE("crash-system", crash_system),
    CASE("crash-at-end", crash_at_end),
    CASE("crash-past-end", crash_past_end),
    CASE("crash-beyond", crash_beyond),
    CASE("crash-overflow", crash_overflow),
    CASE("crash-garbage", crash_garbage),
    CASE("crash-frames", crash_frames),
    CASE("kick-all", kick_all),
    CASE("wait-past", wait_past),
    CASE("wait-changed", wait_changed),
    CASE("exit-huge", exit_huge),
    CASE("port-out", port_out),
    CASE("port-out-next", port_out_next),
    CASE("port-in", port_in),
    CASE("port-wide", port_wide),
    CASE("port-string", port_string),
};

int main(int argc, char **argv)
{
    const char *wanted = argc > 1 ? argv[1] : "unknown-number";

    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        if (!strcmp(cases[i].name, wanted)) {
            printf("%s = %ld\n", wanted, cases[i].run());
            return 0;
        }
    fprintf(stderr, "wild: one of:");
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        fprintf(stderr, " %s", cases[i].name);
    fprintf(stderr, "\n");
    return 2;
}
