/* SPDX-License-Identifier: MIT */
/* Explaining a crash: the guest's frames, and the image's names for them. */
#include "vmm/symbols.h"
#include "vmm/vm.h"

#define VECTOR_PF   14
#define FAULT_FETCH 16u /* page-fault error code: fetching an instruction */

/* Whether the guest called something that is no code: the return address is
 * still on top of its stack, and no frame has been made. */
static bool is_wild_call(const struct mayfly_crash *crash)
{
    return crash->kind == MAYFLY_CRASH_FAULT && crash->vector == VECTOR_PF &&
           (crash->error & FAULT_FETCH);
}

/*
 * Guest code keeps frame pointers: [rbp] is the caller's rbp, [rbp + 8] the
 * return address. A chain that does not climb is not one.
 */
static unsigned walk_frames(const struct mayfly *vm,
                            const struct mayfly_crash *crash,
                            struct mayfly_frame *frames, unsigned max)
{
    uint64_t frame = crash->regs[MF_RBP];
    uint64_t caller;
    unsigned count = 0;

    if (max == 0)
        return 0;
    frames[count++].address = crash->rip;
    if (is_wild_call(crash) && count < max &&
        !gmem_read(&vm->mem, gpa(crash->regs[MF_RSP]), &caller, sizeof(caller)))
        frames[count++].address = caller;
    while (count < max) {
        uint64_t link[2];

        if (gmem_read(&vm->mem, gpa(frame), link, sizeof(link)) || !link[1])
            break;
        frames[count++].address = link[1];
        if (link[0] <= frame)
            break;
        frame = link[0];
    }
    return count;
}

unsigned mayfly_backtrace(struct mayfly *vm, const struct mayfly_crash *crash,
                          struct mayfly_frame *frames, unsigned max)
{
    struct symbol symbols[MAYFLY_FRAMES_MAX];
    unsigned count = walk_frames(
        vm, crash, frames, max < MAYFLY_FRAMES_MAX ? max : MAYFLY_FRAMES_MAX);

    for (unsigned i = 0; i < count; i++)
        symbols[i] = (struct symbol){
            /* A return address may lie just past the function that called. */
            .address = frames[i].address - (i > 0),
            .name = frames[i].name,
            .name_bytes = sizeof(frames[i].name),
        };
    symbols_find(vm->image_fd, symbols, count);
    for (unsigned i = 0; i < count; i++)
        frames[i].offset = frames[i].name[0] ? symbols[i].offset + (i > 0) : 0;
    return count;
}
