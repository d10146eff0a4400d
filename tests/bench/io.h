/* SPDX-License-Identifier: MIT */
/* The devices' benchmark: its loads, programs that run, the report. */
#ifndef BENCH_IO_H
#define BENCH_IO_H

/*
 * `io` runs each load in each mode once a round, in another order each round,
 * and keeps what each run gave: samples of the same index are of the same
 * round, so that a guest is compared with what a host process did a moment
 * before or after. One thread; what fails ends the program.
 */

#include "tests/bench/bench.h"

/* Who does the work, and who serves the rings. */
enum io_mode {
    IO_HOST,     /* a host process: the reference */
    IO_AUTO,     /* mayfly as it comes */
    IO_INLINE,   /* --io inline */
    IO_THREAD,   /* --io thread */
    IO_SLEEPING, /* --io thread --poll 0 */
    IO_MMIO,     /* --transport mmio, for comparison */
    IO_MODES,
};

/* What a run gives; counts are of the monitor's whole life. */
enum io_metric {
    IO_MEDIAN_US,  /* of single requests or round trips */
    IO_MIN_US,     /* the shortest */
    IO_P99_US,     /* one in a hundred took longer */
    IO_MEAN_US,    /* time of all by their number */
    IO_RATE,       /* requests or packets a second */
    IO_CPU_US,     /* processor time of all threads, by request */
    IO_CLIENT_US,  /* the same of the client on the host */
    IO_EXITS,      /* per 1000 requests */
    IO_HYPERCALLS, /* of those: asked for by the guest */
    IO_UPCALLS,    /* interruptions, per 1000 requests */
    IO_REQUESTS,   /* buffers that the device has used */
    IO_KICKS,
    IO_BATCHES,
    IO_BATCH_MAX,
    IO_NOTIFICATIONS,
    IO_SUPPRESSED,  /* notifications that were not needed */
    IO_HAD_THREAD,  /* 1: there was an I/O thread */
    IO_SLEEPS,      /* of that thread */
    IO_SERVER_CPU,  /* the processor where the guest or process was last */
    IO_CLIENT_CPU,  /* the same of the client */
    IO_DONE,        /* requests answered, warm-ups included */
    IO_LOST,        /* packets without answer that the tap did not drop */
    IO_UNDELIVERED, /* packets that the tap dropped */
    IO_METRICS,
};

enum io_load_name {
    IO_READ_1,
    IO_READ_32,
    IO_WRITE_1,
    IO_WRITE_32,
    IO_SEQUENTIAL_1,
    IO_SEQUENTIAL_4,
    IO_PING_BUSY,
    IO_PING_IDLE,
    IO_ECHO,
    IO_ECHO_ONE,
    IO_COMPUTE,
    IO_COMPUTE_ONE,
    IO_PROMPT,
    IO_PROMPT_ONE,
    IO_LOADS,
};

struct io_load {
    const char *name;  /* the key in io.json */
    const char *title; /* in the table */
    const char *unit;  /* what is counted: "request", "ping", "packet" */
    unsigned bytes;    /* of one */
    unsigned depth;    /* as many at once */
    unsigned count;    /* in one run */
    const char *guest_words[6]; /* the guest's arguments, until NULL */
    unsigned modes;             /* bits: those that it is measured in */
    struct samples samples[IO_MODES][IO_METRICS];
};

/* The bring-up: these start in turn, a guest that ends at once. */
enum io_start {
    IO_START_NONE,
    IO_START_ENTROPY,
    IO_START_BALLOON,
    IO_START_DISK,
    IO_START_NET_FD, /* a tap that is open already */
    IO_START_ALL_FD,
    IO_START_ALL_TAP, /* a tap that the monitor opens */
    IO_STARTS,
};

struct io_results {
    unsigned rounds;
    unsigned start_rounds;
    double load;             /* average of the last minute before the run */
    const char *net_skipped; /* why there is no network, or NULL */
    struct io_load loads[IO_LOADS];
    struct samples exit_us[IO_STARTS];        /* from spawn to exit */
    double start_exits[IO_STARTS];            /* NAN: not measured */
    struct samples open_disk_us, open_tap_us; /* what opening them takes */
    double device_text_bytes; /* code of virtio/, in the monitor's build */
    double monitor_bytes;     /* stripped */
};

extern struct io_results io_results;

#define IO_OUT    "build/bench/"
#define IO_MAYFLY IO_OUT "mayfly"
#define IO_STATS  IO_OUT "io-stats.json"
#define IO_DISK   IO_OUT "io.img"
#define IO_TAP    "mayfly0"
#define IO_MAC    "02:00:00:00:00:02"
#define IO_HERE   "10.99.0.1/24"
#define IO_THERE  "10.99.0.2"

/* ---- io_run.c ------------------------------------------------------ */

/* A command line that grows. */
struct io_command {
    const char *argv[40];
    unsigned count;
};

/* Appends one word, which the caller keeps. */
void io_push(struct io_command *command, const char *word);

/* `mayfly run` with the options of `mode`, statistics to IO_STATS. */
void io_push_mayfly(struct io_command *command, enum io_mode mode);

/* A program that runs. */
struct io_child {
    const char *name;
    pid_t pid;
    int out;         /* its standard output */
    char text[4096]; /* what it has printed so far */
    size_t got;
    double ready_cpu_us; /* its processor time when it was ready, or 0 */
};

/* Starts it. At most two run at a time. */
void io_begin(struct io_child *child, const struct io_command *command);

/* Reads until it has printed `line`, and takes its processor time. */
void io_await(struct io_child *child, const char *line);

/* What is known once it has ended. */
struct io_end {
    double cpu_us; /* of all its threads since it was ready, or ever */
    int cpu;       /* the processor where its first thread was last; or -1 */
    int status;    /* as wait has it */
};

/* Reads to its end, `milliseconds` long at most (then it gets SIGTERM). */
void io_end(struct io_child *child, int milliseconds, struct io_end *end);

/* Ends the benchmark unless that was exit status 0. */
void io_check(const struct io_child *child, const struct io_end *end);

/* Kills what runs, and reaps it; for signal handlers too. */
void io_kill(void);

/* The number after `key` in `text`, which must be there. */
double io_number(const char *text, const char *key);

/* Adds what IO_STATS says of `requests` requests to the device `name`. */
void io_add_stats(struct samples samples[IO_METRICS], const char *name,
                  double requests);

/* The value after `key` in IO_STATS. */
double io_stat(const char *key);

/* Bits of the modes, shuffled: calls `run` once for each. */
void io_each_mode(struct io_load *load,
                  void (*run)(struct io_load *, enum io_mode));

/* ---- io_block.c ---------------------------------------------------- */

/* Makes the disk's file, stamped and in the page cache. */
void io_block_prepare(void);

/* All loads of the disk, once. */
void io_block_round(void);

/* ---- io_net.c ------------------------------------------------------ */

/* A network namespace of our own with a tap. Returns why not, or NULL. */
const char *io_net_prepare(void);

/* All loads of the network, once. */
void io_net_round(void);

/* A tap that only we use, open as `--net fd=` wants it. */
int io_net_open_tap(const char *name);

/* ---- io_start.c ---------------------------------------------------- */

/* Measures bring-up and sizes. */
void io_start_all(void);

/* ---- io_report.c --------------------------------------------------- */

/* Median of a[i] - b[i]: of pairs measured in the same round. */
double io_median_difference(const struct samples *a, const struct samples *b);

/* What became of a target. */
struct io_target {
    char figure[64];
    double value, limit;
    bool at_least; /* otherwise: at most */
    int decimals;
    const char *unit;
};

#define IO_TARGETS_MAX 32

/* Fills in those that were measured. Returns how many. */
unsigned io_targets(struct io_target targets[IO_TARGETS_MAX]);

/* Whether it was met. */
bool io_target_met(const struct io_target *target);

/* Prints the tables. Returns how many targets were missed. */
unsigned io_report_text(FILE *to);

/* ---- io_json.c ----------------------------------------------------- */

/* The modes' names, in io.json and in the tables. */
extern const char *const io_mode_names[IO_MODES];
extern const char *const io_mode_titles[IO_MODES];
extern const char *const io_start_names[IO_STARTS];
extern const char *const io_start_titles[IO_STARTS];
extern const char *const io_metric_names[IO_METRICS];

/* Writes everything as JSON (tests/bench/README.md names the keys). */
void io_report_json(const char *path);

/* Writes what the plots are made of below `directory`. */
void io_report_plot_data(const char *directory);

#endif
