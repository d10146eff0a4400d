/* SPDX-License-Identifier: MIT */
/* mayfly serve: each connection is served by a VM of its own. */
#include "vmm/cli_guest.h"
#include "vmm/server/server.h"

#include <getopt.h>
#include <sched.h>
#include <string.h>

static int print_help(void)
{
    printf(
        "Usage: mayfly serve --listen ADDRESS [OPTIONS] IMAGE|SNAPSHOT "
        "[-- ARGS...]\n\n"
        "Boots an image until it waits for its first connection, and then "
        "has every\n"
        "connection served by a VM that goes on from there and that nobody has "
        "used\n"
        "before. The program is a server as any other: HTTP or another "
        "protocol on\n"
        "TCP. A snapshot of 'mayfly run' or 'mayfly restore' is gone on from "
        "likewise.\n\n"
        "  --listen ADDR:PORT|unix:PATH\n"
        "                      where to listen; *:PORT: at all addresses\n"
        "  --workers N         VMs that serve at the same time, at most "
        "(default: one\n"
        "                      a processor)\n"
        "  --pool N            VMs made in advance beyond these (default: "
        "none; as many\n"
        "                      as workers for images whose VMs cannot be "
        "reset)\n"
        "  --timeout MS        what a connection may wait for a VM, and a VM "
        "may take\n"
        "                      for a connection (default 10000)\n"
        "  --max-requests-per-vm N\n"
        "                      connections that a VM serves before it is reset "
        "(default\n"
        "                      1)\n"
        "  --connections N     connections that are held at the same time, at "
        "most\n"
        "                      (default 4096); more wait with the kernel, and "
        "silent\n"
        "                      ones are closed for them\n"
        "  --server-first      the server speaks first: connections do not "
        "wait for\n"
        "                      their client's first byte\n"
        "  --boot-timeout MS   what the image may take to its first accept\n"
        "                      (default 30000)\n"
        "  --admin ADDR:PORT|unix:PATH\n"
        "                      answer GET /metrics (Prometheus) and /healthz "
        "there\n"
        "  --access-log FILE|- write a JSON object for each connection\n\n"
        "  --mem, --env, --files, --allow-connect, --hostname\n"
        "                      as of 'mayfly run'\n"
        "  --disk FILE,ro[,mount=PATH][,id=NAME][,direct][,iops=N][,bps=N]\n"
        "                      likewise, but read-only: all VMs have it\n"
        "  --poll US           look for work at most so many microseconds "
        "before\n"
        "                      sleeping (default 50; 0: not at all)\n"
        "  --log-level LEVEL   error, warn (default), info or debug\n"
        "  --help              show this\n\n"
        "A client whose VM crashes, ends or takes too long is answered 502 or "
        "504 if it\n"
        "speaks HTTP and has had no answer, else its connection is closed.\n\n"
        "SIGHUP boots the image anew; connections go on meanwhile. SIGTERM and "
        "SIGINT\n"
        "end the service when all that was accepted is served; a second one "
        "ends it at\n"
        "once.\n\n"
        "Exit status: 0 after SIGTERM or SIGINT, or\n"
        "  123  the guest crashed before it accepted a connection\n"
        "  124  it did not come to that within --boot-timeout\n"
        "  125  mayfly itself failed\n"
        "  126  the file is neither an image nor a snapshot\n"
        "  127  there is no such file\n");
    return CLI_OK;
}

/* Returns whether it is a number from `least` to `most`. */
static bool parse_count(const char *text, unsigned least, unsigned most,
                        unsigned *count)
{
    uint64_t number = 0;

    if (strcmp(text, "0") != 0 && !cli_parse_number(text, 1000, &number))
        return false;
    *count = (unsigned)number;
    return number >= least && number <= most;
}

/* Milliseconds, to a day, in nanoseconds. */
static bool parse_ms(const char *text, uint64_t *ns)
{
    unsigned ms = 0;
    bool valid = parse_count(text, 1, 86400000, &ms);

    *ns = ms * UINT64_C(1000000);
    return valid;
}

/* Microseconds, to a second, in nanoseconds. */
static bool parse_us(const char *text, uint64_t *ns)
{
    unsigned us = 0;
    bool valid = parse_count(text, 0, 1000000, &us);

    *ns = us * UINT64_C(1000);
    return valid;
}

/* Takes a number. Returns what the option takes if it is none, or NULL. */
static const char *take_number(struct server_options *options, int option,
                               const char *value)
{
    switch (option) {
    case 'w':
        return parse_count(value, 1, SERVER_WORKERS_MAX, &options->workers)
                   ? NULL
                   : "--workers takes a number from 1 to 1024";
    case 'p':
        options->pool_given = true;
        return parse_count(value, 0, SERVER_WORKERS_MAX, &options->pool)
                   ? NULL
                   : "--pool takes a number to 1024";
    case 'r':
        return parse_count(value, 1, 1000000000, &options->requests_per_vm)
                   ? NULL
                   : "--max-requests-per-vm takes a number from 1 on";
    default:
        return parse_count(value, 1, SERVER_CONNECTIONS_MAX,
                           &options->connections)
                   ? NULL
                   : "--connections takes a number from 1 to 1048576";
    }
}

/* Likewise a time or a level. */
static const char *take_value(struct server_options *options, int option,
                              const char *value)
{
    switch (option) {
    case 't':
        return parse_ms(value, &options->timeout_ns)
                   ? NULL
                   : "--timeout takes milliseconds, to a day";
    case 'b':
        return parse_ms(value, &options->boot_timeout_ns)
                   ? NULL
                   : "--boot-timeout takes milliseconds, to a day";
    case 'o':
        return parse_us(value, &options->poll_ns)
                   ? NULL
                   : "--poll takes microseconds, at most 1000000";
    case 'g':
        return cli_parse_level(value)
                   ? NULL
                   : "--log-level takes error, warn, info or debug";
    default:
        return take_number(options, option, value);
    }
}

static int take_address(struct server_address *address, const char *option,
                        const char *value)
{
    const char *wrong = server_parse_address(value, address);

    return wrong ? cli_misuse("serve", "%s %s: %s", option, value, wrong)
                 : CLI_OK;
}

/* What other commands have may be meant. */
static int refuse_option(const char *word)
{
    static const char *const others[][2] = {
        {"--net", ": VMs that serve have no network; see --allow-connect"},
        {"--share", ": VMs that serve have no shares; see --files and --disk"},
        {"--snapshot", ": 'mayfly run' makes snapshots"},
        {"-p", ": --listen says where to listen"},
    };
    const char *more = "";

    for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (strncmp(word, others[i][0], strlen(others[i][0])) == 0)
            more = others[i][1];
    return cli_misuse("serve", "unknown option '%s'%s", word, more);
}

static int parse_option(struct server_options *options, struct cli_guest *guest,
                        int option, char **argv)
{
    const char *bad;
    int status = cli_guest_take(guest, option, optarg);

    if (status != CLI_OTHER)
        return status;
    switch (option) {
    case 'l':
        return take_address(&options->listen, "--listen", optarg);
    case 'a':
        return take_address(&options->admin, "--admin", optarg);
    case 'L':
        options->access_log = optarg;
        return CLI_OK;
    case 's':
        options->server_first = true;
        return CLI_OK;
    case ':':
        return cli_misuse("serve", "%s needs a value", argv[optind - 1]);
    case '?':
        return refuse_option(argv[optind - 1]);
    default:
        bad = take_value(options, option, optarg);
        return bad ? cli_misuse("serve", "%s, not '%s'", bad, optarg) : CLI_OK;
    }
}

static int parse_options(int argc, char **argv, struct server_options *options,
                         struct cli_guest *guest, bool *done)
{
    static const struct option known[] = {
        CLI_GUEST_OPTIONS,
        {"listen", required_argument, NULL, 'l'},
        {"admin", required_argument, NULL, 'a'},
        {"access-log", required_argument, NULL, 'L'},
        {"workers", required_argument, NULL, 'w'},
        {"pool", required_argument, NULL, 'p'},
        {"timeout", required_argument, NULL, 't'},
        {"boot-timeout", required_argument, NULL, 'b'},
        {"max-requests-per-vm", required_argument, NULL, 'r'},
        {"connections", required_argument, NULL, 'c'},
        {"server-first", no_argument, NULL, 's'},
        {"poll", required_argument, NULL, 'o'},
        {"log-level", required_argument, NULL, 'g'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int option, status = CLI_OK;

    opterr = 0;
    while (!status && !*done &&
           (option = getopt_long(argc, argv, "+:", known, NULL)) != -1) {
        *done = option == 'h';
        status =
            *done ? print_help() : parse_option(options, guest, option, argv);
    }
    return status;
}

/*
 * What is for the operator is for a guest only if it is named as an address: a
 * name may lead anywhere.
 */
static int check_connects(const struct server_options *options,
                          const struct cli_guest *guest)
{
    for (unsigned i = 0; i < guest->connect_count; i++) {
        const struct cli_connect *to = &guest->connects[i];

        if (to->by_name && server_is_reached(&options->admin, to->address,
                                             to->is_ipv6, to->port))
            return cli_misuse("serve",
                              "--allow-connect: a name leads to --admin %s: "
                              "the address has to be given itself",
                              options->admin.text);
    }
    return CLI_OK;
}

/* What the options are together. */
static int settle(int argc, char **argv, struct server_options *options,
                  struct cli_guest *guest)
{
    if (options->listen.bytes == 0)
        return cli_misuse("serve", "--listen is needed: ADDR:PORT, *:PORT or "
                                   "unix:PATH");
    for (unsigned i = 0; i < guest->disk_count; i++)
        if (!guest->disks[i].read_only)
            return cli_misuse("serve",
                              "--disk %s: all VMs have it, so it can be read "
                              "only: add ',ro'",
                              guest->disks[i].path);
    if (optind == argc)
        return cli_misuse("serve", "an image or a snapshot is needed");
    options->image = argv[optind];
    cli_guest_take_args(guest, argv + optind);
    if (check_connects(options, guest))
        return CLI_FAILED;
    return cli_guest_settle(guest);
}

static unsigned count_processors(void)
{
    cpu_set_t set;
    int count = 1;

    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        count = CPU_COUNT(&set);
    return count < SERVER_WORKERS_MAX ? (unsigned)count : SERVER_WORKERS_MAX;
}

int cmd_serve(int argc, char **argv)
{
    struct cli_guest guest = {.command = "serve"};
    struct server_options options = {
        .workers = count_processors(),
        .connections = SERVER_CONNECTIONS,
        .requests_per_vm = 1,
        .timeout_ns = SERVER_TIMEOUT_NS,
        .boot_timeout_ns = SERVER_BOOT_TIMEOUT_NS,
        .poll_ns = MAYFLY_POLL_NS,
        .guest = &guest,
    };
    bool done = false;
    int status;

    cli_occupy_closed(); /* no socket becomes anybody's output */
    status = parse_options(argc, argv, &options, &guest, &done);
    if (!status && !done)
        status = settle(argc, argv, &options, &guest);
    return status || done ? status : server_run(&options);
}
