/* SPDX-License-Identifier: MIT */
/* The options of `mayfly run` and `mayfly restore`. */
#include "vmm/cli_options.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int print_run_help(void)
{
    printf(
        "Usage: mayfly run [OPTIONS] IMAGE [-- ARGS...]\n\n"
        "Runs an image as a virtual machine. Its standard input, output and\n"
        "error are those of this command, and so is its exit status. What "
        "follows\n"
        "IMAGE is the guest's.\n\n"
        "  --mem SIZE          memory, such as 1M or 16G (default 16M, or "
        "what\n"
        "                      the image needs)\n"
        "  --env K=V           set a variable for the guest; --env K copies "
        "it\n"
        "  --disk FILE[,ro][,mount=PATH][,id=NAME][,direct][,iops=N][,bps=N]\n"
        "                      give the guest a disk: a file or a block "
        "device;\n"
        "                      ro: read-only; mount: its ext4 file system is "
        "at PATH;\n"
        "                      direct: past the page cache;\n"
        "                      iops, bps: limits of requests and bytes a "
        "second\n"
        "  --files DIR|TAR     files that the guest finds in its root: a "
        "directory of at\n"
        "                      most 1 GiB, or a tar archive\n"
        "  --share HOSTDIR[,rw][,iops=N][,bps=N]:/PATH\n"
        "                      give the guest a directory of the host, as "
        "/PATH (up to\n"
        "                      4); rw: to write to, too\n"
        "  --net tap=NAME|user[,host]|fd=N[,mac=MAC][,mtu=N][,pps=N][,bps=N]\n"
        "                      give the guest a network (up to 2): a tap "
        "device, one\n"
        "                      that needs no privilege (by passt; host: the "
        "guest may\n"
        "                      reach the host's loopback, as 10.0.2.2), or an "
        "open tap\n"
        "                      or stream socket; pps, bps: limits of frames "
        "and bytes\n"
        "                      a second, each way (10M: ten million);\n"
        "                      ip=ADDR/N[,gw=ADDR][,dns=ADDR], "
        "ip6=ADDR/N[,gw6=ADDR]:\n"
        "                      the guest's addresses; ip=dhcp, as without, "
        "asks for one\n"
        "  -p [ADDR:]HOST:GUEST[/tcp|/udp]\n"
        "                      make a port of the host (all addresses, or "
        "ADDR) one\n"
        "                      of the guest: without --net, of TCP, by sockets "
        "of this\n"
        "                      process; with --net user, by passt\n"
        "  --allow-connect HOST:PORT\n"
        "                      let the guest, without --net, connect there "
        "(up to 64)\n"
        "  --hostname NAME     the guest's name (default mayfly)\n"
        "  --entropy           give the guest a source of random bytes\n"
        "  --balloon           give memory that the guest frees back to the "
        "host\n"
        "  --huge-pages        have the guest's memory 2 MiB at a time: for "
        "guests that\n"
        "                      use much of it\n"
        "  --transport KIND    native (default) or mmio: how drivers find "
        "devices\n"
        "  --io MODE           who serves disks, networks and shares: auto "
        "(default),\n"
        "                      inline (the guest's own thread) or thread\n"
        "  --poll US           look for work at most so many microseconds "
        "before\n"
        "                      sleeping (default 50; 0: not at all)\n"
        "  --snapshot FILE     write a snapshot and end: when the guest "
        "calls\n"
        "                      mayfly_snapshot_point(), before it first "
        "accepts a\n"
        "                      connection, or on SIGUSR1; not with --share\n"
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

static int print_restore_help(void)
{
    printf(
        "Usage: mayfly restore [OPTIONS] SNAPSHOT\n\n"
        "Goes on with the guest in a snapshot, as a virtual machine of its "
        "own. Many\n"
        "may go on from one file, unless SIGUSR1 made it.\n\n"
        "  --disk, --net, -p, --allow-connect\n"
        "                      as of 'mayfly run': as many as the guest had, "
        "in the\n"
        "                      same order; disks of the same size. Addresses "
        "that are\n"
        "                      not given stay\n"
        "  --hostname NAME     the guest's name from now on\n"
        "  --files, --io, --poll, --timeout, --sandbox, --summary, --stats, "
        "--timeline,\n"
        "  --huge-pages, --snapshot, --log-level\n"
        "                      as of 'mayfly run'\n"
        "  --help              show this\n\n"
        "What else 'mayfly run' can be told is in the snapshot. Exit status: "
        "as of\n"
        "'mayfly run'; 126 is a file that is no snapshot for this monitor.\n");
    return CLI_OK;
}

/* "0.5" in nanoseconds, more than 0 and at most a year. */
static bool parse_seconds(const char *text, uint64_t *ns)
{
    const uint64_t most_s = 366ull * 86400;
    uint64_t unit_ns = 1000000000;
    char *end;

    if (*text != '.' && (*text < '0' || *text > '9'))
        return false;
    unsigned long long seconds = strtoull(text, &end, 10);
    if (seconds > most_s)
        return false;
    *ns = seconds * unit_ns;
    if (*end == '.') {
        for (end++; *end >= '0' && *end <= '9'; end++) {
            unit_ns /= 10;
            *ns += (uint64_t)(*end - '0') * unit_ns;
        }
    }
    return !*end && *ns > 0;
}

/* "auto", "inline" or "thread". */
static bool parse_io(const char *text, enum mayfly_io *io)
{
    static const char *const names[] = {"auto", "inline", "thread"};

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i]) == 0) {
            *io = (enum mayfly_io)i;
            return true;
        }
    }
    return false;
}

static bool parse_transport(const char *text, enum mayfly_transport *transport)
{
    *transport = strcmp(text, "mmio") == 0 ? MAYFLY_TRANSPORT_MMIO
                                           : MAYFLY_TRANSPORT_NATIVE;
    return *transport || strcmp(text, "native") == 0;
}

/* Microseconds, at most a second, in nanoseconds. */
static bool parse_poll(const char *text, uint64_t *ns)
{
    char *end;
    unsigned long us = strtoul(text, &end, 10);

    *ns = (uint64_t)us * 1000;
    return *text >= '0' && *text <= '9' && !*end && us <= 1000000;
}

static bool parse_sandbox(const char *text, struct cli_request *request)
{
    request->confine = strcmp(text, "off") != 0;
    request->confine_flags = 0;
    if (strcmp(text, "namespaces") == 0)
        request->confine_flags = MAYFLY_CONFINE_NAMESPACES;
    return !request->confine || request->confine_flags ||
           strcmp(text, "on") == 0;
}

/* Notes one more share, and tells the guest where it is. */
static int add_share(struct cli_request *request, char *text)
{
    unsigned index = request->share_count;
    struct cli_share *share = &request->shares[index];

    if (index == MAYFLY_SHARES_MAX)
        return cli_misuse(request->guest.command,
                          "at most %d shares are possible", MAYFLY_SHARES_MAX);
    if (cli_parse_share(text, share))
        return CLI_FAILED;
    for (unsigned i = 0; i < index; i++)
        if (strcmp(request->shares[i].path, share->path) == 0)
            return cli_misuse(request->guest.command, "two shares at %s",
                              share->path);
    request->share_count++;
    snprintf(share->guest_option, sizeof(share->guest_option), "share=%u%s:%s",
             index, share->writable ? "" : ",ro", share->path);
    return cli_guest_add_option(&request->guest, share->guest_option);
}

static int add_net(struct cli_request *request, char *text)
{
    struct cli_net *net;

    if (request->net_count == MAYFLY_NETS_MAX)
        return cli_misuse(request->guest.command,
                          "at most %d networks are possible", MAYFLY_NETS_MAX);
    net = &request->nets[request->net_count];
    if (cli_parse_net(text, net))
        return CLI_FAILED;
    request->net_count++;
    if (!net->addresses.given)
        return CLI_OK;
    cli_write_addresses(&net->addresses, request->net_count - 1,
                        net->guest_option, sizeof(net->guest_option));
    return cli_guest_add_option(&request->guest, net->guest_option);
}

static int add_forward(struct cli_request *request, const char *text)
{
    if (request->forward_count == CLI_FORWARDS_MAX)
        return cli_misuse(request->guest.command,
                          "at most %d ports can be forwarded",
                          CLI_FORWARDS_MAX);
    return cli_parse_forward(text,
                             &request->forwards[request->forward_count++]);
}

/* Options, by letter, that say what is in a guest. */
#define IN_SNAPSHOT "mearyb"

static const char *name_of(const struct option *options, int letter)
{
    while (options->name && options->val != letter)
        options++;
    return options->name;
}

/* Returns CLI_OK, or the status to end with; *done if help was asked for. */
static int parse_options(int argc, char **argv, struct cli_request *request,
                         bool *done)
{
    static const struct option options[] = {
        CLI_GUEST_OPTIONS,
        {"share", required_argument, NULL, 'a'},
        {"net", required_argument, NULL, 'n'},
        {"entropy", no_argument, NULL, 'y'},
        {"balloon", no_argument, NULL, 'b'},
        {"huge-pages", no_argument, NULL, 'H'},
        {"transport", required_argument, NULL, 'r'},
        {"io", required_argument, NULL, 'i'},
        {"poll", required_argument, NULL, 'o'},
        {"snapshot", required_argument, NULL, 'S'},
        {"timeout", required_argument, NULL, 't'},
        {"sandbox", required_argument, NULL, 'c'},
        {"summary", no_argument, NULL, 'u'},
        {"stats", optional_argument, NULL, 's'},
        {"timeline", optional_argument, NULL, 'l'},
        {"log-level", required_argument, NULL, 'g'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int option, status;

    opterr = 0;
    while ((option = getopt_long(argc, argv, "+:p:", options, NULL)) != -1) {
        const char *bad = NULL;

        if (request->guest.restore && option != ':' &&
            strchr(IN_SNAPSHOT, option))
            return cli_misuse(request->guest.command,
                              "what --%s says is in the snapshot",
                              name_of(options, option));
        switch (option) {
        case 'a':
            if (add_share(request, optarg))
                return CLI_FAILED;
            break;
        case 'n':
            if (add_net(request, optarg))
                return CLI_FAILED;
            break;
        case 'p':
            if (add_forward(request, optarg))
                return CLI_FAILED;
            break;
        case 'y':
            request->options.entropy = true;
            break;
        case 'b':
            request->options.balloon = true;
            break;
        case 'H':
            request->options.huge_pages = true;
            break;
        case 'r':
            if (!parse_transport(optarg, &request->options.transport))
                bad = "--transport takes native or mmio";
            break;
        case 'i':
            if (!parse_io(optarg, &request->options.io))
                bad = "--io takes auto, inline or thread";
            break;
        case 'o':
            if (!parse_poll(optarg, &request->options.poll_ns))
                bad = "--poll takes microseconds, at most 1000000";
            break;
        case 'S':
            request->snapshot_path = optarg;
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
            if (!cli_parse_level(optarg))
                bad = "--log-level takes error, warn, info or debug";
            break;
        case 'h':
            *done = true;
            return request->guest.restore ? print_restore_help()
                                          : print_run_help();
        case ':':
            return cli_misuse(request->guest.command, "%s needs a value",
                              optopt == 'p' ? "-p" : argv[optind - 1]);
        default:
            status = cli_guest_take(&request->guest, option, optarg);
            if (status == CLI_FAILED)
                return status;
            if (status == CLI_OK)
                break;
            return cli_misuse(request->guest.command, "unknown option '%s'",
                              argv[optind - 1]);
        }
        if (bad)
            return cli_misuse(request->guest.command, "%s, not '%s'", bad,
                              optarg);
    }
    if (request->guest.connect_count > 0 && request->net_count > 0)
        return cli_misuse(request->guest.command,
                          "--allow-connect works without --net");
    if (cli_guest_settle(&request->guest))
        return CLI_FAILED;
    return cli_settle_nets(request->nets, request->net_count, request->forwards,
                           request->forward_count);
}

/* The image, and what the guest sees as its arguments. */
static int parse_operands(int argc, char **argv, struct cli_request *request)
{
    if (optind == argc)
        return cli_misuse(request->guest.command, "%s is needed",
                          request->guest.restore ? "a snapshot" : "an image");
    request->image = argv[optind];
    request->options.guest_options = request->guest.options;
    if (request->guest.restore)
        return optind + 1 == argc ? CLI_OK
                                  : cli_misuse(request->guest.command,
                                               "arguments are in the snapshot");
    cli_guest_take_args(&request->guest, argv + optind);
    request->options.mem_bytes = request->guest.mem_bytes;
    request->options.args = request->guest.args;
    request->options.env = request->guest.env;
    return CLI_OK;
}

int cli_parse_run(int argc, char **argv, struct cli_request *request,
                  bool *done)
{
    int status = parse_options(argc, argv, request, done);

    if (!status && !*done)
        status = parse_operands(argc, argv, request);
    return status;
}
