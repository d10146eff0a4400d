/* SPDX-License-Identifier: MIT */
/* libmayfly: what a VM has cost. Include mayfly.h, which includes this. */
#ifndef MAYFLY_STATS_H
#define MAYFLY_STATS_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Devices of a kind that a VM can have. */
#define MAYFLY_DISKS_MAX  8
#define MAYFLY_NETS_MAX   2
#define MAYFLY_SHARES_MAX 4

/* Points in a VM's life, in this order. */
enum mayfly_stage {
    MAYFLY_STAGE_CREATE,       /* mayfly_create was called */
    MAYFLY_STAGE_VM,           /* KVM made the VM */
    MAYFLY_STAGE_VCPU,         /* ... and its processor */
    MAYFLY_STAGE_MEMORY,       /* guest memory is mapped */
    MAYFLY_STAGE_IMAGE,        /* the image is loaded, the machine built */
    MAYFLY_STAGE_CONFINED,     /* the process is confined */
    MAYFLY_STAGE_ENTRY,        /* the guest is entered for the first time */
    MAYFLY_STAGE_START,        /* the guest's first instruction (its word) */
    MAYFLY_STAGE_MAIN,         /* the guest calls main (its word) */
    MAYFLY_STAGE_FIRST_OUTPUT, /* the first byte of output was written */
    MAYFLY_STAGE_READY,        /* the guest waits for the first time */
    MAYFLY_STAGE_END,          /* the guest has ended */
    MAYFLY_STAGE_COUNT,
};

/* A short name for a stage, such as "first-output". */
const char *mayfly_stage_name(enum mayfly_stage stage);

#define MAYFLY_MISSING_MAX 16

/* A system call that the guest made and its runtime does not have. */
struct mayfly_missing {
    const char *name; /* "unknown" if Linux has none of that number */
    uint32_t number;
    uint32_t count;
};

/* What a disk did. */
struct mayfly_disk_stats {
    uint64_t requests;   /* answered, refused ones among them */
    uint64_t read_bytes; /* from the host's file */
    uint64_t written_bytes;
    uint64_t flushes;
    uint64_t errors; /* requests that the guest was told have failed */
};

/* What a share did. */
struct mayfly_share_stats {
    uint64_t requests;   /* answered, refused ones among them */
    uint64_t read_bytes; /* from the host's files */
    uint64_t written_bytes;
    uint64_t
        errors; /* answered with an error: often that a name is not there */
};

/* What went through the streams. */
struct mayfly_stream_stats {
    uint64_t offered;  /* connections to the guest */
    uint64_t opened;   /* ... that it accepted */
    uint64_t refused;  /* ... that it did not want */
    uint64_t resets;   /* streams that were cut off */
    uint64_t in_bytes; /* from the guest */
    uint64_t out_bytes;
    unsigned open;      /* now: those that are not over for the guest ... */
    unsigned lingering; /* ... and those that are, and still go out */
};

/* What tells of a run, and can be asked for after each one. */
struct mayfly_counts {
    uint64_t exits;       /* returns from KVM_RUN so far */
    uint64_t reset_pages; /* copied back by mayfly_reset() so far */
    uint64_t mem_bytes;   /* the guest's RAM */
    uint64_t lost_bytes;  /* options.lossy: printed, and not taken by the host
                             so far */
    int lost_error;       /* why, of the last: a negative errno */
};

#define MAYFLY_DEVICES_MAX 16

/* What a network device did. */
struct mayfly_net_stats {
    uint64_t rx_frames; /* given to the guest */
    uint64_t rx_bytes;
    uint64_t rx_dropped; /* from the host, and not given to it */
    uint64_t tx_frames;  /* taken by the host */
    uint64_t tx_bytes;
    uint64_t tx_dropped; /* by the guest, and not taken */
};

/* What went between the guest and one device. */
struct mayfly_device_stats {
    const char *name;       /* "console", "disk", "network", ... */
    uint64_t requests;      /* descriptor chains that the device returned */
    uint64_t kicks;         /* the guest's notifications: an exit each */
    uint64_t batches;       /* requests became visible in so many steps */
    uint64_t batch_max;     /* requests in the largest one */
    uint64_t notifications; /* the device's, in the event word */
    uint64_t suppressed;    /* batches of which the guest wanted no word */
};

/* What a VM has cost so far. */
struct mayfly_stats {
    uint64_t exits;           /* returns from KVM_RUN */
    uint64_t exits_hypercall; /* ... because of a hypercall */
    uint64_t exits_registers; /* ... because of a device's register */
    uint64_t exits_interrupt; /* ... because of a signal: a tick or a stop */
    uint64_t hypercall_exit;  /* hypercalls, by kind */
    uint64_t hypercall_wait;
    uint64_t hypercall_kick;
    uint64_t hypercall_crash;
    uint64_t hypercall_populate;
    uint64_t hypercall_snapshot;
    uint64_t hypercall_call;
    uint64_t injections;        /* upcalls: interrupts of a computing guest */
    uint64_t upcall_signals;    /* exits that devices caused for them */
    uint64_t monitor_calls;     /* system calls by this library */
    uint64_t mem_bytes;         /* the guest's RAM */
    uint64_t mem_touched_bytes; /* ... of which the host had to provide */
    uint64_t output_bytes;
    uint64_t output_writes; /* system calls that wrote them */
    uint64_t input_bytes;
    /* CLOCK_MONOTONIC in nanoseconds; 0: not reached */
    uint64_t stage_ns[MAYFLY_STAGE_COUNT];
    unsigned missing_count;
    struct mayfly_missing missing[MAYFLY_MISSING_MAX];
    unsigned disk_count;
    struct mayfly_disk_stats disks[MAYFLY_DISKS_MAX];
    unsigned net_count;
    struct mayfly_net_stats nets[MAYFLY_NETS_MAX];
    unsigned share_count;
    struct mayfly_share_stats shares[MAYFLY_SHARES_MAX];
    bool has_streams;
    struct mayfly_stream_stats streams;
    uint64_t returned_bytes; /* memory that the guest gave back */
    uint64_t resets;         /* by mayfly_reset() */
    uint64_t reset_pages;    /* copied back by all of them */
    unsigned device_count;
    struct mayfly_device_stats devices[MAYFLY_DEVICES_MAX];
    bool io_thread;        /* disks and networks had a thread of their own */
    uint64_t io_rounds;    /* times it looked at them */
    uint64_t io_sleeps;    /* times it slept */
    uint64_t io_parks;     /* times it left them to the VM's thread */
    uint64_t io_moves;     /* times it left the processor of the VM's thread */
    uint64_t io_displaced; /* involuntary context switches of it */
    uint64_t io_poll_ns;   /* time it looked in vain */
};

#ifdef __cplusplus
}
#endif

#endif
