/* SPDX-License-Identifier: MIT */
/* The VM's network card, for tests: the other end of its link, and frames. */
#ifndef TESTS_RING_LINK_H
#define TESTS_RING_LINK_H

#include <mayfly/net.h>

#include "guest_rt/net.h"
#include "tests/ring/vm.h"

#define HEADER_BYTES sizeof(net_header)
#define LARGEST      65550u

/* Every offload that a link can have. */
#define EVERYTHING                                                         \
    (NET_FEATURE(CSUM) | NET_FEATURE(HOST_TSO4) | NET_FEATURE(HOST_TSO6) | \
     NET_FEATURE(GUEST_CSUM) | NET_FEATURE(GUEST_TSO4) |                   \
     NET_FEATURE(GUEST_TSO6))

extern const uint8_t card_mac[NIC_MAC_BYTES];
extern struct nic_info card; /* once it is open */
extern int host;             /* the other end: frames as datagrams, each with
                                its header before it, as on a tap */
extern bool stuck;           /* it takes no frame */

/* A VM with an open card, without the features in `hidden`. */
void start_with(uint64_t hidden, uint16_t mtu, uint64_t offloads);

/* That, with nothing special. */
void set_up_card(void);

/* The host sends a frame whose contents depend on its number. */
void host_send(size_t bytes, uint32_t number);
void host_send_with(net_header header, size_t bytes, uint32_t number);

/* It finds such a frame, the same bytes, or none. */
void assert_host_receives(size_t bytes, uint32_t number);
void assert_host_receives_nothing(void);

/* Fills in such a frame. */
void make_frame(unsigned char *frame, size_t bytes, uint32_t number);

/* The guest waits for one frame. */
struct nic_buffer *receive_one(void);

void assert_is_frame(const struct nic_buffer *frame, size_t bytes,
                     uint32_t number);

/* Gives it back. */
void release(struct nic_buffer *frame);

/* Every buffer is in the receive ring, or was never used. */
void assert_no_buffer_is_lost(void);

/* Sends that much of VM_BUFFER; returns as nic_send() does. */
int send_bytes(size_t bytes, const struct nic_offload *offload);

/* The guest echoes `count` numbered frames, sent in batches, to the last. */
void echo_many(unsigned count, unsigned batch);

#endif
