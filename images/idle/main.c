/* SPDX-License-Identifier: MIT */
/* Uses every device that the VM has, says so, and then waits for a frame. */
#include <stdio.h>
#include <unistd.h>

#include <mayfly/disk.h>
#include <mayfly/entropy.h>
#include <mayfly/net.h>

#define READS  40 /* enough for an I/O thread */
#define FRAMES 8u

static unsigned char block[4096] __attribute__((aligned(4096)));

static void use_disks(void)
{
    struct disk_info info;

    for (int i = 0; i < disk_count(); i++)
        for (int read = 0; read < READS && disk_open(i, &info) == 0; read++)
            disk_read(i, 0, block, 8);
}

static void use_nets(void)
{
    static unsigned char frame[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct iovec piece = {frame, sizeof(frame)};
    struct nic_info info;

    for (int i = 0; i < nic_count(); i++) {
        if (nic_open(i, &info) || nic_send(i, &piece, 1, NULL, NULL))
            continue;
        nic_wait_room(i, 0);
    }
}

int main(void)
{
    struct nic_buffer *frames[FRAMES];
    unsigned char random[16];

    use_disks();
    use_nets();
    mf_entropy_read(random, sizeof(random));
    puts("idle");
    fflush(stdout);
    for (;;) {
        long count = nic_receive(0, frames, FRAMES, NIC_FOREVER);

        if (count < 0)
            pause(); /* no network */
        else
            nic_release(0, frames, (unsigned)count);
    }
}
