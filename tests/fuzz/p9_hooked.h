/* SPDX-License-Identifier: MIT */
/* The 9P device once more, over a host that is made up. */
#ifndef TESTS_FUZZ_P9_HOOKED_H
#define TESTS_FUZZ_P9_HOOKED_H

/*
 * Every system call of the device comes to hooked_syscall(), hooked_os_close(),
 * hooked_os_preadv() or hooked_os_pwritev(), which the fuzzer defines.
 */

#include "tests/fuzz/hooked.h"

static long hooked_syscall(long number, ...);
static int hooked_os_close(int fd);
static ssize_t hooked_os_preadv(int fd, const struct iovec *iov, int count,
                                off_t offset);
static ssize_t hooked_os_pwritev(int fd, const struct iovec *iov, int count,
                                 off_t offset);
static uint64_t hooked_os_now_ns(void);

#undef os_syscall
#define os_syscall hooked_syscall
#define os_close   hooked_os_close
#define os_preadv  hooked_os_preadv
#define os_pwritev hooked_os_pwritev
#define os_now_ns  hooked_os_now_ns

/* Each answer is looked at as it is given back. */
static void give_back(struct virtq *q, uint16_t head, uint32_t written);

#define virtq_push give_back
#include "virtio/p9.c"
#undef virtq_push
#include "virtio/p9_attr.c"
#include "virtio/p9_fid.c"
#include "virtio/p9_file.c"
#include "virtio/p9_host.c"
#include "virtio/p9_message.c"
#include "virtio/p9_name.c"
#include "virtio/p9_session.c"

#endif
