/* SPDX-License-Identifier: MIT */
/* Room for VMs and for their memory, side by side in few mappings. */
#include "vmm/room.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>

#include "vmm/base/os.h"

#define PAGE_BYTES 4096u
#define ROWS_MAX   512u /* whoever comes later has a mapping alone */

/* One mapping. A room is taken, or stale, or as new. */
struct row {
    uint8_t *base; /* NULL: not there */
    uint32_t taken;
    uint32_t stale; /* given back, with what was in it */
};

struct rooms {
    size_t bytes;
    unsigned in_row;
    int file; /* -1: they are zero */
    pthread_mutex_t lock;
    bool closed;
    unsigned taken; /* in rows or not */
    unsigned stale;
    unsigned used; /* rows from here on were never there */
    unsigned there;
    struct row rows[ROWS_MAX];
};

static int map(const struct rooms *rooms, size_t bytes, void **at)
{
    int flags = MAP_PRIVATE | MAP_NORESERVE;

    return os_mmap(bytes, PROT_READ | PROT_WRITE,
                   rooms->file < 0 ? flags | MAP_ANONYMOUS : flags, rooms->file,
                   at);
}

/* ---- Taking ----------------------------------------------------------- */

static uint32_t free_rooms(const struct rooms *rooms, const struct row *row)
{
    uint32_t all = (UINT32_C(1) << rooms->in_row) - 1;

    return all & ~(row->taken | row->stale);
}

/* A row with a room as new, or one that is not there yet, or NULL. */
static struct row *find_row(struct rooms *rooms)
{
    struct row *absent = NULL;

    for (unsigned i = 0; i < rooms->used; i++) {
        struct row *row = &rooms->rows[i];

        if (row->base && free_rooms(rooms, row))
            return row;
        if (!row->base && !absent)
            absent = row;
    }
    if (!absent && rooms->used < ROWS_MAX)
        absent = &rooms->rows[rooms->used++];
    return absent;
}

static int take_from(struct rooms *rooms, struct row *row, void **room)
{
    void *base = NULL;
    int result = 0;

    if (!row->base)
        result = map(rooms, rooms->in_row * rooms->bytes, &base);
    if (result)
        return result;
    if (base) {
        row->base = base;
        rooms->there++;
    }
    unsigned index = (unsigned)__builtin_ctz(free_rooms(rooms, row));
    row->taken |= UINT32_C(1) << index;
    *room = row->base + index * rooms->bytes;
    return 0;
}

int rooms_take(struct rooms *rooms, void **room)
{
    int result = -ENOMEM;

    pthread_mutex_lock(&rooms->lock);
    struct row *row = rooms->in_row > 1 ? find_row(rooms) : NULL;
    if (row)
        result = take_from(rooms, row, room);
    if (result == -ENOMEM)
        result = map(rooms, rooms->bytes, room);
    rooms->taken += !result;
    pthread_mutex_unlock(&rooms->lock);
    return result;
}

/* ---- Giving back ------------------------------------------------------ */

/* Makes a row's stale rooms as new: those side by side at once. */
static void empty_row(struct rooms *rooms, struct row *row)
{
    while (row->stale) {
        unsigned first = (unsigned)__builtin_ctz(row->stale);
        unsigned count = (unsigned)__builtin_ctz(~(row->stale >> first));

        os_madvise(row->base + first * rooms->bytes, count * rooms->bytes,
                   MADV_DONTNEED);
        row->stale &= ~(((UINT32_C(1) << count) - 1) << first);
        rooms->stale -= count;
    }
}

static void end_row(struct rooms *rooms, struct row *row)
{
    os_munmap(row->base, rooms->in_row * rooms->bytes);
    rooms->stale -= (unsigned)__builtin_popcount(row->stale);
    rooms->there--;
    *row = (struct row){.base = NULL};
}

static unsigned stale_max(const struct rooms *rooms)
{
    return (unsigned)min_u64(ROOMS_STALE_BYTES_MAX / rooms->bytes,
                             ROOMS_IN_ROW_MAX);
}

static void give_to(struct rooms *rooms, struct row *row, const uint8_t *room)
{
    uint32_t bit = UINT32_C(1) << (size_t)(room - row->base) / rooms->bytes;

    row->taken &= ~bit;
    row->stale |= bit;
    rooms->stale++;
    /* The last one stays: VMs may come and go one by one. */
    if (!row->taken && rooms->there > 1)
        end_row(rooms, row);
    if (rooms->stale <= stale_max(rooms) && (rooms->taken > 1 || rooms->closed))
        return;
    for (unsigned i = 0; i < rooms->used; i++)
        empty_row(rooms, &rooms->rows[i]);
}

/* The row that a room is in; NULL: it is alone. */
static struct row *row_of(struct rooms *rooms, const uint8_t *room)
{
    for (unsigned i = 0; i < rooms->used; i++) {
        struct row *row = &rooms->rows[i];

        if (row->base && room >= row->base &&
            room < row->base + rooms->in_row * rooms->bytes)
            return row;
    }
    return NULL;
}

static void end_rooms(struct rooms *rooms)
{
    for (unsigned i = 0; i < rooms->used; i++)
        if (rooms->rows[i].base)
            end_row(rooms, &rooms->rows[i]);
    os_close(rooms->file);
    pthread_mutex_destroy(&rooms->lock);
    os_munmap(rooms, sizeof(*rooms));
}

void rooms_give(struct rooms *rooms, void *room)
{
    pthread_mutex_lock(&rooms->lock);
    struct row *row = row_of(rooms, room);
    if (row)
        give_to(rooms, row, room);
    else
        os_munmap(room, rooms->bytes);
    rooms->taken--;
    bool ends = rooms->closed && rooms->taken == 0;
    pthread_mutex_unlock(&rooms->lock);
    if (ends)
        end_rooms(rooms);
}

/* ---- Life cycle ------------------------------------------------------ */

int rooms_open(size_t bytes, unsigned in_row, int file, struct rooms **rooms)
{
    void *fresh = NULL;
    int result = os_mmap(sizeof(**rooms), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, &fresh);

    bug_on(in_row == 0 || in_row > ROOMS_IN_ROW_MAX);
    if (result)
        return result;
    *rooms = fresh;
    (*rooms)->bytes = bytes;
    (*rooms)->in_row = in_row;
    (*rooms)->file = file;
    pthread_mutex_init(&(*rooms)->lock, NULL);
    return 0;
}

void rooms_close(struct rooms *rooms)
{
    if (!rooms)
        return;
    pthread_mutex_lock(&rooms->lock);
    rooms->closed = true;
    bool ends = rooms->taken == 0;
    pthread_mutex_unlock(&rooms->lock);
    if (ends)
        end_rooms(rooms);
}

/* ---- Of VMs ----------------------------------------------------------------
 */

static struct rooms own = {
    .in_row = ROOMS_IN_ROW_MAX,
    .file = -1,
    .lock = PTHREAD_MUTEX_INITIALIZER,
};

int room_take(size_t bytes, void **room)
{
    pthread_mutex_lock(&own.lock);
    own.bytes = round_up(bytes, PAGE_BYTES);
    pthread_mutex_unlock(&own.lock);
    return rooms_take(&own, room);
}

void room_give(void *room, size_t bytes)
{
    (void)bytes;
    rooms_give(&own, room);
}
