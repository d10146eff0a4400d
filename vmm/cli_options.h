/* SPDX-License-Identifier: MIT */
/* What `mayfly run` and `mayfly restore` are asked to do. */
#ifndef VMM_CLI_OPTIONS_H
#define VMM_CLI_OPTIONS_H

#include "vmm/cli.h"

#define CLI_ENV_MAX           256
#define CLI_GUEST_OPTIONS_MAX 64
#define CLI_HOST_NAME_MAX     64 /* bytes, as on Linux */

/* What the options ask for. */
struct cli_request {
    const char *command; /* "run" or "restore" */
    bool restore;        /* `image` is a snapshot */
    struct mayfly_options options;
    const char *env[CLI_ENV_MAX + 1];
    unsigned env_count;
    const char *guest_options[CLI_GUEST_OPTIONS_MAX + 1];
    unsigned guest_option_count;
    struct cli_disk disks[MAYFLY_DISKS_MAX];
    unsigned disk_count;
    struct mayfly_disk open_disks[MAYFLY_DISKS_MAX];
    char hostname_option[CLI_HOST_NAME_MAX + sizeof("hostname=")];
    const char *files; /* an archive or a directory, NULL: none */
    char files_option[16];
    struct cli_share shares[MAYFLY_SHARES_MAX];
    unsigned share_count;
    struct mayfly_share open_shares[MAYFLY_SHARES_MAX];
    struct cli_net nets[MAYFLY_NETS_MAX];
    unsigned net_count;
    struct mayfly_net open_nets[MAYFLY_NETS_MAX];
    struct cli_forward forwards[CLI_FORWARDS_MAX];
    unsigned forward_count;
    struct cli_connect connects[MAYFLY_CONNECTS_MAX];
    unsigned connect_count;
    struct mayfly_stream open_streams[CLI_FORWARDS_MAX];
    bool confine;
    unsigned confine_flags;
    bool summary;
    const char *stats_path;    /* NULL: none; "": standard error */
    const char *timeline_path; /* likewise */
    const char *snapshot_path; /* where to write one; NULL: nowhere */
    int snapshot_fd;
    const char *image;
};

/*
 * Adds a K=V string for the guest's runtime (guest_rt/option.h) that lives as
 * long as the request. Returns CLI_OK, or CLI_FAILED after saying that there
 * are too many.
 */
int cli_add_guest_option(struct cli_request *request, const char *option);

/*
 * Fills `*request`, which starts from the defaults (and says which command it
 * is), from the command line: the
 * strings there stay in use, and some of them are cut. Returns CLI_OK, or the
 * status to end with after saying what is wrong; `*done` tells that all that
 * was asked for, help, is printed.
 */
int cli_parse_run(int argc, char **argv, struct cli_request *request,
                  bool *done);

#endif
