/* SPDX-License-Identifier: MIT */
/* Disks, one request at a time: the simple functions. */
#include <errno.h>
#include <string.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>

#include "disk_private.h"

/* Does the call's request from beginning to end. Returns 0 or -errno. */
static int do_call(struct disk *disk, struct call *call)
{
    int error;

    call->request.owner = OF_CALL;
    while ((error = disk_begin(disk, &call->request)) == -EAGAIN &&
           !disk->broken)
        disk_step(disk); /* the ring is full of others' requests */
    if (error)
        return disk->broken ? -EIO : error;
    while (call->request.owner != OF_CALL_ENDED)
        disk_step(disk);
    return call->request.error;
}

/* The same, for a request of the caller's. `id` is for GET_ID's answer. */
static int do_request(unsigned index, struct disk_request request, char *id)
{
    struct disk *disk;
    struct call *call;
    int error;

    mf_lock();
    error = disk_get(index, &disk);
    if (!error) {
        call = &disk->call[disk->calls++ % CALLS];
        mutex_lock(&call->mutex);
        call->request = request;
        if (id)
            call->request.buffer = call->id;
        error = do_call(disk, call);
        if (id && !error)
            memcpy(id, call->id, DISK_ID_BYTES);
        mutex_unlock(&call->mutex);
    }
    mf_unlock();
    return error;
}

int disk_count(void)
{
    return (int)device_count(VIRTIO_ID_BLOCK);
}

int disk_open(unsigned index, struct disk_info *info)
{
    struct disk *disk;
    int error;

    mf_lock();
    error = disk_get(index, &disk);
    mf_unlock();
    if (error)
        return error;
    *info = (struct disk_info){
        .sectors = disk->sectors,
        .block_bytes = disk->block_bytes,
        .depth = disk->ring.size / 3u,
        .read_only = device_has_feature(&disk->device, VIRTIO_BLK_F_RO),
        .can_discard = disk->discard_max > 0,
        .can_write_zeroes = disk->zeroes_max > 0,
    };
    return do_request(index, (struct disk_request){.op = GET_ID}, info->id);
}

/* A negative number of sectors is a very large one: it is refused. */
static int do_sectors(unsigned index, enum disk_op op, uint64_t sector,
                      uint64_t sectors, void *buffer)
{
    return do_request(
        index,
        (struct disk_request){
            .op = op, .sector = sector, .sectors = sectors, .buffer = buffer},
        NULL);
}

long disk_read(unsigned index, uint64_t sector, void *buffer, long sectors)
{
    int error = do_sectors(index, DISK_READ, sector, (uint64_t)sectors, buffer);

    return error ? error : sectors;
}

long disk_write(unsigned index, uint64_t sector, const void *buffer,
                long sectors)
{
    int error = do_sectors(index, DISK_WRITE, sector, (uint64_t)sectors,
                           (void *)(uintptr_t)buffer);

    return error ? error : sectors;
}

int disk_flush(unsigned index)
{
    return do_sectors(index, DISK_FLUSH, 0, 0, NULL);
}

int disk_discard(unsigned index, uint64_t sector, uint64_t sectors)
{
    return do_sectors(index, DISK_DISCARD, sector, sectors, NULL);
}

int disk_write_zeroes(unsigned index, uint64_t sector, uint64_t sectors,
                      bool unmap)
{
    return do_sectors(index,
                      unmap ? DISK_WRITE_ZEROES_UNMAP : DISK_WRITE_ZEROES,
                      sector, sectors, NULL);
}
