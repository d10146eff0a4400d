/* SPDX-License-Identifier: MIT */
/* mayfly run: one VM, from the command line to its exit status. */
#include "vmm/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ENV_MAX 256

/* What the options ask for. */
struct request {
    struct mayfly_options options;
    const char *env[ENV_MAX + 1];
    unsigned env_count;
    struct cli_disk disks[MAYFLY_DISKS_MAX];
    unsigned disk_count;
    struct mayfly_disk open_disks[MAYFLY_DISKS_MAX];
    bool confine;
    unsigned confine_flags;
    bool summary;
    const char *stats_path;    /* NULL: none; "": standard error */
    const char *timeline_path; /* likewise */
    const char *image;
};

/* ---- Options ------------------------------------------------------------ */

static int print_help(void)
{
    printf(
        "Usage: mayfly run [OPTIONS] IMAGE [-- ARGS...]\n\n"
        "Runs an image as a virtual machine. Its standard input, output and\n"
        "error are those of this command, and so is its exit status.\n\n"
        "  --mem SIZE          memory, such as 1M or 16G (default 16M, or "
        "what\n"
        "                      the image needs)\n"
        "  --env K=V           set a variable for the guest; --env K copies "
        "it\n"
        "  --disk FILE[,ro][,id=NAME][,direct]\n"
        "                      give the guest a disk: a file or a block "
        "device;\n"
        "                      ro: read-only; direct: past the page cache\n"
        "  --timeout SECONDS   end it after this time, such as 0.5\n"
        "  --sandbox MODE      on (default); namespaces: also in namespaces "
        "of\n"
        "                      its own; off: not confined, for debugging\n"
        "  --summary           print one line about what it cost\n"
        "  --stats[=FILE]      print all counts as JSON\n"
        "  --timeline[=FILE]   print where the time went; FILE gets it as a\n"
        "                      Chrome trace\n"
        "  --log-level LEVEL   error, warn (default), info or debug\n"
        "  --help              show this\n\n"
        "Reports go to standard error unless a FILE is given.\n\n"
        "Exit status: the guest's own, or\n"
        "  123  the guest crashed\n"
        "  124  --timeout ended it\n"
        "  125  mayfly itself failed\n"
        "  126  the file is not an image\n"
        "  127  there is no such file\n"
        "  128+N  signal N ended it (130: Ctrl-C, 141: its reader went "
        "away)\n");
    return CLI_OK;
}

/* "64M" in bytes. Returns whether it makes sense. */
static bool parse_size(const char *text, uint64_t *bytes)
{
    static const char units[] = "KMG";
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    unsigned shift = 0;
    if (*end) {
        const char *unit = strchr(units, *end >= 'a' ? *end - 32 : *end);

        if (!unit || !*unit || end[1])
            return false;
        shift = 10 * (unsigned)(unit - units + 1);
    }
    if (errno || number == 0 || number > UINT64_MAX >> shift)
        return false;
    *bytes = (uint64_t)number << shift;
    return true;
}

/* "0.5" in nanoseconds, more than 0 and at most a year. */
static bool parse_seconds(const char *text, uint64_t *ns)
{
    char *end;
    double seconds = strtod(text, &end);

    if (end == text || *end || !(seconds > 0) || seconds > 366 * 86400.0)
        return false;
    *ns = (uint64_t)(seconds * 1e9);
    return *ns > 0;
}

static bool parse_level(const char *text)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i]) == 0) {
            mayfly_set_log_level((enum mayfly_log_level)i);
            return true;
        }
    }
    return false;
}

static bool parse_sandbox(const char *text, struct request *request)
{
    request->confine = strcmp(text, "off") != 0;
    request->confine_flags = 0;
    if (strcmp(text, "namespaces") == 0)
        request->confine_flags = MAYFLY_CONFINE_NAMESPACES;
    return !request->confine || request->confine_flags ||
           strcmp(text, "on") == 0;
}

/* Adds K=V, or the host's value of K. Returns whether there was room. */
static bool add_env(struct request *request, char *text)
{
    const char *entry = text;

    if (!strchr(text, '=')) {
        char *const *host = environ;
        size_t length = strlen(text);

        while (*host &&
               (strncmp(*host, text, length) != 0 || (*host)[length] != '='))
            host++;
        if (!*host)
            return true;
        entry = *host;
    }
    if (*entry == '=' || request->env_count == ENV_MAX)
        return false;
    request->env[request->env_count++] = entry;
    return true;
}

/* Notes one more disk. Returns CLI_OK or CLI_FAILED. */
static int add_disk(struct request *request, char *text)
{
    if (request->disk_count == MAYFLY_DISKS_MAX)
        return cli_misuse("run", "at most %d disks are possible",
                          MAYFLY_DISKS_MAX);
    return cli_parse_disk(text, &request->disks[request->disk_count++]);
}

/* Returns CLI_OK, or the status to end with; *done if help was asked for. */
static int parse_options(int argc, char **argv, struct request *request,
                         bool *done)
{
    static const struct option options[] = {
        {"mem", required_argument, NULL, 'm'},
        {"env", required_argument, NULL, 'e'},
        {"disk", required_argument, NULL, 'd'},
        {"timeout", required_argument, NULL, 't'},
        {"sandbox", required_argument, NULL, 'c'},
        {"summary", no_argument, NULL, 'u'},
        {"stats", optional_argument, NULL, 's'},
        {"timeline", optional_argument, NULL, 'l'},
        {"log-level", required_argument, NULL, 'g'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int option;

    opterr = 0;
    while ((option = getopt_long(argc, argv, "+:", options, NULL)) != -1) {
        const char *bad = NULL;

        switch (option) {
        case 'm':
            if (!parse_size(optarg, &request->options.mem_bytes))
                bad = "--mem takes a size such as 64M";
            break;
        case 'e':
            if (!add_env(request, optarg))
                bad = "--env takes K=V, at most 256 times";
            break;
        case 'd':
            if (add_disk(request, optarg))
                return CLI_FAILED;
            break;
        case 't':
            if (!parse_seconds(optarg, &request->options.timeout_ns))
                bad = "--timeout takes seconds, such as 0.5";
            break;
        case 'c':
            if (!parse_sandbox(optarg, request))
                bad = "--sandbox takes on, namespaces or off";
            break;
        case 'u':
            request->summary = true;
            break;
        case 's':
            request->stats_path = optarg ? optarg : "";
            break;
        case 'l':
            request->timeline_path = optarg ? optarg : "";
            break;
        case 'g':
            if (!parse_level(optarg))
                bad = "--log-level takes error, warn, info or debug";
            break;
        case 'h':
            *done = true;
            return print_help();
        case ':':
            return cli_misuse("run", "%s needs a value", argv[optind - 1]);
        default:
            return cli_misuse("run", "unknown option '%s'", argv[optind - 1]);
        }
        if (bad)
            return cli_misuse("run", "%s, not '%s'", bad, optarg);
    }
    return CLI_OK;
}

/* The image, and what the guest sees as its arguments. */
static int parse_operands(int argc, char **argv, struct request *request)
{
    if (optind == argc)
        return cli_misuse("run", "an image is needed");
    request->image = argv[optind];
    /* argv[0] is the image's name: `--`, where it stands, gives way to it. */
    if (optind + 1 < argc && strcmp(argv[optind + 1], "--") == 0) {
        argv[optind + 1] = argv[optind];
        optind++;
    }
    request->options.args = (const char *const *)argv + optind;
    request->options.env = request->env;
    return CLI_OK;
}

/* ---- Signals ------------------------------------------------------------ */

static struct mayfly *signalled_vm;
static volatile sig_atomic_t signal_number;

/* The first one ends the VM in order, a second one ends the process. */
static void on_signal(int number)
{
    signal_number = number;
    mayfly_stop(signalled_vm);
}

static void catch_signals(struct mayfly *vm)
{
    const struct sigaction stop = {
        .sa_handler = on_signal,
        .sa_flags = (int)SA_RESETHAND,
    };
    const struct sigaction ignore = {.sa_handler = SIG_IGN};

    signalled_vm = vm;
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
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
        *status = cli_fail(CLI_FAILED, "cannot write %s",
                           *path ? path : "the report");
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

static void report_run(const struct request *request, struct cli_run *run,
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
    case MAYFLY_OUTPUT_FAILED:
        return cli_fail(CLI_FAILED, "cannot write the guest's output: %s",
                        strerror(result->status));
    }
    return CLI_FAILED;
}

/* Returns the status, and whether the guest ran at all in `*ran`. */
static int run_vm(struct request *request, struct mayfly *vm, int image,
                  struct cli_run *run, bool *ran)
{
    char error[MAYFLY_ERROR_BYTES];
    int result = mayfly_load(vm, image, error);

    if (result)
        return cli_fail(result == -ENOEXEC ? CLI_NOT_IMAGE : CLI_FAILED,
                        "%s: %s", request->image, error);
    catch_signals(vm);
    if (request->confine)
        result = mayfly_confine(vm, request->confine_flags, error);
    if (!result)
        result = mayfly_run(vm, &run->result, error);
    if (result)
        return cli_fail(CLI_FAILED, "%s", error);
    *ran = true;
    return explain_end(vm, &run->result);
}

static uint64_t monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Opens all disks before the sandbox forbids it. */
static int open_disks(struct request *request)
{
    int status = CLI_OK;

    for (unsigned i = 0; i < request->disk_count && !status; i++)
        status = cli_open_disk(&request->disks[i], &request->open_disks[i]);
    /* A file that may not grow is the guest's I/O error, not our end. */
    if (request->disk_count > 0)
        signal(SIGXFSZ, SIG_IGN);
    request->options.disks = request->open_disks;
    request->options.disk_count = request->disk_count;
    return status;
}

static int run_request(struct request *request, struct cli_run *run)
{
    char error[MAYFLY_ERROR_BYTES];
    struct mayfly *vm;
    unsigned closed;
    FILE *stats, *timeline;
    bool ran = false;
    int status = CLI_OK, status_fd = -1;
    int image = cli_open_image(request->image, &closed, &status);

    if (image < 0)
        return status;
    if (open_disks(request) || !open_report(request->stats_path, &stats) ||
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

int cmd_run(int argc, char **argv)
{
    struct request request = {.options = MAYFLY_OPTIONS, .confine = true};
    struct cli_run run = {.start_ns = monotonic_ns()};
    bool done = false;
    int status = parse_options(argc, argv, &request, &done);

    if (!status && !done)
        status = parse_operands(argc, argv, &request);
    if (status || done)
        return status;
    run.image = request.image;
    return run_request(&request, &run);
}
