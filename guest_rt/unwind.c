/* SPDX-License-Identifier: MIT */
/* Where the unwinder of C++ exceptions finds its tables. */
#include <stdint.h>

/*
 * What libgcc's unwinder asks glibc for (see _dl_find_object in its manual);
 * musl does not have it, and there is one object to find.
 */
struct dl_find_object {
    unsigned long long flags;
    void *map_start, *map_end;
    void *link_map;
    void *eh_frame; /* the table, .eh_frame_hdr */
    unsigned long long reserved[7];
};

extern char __mayfly_image[], __mayfly_unwind[], _end[];

int _dl_find_object(void *address, struct dl_find_object *result);

/* Finds the image, whose code the address is in. Returns 0, or -1. */
int _dl_find_object(void *address, struct dl_find_object *result)
{
    uintptr_t at = (uintptr_t)address;

    if (at < (uintptr_t)__mayfly_image || at >= (uintptr_t)_end)
        return -1;
    *result = (struct dl_find_object){
        .map_start = __mayfly_image,
        .map_end = _end,
        .eh_frame = __mayfly_unwind,
    };
    return 0;
}
