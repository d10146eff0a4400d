/* SPDX-License-Identifier: MIT */
/* The network device's used buffer notifications, coalesced. */
#include "virtio/net_parts.h"
#include "vmm/base/os.h"

/*
 * A notification is due: sends it unless the driver suppresses it now (2.7.7).
 * Suppressed ones are not owed: who takes the suppression back looks at the
 * ring himself.
 */
static void notify(struct net *net, unsigned index)
{
    struct net_moderation *moderation = &net->moderation[index];
    struct virtq *q = &net->dev.queues[index];
    bool wanted = virtq_wants_event(q, moderation->since);

    moderation->since = q->published;
    if (wanted) {
        moderation->sent++;
        vdev_notify(&net->dev);
    } else {
        moderation->suppressed++;
        event_release(net->dev.events, net->dev.event_bit);
    }
}

void net_publish(struct net *net, unsigned index, uint32_t packets)
{
    struct net_moderation *moderation = &net->moderation[index];
    struct coalesce *coalesce = &moderation->coalesce;
    struct virtq *q = &net->dev.queues[index];
    bool due;

    if (packets == 0)
        return;
    /* What the driver wants is asked when a notification is due, not now. */
    bool wanted = virtq_publish(q);
    (void)wanted;
    due = coalesce_add(coalesce, packets,
                       coalesce_is_on(coalesce) ? os_now_ns() : 0);
    /* A whole ring of used chains: there is little more to wait for. */
    if (!due && (uint16_t)(q->published - moderation->since) >= q->size)
        due = coalesce_flush(coalesce);
    if (due)
        notify(net, index);
}

bool net_is_batch_full(const struct net *net, unsigned index, uint32_t packets)
{
    const struct coalesce *coalesce = &net->moderation[index].coalesce;

    return packets >= NET_BATCH_FRAMES ||
           (coalesce_is_on(coalesce) &&
            coalesce->pending + packets >= coalesce->limits.max_packets);
}

void net_notify_due(struct net *net)
{
    for (unsigned i = NET_RX; i <= NET_TX; i++) {
        struct coalesce *coalesce = &net->moderation[i].coalesce;

        if (coalesce->pending == 0)
            continue;
        /* Waiting is for a guest that computes; one that sleeps hears now. */
        if (coalesce_expire(coalesce, os_now_ns()) ||
            (!event_hold(net->dev.events, net->dev.event_bit) &&
             coalesce_flush(coalesce)))
            notify(net, i);
    }
}

void net_set_coalescing(struct net *net, unsigned index,
                        struct coalesce_limits limits)
{
    if (coalesce_set(&net->moderation[index].coalesce, limits, os_now_ns()))
        notify(net, index);
}

uint64_t net_next_wake(const struct net *net)
{
    uint64_t wake_ns = VDEV_NEVER;

    for (unsigned i = NET_RX; i <= NET_TX; i++) {
        wake_ns =
            min_u64(wake_ns, coalesce_deadline(&net->moderation[i].coalesce));
        wake_ns = min_u64(wake_ns, net->limited_ns[i]);
    }
    return wake_ns;
}
