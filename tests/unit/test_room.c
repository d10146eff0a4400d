/* SPDX-License-Identifier: MIT */
/* Room for VMs: apart from each other, zero when it comes, and few mappings. */
#include <criterion/criterion.h>

#include <string.h>

#include "vmm/room.h"

#define BYTES 10000u
#define ROOMS 100u

static void *rooms[ROOMS];

static void *take(void)
{
    void *room = NULL;

    cr_assert_eq(room_take(BYTES, &room), 0);
    return room;
}

static bool is_all(const void *room, int byte)
{
    for (size_t i = 0; i < BYTES; i++)
        if (((const unsigned char *)room)[i] != byte)
            return false;
    return true;
}

Test(room, is_apart_and_zero_again)
{
    for (unsigned i = 0; i < ROOMS; i++)
        memset(rooms[i] = take(), (int)i + 1, BYTES);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = round; i < ROOMS; i += 3)
            room_give(rooms[i], BYTES);
        for (unsigned i = round; i < ROOMS; i += 3) {
            rooms[i] = take();
            cr_assert(is_all(rooms[i], 0), "%u", i);
            memset(rooms[i], (int)i + 1, BYTES);
        }
    }
    for (unsigned i = 0; i < ROOMS; i++) {
        cr_assert(is_all(rooms[i], (int)i + 1), "%u", i);
        room_give(rooms[i], BYTES);
    }
}

/* More than there is a list for: they are mapped one by one. */
Test(room, does_not_run_out)
{
    enum { MANY = 512 * 16 + 3 };
    static void *many[MANY];

    for (unsigned i = 0; i < MANY; i++)
        memset(many[i] = take(), (int)(i % 251) + 1, BYTES);
    for (unsigned i = 0; i < MANY; i++) {
        cr_assert(is_all(many[i], (int)(i % 251) + 1), "%u", i);
        room_give(many[i], BYTES);
    }
}
