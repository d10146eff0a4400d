/* SPDX-License-Identifier: MIT */
/* Snapshots: a VM in a file, for others to go on from. */
#ifndef VMM_SNAPSHOT_H
#define VMM_SNAPSHOT_H

/*
 * The file, format 1, little-endian, as x86 is:
 *
 *   page 0     struct snapshot_header
 *   page 1 on  struct snapshot_state, then device_count struct native_state,
 *              then run_count struct snapshot_run
 *   data_at    the pages of the first run, then those of the next ...
 *
 * A run is a row of guest pages; pages that are in none are zero. Descriptor
 * and page tables are not there, they are built anew (machine_rebuild()); nor
 * is anything secret that the monitor gives each VM afresh.
 *
 * The file may be anything. Header and state are read once, their checksum is
 * looked at, and then each number; the pages are the guest's, who may do what
 * it likes with them anyway. They are mapped, not read: if the file changes as
 * long as the VM lives, that is as if the guest had changed them, and if it is
 * cut short, it ends that VM.
 */

#include <stdatomic.h>
#include <stdint.h>

#include "virtio/native.h"
#include "vmm/image.h"
#include "vmm/machine.h"
#include "vmm/mayfly.h"
#include "vmm/vcpu.h"

#define SNAPSHOT_MAGIC       0x50414e53594c464dull /* the bytes "MFLYSNAP" */
#define SNAPSHOT_FORMAT      1u
#define SNAPSHOT_RUNS_MAX    1024u
#define SNAPSHOT_PAGE_BYTES  4096u
#define SNAPSHOT_FEATURES    8u
#define SNAPSHOT_XSAVE_PARTS 8u

/* Taken at any moment: there is one VM that may go on from it. */
#define SNAPSHOT_ONCE (1u << 0)
/* Taken in MF_HC_SNAPSHOT, which returns 1 in those that go on. */
#define SNAPSHOT_AT_POINT (1u << 1)
/* Taken in MF_HC_CALL: the guest waits for a call. */
#define SNAPSHOT_IN_CALL (1u << 2)

struct snapshot_header {
    uint64_t magic;    /* SNAPSHOT_MAGIC */
    uint32_t format;   /* SNAPSHOT_FORMAT */
    uint32_t flags;    /* SNAPSHOT_ONCE and so on */
    uint32_t checksum; /* CRC-32C of header and state, with 0 here and ... */
    uint32_t claimed;  /* ... here. SNAPSHOT_ONCE: a VM goes on from it */
    uint32_t abi_major, abi_minor; /* of the monitor that took it */
    uint64_t state_bytes;          /* from page 1 on */
    uint64_t data_at;              /* offset of the first run's pages */
    uint64_t file_bytes;           /* the whole file */
    uint32_t device_count;
    uint32_t run_count;
    char monitor[16]; /* the version of the monitor, for people */
};

struct snapshot_segment {
    uint64_t address, bytes;
    uint32_t write, execute; /* 0 or 1, at most one of them */
};

/* What struct image has, as far as a machine is made of it. */
struct snapshot_image {
    uint32_t abi_major, abi_minor;
    uint64_t entry, fault_entry, upcall_entry, stack_bytes;
    uint64_t note_flags; /* MF_NOTE_* */
    uint32_t fault_vectors;
    uint32_t segment_count;
    struct snapshot_segment segments[IMAGE_SEGMENTS_MAX];
};

/* What the processor must have, because the guest may know that it has it. */
struct snapshot_host {
    uint64_t xcr0;                          /* vector state: a superset */
    uint32_t features[SNAPSHOT_FEATURES];   /* words of CPUID: a superset */
    uint32_t offsets[SNAPSHOT_XSAVE_PARTS]; /* in the XSAVE area: the same */
};

struct snapshot_state {
    uint64_t mem_bytes;
    struct mf_range stack; /* where this monitor would put it, too */
    struct snapshot_image image;
    struct snapshot_host host;
    uint64_t monotonic_ns; /* guest time */
    uint32_t clock_seq;
    uint32_t disk_count, net_count;
    uint32_t entropy, balloon, sockets; /* 0 or 1 */
    struct vcpu_state vcpu;
};

struct snapshot_run {
    uint64_t base;  /* guest-physical, of the first page */
    uint64_t bytes; /* a multiple of a page */
};

/* A snapshot that was read and checked. */
struct snapshot {
    int fd; /* borrowed */
    struct snapshot_header header;
    /* Parts of one mapping, `bytes` bytes at `state`. */
    struct snapshot_state *state;
    struct native_state *devices;
    struct snapshot_run *runs;
    size_t bytes;
    struct image image;
    struct machine machine;
};

struct mayfly;

/* Whether one can be taken of such a VM. Returns 0, or -ENOTSUP. */
MUST_CHECK int snapshot_check(const struct mayfly *vm, char *error);

/*
 * Makes what mayfly_snapshot() needs in a confined process; the image is
 * loaded. Returns 0 or a negative errno. snapshot_finish() frees it.
 */
MUST_CHECK int snapshot_prepare(struct mayfly *vm);
void snapshot_finish(struct mayfly *vm);

/*
 * For a VM that is to be reset: makes room for the marks, before its memory is
 * given to KVM; then keeps the snapshot, which is the VM's from then on. Both
 * return 0 or a negative errno. reset_finish() frees it all.
 */
MUST_CHECK int reset_prepare(struct mayfly *vm);
MUST_CHECK int reset_keep(struct mayfly *vm, struct snapshot *snapshot);
void reset_finish(struct mayfly *vm);

/*
 * restore.c: writes what is new in each VM into the boot page. Returns 0 or a
 * negative errno.
 */
MUST_CHECK int restore_renew(struct mayfly *vm, const struct snapshot *snapshot,
                             char *error);

/* What the processor that this runs on has. */
void snapshot_host(struct snapshot_host *host);

/* The checksum of a header and its state. */
uint32_t snapshot_checksum(const struct snapshot_header *header,
                           const void *state, size_t bytes);

/*
 * Reads header and state, and checks all of it that can be checked without a
 * VM. Returns 0; -ENOEXEC with the reason in `error` if it is no snapshot that
 * this monitor takes; or what reading said. snapshot_close() frees what it
 * holds.
 */
MUST_CHECK int snapshot_read(struct snapshot *snapshot, int fd, char *error);

/* Whether this host has what it needs. Returns 0, or -ENOTSUP. */
MUST_CHECK int snapshot_check_host(const struct snapshot *snapshot,
                                   char *error);

/* Where the parts of the state are that `state` has. */
void snapshot_place(struct snapshot *snapshot, void *state);

/*
 * Puts the pages into the machine's RAM, which is all zero, but for those that
 * machine_rebuild() makes. Maps them, but reads short rows, as that is faster.
 * `*mapped` is the last byte that is mapped, NULL if none is: it is there as
 * long as the file is whole. Returns 0 or a negative errno.
 */
MUST_CHECK int snapshot_map(const struct snapshot *snapshot,
                            const struct gmem *ram, const uint8_t **mapped,
                            char *error);

/* The same, all of it read. */
MUST_CHECK int snapshot_copy(const struct snapshot *snapshot,
                             const struct gmem *ram, char *error);

/*
 * Maps the pages once more, for reading, to copy them back: `*data` is where
 * the first run's begin. Returns 0 or a negative errno.
 */
MUST_CHECK int snapshot_map_data(const struct snapshot *snapshot,
                                 const uint8_t **data);

void snapshot_close(struct snapshot *snapshot);

/*
 * Should the file that `ram` is mapped from be cut short, `*lost` will tell,
 * and whoever touches what is not there any more goes on with zeroes. Takes
 * over SIGBUS in the process, for such memory only. Returns 0, -EMFILE if there
 * are too many such VMs, or what the host said. Any thread.
 */
MUST_CHECK int snapshot_guard(const struct gmem *ram, int fd,
                              atomic_bool *lost);

/* The same for memory that is not the guest's. snapshot_unguard() ends it too.
 */
MUST_CHECK int snapshot_guard_range(const void *start, size_t bytes, int fd,
                                    atomic_bool *lost);

/* The memory is about to go. Does nothing if it was not guarded. */
void snapshot_unguard(atomic_bool *lost);

#endif
