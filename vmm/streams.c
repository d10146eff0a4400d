/* SPDX-License-Identifier: MIT */
/* Connections that whoever runs a VM hands over to its guest. */
#include <errno.h>

#include "vmm/base/error.h"
#include "vmm/base/os.h"
#include "vmm/serve.h"

void mayfly_set_timeout(struct mayfly *vm, uint64_t timeout_ns)
{
    vm->options.timeout_ns = timeout_ns;
}

/*
 * Where the guest says that it listens, and how much it takes with a request
 * for a connection there; port 0: nowhere. Only the guest has anything of it if
 * that is not true.
 */
struct listening {
    uint32_t port, room;
};

_Static_assert(offsetof(struct mf_boot, listen_room) ==
                   offsetof(struct mf_boot, listen_port) + sizeof(uint32_t),
               "one piece of memory");

static struct listening read_listening(const struct mayfly *vm)
{
    gpa_t at = gpa(MF_BOOT_PAGE + offsetof(struct mf_boot, listen_port));
    struct listening listening;

    if (gmem_read(&vm->mem, at, &listening, sizeof(listening)))
        return (struct listening){0, 0};
    return listening;
}

int mayfly_offer(struct mayfly *vm, int fd, uint32_t guest_port, char *error)
{
    unsigned long calls = os_calls;
    struct listening to = {guest_port, 0};
    int result;

    if (!vm->loaded || !vm_has_sockets(&vm->options))
        return error_set(error, -EINVAL, "this VM has no socket device");
    if (guest_port == 0)
        to = read_listening(vm);
    if (to.port == 0)
        return error_set(error, -EINVAL, "the guest listens at no port yet");
    if (vm->has_io)
        io_lock(&vm->io);
    result = vsock_offer_ahead(&vm->vsock, fd, to.port, to.room);
    /* It finds the offer when it goes on; what is left is done then. */
    if (!result && vdev_serve(&vm->vsock.dev) == -EINTR)
        vm->unfinished = true;
    if (vm->has_io)
        io_unlock(&vm->io);
    vm->os_calls += os_calls - calls;
    return result ? error_system(error, result, "cannot offer a connection")
                  : 0;
}

void mayfly_get_stream_stats(const struct mayfly *vm,
                             struct mayfly_stream_stats *stats)
{
    const struct vsock *vsock = &vm->vsock;
    const struct vsock_stats *from = &vsock->stats;

    *stats = (struct mayfly_stream_stats){
        .offered = from->offered,
        .opened = from->opened,
        .refused = from->refused,
        .resets = from->resets,
        .in_bytes = from->in_bytes,
        .out_bytes = from->out_bytes,
        .open = vsock->used - vsock->lingering,
        .lingering = vsock->lingering,
    };
}

int mayfly_flush_streams(struct mayfly *vm, uint64_t timeout_ns)
{
    unsigned long calls = os_calls;
    uint64_t now;

    if (!vsock_has_output(&vm->vsock))
        return 0;
    now = os_now_ns();
    serve_flush_streams(vm, now + min_u64(timeout_ns, UINT64_MAX - now));
    vm->os_calls += os_calls - calls;
    return vsock_has_output(&vm->vsock) ? -ETIMEDOUT : 0;
}

_Static_assert(sizeof(struct mayfly_progress) ==
                       sizeof(struct vsock_progress) &&
                   offsetof(struct mayfly_progress, out_bytes) ==
                       offsetof(struct vsock_progress, out_bytes),
               "one meaning");
