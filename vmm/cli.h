/* SPDX-License-Identifier: MIT */
/* The command line: what its files share. Uses the public library only. */
#ifndef VMM_CLI_H
#define VMM_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "vmm/mayfly.h"

/*
 * Exit statuses. A guest's own status passes through; these mean that there is
 * none. 125 to 127 are what container tools use for the same cases; a VM that
 * a signal ended has CLI_SIGNALLED plus the signal's number, as in a shell.
 */
enum cli_status {
    CLI_OK = 0,
    CLI_CRASHED = 123,   /* the guest crashed */
    CLI_TIMED_OUT = 124, /* --timeout ended it, as timeout(1) does */
    CLI_FAILED = 125,    /* the monitor could not do it */
    CLI_NOT_IMAGE = 126, /* the file is not an image */
    CLI_NOT_FOUND = 127, /* there is no such file */
    CLI_SIGNALLED = 128,
};

/* The subcommands: argv[0] is the subcommand's name. Return the status. */
int cmd_run(int argc, char **argv);
int cmd_restore(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_doctor(int argc, char **argv);

/* Prints "mayfly: " and the message to standard error. Returns `status`. */
__attribute__((__format__(__printf__, 2, 3))) int
cli_fail(int status, const char *format, ...);

/*
 * A usage error: the message, and where to find help; NULL is the subcommand
 * that runs. Returns CLI_FAILED.
 */
__attribute__((__format__(__printf__, 2, 3))) int
cli_misuse(const char *command, const char *format, ...);

/*
 * Opens an image; with `writable` for writing, too, if that is allowed. Returns
 * the descriptor, above the three standard ones, or
 * -1 with the status in `*status` after saying why. A standard descriptor that
 * was closed is kept occupied, and its bit (1 << fd) set in `*closed`.
 */
int cli_open_image(const char *path, bool writable, unsigned *closed,
                   int *status);

/*
 * Puts /dev/null where a standard descriptor is closed. Returns which: bits
 * (1 << fd).
 */
unsigned cli_occupy_closed(void);

/*
 * Reads a number from 1 on, with K, M or G behind it for the first to the third
 * power of `step` (1000 for rates, 1024 for memory). Returns whether it is one
 * and fits.
 */
bool cli_parse_number(const char *text, unsigned step, uint64_t *number);

/*
 * Sets what --log-level names: "error", "warn", "info" or "debug". Returns
 * whether it is one of them.
 */
bool cli_parse_level(const char *text);

/* What cli_parse_rate() says of a word that is not for it. */
#define CLI_OTHER (-1)

/*
 * Takes the word OPS_NAME=NUMBER or bps=NUMBER of an option, each once, into
 * `*rate`. Returns CLI_OK, CLI_OTHER if it is another word, or CLI_FAILED after
 * saying what is wrong.
 */
int cli_parse_rate(const char *option, const char *ops_name, const char *word,
                   struct mayfly_rate *rate);

#define CLI_GUEST_PATH_BYTES 1024 /* of where something is mounted */

/* One --disk option. */
struct cli_disk {
    const char *path;
    const char *id;    /* NULL: none */
    const char *mount; /* where the guest mounts it; NULL: it does not */
    bool read_only;
    bool direct; /* past the host's page cache */
    struct mayfly_rate rate;
    char guest_option[CLI_GUEST_PATH_BYTES + 16];
};

/*
 * Takes FILE[,ro][,mount=PATH][,id=NAME][,direct][,iops=N][,bps=N] apart,
 * cutting `text` at its commas. Returns CLI_OK, or CLI_FAILED after saying what
 * is wrong.
 */
int cli_parse_disk(char *text, struct cli_disk *disk);

/*
 * Opens the file and locks it: one writer, or readers only. Returns CLI_OK and
 * fills `*opened`, or CLI_FAILED after saying why not.
 */
int cli_open_disk(const struct cli_disk *disk, struct mayfly_disk *opened);

/*
 * Opens what --files names: a tar archive, or a directory, of which one is
 * made in memory, of at most 1 GiB. It is a read-only disk. Returns CLI_OK and
 * fills `*opened`, or CLI_FAILED after saying why not.
 */
int cli_open_files(const char *path, struct mayfly_disk *opened);

/* One --share option. */
struct cli_share {
    const char *directory; /* of the host */
    const char *path;      /* in the guest: absolute, without '/' at its end */
    char guest_option[CLI_GUEST_PATH_BYTES + 16]; /* tells the runtime of it */
    bool writable;
    struct mayfly_rate rate;
};

/*
 * Takes HOSTDIR[,rw][,iops=N][,bps=N]:/PATH apart, cutting `text` at its
 * separators: the last ':' that a '/' follows, then its commas. Returns CLI_OK,
 * or CLI_FAILED after saying what is wrong.
 */
int cli_parse_share(char *text, struct cli_share *share);

/*
 * Opens the directory. Returns CLI_OK and fills `*opened`, or CLI_FAILED after
 * saying why not.
 */
int cli_open_share(const struct cli_share *share, struct mayfly_share *opened);

/* What is behind a network device. */
enum cli_net_kind {
    CLI_NET_TAP,  /* a tap device, by name */
    CLI_NET_USER, /* passt: no privilege, no set-up */
    CLI_NET_FD,   /* an inherited descriptor */
};

#define CLI_ADDRESS_BYTES    46 /* an IPv6 address as text, and its end */
#define CLI_WORD_BYTES       64
#define CLI_NAME_SERVERS_MAX 2
#define CLI_IP_OPTION_BYTES  384

/* The addresses that a card gets; empty: none given. */
struct cli_addresses {
    bool given; /* any of them */
    bool dhcp;
    char ip4[CLI_ADDRESS_BYTES], gateway4[CLI_ADDRESS_BYTES];
    unsigned prefix4;
    char ip6[CLI_ADDRESS_BYTES], gateway6[CLI_ADDRESS_BYTES];
    unsigned prefix6;
    char name_servers[CLI_NAME_SERVERS_MAX][CLI_ADDRESS_BYTES];
    unsigned name_server_count;
};

/*
 * Takes ip=, gw=, ip6=, gw6= or dns= (cli_address.c). Returns CLI_OK, CLI_OTHER
 * if it is another word, or CLI_FAILED after saying what is wrong.
 */
int cli_parse_address(const char *word, struct cli_addresses *addresses);

/* Looks at all of them together. CLI_OK, or CLI_FAILED after saying why. */
int cli_settle_addresses(const struct cli_addresses *addresses);

/*
 * Writes what the guest of card `index` is told, at most CLI_IP_OPTION_BYTES
 * with its end.
 */
void cli_write_addresses(const struct cli_addresses *addresses, unsigned index,
                         char *to, size_t room);

/* One --net option. */
struct cli_net {
    enum cli_net_kind kind;
    const char *name; /* of the tap device */
    int fd;           /* the inherited descriptor */
    bool host;        /* passt: the gateway is the host's loopback */
    uint8_t mac[6];   /* all zero: none given */
    uint16_t mtu;     /* 0: none given */
    struct mayfly_rate rate;
    struct cli_addresses addresses;
    char guest_option[CLI_IP_OPTION_BYTES]; /* for the guest's runtime */
};

#define CLI_FORWARDS_MAX 64

/* One -p option: a port of the host that is a port of the guest. */
struct cli_forward {
    char address[CLI_ADDRESS_BYTES]; /* IPv4 or IPv6; empty: all */
    uint16_t host;                   /* port */
    uint16_t guest;                  /* port */
    bool udp;                        /* not TCP */
};

/*
 * Takes tap=NAME, user[,host] or fd=N, and then
 * [,mac=MAC][,mtu=N][,pps=N][,bps=N] and the words of cli_parse_address()
 * apart, cutting `text` at its commas. Returns CLI_OK, or CLI_FAILED after
 * saying what is wrong.
 */
int cli_parse_net(char *text, struct cli_net *net);

/* Reads [ADDR:]HOST:GUEST[/tcp|/udp]. Returns as cli_parse_net(). */
int cli_parse_forward(const char *text, struct cli_forward *forward);

/*
 * Looks at all --net and -p options together, when the last one is parsed: port
 * forwards want one `user`, or no network at all; then they are streams, of TCP
 * only. Returns as cli_parse_net().
 */
int cli_settle_nets(const struct cli_net *nets, unsigned count,
                    const struct cli_forward *forwards, unsigned forward_count);

/*
 * Listens at the host's end of a forward, of TCP: all addresses of both
 * families where none is given. Returns CLI_OK and fills `*opened`, or
 * CLI_FAILED after saying why not.
 */
int cli_open_stream(const struct cli_forward *forward,
                    struct mayfly_stream *opened);

/* One --allow-connect option: an address that the guest may connect to. */
struct cli_connect {
    uint8_t address[16]; /* IPv6, or IPv4 in the first four */
    bool is_ipv6;
    bool by_name; /* the address is what a name led to */
    uint16_t port;
    char guest_option[400]; /* for the guest's runtime */
};

/*
 * Reads HOST:PORT, entry `index` of the list, cutting `text`. A name is looked
 * up. Returns CLI_OK, or CLI_FAILED after saying what is wrong.
 */
int cli_parse_connect(char *text, unsigned index, struct cli_connect *connect);

/*
 * Starts the process that connects for the guest, to these addresses alone, and
 * that ends when `*fd`, our end of its socket, closes. Returns CLI_OK, or
 * CLI_FAILED after saying why not.
 */
int cli_start_broker(const struct cli_connect *list, unsigned count, int *fd);

/*
 * Opens what is behind a network device; `user` starts passt, with the
 * forwards. Returns CLI_OK and fills `*opened`, or CLI_FAILED after saying why
 * not. What is opened ends with this process, passt included.
 */
int cli_open_net(const struct cli_net *net, const struct cli_forward *forwards,
                 unsigned forward_count, struct mayfly_net *opened);

/*
 * Starts passt for the VM whose MAC address is in `net` and stores our end of
 * its socket in `*fd`. Returns CLI_OK once it forwards, or CLI_FAILED after
 * saying why it does not.
 */
int cli_start_passt(const struct cli_net *net,
                    const struct cli_forward *forwards, unsigned forward_count,
                    int *fd);

/*
 * Opens the file that a snapshot is to be written to: one that is not there, or
 * that an earlier attempt has left unfinished. Returns CLI_OK and stores the
 * descriptor, or CLI_FAILED after saying why not.
 */
int cli_open_snapshot(const char *path, int *fd);

/* Whether there is a passt in PATH. */
bool cli_has_passt(void);

/* Ends the process now, as it is. For signal handlers, and the broker. */
_Noreturn void cli_end_at_once(int status);

#define CLI_ESCAPED_BYTES 6

/*
 * Writes a byte as a string of JSON has it; one above 0x7e as the character of
 * that number. Returns how many bytes that took, CLI_ESCAPED_BYTES at most.
 */
size_t cli_escape_json(unsigned char byte, char *to);

/* What a run is reported on. */
struct cli_run {
    const char *image; /* its path, as given */
    uint64_t start_ns; /* CLOCK_MONOTONIC at the start of main */
    long peak_rss_kib;
    int status; /* the exit status */
    struct mayfly_result result;
    struct mayfly_stats stats;
};

/* One line about what the run cost. */
void report_summary(FILE *to, const struct cli_run *run);

/* All counts, as JSON: the schema is in vmm/README.md. */
void report_stats(FILE *to, const struct cli_run *run);

/* Where the time went, as a table for people. */
void report_timeline(FILE *to, const struct cli_run *run);

/* The same as a Chrome trace (JSON). */
void report_trace(FILE *to, const struct cli_run *run);

/* A crash, for people: what, where, registers, frames. */
void report_crash(FILE *to, const struct mayfly_crash *crash,
                  const struct mayfly_frame *frames, unsigned count);

#endif
