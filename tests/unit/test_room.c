/* SPDX-License-Identifier: MIT */
/* Room for VMs: apart from each other, zero when it comes, and few mappings. */
#include <criterion/criterion.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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

/* ---- Copies of a file ---------------------------------------------------- */

#define MIB ((size_t)1 << 20)

static struct rooms *files;

/* In each room of the file every byte is the room's number, counted from 1. */
static int open_rooms(size_t bytes, unsigned in_row, size_t data_bytes)
{
    static char data[MIB];
    int file = memfd_create("rooms", MFD_CLOEXEC);

    cr_assert_eq(ftruncate(file, (off_t)(in_row * bytes)), 0);
    for (unsigned i = 0; i < in_row; i++) {
        memset(data, (int)i + 1, data_bytes);
        cr_assert_eq(pwrite(file, data, data_bytes, (off_t)(i * bytes)),
                     (ssize_t)data_bytes);
    }
    cr_assert_eq(rooms_open(bytes, in_row, file, &files), 0);
    return file;
}

static char *take_copy(void)
{
    void *room = NULL;

    cr_assert_eq(rooms_take(files, &room), 0);
    return room;
}

Test(rooms, are_as_new_whoever_had_them)
{
    enum { BYTES_OF_ONE = 8192, IN_ROW = 4, MANY = 40 };
    char *copies[MANY];

    open_rooms(BYTES_OF_ONE, IN_ROW, BYTES_OF_ONE);
    for (unsigned i = 0; i < MANY; i++)
        copies[i] = take_copy();
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = round; i < MANY; i += round + 1) {
            cr_assert(copies[i][0] >= 1 && copies[i][0] <= IN_ROW);
            cr_assert_eq(copies[i][0], copies[i][BYTES_OF_ONE - 1]);
            memset(copies[i], 99, BYTES_OF_ONE);
            rooms_give(files, copies[i]);
            copies[i] = take_copy();
        }
    for (unsigned i = 0; i < MANY; i++)
        rooms_give(files, copies[i]);
    rooms_close(files);
}

/* From /proc/self/status, in KiB. */
static long private_kib(void)
{
    FILE *status = fopen("/proc/self/status", "re");
    char line[128];
    long kib = -1;

    cr_assert(status);
    while (fgets(line, sizeof(line), status) &&
           sscanf(line, "RssAnon: %ld", &kib) != 1)
        continue;
    fclose(status);
    return kib;
}

/* One of them is not given back, or the row would go. */
Test(rooms, keep_little_of_what_was_in_them)
{
    enum { IN_ROW = 16 };
    char *copies[IN_ROW];

    open_rooms(8 * MIB, IN_ROW, 1);
    for (unsigned i = 0; i < IN_ROW; i++)
        memset(copies[i] = take_copy(), 99, MIB);
    long before = private_kib();
    for (unsigned i = 1; i < IN_ROW; i++)
        rooms_give(files, copies[i]);
    /* Eight of these are as much as may wait: half of what was written. */
    cr_assert_leq(private_kib(), before - 7 * 1024);
    cr_assert_eq(copies[0][MIB - 1], 99);
    rooms_give(files, copies[0]);
    rooms_close(files);
}

Test(rooms, outlive_their_end_until_they_are_given_back)
{
    int file = open_rooms(4096, 2, 1);
    char *first = take_copy(), *second = take_copy();

    rooms_close(files);
    rooms_give(files, first);
    cr_assert_eq(second[0], 2);
    cr_assert_eq(fcntl(file, F_GETFD), FD_CLOEXEC);
    rooms_give(files, second);
    cr_assert_eq(fcntl(file, F_GETFD), -1);
}

static unsigned count_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    unsigned lines = 0;
    int byte;

    cr_assert(maps);
    while ((byte = getc(maps)) != EOF)
        lines += byte == '\n';
    fclose(maps);
    return lines;
}

/* One by one they are in the same row, and nothing is mapped anew. */
Test(rooms, that_are_taken_one_by_one_are_the_same_one)
{
    open_rooms(8192, 16, 1);
    char *first = take_copy();
    unsigned mappings = count_mappings();

    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(first[0], 1);
        memset(first, 99, 8192);
        rooms_give(files, first);
        cr_assert_eq(take_copy(), first);
    }
    cr_assert_eq(count_mappings(), mappings);
    rooms_give(files, first);
    rooms_close(files);
    cr_assert_lt(count_mappings(), mappings);
}

Test(rooms, of_a_row_of_one_are_mapped_one_by_one)
{
    open_rooms(4096, 1, 1);
    char *first = take_copy(), *second = take_copy();

    first[0] = 99;
    cr_assert_eq(second[0], 1);
    rooms_give(files, first);
    first = take_copy();
    cr_assert_eq(first[0], 1);
    rooms_give(files, first);
    rooms_give(files, second);
    rooms_close(files);
}
