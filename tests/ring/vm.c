/* SPDX-License-Identifier: MIT */
/* A guest without KVM: its memory at two addresses, and its hypercalls. */
#include "tests/ring/vm.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest_rt/hypercall.h"

#define RAM_BYTES (VM_MEM_BYTES - MF_BOOT_PAGE)

extern char __data_start, _end; /* by the linker: all static data */

struct vm vm;

static void *map_ram(int fd, void *at, int flags)
{
    void *ram =
        mmap(at, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | flags, fd, 0);

    cr_assert_neq(ram, MAP_FAILED, "cannot map guest memory at %p", at);
    return ram;
}

void vm_init(void)
{
    int fd = memfd_create("guest", MFD_CLOEXEC);
    uint64_t statics = round_down((uintptr_t)&__data_start, MF_PAGE_BYTES);
    uint64_t statics_end = round_up((uintptr_t)&_end, MF_PAGE_BYTES);

    cr_assert_geq(fd, 0);
    cr_assert_eq(ftruncate(fd, RAM_BYTES), 0);
    map_ram(fd, (void *)MF_BOOT_PAGE, MAP_FIXED_NOREPLACE);
    vm.mem = (struct gmem){
        .regions =
            {
                {MF_BOOT_PAGE, RAM_BYTES, map_ram(fd, NULL, 0)},
                {statics, statics_end - statics, (uint8_t *)statics},
            },
        .count = 2,
    };
    close(fd);
    ((struct mf_boot *)MF_BOOT_PAGE)->mem_bytes = VM_MEM_BYTES;
    cr_assert_eq(native_init(&vm.native, &vm.mem), 0);
}

void vm_start(int in_fd, int out_fd, int err_fd)
{
    vm_init();
    console_init(&vm.out, in_fd, out_fd, CONSOLE_OUT_CHAINS);
    console_init(&vm.err, -1, err_fd, CONSOLE_ERR_CHAINS);
    cr_assert_eq(native_add(&vm.native, &vm.out.dev, vm.out.flags), 0);
    cr_assert_eq(native_add(&vm.native, &vm.err.dev, vm.err.flags), 0);
}

void vm_add_disk(const struct blk_options *options)
{
    struct blk *disk = &vm.disks[vm.disk_count++];

    cr_assert_eq(blk_init(disk, options), 0);
    cr_assert_eq(native_add(&vm.native, &disk->dev, 0), 0);
}

void *vm_device_view(uint64_t at)
{
    void *host;

    cr_assert_eq(gmem_map(&vm.mem, gpa(at), 1, &host), 0);
    return host;
}

/* The file that the device wants to be polled, or -1. */
static int input_fd(struct vdev *dev)
{
    struct pollfd file;

    vdev_want(dev, &file);
    return file.fd;
}

static long kick(uint64_t doorbells)
{
    vm.kicks++;
    while (!vm.lazy && vdev_set_serve(&vm.native.set, doorbells) == -EINTR)
        continue;
    return 0;
}

static long wait_for_event(uint64_t seen)
{
    vm.waits++;
    while (vdev_set_serve(&vm.native.set, VDEV_SET_ALL) == -EINTR)
        continue;
    while (event_read(&vm.native.events) == seen) {
        struct pollfd input = {input_fd(&vm.out.dev), POLLIN, 0};

        cr_assert_geq(input.fd, 0, "waits for nothing");
        if (vm.before_block)
            vm.before_block();
        cr_assert_eq(poll(&input, 1, -1), 1);
        cr_assert_eq(vdev_ready(&vm.out.dev), 0);
    }
    return (long)event_read(&vm.native.events);
}

long mf_hypercall(unsigned number, uint64_t a, uint64_t b)
{
    if (number == MF_HC_KICK)
        return kick(a);
    cr_assert_eq(number, MF_HC_WAIT);
    cr_assert_eq(b, MF_WAIT_FOREVER);
    return wait_for_event(a);
}
