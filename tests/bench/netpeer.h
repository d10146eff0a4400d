/* SPDX-License-Identifier: MIT */
/* What the parts of netpeer know of each other. */
#ifndef TESTS_BENCH_NETPEER_H
#define TESTS_BENCH_NETPEER_H

#include <linux/if_ether.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#define TYPE      0x88b5 /* of numbered frames: for local experiments */
#define FRAME_MAX 65600u

/* The command's words. */
struct options {
    const char *name;    /* of the interface, or a destination */
    const char *address; /* ADDRESS[/BITS] */
    unsigned long count, bytes, window, interval_us, mtu;
    uint8_t mac[ETH_ALEN];
    bool has_mac;
};

extern struct options options;

/* A signal came: print the line, and end. */
extern volatile sig_atomic_t stopped;

/* Says what could not be done, and errno; ends with 77 if it is not allowed. */
_Noreturn void die(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

_Noreturn void usage(void);

/* Monotonic time. */
uint64_t now_ns(void);

/* What this process has used of the processor. */
uint64_t cpu_us(void);

/* Room for so many times. */
uint64_t *make_times(unsigned long count);

/* Sorts them, and prints the shortest, the median and the 99th percentile. */
void print_times(uint64_t *times, unsigned long count);

/* A request about this interface. */
struct ifreq named(const char *name);

/* Attaches to the tap, or makes it; frames have the header that Mayfly's do. */
int open_tap(const char *name);

/* Reads ADDRESS[/BITS], which it cuts in two. */
in_addr_t parse_address(char *text, unsigned *bits);

/* The commands that are not in netpeer.c. Each returns an exit status. */
int blast(void);
int flood(void);
int count_frames(void);
int answer(void);

#endif
