/* SPDX-License-Identifier: MIT */
/* mayfly run and restore: one VM, from the command line to its exit status. */
#include "vmm/cli_options.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- Signals ------------------------------------------------------------ */

static struct mayfly *signalled_vm;
static volatile sig_atomic_t signal_number;

/* The first one ends the VM in order, a second one ends the process. */
static void on_signal(int number)
{
    signal_number = number;
    mayfly_stop(signalled_vm);
}

/* The same if the guest does not take it: it may want to see to its end. */
static void on_signal_for_guest(int number)
{
    if (signal_number)
        cli_end_at_once(CLI_SIGNALLED + number);
    if (!mayfly_signal(signalled_vm, number))
        on_signal(number);
}

static void on_resize(int number)
{
    if (mayfly_has_terminal(signalled_vm))
        mayfly_resize(signalled_vm);
    mayfly_signal(signalled_vm, number);
}

static void on_snapshot(int number)
{
    (void)number;
    mayfly_request_snapshot(signalled_vm);
}

static void catch_signals_for_guest(void)
{
    static const int numbers[] = {SIGINT,  SIGQUIT, SIGUSR1,
                                  SIGUSR2, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal_for_guest}, before;

    /* One at a time: each looks at what the others noted. */
    sigfillset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        sigaction(numbers[i], &action, &before);
    /* nohup's: who starts a program may want it to stay. */
    if (before.sa_handler == SIG_IGN)
        sigaction(SIGHUP, &before, NULL);
}

static void catch_signals(struct mayfly *vm, bool snapshots)
{
    const struct sigaction snapshot = {.sa_handler = on_snapshot};
    const struct sigaction stop = {
        .sa_handler = on_signal,
        .sa_flags = (int)SA_RESETHAND,
    };
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    const struct sigaction resize = {.sa_handler = on_resize};
    bool takes_signals = mayfly_takes_signals(vm);

    signalled_vm = vm;
    if (takes_signals) {
        catch_signals_for_guest();
    } else {
        sigaction(SIGINT, &stop, NULL);
        sigaction(SIGTERM, &stop, NULL);
    }
    sigaction(SIGPIPE, &ignore, NULL);
    if (takes_signals || mayfly_has_terminal(vm))
        sigaction(SIGWINCH, &resize, NULL);
    if (snapshots)
        sigaction(SIGUSR1, &snapshot, NULL);
}

/* ---- Reports ------------------------------------------------------------ */

/* Opens what `path` asks for before the sandbox forbids it. */
static bool open_report(const char *path, FILE **file)
{
    *file = NULL;
    if (!path)
        return true;
    *file = *path ? fopen(path, "we") : stderr;
    if (*file)
        return true;
    cli_fail(CLI_FAILED, "cannot write %s: %s", path, strerror(errno));
    return false;
}

static void close_report(FILE *file, const char *path, int *status)
{
    if (!file)
        return;
    bool failed = ferror(file) || fflush(file);

    if (failed)
        *status = cli_fail(CLI_FAILED, "cannot write %s: %s",
                           *path ? path : "the report", strerror(errno));
}

/*
 * The peak resident set in KiB, or 0, from /proc/self/status. getrusage() would
 * count what the process was before it became this program.
 */
static long read_peak_rss_kib(int status_fd)
{
    static const char key[] = "VmHWM:";
    char text[2048];
    ssize_t bytes = pread(status_fd, text, sizeof(text) - 1, 0);

    if (bytes <= 0)
        return 0;
    text[bytes] = '\0';
    const char *at = strstr(text, key);
    return at ? strtol(at + strlen(key), NULL, 10) : 0;
}

static void report_run(const struct cli_request *request, struct cli_run *run,
                       FILE *stats, FILE *timeline)
{
    if (timeline && *request->timeline_path)
        report_trace(timeline, run);
    else if (timeline)
        report_timeline(timeline, run);
    if (stats)
        report_stats(stats, run);
    if (request->summary)
        report_summary(stderr, run);
    close_report(timeline, request->timeline_path, &run->status);
    close_report(stats, request->stats_path, &run->status);
}

/* ---- Running ------------------------------------------------------------ */

static int explain_end(struct mayfly *vm, const struct mayfly_result *result)
{
    struct mayfly_frame frames[MAYFLY_FRAMES_MAX];
    unsigned count;

    switch (result->end) {
    case MAYFLY_EXITED:
        return result->status;
    case MAYFLY_CRASHED:
        count = mayfly_backtrace(vm, &result->crash, frames, MAYFLY_FRAMES_MAX);
        report_crash(stderr, &result->crash, frames, count);
        return CLI_CRASHED;
    case MAYFLY_TIMED_OUT:
        return cli_fail(CLI_TIMED_OUT, "the guest ran into its time limit");
    case MAYFLY_STOPPED:
        return CLI_SIGNALLED + signal_number;
    case MAYFLY_OUTPUT_CLOSED:
        return CLI_SIGNALLED + SIGPIPE;
    case MAYFLY_AT_SNAPSHOT: /* it is taken */
    case MAYFLY_SERVED:
        return CLI_OK;
    case MAYFLY_AT_CALL:
        return cli_fail(CLI_FAILED,
                        "the guest waits for calls: a program makes them, by "
                        "mayfly_call()");
    case MAYFLY_OUTPUT_FAILED:
        return cli_fail(CLI_FAILED, "cannot write the guest's output: %s",
                        strerror(result->status));
    }
    return CLI_FAILED;
}

/* What was asked for with --snapshot, once the guest has ended its run. */
static int take_snapshot(const struct cli_request *request, struct mayfly *vm,
                         const struct mayfly_result *result, int status)
{
    char error[MAYFLY_ERROR_BYTES];

    if (!request->snapshot_path)
        return status;
    if (result->end != MAYFLY_AT_SNAPSHOT) {
        cli_fail(status, "no snapshot: the guest ended before it came to one");
        return status ? status : CLI_FAILED;
    }
    if (mayfly_snapshot(vm, request->snapshot_fd, error))
        return cli_fail(CLI_FAILED, "%s: %s", request->snapshot_path, error);
    return CLI_OK;
}

/* Returns the status, and whether the guest ran at all in `*ran`. */
static int run_vm(struct cli_request *request, struct mayfly *vm, int image,
                  struct cli_run *run, bool *ran)
{
    char error[MAYFLY_ERROR_BYTES];
    int result = request->guest.restore ? mayfly_restore(vm, image, error)
                                        : mayfly_load(vm, image, error);

    if (result)
        return cli_fail(result == -ENOEXEC ? CLI_NOT_IMAGE : CLI_FAILED,
                        "%s: %s", request->image, error);
    if (request->guest.restore)
        close(image); /* what it needs of it is mapped */
    catch_signals(vm, request->snapshot_path != NULL);
    if (request->confine)
        result = mayfly_confine(vm, request->confine_flags, error);
    if (!result)
        result = mayfly_run(vm, &run->result, error);
    if (result)
        return cli_fail(CLI_FAILED, "%s", error);
    *ran = true;
    return take_snapshot(request, vm, &run->result,
                         explain_end(vm, &run->result));
}

static uint64_t monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Opens all disks before the sandbox forbids it. */
static int open_disks(struct cli_request *request)
{
    int status = cli_guest_open_disks(&request->guest, request->open_disks,
                                      &request->options.disk_count);

    request->options.disks = request->open_disks;
    return status;
}

/* Likewise all directories. */
static int open_shares(struct cli_request *request)
{
    int status = CLI_OK;

    for (unsigned i = 0; i < request->share_count && !status; i++)
        status = cli_open_share(&request->shares[i], &request->open_shares[i]);
    if (request->share_count > 0)
        signal(SIGXFSZ, SIG_IGN); /* likewise */
    request->options.shares = request->open_shares;
    request->options.share_count = request->share_count;
    return status;
}

/* Likewise all networks. */
static int open_nets(struct cli_request *request)
{
    int status = CLI_OK;

    for (unsigned i = 0; i < request->net_count && !status; i++)
        status = cli_open_net(&request->nets[i], request->forwards,
                              request->forward_count, &request->open_nets[i]);
    request->options.nets = request->open_nets;
    request->options.net_count = request->net_count;
    return status;
}

/* Forwards are streams where there is no network to carry them. */
static int open_streams(struct cli_request *request)
{
    int status = CLI_OK;

    if (request->net_count > 0)
        return CLI_OK;
    for (unsigned i = 0; i < request->forward_count && !status; i++)
        status =
            cli_open_stream(&request->forwards[i], &request->open_streams[i]);
    request->options.streams = request->open_streams;
    request->options.stream_count = request->forward_count;
    if (request->guest.connect_count > 0 && !status)
        status = cli_start_broker(request->guest.connects,
                                  request->guest.connect_count,
                                  &request->options.connect_fd);
    request->options.connect_count = request->guest.connect_count;
    return status;
}

static int open_snapshot(struct cli_request *request)
{
    if (!request->snapshot_path)
        return CLI_OK;
    /* The library says so, too; but then there is a file already. */
    if (request->options.share_count > 0)
        return cli_fail(CLI_FAILED,
                        "--snapshot and --share do not go together: what a "
                        "guest has open in a share cannot go on elsewhere "
                        "(--files and --disk can)");
    if (request->options.transport != MAYFLY_TRANSPORT_NATIVE)
        return cli_fail(CLI_FAILED, "--snapshot and --transport mmio do not go "
                                    "together: leave the transport out");
    request->options.snapshots =
        MAYFLY_SNAPSHOT_CALLS | MAYFLY_SNAPSHOT_ANYWHERE;
    /* Who goes on from it may give it ports. */
    if (request->net_count == 0)
        request->options.sockets = true;
    return cli_open_snapshot(request->snapshot_path, &request->snapshot_fd);
}

static int run_request(struct cli_request *request, struct cli_run *run)
{
    char error[MAYFLY_ERROR_BYTES];
    struct mayfly *vm;
    unsigned closed;
    FILE *stats, *timeline;
    bool ran = false;
    int status = CLI_OK, status_fd = -1;
    int image = cli_open_image(request->image, request->guest.restore, &closed,
                               &status);

    if (image < 0)
        return status;
    if (open_disks(request) || open_shares(request) || open_nets(request) ||
        open_streams(request) || open_snapshot(request) ||
        !open_report(request->stats_path, &stats) ||
        !open_report(request->timeline_path, &timeline))
        return CLI_FAILED;
    bool report = stats || timeline || request->summary;
    if (report)
        status_fd = open("/proc/self/status", O_RDONLY);
    if (closed & 1u << STDIN_FILENO)
        request->options.in = -1;
    if (closed & 1u << STDOUT_FILENO)
        request->options.out = -1;
    if (closed & 1u << STDERR_FILENO)
        request->options.err = -1;
    if (mayfly_create(&request->options, &vm, error))
        return cli_fail(CLI_FAILED, "%s", error);
    run->status = run_vm(request, vm, image, run, &ran);
    if (ran && report) {
        run->peak_rss_kib = read_peak_rss_kib(status_fd);
        mayfly_get_stats(vm, &run->stats);
        report_run(request, run, stats, timeline);
    }
    /* The end of the process frees it all at once. */
    return run->status;
}

static int run_command(int argc, char **argv, bool restore)
{
    /* Static, because they are large: on the stack all of it was touched. */
    static struct cli_request request;
    static struct cli_run run;
    bool done = false;
    int status;

    run.start_ns = monotonic_ns();
    request.guest.command = argv[0];
    request.guest.restore = restore;
    request.options = (const struct mayfly_options)MAYFLY_OPTIONS;
    request.confine = true;
    status = cli_parse_run(argc, argv, &request, &done);
    if (status || done)
        return status;
    run.image = request.image;
    return run_request(&request, &run);
}

int cmd_run(int argc, char **argv)
{
    return run_command(argc, argv, false);
}

int cmd_restore(int argc, char **argv)
{
    return run_command(argc, argv, true);
}
