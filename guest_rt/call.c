/* SPDX-License-Identifier: MIT */
/* Answering calls from outside the VM. */
#include <errno.h>
#include <mayfly/call.h>
#include <stdlib.h>
#include <string.h>

#include "guest_rt/generation.h"
#include "guest_rt/hypercall.h"

static mayfly_function *find(const struct mayfly_export *exports, size_t count,
                             const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(exports[i].name, name) == 0)
            return exports[i].call;
    return NULL;
}

int mayfly_serve_calls(const struct mayfly_export *exports, size_t count,
                       size_t room)
{
    static struct mf_call call;
    void *in = malloc(room), *out = malloc(room);

    if (!in || !out) {
        free(in);
        free(out);
        errno = ENOMEM;
        return -1;
    }
    call.in = (uint64_t)(uintptr_t)in;
    call.in_room = room;
    call.out = (uint64_t)(uintptr_t)out;
    for (;;) {
        size_t out_bytes = 0, out_room;
        mayfly_function *function;

        /* Hands over the last answer and takes the next call. */
        generation_offer(MF_HC_CALL, (uint64_t)(uintptr_t)&call);
        out_room = call.out_room < room ? call.out_room : room;
        function = find(exports, count, call.name);
        call.result = -ENOSYS;
        if (function)
            call.result =
                function(in, call.in_bytes, out, out_room, &out_bytes);
        call.out_bytes = out_bytes;
    }
}
