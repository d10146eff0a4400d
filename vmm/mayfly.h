/* SPDX-License-Identifier: MIT */
/* libmayfly: a C program as a virtual machine, inside another program. */
#ifndef MAYFLY_H
#define MAYFLY_H

/*
 * Life of a VM:
 *
 *   mayfly_create     opens KVM and makes an empty VM
 *   mayfly_load       reads an image into it and builds the machine around it
 *   mayfly_confine    (optional) gives up everything that running does not need
 *   mayfly_run        runs the guest on the calling thread until it ends
 *   mayfly_backtrace, mayfly_get_stats
 *   mayfly_destroy
 *
 * A VM belongs to one thread at a time; only mayfly_stop may be called from
 * elsewhere. Several VMs may live in one process. The library uses the signal
 * MAYFLY_KICK_SIGNAL, for which it installs a handler; after a run it may still
 * interrupt a system call of the thread that ran the VM (EINTR), once. SIGPIPE
 * is to be ignored: who reads output and stream networks may go away.
 *
 * Functions that can fail return 0 or a negative errno, and write what failed,
 * on what, and why to `error`: room for MAYFLY_ERROR_BYTES bytes, or NULL.
 */

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mayfly_acceptor.h"
#include "mayfly_stats.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MAYFLY_VERSION     "0.1.0"
#define MAYFLY_ERROR_BYTES 256
#define MAYFLY_KICK_SIGNAL SIGRTMIN

/* One VM. */
struct mayfly;

/* How much the library says on standard error. */
enum mayfly_log_level {
    MAYFLY_LOG_ERROR,
    MAYFLY_LOG_WARN, /* the default */
    MAYFLY_LOG_INFO,
    MAYFLY_LOG_DEBUG,
};

/* Says only what is at most this detailed. Any thread. */
void mayfly_set_log_level(enum mayfly_log_level level);

/*
 * How much a device may do: at most so many requests or packets, and bytes, a
 * second, with bursts of up to a tenth of a second's worth. 0: no limit.
 */
struct mayfly_rate {
    uint64_t ops_per_s;
    uint64_t bytes_per_s;
};

#define MAYFLY_DISK_ID_BYTES 20

/*
 * A disk: a regular file or a block device, used in whole sectors of 512 bytes.
 * The descriptor is borrowed and must stay open as long as the VM. Locking is
 * the caller's: two VMs that write to one file ruin it.
 */
struct mayfly_disk {
    int fd;         /* open for reading, and for writing unless read_only */
    bool read_only; /* the guest's writes are refused */
    const char *id; /* at most MAYFLY_DISK_ID_BYTES bytes; NULL: none */
    struct mayfly_rate rate;
};

/* What a network device's descriptor is. */
enum mayfly_net_kind {
    /* A tap device: IFF_TAP, IFF_NO_PI, IFF_VNET_HDR. */
    MAYFLY_NET_TAP,
    /*
     * A connected stream socket; each frame follows its length, 32 bits,
     * big-endian. What passt and QEMU's socket backend speak.
     */
    MAYFLY_NET_STREAM,
};

/* A network device. The descriptor is borrowed and made non-blocking. */
struct mayfly_net {
    int fd;
    enum mayfly_net_kind kind;
    uint8_t mac[6]; /* of the guest; all zero: one is made up */
    uint16_t mtu;   /* told to the guest; 0: 1500 */
    struct mayfly_rate rate;
};

/*
 * A directory that the guest finds as a virtio 9P device (9P2000.L), with what
 * lies below it on the same mount. Where the guest mounts it is a guest option,
 * "share=N:/path" or "share=N,ro:/path". The descriptor, which may be O_PATH,
 * is borrowed and must stay open as long as the VM.
 */
struct mayfly_share {
    int fd;
    bool read_only;          /* the guest's changes are refused */
    struct mayfly_rate rate; /* of requests, and of their data */
};

#define MAYFLY_STREAMS_MAX 64

/*
 * A way to what the guest listens at, past any TCP/IP of its own: a socket of
 * the host. Streams reach guests without a network only (guest_rt/README.md).
 */
struct mayfly_stream {
    int fd;              /* a stream socket; made non-blocking */
    uint32_t guest_port; /* where the guest listens */
    bool connected; /* it is one connection, which the library closes in the
                       end if mayfly_load succeeds; else it listens, is
                       borrowed, and must stay open as long as the VM */
};

#define MAYFLY_CONNECTS_MAX 64

/*
 * Connections by a guest with streams: it opens one to port 0x10000 + N of CID
 * 2, and the library asks whoever is at options.connect_fd for entry N. It is
 * one packet; the answer, one packet, has the ticket and 0 with a connected
 * socket (SCM_RIGHTS, non-blocking), or a negative errno. Where a program's
 * connect() leads is a guest option: "connect=N:ADDR:PORT[:NAME]".
 */
struct mayfly_connect {
    uint32_t entry;
    uint32_t ticket;
};

struct mayfly_connected {
    uint32_t ticket;
    int32_t error;
};

/*
 * What went between the sockets of streams and the VM: counted up while it
 * runs, for whoever looks at it meanwhile, such as another process. It is never
 * less than what was moved: while a system call moves bytes, it has what that
 * may move at most. So where in_bytes has not changed, nothing of a connection
 * was read.
 */
struct mayfly_progress {
    uint64_t in_bytes;  /* read from sockets, for the guest */
    uint64_t out_bytes; /* written to sockets, by the guest */
};

/* Who serves disks, networks, shares and streams. */
enum mayfly_io {
    /*
     * The thread that runs the VM, when the guest exits; and a thread of their
     * own as soon as there is much to do, if the process has a processor for
     * it.
     */
    MAYFLY_IO_AUTO,
    MAYFLY_IO_INLINE, /* only the thread that runs the VM */
    MAYFLY_IO_THREAD, /* a thread of their own from the first request on */
};

#define MAYFLY_POLL_NS 50000u

/* How a guest's drivers find the devices. */
enum mayfly_transport {
    MAYFLY_TRANSPORT_NATIVE, /* ready when the guest starts, no exits */
    MAYFLY_TRANSPORT_MMIO,   /* virtio-mmio: registers, each access an exit */
};

/* Moments for a snapshot, as bits of mayfly_options.snapshots. */
enum mayfly_snapshot_point {
    MAYFLY_SNAPSHOT_POINT = 1 << 0,  /* the guest calls
                                        mayfly_snapshot_point() */
    MAYFLY_SNAPSHOT_ACCEPT = 1 << 1, /* it is about to accept a connection, for
                                        the first time */
    MAYFLY_SNAPSHOT_ANYWHERE = 1 << 2, /* mayfly_request_snapshot is called */
};

/* The moments that the guest chooses: many VMs may go on from such a one. */
#define MAYFLY_SNAPSHOT_CALLS (MAYFLY_SNAPSHOT_POINT | MAYFLY_SNAPSHOT_ACCEPT)

/* What a VM is made of. Start from MAYFLY_OPTIONS, then set what differs. */
struct mayfly_options {
    uint64_t mem_bytes; /* RAM; 0: MAYFLY_MEM_DEFAULT or what the image needs */
    const char *const *args; /* argv, NULL-terminated; NULL: none */
    const char *const *env;  /* K=V strings, NULL-terminated; NULL: none */
    const char *const *guest_options; /* the same for the guest's runtime, which
                                         knows them (guest_rt/option.h) */
    int in;              /* standard input; a descriptor, or -1 for none */
    int out;             /* standard output, likewise */
    int err;             /* standard error, likewise */
    uint64_t timeout_ns; /* run at most this long; 0: no limit */
    const struct mayfly_disk *disks;     /* disk_count of them */
    unsigned disk_count;                 /* at most MAYFLY_DISKS_MAX */
    const struct mayfly_net *nets;       /* net_count of them */
    unsigned net_count;                  /* at most MAYFLY_NETS_MAX */
    const struct mayfly_share *shares;   /* share_count of them */
    unsigned share_count;                /* at most MAYFLY_SHARES_MAX */
    const struct mayfly_stream *streams; /* stream_count of them */
    unsigned stream_count;               /* at most MAYFLY_STREAMS_MAX */
    unsigned connect_count; /* the guest may connect to so many addresses ... */
    int connect_fd; /* ... by asking here (struct mayfly_connect): a socket,
                       SOCK_SEQPACKET, borrowed and made non-blocking */
    bool sockets;   /* the guest has a device for streams even if there are none
                       yet: for mayfly_offer() */
    bool serves;    /* mayfly_run ends with MAYFLY_SERVED when the connections
                       offered are over. Has `sockets`, and no I/O thread */
    bool lossy; /* output that the host does not take is lost, and counted */
    const struct mayfly_acceptor *acceptor; /* NULL: the process has none */
    struct mayfly_progress *progress; /* of streams: as long as the VM lives;
                                         NULL: none */
    uint32_t snapshots; /* MAYFLY_SNAPSHOT_*: mayfly_run stops there, and
                           mayfly_snapshot can be called; 0: never */
    bool resettable;    /* mayfly_restore: mayfly_reset can be called */
    bool entropy;    /* a source of random bytes beside the boot page's seed */
    bool balloon;    /* memory that the guest frees goes back to the host */
    bool huge_pages; /* memory comes 2 MiB at a time, where the host can */
    enum mayfly_transport transport;
    enum mayfly_io io;
    uint64_t poll_ns; /* the guest looks for work at most so long before it
                         waits, and threads, which let others have the
                         processor meanwhile, up to four times that before
                         they sleep; 0: not at all */
};

#define MAYFLY_MEM_DEFAULT (16ull << 20)

/* The defaults: this process's standard descriptors, and nothing else. */
#define MAYFLY_OPTIONS                                          \
    {                                                           \
        .in = 0, .out = 1, .err = 2, .poll_ns = MAYFLY_POLL_NS, \
    }

/*
 * Makes a VM; `options` and what it points to must live until mayfly_load has
 * returned. Stores it in `*vm`. Returns 0 or a negative errno: -ENOENT, -EACCES
 * (no /dev/kvm, or not ours to use), -ENOTSUP (this KVM lacks something needed)
 * or what the host said.
 */
int mayfly_create(const struct mayfly_options *options, struct mayfly **vm,
                  char *error);

/*
 * Loads the image that `image_fd` is open on. The descriptor stays the
 * caller's; the VM reads symbols from it again if the guest crashes, so it must
 * stay open until then. Returns 0, -ENOEXEC (not an image, or not one for this
 * ABI), -ENOMEM (does not fit into the VM's memory), -E2BIG (arguments too
 * long) or another negative errno. Once per VM.
 */
int mayfly_load(struct mayfly *vm, int image_fd, char *error);

/*
 * Instead of mayfly_load: the guest goes on from the snapshot that
 * `snapshot_fd`, the caller's, is open on. Options that say what is in the
 * guest (memory, arguments, environment) have no effect; disks and networks are
 * given in the same number as before, disks of the same size. Guest options, a
 * page of them at most, go before those that it was started with: "ip=0:...",
 * "hostname=..."; without any it keeps what it has. The file must
 * stay as it is until the VM is destroyed (if it is cut short, the VM ends); it
 * may be closed at once. Returns 0; -ENOEXEC (not a snapshot, or one that is
 * damaged or of another release); -ENOTSUP (this host lacks what it needs);
 * -EINVAL or -E2BIG (the options do not fit); -EBUSY (a VM went on from it, and
 * only one may) or another negative errno.
 */
int mayfly_restore(struct mayfly *vm, int snapshot_fd, char *error);

/* A snapshot kept ready in memory, for many VMs of this process. Opaque. */
struct mayfly_template;

/*
 * Reads and checks the snapshot that `snapshot_fd`, the caller's, is open on,
 * and copies its memory once. Returns 0, what mayfly_restore() returns, or
 * -EBUSY if only one VM may go on from it. mayfly_close_template() frees it:
 * clones that live may outlive that.
 */
int mayfly_open_template(int snapshot_fd, struct mayfly_template **template,
                         char *error);
void mayfly_close_template(struct mayfly_template *template);

/*
 * What mayfly_restore() does, from a template: faster, and with fewer mappings,
 * which counts where many VMs live in one process. The template does not
 * change: several threads may do so at once.
 */
int mayfly_clone(struct mayfly *vm, const struct mayfly_template *template,
                 char *error);

/*
 * From now on clones are given copies of the pages that `vm`, a clone of the
 * template, has written to up to here, before they run: that takes half as long
 * as when each write finds that it needs one. 4096 pages at most. What is in
 * the pages does not matter, only which they are. Nobody else uses the template
 * meanwhile. Returns 0, -EINVAL if the VM is no clone of it, or a negative
 * errno: /proc cannot be read.
 */
int mayfly_learn(struct mayfly_template *template, const struct mayfly *vm,
                 char *error);

/* What mayfly_confine does beyond its fixed part. */
enum mayfly_confine_flags {
    /* Move to new, empty user, mount, network, IPC and UTS namespaces. */
    MAYFLY_CONFINE_NAMESPACES = 1 << 0,
};

/*
 * Readies `vm`, which is loaded, to be run by the calling thread, and confines
 * the whole process for good: no new privileges, no
 * capabilities, no new descriptors but for files in shares and connections, no
 * core dumps, Landlock without a single path but the shares where the kernel
 * has it, and a seccomp filter that allows what running, resetting and
 * explaining it take (not: making, loading and restoring VMs), and kills the
 * process for anything else. For
 * programs that do nothing else than run VMs. Returns 0 or a negative errno.
 */
int mayfly_confine(struct mayfly *vm, unsigned flags, char *error);

/* How a run ended. */
enum mayfly_end {
    MAYFLY_EXITED,        /* the guest called exit: `status` */
    MAYFLY_CRASHED,       /* the guest could not go on: `crash` */
    MAYFLY_TIMED_OUT,     /* options.timeout_ns passed */
    MAYFLY_STOPPED,       /* mayfly_stop was called */
    MAYFLY_OUTPUT_CLOSED, /* nobody reads the guest's output: SIGPIPE's case */
    MAYFLY_OUTPUT_FAILED, /* output could not be written: `status` is errno */
    MAYFLY_AT_SNAPSHOT, /* a moment of options.snapshots: mayfly_snapshot() may
                           be called now, and mayfly_run() goes on */
    MAYFLY_AT_CALL, /* the guest waits for a call: mayfly_call(), or a snapshot
                       of it as it waits */
    MAYFLY_SERVED,  /* options.serves: the guest waits, and has closed or reset
                       every connection; of what it has sent some may still go
                       out (mayfly_flush_streams). mayfly_run() goes on */
};

/* Why a guest could not go on. */
enum mayfly_crash_kind {
    MAYFLY_CRASH_FAULT,     /* a processor exception: `vector` */
    MAYFLY_CRASH_ABORT,     /* the program gave up: `vector` is the signal */
    MAYFLY_CRASH_TRIPLE,    /* an exception that it had no handler for */
    MAYFLY_CRASH_HYPERCALL, /* a hypercall that does not exist: `error` */
    MAYFLY_CRASH_MEMORY,    /* it touched a guest-physical address: `address` */
    MAYFLY_CRASH_KVM,       /* KVM could not go on with it: `error` */
    MAYFLY_CRASH_LOST,      /* the file of its snapshot was cut short */
};

struct mayfly_crash {
    enum mayfly_crash_kind kind;
    unsigned vector;
    uint64_t error;      /* the exception's error code, or as `kind` says */
    bool has_address;    /* `address` is valid */
    uint64_t address;    /* what was touched, for a page fault */
    bool stack_overflow; /* that was the guard page below the stack */
    uint64_t regs[16];   /* rax rbx rcx rdx rsi rdi rbp rsp r8 .. r15 */
    uint64_t rip;
    uint64_t rflags;
};

struct mayfly_result {
    enum mayfly_end end;
    int status;                /* see enum mayfly_end */
    struct mayfly_crash crash; /* valid for MAYFLY_CRASHED */
};

/*
 * Runs the guest on the calling thread until it ends, which may be another one
 * each time. Returns 0 and fills
 * `*result`, whatever the guest did; a negative errno if the host failed. Once
 * per VM, and again after each MAYFLY_AT_SNAPSHOT, MAYFLY_SERVED or reset.
 */
int mayfly_run(struct mayfly *vm, struct mayfly_result *result, char *error);

/*
 * Ends a running VM, or one that is about to run, as soon as possible. Any
 * thread, and signal handlers. In a confined process only signal handlers that
 * interrupt the thread that runs the VM may call it.
 */
void mayfly_stop(struct mayfly *vm);

/* What later calls of mayfly_run have instead of options.timeout_ns. */
void mayfly_set_timeout(struct mayfly *vm, uint64_t timeout_ns);

/*
 * Hands a connection over to a loaded VM that has streams or options.sockets
 * and that does not run: whoever listens at `guest_port` in the guest accepts
 * it as soon as it runs; 0 is the port at which the program listened first.
 * `fd` is a connected stream socket, non-blocking, and
 * the library's from here on. Several may wait. One that the guest has not
 * heard of yet outlives mayfly_reset(). Returns 0; -EAGAIN if the guest has too
 * many connections, -EINVAL without the device, or if nobody listens yet for
 * port 0, or what the host said: then the descriptor stays the caller's.
 *
 * Others may have descriptors of the same socket, and what becomes of it: where
 * the guest closes the connection after it has sent something, its peer sees
 * the end at once. Where the guest resets it, its peer sees that when the last
 * descriptor is closed. Where it is open when the VM is reset or destroyed, or
 * was closed without a word, as by a program that ends, only the library's
 * descriptor is closed: the others may still use it.
 */
int mayfly_offer(struct mayfly *vm, int fd, uint32_t guest_port, char *error);

/* What went through the VM's streams so far. Costs nothing. */
void mayfly_get_stream_stats(const struct mayfly *vm,
                             struct mayfly_stream_stats *stats);

/*
 * Waits until the sockets have taken what the guest has sent, for at most
 * `timeout_ns`. The VM does not run; a reset before has lost what was sent on
 * connections that were open. Returns 0, or -ETIMEDOUT if there is something
 * left, also because mayfly_stop was called.
 */
int mayfly_flush_streams(struct mayfly *vm, uint64_t timeout_ns);

/* A call of a function that the guest exports (guest_rt: <mayfly/call.h>). */
struct mayfly_call {
    const char *function; /* its name, at most 63 bytes */
    const void *in;       /* input ... */
    size_t in_bytes;      /* ... of so many bytes */
    void *out;            /* where its output goes ... */
    size_t out_room;      /* ... so many bytes at most */
    uint64_t timeout_ns;  /* 0: no limit */
    size_t out_bytes;     /* stored: how much output there was */
    long result;          /* stored: what the function returned */
};

/*
 * Calls a function of a guest whose run has ended with MAYFLY_AT_CALL, or that
 * was restored from or reset to a snapshot of such a one, on the calling
 * thread. Returns 0 and fills `*result`: its `end` is MAYFLY_AT_CALL if the
 * function has answered, and there may be a next call; or else how the guest
 * ended instead, MAYFLY_TIMED_OUT after `timeout_ns`. -ENOSYS if it has no such
 * function, -E2BIG if it has no room for the input, -EINVAL if the VM does not
 * wait for a call, or another negative errno. Never believes the guest's
 * lengths.
 */
int mayfly_call(struct mayfly *vm, struct mayfly_call *call,
                struct mayfly_result *result, char *error);

/*
 * Writes a snapshot of a VM that ended its run with MAYFLY_AT_SNAPSHOT, or with
 * MAYFLY_AT_CALL, into the
 * file that `fd` is open on, from its start, where there is nothing yet. The VM
 * is as before. Returns 0; -EINVAL if it has not ended so; -EPERM if the
 * process is confined and options.snapshots was 0; or what writing said
 * (-ENOSPC): then the file is none that mayfly_restore() takes.
 */
int mayfly_snapshot(struct mayfly *vm, int fd, char *error);

/*
 * Makes a VM whose run has ended, however it did, what mayfly_restore() had
 * made of it: memory, registers and devices, but for what is new in each VM
 * (seed, generation, time). Much faster than another VM. mayfly_run() may be
 * called again. What came for the guest meanwhile (mayfly_stop, mayfly_signal,
 * mayfly_request_snapshot) is gone with it. Disks keep what was written to
 * them, and limits of rates count on. Returns 0; -EINVAL if it was not restored
 * with options.resettable; -EPERM if its image edits its page tables, so that
 * it may have changed what this does not bring back: destroy it; or another
 * negative errno: destroy it, too, it does not run any more.
 */
int mayfly_reset(struct mayfly *vm, char *error);

/*
 * Makes the run end with MAYFLY_AT_SNAPSHOT as soon as possible, wherever the
 * guest is, if options.snapshots has MAYFLY_SNAPSHOT_ANYWHERE: one VM may go on
 * from such a snapshot. From where mayfly_stop.
 */
void mayfly_request_snapshot(struct mayfly *vm);

/* Whether the guest's input or output is a terminal. After mayfly_load. */
bool mayfly_has_terminal(const struct mayfly *vm);

/* The terminal's size has changed: tells the guest. From where mayfly_stop. */
void mayfly_resize(struct mayfly *vm);

/*
 * Whether the image may want signals of the host. After mayfly_load: a program
 * that runs such an image should pass on those that it gets.
 */
bool mayfly_takes_signals(const struct mayfly *vm);

/*
 * A signal for the guest, by Linux's number. Returns whether the guest gets it:
 * false if it does not want it, and for SIGINT and SIGTERM also if it has not
 * taken the last one of that number. From where mayfly_stop.
 */
bool mayfly_signal(struct mayfly *vm, int number);

#define MAYFLY_FRAMES_MAX 64
#define MAYFLY_NAME_BYTES 96

/* One function on the way from a crash to the guest's entry point. */
struct mayfly_frame {
    uint64_t address;
    uint64_t offset;              /* from the function's start */
    char name[MAYFLY_NAME_BYTES]; /* printable; empty if not known */
};

/*
 * After a crash: walks the guest's frame pointers and names the functions from
 * the image's symbols. Stores at most `max` frames, the innermost first.
 * Returns how many. What the guest or the image makes up is bounded and
 * escaped, not believed.
 */
unsigned mayfly_backtrace(struct mayfly *vm, const struct mayfly_crash *crash,
                          struct mayfly_frame *frames, unsigned max);

/* Fills `*stats`. Not while mayfly_run runs on another thread. */
void mayfly_get_stats(struct mayfly *vm, struct mayfly_stats *stats);

/* A few of these counts, at no cost. Likewise. */
void mayfly_get_counts(const struct mayfly *vm, struct mayfly_counts *counts);

/* Ends the VM (NULL: none). Some of a clone is freed when other clones end. */
void mayfly_destroy(struct mayfly *vm);

#define MAYFLY_SEGMENTS_MAX 16

struct mayfly_segment {
    uint64_t address; /* guest address of its first byte */
    uint64_t bytes;   /* in memory */
    uint64_t file_bytes;
    bool write;
    bool execute;
};

/* What an image says about itself. */
struct mayfly_image {
    unsigned abi_major;
    unsigned abi_minor;
    uint64_t entry;
    uint64_t stack_bytes;   /* wanted by the image; 0: the monitor's choice */
    uint64_t mem_bytes_min; /* the least memory that it can run in */
    bool signals;           /* may want signals of the host */
    bool paging;            /* edits its page tables, so it can reach ring 0 */
    unsigned segment_count;
    struct mayfly_segment segments[MAYFLY_SEGMENTS_MAX];
};

/*
 * Reads and checks an image's headers. Returns 0, -ENOEXEC or another negative
 * errno. Any thread.
 */
int mayfly_inspect(int image_fd, struct mayfly_image *image, char *error);

/* What a snapshot says of itself. */
struct mayfly_snapshot_info {
    struct mayfly_image image; /* of the guest; file_bytes are 0 */
    unsigned format;
    char monitor[17];      /* the version that took it */
    bool once;             /* one VM may go on from it ... */
    bool claimed;          /* ... and has */
    bool in_call;          /* the guest waits for mayfly_call() */
    uint64_t mem_bytes;    /* the guest's RAM */
    uint64_t stored_bytes; /* of that, in the file; the rest is zero ... */
    unsigned run_count;    /* ... in so many pieces */
    uint64_t guest_ns;     /* its monotonic time */
    uint64_t xcr0;         /* vector state that the host must have */
    unsigned disk_count, net_count;
    unsigned device_count; /* of all kinds */
};

/*
 * Reads and checks a snapshot, but not whether this host can go on with it.
 * Returns 0, -ENOEXEC or another negative errno. Any thread.
 */
int mayfly_inspect_snapshot(int snapshot_fd, struct mayfly_snapshot_info *info,
                            char *error);

/* What runs guests on this host. */
enum mayfly_backend {
    MAYFLY_BACKEND_NONE,     /* nothing does */
    MAYFLY_BACKEND_HARDWARE, /* VT-x or SVM */
    MAYFLY_BACKEND_SOFTWARE, /* kvm_pvm: ring 3 runs natively */
};

struct mayfly_host {
    enum mayfly_backend backend;
    int kvm_error;  /* why /dev/kvm cannot be used: a negative errno, or 0 */
    int kvm_api;    /* its version; 12 is the only one there is */
    bool sync_regs; /* registers through shared memory (needed) */
    bool split_irqchip;  /* interrupt controller in halves (needed) */
    bool immediate_exit; /* KVM_RUN can be told not to run (needed) */
    bool fsgsbase;       /* guests can set their thread pointer (needed) */
    bool seccomp;        /* system-call filters (needed to confine) */
    int landlock_abi; /* its version; 0: the kernel has none, or not enabled */
};

/* Finds out what this host offers. Never fails; any thread. */
void mayfly_probe_host(struct mayfly_host *host);

#ifdef __cplusplus
}
#endif

#endif
