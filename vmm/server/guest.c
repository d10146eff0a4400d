/* SPDX-License-Identifier: MIT */
/* Guests of the server's processes: their options, and their crashes. */
#include "vmm/server/guest.h"

#include <string.h>
#include <unistd.h>

#include "vmm/cli_guest.h"
#include "vmm/server/child.h"

/* What is mounted is in the snapshot; the rest may differ. */
static bool is_in_snapshot(const char *option)
{
    return strncmp(option, "mount=", 6) == 0 ||
           strncmp(option, "files=", 6) == 0;
}

/* The runtime's options, for a guest whose snapshot has others. */
static const char *const *list_given_options(const struct cli_guest *guest)
{
    static const char *list[CLI_GUEST_OPTIONS_MAX + 1];
    unsigned count = 0;

    for (unsigned i = 0; i < guest->option_count; i++)
        if (!is_in_snapshot(guest->options[i]))
            list[count++] = guest->options[i];
    list[count] = NULL;
    return list;
}

int guest_prepare(const struct cli_guest *guest, enum guest_origin origin,
                  struct mayfly_options *options)
{
    if (origin == GUEST_BOOTS) {
        options->mem_bytes = guest->mem_bytes;
        options->args = guest->args;
        options->env = guest->env;
        options->guest_options = guest->options;
    }
    if (origin == GUEST_IS_GIVEN)
        options->guest_options = list_given_options(guest);
    options->in = -1;
    options->lossy = true; /* no request fails for a full disk */
    options->out = child_output(STDOUT_FILENO);
    options->err = child_output(STDERR_FILENO);
    options->connect_count = guest->connect_count;
    if (guest->connect_count == 0)
        return CLI_OK;
    return cli_start_broker(guest->connects, guest->connect_count,
                            &options->connect_fd);
}

void guest_explain_loss(const struct mayfly_counts *counts)
{
    cli_fail(CLI_OK, "what guests print gets lost: %s",
             strerror(-counts->lost_error));
}

void guest_explain_crash(struct mayfly *vm, const struct mayfly_crash *crash)
{
    struct mayfly_frame frames[MAYFLY_FRAMES_MAX];
    unsigned count = mayfly_backtrace(vm, crash, frames, MAYFLY_FRAMES_MAX);

    report_crash(stderr, crash, frames, count);
}
