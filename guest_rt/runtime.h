/* SPDX-License-Identifier: MIT */
/* What the parts of the guest runtime know of each other. */
#ifndef MAYFLY_RUNTIME_H
#define MAYFLY_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The smallest of clone's and kill's process numbers: there is one process. */
#define MF_PID 1

/*
 * The machine's code that C enters from (start.S), with the boot page and the
 * TSC at the first instruction. Does not return.
 */
_Noreturn void mf_start(const void *boot, uint64_t tsc);

/* Ends the VM with this exit status, of which the low 8 bits count. */
_Noreturn void mf_exit(int status);

/*
 * Writes back what is to outlast the VM, in programs that have mounted disks
 * (ext4/guest_mount.c). mf_exit() calls it.
 */
void mf_before_exit(void) __attribute__((weak));

/*
 * Delivers what the program has sent, in programs with sockets
 * (lwip/inet_exit.c). mf_exit() calls it first.
 */
void mf_before_exit_network(void) __attribute__((weak));

/* The same for streams over the virtio socket device (socket_vsock.c). */
void mf_before_exit_streams(void) __attribute__((weak));

/*
 * Reports a crash of kind MF_CRASH_ABORT with the signal's number and the
 * registers of the caller, and ends the VM (fault.S).
 */
_Noreturn void mf_abort(uint32_t signal);

/* MF_FAULT_VECTORS entry stubs of MF_FAULT_STRIDE bytes each (fault.S). */
extern const char mf_fault_stubs[];

/* Nanoseconds of monotonic time, without an exit. */
uint64_t mf_clock_monotonic(void);

/* Nanoseconds since 1970, without an exit. */
uint64_t mf_clock_realtime(void);

/* Blocks until monotonic time has reached deadline_ns. */
void mf_sleep_until(uint64_t deadline_ns);

/* Fills the buffer with random bytes, any number of them. Never fails. */
void mf_random_fill(void *buffer, size_t bytes);

/*
 * Bytes of memory that nothing has asked for yet or that were given back, for
 * sysinfo. NULL where nothing gives memory back.
 */
uint64_t mf_memory_free_bytes(void) __attribute__((weak));

/* RLIMIT_AS: what mmap and brk may hand out together. Weak: see above. */
extern uint64_t mf_memory_limit_bytes __attribute__((weak));

/*
 * Zeroed memory for the runtime's own use, in whole pages, from where mmap
 * takes it. Returns NULL if there is not enough; whoever asked owns it.
 */
void *mf_pages_alloc(size_t bytes);

/* Gives back what mf_pages_alloc returned, or a whole number of its pages. */
void mf_pages_free(void *pages, size_t bytes);

/*
 * Sends the calling program this signal, as kill to itself does. Returns 0,
 * or -EINVAL for a number that is none; does not return when the signal's
 * default action ends the program.
 */
long mf_signal_send(int number);

#endif
