/* SPDX-License-Identifier: MIT */
/* The guest's disk driver against a disk on a thread of its own. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <mayfly/disk.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/ring/vm.h"

/* A lost wake-up, in either direction, is a test that does not end. */
TestSuite(disk_thread, .timeout = 120);

#define SECTORS  256
#define DEPTH    8
#define REQUESTS 60000u

static int doorbell, event; /* eventfds */
static atomic_bool stop;
static bool looks; /* the device polls its ring for a while before it sleeps */
static struct disk_request requests[DEPTH];

static void ring_bell(int fd)
{
    cr_assert_eq(write(fd, &(uint64_t){1}, 8), 8);
}

static void sleep_on(int fd)
{
    uint64_t count;

    cr_assert_eq(read(fd, &count, 8), 8);
}

/* ---- The monitor's side -------------------------------------------------- */

static void raised(struct event_listener *listener)
{
    (void)listener;
    ring_bell(event);
}

static struct event_listener listener = {raised};

static long hypercall(unsigned number, uint64_t a, uint64_t b)
{
    (void)b;
    if (number == MF_HC_KICK) {
        vm.kicks++;
        ring_bell(doorbell);
        return 0;
    }
    vm.waits++;
    while (event_read(&vm.native.events) == a)
        sleep_on(event);
    return 0;
}

/* Serves while there is work, and a little longer if it looks. */
static void serve(struct vdev *dev)
{
    if (looks) {
        vdev_poll(dev, true);
        for (unsigned i = 0; i < 50; i++)
            cr_assert_eq(vdev_serve(dev), 0);
        vdev_poll(dev, false);
    }
    cr_assert_eq(vdev_serve(dev), 0);
}

static void *device_thread(void *unused)
{
    (void)unused;
    while (!atomic_load(&stop)) {
        serve(&vm.disks[0].dev);
        sleep_on(doorbell);
    }
    return NULL;
}

/* ---- The guest's side ---------------------------------------------------- */

static void set_up(void)
{
    int file = memfd_create("disk", 0);
    unsigned char sector[512];

    for (unsigned i = 0; i < SECTORS; i++) {
        memset(sector, (int)i, sizeof(sector));
        cr_assert_eq(write(file, sector, sizeof(sector)), sizeof(sector));
    }
    doorbell = eventfd(0, 0);
    event = eventfd(0, 0);
    vm_start(-1, -1, -1);
    vm_add_disk(&(struct blk_options){.fd = file});
    vm.native.events.listener = &listener;
    vm.hypercall = hypercall;
}

static void submit(unsigned i, unsigned number)
{
    requests[i].op = DISK_READ;
    requests[i].sector = number * 7 % SECTORS;
    requests[i].sectors = 1;
    requests[i].buffer = VM_BUFFER + i * 512;
    cr_assert_eq(disk_submit(0, &requests[i]), 0);
}

static void assert_right(const struct disk_request *request)
{
    const unsigned char *buffer = request->buffer;

    cr_assert_eq(request->error, 0);
    cr_assert_eq(buffer[0], request->sector);
    cr_assert_eq(buffer[511], request->sector);
}

static void read_many(void)
{
    unsigned begun = 0, ended = 0;

    for (; begun < DEPTH; begun++)
        submit(begun, begun);
    for (; ended < REQUESTS; ended++) {
        struct disk_request *request = disk_complete(0, true);

        cr_assert_not_null(request);
        assert_right(request);
        if (begun < REQUESTS)
            submit((unsigned)(request - requests), begun++);
        /* Now and then the simple way, among the others. */
        if (ended % 64 == 0)
            cr_assert_eq(disk_read(0, 5, VM_BUFFER + DEPTH * 512, 1), 1);
    }
    cr_assert_null(disk_complete(0, true));
}

static void run(uint64_t poll_ns)
{
    struct mf_boot *boot = (struct mf_boot *)MF_BOOT_PAGE;
    pthread_t device;

    boot->poll_ns = poll_ns;
    boot->clock.tsc_khz = 1000000;
    vm.tsc_step = 100;
    cr_assert_eq(pthread_create(&device, NULL, device_thread, NULL), 0);
    read_many();
    atomic_store(&stop, true);
    ring_bell(doorbell);
    cr_assert_eq(pthread_join(device, NULL), 0);
    cr_assert_leq(vm.kicks, REQUESTS + REQUESTS / 64 + 1);
}

Test(disk_thread, loses_no_wake_up_when_both_sleep_at_once, .init = set_up)
{
    run(0);
}

Test(disk_thread, loses_none_when_the_guest_looks, .init = set_up)
{
    run(20000);
}

Test(disk_thread, loses_none_when_the_disk_looks, .init = set_up)
{
    looks = true;
    run(0);
}

Test(disk_thread, loses_none_when_both_look, .init = set_up)
{
    looks = true;
    run(20000);
}
