/* SPDX-License-Identifier: MIT */
/* Whether memory that a program names is there. */
#include "guest_rt/user.h"

#include "guest_rt/fault.h"
#include "guest_rt/hypercall.h"
#include "guest_rt/paging.h"

/* The end of the image's code, by mayfly.ld; writable data follows. */
extern const char etext[];

FAULT_NO_VECTORS
static bool is_in(uintptr_t address, size_t bytes, uintptr_t from, uintptr_t to)
{
    return address >= from && address < to && bytes <= to - address;
}

FAULT_NO_VECTORS
static bool can_reach(const void *at, size_t bytes, bool write)
{
    const struct mf_boot *boot = mf_boot_page();
    uintptr_t address = (uintptr_t)at, image = boot->image.base;

    if (!bytes)
        return true;
    if (bytes > UINTPTR_MAX - address)
        return false;
    if (paging_is_mapped && boot->page_root)
        return paging_is_mapped(address, bytes, write);
    if (write && image < (uintptr_t)etext)
        image = (uintptr_t)etext;
    return is_in(address, bytes, image, boot->image.base + boot->image.bytes) ||
           is_in(address, bytes, boot->stack_low, boot->stack_top) ||
           is_in(address, bytes, boot->free[0].base,
                 boot->free[0].base + boot->free[0].bytes) ||
           is_in(address, bytes, boot->free[1].base,
                 boot->free[1].base + boot->free[1].bytes) ||
           (!write && is_in(address, bytes, MF_BOOT_PAGE, MF_IMAGE_BASE));
}

FAULT_NO_VECTORS
bool user_can_read(const void *at, size_t bytes)
{
    return can_reach(at, bytes, false);
}

FAULT_NO_VECTORS
bool user_can_write(const void *at, size_t bytes)
{
    return can_reach(at, bytes, true);
}
