/* SPDX-License-Identifier: MIT */
/* Answers of the admin endpoint. */
#ifndef VMM_SERVER_ADMIN_ANSWER_H
#define VMM_SERVER_ADMIN_ANSWER_H

#include <time.h>

#include "vmm/server/admin.h"
#include "vmm/server/admin_request.h"
#include "vmm/server/metrics.h"

#define ADMIN_HEAD_BYTES   512u
#define ADMIN_ANSWER_BYTES (ADMIN_HEAD_BYTES + METRICS_TEXT_BYTES)

/*
 * Writes the whole answer to a request, ADMIN_ANSWER_BYTES at most; `now` is
 * its date. Returns its length.
 */
size_t admin_answer(const struct admin_request *request,
                    const struct admin_source *source, time_t now, char *to);

#endif
