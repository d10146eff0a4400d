/* SPDX-License-Identifier: MIT */
/* What `mayfly run` and `mayfly restore` are asked to do. */
#ifndef VMM_CLI_OPTIONS_H
#define VMM_CLI_OPTIONS_H

#include "vmm/cli_guest.h"

/* What the options ask for. */
struct cli_request {
    struct cli_guest guest; /* guest.restore: `image` is a snapshot */
    struct mayfly_options options;
    struct mayfly_disk open_disks[MAYFLY_DISKS_MAX];
    struct cli_share shares[MAYFLY_SHARES_MAX];
    unsigned share_count;
    struct mayfly_share open_shares[MAYFLY_SHARES_MAX];
    struct cli_net nets[MAYFLY_NETS_MAX];
    unsigned net_count;
    struct mayfly_net open_nets[MAYFLY_NETS_MAX];
    struct cli_forward forwards[CLI_FORWARDS_MAX];
    unsigned forward_count;
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
 * Fills `*request`, which starts from the defaults (and says which command it
 * is), from the command line: the
 * strings there stay in use, and some of them are cut. Returns CLI_OK, or the
 * status to end with after saying what is wrong; `*done` tells that all that
 * was asked for, help, is printed.
 */
int cli_parse_run(int argc, char **argv, struct cli_request *request,
                  bool *done);

#endif
