/* SPDX-License-Identifier: MIT */
/* The contract between the Mayfly monitor and a guest, ABI version 1. */
#ifndef MAYFLY_ABI_H
#define MAYFLY_ABI_H

/*
 * Both sides include this header and nothing else of each other. It only ever
 * grows: a field, once released, keeps its offset, size and meaning, and new
 * ones take over reserved space (tests/abi checks this against the last tag).
 * A change that cannot keep to that raises MF_ABI_MAJOR, and the monitor then
 * refuses images of any other major version.
 *
 * Life of a guest: the monitor maps the image, fills the boot page and starts
 * the vCPU at the image's ELF entry point, in ring 3, in 64-bit mode, with
 *
 *   rsp = mf_boot.stack_top (16-byte aligned, as at a call's target minus 8:
 *         the entry point is not called, so there is no return address)
 *   rdi = MF_BOOT_PAGE, all other general registers 0, rflags = 0x202
 *   x87, MXCSR and vector registers as after a reset (FCW 0x37f, MXCSR 0x1f80)
 *
 * Everything the guest would otherwise probe for is in the boot page. All
 * addresses are guest-physical and, because the guest's memory is mapped
 * one to one, guest-virtual too. Little-endian, as x86 is.
 *
 * The guest is never trusted: the monitor writes the boot page and keeps its
 * own copy of all that it needs again. What a guest changes here, it changes
 * for itself only.
 */

#include <stddef.h>
#include <stdint.h>

#define MF_ABI_MAJOR 1u
#define MF_ABI_MINOR 3u

/* ---- The memory map -------------------------------------------------- */

/*
 *  0x00000  not mapped: null pointers fault
 *  0x01000  system pages: GDT, TSS and IDT (supervisor-only, read-only) and
 *           page tables (not mapped at all, but see MF_NOTE_PAGING);
 *           0x0f000 is the monitor's, in VMs that go on from a snapshot
 *  0x10000  the boot page
 *  0x11000  the device page: queue tables, rings and configuration
 *  0x12000  fault stacks, one page each
 *  0x15000  the upcall stack, one page
 *  0x16000  arguments and environment, as many bytes as they need
 *  0x34000  options of a VM that goes on from a snapshot
 *  0x35000  what does not fit into the device page, whole devices at a time
 *  0x40000  the lowest address of an image's segments
 *   ...     image, [page tables], a guard page, the stack, free memory
 *  3 GiB    end of the first RAM region; nothing is there up to 4 GiB but
 *           MF_REGISTERS, the registers of devices under virtio-mmio
 *  4 GiB    the second RAM region
 */
#define MF_PAGE_BYTES        0x1000ull
#define MF_BOOT_PAGE         0x10000ull
#define MF_DEVICE_PAGE       0x11000ull
#define MF_FAULT_STACKS      0x12000ull /* MF_FAULT_STACK_COUNT pages */
#define MF_UPCALL_STACK      0x15000ull
#define MF_STRINGS           0x16000ull
#define MF_STRINGS_BYTES_MAX 0x1e000ull /* arguments and environment */
#define MF_CLONE_STRINGS     0x34000ull /* one page; since 1.2 */
#define MF_RINGS             0x35000ull /* up to MF_IMAGE_BASE */
#define MF_IMAGE_BASE        0x40000ull
#define MF_RAM_LOW_END       0xc0000000ull  /* 3 GiB */
#define MF_RAM_HIGH_BASE     0x100000000ull /* 4 GiB */
#define MF_MEM_BYTES_MAX     (16ull << 30)
#define MF_REGISTERS         0xd0000000ull /* device registers: they trap */
#define MF_REGISTERS_BYTES   0x1000ull     /* of one device */

#define MF_FAULT_STACK_COUNT 3u /* #DF, #PF, every other exception */

/* ---- The image's note ------------------------------------------------ */

/*
 * An image says which ABI it was built for in one ELF note (PT_NOTE) with this
 * name and type; its descriptor is a struct mf_note, possibly a longer one of
 * a later minor version.
 */
#define MF_NOTE_NAME "Mayfly"
#define MF_NOTE_TYPE 1u

/*
 * fault_entry is the address of MF_FAULT_VECTORS stubs of MF_FAULT_STRIDE bytes
 * each, in an executable segment. Exception n enters stub n in ring 3, through
 * a trap gate, on its fault stack, with the frame that the processor pushes
 * (and its error code, where the exception has one). Only vectors whose bit is
 * set in fault_vectors get a gate.
 */
#define MF_FAULT_VECTORS 32u
#define MF_FAULT_STRIDE  16ull

struct mf_note {
    uint16_t abi_major;     /* MF_ABI_MAJOR at build time */
    uint16_t abi_minor;     /* MF_ABI_MINOR at build time */
    uint32_t fault_vectors; /* bit n: the image handles exception n */
    uint64_t fault_entry;   /* address of stub 0; ignored if no vector is set */
    uint64_t upcall_entry;  /* address of the upcall handler; 0: none */
    uint64_t flags;         /* MF_NOTE_*; since 1.1, others must be 0 */
};

/*
 * Page faults (14) come with their address. The gate leads to a stub in ring 0,
 * in a page that ring 3 cannot touch, which stores rax and the address (CR2) in
 * mf_boot.fault_rax and fault_address, and goes on in the image's stub 14, in
 * ring 3, as without this flag: on the fault stack, with the same frame. Only
 * rax is another one (the address), and rflags are 0x202.
 */
#define MF_NOTE_FAULT_ADDRESS (1u << 0)

/*
 * The image edits its own page tables: those that the monitor has built are
 * mapped, readable and writable, and mf_boot.page_root is the top one's
 * address. The monitor does not look at them again. So that the image can make
 * a change known to the processor, two exceptions that ring 3 can raise reach
 * the image's stubs by way of ring 0, each as above:
 *
 *   #BP (int3)  flushes the page that rax is an address in (invlpg)
 *   #UD (ud2)   flushes everything (CR3 is loaded anew); rax is lost on the
 *               way, and is in mf_boot.flush_rax
 *
 * Such an image can reach ring 0 by means of the tables: its VM must not be
 * relied on for anything that ring 3 could not do.
 */
#define MF_NOTE_PAGING (1u << 1)

/*
 * The image may want the host's signals (mf_boot.signals_wanted): the monitor
 * gets ready to pass them on.
 */
#define MF_NOTE_SIGNALS (1u << 2)

/* ---- Upcalls --------------------------------------------------------- */

/*
 * What a computing guest gets instead of interrupts, for an image whose note
 * names a handler (upcall_entry, in an executable segment). When a bit of the
 * event word that is also set in upcall_events is raised, upcall_masked is 0,
 * and the guest computes, the monitor sets upcall_masked and enters the handler
 * as a processor enters an interrupt's through a trap gate: on the upcall
 * stack, in ring 3, with ss, rsp, rflags, cs and rip of the interrupted code
 * on it (rip on top). The handler ends with iretq, after it has written 0 to
 * upcall_masked and has looked at the event word again. While the guest is on
 * a fault stack, no upcall is delivered.
 *
 * All that is due is told by one upcall; at most one is in flight. A guest that
 * exits to the monitor, waits, or masks upcalls, finds events by itself: raised
 * bits stay until the guest clears them, so unmasking needs no exit, only a
 * look. A deadline less than 10 ms ahead is kept exactly if a hypercall (such
 * as a kick of nothing) follows its writing; otherwise the monitor sees it
 * within 10 ms.
 */
#define MF_EVENT_TIMER \
    63u /* the bit of the event word that a deadline raises */

/* ---- Signals --------------------------------------------------------- */

/*
 * Signals that the monitor's process gets are the guest's if it wants them:
 * bits are by Linux's numbers, 1 << (number - 1). When one of signals_wanted
 * comes, the monitor sets its bit in signals_came and raises MF_EVENT_SIGNAL;
 * the guest clears the bit, atomically, when it takes the signal. One that
 * comes again before that is the same one; if it is SIGINT or SIGTERM, the
 * guest is held not to listen, and the VM ends as by a signal that is not
 * wanted.
 */
#define MF_EVENT_SIGNAL 62u

/* ---- Snapshots ------------------------------------------------------- */

/*
 * A VM may go on from a snapshot, and many from the same one. Before it does,
 * the monitor changes mf_boot.generation, puts a fresh seed there, writes the
 * clock, the devices' configurations and the terminals' flags, and, unless the
 * guest is at MF_HC_SNAPSHOT or MF_HC_CALL, raises MF_EVENT_GENERATION.
 * Monotonic time goes on from where it was; real time is right. What must not
 * be the same in two VMs (random state, identifiers made of it, addresses) the
 * guest makes anew before its program goes on.
 *
 * Options for the runtime that this VM was given (its addresses, its name) are
 * clone_optc strings from clone_strings on; they go before those behind the
 * environment. Without any, those that the VM in the snapshot had been given
 * stay.
 */
#define MF_EVENT_GENERATION 61u

enum mf_snapshot {
    MF_SNAPSHOT_POINT = 0,  /* the program says so */
    MF_SNAPSHOT_ACCEPT = 1, /* it is about to accept its first connection */
};

/* ---- Hypercalls ------------------------------------------------------ */

/*
 * `out %al, $MF_HYPERCALL_PORT` with the number in al and arguments in rdi and
 * rsi. The result comes back in rax: 0 or more, or a negative errno. All other
 * registers are preserved. No other port is open to the guest; a number that
 * is not listed here ends the VM.
 */
#define MF_HYPERCALL_PORT 0x6d

enum mf_hypercall {
    /* rdi: status, of which the low 8 bits count. Does not return. */
    MF_HC_EXIT = 0,
    /*
     * Blocks until the event word differs from rdi, or the clock reaches rsi
     * (nanoseconds of mf_clock's monotonic time; MF_WAIT_FOREVER for none).
     * Consoles are served first, so that a prompt is seen before its answer is
     * awaited; other devices may be, but only a kick, where the device asks for
     * one, makes sure. Returns the event word.
     */
    MF_HC_WAIT = 1,
    /* rdi: bit n asks the monitor to serve the device with doorbell n. */
    MF_HC_KICK = 2,
    /* rdi: address of a struct mf_crash. Does not return. */
    MF_HC_CRASH = 3,
    /*
     * Since 1.2. The guest is going to use [rdi, rdi + rsi), whole pages and at
     * most MF_POPULATE_MAX bytes: the host provides them at once, if it has
     * provided half of the MF_POPULATE_PROBE bytes above them, so that what the
     * guest has used there speaks for it. Returns how many bytes it provided:
     * rsi, or 0.
     */
    MF_HC_POPULATE = 4,
    /*
     * A good moment for a snapshot; rdi: which one (enum mf_snapshot). Returns
     * 0, and 1 in VMs that go on from one that was taken here. Since 1.2; a
     * guest makes it only where mf_boot.snapshot asks for it.
     */
    MF_HC_SNAPSHOT = 5,
    /*
     * rdi: address of a struct mf_call, with the answer to the last call in it,
     * if there was one. Blocks until there is a next one. Returns 0. Where
     * nobody calls, it does not return. Since 1.2.
     */
    MF_HC_CALL = 6,
};

#define MF_CALL_NAME_BYTES 64u

/* A call of a guest's function by whoever runs the VM. */
struct mf_call {
    uint64_t in;        /* the guest's: where the next call's input goes ... */
    uint64_t in_room;   /* ... and how much of it */
    uint64_t out;       /* the last call's output */
    uint64_t out_bytes; /* ... and how much that is */
    int64_t result;     /* ... and what the function returned */
    uint64_t in_bytes;  /* the monitor's: bytes of input */
    uint64_t out_room;  /* ... and the most output that it takes */
    char name[MF_CALL_NAME_BYTES]; /* ... and the function's name */
};

#define MF_POPULATE_MAX   0x200000
#define MF_POPULATE_PROBE 0x8000

#define MF_WAIT_FOREVER UINT64_MAX

enum mf_crash_kind {
    MF_CRASH_FAULT = 0, /* a processor exception; vector and error are valid */
    MF_CRASH_ABORT = 1, /* the program ended itself; vector is the signal */
};

/* What a guest that cannot go on hands over. */
struct mf_crash {
    uint32_t kind;   /* enum mf_crash_kind */
    uint32_t vector; /* exception vector, or signal number of an abort */
    uint64_t error;  /* the exception's error code, or 0 */
    /* rax rbx rcx rdx rsi rdi rbp rsp r8..r15, as enum mf_reg has them */
    uint64_t regs[16];
    uint64_t rip; /* of the faulting instruction, or of the call to abort */
    uint64_t rflags;
};

enum mf_reg {
    MF_RAX,
    MF_RBX,
    MF_RCX,
    MF_RDX,
    MF_RSI,
    MF_RDI,
    MF_RBP,
    MF_RSP,
    MF_R8,
    MF_R9,
    MF_R10,
    MF_R11,
    MF_R12,
    MF_R13,
    MF_R14,
    MF_R15,
    MF_REG_COUNT,
};

/* ---- The boot page --------------------------------------------------- */

#define MF_BOOT_MAGIC 0x312d594c4659414dull /* the bytes "MAYFLY-1" */

/* [base, base + bytes) of guest-physical memory. */
struct mf_range {
    uint64_t base;
    uint64_t bytes;
};

/*
 * Time without an exit. The monitor makes seq odd, writes, and makes it even
 * again; a reader repeats while seq is odd or has changed.
 *
 *   delta   = rdtsc - tsc_base
 *   elapsed = (delta * mult) >> 32      (128-bit product), in nanoseconds
 *   monotonic = monotonic_ns + elapsed; realtime = realtime_ns + elapsed
 *
 * Monotonic time starts near 0 when the VM is created and never goes back.
 */
struct mf_clock {
    uint32_t seq;
    uint32_t tsc_khz;      /* the TSC's rate */
    uint64_t tsc_base;     /* the guest's TSC at the last update */
    uint64_t mult;         /* nanoseconds per tick, times 2^32 */
    uint64_t monotonic_ns; /* at tsc_base */
    uint64_t realtime_ns;  /* at tsc_base, since 1970 */
};

#define MF_DEVICES_MAX 16u

/* One split virtqueue (virtio 1.2, 2.7), laid out and enabled by the monitor.
 */
struct mf_queue {
    uint64_t desc;  /* descriptor table */
    uint64_t avail; /* driver area */
    uint64_t used;  /* device area */
    uint32_t size;  /* entries, a power of two */
    uint32_t reserved;
};

/*
 * One virtio device. Under the native transport (`registers` is 0), reset,
 * feature negotiation and queue set-up have happened, status is DRIVER_OK.
 * Under virtio-mmio, the driver does all that through the registers there
 * (virtio 1.2, 4.2.2); features, queues and config are 0, and it kicks by
 * QueueNotify.
 *
 * The monitor makes generation odd, writes status and configuration, and makes
 * it even again; a reader of those repeats while it is odd or has changed.
 */
struct mf_device {
    uint32_t type;     /* virtio device id (virtio 1.2, 5) */
    uint32_t flags;    /* MF_DEVICE_*, by type */
    uint64_t features; /* negotiated feature bits */
    uint32_t doorbell; /* bit number for MF_HC_KICK */
    uint32_t event;    /* bit number in the event word */
    uint32_t queue_count;
    uint32_t config_bytes;
    uint64_t queues;     /* address of queue_count struct mf_queue */
    uint64_t config;     /* address of the device's configuration space */
    uint32_t status;     /* device status (2.1): may turn to NEEDS_RESET */
    uint32_t generation; /* see above */
    uint64_t registers;  /* address of MF_REGISTERS_BYTES bytes, or 0 */
};

/*
 * Consoles: the first one in the table carries standard input and output, the
 * second one (transmit only) standard error.
 */
#define MF_DEVICE_IN_TTY     (1u << 0) /* input comes from a terminal */
#define MF_DEVICE_OUT_TTY    (1u << 1) /* output goes to a terminal */
#define MF_DEVICE_IN_CLOSED  (1u << 2) /* nothing there: reads are EBADF */
#define MF_DEVICE_OUT_CLOSED (1u << 3) /* nothing there: writes are EBADF */

/*
 * A receive buffer that the device returns with a length of 0 means end of
 * file; the standard leaves a console without ports no other word for it.
 */

/* Points in time that the guest notes as it passes them, as TSC values. */
enum mf_stamp {
    MF_STAMP_START = 0, /* first instruction of the runtime */
    MF_STAMP_MAIN = 1,  /* main() is about to be called */
    MF_STAMP_COUNT = 4,
};

/* System calls without an implementation, counted by the runtime. */
#define MF_MISSING_MAX 16u

struct mf_missing {
    uint32_t number; /* Linux x86-64 system-call number */
    uint32_t count;  /* calls; 0 marks a free entry */
};

/*
 * listen_port: the port of the socket device (virtio 1.2, 5.10) at which the
 * guest's program listened first; 0: at none yet. Connections that are handed
 * over to whoever listens go there. listen_room: of these, so many bytes of
 * data may come right behind the device's request for a connection, before the
 * guest has answered that: as if the guest had given credit. Others come as the
 * standard has it. Both since 1.3.
 */

struct mf_boot {
    uint64_t magic;     /* MF_BOOT_MAGIC */
    uint16_t abi_major; /* the monitor's MF_ABI_MAJOR */
    uint16_t abi_minor; /* the monitor's MF_ABI_MINOR: fields there are */
    uint32_t bytes;     /* size of this structure as the monitor knows it */

    uint64_t mem_bytes;      /* all RAM */
    struct mf_range free[2]; /* RAM for the guest to use as it likes, zeroed;
                                the second one is empty below 3 GiB */
    uint64_t stack_low;      /* lowest byte of the stack; a guard lies below */
    uint64_t stack_top;      /* first byte past the stack */
    struct mf_range image;   /* from the first segment to the last one's end */
    uint64_t phdr;           /* address of the ELF program headers, or 0 */
    uint32_t phnum;          /* their number */

    uint32_t argc;
    uint32_t envc;
    uint32_t strings_bytes; /* argc + envc + optc NUL-terminated strings ... */
    uint64_t strings;       /* ... one after the other, from here */

    struct mf_clock clock;
    uint64_t xcr0;       /* vector state the guest may use (XCR0), or 0 */
    uint32_t hwcap;      /* CPUID 1, edx */
    uint32_t hwcap2;     /* bit 1: FSGSBASE, as Linux's AT_HWCAP2 */
    uint8_t seed[32];    /* random; the guest wipes it when it has used it */
    uint64_t generation; /* changes when the VM becomes a copy of another */
    uint64_t stamps[MF_STAMP_COUNT];
    uint64_t poll_ns;  /* look at rings so long before a wait; may change */
    uint32_t optc;     /* options for the runtime, K=V, after the environment */
    uint32_t snapshot; /* bit n: make MF_HC_SNAPSHOT at n; since 1.2 */
    uint64_t page_root;     /* MF_NOTE_PAGING: the top page table, or 0 */
    uint64_t fault_address; /* MF_NOTE_FAULT_ADDRESS: the last page fault's */
    uint64_t fault_rax;     /* ... and rax of the code that caused it */
    uint64_t flush_rax;     /* MF_NOTE_PAGING: rax of the last #UD's code */
    uint64_t clone_strings; /* see MF_EVENT_GENERATION; 0: none; since 1.2 */
    uint32_t clone_optc;    /* how many */
    uint32_t listen_port;   /* the guest's: see below; since 1.3 */
    uint32_t listen_room;   /* likewise */
    uint32_t memory_stays;  /* not 0: MF_HC_POPULATE is not worth it; 1.3 */
    uint64_t reserved0[8];

    /*
     * The event word: the monitor sets bits, atomically; the guest clears
     * them, atomically, before it looks at what they announce. On a cache
     * line of its own.
     */
    uint64_t events;

    /*
     * Upcalls: the guest writes these, the monitor reads them as hints. With
     * each upcall it sets upcall_masked, and when it raises the timer event it
     * writes 0 to the deadline.
     */
    uint64_t upcall_events;      /* event bits that shall cause an upcall */
    uint64_t upcall_deadline_ns; /* monotonic time of MF_EVENT_TIMER, or 0 */
    uint32_t upcall_masked;      /* not 0: upcalls are held back */
    uint32_t reserved1;
    uint64_t signals_wanted; /* the guest's: see MF_EVENT_SIGNAL; since 1.1 */
    uint64_t signals_came;   /* the monitor sets bits, the guest clears them */
    uint64_t reserved2[2];

    struct mf_missing missing[MF_MISSING_MAX];

    uint32_t device_count;
    uint32_t device_bytes; /* size of one entry */
    uint64_t reserved3[7];
    struct mf_device devices[MF_DEVICES_MAX];
};

/* ---- What every release keeps ---------------------------------------- */

#define MF_ABI_SIZE(type, bytes) \
    _Static_assert(sizeof(struct type) == (bytes), "ABI: size of " #type)
#define MF_ABI_AT(type, field, offset)                       \
    _Static_assert(offsetof(struct type, field) == (offset), \
                   "ABI: offset of " #type "." #field)

MF_ABI_SIZE(mf_note, 32);
MF_ABI_AT(mf_note, abi_major, 0x000);
MF_ABI_AT(mf_note, abi_minor, 0x002);
MF_ABI_AT(mf_note, fault_vectors, 0x004);
MF_ABI_AT(mf_note, fault_entry, 0x008);
MF_ABI_AT(mf_note, upcall_entry, 0x010);
MF_ABI_AT(mf_note, flags, 0x018);

MF_ABI_SIZE(mf_crash, 160);
MF_ABI_AT(mf_crash, kind, 0x000);
MF_ABI_AT(mf_crash, vector, 0x004);
MF_ABI_AT(mf_crash, error, 0x008);
MF_ABI_AT(mf_crash, regs, 0x010);
MF_ABI_AT(mf_crash, rip, 0x090);
MF_ABI_AT(mf_crash, rflags, 0x098);

MF_ABI_SIZE(mf_call, 120);
MF_ABI_AT(mf_call, in, 0x000);
MF_ABI_AT(mf_call, in_room, 0x008);
MF_ABI_AT(mf_call, out, 0x010);
MF_ABI_AT(mf_call, out_bytes, 0x018);
MF_ABI_AT(mf_call, result, 0x020);
MF_ABI_AT(mf_call, in_bytes, 0x028);
MF_ABI_AT(mf_call, out_room, 0x030);
MF_ABI_AT(mf_call, name, 0x038);

MF_ABI_SIZE(mf_range, 16);
MF_ABI_AT(mf_range, base, 0x000);
MF_ABI_AT(mf_range, bytes, 0x008);

MF_ABI_SIZE(mf_clock, 40);
MF_ABI_AT(mf_clock, seq, 0x000);
MF_ABI_AT(mf_clock, tsc_khz, 0x004);
MF_ABI_AT(mf_clock, tsc_base, 0x008);
MF_ABI_AT(mf_clock, mult, 0x010);
MF_ABI_AT(mf_clock, monotonic_ns, 0x018);
MF_ABI_AT(mf_clock, realtime_ns, 0x020);

MF_ABI_SIZE(mf_queue, 32);
MF_ABI_AT(mf_queue, desc, 0x000);
MF_ABI_AT(mf_queue, avail, 0x008);
MF_ABI_AT(mf_queue, used, 0x010);
MF_ABI_AT(mf_queue, size, 0x018);

MF_ABI_SIZE(mf_device, 64);
MF_ABI_AT(mf_device, type, 0x000);
MF_ABI_AT(mf_device, flags, 0x004);
MF_ABI_AT(mf_device, features, 0x008);
MF_ABI_AT(mf_device, doorbell, 0x010);
MF_ABI_AT(mf_device, event, 0x014);
MF_ABI_AT(mf_device, queue_count, 0x018);
MF_ABI_AT(mf_device, config_bytes, 0x01c);
MF_ABI_AT(mf_device, queues, 0x020);
MF_ABI_AT(mf_device, config, 0x028);
MF_ABI_AT(mf_device, status, 0x030);
MF_ABI_AT(mf_device, generation, 0x034);
MF_ABI_AT(mf_device, registers, 0x038);

MF_ABI_SIZE(mf_missing, 8);
MF_ABI_AT(mf_missing, number, 0x000);
MF_ABI_AT(mf_missing, count, 0x004);

MF_ABI_SIZE(mf_boot, 1664);
MF_ABI_AT(mf_boot, magic, 0x000);
MF_ABI_AT(mf_boot, abi_major, 0x008);
MF_ABI_AT(mf_boot, abi_minor, 0x00a);
MF_ABI_AT(mf_boot, bytes, 0x00c);
MF_ABI_AT(mf_boot, mem_bytes, 0x010);
MF_ABI_AT(mf_boot, free, 0x018);
MF_ABI_AT(mf_boot, stack_low, 0x038);
MF_ABI_AT(mf_boot, stack_top, 0x040);
MF_ABI_AT(mf_boot, image, 0x048);
MF_ABI_AT(mf_boot, phdr, 0x058);
MF_ABI_AT(mf_boot, phnum, 0x060);
MF_ABI_AT(mf_boot, argc, 0x064);
MF_ABI_AT(mf_boot, envc, 0x068);
MF_ABI_AT(mf_boot, strings_bytes, 0x06c);
MF_ABI_AT(mf_boot, strings, 0x070);
MF_ABI_AT(mf_boot, clock, 0x078);
MF_ABI_AT(mf_boot, xcr0, 0x0a0);
MF_ABI_AT(mf_boot, hwcap, 0x0a8);
MF_ABI_AT(mf_boot, hwcap2, 0x0ac);
MF_ABI_AT(mf_boot, seed, 0x0b0);
MF_ABI_AT(mf_boot, generation, 0x0d0);
MF_ABI_AT(mf_boot, stamps, 0x0d8);
MF_ABI_AT(mf_boot, poll_ns, 0x0f8);
MF_ABI_AT(mf_boot, optc, 0x100);
MF_ABI_AT(mf_boot, page_root, 0x108);
MF_ABI_AT(mf_boot, fault_address, 0x110);
MF_ABI_AT(mf_boot, fault_rax, 0x118);
MF_ABI_AT(mf_boot, flush_rax, 0x120);
MF_ABI_AT(mf_boot, clone_strings, 0x128);
MF_ABI_AT(mf_boot, clone_optc, 0x130);
MF_ABI_AT(mf_boot, listen_port, 0x134);
MF_ABI_AT(mf_boot, listen_room, 0x138);
MF_ABI_AT(mf_boot, memory_stays, 0x13c);
MF_ABI_AT(mf_boot, reserved0, 0x140);
MF_ABI_AT(mf_boot, events, 0x180);
MF_ABI_AT(mf_boot, upcall_events, 0x188);
MF_ABI_AT(mf_boot, upcall_deadline_ns, 0x190);
MF_ABI_AT(mf_boot, upcall_masked, 0x198);
MF_ABI_AT(mf_boot, signals_wanted, 0x1a0);
MF_ABI_AT(mf_boot, signals_came, 0x1a8);
MF_ABI_AT(mf_boot, missing, 0x1c0);
MF_ABI_AT(mf_boot, device_count, 0x240);
MF_ABI_AT(mf_boot, device_bytes, 0x244);
MF_ABI_AT(mf_boot, devices, 0x280);

#endif
