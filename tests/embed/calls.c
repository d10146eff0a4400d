/* SPDX-License-Identifier: MIT */
/* An example: a program that calls a function in a sandbox, again and again. */

/*
 *   make
 *   cc -I. tests/embed/calls.c build/libmayfly.a -o calls
 *   ./calls build/images/calls.elf reverse 'text for the guest'
 *
 * The function is one of images/calls. Its VM boots once; then each call finds
 * it as it was before the first one, whatever the last one did: crashed, ran
 * for ever, or left something behind. Installed, the header is <mayfly.h>.
 */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/mayfly.h"

#define TIME_LIMIT_NS 200000000ull
#define OUTPUT_BYTES  4096

/* Boots the image until it waits for calls. Returns a file, or -errno. */
static int boot_once(int image, char *error)
{
    struct mayfly_options options = MAYFLY_OPTIONS;
    struct mayfly_result result;
    struct mayfly *vm;
    int file = memfd_create("calls", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int failure = mayfly_create(&options, &vm, error);

    if (failure)
        return failure;
    failure = mayfly_load(vm, image, error);
    if (!failure)
        failure = mayfly_run(vm, &result, error);
    if (!failure) /* says so if the guest does not wait for calls */
        failure = mayfly_snapshot(vm, file, error);
    mayfly_destroy(vm);
    /* Nobody can cut it short under the VM that goes on from it. */
    if (!failure)
        fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE);
    return failure ? failure : file;
}

/* The VM that answers: many may go on from one snapshot. */
static int open_sandbox(int snapshot, struct mayfly **vm, char *error)
{
    struct mayfly_options options = MAYFLY_OPTIONS;
    int failure;

    options.in = -1; /* it gets its input by calls, and nothing else */
    options.resettable = true;
    failure = mayfly_create(&options, vm, error);
    if (failure)
        return failure;
    failure = mayfly_restore(*vm, snapshot, error);
    if (failure)
        mayfly_destroy(*vm);
    return failure;
}

static const char *how_it_ended(const struct mayfly_result *result)
{
    switch (result->end) {
    case MAYFLY_AT_CALL:
        return "answered";
    case MAYFLY_CRASHED:
        return "crashed";
    case MAYFLY_TIMED_OUT:
        return "took too long";
    default:
        return "ended";
    }
}

/* One call, and a VM as new afterwards. Returns 0 or a negative errno. */
static int call_function(struct mayfly *vm, const char *function,
                         const char *text, char *error)
{
    char output[OUTPUT_BYTES];
    struct mayfly_call call = {
        .function = function,
        .in = text,
        .in_bytes = strlen(text),
        .out = output,
        .out_room = sizeof(output),
        .timeout_ns = TIME_LIMIT_NS,
    };
    struct mayfly_result result;
    int failure = mayfly_call(vm, &call, &result, error);

    if (failure)
        return failure;
    printf("%s: %s, %ld: %.*s\n", function, how_it_ended(&result), call.result,
           (int)call.out_bytes, output);
    return mayfly_reset(vm, error);
}

/* Each argument behind the image is a function, the last one the input. */
static int call_all(struct mayfly *vm, char **functions, int count,
                    const char *text, char *error)
{
    int failure = 0;

    for (int i = 0; i < count && !failure; i++)
        failure = call_function(vm, functions[i], text, error);
    return failure;
}

int main(int argc, char **argv)
{
    char error[MAYFLY_ERROR_BYTES] = "";
    struct mayfly *vm;

    if (argc < 4) {
        fprintf(stderr, "Usage: calls IMAGE FUNCTION... TEXT\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    int image = open(argv[1], O_RDONLY | O_CLOEXEC);
    if (image < 0) {
        perror(argv[1]);
        return 1;
    }
    int snapshot = boot_once(image, error);
    int failure = snapshot < 0 ? snapshot : open_sandbox(snapshot, &vm, error);
    if (!failure) {
        failure = call_all(vm, argv + 2, argc - 3, argv[argc - 1], error);
        mayfly_destroy(vm);
    }
    close(snapshot);
    close(image);
    if (failure)
        fprintf(stderr, "calls: %s\n", error);
    return failure ? 1 : 0;
}
