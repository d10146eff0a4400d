/* SPDX-License-Identifier: MIT */
/* An example: a program that runs an image as a function of its own. */

/*
 *   make
 *   cc -I. tests/embed/embed.c build/libmayfly.a -o embed
 *   ./embed build/images/cat.elf 'text for the guest'
 *
 * The guest reads the text from a pipe and prints what it likes; how it ended
 * and what that cost is told afterwards. Installed, the header is <mayfly.h>.
 */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/mayfly.h"

/* Returns the read end of a pipe that holds `text`, or -1. */
static int pipe_with(const char *text)
{
    ssize_t bytes = (ssize_t)strlen(text);
    int ends[2];

    if (pipe(ends))
        return -1;
    ssize_t written = write(ends[1], text, (size_t)bytes);
    close(ends[1]);
    if (written == bytes)
        return ends[0];
    close(ends[0]);
    return -1;
}

/* One VM from its creation to its end. Returns 0 or a negative errno. */
static int run_image(int image, int input, struct mayfly_result *result,
                     struct mayfly_stats *stats, char *error)
{
    const char *const args[] = {"guest", NULL};
    struct mayfly_options options = MAYFLY_OPTIONS;
    struct mayfly *vm;

    options.args = args;
    options.in = input;
    options.timeout_ns = 60 * 1000000000ull;
    int failure = mayfly_create(&options, &vm, error);

    if (failure)
        return failure;
    failure = mayfly_load(vm, image, error);
    if (!failure)
        failure = mayfly_run(vm, result, error);
    if (!failure)
        mayfly_get_stats(vm, stats);
    mayfly_destroy(vm);
    return failure;
}

int main(int argc, char **argv)
{
    char error[MAYFLY_ERROR_BYTES] = "";
    struct mayfly_result result;
    struct mayfly_stats stats;

    if (argc != 3) {
        fprintf(stderr, "Usage: embed IMAGE TEXT\n");
        return 2;
    }
    int image = open(argv[1], O_RDONLY | O_CLOEXEC);
    int input = pipe_with(argv[2]);
    if (image < 0 || input < 0) {
        perror(argv[1]);
        return 1;
    }
    int failure = run_image(image, input, &result, &stats, error);
    close(input);
    close(image);
    if (failure) {
        fprintf(stderr, "embed: %s\n", error);
        return 1;
    }
    printf("\nembed: end %d, status %d, %llu exits\n", result.end,
           result.status, (unsigned long long)stats.exits);
    return result.end == MAYFLY_EXITED ? result.status : 1;
}
