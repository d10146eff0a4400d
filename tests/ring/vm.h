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

#include "virtio/blk.h"
#include "virtio/console.h"
#include "virtio/native.h"
#include "virtio/net.h"

#define VM_MEM_BYTES    (UINT64_C(16) << 20)
#define VM_BUFFER       ((unsigned char *)0x200000) /* RAM for tests, guest view */
#define VM_BUFFER_BYTES (VM_MEM_BYTES - 0x200000)

#define VM_DISKS_MAX 8

struct vm {
    struct gmem mem;
    struct native native;
    struct console out; /* standard input and output */
    struct console err; /* standard error */
    struct blk disks[VM_DISKS_MAX];
    unsigned disk_count;
    struct net net;             /* a card */
    unsigned kicks;             /* MF_HC_KICK so far */
    unsigned waits;             /* MF_HC_WAIT so far */
    bool lazy;                  /* kicks are heard, and served by waits */
    void (*before_block)(void); /* called when a wait is about to block */
    /* Does all hypercalls instead; NULL: what this file does. */
    long (*hypercall)(unsigned number, uint64_t a, uint64_t b);
    uint64_t tsc;      /* what mf_tsc() said last */
    uint64_t tsc_step; /* what each look at it adds */
    uint64_t now_ns;   /* mf_clock_monotonic(); waits set it */
};

extern struct vm vm;

/* The option that the monitor gives, "key=value"; NULL: none. */
extern const char *vm_option;

/* Maps the memory and no device. Once per process. */
void vm_init(void);

/* vm_init(), and the two consoles on these descriptors. */
void vm_start(int in_fd, int out_fd, int err_fd);

/* Adds a disk; vm_init() or vm_start() came before. */
void vm_add_disk(const struct blk_options *options);

/* Adds the card, without the features in `hidden`; likewise. */
void vm_add_net(const struct net_options *options, uint64_t hidden);

/* Where the devices see guest RAM at `at`. */
void *vm_device_view(uint64_t at);

#endif
