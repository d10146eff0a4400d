/* SPDX-License-Identifier: MIT */
/* The network device's link to a tap interface of the host. */
#include "virtio/tap.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <net/if.h>

#include "vmm/base/os.h"

static struct tap *tap_of(struct net_backend *backend)
{
    return CONTAINER_OF(backend, struct tap, backend);
}

/* Puts the header in front of the frame. */
static void add_header(struct tap *tap, struct iovec *iov)
{
    iov[0] = (struct iovec){&tap->header, sizeof(tap->header)};
}

static ssize_t tap_receive(struct net_backend *backend, net_header *header,
                           struct iovec *iov, unsigned count)
{
    struct tap *tap = tap_of(backend);
    ssize_t bytes;

    add_header(tap, iov);
    bytes = os_readv(backend->fd, iov, (int)count);
    /* The host is short of memory: the frame is still there, or lost. */
    if (bytes == -ENOMEM || bytes == -ENOBUFS)
        return -EAGAIN;
    if (bytes == -EAGAIN || bytes == -EINTR)
        return bytes;
    /* It cannot describe or place this one frame, which is lost. */
    if (bytes == -EINVAL || bytes == -EFAULT)
        return bytes;
    if (bytes < (ssize_t)sizeof(tap->header)) {
        /* The interface was removed. */
        backend->gone = true;
        return bytes < 0 ? bytes : -EIO;
    }
    *header = tap->header;
    return bytes - (ssize_t)sizeof(tap->header);
}

static int tap_send(struct net_backend *backend, const net_header *header,
                    struct iovec *iov, unsigned count, size_t bytes)
{
    struct tap *tap = tap_of(backend);
    ssize_t sent;

    (void)bytes; /* a tap takes a frame or refuses it */
    tap->header = *header;
    add_header(tap, iov);
    sent = os_writev(backend->fd, iov, (int)count);
    return sent < 0 ? (int)sent : 0;
}

static int tap_set_offloads(struct net_backend *backend, uint64_t features)
{
    unsigned flags = 0;

    if (features & NET_FEATURE(GUEST_CSUM))
        flags |= TUN_F_CSUM;
    if (features & NET_FEATURE(GUEST_TSO4))
        flags |= TUN_F_TSO4;
    if (features & NET_FEATURE(GUEST_TSO6))
        flags |= TUN_F_TSO6;
    struct tap *tap = tap_of(backend);

    /* The host tells everybody of each change. */
    if (tap->offloads_known && tap->offloads == flags)
        return 0;
    int error = os_ioctl(backend->fd, TUNSETOFFLOAD, flags);
    tap->offloads_known = !error;
    tap->offloads = flags;
    return error;
}

static const struct net_backend_ops tap_ops = {
    .receive = tap_receive,
    .send = tap_send,
    .set_offloads = tap_set_offloads,
};

int tap_init(struct tap *tap, int fd)
{
    const short flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    struct ifreq interface = {0};

    *tap = (struct tap){
        .backend = {
            .ops = &tap_ops,
            .features = NET_FEATURE(CSUM) | NET_FEATURE(HOST_TSO4) |
                        NET_FEATURE(HOST_TSO6) | NET_FEATURE(GUEST_CSUM) |
                        NET_FEATURE(GUEST_TSO4) | NET_FEATURE(GUEST_TSO6),
            .fd = fd,
        }};
    if (os_ioctl(fd, TUNGETIFF, (uintptr_t)&interface))
        return -ENOTTY;
    return (interface.ifr_flags & flags) == flags ? 0 : -EINVAL;
}
