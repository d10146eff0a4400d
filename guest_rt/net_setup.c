/* SPDX-License-Identifier: MIT */
/* Network cards (virtio 1.2, 5.1): opening them, and commands. */
#include "net.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "runtime.h"
#include "syscalls.h"

#define NICS_MAX MF_DEVICES_MAX

/* Buffers for receiving. Few are shown at first: each costs a touched page. */
#define BUFFERS_MAX   512u
#define BUFFERS_FIRST 64u
#define BUFFER_BYTES  2048u

#define MTU_DEFAULT 1500u

#define FEATURE(name) (UINT64_C(1) << VIRTIO_NET_F_##name)
#define TSO_IN        (FEATURE(GUEST_TSO4) | FEATURE(GUEST_TSO6))
#define WANTED                                                               \
    (FEATURE(CSUM) | FEATURE(GUEST_CSUM) | FEATURE(MTU) | FEATURE(MAC) |     \
     TSO_IN | FEATURE(HOST_TSO4) | FEATURE(HOST_TSO6) | FEATURE(MRG_RXBUF) | \
     FEATURE(STATUS) | FEATURE(CTRL_VQ) | FEATURE(CTRL_RX) |                 \
     FEATURE(CTRL_MAC_ADDR) | FEATURE(NOTF_COAL))

static struct nic nics[NICS_MAX] __attribute__((section(".lbss")));

struct nic *nic_get(unsigned index)
{
    return index < NICS_MAX && nics[index].open ? &nics[index] : NULL;
}

bool nic_read_link(const struct nic *nic)
{
    uint16_t status = VIRTIO_NET_S_LINK_UP;

    if (device_has_feature(&nic->device, VIRTIO_NET_F_STATUS))
        device_read_config(&nic->device,
                           offsetof(struct virtio_net_config, status), &status,
                           sizeof(status));
    return status & VIRTIO_NET_S_LINK_UP;
}

/* ---- The control queue --------------------------------------------------- */

/* Does one command (5.1.6.5). Returns 0 or -errno. */
static int do_command(unsigned index, uint32_t can, uint8_t class, uint8_t what,
                      const void *data, size_t bytes)
{
    struct nic *nic = nic_get(index);
    struct nic_command *command;
    struct ring *ring;
    uint32_t unused;
    int error;

    if (!nic)
        return -ENODEV;
    if (!nic_can(nic, can))
        return -EOPNOTSUPP;
    command = &nic->command;
    *command = (struct nic_command){{class, what}, {0}, VIRTIO_NET_ERR};
    memcpy(command->data, data, bytes);
    ring = &nic->rings[NIC_CONTROL];
    ring_add(ring,
             (struct iovec[]){{command, sizeof(command->header) + bytes},
                              {&command->ack, sizeof(command->ack)}},
             1, 1);
    if (ring_publish(ring))
        device_kick(&nic->device, NIC_CONTROL);
    error = nic_wait_for(nic, ring);
    if (error)
        return error;
    ring_reap(ring, &unused);
    return command->ack == VIRTIO_NET_OK ? 0 : -EIO;
}

int nic_set_promiscuous(unsigned index, bool on)
{
    uint8_t value = on;

    return do_command(index, NIC_CAN_PROMISCUOUS, VIRTIO_NET_CTRL_RX,
                      VIRTIO_NET_CTRL_RX_PROMISC, &value, sizeof(value));
}

int nic_set_all_multicast(unsigned index, bool on)
{
    uint8_t value = on;

    return do_command(index, NIC_CAN_PROMISCUOUS, VIRTIO_NET_CTRL_RX,
                      VIRTIO_NET_CTRL_RX_ALLMULTI, &value, sizeof(value));
}

int nic_set_mac(unsigned index, const uint8_t mac[NIC_MAC_BYTES])
{
    int error = do_command(index, NIC_CAN_SET_MAC, VIRTIO_NET_CTRL_MAC,
                           VIRTIO_NET_CTRL_MAC_ADDR_SET, mac, NIC_MAC_BYTES);

    if (!error)
        memcpy(nics[index].mac, mac, NIC_MAC_BYTES);
    return error;
}

int nic_set_coalescing(unsigned index, uint32_t packets, uint32_t usecs)
{
    struct virtio_net_ctrl_coal_rx wish = {packets, usecs};

    return do_command(index, NIC_CAN_COALESCE, VIRTIO_NET_CTRL_NOTF_COAL,
                      VIRTIO_NET_CTRL_NOTF_COAL_RX_SET, &wish, sizeof(wish));
}

int nic_set_coalescing_sent(unsigned index, uint32_t packets, uint32_t usecs)
{
    struct virtio_net_ctrl_coal_tx wish = {packets, usecs};

    return do_command(index, NIC_CAN_COALESCE, VIRTIO_NET_CTRL_NOTF_COAL,
                      VIRTIO_NET_CTRL_NOTF_COAL_TX_SET, &wish, sizeof(wish));
}

/* ---- Opening ------------------------------------------------------------- */

/* What the features mean for programs. */
static uint32_t read_abilities(const struct nic *nic)
{
    static const struct {
        uint64_t features;
        uint32_t can;
    } table[] = {
        {FEATURE(CSUM), NIC_CAN_CHECKSUM_OUT},
        {FEATURE(GUEST_CSUM), NIC_CAN_CHECKSUM_IN},
        {FEATURE(HOST_TSO4), NIC_CAN_TSO4_OUT},
        {FEATURE(HOST_TSO6), NIC_CAN_TSO6_OUT},
        {FEATURE(GUEST_TSO4), NIC_CAN_TSO4_IN},
        {FEATURE(GUEST_TSO6), NIC_CAN_TSO6_IN},
        {FEATURE(CTRL_VQ) | FEATURE(CTRL_RX), NIC_CAN_PROMISCUOUS},
        {FEATURE(CTRL_VQ) | FEATURE(CTRL_MAC_ADDR), NIC_CAN_SET_MAC},
        {FEATURE(CTRL_VQ) | FEATURE(NOTF_COAL), NIC_CAN_COALESCE},
    };
    uint32_t can = 0;

    for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if ((nic->device.features & table[i].features) == table[i].features)
            can |= table[i].can;
    return can;
}

void nic_renew(struct nic *nic)
{
    if (device_has_feature(&nic->device, VIRTIO_NET_F_MAC)) {
        device_read_config(&nic->device,
                           offsetof(struct virtio_net_config, mac), nic->mac,
                           sizeof(nic->mac));
    } else {
        mf_random_fill(nic->mac, sizeof(nic->mac));
        nic->mac[0] = 2; /* locally administered, of one station (5.1.4.2) */
    }
}

/* Reads what does not change (5.1.4). */
static void read_config(struct nic *nic)
{
    nic->can = read_abilities(nic);
    nic->mtu = MTU_DEFAULT;
    if (device_has_feature(&nic->device, VIRTIO_NET_F_MTU))
        device_read_config(&nic->device,
                           offsetof(struct virtio_net_config, mtu), &nic->mtu,
                           sizeof(nic->mtu));
    nic_renew(nic);
}

/* How large buffers have to be, and how many there are (5.1.6.3.1). */
static void choose_buffers(struct nic *nic)
{
    uint32_t frame_bytes = NIC_HEADER_BYTES + NIC_ETHERNET_BYTES + nic->mtu;

    nic->buffer_bytes = BUFFER_BYTES;
    if (!device_has_feature(&nic->device, VIRTIO_NET_F_MRG_RXBUF) &&
        frame_bytes > BUFFER_BYTES)
        nic->buffer_bytes = (frame_bytes + 63) & ~63u;
    nic->buffer_count = nic->rings[NIC_RX].size;
    if (nic->buffer_count > BUFFERS_MAX)
        nic->buffer_count = BUFFERS_MAX;
    nic->fresh = nic->buffer_count;
}

/* One piece of memory, untouched: the small things first, then the buffers. */
static int allocate(struct nic *nic)
{
    size_t sent = nic->rings[NIC_TX].size;
    size_t buffers = nic->buffer_count * sizeof(*nic->buffers);
    size_t slots = sent * sizeof(*nic->slots);
    size_t headers = sent * sizeof(*nic->headers);
    size_t posted = nic->rings[NIC_RX].size * sizeof(*nic->posted);
    size_t small = (posted + slots + headers + buffers + MF_PAGE_BYTES - 1) &
                   -(size_t)MF_PAGE_BYTES;
    size_t pool = (size_t)nic->buffer_count * nic->buffer_bytes;
    long at = __mayfly_sys_mmap(0, (long)(small + pool), PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (at <= 0)
        return -ENOMEM;
    nic->slots = (struct nic_slot *)at;
    nic->buffers = (struct nic_buffer *)(at + (long)slots);
    nic->headers = (struct virtio_net_hdr_v1 *)(at + (long)(slots + buffers));
    nic->posted = (uint16_t *)(at + (long)(slots + buffers + headers));
    nic->pool = (unsigned char *)at + small;
    return 0;
}

/* Opens the card. Returns 0 or -errno. */
static int start(struct nic *nic, unsigned index)
{
    int error = device_open(&nic->device, VIRTIO_ID_NET, index, WANTED,
                            nic->rings, NIC_RINGS);

    if (error)
        return error;
    /* Without merging, a buffer would have to be as large as any frame. */
    if (!device_has_feature(&nic->device, VIRTIO_NET_F_MRG_RXBUF) &&
        nic->device.features & TSO_IN) {
        error = device_open(&nic->device, VIRTIO_ID_NET, index,
                            WANTED & ~TSO_IN, nic->rings, NIC_RINGS);
        if (error)
            return error;
    }
    read_config(nic);
    choose_buffers(nic);
    error = allocate(nic);
    if (error)
        return error;
    /* The card is told of them when the program begins to receive. */
    nic_post_fresh(nic, BUFFERS_FIRST);
    nic->open = true;
    return 0;
}

int nic_count(void)
{
    return (int)device_count(VIRTIO_ID_NET);
}

int nic_open(unsigned index, struct nic_info *info)
{
    struct nic *nic;
    int error;

    if (index >= NICS_MAX)
        return -ENODEV;
    nic = &nics[index];
    error = nic->open ? 0 : start(nic, index);
    if (error)
        return error;
    nic->linked = nic_read_link(nic);
    *info = (struct nic_info){
        .mtu = nic->mtu,
        .link_up = nic->linked,
        .can = nic->can,
        .buffers = nic->buffer_count,
        .buffer_bytes = nic->buffer_bytes,
    };
    memcpy(info->mac, nic->mac, NIC_MAC_BYTES);
    return 0;
}

int nic_read_stats(unsigned index, struct nic_stats *stats)
{
    struct nic *nic = nic_get(index);

    if (!nic)
        return -ENODEV;
    *stats = nic->stats;
    return 0;
}
