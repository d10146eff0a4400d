/* SPDX-License-Identifier: MIT */
/* A guest without KVM: its memory at two addresses, and its hypercalls. */
#include "tests/ring/vm.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest_rt/hypercall.h"
#include "guest_rt/option.h"
#include "guest_rt/runtime.h"
#include "vmm/base/os.h"

#define RAM_BYTES (VM_MEM_BYTES - MF_BOOT_PAGE)

extern char __data_start, _end; /* by the linker: all static data */

struct vm vm;
const char *vm_option;
uint64_t (*mf_before_sleep)(uint64_t deadline_ns);

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

void vm_add_net(const struct net_options *options, uint64_t hidden)
{
    cr_assert_eq(net_init(&vm.net, options), 0);
    vm.net.dev.offered &= ~hidden;
    cr_assert_eq(native_add(&vm.native, &vm.net.dev, 0), 0);
}

void *vm_device_view(uint64_t at)
{
    void *host;

    cr_assert_eq(gmem_map(&vm.mem, gpa(at), 1, &host), 0);
    return host;
}

static long kick(uint64_t doorbells)
{
    vm.kicks++;
    while (!vm.lazy && vdev_set_serve(&vm.native.set, doorbells) == -EINTR)
        continue;
    return 0;
}

/* Milliseconds until that host time, for poll(). */
static int timeout_until(uint64_t ns)
{
    uint64_t now = os_now_ns();

    if (ns == VDEV_NEVER)
        return -1;
    return ns <= now ? 0 : (int)((ns - now + 999999) / 1000000);
}

/*
 * Blocks until devices may have work. Does not with `at_once`: then false if
 * they have none.
 */
static bool block(bool at_once)
{
    struct vdev_set *set = &vm.native.set;
    struct pollfd files[MF_DEVICES_MAX];
    uint64_t wake_ns = vdev_set_want(set, VDEV_SET_ALL, files);
    bool wants = at_once || wake_ns != VDEV_NEVER;
    int found;

    for (unsigned i = 0; i < set->count; i++)
        wants = wants || files[i].fd >= 0;
    cr_assert(wants, "waits for nothing");
    found = poll(files, set->count, at_once ? 0 : timeout_until(wake_ns));
    cr_assert_geq(found, 0);
    while (vdev_set_ready(set, files) == -EINTR)
        continue;
    if (wake_ns != VDEV_NEVER)
        cr_assert_eq(vdev_set_serve(set, VDEV_SET_ALL), 0);
    return found > 0 || !at_once;
}

static long wait_for_event(uint64_t seen, uint64_t deadline_ns)
{
    vm.waits++;
    while (vdev_set_serve(&vm.native.set, VDEV_SET_ALL) == -EINTR)
        continue;
    while (event_read(&vm.native.events) == seen) {
        if (vm.before_block)
            vm.before_block();
        if (event_read(&vm.native.events) != seen ||
            block(deadline_ns != MF_WAIT_FOREVER))
            continue;
        /* The time that the guest waits for comes first. */
        if (vm.now_ns < deadline_ns)
            vm.now_ns = deadline_ns;
        break;
    }
    return (long)event_read(&vm.native.events);
}

long mf_hypercall(unsigned number, uint64_t a, uint64_t b)
{
    if (vm.hypercall)
        return vm.hypercall(number, a, b);
    if (number == MF_HC_KICK)
        return kick(a);
    cr_assert_eq(number, MF_HC_WAIT);
    return wait_for_event(a, b);
}

const char *option_get(const char *key, unsigned index)
{
    size_t length = strlen(key);

    if (index > 0 || !vm_option || strncmp(vm_option, key, length) != 0 ||
        vm_option[length] != '=')
        return NULL;
    return vm_option + length + 1;
}

uint64_t mf_tsc(void)
{
    return vm.tsc += vm.tsc_step;
}

uint64_t mf_clock_monotonic(void)
{
    return vm.now_ns;
}
