/* SPDX-License-Identifier: MIT */
/* The kernel's file, found where its user-space headers are. */
#include "../../drivers/virtio/virtio_ring.c"
