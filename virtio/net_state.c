/* SPDX-License-Identifier: MIT */
/* What a driver made of the network device, for another device to go on with.
 */
#include "virtio/net_parts.h"

/*
 * The address is not among it: whoever makes the other device gives it one. A
 * driver that goes on there finds a new configuration.
 */
struct net_state {
    uint64_t offloads;                /* GUEST_* that received frames may use */
    struct coalesce_limits limits[2]; /* by queue */
    uint32_t mac_counts[2];           /* of the filter's tables */
    uint8_t modes[6];                 /* of the filter: 0 or 1 */
    uint8_t too_many[2];              /* 0 or 1, by table */
    uint8_t macs[2][NET_MACS_MAX][ETH_ALEN];
};

_Static_assert(sizeof(struct net_state) == 808 &&
                   sizeof(struct net_state) <= VDEV_EXTRA_MAX,
               "part of the format of snapshots");

size_t net_save(const struct vdev *dev, void *to)
{
    const struct net *net = CONTAINER_OF(dev, struct net, dev);
    struct net_state state = {.offloads = net->offloads};

    for (unsigned i = 0; i < ARRAY_SIZE(state.modes); i++)
        state.modes[i] = net->filter.modes[i];
    for (unsigned i = 0; i < 2; i++) {
        const struct net_macs *table = &net->filter.tables[i];

        state.limits[i] = net->moderation[i].coalesce.limits;
        state.mac_counts[i] = table->count;
        state.too_many[i] = table->too_many;
        memcpy(state.macs[i], table->macs, sizeof(state.macs[i]));
    }
    memcpy(to, &state, sizeof(state));
    return sizeof(state);
}

static int load_filter(struct net *net, const struct net_state *state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(state->modes); i++)
        net->filter.modes[i] = state->modes[i] != 0;
    for (unsigned i = 0; i < 2; i++) {
        struct net_macs *table = &net->filter.tables[i];

        if (state->mac_counts[i] > NET_MACS_MAX)
            return -EINVAL;
        table->count = state->mac_counts[i];
        table->too_many = state->too_many[i] != 0;
        memcpy(table->macs, state->macs[i], sizeof(table->macs));
    }
    return 0;
}

int net_load(struct vdev *dev, const void *from, size_t bytes)
{
    struct net *net = net_of(dev);
    struct net_state state;
    int error;

    if (bytes != sizeof(state))
        return -EINVAL;
    memcpy(&state, from, sizeof(state));
    error = load_filter(net, &state);
    if (error)
        return error;
    for (unsigned i = NET_RX; i <= NET_TX; i++) {
        net->moderation[i].since = dev->queues[i].published;
        net_set_coalescing(net, i, state.limits[i]);
    }
    /* 0: the driver has not asked to receive yet, or asked for none. */
    return state.offloads ? net_set_offloads(net, state.offloads) : 0;
}
