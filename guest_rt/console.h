/* SPDX-License-Identifier: MIT */
/* Standard input, output and error over the virtio consoles. */
#ifndef GUEST_RT_CONSOLE_H
#define GUEST_RT_CONSOLE_H

/*
 * The first console in the device table carries descriptors 0 and 1, the
 * second one descriptor 2. Output is copied into a buffer and published to the
 * device, which writes it out when the guest exits or waits, when the ring is
 * full, and every few milliseconds while the guest computes: no exit for a
 * write. Bytes written to 1 and to 2 leave in the order of the calls: changing
 * from one to the other while the first has unwritten output costs one exit.
 *
 * The caller sees to it that only one thread at a time is in here. Nothing has
 * to be initialised.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "file.h"

/*
 * As readv() on descriptor 0: waits for input and reads straight into the
 * given buffers. Returns the bytes read, 0 at the end of the file, -EBADF if
 * there is no standard input, -EFAULT if a buffer is not in RAM, -EINVAL as
 * readv() does, or -EIO if the monitor has given up on the device.
 */
long console_readv(const struct iovec *iov, int count);

/*
 * As writev() on descriptor `fd`, 1 or 2. Returns the bytes taken, all of them
 * up to 2 GiB, -EBADF, -EFAULT, -EINVAL or -EIO as above. A buffer that is in
 * RAM but not mapped faults. What the host refuses later (a reader that is
 * gone, a full disk) ends the VM.
 */
long console_writev(int fd, const struct iovec *iov, int count);

/* Returns whether descriptor `fd`, 0 to 2, is a terminal on the host. */
bool console_is_tty(int fd);

/* Stores the terminal's size. Returns 0, or -ENOTTY if it has none. */
int console_size(struct winsize *size);

/* ---- Input, without waiting --------------------------------------------- */

/*
 * Asks for input into a buffer, which is the device's until console_input_end()
 * has returned it. Returns 0 or -EBADF. One at a time, and no console_readv()
 * meanwhile.
 */
int console_input_begin(void *buffer, size_t bytes);

/* Whether it is there; a look at shared memory. */
bool console_input_is_done(void);

/* Asks for an event, console_input_event(). Returns whether it is there. */
bool console_input_arm(void);
uint64_t console_input_event(void);

/* Has the device look for input now: one exit. */
void console_input_ask(void);

/*
 * Returns how much has come, 0 at the end of the file; -EAGAIN if it has not
 * and the caller will not wait; or -EIO.
 */
long console_input_end(bool wait);

/* ---- As open files (file.h) --------------------------------------------- */

extern const struct file_ops console_ops;

/* What descriptors 0 to 2 are at the start (file.c). */
extern struct file console_files[3];

/* Which of them this file is, or something else than 0 to 2. */
int console_number(const struct file *file);

/* Functions of console_ops; all but the first two where they are needed. */
long console_write(struct file *file, const struct iovec *iov, int count,
                   off_t offset);
long console_ioctl(struct file *file, unsigned request, long argument);
long console_read(struct file *file, const struct iovec *iov, int count,
                  off_t offset);
int console_stat(struct file *file, struct stat *stat);
uint32_t console_poll(struct file *file);

#endif
