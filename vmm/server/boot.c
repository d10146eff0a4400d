/* SPDX-License-Identifier: MIT */
/* The supervisor's side of booting: a generation is made. */
#include "vmm/server/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/cli_guest.h"
#include "vmm/server/child.h"

_Static_assert(MAYFLY_DISKS_MAX <= CHILD_FDS_MAX, "one packet has all disks");

int boot_start(const struct server_options *options, struct boot_link *link)
{
    int ends[2];

    *link = (struct boot_link){
        .report_fd = -1,
        .made = {.snapshot_fd =
                     memfd_create("snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING)},
        .start_ns = child_now_ns(),
        .guest = options->guest,
    };
    if (link->made.snapshot_fd < 0)
        return -errno;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends)) {
        int error = errno;

        boot_finish(link);
        return -error;
    }
    link->report_fd = ends[0];
    link->pid = child_fork();
    if (link->pid == 0)
        booter_run(options, ends[1], link->made.snapshot_fd);
    close(ends[1]);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    if (link->pid > 0)
        return 0;
    boot_finish(link);
    return link->pid;
}

/* The disks, as the options name them: `count` of them are here. */
static int take_disks(struct boot_link *link, const int *fds, unsigned count)
{
    const struct cli_guest *guest = link->guest;

    if (link->made.disk_count > 0 || count == 0 ||
        count != guest->disk_count + (guest->files != NULL)) {
        for (unsigned i = 0; i < count; i++)
            close(fds[i]);
        return -EPROTO;
    }
    for (unsigned i = 0; i < count; i++) {
        struct mayfly_disk *disk = &link->made.disks[i];

        *disk = (struct mayfly_disk){
            .fd = fds[i],
            .read_only = true,
            .id = "files",
        };
        if (i == guest->disk_count)
            continue;
        disk->id = guest->disks[i].id;
        disk->rate = guest->disks[i].rate;
    }
    link->made.disk_count = count;
    return 0;
}

/* Nobody changes the snapshot from here on: not the booter, nor a worker. */
static int seal(struct generation *made)
{
    struct stat file;

    if (fcntl(made->snapshot_fd, F_ADD_SEALS,
              F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) ||
        fstat(made->snapshot_fd, &file))
        return -errno;
    made->stored_bytes = (uint64_t)file.st_blocks * 512;
    return 0;
}

static int finish(struct boot_link *link, const struct boot_report *report)
{
    struct generation *made = &link->made;

    if (report->status)
        return report->status;
    if (seal(made))
        return cli_fail(CLI_FAILED, "cannot keep the snapshot: %s",
                        strerror(errno));
    made->given = report->given;
    made->resettable = report->resettable;
    made->mem_bytes = report->mem_bytes;
    made->boot_ns = child_now_ns() - link->start_ns;
    link->taken = true;
    return CLI_OK;
}

int boot_hear(struct boot_link *link, int *status)
{
    struct boot_report report = {0};
    int fds[CHILD_FDS_MAX];
    unsigned count = CHILD_FDS_MAX;
    int result =
        child_receive(link->report_fd, &report, sizeof(report), fds, &count);

    if (result == -EAGAIN)
        return result;
    if (!result && report.word == BOOT_OPENED)
        result = take_disks(link, fds, count);
    else
        while (count > 0)
            close(fds[--count]);
    if (!result && report.word == BOOT_OPENED)
        return boot_hear(link, status); /* there is no second one */
    *status = CLI_FAILED;
    if (!result && report.word == BOOT_DONE && report.status >= 0 &&
        report.status < CLI_SIGNALLED)
        *status = finish(link, &report);
    else
        cli_fail(CLI_FAILED, "the process that boots the image has failed");
    if (*status)
        generation_release(&link->made);
    return 0;
}

void boot_finish(struct boot_link *link)
{
    if (link->report_fd >= 0)
        close(link->report_fd);
    link->report_fd = -1;
    if (!link->taken)
        generation_release(&link->made);
}

void generation_release(struct generation *generation)
{
    if (generation->snapshot_fd >= 0)
        close(generation->snapshot_fd);
    while (generation->disk_count > 0)
        close(generation->disks[--generation->disk_count].fd);
    generation->snapshot_fd = -1;
}
