/* SPDX-License-Identifier: MIT */
/* A VM's devices: which there are, behind which transport. */
#include "vmm/devices.h"

#include <errno.h>
#include <string.h>

#include "vmm/base/error.h"
#include "vmm/base/os.h"

/*
 * How long news of packets may be put off for a guest that computes: it is told
 * of this many at once, or after this long.
 */
static const struct coalesce_limits moderation = {
    .max_packets = 64,
    .max_usecs = 250,
};

/* ---- Making them --------------------------------------------------------- */

unsigned devices_count(const struct mayfly_options *options)
{
    return VM_CONSOLES + options->disk_count + options->net_count +
           options->share_count + options->entropy + options->balloon +
           vm_has_sockets(options);
}

/* Puts one behind the VM's transport. */
static int add(struct mayfly *vm, struct vdev *dev, uint32_t flags)
{
    unsigned index = vm->native.set.count;

    if (vm->states)
        return native_load(&vm->native, dev, flags, &vm->states[index]);
    if (vm->options.transport == MAYFLY_TRANSPORT_NATIVE)
        return native_add(&vm->native, dev, flags);
    if (index == MF_DEVICES_MAX)
        return -ENOSPC;
    int error = native_add_registers(&vm->native, dev, flags,
                                     MF_REGISTERS + index * MF_REGISTERS_BYTES,
                                     &mmio_transport);
    if (!error)
        mmio_init(&vm->registers[index], dev);
    return error;
}

static int add_consoles(struct mayfly *vm)
{
    const struct mayfly_options *options = &vm->options;
    int result;

    console_init(&vm->console, options->in, options->out, CONSOLE_OUT_CHAINS);
    vm->console.lossy = options->lossy;
    result = add(vm, &vm->console.dev, vm->console.flags);
    if (result)
        return result;
    console_init(&vm->errors, -1, options->err, CONSOLE_ERR_CHAINS);
    vm->errors.lossy = options->lossy;
    return add(vm, &vm->errors.dev, vm->errors.flags);
}

/* Large queues for few disks, small ones for many: all have to fit. */
static uint32_t disk_queue_size(const struct mayfly_options *options)
{
    if (options->disk_count <= 2)
        return BLK_QUEUE_MAX;
    return options->disk_count <= 4 ? BLK_QUEUE_MAX / 2 : BLK_QUEUE_MAX / 4;
}

/* Their numbers are their places in the options. */
static int add_disks(struct mayfly *vm, char *error)
{
    const struct mayfly_options *options = &vm->options;

    for (unsigned i = 0; i < options->disk_count; i++) {
        const struct mayfly_disk *from = &options->disks[i];
        struct blk_options disk = {
            .fd = from->fd,
            .read_only = from->read_only,
            .id = from->id,
            .queue_size = disk_queue_size(options),
            .rate = {from->rate.ops_per_s, from->rate.bytes_per_s},
        };
        int result = blk_init(&vm->disks[i], &disk);

        if (!result)
            result = add(vm, &vm->disks[i].dev, 0);
        if (result == -EINVAL && vm->states)
            return error_set(error, result,
                             "disk %u has not the size that the guest knows",
                             i);
        if (result)
            return error_system(error, result, "cannot add disk %u", i);
    }
    return 0;
}

static int set_nonblocking(int fd)
{
    long flags = os_syscall(SYS_fcntl, fd, F_GETFL);

    if (flags < 0 || flags & O_NONBLOCK)
        return flags < 0 ? (int)flags : 0;
    return (int)os_syscall(SYS_fcntl, fd, F_SETFL, flags | O_NONBLOCK);
}

/* The given address, or a random one of the locally administered (802). */
static int choose_mac(const uint8_t given[6], uint8_t mac[6])
{
    static const uint8_t none[6];

    memcpy(mac, given, 6);
    if (memcmp(mac, none, 6) != 0)
        return 0;
    ssize_t got = os_getrandom(mac, 6);
    mac[0] = (uint8_t)((mac[0] & ~1u) | 2u);
    return got == 6 ? 0 : -EIO;
}

static int connect_net(const struct mayfly_net *from, struct vm_net *net,
                       struct net_backend **backend)
{
    if (from->kind == MAYFLY_NET_TAP) {
        *backend = &net->tap.backend;
        return tap_init(&net->tap, from->fd);
    }
    *backend = &net->stream.backend;
    stream_init(&net->stream, from->fd);
    return 0;
}

/* One network has room for the large queues that make its exits few. */
static uint32_t net_queue_size(const struct mayfly_options *options)
{
    return options->net_count == 1 ? NET_QUEUE_MAX : NET_QUEUE_MAX / 2;
}

static int add_net(struct mayfly *vm, const struct mayfly_net *from,
                   struct vm_net *net)
{
    struct net_options options = {
        .mtu = from->mtu,
        .queue_size = net_queue_size(&vm->options),
        .rates = {{from->rate.ops_per_s, from->rate.bytes_per_s},
                  {from->rate.ops_per_s, from->rate.bytes_per_s}},
    };
    int result = set_nonblocking(from->fd);

    if (!result)
        result = choose_mac(from->mac, options.mac);
    if (result)
        return result;
    result = connect_net(from, net, &options.backend);
    if (!result)
        result = net_init(&net->net, &options);
    if (!result)
        result = add(vm, &net->net.dev, 0);
    /* Drivers of the other transport ask for it themselves. */
    if (!result && !vm->states &&
        vm->options.transport == MAYFLY_TRANSPORT_NATIVE)
        net_set_default_coalescing(&net->net, moderation);
    return result;
}

static int add_nets(struct mayfly *vm, char *error)
{
    const struct mayfly_options *options = &vm->options;

    for (unsigned i = 0; i < options->net_count; i++) {
        int result = add_net(vm, &options->nets[i], &vm->nets[i]);

        if (result)
            return error_system(error, result, "cannot add network %u", i);
    }
    return 0;
}

/* Their tags are "share0" and so on, for drivers that go by them. */
static int add_shares(struct mayfly *vm, char *error)
{
    for (unsigned i = 0; i < vm->options.share_count; i++) {
        const struct mayfly_share *from = &vm->options.shares[i];
        char tag[] = {'s', 'h', 'a', 'r', 'e', (char)('0' + i), '\0'};
        struct p9_options share = {
            .fd = from->fd,
            .read_only = from->read_only,
            .tag = tag,
            .queue_size =
                vm->options.share_count <= 2 ? P9_QUEUE_MAX : P9_QUEUE_MAX / 2,
            .rate = {from->rate.ops_per_s, from->rate.bytes_per_s},
        };
        int result = p9_init(&vm->shares[i], &share);

        if (!result)
            result = add(vm, &vm->shares[i].dev, 0);
        if (result)
            return error_system(error, result, "cannot add share %u", i);
    }
    return 0;
}

static int add_stream(struct mayfly *vm, const struct mayfly_stream *from)
{
    int result = set_nonblocking(from->fd);

    if (result)
        return result;
    return from->connected
               ? vsock_offer(&vm->vsock, from->fd, from->guest_port)
               : vsock_listen(&vm->vsock, from->fd, from->guest_port);
}

static int add_streams(struct mayfly *vm, char *error)
{
    const struct mayfly_options *options = &vm->options;
    const struct vsock_options sockets = {
        .broker = options->connect_count > 0 ? options->connect_fd : -1,
        .connect_count = options->connect_count,
        .progress = (struct vsock_progress *)options->progress,
    };
    int result = 0;

    if (!vm_has_sockets(options))
        return 0;
    if (options->connect_count > 0)
        result = set_nonblocking(options->connect_fd);
    if (!result)
        result = vsock_init(&vm->vsock, &sockets);
    if (!result)
        result = add(vm, &vm->vsock.dev, 0);
    if (result)
        return error_system(error, result, "cannot add the socket device");
    for (unsigned i = 0; i < options->stream_count; i++) {
        result = add_stream(vm, &options->streams[i]);
        if (result)
            return error_system(error, result, "cannot add stream %u", i);
    }
    return 0;
}

/* Others have no pages yet: to look at them would give them some. */
void devices_remove(struct mayfly *vm)
{
    if (vm_has_sockets(&vm->options))
        vsock_fini(&vm->vsock);
    for (unsigned i = 0; i < vm->options.share_count; i++)
        p9_fini(&vm->shares[i]);
}

static int add_all(struct mayfly *vm, char *error)
{
    int result = native_init(&vm->native, &vm->mem);

    if (!result)
        result = add_consoles(vm);
    if (result)
        return error_system(error, result, "cannot add the consoles");
    result = add_disks(vm, error);
    if (!result)
        result = add_nets(vm, error);
    if (!result)
        result = add_shares(vm, error);
    if (result)
        return result;
    if (vm->options.entropy) {
        rng_init(&vm->rng);
        result = add(vm, &vm->rng.dev, 0);
    }
    if (!result && vm->options.balloon) {
        balloon_init(&vm->balloon);
        result = add(vm, &vm->balloon.dev, 0);
    }
    if (result)
        return error_system(error, result, "cannot add all devices");
    return add_streams(vm, error);
}

int devices_add(struct mayfly *vm, const struct native_state *states,
                char *error)
{
    int result;

    vm->states = states;
    result = add_all(vm, error);
    vm->states = NULL;
    return result;
}

bool mayfly_has_terminal(const struct mayfly *vm)
{
    return (vm->console.flags | vm->errors.flags) &
           (MF_DEVICE_IN_TTY | MF_DEVICE_OUT_TTY);
}

/* ---- Registers ------------------------------------------------------- */

/* One access to a device's registers, under the lock where that is needed. */
static unsigned access_registers(struct mayfly *vm, struct mmio *registers,
                                 uint64_t offset,
                                 const struct vcpu_access *access)
{
    uint64_t device = UINT64_C(1) << (registers - vm->registers);
    bool lock = vm->has_io && (vm->io.mask & device) && mmio_needs_lock(offset);
    uint8_t data[sizeof(access->data)];
    unsigned effects = 0;

    if (lock)
        io_lock(&vm->io);
    if (access->is_write) {
        effects = mmio_write(registers, offset, access->data, access->bytes);
    } else {
        mmio_read(registers, offset, data, access->bytes);
        vcpu_set_mmio_data(&vm->vcpu, data, access->bytes);
    }
    if (lock)
        io_unlock(&vm->io);
    return effects;
}

bool devices_access(struct mayfly *vm, const struct vcpu_access *access,
                    uint64_t *serve, bool *kicked)
{
    uint64_t offset = access->address - MF_REGISTERS;
    uint64_t index = offset / MF_REGISTERS_BYTES;

    *serve = 0;
    *kicked = false;
    if (vm->options.transport != MAYFLY_TRANSPORT_MMIO ||
        access->address < MF_REGISTERS || index >= vm->native.set.count)
        return false;
    unsigned effects = access_registers(vm, &vm->registers[index],
                                        offset % MF_REGISTERS_BYTES, access);
    if (effects)
        *serve = UINT64_C(1) << index;
    *kicked = effects & MMIO_KICKED;
    return true;
}

/* ---- Counts ---------------------------------------------------------- */

static void get_disk_stats(const struct mayfly *vm, struct mayfly_stats *stats)
{
    stats->disk_count = vm->options.disk_count;
    for (unsigned i = 0; i < stats->disk_count; i++) {
        const struct blk *disk = &vm->disks[i];

        stats->disks[i] = (struct mayfly_disk_stats){
            .requests = disk->requests,
            .read_bytes = disk->read_bytes,
            .written_bytes = disk->written_bytes,
            .flushes = disk->flushes,
            .errors = disk->errors,
        };
    }
}

static void get_net_stats(const struct mayfly *vm, struct mayfly_stats *stats)
{
    stats->net_count = vm->options.net_count;
    for (unsigned i = 0; i < stats->net_count; i++) {
        const struct net_stats *from = &vm->nets[i].net.stats;

        stats->nets[i] = (struct mayfly_net_stats){
            .rx_frames = from->rx_frames,
            .rx_bytes = from->rx_bytes,
            .rx_dropped = from->rx_dropped + from->rx_filtered,
            .tx_frames = from->tx_frames,
            .tx_bytes = from->tx_bytes,
            .tx_dropped = from->tx_dropped + from->tx_errors,
        };
    }
}

static void get_share_stats(const struct mayfly *vm, struct mayfly_stats *stats)
{
    stats->share_count = vm->options.share_count;
    for (unsigned i = 0; i < stats->share_count; i++) {
        const struct p9 *share = &vm->shares[i];

        stats->shares[i] = (struct mayfly_share_stats){
            .requests = share->requests,
            .read_bytes = share->read_bytes,
            .written_bytes = share->written_bytes,
            .errors = share->errors,
        };
    }
}

static struct mayfly_device_stats device_stats(const struct vdev *dev)
{
    struct mayfly_device_stats stats = {
        .name = dev->class->name,
        .kicks = dev->kicks,
        .notifications = dev->events_sent,
    };

    for (unsigned q = 0; q < dev->class->queue_count; q++) {
        const struct virtq_stats *queue = &dev->queues[q].stats;

        stats.requests += queue->chains;
        stats.batches += queue->batches;
        stats.batch_max = max_u64(stats.batch_max, queue->batch_max);
        stats.suppressed += queue->suppressed;
    }
    return stats;
}

void devices_get_stats(const struct mayfly *vm, struct mayfly_stats *stats)
{
    stats->output_bytes = vm->console.output_bytes + vm->errors.output_bytes;
    stats->output_writes = vm->console.output_writes + vm->errors.output_writes;
    stats->input_bytes = vm->console.input_bytes;
    get_disk_stats(vm, stats);
    get_net_stats(vm, stats);
    get_share_stats(vm, stats);
    stats->has_streams = vm_has_sockets(&vm->options);
    mayfly_get_stream_stats(vm, &stats->streams);
    stats->returned_bytes = vm->balloon.freed_bytes;
    stats->device_count = vm->native.set.count;
    for (unsigned i = 0; i < stats->device_count; i++)
        stats->devices[i] = device_stats(vm->native.set.devices[i]);
}
