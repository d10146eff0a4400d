/* SPDX-License-Identifier: MIT */
/* The network device's control queue and receive filter (virtio 1.2, 5.1.6.5).
 */
#include "virtio/net_parts.h"

/* A command, copied from what the driver wrote. */
struct command {
    struct virtio_net_ctrl_hdr header;
    struct pieces data;            /* what follows the header, and ... */
    uint64_t bytes;                /* ... how much that is */
    struct coalesce_limits result; /* of the one command that has a result */
};

/* What VIRTIO_NET_CTRL_NOTF_COAL_VQ_* begins with. */
struct coal_vq {
    uint16_t index;
    uint16_t reserved; /* ignored */
};

#define CONTROL(class, command) \
    (VIRTIO_NET_CTRL_##class << 8 | VIRTIO_NET_CTRL_##class##_##command)

/* Takes the command's data. Returns whether it is exactly `bytes` long. */
static bool take_data(struct command *command, void *to, size_t bytes)
{
    return command->bytes == bytes && pieces_take(&command->data, to, bytes);
}

/* ---- The receive filter ------------------------------------------------- */

static bool is_group(const uint8_t *mac)
{
    return mac[0] & 1;
}

static bool is_broadcast(const uint8_t *mac)
{
    static const uint8_t broadcast[ETH_ALEN] = {0xff, 0xff, 0xff,
                                                0xff, 0xff, 0xff};

    return memcmp(mac, broadcast, ETH_ALEN) == 0;
}

static bool is_in_table(const struct net_macs *table, const uint8_t *mac)
{
    for (unsigned i = 0; i < table->count; i++)
        if (memcmp(table->macs[i], mac, ETH_ALEN) == 0)
            return true;
    return table->too_many;
}

bool net_filter_passes(const struct net *net, const uint8_t *mac)
{
    const struct net_filter *filter = &net->filter;
    const bool *modes = filter->modes;

    if (!net_has(net, NET_FEATURE(CTRL_RX)) ||
        modes[VIRTIO_NET_CTRL_RX_PROMISC])
        return true;
    if (is_broadcast(mac))
        return !modes[VIRTIO_NET_CTRL_RX_NOBCAST];
    if (is_group(mac))
        return !modes[VIRTIO_NET_CTRL_RX_NOMULTI] &&
               (modes[VIRTIO_NET_CTRL_RX_ALLMULTI] ||
                is_in_table(&filter->tables[1], mac));
    return !modes[VIRTIO_NET_CTRL_RX_NOUNI] &&
           (modes[VIRTIO_NET_CTRL_RX_ALLUNI] ||
            memcmp(net->config.mac, mac, ETH_ALEN) == 0 ||
            is_in_table(&filter->tables[0], mac));
}

static bool set_mode(struct net *net, struct command *command)
{
    bool is_extra = command->header.cmd > VIRTIO_NET_CTRL_RX_ALLMULTI;
    uint8_t on;

    if (!net_has(net, is_extra ? NET_FEATURE(CTRL_RX_EXTRA)
                               : NET_FEATURE(CTRL_RX)) ||
        !take_data(command, &on, sizeof(on)) || on > 1)
        return false;
    net->filter.modes[command->header.cmd] = on;
    return true;
}

/* Takes one table. Returns whether it is all there. */
static bool take_macs(struct command *command, struct net_macs *table)
{
    uint32_t count;
    uint64_t bytes;

    if (command->bytes < sizeof(count) ||
        !pieces_take(&command->data, &count, sizeof(count)))
        return false;
    command->bytes -= sizeof(count);
    bytes = (uint64_t)count * ETH_ALEN;
    if (bytes > command->bytes)
        return false;
    command->bytes -= bytes;
    table->too_many = count > NET_MACS_MAX;
    if (table->too_many)
        return pieces_skip(&command->data, bytes);
    table->count = count;
    return pieces_take(&command->data, table->macs, bytes);
}

static bool set_macs(struct net *net, struct command *command)
{
    struct net_macs tables[2] = {{.count = 0}, {.count = 0}};

    if (!net_has(net, NET_FEATURE(CTRL_RX)) ||
        !take_macs(command, &tables[0]) || !take_macs(command, &tables[1]) ||
        command->bytes > 0)
        return false;
    memcpy(net->filter.tables, tables, sizeof(tables));
    return true;
}

static bool set_mac(struct net *net, struct command *command)
{
    uint8_t mac[ETH_ALEN];

    if (!net_has(net, NET_FEATURE(CTRL_MAC_ADDR)) ||
        !take_data(command, mac, sizeof(mac)) || is_group(mac))
        return false;
    if (memcmp(net->config.mac, mac, sizeof(mac)) == 0)
        return true;
    memcpy(net->config.mac, mac, sizeof(mac));
    vdev_config_changed(&net->dev);
    return true;
}

/* What a driver may change after one start: it has no reason to do it often. */
#define OFFLOAD_CHANGES_MAX 64u

/* ---- Offloads and coalescing -------------------------------------------- */

int net_set_offloads(struct net *net, uint64_t offloads)
{
    struct net_backend *backend = net->backend;
    uint64_t tso = NET_FEATURE(GUEST_TSO4) | NET_FEATURE(GUEST_TSO6);
    uint64_t all = (NET_FEATURE(GUEST_CSUM) | tso) & net->dev.features;
    int error = 0;

    if ((offloads & ~all) ||
        ((offloads & tso) && !(offloads & NET_FEATURE(GUEST_CSUM))))
        return -EINVAL;
    if (backend->ops->set_offloads)
        error = backend->ops->set_offloads(backend, offloads);
    if (error)
        return error;
    net->offloads = offloads;
    net->offloads_are_set = true;
    return 0;
}

static bool set_guest_offloads(struct net *net, struct command *command)
{
    uint64_t offloads;

    if (!net_has(net, NET_FEATURE(CTRL_GUEST_OFFLOADS)) ||
        !take_data(command, &offloads, sizeof(offloads)))
        return false;
    /* Each is work for the whole host. */
    if (offloads != net->offloads &&
        net->offload_changes++ >= OFFLOAD_CHANGES_MAX)
        return false;
    return net_set_offloads(net, offloads) == 0;
}

static bool set_limits(struct net *net, struct command *command, unsigned index)
{
    struct coalesce_limits limits;

    if (!net_has(net, NET_FEATURE(NOTF_COAL)) ||
        !take_data(command, &limits, sizeof(limits)))
        return false;
    net_set_coalescing(net, index, limits);
    return true;
}

/*
 * Takes the queue that a command for one queue is about, and what follows.
 * Returns whether it is an enabled receive or transmit queue.
 */
static bool take_queue(struct net *net, struct command *command,
                       unsigned *index, size_t bytes)
{
    struct coal_vq vq;

    if (!net_has(net, NET_FEATURE(VQ_NOTF_COAL)) ||
        command->bytes != sizeof(vq) + bytes ||
        !pieces_take(&command->data, &vq, sizeof(vq)))
        return false;
    command->bytes -= sizeof(vq);
    *index = vq.index;
    return vq.index <= NET_TX && net->dev.queues[vq.index].enabled;
}

static bool set_queue_limits(struct net *net, struct command *command)
{
    struct coalesce_limits limits;
    unsigned index;

    if (!take_queue(net, command, &index, sizeof(limits)) ||
        !take_data(command, &limits, sizeof(limits)))
        return false;
    net_set_coalescing(net, index, limits);
    return true;
}

static bool get_queue_limits(struct net *net, struct command *command)
{
    unsigned index;

    if (!take_queue(net, command, &index, 0))
        return false;
    command->result = net->moderation[index].coalesce.limits;
    return true;
}

/* ---- Commands ----------------------------------------------------------- */

/* Does what the command says. Returns whether it was obeyed. */
static bool obey(struct net *net, struct command *command)
{
    switch (command->header.class << 8 | command->header.cmd) {
    case CONTROL(RX, PROMISC):
    case CONTROL(RX, ALLMULTI):
    case CONTROL(RX, ALLUNI):
    case CONTROL(RX, NOMULTI):
    case CONTROL(RX, NOUNI):
    case CONTROL(RX, NOBCAST):
        return set_mode(net, command);
    case CONTROL(MAC, TABLE_SET):
        return set_macs(net, command);
    case CONTROL(MAC, ADDR_SET):
        return set_mac(net, command);
    case CONTROL(GUEST_OFFLOADS, SET):
        return set_guest_offloads(net, command);
    case CONTROL(NOTF_COAL, RX_SET):
        return set_limits(net, command, NET_RX);
    case CONTROL(NOTF_COAL, TX_SET):
        return set_limits(net, command, NET_TX);
    case CONTROL(NOTF_COAL, VQ_SET):
        return set_queue_limits(net, command);
    case CONTROL(NOTF_COAL, VQ_GET):
        return get_queue_limits(net, command);
    default:
        return false;
    }
}

/* How much of the answer comes before the acknowledgement. */
static size_t result_bytes(const struct command *command)
{
    bool has_result = (command->header.class << 8 | command->header.cmd) ==
                      CONTROL(NOTF_COAL, VQ_GET);

    return has_result ? sizeof(command->result) : 0;
}

/*
 * Writes the answer: the result, where the command has one, as far as there is
 * room, and then the acknowledgement (5.1.6.5). Returns the bytes written.
 */
static size_t answer(const struct command *command, struct pieces *to,
                     uint64_t room, bool obeyed)
{
    uint8_t ack = obeyed ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
    size_t bytes = min_u64(result_bytes(command), room - 1);

    bytes = pieces_put(to, &command->result, bytes);
    return bytes + pieces_put(to, &ack, sizeof(ack));
}

/* Serves one command. Returns 1, 0 if there is none, or -EBADMSG. */
static int serve_command(struct net *net)
{
    struct virtq *q = &net->dev.queues[NET_CTRL];
    struct virtq_chain chain = {.iov = net->iov, .iov_max = NET_PIECES_MAX};
    struct command command = {.header = {.class = 0xff, .cmd = 0xff}};
    struct pieces to;
    bool obeyed = false;
    int found = virtq_pop(q, &chain);

    if (found <= 0)
        return found == -ENOSPC ? -EBADMSG : found;
    if (chain.writable_bytes == 0) {
        log_guest(&net->limit, "net stopped: command without room for an ack");
        return -EBADMSG;
    }
    command.data = (struct pieces){chain.iov, chain.readable_count};
    to =
        (struct pieces){chain.iov + chain.readable_count, chain.writable_count};
    if (chain.readable_bytes >= sizeof(command.header)) {
        (void)pieces_take(&command.data, &command.header,
                          sizeof(command.header));
        command.bytes = chain.readable_bytes - sizeof(command.header);
        obeyed = chain.writable_bytes > result_bytes(&command) &&
                 obey(net, &command);
    }
    size_t written = answer(&command, &to, chain.writable_bytes, obeyed);
    virtq_push(q, chain.head, (uint32_t)written);
    *(obeyed ? &net->stats.commands : &net->stats.refused) += 1;
    return 1;
}

int net_ctrl_serve(struct net *net)
{
    int error = -EINTR;

    if (!net_has(net, NET_FEATURE(CTRL_VQ)) ||
        !net->dev.queues[NET_CTRL].enabled)
        return 0;
    for (unsigned left = NET_SERVE_COMMANDS; left > 0; left--) {
        int found = serve_command(net);

        if (found == 1 || (found == 0 && vdev_ask_kick(&net->dev, NET_CTRL, 1)))
            continue;
        error = net->dev.queues[NET_CTRL].broken ? -EBADMSG : found;
        break;
    }
    vdev_publish(&net->dev, NET_CTRL);
    return error;
}
