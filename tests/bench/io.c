/* SPDX-License-Identifier: MIT */
/* io: measures Mayfly's devices against host processes; README.md says how. */
#include "tests/bench/io.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODE(name)   (1u << IO_##name)
#define SERVED       (MODE(AUTO) | MODE(INLINE) | MODE(THREAD))
#define ALL_BUT_MMIO (MODE(HOST) | SERVED | MODE(SLEEPING))
#define ALL          (ALL_BUT_MMIO | MODE(MMIO))

#define ECHO_GUEST           \
    {                        \
        IO_OUT "netecho.elf" \
    }
#define COMPUTE_GUEST           \
    {                           \
        IO_OUT "netcompute.elf" \
    }
#define PROMPT_GUEST                       \
    {                                      \
        IO_OUT "netcompute.elf", "-p", "1" \
    }

struct io_results io_results = {
    .loads =
        {
            [IO_READ_1] = {"read-4k-1",
                           "4 KiB random reads, one at a time",
                           "request",
                           4096,
                           1,
                           20000,
                           {"rand", "read"},
                           ALL},
            [IO_READ_32] = {"read-4k-32",
                            "4 KiB random reads, 32 at once",
                            "request",
                            4096,
                            32,
                            60000,
                            {"rand", "read"},
                            ALL},
            [IO_WRITE_1] = {"write-4k-1",
                            "4 KiB random writes, one at a time",
                            "request",
                            4096,
                            1,
                            20000,
                            {"rand", "write"},
                            ALL_BUT_MMIO},
            [IO_WRITE_32] = {"write-4k-32",
                             "4 KiB random writes, 32 at once",
                             "request",
                             4096,
                             32,
                             40000,
                             {"rand", "write"},
                             ALL_BUT_MMIO},
            [IO_SEQUENTIAL_1] = {"sequential-128k-1",
                                 "128 KiB sequential reads, one at a time",
                                 "request",
                                 128 << 10,
                                 1,
                                 4096,
                                 {"seq", "read"},
                                 ALL_BUT_MMIO},
            [IO_SEQUENTIAL_4] = {"sequential-128k-4",
                                 "128 KiB sequential reads, 4 at once",
                                 "request",
                                 128 << 10,
                                 4,
                                 4096,
                                 {"seq", "read"},
                                 ALL_BUT_MMIO},
            [IO_PING_BUSY] = {"ping-busy",
                              "Ping, back to back",
                              "ping",
                              98,
                              1,
                              3000,
                              {IO_OUT "netping.elf"},
                              ALL},
            [IO_PING_IDLE] = {"ping-idle",
                              "Ping, one in 10 ms",
                              "ping",
                              98,
                              1,
                              100,
                              {IO_OUT "netping.elf"},
                              ALL_BUT_MMIO},
            [IO_ECHO] = {"echo", "64-byte packets echoed, 512 on their way",
                         "packet", 64, 512, 50000, ECHO_GUEST, ALL},
            [IO_ECHO_ONE] = {"echo-one", "64-byte packets echoed, one by one",
                             "packet", 64, 1, 3000, ECHO_GUEST, ALL_BUT_MMIO},
            [IO_COMPUTE] = {"compute", "Computing guest, 256 on their way",
                            "packet", 64, 256, 20000, COMPUTE_GUEST, SERVED},
            [IO_COMPUTE_ONE] = {"compute-one", "Computing guest, one by one",
                                "packet", 64, 1, 300, COMPUTE_GUEST, SERVED},
            [IO_PROMPT] = {"prompt", "The same, not moderated, 256", "packet",
                           64, 256, 20000, PROMPT_GUEST, SERVED},
            [IO_PROMPT_ONE] = {"prompt-one",
                               "The same, not moderated, one by one", "packet",
                               64, 1, 300, PROMPT_GUEST, SERVED},
        },
};

static unsigned number_from_env(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);

    return text && *text ? (unsigned)strtoul(text, NULL, 0) : otherwise;
}

/* Leaves nothing behind. */
static void on_signal(int number)
{
    io_kill();
    kill_waiting();
    unlink(IO_DISK);
    _exit(128 + number);
}

static void remove_disk(void)
{
    unlink(IO_DISK);
}

static void say_round(unsigned round)
{
    fprintf(stderr, "bench: disks and networks, round %u of %u\n", round + 1,
            io_results.rounds);
}

int main(void)
{
    if (!freopen("/dev/null", "r", stdin) || atexit(remove_disk))
        die("/dev/null");
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    io_results.rounds = number_from_env("BENCH_IO_ROUNDS", 5);
    io_results.start_rounds = number_from_env("BENCH_IO_STARTS", 100);
    if (!io_results.rounds || !io_results.start_rounds)
        die("BENCH_IO_ROUNDS and BENCH_IO_STARTS are 1 at least");
    io_results.load = file_number("/proc/loadavg", "");
    io_block_prepare();
    io_results.net_skipped = io_net_prepare();
    for (unsigned i = 0; i < io_results.rounds; i++) {
        say_round(i);
        io_block_round();
        if (!io_results.net_skipped)
            io_net_round();
    }
    fprintf(stderr, "bench: bringing devices up\n");
    io_start_all();

    unsigned missed = io_report_text(stdout);
    io_report_json(IO_OUT "io.json");
    io_report_plot_data(IO_OUT);
    printf("\n%u target%s missed\n", missed, missed == 1 ? "" : "s");
    return 0;
}
