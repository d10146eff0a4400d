/* SPDX-License-Identifier: MIT */
/* Room for VMs, side by side in a few mappings. */
#include "vmm/room.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/os.h"

#define PAGE_BYTES 4096u
#define ROOMS      16u  /* in a row, one mapping */
#define ROWS_MAX   512u /* whoever comes later has a mapping alone */

static struct row {
    uint8_t *base; /* NULL: not there */
    unsigned taken;
} rows[ROWS_MAX];

static unsigned used; /* rows from here on were never there */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int map(size_t bytes, void **at)
{
    return os_mmap(bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, at);
}

/* A row with a free room, or one that is not there yet, or NULL. */
static struct row *find_row(void)
{
    struct row *absent = NULL;

    for (unsigned i = 0; i < used; i++) {
        if (rows[i].base && rows[i].taken + 1 < 1u << ROOMS)
            return &rows[i];
        if (!rows[i].base && !absent)
            absent = &rows[i];
    }
    if (!absent && used < ROWS_MAX)
        absent = &rows[used++];
    return absent;
}

static int take_from(struct row *row, size_t bytes, void **room)
{
    unsigned index = (unsigned)__builtin_ctz(~row->taken);
    void *base = NULL;
    int result = row->base ? 0 : map(ROOMS * bytes, &base);

    if (result)
        return result;
    if (base)
        row->base = base;
    row->taken |= 1u << index;
    *room = row->base + index * bytes;
    return 0;
}

int room_take(size_t bytes, void **room)
{
    int result;

    bytes = round_up(bytes, PAGE_BYTES);
    pthread_mutex_lock(&lock);
    struct row *row = find_row();
    result = row ? take_from(row, bytes, room) : map(bytes, room);
    pthread_mutex_unlock(&lock);
    return result;
}

/* The row that a room is in; NULL: it is alone. */
static struct row *row_of(const uint8_t *room, size_t bytes)
{
    for (unsigned i = 0; i < used; i++)
        if (rows[i].base && room >= rows[i].base &&
            room < rows[i].base + ROOMS * bytes)
            return &rows[i];
    return NULL;
}

void room_give(void *room, size_t bytes)
{
    bytes = round_up(bytes, PAGE_BYTES);
    pthread_mutex_lock(&lock);
    struct row *row = row_of(room, bytes);
    if (!row) {
        os_munmap(room, bytes);
    } else {
        row->taken &= ~(1u << ((uint8_t *)room - row->base) / bytes);
        if (row->taken) {
            os_madvise(room, bytes, MADV_DONTNEED);
        } else {
            os_munmap(row->base, ROOMS * bytes);
            row->base = NULL;
        }
    }
    pthread_mutex_unlock(&lock);
}
