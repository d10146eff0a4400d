/* SPDX-License-Identifier: MIT */
/* Functions that the program which embeds the VM can call. */
#ifndef MAYFLY_CALL_H
#define MAYFLY_CALL_H

/*
 * A guest that is a library: main() sets up what it needs and ends with
 * mayfly_serve_calls(). Whoever runs the VM (mayfly_call() in <mayfly.h>) then
 * calls its functions by name, with bytes in and bytes out, one at a time. A
 * snapshot that is taken there is one of a VM that waits for a call.
 */

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Reads `in_bytes` bytes at `in`, writes at most `out_room` bytes to `out`, and
 * stores how many in `*out_bytes`, which is 0 before. What it returns goes to
 * the caller as it is.
 */
typedef long mayfly_function(const void *in, size_t in_bytes, void *out,
                             size_t out_room, size_t *out_bytes);

struct mayfly_export {
    const char *name; /* at most 63 bytes */
    mayfly_function *call;
};

/*
 * Answers calls of the `count` functions in `exports`, with up to `room` bytes
 * of input and of output, for as long as the VM lives. Returns only if there is
 * no memory for these: -1 with errno ENOMEM.
 */
int mayfly_serve_calls(const struct mayfly_export *exports, size_t count,
                       size_t room);

#ifdef __cplusplus
}
#endif

#endif
