/* SPDX-License-Identifier: MIT */
/* The 9P device once more, over a host that is made up. */
#ifndef TESTS_FUZZ_P9_HOOKED_H
#define TESTS_FUZZ_P9_HOOKED_H

/*
 * Every system call of the device comes to hooked_syscall(), hooked_os_close(),
 * hooked_os_preadv() or hooked_os_pwritev(), which the fuzzer defines. The
 * library is linked too, so what is public has other names here.
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

#define p9_init             hooked_p9_init
#define p9_fini             hooked_p9_fini
#define p9_take_u8          hooked_p9_take_u8
#define p9_take_u16         hooked_p9_take_u16
#define p9_take_u32         hooked_p9_take_u32
#define p9_take_u64         hooked_p9_take_u64
#define p9_take_string      hooked_p9_take_string
#define p9_is_complete      hooked_p9_is_complete
#define p9_put_u8           hooked_p9_put_u8
#define p9_put_u16          hooked_p9_put_u16
#define p9_put_u32          hooked_p9_put_u32
#define p9_put_u64          hooked_p9_put_u64
#define p9_put_string       hooked_p9_put_string
#define p9_store            hooked_p9_store
#define p9_gather           hooked_p9_gather
#define p9_scatter          hooked_p9_scatter
#define p9_window_open      hooked_p9_window_open
#define p9_window_close     hooked_p9_window_close
#define p9_find_fid         hooked_p9_find_fid
#define p9_find_whole       hooked_p9_find_whole
#define p9_add_fid          hooked_p9_add_fid
#define p9_drop_fid         hooked_p9_drop_fid
#define p9_drop_all_fids    hooked_p9_drop_all_fids
#define p9_path             hooked_p9_path
#define p9_rename_paths     hooked_p9_rename_paths
#define p9_copy             hooked_p9_copy
#define p9_check_name       hooked_p9_check_name
#define p9_enter            hooked_p9_enter
#define p9_leave            hooked_p9_leave
#define p9_host_open        hooked_p9_host_open
#define p9_host_find        hooked_p9_host_find
#define p9_host_find_parent hooked_p9_host_find_parent
#define p9_host_open_plain  hooked_p9_host_open_plain
#define p9_host_stat        hooked_p9_host_stat
#define p9_host_stat_fid    hooked_p9_host_stat_fid
#define p9_qid_type         hooked_p9_qid_type
#define p9_put_qid          hooked_p9_put_qid
#define p9_version          hooked_p9_version
#define p9_attach           hooked_p9_attach
#define p9_walk             hooked_p9_walk
#define p9_clunk            hooked_p9_clunk
#define p9_flush            hooked_p9_flush
#define p9_unsupported      hooked_p9_unsupported
#define p9_lopen            hooked_p9_lopen
#define p9_lcreate          hooked_p9_lcreate
#define p9_read             hooked_p9_read
#define p9_write            hooked_p9_write
#define p9_readdir          hooked_p9_readdir
#define p9_fsync            hooked_p9_fsync
#define p9_lock             hooked_p9_lock
#define p9_getlock          hooked_p9_getlock
#define p9_mkdir            hooked_p9_mkdir
#define p9_symlink          hooked_p9_symlink
#define p9_link             hooked_p9_link
#define p9_mknod            hooked_p9_mknod
#define p9_readlink         hooked_p9_readlink
#define p9_unlinkat         hooked_p9_unlinkat
#define p9_remove           hooked_p9_remove
#define p9_rename           hooked_p9_rename
#define p9_renameat         hooked_p9_renameat
#define p9_getattr          hooked_p9_getattr
#define p9_setattr          hooked_p9_setattr
#define p9_statfs           hooked_p9_statfs

/* Each answer is looked at as it is given back. */
static void give_back(struct virtq *q, uint16_t head, uint32_t written);

#undef virtq_push
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
