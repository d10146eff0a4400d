/* SPDX-License-Identifier: MIT */
/* What the file system needs, in a VM: a disk, memory, time. */
#include "guest_rt/ext4/guest.h"

#include <errno.h>
#include <mayfly/disk.h>
#include <string.h>

#include "guest_rt/ext4/arena.h"
#include "guest_rt/hypercall.h"
#include "guest_rt/runtime.h"
#include "guest_rt/syscalls.h"

/* As many as fit in a ring of 128 entries, if they are small. */
#define REQUESTS 40u

/* A tick of Linux's, where it has 250 a second. */
#define TIME_STEP_NS 4000000u

/* AVX in XCR0: processors that have it have SSE 4.2. */
#define XCR0_AVX 4u

struct request {
    struct disk_request disk; /* first: it is found by that */
    struct iovec pieces[EXT4_PIECES_MAX];
    struct request *next;
};

struct guest_disk {
    struct ext4_disk disk; /* first, likewise */
    unsigned index;
    struct mutex locks[2]; /* by enum ext4_lock */
    struct request requests[REQUESTS];
    struct request *unused;
    unsigned in_flight;
    int error; /* the first one since the last wait() */
};

/* ---- Requests ----------------------------------------------------------- */

static struct guest_disk *of(struct ext4_disk *disk)
{
    return (struct guest_disk *)(void *)disk;
}

/* Waits for one request to end. Other threads run meanwhile. */
static void complete_one(struct guest_disk *disk)
{
    struct disk_request *ended = disk_complete(disk->index, true);
    struct request *request = (struct request *)(void *)ended;

    if (!ended) { /* the disk is gone: what was in flight is, too */
        disk->error = -EIO;
        disk->in_flight = 0;
        return;
    }
    if (ended->error && !disk->error)
        disk->error = ended->error;
    request->next = disk->unused;
    disk->unused = request;
    disk->in_flight--;
}

static int submit(struct guest_disk *disk, struct request *request)
{
    int error;

    while ((error = disk_submit(disk->index, &request->disk)) == -EAGAIN &&
           disk->in_flight)
        complete_one(disk);
    if (!error) {
        disk->in_flight++;
        return 0;
    }
    request->next = disk->unused;
    disk->unused = request;
    return error;
}

static struct request *take(struct guest_disk *disk)
{
    struct request *request;

    while (!disk->unused && disk->in_flight)
        complete_one(disk);
    request = disk->unused;
    if (request)
        disk->unused = request->next;
    return request;
}

static int guest_start(struct ext4_disk *base, bool write, uint64_t sector,
                       const struct iovec *pieces, unsigned count)
{
    struct guest_disk *disk = of(base);
    struct request *request = take(disk);
    uint64_t bytes = 0;

    if (!request)
        return -EIO;
    memcpy(request->pieces, pieces, count * sizeof(pieces[0]));
    for (unsigned i = 0; i < count; i++)
        bytes += pieces[i].iov_len;
    request->disk = (struct disk_request){
        .op = write ? DISK_WRITE : DISK_READ,
        .sector = sector,
        .sectors = bytes / DISK_SECTOR_BYTES,
        .pieces = request->pieces,
        .piece_count = count,
    };
    return submit(disk, request);
}

static int guest_wait(struct ext4_disk *base)
{
    struct guest_disk *disk = of(base);
    int error;

    while (disk->in_flight)
        complete_one(disk);
    error = disk->error;
    disk->error = 0;
    return error;
}

/* Others' requests come and go meanwhile: none of these is waited for. */
static int guest_flush(struct ext4_disk *base)
{
    return disk_flush(of(base)->index);
}

/* ---- The locks ---------------------------------------------------------- */

static void guest_lock(struct ext4_disk *base, enum ext4_lock which)
{
    mutex_lock(&of(base)->locks[which]);
}

static void guest_unlock(struct ext4_disk *base, enum ext4_lock which)
{
    mutex_unlock(&of(base)->locks[which]);
}

bool guest_disk_is_locked(const struct ext4_disk *base)
{
    const struct guest_disk *disk = (const void *)base;

    return disk->locks[EXT4_CHANGES].locked || disk->locks[EXT4_BLOCKS].locked;
}

int guest_disk_open(unsigned index, struct ext4_disk **opened)
{
    struct guest_disk *disk;
    struct disk_info info;
    int error = disk_open(index, &info);

    if (error)
        return error;
    disk = ext4_arena_alloc_zeroed(1, sizeof(*disk));
    if (!disk)
        return -ENOMEM;
    disk->index = index;
    disk->disk = (struct ext4_disk){
        .sectors = info.sectors,
        .read_only = info.read_only,
        .start = guest_start,
        .wait = guest_wait,
        .flush = guest_flush,
        .lock = guest_lock,
        .unlock = guest_unlock,
    };
    for (unsigned i = 0; i < REQUESTS; i++) {
        disk->requests[i].next = disk->unused;
        disk->unused = &disk->requests[i];
    }
    *opened = &disk->disk;
    return 0;
}

/* ---- The rest ----------------------------------------------------------- */

void *ext4_pages_alloc(size_t bytes)
{
    return mf_pages_alloc(bytes);
}

void ext4_pages_free(void *memory, size_t bytes)
{
    mf_pages_free(memory, bytes);
}

struct timespec ext4_time(void)
{
    uint64_t now = mf_clock_realtime();

    now -= now % TIME_STEP_NS;
    return (struct timespec){(time_t)(now / 1000000000),
                             (long)(now % 1000000000)};
}

uint64_t ext4_now_ns(void)
{
    return mf_clock_monotonic();
}

bool ext4_has_sse42(void)
{
    return mf_boot_page()->xcr0 & XCR0_AVX;
}

void ext4_say(const char *text)
{
    static const char who[] = "ext4: ";
    const struct iovec line[] = {
        {(void *)(uintptr_t)who, sizeof(who) - 1},
        {(void *)(uintptr_t)text, strlen(text)},
        {(void *)(uintptr_t) "\n", 1},
    };

    __mayfly_sys_writev(2, (long)line, sizeof(line) / sizeof(line[0]));
}
