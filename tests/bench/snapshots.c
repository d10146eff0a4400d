/* SPDX-License-Identifier: MIT */
/* Measures resets, restores and clones. See tests/bench/README.md. */
#include "tests/bench/snapshots.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/mayfly.h"

#define OUT "build/bench/"

/* Calls in a row of one kind, in each round. */
#define CALLS_A_ROUND 50

const unsigned reset_pages[RESETS] = {0, 64};
const unsigned clone_pages[CLONES] = {10, 30};

static struct snapshot_results results;
static char error[MAYFLY_ERROR_BYTES];

static void must(int result, const char *what)
{
    if (result)
        die("%s: %s", what, error);
}

static unsigned number_from_env(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);

    return text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

/* ---- Snapshots ----------------------------------------------------------- */

/* Runs an image until it can be taken. Returns `fd`, or a sealed new file. */
static int take(const char *image, const char *argument, uint32_t points,
                enum mayfly_end end, int fd)
{
    const char *const args[] = {image, argument, NULL};
    struct mayfly_options options = MAYFLY_OPTIONS;
    bool in_memory = fd < 0;
    struct mayfly_result result;
    struct mayfly *vm;
    int file = open(image, O_RDONLY | O_CLOEXEC);

    if (in_memory)
        fd = memfd_create("snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (file < 0 || fd < 0)
        die("%s", image);
    options.args = args;
    options.snapshots = points;
    must(mayfly_create(&options, &vm, error), image);
    must(mayfly_load(vm, file, error), image);
    must(mayfly_run(vm, &result, error), image);
    if (result.end != end)
        die("%s ended with %d", image, result.end);
    must(mayfly_snapshot(vm, fd, error), image);
    mayfly_destroy(vm);
    close(file);
    if (in_memory && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE))
        die("cannot seal a snapshot");
    return fd;
}

static struct mayfly *restore(int snapshot, bool resettable)
{
    struct mayfly_options options = MAYFLY_OPTIONS;
    struct mayfly *vm;

    options.resettable = resettable;
    must(mayfly_create(&options, &vm, error), "mayfly_create");
    must(mayfly_restore(vm, snapshot, error), "mayfly_restore");
    return vm;
}

/* Calls a function with one byte of input, which has to answer. */
static void call_function(struct mayfly *vm, const char *function,
                          unsigned pages)
{
    const unsigned char input = (unsigned char)pages;
    struct mayfly_call call = {
        .function = function,
        .in = &input,
        .in_bytes = pages > 0,
        .timeout_ns = 10000000000ull,
    };
    struct mayfly_result result;

    must(mayfly_call(vm, &call, &result, error), function);
    if (result.end != MAYFLY_AT_CALL)
        die("%s: end %d", function, result.end);
}

/* ---- Resets -------------------------------------------------------------- */

static void reset_and_call(struct mayfly *vm)
{
    must(mayfly_reset(vm, error), "mayfly_reset");
    call_function(vm, "nothing", 0);
}

static void time_bare(struct bare_vm *vm, struct samples *round)
{
    uint64_t begin = now_ns();

    bare_vm_exit(vm);
    samples_add(round, (double)(now_ns() - begin) / 1e3);
}

static void time_reset(struct mayfly *vm, struct samples *round)
{
    uint64_t begin = now_ns();

    reset_and_call(vm);
    samples_add(round, (double)(now_ns() - begin) / 1e3);
}

static void keep(struct samples *all, struct samples *round)
{
    for (unsigned i = 0; i < round->count; i++)
        samples_add(all, round->values[i]);
    free(round->values);
    *round = (struct samples){0};
}

static void run_round(struct bare_vm *bare, struct mayfly *vms[RESETS])
{
    struct samples exits = {0}, resets[RESETS] = {{0}};

    for (unsigned i = 0; i < CALLS_A_ROUND; i++)
        time_bare(bare, &exits);
    for (unsigned r = 0; r < RESETS; r++)
        for (unsigned i = 0; i < CALLS_A_ROUND; i++)
            time_reset(vms[r], &resets[r]);
    for (unsigned r = 0; r < RESETS; r++) {
        samples_add(&results.resets[r].added_us,
                    samples_median(&resets[r]) - samples_median(&exits));
        keep(&results.resets[r].us, &resets[r]);
    }
    keep(&results.bare_us, &exits);
}

/* What repeats exactly. */
static void count_resets(struct mayfly *vm, struct resets *resets)
{
    enum { COUNT = 100 };
    struct mayfly_stats before, after;

    mayfly_get_stats(vm, &before);
    for (unsigned i = 0; i < COUNT; i++)
        reset_and_call(vm);
    mayfly_get_stats(vm, &after);
    resets->pages = (double)(after.reset_pages - before.reset_pages) / COUNT;
    /* mayfly_get_stats() makes some itself, after it has counted. */
    resets->monitor_calls =
        (double)(after.monitor_calls - before.monitor_calls) / COUNT;
}

static void measure_resets(int snapshot)
{
    struct bare_vm *bare = bare_vm_create();
    struct mayfly *vms[RESETS];

    for (unsigned r = 0; r < RESETS; r++) {
        vms[r] = restore(snapshot, true);
        if (reset_pages[r])
            call_function(vms[r], "dirty", reset_pages[r]);
        reset_and_call(vms[r]);
        count_resets(vms[r], &results.resets[r]);
    }
    for (unsigned i = 0; i < results.rounds; i++)
        run_round(bare, vms);
    for (unsigned r = 0; r < RESETS; r++)
        mayfly_destroy(vms[r]);
}

/* ---- Starts -------------------------------------------------------------- */

static bool set_realtime(bool on)
{
    const struct sched_param param = {.sched_priority = on};

    return sched_setscheduler(0, on ? SCHED_FIFO : SCHED_OTHER, &param) == 0;
}

/* Another VM lives meanwhile: what the first one pays for is not counted. */
static void start_other(void)
{
    static const char *const argv[] = {OUT "mayfly", "run", OUT "forever.elf",
                                       NULL};
    char text[64];
    int pipes[2];

    if (pipe2(pipes, O_CLOEXEC))
        die("pipe");
    spawn_waiting(argv, pipes[1]);
    if (read(pipes[0], text, sizeof(text)) <= 0)
        die("%s does not run", argv[2]);
    close(pipes[0]);
    close(pipes[1]);
}

static void measure_starts(void)
{
    static const struct {
        const char *argv[4];
        const char *output;
        int status;
    } programs[STARTS] = {
        [START_NATIVE] = {{OUT "hello-musl"}, "Hello from a Mayfly VM.\n", 0},
        [START_FLOOR] = {{OUT "floor"}, "!", 0},
        [START_COLD] = {{OUT "mayfly", "run", OUT "hello.elf"},
                        "Hello from a Mayfly VM.\n",
                        0},
        [START_RESTORE] = {{OUT "mayfly", "restore", OUT "point.snapshot"},
                           "restored 1 0 0\n",
                           7},
    };

    start_other();
    results.realtime = set_realtime(true);
    for (unsigned round = 0; round < results.rounds; round++)
        for (unsigned i = 0; i < STARTS; i++) {
            unsigned which = (i + round) % STARTS;
            struct start start;

            start_timed(programs[which].argv, programs[which].output,
                        programs[which].status, STDERR_FILENO, &start);
            samples_add(&results.starts_us[which], start.first_us);
        }
    set_realtime(false);
    stop_waiting(128 + SIGTERM);
}

static void take_point(void)
{
    int fd;

    unlink(OUT "point.snapshot");
    fd = open(OUT "point.snapshot", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        die(OUT "point.snapshot");
    close(take(OUT "snapshot.elf", "again", MAYFLY_SNAPSHOT_POINT,
               MAYFLY_AT_SNAPSHOT, fd));
}

/* ---- Clones -------------------------------------------------------------- */

static struct mayfly *create(void)
{
    struct mayfly_options options = MAYFLY_OPTIONS;
    struct mayfly *vm;

    must(mayfly_create(&options, &vm, error), "mayfly_create");
    return vm;
}

static struct mayfly *clone_of(const struct mayfly_template *template)
{
    struct mayfly *vm = create();

    must(mayfly_clone(vm, template, error), "mayfly_clone");
    return vm;
}

/* With `pages`, it has learned of a clone that wrote to so many. */
static struct mayfly_template *make_template(int snapshot, unsigned pages)
{
    struct mayfly_template *template;

    must(mayfly_open_template(snapshot, &template, error), "a template");
    if (pages) {
        struct mayfly *vm = clone_of(template);

        call_function(vm, "dirty", pages);
        must(mayfly_learn(template, vm, error), "mayfly_learn");
        mayfly_destroy(vm);
    }
    return template;
}

static double since_us(uint64_t begin_ns)
{
    return (double)(now_ns() - begin_ns) / 1e3;
}

/* The clock runs from `begin` on. */
static void finish_clone(struct mayfly *vm, unsigned pages, uint64_t begin,
                         struct samples *us)
{
    call_function(vm, "dirty", pages);
    samples_add(us, since_us(begin));
}

static void measure_kinds(int snapshot, struct mayfly_template *plain,
                          struct mayfly_template *learned, unsigned pages,
                          struct clones *to)
{
    uint64_t begin = now_ns();
    struct mayfly *vm = clone_of(learned);

    finish_clone(vm, pages, begin, &to->us);
    begin = now_ns();
    mayfly_destroy(vm);
    samples_add(&to->destroy_us, since_us(begin));
    begin = now_ns();
    vm = clone_of(plain);
    finish_clone(vm, pages, begin, &to->plain_us);
    mayfly_destroy(vm);
    vm = create();
    begin = now_ns();
    must(mayfly_clone(vm, learned, error), "mayfly_clone");
    finish_clone(vm, pages, begin, &to->ahead_us);
    mayfly_destroy(vm);
    begin = now_ns();
    vm = restore(snapshot, false);
    finish_clone(vm, pages, begin, &to->restore_us);
    mayfly_destroy(vm);
}

static void measure_clones(int snapshot)
{
    struct mayfly_template *plain = make_template(snapshot, 0);
    struct mayfly_template *learned[CLONES];

    for (unsigned i = 0; i < CLONES; i++)
        learned[i] = make_template(snapshot, clone_pages[i]);
    for (unsigned round = 0; round < results.rounds; round++)
        for (unsigned i = 0; i < CLONES; i++)
            measure_kinds(snapshot, plain, learned[i], clone_pages[i],
                          &results.clones[i]);
    for (unsigned i = 0; i < CLONES; i++)
        mayfly_close_template(learned[i]);
    mayfly_close_template(plain);
}

static double pss_kib(void)
{
    return file_number("/proc/self/smaps_rollup", "Pss:");
}

static double available_kib(void)
{
    return file_number("/proc/meminfo", "MemAvailable:");
}

/* As many as there are descriptors for, and room for. */
static unsigned prepare_many(unsigned count)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files))
        die("cannot prepare %u clones", count);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur < 4 * count + 64)
        count = (unsigned)(files.rlim_cur - 64) / 4;
    return count;
}

static void make_many(struct mayfly **vms, unsigned count,
                      const struct mayfly_template *template)
{
    for (unsigned i = 0; i < count; i++) {
        vms[i] = clone_of(template);
        call_function(vms[i], "dirty", clone_pages[CLONE_30]);
    }
}

static double seconds_since(uint64_t begin_ns)
{
    return (double)(now_ns() - begin_ns) / 1e9;
}

static void measure_idle(const struct mayfly_template *template, unsigned count)
{
    struct mayfly **vms = calloc(count, sizeof(*vms));
    struct idle_clones *idle = &results.idle;

    if (!vms)
        die("cannot prepare %u clones", count);
    double pss = pss_kib(), available = available_kib();
    uint64_t begin = now_ns();
    make_many(vms, count, template);
    idle->count = count;
    idle->seconds = seconds_since(begin);
    idle->pss_kib = (pss_kib() - pss) / count;
    idle->available_kib = (available - available_kib()) / count;
    begin = now_ns();
    for (unsigned i = 0; i < count; i++)
        mayfly_destroy(vms[i]);
    idle->destroy_seconds = seconds_since(begin);
    free(vms);
}

/* What KVM itself takes: no memory but a page or two is touched. */
static void measure_bare(unsigned count)
{
    struct bare_vm **vms = calloc(count, sizeof(*vms));
    uint64_t begin = now_ns();

    if (!vms)
        die("cannot prepare %u VMs", count);
    for (unsigned i = 0; i < count; i++) {
        vms[i] = bare_vm_create();
        bare_vm_exit(vms[i]);
    }
    results.idle.bare_seconds = seconds_since(begin);
    for (unsigned i = 0; i < count; i++)
        bare_vm_destroy(vms[i]);
    free(vms);
}

/* For those who are to use all processors. */
static void unpin(void)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    for (int i = 0; i < get_nprocs(); i++)
        CPU_SET((size_t)i, &set);
    sched_setaffinity(0, sizeof(set), &set);
}

/* One process of many: says when it is done, and lives until it is read. */
static void be_one_of_many(const struct mayfly_template *template,
                           unsigned count, int done, int end)
{
    struct mayfly **vms = calloc(count, sizeof(*vms));
    char byte = 0;

    if (!vms)
        _exit(1);
    unpin();
    make_many(vms, count, template);
    if (write(done, &byte, 1) != 1 || read(end, &byte, 1) != 0)
        _exit(1);
    _exit(0);
}

static void measure_spread(const struct mayfly_template *template,
                           unsigned count)
{
    int done[2], end[2];
    uint64_t begin;

    if (pipe2(done, O_CLOEXEC) || pipe2(end, O_CLOEXEC))
        die("pipe");
    begin = now_ns();
    for (unsigned i = 0; i < IDLE_PROCESSES; i++) {
        pid_t child = fork();

        if (child < 0)
            die("fork");
        if (child == 0) {
            close(end[1]);
            be_one_of_many(template, count / IDLE_PROCESSES, done[1], end[0]);
        }
    }
    close(done[1]); /* a child that fails is an end of file in the end */
    for (unsigned i = 0; i < IDLE_PROCESSES; i++) {
        char byte;

        if (read(done[0], &byte, 1) != 1)
            die("clones in several processes");
    }
    results.idle.spread_seconds = seconds_since(begin);
    close(end[1]);
    for (unsigned i = 0; i < IDLE_PROCESSES; i++)
        wait(NULL);
    close(done[0]);
    close(end[0]);
}

static void measure_many(int snapshot, unsigned count)
{
    struct mayfly_template *template =
        make_template(snapshot, clone_pages[CLONE_30]);

    count = prepare_many(count);
    measure_bare(count);
    measure_idle(template, count);
    measure_spread(template, count);
    mayfly_close_template(template);
}

/* ---- All of it ----------------------------------------------------------- */

static void on_signal(int number)
{
    kill_waiting();
    _exit(128 + number);
}

static double size_kib(int fd)
{
    struct stat status;

    return fstat(fd, &status) ? 0 : (double)status.st_size / 1024;
}

int main(void)
{
    int snapshot;

    if (!freopen("/dev/null", "r", stdin))
        die("/dev/null");
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    signal(SIGPIPE, SIG_IGN);
    results.cpu = pin_from_env();
    results.rounds = number_from_env("BENCH_ROUNDS", 300);
    results.load = file_number("/proc/loadavg", "");
    snapshot = take(OUT "calls.elf", NULL, 0, MAYFLY_AT_CALL, -1);
    results.snapshot_kib = size_kib(snapshot);
    take_point();
    measure_resets(snapshot);
    measure_starts();
    measure_clones(snapshot);
    measure_many(snapshot, number_from_env("BENCH_VMS", 1000));
    unsigned missed = snapshots_text(stdout, &results);
    snapshots_json(OUT "snapshots.json", &results);
    snapshots_plot_data(OUT "snapshots.dat", &results);
    printf("\n%u target%s missed\n", missed, missed == 1 ? "" : "s");
    return 0;
}
