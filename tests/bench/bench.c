/* SPDX-License-Identifier: MIT */
/* bench: measures Mayfly against what it has to beat; README.md says how. */
#include "tests/bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUT    "build/bench/"
#define MAYFLY OUT "mayfly"
#define STATS  OUT "stats.json"

#define GREETING   "Hello from a Mayfly VM.\n"
#define QEMU       "/usr/bin/qemu-system-x86_64"
#define QEMU_GUEST OUT "qemu.elf"
#define QEMU_REST                                                      \
    "-m", "16M", "-nodefaults", "-no-user-config", "-display", "none", \
        "-monitor", "none", "-serial", "stdio", "-device",             \
        "isa-debug-exit,iobase=0xf4,iosize=4", "-kernel", QEMU_GUEST
#define QEMU_MACHINE \
    "microvm,pit=off,pic=off,rtc=off,isa-serial=on,x-option-roms=off,accel="

#define QEMU_EVERY    10 /* it takes a hundred times longer than the others */
#define STAGE_ROUNDS  100
#define PIPE_MIB      1024
#define PIPE_ROUNDS   3
#define COST_ROUNDS   5
#define QUIET_SECONDS 20 /* how long to wait for a host without VMs */

static struct results results =
    {
        .cpu = -1,
        .competitors =
            {
                [FLOOR] = {.name = "floor",
                           .label = "KVM floor",
                           .argv = {OUT "floor"},
                           .output = "!"},
                [HELLO] = {.name = "mayfly-hello",
                           .label = "mayfly hello",
                           .argv = {MAYFLY, "run", OUT "hello.elf"},
                           .output = GREETING},
                [BOOT] = {.name = "mayfly-boot",
                          .label = "mayfly boot",
                          .argv = {MAYFLY, "run", OUT "boot.elf"},
                          .output = ""},
                [MUSL] = {.name = "process-musl",
                          .label = "process, static musl",
                          .argv = {OUT "hello-musl"},
                          .output = GREETING},
                [GLIBC] = {.name = "process-glibc",
                           .label = "process, static glibc",
                           .argv = {OUT "hello-glibc"},
                           .output = GREETING},
                [QEMU_KVM] = {.name = "qemu-microvm-kvm",
                              .label = "QEMU microvm, KVM",
                              .argv = {QEMU, "-M", QEMU_MACHINE "kvm", "-cpu",
                                       "host,-arch-capabilities", QEMU_REST},
                              .output = "!",
                              .status = 1,
                              .every = QEMU_EVERY},
                [QEMU_TCG] = {.name = "qemu-microvm-tcg",
                              .label = "QEMU microvm, TCG",
                              .argv = {QEMU, "-M", QEMU_MACHINE "tcg",
                                       "-cpu", "max", QEMU_REST},
                              .output = "!",
                              .status = 1,
                              .every = QEMU_EVERY},
            },
};

static const char *const forever[] = {MAYFLY, "run", OUT "forever.elf", NULL};
#define FOREVER_GREETING "waiting\n"

static unsigned number_from_env(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);

    return text && *text ? (unsigned)strtoul(text, NULL, 0) : otherwise;
}

static void say(const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
}

/* ---- Start latency ------------------------------------------------- */

/* Optional competitors take part only if they work here. */
static void try_optional(struct competitor *qemu)
{
    if (access(QEMU, X_OK)) {
        qemu->skipped = "qemu-system-x86_64 is not installed";
        return;
    }
    pid_t pid = fork();
    if (pid == 0) {
        struct start start;
        int null = open("/dev/null", O_WRONLY);

        dup2(null, STDERR_FILENO);
        start_timed(qemu->argv, qemu->output, qemu->status, STDERR_FILENO,
                    &start);
        _exit(0);
    }
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
        qemu->skipped = "it does not run here";
}

/* In another order each time: what one leaves behind meets all others. */
static void shuffle(unsigned order[COMPETITORS])
{
    static unsigned seed = 1; /* the same orders in each run */

    for (unsigned i = 0; i < COMPETITORS; i++) {
        unsigned j = (unsigned)rand_r(&seed) % (i + 1);

        order[i] = order[j];
        order[j] = i;
    }
}

static void run_round(unsigned round, int which)
{
    unsigned order[COMPETITORS];

    shuffle(order);
    for (unsigned i = 0; i < COMPETITORS; i++) {
        struct competitor *competitor = &results.competitors[order[i]];
        struct start start;

        if (competitor->skipped ||
            (competitor->every && round % competitor->every))
            continue;
        start_timed(competitor->argv, competitor->output, competitor->status,
                    STDERR_FILENO, &start);
        if (!isnan(start.first_us))
            samples_add(&competitor->first_us[which], start.first_us);
        samples_add(&competitor->exit_us[which], start.exit_us);
    }
}

/* A VM that lives on, from its greeting until it is stopped. */
static void start_other_vm(void)
{
    char text[sizeof(FOREVER_GREETING)];
    int pipes[2];

    if (pipe2(pipes, O_CLOEXEC))
        die("pipe");
    spawn_waiting(forever, pipes[1]);
    if (read(pipes[0], text, sizeof(text)) <= 0)
        die("%s does not run", forever[2]);
    close(pipes[0]);
    close(pipes[1]);
}

static void run_alive(void)
{
    say("start latency, another VM alive");
    for (unsigned round = 0; round < results.rounds; round++)
        run_round(round, ALIVE);
}

/* Waits for a host without VMs. Returns whether it came to that. */
static bool wait_for_quiet(void)
{
    uint64_t end = now_ns() + QUIET_SECONDS * UINT64_C(1000000000);

    while (count_vms() > 0) {
        results.disturbed++;
        if (now_ns() > end)
            return false;
        usleep(20000);
    }
    return true;
}

/* No VM lives when a program of these rounds starts. */
static void run_cold(void)
{
    say("start latency, no VM alive");
    for (unsigned round = 0; round < results.rounds; round++) {
        if (!wait_for_quiet()) {
            say("VMs of others are alive: the cold case ends here");
            break;
        }
        run_round(round, COLD);
    }
}

/* ---- Counts -------------------------------------------------------- */

/* A file for the statistics, which the monitor prints on standard error: it
 * costs nothing while the VM comes up. */
static int open_stats(void)
{
    int fd = open(STATS, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd < 0)
        die("cannot write %s", STATS);
    return fd;
}

static void start_with_stats(const char *const *argv, const char *output,
                             struct start *start)
{
    int stats = open_stats();

    start_timed(argv, output, 0, stats, start);
    close(stats);
}

static double number_from_stats(const char *key)
{
    double number = file_number(STATS, key);

    errno = 0;
    if (number < 0)
        die("%s has no %s", STATS, key);
    return number;
}

/* One stage of the life of the VM that the statistics are about. */
static void add_stage(unsigned index, const char *name, double took_us)
{
    struct stage *stage = &results.stages[index];

    snprintf(stage->name, sizeof(stage->name), "%s", name);
    samples_add(&stage->took_us, took_us);
}

/* From the first output to the end, which printing statistics would delay. */
static void add_exit_stage(void)
{
    const struct competitor *hello = &results.competitors[HELLO];

    for (unsigned i = 0; i < hello->exit_us[ALIVE].count; i++)
        add_stage(results.stage_count, "exit",
                  hello->exit_us[ALIVE].values[i] -
                      hello->first_us[ALIVE].values[i]);
    results.stage_count++;
}

/*
 * The monitor's own times start in its main; the time before that is what it
 * took to the first output less what the monitor has seen of it.
 */
static void read_stages(const struct start *start)
{
    static const char *const names[] = {"create", "vm",    "vcpu",
                                        "memory", "image", "confined",
                                        "start",  "main",  "first-output"};
    const unsigned count = sizeof(names) / sizeof(names[0]);
    double last = 0;

    add_stage(0, "exec",
              start->first_us - number_from_stats("\"first-output\": ") / 1e3);
    for (unsigned i = 0; i < count; i++) {
        char key[40];

        /* Indented: "image" is also the name of the file. */
        snprintf(key, sizeof(key), "\n    \"%s\": ", names[i]);
        double at = number_from_stats(key) / 1e3;
        add_stage(i + 1, names[i], at - last);
        last = at;
    }
    results.stage_count = count + 1;
}

static void count_all(void)
{
    const char *const hello[] = {MAYFLY, "run", "--stats", OUT "hello.elf",
                                 NULL};
    const char *const boot[] = {MAYFLY, "run", "--stats", OUT "boot.elf", NULL};
    struct start start;

    say("counts");
    start_with_stats(boot, "", &start);
    results.boot_exits = number_from_stats("\"exits\": ");
    for (unsigned i = 0; i < STAGE_ROUNDS; i++) {
        start_with_stats(hello, GREETING, &start);
        read_stages(&start);
    }
    add_exit_stage();
    results.hello_exits = number_from_stats("\"exits\": ");
    results.hello_pages = number_from_stats("\"mem_touched_bytes\": ") / 4096;
    results.hello_monitor_calls = number_from_stats("\"monitor_calls\": ");
    for (unsigned i = 0; i < COMPETITORS; i++) {
        struct competitor *competitor = &results.competitors[i];

        if (competitor->skipped)
            continue;
        trace_program(competitor->argv, &competitor->trace);
        competitor->traced = true;
    }
}

static double file_bytes(const char *path)
{
    struct stat stat_of_it;

    if (stat(path, &stat_of_it))
        die("%s", path);
    return (double)stat_of_it.st_size;
}

/* ---- System calls and a pipe, in a guest and on Linux -------------- */

/* Adds the number after `key` in what a program prints. */
static void add_printed(const char *const *argv, const char *key,
                        struct samples *samples)
{
    char text[4096];
    uint64_t bytes;

    run_reading(argv, STDERR_FILENO, text, sizeof(text), &bytes);
    const char *at = strstr(text, key);
    errno = 0;
    if (!at)
        die("%s: no '%s' in what it prints", argv[0], key);
    samples_add(samples, strtod(at + strlen(key), NULL));
}

static void measure_printed(const char *const *guest, const char *const *native,
                            const char *key, struct pair *pair)
{
    struct samples in_guest = {0}, on_linux = {0};

    for (unsigned i = 0; i < COST_ROUNDS; i++) {
        add_printed(guest, key, &in_guest);
        add_printed(native, key, &on_linux);
    }
    pair->guest = samples_median(&in_guest);
    pair->native = samples_median(&on_linux);
    free(in_guest.values);
    free(on_linux.values);
}

static void measure_calls(void)
{
    const char *const guest_calls[] = {MAYFLY, "run", OUT "syscall.elf", NULL};
    const char *const native_calls[] = {OUT "syscall-musl", NULL};
    const char *const guest_clock[] = {MAYFLY, "run", OUT "clock.elf", NULL};
    const char *const native_clock[] = {OUT "clock-musl", NULL};

    say("system calls");
    measure_printed(guest_calls, native_calls, "\ngetppid() ",
                    &results.getppid_ns);
    measure_printed(guest_calls, native_calls, "\nsyscall(SYS_getppid) ",
                    &results.getppid_raw_ns);
    measure_printed(guest_clock, native_clock, "clock_gettime ",
                    &results.clock_ns);
}

static double pipe_mib_s(const char *const *argv)
{
    char text[1];
    uint64_t bytes;
    int stats = open_stats();
    double seconds = run_reading(argv, stats, text, sizeof(text), &bytes);

    close(stats);
    errno = 0;
    if (bytes != (uint64_t)PIPE_MIB << 20)
        die("%s wrote %llu bytes", argv[0], (unsigned long long)bytes);
    return PIPE_MIB / seconds;
}

static void measure_pipe(void)
{
    const char *const guest[] = {MAYFLY, "run",  "--stats", OUT "write.elf",
                                 "--",   "1024", NULL};
    const char *const native[] = {OUT "write-musl", "1024", NULL};
    struct samples in_guest = {0}, on_linux = {0};

    say("1 GiB through a pipe");
    for (unsigned i = 0; i < PIPE_ROUNDS; i++) {
        samples_add(&on_linux, pipe_mib_s(native));
        samples_add(&in_guest, pipe_mib_s(guest));
    }
    results.pipe_mib_s.guest = samples_median(&in_guest);
    results.pipe_mib_s.native = samples_median(&on_linux);
    results.pipe_exits_per_mib = number_from_stats("\"exits\": ") / PIPE_MIB;
    free(in_guest.values);
    free(on_linux.values);
}

/* ---- All of it ----------------------------------------------------- */

/*
 * Real-time priority for this program and what it starts, as far as it may:
 * short programs then do not wait for what else runs on this host.
 */
static bool set_realtime(bool on)
{
    const struct sched_param param = {.sched_priority = on};

    return sched_setscheduler(0, on ? SCHED_FIFO : SCHED_OTHER, &param) == 0;
}

/* Leaves no VM behind. */
static void on_signal(int number)
{
    kill_waiting();
    _exit(128 + number);
}

int main(void)
{
    unsigned vms = number_from_env("BENCH_VMS", 1000);

    if (!freopen("/dev/null", "r", stdin))
        die("/dev/null");
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    results.rounds = number_from_env("BENCH_ROUNDS", 300);
    results.load = file_number("/proc/loadavg", "");
    results.cpu = pin_from_env();
    results.realtime = set_realtime(true);
    try_optional(&results.competitors[QEMU_KVM]);
    try_optional(&results.competitors[QEMU_TCG]);
    start_other_vm();
    run_alive();
    count_all();
    stop_waiting(128 + SIGTERM);
    run_cold();
    results.monitor_bytes = file_bytes(MAYFLY);
    results.hello_bytes = file_bytes(OUT "hello.elf");
    set_realtime(false);
    measure_calls();
    measure_pipe();
    say("many VMs at once");
    fleet_run(forever, FOREVER_GREETING, vms, &results.fleet);

    unsigned missed = report_text(stdout, &results);
    report_json(OUT "core.json", &results);
    report_plot_data(OUT, &results);
    printf("\n%u target%s missed\n", missed, missed == 1 ? "" : "s");
    return 0;
}
