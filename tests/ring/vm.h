/* SPDX-License-Identifier: MIT */
/* A guest without KVM: its memory at two addresses, and its hypercalls. */
#ifndef TESTS_RING_VM_H
#define TESTS_RING_VM_H

/*
 * Guest RAM is a memfd, mapped once where the drivers expect it (guest-physical
 * addresses are the process's own) and once elsewhere for the devices. The
 * drivers' static buffers cannot be moved there: they are a second region, at
 * the same address for both. mf_hypercall() does what the monitor would.
 */

#include <stdint.h>

#include "virtio/console.h"
#include "virtio/native.h"

#define VM_MEM_BYTES    (UINT64_C(16) << 20)
#define VM_BUFFER       ((unsigned char *)0x200000) /* RAM for tests, guest view */
#define VM_BUFFER_BYTES (VM_MEM_BYTES - 0x200000)

struct vm {
    struct gmem mem;
    struct native native;
    struct console out;         /* standard input and output */
    struct console err;         /* standard error */
    unsigned kicks;             /* MF_HC_KICK so far */
    unsigned waits;             /* MF_HC_WAIT so far */
    void (*before_block)(void); /* called when a wait is about to block */
};

extern struct vm vm;

/* Maps the memory and no device. Once per process. */
void vm_init(void);

/* vm_init(), and the two consoles on these descriptors. */
void vm_start(int in_fd, int out_fd, int err_fd);

/* Where the devices see guest RAM at `at`. */
void *vm_device_view(uint64_t at);

#endif
