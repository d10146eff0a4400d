/* SPDX-License-Identifier: MIT */
/* Looking at images and snapshots without running them. */
#include <string.h>

#include "vmm/snapshot.h"

static void describe(const struct image *image, struct mayfly_image *out)
{
    *out = (struct mayfly_image){
        .abi_major = image->abi_major,
        .abi_minor = image->abi_minor,
        .signals = image->signals,
        .paging = image->paging,
        .entry = image->entry,
        .stack_bytes = image->stack_bytes,
        .mem_bytes_min = machine_mem_bytes_min(image, 0),
        .segment_count = image->segment_count,
    };
    for (unsigned i = 0; i < image->segment_count; i++) {
        const struct image_segment *from = &image->segments[i];

        out->segments[i] = (struct mayfly_segment){
            .address = from->address,
            .bytes = from->bytes,
            .file_bytes = from->file_bytes,
            .write = from->write,
            .execute = from->execute,
        };
    }
}

int mayfly_inspect(int image_fd, struct mayfly_image *out, char *error)
{
    struct image image;
    int result = image_read(&image, image_fd, error);

    if (!result)
        describe(&image, out);
    return result;
}

static void describe_snapshot(const struct snapshot *snapshot,
                              struct mayfly_snapshot_info *out)
{
    const struct snapshot_header *header = &snapshot->header;
    const struct snapshot_state *state = snapshot->state;

    *out = (struct mayfly_snapshot_info){
        .format = header->format,
        .once = header->flags & SNAPSHOT_ONCE,
        .claimed = header->claimed,
        .in_call = header->flags & SNAPSHOT_IN_CALL,
        .mem_bytes = state->mem_bytes,
        .stored_bytes = header->file_bytes - header->data_at,
        .run_count = header->run_count,
        .guest_ns = state->monotonic_ns,
        .xcr0 = state->host.xcr0,
        .disk_count = state->disk_count,
        .net_count = state->net_count,
        .device_count = header->device_count,
    };
    describe(&snapshot->image, &out->image);
    memcpy(out->monitor, header->monitor, sizeof(header->monitor));
    for (char *c = out->monitor; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
}

int mayfly_inspect_snapshot(int snapshot_fd, struct mayfly_snapshot_info *out,
                            char *error)
{
    struct snapshot snapshot;
    int result = snapshot_read(&snapshot, snapshot_fd, error);

    if (result)
        return result;
    describe_snapshot(&snapshot, out);
    snapshot_close(&snapshot);
    return 0;
}

_Static_assert(MAYFLY_SEGMENTS_MAX == IMAGE_SEGMENTS_MAX, "one limit");
