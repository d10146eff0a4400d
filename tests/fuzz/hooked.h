/* SPDX-License-Identifier: MIT */
/* The devices once more, with their view of memory and host files hooked. */
#ifndef TESTS_FUZZ_HOOKED_H
#define TESTS_FUZZ_HOOKED_H

/*
 * A hostile guest changes its memory between two looks of the device. A second
 * thread would do that at times that no input can repeat. Here every use of
 * gmem_map() inside virtio/ comes to hooked_gmem_map() instead, which the
 * fuzzer defines: it lies between the copy of each descriptor and its use, and
 * between two descriptors. The library is linked too, so the copies have other
 * names.
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

#define virtq_enable             hooked_virtq_enable
#define virtq_reset              hooked_virtq_reset
#define virtq_pop                hooked_virtq_pop
#define virtq_unpop              hooked_virtq_unpop
#define virtq_has_chain          hooked_virtq_has_chain
#define virtq_push               hooked_virtq_push
#define virtq_publish            hooked_virtq_publish
#define virtq_wants_event        hooked_virtq_wants_event
#define virtq_set_kick_threshold hooked_virtq_set_kick_threshold
#define virtq_suppress_kicks     hooked_virtq_suppress_kicks

#define event_init         hooked_event_init
#define event_raise        hooked_event_raise
#define event_read         hooked_event_read
#define event_hold         hooked_event_hold
#define event_release      hooked_event_release
#define event_await        hooked_event_await
#define event_stop_waiting hooked_event_stop_waiting

#define vdev_init             hooked_vdev_init
#define vdev_bind             hooked_vdev_bind
#define vdev_reset            hooked_vdev_reset
#define vdev_set_status       hooked_vdev_set_status
#define vdev_set_features     hooked_vdev_set_features
#define vdev_enable_queue     hooked_vdev_enable_queue
#define vdev_disable_queue    hooked_vdev_disable_queue
#define vdev_read_config      hooked_vdev_read_config
#define vdev_is_live          hooked_vdev_is_live
#define vdev_serve            hooked_vdev_serve
#define vdev_mark_needs_reset hooked_vdev_mark_needs_reset
#define vdev_publish          hooked_vdev_publish
#define vdev_write_config     hooked_vdev_write_config
#define vdev_config_changed   hooked_vdev_config_changed
#define vdev_notify           hooked_vdev_notify
#define vdev_ask_kick         hooked_vdev_ask_kick
#define vdev_poll             hooked_vdev_poll
#define vdev_want             hooked_vdev_want
#define vdev_ready            hooked_vdev_ready
#define vdev_progress         hooked_vdev_progress

#define native_init          hooked_native_init
#define native_add           hooked_native_add
#define native_add_registers hooked_native_add_registers

#define vdev_set_add         hooked_vdev_set_add
#define vdev_set_serve       hooked_vdev_set_serve
#define vdev_set_count_kicks hooked_vdev_set_count_kicks
#define vdev_set_poll        hooked_vdev_set_poll
#define vdev_set_want        hooked_vdev_set_want
#define vdev_set_ready       hooked_vdev_set_ready
#define vdev_set_progress    hooked_vdev_set_progress

#define console_init   hooked_console_init
#define console_error  hooked_console_error
#define console_resize hooked_console_resize

#include "virtio/virtq.c"
#include "virtio/event.c"
#include "virtio/device.c"
#include "virtio/set.c"
#include "virtio/native.c"
#include "virtio/console.c"

#undef gmem_map

#endif
