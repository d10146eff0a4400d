/* SPDX-License-Identifier: MIT */
/* What is in a guest, as options say it: for run, restore and serve. */
#ifndef VMM_CLI_GUEST_H
#define VMM_CLI_GUEST_H

#include "vmm/cli.h"

#define CLI_ENV_MAX           256
#define CLI_GUEST_OPTIONS_MAX 64
#define CLI_HOST_NAME_MAX     64 /* bytes, as on Linux */

/* The strings of the command line stay in use, and some of them are cut. */
struct cli_guest {
    const char *command; /* "run", "restore" or "serve" */
    bool restore;        /* it is in a snapshot: disks are mounted */
    uint64_t mem_bytes;  /* 0: not given */
    const char *env[CLI_ENV_MAX + 1];
    unsigned env_count;
    const char *options[CLI_GUEST_OPTIONS_MAX + 1]; /* for its runtime */
    unsigned option_count;
    struct cli_disk disks[MAYFLY_DISKS_MAX];
    unsigned disk_count;
    char hostname_option[CLI_HOST_NAME_MAX + sizeof("hostname=")];
    const char *files; /* an archive or a directory, NULL: none */
    char files_option[16];
    struct cli_connect connects[MAYFLY_CONNECTS_MAX];
    unsigned connect_count;
    const char *const *args; /* argv, of the guest */
};

/* The options that cli_guest_take() knows, for getopt_long(). */
#define CLI_GUEST_OPTIONS                                \
    {"mem", required_argument, NULL, 'm'},               \
        {"env", required_argument, NULL, 'e'},           \
        {"disk", required_argument, NULL, 'd'},          \
        {"files", required_argument, NULL, 'f'},         \
        {"allow-connect", required_argument, NULL, 'C'}, \
    {                                                    \
        "hostname", required_argument, NULL, 'N'         \
    }

/*
 * Takes an option, by its letter, and its value. Returns CLI_OK; CLI_OTHER if
 * it is another option; or CLI_FAILED after saying what is wrong.
 */
int cli_guest_take(struct cli_guest *guest, int option, char *value);

/*
 * Adds a K=V string for the guest's runtime (guest_rt/option.h) that lives as
 * long as the guest. Returns CLI_OK, or CLI_FAILED after saying that there are
 * too many.
 */
int cli_guest_add_option(struct cli_guest *guest, const char *option);

/*
 * The end of the options: what `--files` is among the disks is settled. Returns
 * CLI_OK, or CLI_FAILED after saying what is wrong.
 */
int cli_guest_settle(struct cli_guest *guest);

/*
 * Notes what the command line's rest, from the image's name on, is for the
 * guest: its arguments.
 */
void cli_guest_take_args(struct cli_guest *guest, char **argv);

/*
 * Opens the disks, and the files, which are the last one. Returns CLI_OK and
 * stores how many are in `opened`, or CLI_FAILED after saying why not.
 */
int cli_guest_open_disks(const struct cli_guest *guest,
                         struct mayfly_disk opened[MAYFLY_DISKS_MAX],
                         unsigned *count);

#endif
