/* SPDX-License-Identifier: MIT */
/* The devices once more, with their view of memory and host files hooked. */
#ifndef TESTS_FUZZ_HOOKED_H
#define TESTS_FUZZ_HOOKED_H

/*
 * A hostile guest changes its memory between two looks of the device. A second
 * thread would do that at times that no input can repeat. Here every use of
 * gmem_map() inside virtio/ comes to hooked_gmem_map() instead, which the
 * fuzzer defines: it lies between the copy of each descriptor and its use, and
 * between two descriptors. The library is linked too, but as an archive: what
 * is compiled along is not taken from there.
 */

#include "vmm/base/gmem.h"
#include "vmm/base/log.h"
#include "vmm/base/os.h"

static int hooked_gmem_map(const struct gmem *mem, gpa_t at, size_t bytes,
                           void **host);
static ssize_t hooked_os_readv(int fd, const struct iovec *iov, int count);
static ssize_t hooked_os_writev(int fd, const struct iovec *iov, int count);
static int hooked_os_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
static int hooked_os_ioctl(int fd, unsigned long request, uintptr_t argument);

#define gmem_map  hooked_gmem_map
#define os_readv  hooked_os_readv
#define os_writev hooked_os_writev
#define os_poll   hooked_os_poll
#define os_ioctl  hooked_os_ioctl

#include "virtio/virtq.c"
#include "virtio/event.c"
#include "virtio/device.c"
#include "virtio/set.c"
#include "virtio/native.c"
#include "virtio/console.c"

#undef gmem_map

#endif
