/* SPDX-License-Identifier: MIT */
/* The booter's process: runs an image to its first accept. */
#include "vmm/server/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/cli_guest.h"
#include "vmm/server/child.h"
#include "vmm/server/guest.h"

/* What the snapshot's file takes beside the guest's memory, at most. */
#define SNAPSHOT_HEAD_BYTES (2u << 20)

struct booter {
    const struct server_options *server;
    int report_fd;
    int snapshot_fd;
    int image_fd;
    struct mayfly_disk disks[MAYFLY_DISKS_MAX];
    unsigned disk_count;
    struct mayfly_options options;
    struct boot_report report;
    char error[MAYFLY_ERROR_BYTES];
};

static int fail_with(const struct booter *booter, int status,
                     const char *reason)
{
    return cli_fail(status, "%s: %s", booter->server->image, reason);
}

/* ---- Files --------------------------------------------------------------- */

/* The supervisor gives them to the workers. */
static int hand_over_disks(struct booter *booter)
{
    const struct boot_report opened = {.word = BOOT_OPENED};
    int fds[MAYFLY_DISKS_MAX];

    for (unsigned i = 0; i < booter->disk_count; i++)
        fds[i] = booter->disks[i].fd;
    if (booter->disk_count == 0 ||
        child_send(booter->report_fd, &opened, sizeof(opened), fds,
                   booter->disk_count) == 0)
        return CLI_OK;
    return cli_fail(CLI_FAILED, "cannot hand the disks over: %s",
                    strerror(errno));
}

static int open_files(struct booter *booter)
{
    unsigned closed;
    int status = CLI_OK;

    booter->image_fd =
        cli_open_image(booter->server->image, false, &closed, &status);
    if (booter->image_fd >= 0)
        status = cli_guest_open_disks(booter->server->guest, booter->disks,
                                      &booter->disk_count);
    if (!status)
        status = hand_over_disks(booter);
    return status;
}

/* By its first bytes; all others are looked at by the library. */
static bool is_snapshot(int fd)
{
    char first[8];

    return pread(fd, first, sizeof(first), 0) == sizeof(first) &&
           memcmp(first, "MFLYSNAP", sizeof(first)) == 0;
}

/* ---- An image ------------------------------------------------------------ */

/* What is written there from here on is not more than a snapshot may be. */
static int bound_snapshot(const struct booter *booter, struct mayfly *vm)
{
    struct mayfly_counts counts;

    mayfly_get_counts(vm, &counts);
    return ftruncate(booter->snapshot_fd,
                     (off_t)counts.mem_bytes + SNAPSHOT_HEAD_BYTES) ||
                   fcntl(booter->snapshot_fd, F_ADD_SEALS,
                         F_SEAL_GROW | F_SEAL_SHRINK)
               ? -errno
               : 0;
}

/* The guest has ended its run before it wanted a connection. */
static int explain_end(struct booter *booter, struct mayfly *vm,
                       const struct mayfly_result *result)
{
    switch (result->end) {
    case MAYFLY_CRASHED:
        fail_with(booter, CLI_CRASHED,
                  "the guest crashed before it accepted a connection");
        guest_explain_crash(vm, &result->crash);
        return CLI_CRASHED;
    case MAYFLY_TIMED_OUT:
        return cli_fail(
            CLI_TIMED_OUT,
            "%s: the guest did not come to its first accept "
            "within %llu ms (--boot-timeout)",
            booter->server->image,
            (unsigned long long)(booter->server->boot_timeout_ns / 1000000));
    case MAYFLY_EXITED:
        return cli_fail(CLI_FAILED,
                        "%s: the guest ended with status %d before it "
                        "accepted a connection: what is served is a server",
                        booter->server->image, result->status);
    case MAYFLY_AT_CALL:
        return fail_with(booter, CLI_FAILED,
                         "the guest waits for calls by mayfly_call(), not for "
                         "connections");
    default:
        return fail_with(booter, CLI_FAILED, "the guest cannot go on");
    }
}

static int run_image(struct booter *booter, struct mayfly *vm)
{
    struct mayfly_result result = {.end = MAYFLY_EXITED};
    struct mayfly_counts counts;

    if (mayfly_confine(vm, 0, booter->error) ||
        mayfly_run(vm, &result, booter->error))
        return fail_with(booter, CLI_FAILED, booter->error);
    mayfly_get_counts(vm, &counts);
    if (counts.lost_bytes > 0)
        guest_explain_loss(&counts);
    if (result.end != MAYFLY_AT_SNAPSHOT)
        return explain_end(booter, vm, &result);
    if (mayfly_snapshot(vm, booter->snapshot_fd, booter->error))
        return fail_with(booter, CLI_FAILED, booter->error);
    return CLI_OK;
}

static int boot_image(struct booter *booter)
{
    struct mayfly_image image;
    struct mayfly_counts counts;
    struct mayfly *vm;
    int result = mayfly_inspect(booter->image_fd, &image, booter->error);

    booter->options.snapshots = MAYFLY_SNAPSHOT_ACCEPT;
    booter->options.timeout_ns = booter->server->boot_timeout_ns;
    booter->options.io = MAYFLY_IO_INLINE;
    if (!result)
        result = mayfly_create(&booter->options, &vm, booter->error);
    if (!result)
        result = mayfly_load(vm, booter->image_fd, booter->error);
    if (result)
        return fail_with(booter,
                         result == -ENOEXEC ? CLI_NOT_IMAGE : CLI_FAILED,
                         booter->error);
    if (bound_snapshot(booter, vm))
        return cli_fail(CLI_FAILED, "cannot make a snapshot: %s",
                        strerror(errno));
    mayfly_get_counts(vm, &counts);
    booter->report.mem_bytes = counts.mem_bytes;
    booter->report.resettable = !image.paging;
    return run_image(booter, vm);
}

/* ---- A snapshot ---------------------------------------------------------- */

/* What cannot be served, however sound it is. NULL: it can. */
static const char *find_fault(const struct booter *booter,
                              const struct mayfly_snapshot_info *info)
{
    const struct cli_guest *guest = booter->server->guest;

    if (info->once)
        return "one VM only may go on from it, because it was taken anywhere "
               "(SIGUSR1); take it at the program's first accept";
    if (info->in_call)
        return "the guest waits for calls by mayfly_call(), not for "
               "connections";
    if (info->net_count > 0)
        return "the guest has a network of its own (--net): connections reach "
               "only guests without one";
    if (guest->mem_bytes || guest->env_count > 0 || guest->args[1])
        return "memory, environment and arguments are in the snapshot: leave "
               "out --mem, --env and what is behind it";
    return NULL;
}

/* It is ours from here on, whatever becomes of the file. */
static int copy_snapshot(const struct booter *booter)
{
    static char buffer[1 << 16];
    ssize_t bytes;
    off_t at = 0;

    while ((bytes = pread(booter->image_fd, buffer, sizeof(buffer), at)) > 0) {
        if (pwrite(booter->snapshot_fd, buffer, (size_t)bytes, at) != bytes)
            return -errno;
        at += bytes;
    }
    return bytes < 0 ? -errno : 0;
}

/* Whether this host can go on with it, and the guest listens. */
static int try_snapshot(struct booter *booter)
{
    struct mayfly_counts counts;
    struct mayfly *vm;
    int ends[2], result;

    booter->options.serves = true;
    result = mayfly_create(&booter->options, &vm, booter->error);
    if (!result)
        result = mayfly_restore(vm, booter->snapshot_fd, booter->error);
    if (!result && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends))
        result = -errno;
    if (!result)
        result = mayfly_offer(vm, ends[0], 0, booter->error);
    if (result)
        return result;
    mayfly_get_counts(vm, &counts);
    booter->report.mem_bytes = counts.mem_bytes;
    return 0;
}

static int take_snapshot(struct booter *booter)
{
    struct mayfly_snapshot_info info;
    const char *fault;
    int result = copy_snapshot(booter);

    if (result)
        return cli_fail(CLI_FAILED, "%s: cannot copy the snapshot: %s",
                        booter->server->image, strerror(-result));
    result = mayfly_inspect_snapshot(booter->snapshot_fd, &info, booter->error);
    fault = result ? booter->error : find_fault(booter, &info);
    if (!fault && try_snapshot(booter))
        fault = booter->error;
    booter->report.given = true;
    booter->report.resettable = !info.image.paging;
    if (!fault)
        return CLI_OK;
    return fail_with(booter, result == -ENOEXEC ? CLI_NOT_IMAGE : CLI_FAILED,
                     fault);
}

/* ---- All of it ----------------------------------------------------------- */

static int boot(struct booter *booter)
{
    int status = open_files(booter);
    bool given = !status && is_snapshot(booter->image_fd);

    if (!status)
        status = guest_prepare(booter->server->guest,
                               given ? GUEST_IS_GIVEN : GUEST_BOOTS,
                               &booter->options);
    if (status)
        return status;
    booter->options.disks = booter->disks;
    booter->options.disk_count = booter->disk_count;
    booter->options.sockets = true;
    booter->options.poll_ns = booter->server->poll_ns;
    return given ? take_snapshot(booter) : boot_image(booter);
}

_Noreturn void booter_run(const struct server_options *options, int report_fd,
                          int snapshot_fd)
{
    struct booter booter = {
        .server = options,
        .report_fd = report_fd,
        .snapshot_fd = snapshot_fd,
        .options = MAYFLY_OPTIONS,
        .report = {.word = BOOT_DONE},
    };
    int *const fds[] = {&booter.report_fd, &booter.snapshot_fd};
    int result = child_keep(fds, 2);

    booter.report.status =
        result ? cli_fail(CLI_FAILED,
                          "cannot start the process that boots the image: %s",
                          strerror(-result))
               : boot(&booter);
    /* Not sendmsg(): the sandbox has no such call. */
    if (write(booter.report_fd, &booter.report, sizeof(booter.report)) < 0)
        cli_end_at_once(CLI_FAILED);
    cli_end_at_once(booter.report.status);
}
