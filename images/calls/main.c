/* SPDX-License-Identifier: MIT */
/* A guest that is a library: functions that a host program calls. */
#include <mayfly/call.h>
#include <stdint.h>
#include <string.h>

#define ROOM (1 << 20)

/* Does nothing: what a call itself costs. */
static long nothing(const void *in, size_t in_bytes, void *out, size_t out_room,
                    size_t *out_bytes)
{
    (void)in;
    (void)in_bytes;
    (void)out;
    (void)out_room;
    (void)out_bytes;
    return 0;
}

/* Gives back its input, reversed. */
static long reverse(const void *in, size_t in_bytes, void *out, size_t out_room,
                    size_t *out_bytes)
{
    const char *from = in;
    char *to = out;

    if (in_bytes > out_room)
        return -1;
    for (size_t i = 0; i < in_bytes; i++)
        to[i] = from[in_bytes - 1 - i];
    *out_bytes = in_bytes;
    return (long)in_bytes;
}

/* Writes to as many pages as the first input byte says; counts its calls. */
static long dirty(const void *in, size_t in_bytes, void *out, size_t out_room,
                  size_t *out_bytes)
{
    static char pages[256 * 4096];
    static long calls;
    unsigned count = in_bytes > 0 ? *(const unsigned char *)in : 0;

    (void)out;
    (void)out_room;
    (void)out_bytes;
    for (unsigned i = 0; i < count; i++)
        pages[i * 4096] = 1;
    __asm__ volatile("" : : "r"(pages) : "memory"); /* somebody may look */
    return ++calls;
}

static long hang(const void *in, size_t in_bytes, void *out, size_t out_room,
                 size_t *out_bytes)
{
    volatile int forever = 1;

    while (forever)
        ;
    return nothing(in, in_bytes, out, out_room, out_bytes);
}

static long crash(const void *in, size_t in_bytes, void *out, size_t out_room,
                  size_t *out_bytes)
{
    __builtin_trap();
    return nothing(in, in_bytes, out, out_room, out_bytes);
}

int main(void)
{
    static const struct mayfly_export exports[] = {
        {"nothing", nothing}, {"reverse", reverse}, {"dirty", dirty},
        {"hang", hang},       {"crash", crash},
    };

    return mayfly_serve_calls(exports, sizeof(exports) / sizeof(exports[0]),
                              ROOM) != 0;
}
