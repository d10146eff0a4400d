/* SPDX-License-Identifier: MIT */
/* A VM without KVM whose devices have an I/O thread, and its guest. */
#include "tests/threads/machine.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <x86intrin.h>

#define RAM_BYTES (UINT64_C(4) << 20)
#define TSC_KHZ   1000000u /* nearly right is enough */

struct machine_under_test machine;

uint64_t (*mf_before_sleep)(uint64_t deadline_ns);

static struct kvm_run run_page;
static struct tick no_tick; /* nothing computes: it is never armed */

/* ---- Hypercalls --------------------------------------------------------- */

static long wait_for_event(uint64_t seen, uint64_t until_ns)
{
    struct mayfly *vm = &machine.vm;
    int failure;

    machine.waits++;
    failure = serve_wait(vm, seen, until_ns, &machine.result, &machine.ended);
    CHECK(!failure, "serve_wait: %d", failure);
    return (long)run_page.s.regs.regs.rax;
}

long mf_hypercall(unsigned number, uint64_t a, uint64_t b)
{
    if (number == MF_HC_WAIT)
        return wait_for_event(a, b);
    CHECK(number == MF_HC_KICK, "hypercall %u", number);
    machine.kicks++;
    machine.ended |= serve_kick(&machine.vm, a, true, &machine.result);
    CHECK(machine.vm.io.started || machine.vm.options.io == MAYFLY_IO_AUTO,
          "the first kick starts the I/O thread");
    return 0;
}

uint64_t mf_tsc(void)
{
    return __rdtsc();
}

/* ---- Life cycle --------------------------------------------------------- */

static void map_ram(struct gmem *mem)
{
    void *ram = mmap((void *)MF_BOOT_PAGE, RAM_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    CHECK(ram == (void *)MF_BOOT_PAGE, "cannot map guest memory");
    *mem = (struct gmem){
        .regions = {{MF_BOOT_PAGE, RAM_BYTES, ram}},
        .count = 1,
    };
    mf_boot_page()->mem_bytes = MF_BOOT_PAGE + RAM_BYTES;
}

static void add_device(struct vdev *dev, const struct machine_options *options)
{
    if (options->by_flag)
        dev->offered &= ~(UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX);
    int error = native_add(&machine.vm.native, dev, 0);

    CHECK(!error, "native_add: %d", error);
}

static void add_devices(const struct machine_options *options)
{
    int fds[2];

    CHECK(pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0, "no pipe");
    machine.feed_fd = fds[1];
    echo_init(&machine.echo);
    source_init(&machine.source, fds[0]);
    machine.echo.short_serves = options->short_serves;
    machine.source.short_serves = options->short_serves;
    add_device(&machine.echo.dev, options);
    add_device(&machine.source.dev, options);
}

static void open_devices(void)
{
    int error = device_open(&machine.echo_device, ECHO_TYPE, 0, 0,
                            &machine.echo_ring, 1);

    if (!error)
        error = device_open(&machine.source_device, SOURCE_TYPE, 0, 0,
                            &machine.source_ring, 1);
    CHECK(!error, "device_open: %d", error);
}

void machine_start(const struct machine_options *options)
{
    struct mayfly *vm = &machine.vm;

    memset(&machine, 0, sizeof(machine));
    memset(&run_page, 0, sizeof(run_page));
    vm->options = (struct mayfly_options){
        .io = options->parks ? MAYFLY_IO_AUTO : MAYFLY_IO_THREAD,
        .poll_ns = options->poll_ns,
    };
    vm->vcpu.run = &run_page;
    vm->tick = &no_tick;
    vm->deadline_ns = UINT64_MAX;
    map_ram(&vm->mem);
    clock_init(&vm->clock, TSC_KHZ);
    CHECK(!clock_publish(&vm->clock, &vm->mem), "no clock");
    CHECK(!native_init(&vm->native, &vm->mem), "no event word");
    CHECK(!upcall_init(&vm->upcalls, &vm->mem, &vm->native.events,
                       options->upcall),
          "no upcalls");
    atomic_store(&vm->computing, true);
    add_devices(options);
    CHECK(!serve_prepare(vm), "no I/O thread");
    CHECK(vm->has_io, "no device for an I/O thread");
    atomic_store(&vm->thread, gettid());
    open_devices();
}

void machine_activate(void)
{
    struct io *io = &machine.vm.io;

    /* serve.c waits for more exits, or a time to pass, before it does so. */
    if (io->started && io_is_parked(io))
        io_activate(io);
}

void machine_stop(void)
{
    struct mayfly *vm = &machine.vm;

    if (!machine.ended)
        machine.result.end = MAYFLY_STOPPED;
    serve_finish(vm, &machine.result);
    CHECK(!vm->io.started, "the I/O thread runs on");
    atomic_store(&vm->thread, 0);
    serve_end(vm);
    close(machine.source.fd);
    close(machine.feed_fd);
    munmap((void *)MF_BOOT_PAGE, RAM_BYTES);
}

/* ---- Reset -------------------------------------------------------------- */

static void bring_up(struct vdev *dev, const struct device *device)
{
    const struct mf_queue *queue = device_queue(device->entry, 0);
    struct virtq_layout layout = {gpa(queue->desc), gpa(queue->avail),
                                  gpa(queue->used), queue->size};

    vdev_set_status(dev, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    vdev_set_status(dev, VIRTIO_CONFIG_S_DRIVER);
    vdev_set_features(dev, device->features);
    vdev_set_status(dev, VIRTIO_CONFIG_S_FEATURES_OK);
    CHECK(!vdev_enable_queue(dev, 0, &layout), "the queue is refused");
    vdev_set_status(dev, VIRTIO_CONFIG_S_DRIVER_OK);
    CHECK(vdev_is_live(dev), "status %#x", dev->status);
}

void machine_reset_device(struct vdev *dev, struct device *device,
                          struct ring *ring, void (*drain)(void))
{
    const struct mf_queue *queue = device_queue(device->entry, 0);
    struct io *io = &machine.vm.io;

    io_lock(io);
    vdev_set_status(dev, 0);
    io_unlock(io);
    /* What the device had shown before, is there. */
    drain();
    memset((void *)queue->desc, 0, virtq_desc_bytes(queue->size));
    memset((void *)queue->avail, 0, virtq_avail_bytes(queue->size));
    memset((void *)queue->used, 0, virtq_used_bytes(queue->size));
    ring_init(ring, queue, device->features);
    io_lock(io);
    bring_up(dev, device);
    io_unlock(io);
}

/* ---- For a machine that has come to a halt ------------------------------ */

static void dump_device(const char *name, struct vdev *dev,
                        const struct ring *ring)
{
    const struct virtq *q = &dev->queues[0];

    fprintf(stderr,
            "%s: device: status %#x, polled %d, popped %u, pushed %u, "
            "published %u\n"
            "  driver: added %u, published %u, reaped %u\n"
            "  shared: avail %u (flags %u, used_event %u), "
            "used %u (flags %u, avail_event %u)\n",
            name, dev->status, dev->polled, q->popped, q->pushed, q->published,
            ring->added, ring->published, ring->reaped, ring->avail->idx,
            ring->avail->flags, ring->avail->ring[ring->size], ring->used->idx,
            ring->used->flags, *(uint16_t *)&ring->used->ring[ring->size]);
}

void machine_dump(void)
{
    struct mayfly *vm = &machine.vm;
    int unread = 0;

    ioctl(machine.source.fd, FIONREAD, &unread);
    dump_device("echo", &machine.echo.dev, &machine.echo_ring);
    dump_device("source", &machine.source.dev, &machine.source_ring);
    fprintf(stderr,
            "event word %#llx; %d bytes unread\n"
            "guest's bell: asleep %d; %llu kicks, %llu waits\n"
            "I/O thread: started %d, active %d, kicked %d, parked %llu times, "
            "stop %d, bell asleep %d, waiting %u, "
            "%llu rounds, %llu sleeps, looks for %llu ns\n"
            "upcalls: signalled %d, %lu signals\n",
            (unsigned long long)event_read(&vm->native.events), unread,
            atomic_load(&vm->bell.asleep), (unsigned long long)machine.kicks,
            (unsigned long long)machine.waits, vm->io.started,
            atomic_load(&vm->io.active), atomic_load(&vm->io.kicked),
            (unsigned long long)vm->io.stats.parks, atomic_load(&vm->io.stop),
            atomic_load(&vm->io.bell.asleep), atomic_load(&vm->io.waiting),
            (unsigned long long)vm->io.stats.rounds,
            (unsigned long long)vm->io.stats.sleeps,
            (unsigned long long)vm->io.spin.limit_ns,
            atomic_load(&vm->signalled), atomic_load(&vm->upcall_signals));
}
