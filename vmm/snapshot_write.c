/* SPDX-License-Identifier: MIT */
/* Taking snapshots. */
#include <errno.h>
#include <string.h>

#include "vmm/base/error.h"
#include "vmm/base/os.h"
#include "vmm/confine.h"
#include "vmm/snapshot.h"
#include "vmm/vm.h"

/*
 * Zero pages between two runs are written if they are so few that a mapping
 * more costs more than they do.
 */
#define GAP_PAGES 8u

#define PAGEMAP_PAGES 512u /* looked at in one go */

/* What taking a snapshot takes: made before the process is confined. */
struct snapshot_work {
    size_t bytes;   /* of this and what follows */
    int pagemap;    /* -1: none */
    uint64_t *used; /* one bit for each page of RAM, low addresses first */
    uint64_t entries[PAGEMAP_PAGES];
    struct snapshot_header header;
    struct snapshot_state state;
    /* Room for the devices and the runs that follow it, without a gap. */
    uint8_t rest[MF_DEVICES_MAX * sizeof(struct native_state) +
                 SNAPSHOT_RUNS_MAX * sizeof(struct snapshot_run)];
};

_Static_assert(offsetof(struct snapshot_work, rest) ==
                   offsetof(struct snapshot_work, state) +
                       sizeof(struct snapshot_state),
               "one row of bytes");

int snapshot_prepare(struct mayfly *vm)
{
    uint64_t pages = vm->machine.mem_bytes / SNAPSHOT_PAGE_BYTES;
    size_t bytes = sizeof(struct snapshot_work) + pages / 8 + sizeof(uint64_t);
    void *room = NULL;
    int result;

    if (vm->snapshot_work)
        return 0;
    result = os_mmap(bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                     -1, &room);
    if (result)
        return result;
    vm->snapshot_work = room;
    vm->snapshot_work->bytes = bytes;
    vm->snapshot_work->used = (uint64_t *)(vm->snapshot_work + 1);
    /* Without it, all memory is looked at. */
    vm->snapshot_work->pagemap = os_open("/proc/self/pagemap", O_RDONLY);
    return 0;
}

void snapshot_finish(struct mayfly *vm)
{
    struct snapshot_work *work = vm->snapshot_work;

    if (!work)
        return;
    if (work->pagemap >= 0)
        os_close(work->pagemap);
    os_munmap(work, work->bytes);
    vm->snapshot_work = NULL;
}

/* ---- Which pages ------------------------------------------------------- */

static bool is_zero(const uint8_t *page)
{
    const uint64_t *words = (const uint64_t *)page;
    uint64_t any = 0;

    for (unsigned i = 0; i < SNAPSHOT_PAGE_BYTES / sizeof(*words); i++)
        any |= words[i];
    return any == 0;
}

/*
 * Stores in work->entries what the host has of `count` pages; 0: never touched,
 * so all zero. Memory that is mapped from a file is something before it is
 * touched.
 */
static void look_up(const struct mayfly *vm, struct snapshot_work *work,
                    const uint8_t *host, unsigned count)
{
    size_t bytes = count * sizeof(work->entries[0]);
    off_t at = (off_t)((uintptr_t)host / SNAPSHOT_PAGE_BYTES *
                       sizeof(work->entries[0]));

    if (vm->from_snapshot || work->pagemap < 0 ||
        os_pread(work->pagemap, work->entries, bytes, at) != (ssize_t)bytes)
        memset(work->entries, 0xff, bytes);
}

/* Sets the bits of pages that are not zero. The bits of `first` come first. */
static void find_region(const struct mayfly *vm, struct snapshot_work *work,
                        const struct gmem_region *region, uint64_t first)
{
    uint64_t pages = region->bytes / SNAPSHOT_PAGE_BYTES;

    for (uint64_t at = 0; at < pages; at += PAGEMAP_PAGES) {
        unsigned count = (unsigned)min_u64(PAGEMAP_PAGES, pages - at);

        look_up(vm, work, region->host + at * SNAPSHOT_PAGE_BYTES, count);
        for (unsigned i = 0; i < count; i++) {
            uint64_t bit = first + at + i;

            if (work->entries[i] &&
                !is_zero(region->host + (at + i) * SNAPSHOT_PAGE_BYTES))
                work->used[bit / 64] |= UINT64_C(1) << bit % 64;
        }
    }
}

/* Tables are made anew: they are in no run. */
static void leave_out_tables(const struct mayfly *vm,
                             struct snapshot_work *work)
{
    struct mf_range own[MACHINE_OWN_RANGES];
    unsigned count = machine_own_ranges(&vm->machine, &vm->image, own);

    for (unsigned i = 0; i < count; i++)
        for (uint64_t at = 0; at < own[i].bytes; at += SNAPSHOT_PAGE_BYTES) {
            uint64_t bit = (own[i].base + at) / SNAPSHOT_PAGE_BYTES;

            work->used[bit / 64] &= ~(UINT64_C(1) << bit % 64);
        }
}

static bool is_used(const struct snapshot_work *work, uint64_t bit)
{
    return work->used[bit / 64] >> bit % 64 & 1;
}

/* ---- Runs -------------------------------------------------------------- */

struct runs {
    struct snapshot_run *runs;
    unsigned count; /* SNAPSHOT_RUNS_MAX + 1: too many */
    unsigned gap;   /* pages */
};

/* Adds a page, to the last run if it is near. */
static void add_page(struct runs *runs, uint64_t address, uint64_t region_base)
{
    struct snapshot_run *last = &runs->runs[runs->count - 1];

    if (runs->count > 0 && last->base >= region_base &&
        address - (last->base + last->bytes) <=
            (uint64_t)runs->gap * SNAPSHOT_PAGE_BYTES) {
        last->bytes = address + SNAPSHOT_PAGE_BYTES - last->base;
    } else if (runs->count >= SNAPSHOT_RUNS_MAX) {
        runs->count = SNAPSHOT_RUNS_MAX + 1;
    } else {
        runs->runs[runs->count++] =
            (struct snapshot_run){address, SNAPSHOT_PAGE_BYTES};
    }
}

static void find_runs(const struct mayfly *vm, const struct snapshot_work *work,
                      struct runs *runs)
{
    uint64_t first = 0;

    runs->count = 0;
    for (unsigned r = 0; r < vm->ram.count; r++) {
        const struct gmem_region *region = &vm->ram.regions[r];
        uint64_t pages = region->bytes / SNAPSHOT_PAGE_BYTES;

        for (uint64_t i = 0; i < pages && runs->count <= SNAPSHOT_RUNS_MAX; i++)
            if (is_used(work, first + i))
                add_page(runs, region->base + i * SNAPSHOT_PAGE_BYTES,
                         region->base);
        first += pages;
    }
}

/* Stores the runs behind the devices. Returns how many. */
static unsigned lay_out_memory(const struct mayfly *vm,
                               struct snapshot_work *work,
                               struct snapshot_run *to)
{
    struct runs runs = {.runs = to, .gap = GAP_PAGES};
    uint64_t first = 0;

    memset(work->used, 0, work->bytes - sizeof(*work));
    for (unsigned r = 0; r < vm->ram.count; r++) {
        const struct gmem_region *region = &vm->ram.regions[r];

        find_region(vm, work, region, first);
        first += region->bytes / SNAPSHOT_PAGE_BYTES;
    }
    leave_out_tables(vm, work);
    do {
        find_runs(vm, work, &runs);
        runs.gap *= 2;
    } while (runs.count > SNAPSHOT_RUNS_MAX);
    return runs.count;
}

/* ---- State ------------------------------------------------------------- */

static struct snapshot_image save_image(const struct image *image)
{
    struct snapshot_image to = {
        .abi_major = image->abi_major,
        .abi_minor = image->abi_minor,
        .entry = image->entry,
        .fault_entry = image->fault_entry,
        .upcall_entry = image->upcall_entry,
        .stack_bytes = image->stack_bytes,
        .note_flags = (image->fault_address ? MF_NOTE_FAULT_ADDRESS : 0) |
                      (image->paging ? MF_NOTE_PAGING : 0) |
                      (image->signals ? MF_NOTE_SIGNALS : 0),
        .fault_vectors = image->fault_vectors,
        .segment_count = image->segment_count,
    };

    for (unsigned i = 0; i < image->segment_count; i++)
        to.segments[i] = (struct snapshot_segment){
            .address = image->segments[i].address,
            .bytes = image->segments[i].bytes,
            .write = image->segments[i].write,
            .execute = image->segments[i].execute,
        };
    return to;
}

static int save_state(struct mayfly *vm, struct snapshot_state *state)
{
    clock_update(&vm->clock);
    *state = (struct snapshot_state){
        .mem_bytes = vm->machine.mem_bytes,
        .stack = vm->machine.stack,
        .image = save_image(&vm->image),
        .monotonic_ns = vm->clock.now.monotonic_ns,
        .clock_seq = vm->clock.now.seq,
        .disk_count = vm->options.disk_count,
        .net_count = vm->options.net_count,
        .entropy = vm->options.entropy,
        .balloon = vm->options.balloon,
        .sockets = vm_has_sockets(&vm->options),
    };
    snapshot_host(&state->host);
    return vcpu_save(&vm->vcpu, &state->vcpu);
}

/* ---- The file ---------------------------------------------------------- */

static int write_at(int fd, const void *from, size_t bytes, uint64_t offset)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t put = os_pwrite(fd, (const char *)from + done, bytes - done,
                                (off_t)(offset + done));

        if (put == -EINTR)
            continue;
        if (put <= 0)
            return put ? (int)put : -EIO;
        done += (size_t)put;
    }
    return 0;
}

static int write_pages(const struct mayfly *vm, int fd,
                       const struct snapshot_run *runs, unsigned count,
                       uint64_t offset)
{
    int result = 0;

    for (unsigned i = 0; i < count && !result; i++) {
        void *host;

        result = gmem_find(&vm->ram, gpa(runs[i].base), runs[i].bytes, &host);
        if (!result)
            result = write_at(fd, host, runs[i].bytes, offset);
        offset += runs[i].bytes;
    }
    return result;
}

static uint64_t data_bytes(const struct snapshot_run *runs, unsigned count)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < count; i++)
        bytes += runs[i].bytes;
    return bytes;
}

/* The header comes last: a file without it is not a snapshot yet. */
static int write_file(struct mayfly *vm, int fd)
{
    struct snapshot_work *work = vm->snapshot_work;
    struct snapshot_header *header = &work->header;
    struct native_state *devices = (struct native_state *)work->rest;
    unsigned device_count = vm->native.set.count;
    struct snapshot_run *runs = (struct snapshot_run *)(devices + device_count);
    int result = save_state(vm, &work->state);

    if (result)
        return result;
    for (unsigned i = 0; i < device_count; i++)
        native_save(&vm->native, i, &devices[i]);
    *header = (struct snapshot_header){
        .magic = SNAPSHOT_MAGIC,
        .format = SNAPSHOT_FORMAT,
        .flags = vm->snapshot_flags,
        .abi_major = MF_ABI_MAJOR,
        .abi_minor = MF_ABI_MINOR,
        .device_count = device_count,
        .run_count = lay_out_memory(vm, work, runs),
        .monitor = MAYFLY_VERSION,
    };
    header->state_bytes = (uint64_t)((uint8_t *)(runs + header->run_count) -
                                     (uint8_t *)&work->state);
    header->data_at = round_up(SNAPSHOT_PAGE_BYTES + header->state_bytes,
                               SNAPSHOT_PAGE_BYTES);
    header->file_bytes = header->data_at + data_bytes(runs, header->run_count);
    header->checksum =
        snapshot_checksum(header, &work->state, header->state_bytes);
    result =
        write_at(fd, &work->state, header->state_bytes, SNAPSHOT_PAGE_BYTES);
    if (!result)
        result = write_pages(vm, fd, runs, header->run_count, header->data_at);
    if (!result)
        result = write_at(fd, header, sizeof(*header), 0);
    return result;
}

int snapshot_check(const struct mayfly *vm, char *error)
{
    if (vm->options.share_count > 0)
        return error_set(error, -ENOTSUP,
                         "no snapshot is taken of a VM with shares: what it "
                         "has open there cannot go on elsewhere");
    if (vm->options.transport != MAYFLY_TRANSPORT_NATIVE)
        return error_set(error, -ENOTSUP,
                         "no snapshot is taken of a VM with registers of "
                         "virtio-mmio: the transport has to be native");
    return 0;
}

int mayfly_snapshot(struct mayfly *vm, int fd, char *error)
{
    unsigned long calls = os_calls;
    int result;

    /* One that is reset gets its vector state when it goes on. */
    if ((!vm->at_snapshot && !vm->at_call) || vm->fresh)
        return error_set(error, -EINVAL,
                         "this VM has not stopped for a snapshot");
    result = snapshot_check(vm, error);
    if (result)
        return result;
    if (!vm->snapshot_work && confine_is_done())
        return error_set(error, -EPERM,
                         "in a confined process snapshots are taken of VMs "
                         "with options.snapshots");
    result = snapshot_prepare(vm); /* if it was not done before */
    if (!result && vm->at_call)
        result = vcpu_complete(&vm->vcpu);
    if (!result)
        result = write_file(vm, fd);
    vm->os_calls += os_calls - calls;
    return result ? error_system(error, result, "cannot write the snapshot")
                  : 0;
}
