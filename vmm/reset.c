/* SPDX-License-Identifier: MIT */
/* Making a VM what it was when it was restored. */
#include <errno.h>
#include <string.h>

#include "vmm/base/error.h"
#include "vmm/base/os.h"
#include "vmm/return.h"
#include "vmm/serve.h"
#include "vmm/snapshot.h"

/*
 * Pages are copied back, never unmapped: a page that is touched for the first
 * time costs a hundred times as much. Which ones: all that were ever written to
 * since the VM was restored, by the guest (KVM's log) or by us (the marks of
 * the door to guest memory). Neither is ever cleared, so that this costs no
 * faults; a VM that does the same again and again has a small and stable set.
 */
struct reset {
    size_t bytes;             /* of this and what follows */
    struct snapshot snapshot; /* its state is ours */
    const uint8_t *data;      /* the first run's pages */
    uint64_t *marks;          /* by us: one bit for each page of RAM ... */
    struct mf_range own[MACHINE_OWN_RANGES];
    unsigned own_count;
    uint64_t *log; /* ... and by the guest, of one region */
};

static size_t bitmap_bytes(uint64_t ram_bytes)
{
    return round_up(ram_bytes / GMEM_PAGE_BYTES, 64) / 8;
}

int reset_prepare(struct mayfly *vm)
{
    size_t bits = bitmap_bytes(vm->machine.mem_bytes);
    size_t bytes = sizeof(struct reset) + 2 * bits;
    void *room = NULL;
    int result = os_mmap(bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, &room);

    if (result)
        return result;
    vm->reset = room;
    vm->reset->bytes = bytes;
    vm->reset->marks = (uint64_t *)(vm->reset + 1);
    vm->reset->log = vm->reset->marks + bits / sizeof(uint64_t);
    vm->ram.marks = vm->reset->marks;
    vm->vcpu.triple_faults = kvm_show_triple_faults(&vm->kvm);
    return 0;
}

/* It is in no snapshot, and nobody but us writes there: once is enough. */
static int build_return_page(struct mayfly *vm, const struct snapshot *snapshot)
{
    struct return_page page;

    return_build(&page, &snapshot->state->vcpu, vm->xcr0);
    return gmem_write(&vm->ram, gpa(MACHINE_RETURN_PAGE), &page, sizeof(page));
}

static size_t data_bytes(const struct snapshot *snapshot)
{
    return snapshot->header.file_bytes - snapshot->header.data_at;
}

int reset_keep(struct mayfly *vm, struct snapshot *snapshot)
{
    int result = snapshot_map_data(snapshot, &vm->reset->data);

    if (!result)
        result = snapshot_guard_range(vm->reset->data, data_bytes(snapshot),
                                      snapshot->fd, &vm->memory_lost);
    if (result)
        return result;
    vm->reset->own_count =
        machine_own_ranges(&vm->machine, &vm->image, vm->reset->own);
    if (vm->machine.has_return_page && build_return_page(vm, snapshot))
        return -EFAULT;
    vm->vcpu.returning = return_code(MACHINE_RETURN_PAGE);
    vm->reset->snapshot = *snapshot;
    snapshot->state = NULL;
    return 0;
}

void reset_finish(struct mayfly *vm)
{
    struct reset *reset = vm->reset;

    if (!reset)
        return;
    if (reset->data)
        os_munmap((void *)reset->data, data_bytes(&reset->snapshot));
    snapshot_close(&reset->snapshot);
    vm->ram.marks = vm->mem.marks = NULL;
    os_munmap(reset, reset->bytes);
    vm->reset = NULL;
}

/* ---- Pages ------------------------------------------------------------- */

/* Where the runs are, as one goes through the pages in order. */
struct origin {
    const struct snapshot_run *run, *end;
    const uint8_t *data; /* of that run */
};

/* What a page was; NULL: all zero. Addresses only ever grow. */
static const uint8_t *find_page(struct origin *origin, uint64_t address)
{
    while (origin->run < origin->end &&
           address >= origin->run->base + origin->run->bytes) {
        origin->data += origin->run->bytes;
        origin->run++;
    }
    if (origin->run == origin->end || address < origin->run->base)
        return NULL;
    return origin->data + (address - origin->run->base);
}

static void copy_page(struct origin *origin, const struct gmem_region *region,
                      uint64_t offset)
{
    const uint8_t *from = find_page(origin, region->base + offset);

    if (from)
        memcpy(region->host + offset, from, GMEM_PAGE_BYTES);
    else
        memset(region->host + offset, 0, GMEM_PAGE_BYTES);
}

/* The bits of one region's pages from `index` on, of those that we marked. */
static uint64_t marks_at(const struct reset *reset,
                         const struct gmem_region *region, uint64_t index)
{
    uint64_t bit = region->first + index;
    uint64_t low = reset->marks[bit / 64] >> bit % 64;

    bug_on(bit % 64); /* regions begin at whole words */
    return low;
}

/* Whether machine_rebuild() made the page: no snapshot has those. */
static bool is_own(const struct reset *reset, uint64_t address)
{
    for (unsigned i = 0; i < reset->own_count; i++)
        if (address - reset->own[i].base < reset->own[i].bytes)
            return true;
    return false;
}

/* Copies the pages of one region back. Returns how many, or -errno. */
static long copy_region(struct mayfly *vm, unsigned index,
                        struct origin *origin)
{
    const struct gmem_region *region = &vm->ram.regions[index];
    struct reset *reset = vm->reset;
    uint64_t pages = region->bytes / GMEM_PAGE_BYTES;
    int result = kvm_get_dirty(&vm->kvm, index, reset->log);
    long copied = 0;

    if (result)
        return result;
    for (uint64_t at = 0; at < pages; at += 64) {
        uint64_t hot = reset->log[at / 64] | marks_at(reset, region, at);

        for (; hot; hot &= hot - 1) {
            uint64_t page = at + (uint64_t)__builtin_ctzll(hot);

            if (is_own(reset, region->base + page * GMEM_PAGE_BYTES))
                continue;
            copy_page(origin, region, page * GMEM_PAGE_BYTES);
            copied++;
        }
    }
    return copied;
}

static int copy_memory(struct mayfly *vm)
{
    const struct reset *reset = vm->reset;
    struct origin origin = {
        .run = reset->snapshot.runs,
        .end = reset->snapshot.runs + reset->snapshot.header.run_count,
        .data = reset->data,
    };

    for (unsigned i = 0; i < vm->ram.count; i++) {
        long copied = copy_region(vm, i, &origin);

        if (copied < 0)
            return (int)copied;
        vm->stats.reset_pages += (uint64_t)copied;
    }
    /* What came from where the file was cut short is not what it was. */
    return atomic_load(&vm->memory_lost) ? -EIO : 0;
}

/* ---- All of it --------------------------------------------------------- */

static int reload_devices(struct mayfly *vm)
{
    const struct reset *reset = vm->reset;
    int result = 0;

    vm->console.error = vm->errors.error = 0;
    for (unsigned i = 0; i < vm->native.set.count && !result; i++)
        result = native_reload(&vm->native, i, &reset->snapshot.devices[i]);
    return result;
}

/* The guest begins in its return page, and goes on from there. */
static int reload_vcpu(struct mayfly *vm)
{
    const struct vcpu_state *state = &vm->reset->snapshot.state->vcpu;
    const struct vcpu_state entry = return_entry(state, MACHINE_RETURN_PAGE);

    int result = vcpu_load_registers(&vm->vcpu, &vm->machine, &entry);

    if (vm->image.upcall_entry)
        vcpu_allow_interrupts(&vm->vcpu);
    return result;
}

/*
 * What this thread and others had in mind for the guest that is gone. Limits of
 * devices' rates are the VM's, not the guest's: they stay.
 */
static void forget_plans(struct mayfly *vm)
{
    if (vm->has_io)
        io_stop(&vm->io);
    signals_forget(&vm->signals);
    event_stop_waiting(&vm->native.events);
    atomic_store(&vm->signalled, false);
    atomic_store(&vm->computing, false);
    atomic_store(&vm->stop, false);
    atomic_store(&vm->snapshot_wanted, false);
    vm->unfinished = false;
    vm->io_exits = 0;
    vm->told = 0;
}

static int reset_vm(struct mayfly *vm, char *error)
{
    int result = 0;

    forget_plans(vm);
    /*
     * What KVM has under way belongs to the guest that is gone. A hypercall is
     * over for it when the guest goes on somewhere else.
     */
    if (!vm->stopped_by_hypercall)
        result = vcpu_abandon(&vm->vcpu);
    if (!result)
        result = copy_memory(vm);
    if (!result)
        result = reload_devices(vm);
    if (!result)
        result = reload_vcpu(vm);
    if (result)
        return error_system(error, result, "cannot reset the VM");
    return restore_renew(vm, &vm->reset->snapshot, error);
}

int mayfly_reset(struct mayfly *vm, char *error)
{
    unsigned long calls = os_calls;
    int result;

    if (!vm->reset || !vm->reset->data)
        return error_set(error, -EINVAL, "this VM cannot be reset");
    if (vm->image.paging)
        return error_set(error, -EPERM,
                         "the guest edits its page tables: what it can reach "
                         "that way cannot be reset");
    if (atomic_load(&vm->memory_lost))
        return error_set(error, -EIO, "the file of its snapshot was cut short");
    vm->loaded = false; /* half of a reset is nothing to go on with */
    result = reset_vm(vm, error);
    vm->loaded = !result;
    vm->stats.resets += !result;
    vm->os_calls += os_calls - calls;
    return result;
}
