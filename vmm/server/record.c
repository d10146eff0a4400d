/* SPDX-License-Identifier: MIT */
/* The words for how a connection ended. */
#include "vmm/server/record.h"

const char *connection_end_name(enum connection_end end)
{
    static const char *const names[CONNECTION_END_COUNT] = {
        [CONNECTION_SERVED] = "served",       [CONNECTION_REFUSED] = "refused",
        [CONNECTION_CRASHED] = "crashed",     [CONNECTION_EXITED] = "exited",
        [CONNECTION_TIMED_OUT] = "timed-out", [CONNECTION_FAILED] = "failed",
        [CONNECTION_LOST] = "lost",           [CONNECTION_SILENT] = "silent",
        [CONNECTION_OVERDUE] = "overdue",     [CONNECTION_LEFT] = "left",
        [CONNECTION_DROPPED] = "dropped",
    };

    return end < CONNECTION_END_COUNT ? names[end] : "unknown";
}
