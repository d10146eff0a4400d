/* SPDX-License-Identifier: MIT */
/* The machine that a guest finds: memory map, tables and boot page. */
#ifndef VMM_MACHINE_H
#define VMM_MACHINE_H

/*
 * machine_plan decides where everything lies for one image, one memory size and
 * a number of devices with registers (virtio-mmio); machine_build writes it
 * into guest memory: descriptor tables, page tables, the boot page with
 * everything but the devices (native.h adds those), arguments and environment.
 * What the vCPU has to be loaded with is in struct machine afterwards. Knows no
 * KVM.
 */

#include <stdint.h>

#include <mayfly/abi.h>

#include "vmm/base/gmem.h"
#include "vmm/base/util.h"
#include "vmm/image.h"

/* A Linux-shaped GDT: segment selectors, with the requested privilege. */
#define MACHINE_KERNEL_CS 0x10
#define MACHINE_USER_DS   0x2b
#define MACHINE_USER_CS   0x33
#define MACHINE_TSS       0x40

/* Behind the low page tables: see return.h. In VMs that were restored. */
#define MACHINE_RETURN_PAGE (MF_BOOT_PAGE - MF_PAGE_BYTES)

struct machine {
    uint64_t mem_bytes;       /* RAM, a multiple of a page */
    struct mf_range ram[2];   /* below 3 GiB, and from 4 GiB on */
    struct mf_range tables;   /* page tables that the low pool cannot hold */
    struct mf_range stack;    /* a guard page lies below */
    struct mf_range free[2];  /* the guest's own */
    bool has_return_page;     /* the guest can run what is there */
    unsigned register_blocks; /* from MF_REGISTERS on, without memory */
    uint64_t page_root;       /* CR3 */
    uint64_t gdt, idt, tss;   /* addresses ... */
    uint32_t gdt_bytes, idt_bytes, tss_bytes; /* ... and lengths */
};

/*
 * The least memory that the image runs in, in bytes, with so many devices'
 * registers.
 */
uint64_t machine_mem_bytes_min(const struct image *image,
                               unsigned register_blocks);

/*
 * Lays out a machine with `mem_bytes` of RAM, rounded up to pages, and blocks
 * of MF_REGISTERS_BYTES for the registers of `register_blocks` devices (at most
 * MF_DEVICES_MAX; 0: none), which the guest can address and which trap. Returns
 * 0, or -ENOMEM if the image does not fit, -EINVAL if it is more memory than
 * the ABI allows.
 */
MUST_CHECK int machine_plan(struct machine *machine, const struct image *image,
                            uint64_t mem_bytes, unsigned register_blocks,
                            char *error);

/*
 * Narrows `mem`, all of the machine's RAM, to what the guest may name to a
 * device or in a hypercall: everything but the pages that the processor reads
 * by itself. They must not become writable through the monitor.
 */
void machine_guest_memory(const struct machine *machine, struct gmem *mem);

/* Whether an address lies in the guard page below the stack. */
bool machine_is_guard(const struct machine *machine, uint64_t address);

/* What the boot page says beyond the layout. */
struct machine_boot {
    struct mf_clock clock;
    uint64_t xcr0;
    uint32_t hwcap;
    uint32_t hwcap2;
    uint8_t seed[32];
    uint32_t snapshot;          /* as in struct mf_boot */
    const char *const *args;    /* NULL-terminated, or NULL */
    const char *const *env;     /* likewise */
    const char *const *options; /* likewise, for the runtime */
};

/*
 * Builds the planned machine in `mem`, whose RAM is laid out as machine->ram
 * and all zero but for the image. Returns 0, or -E2BIG if arguments and
 * environment are longer than the ABI allows.
 */
MUST_CHECK int machine_build(struct machine *machine, const struct image *image,
                             const struct machine_boot *boot,
                             const struct gmem *mem, char *error);

#define MACHINE_OWN_RANGES 2

/*
 * Stores the pages that machine_rebuild() makes anew, ascending: descriptor
 * tables, and page tables unless the image edits them. Returns how many ranges.
 */
unsigned machine_own_ranges(const struct machine *machine,
                            const struct image *image,
                            struct mf_range ranges[MACHINE_OWN_RANGES]);

/*
 * Builds just those of a planned machine in `mem`, where they are zero, for a
 * guest that goes on: what was in them before is not believed. Returns 0 or a
 * negative errno.
 */
MUST_CHECK int machine_rebuild(struct machine *machine,
                               const struct image *image,
                               const struct gmem *mem);

#endif
