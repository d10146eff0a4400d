/* SPDX-License-Identifier: MIT */
/* mayfly inspect: what an image says about itself. */
#include "vmm/cli.h"

#include <errno.h>
#include <getopt.h>
#include <unistd.h>

static int print_help(void)
{
    printf("Usage: mayfly inspect IMAGE\n\n"
           "Shows an image's ABI version, segments and memory needs.\n\n"
           "  --help  show this\n");
    return CLI_OK;
}

static void print_image(const char *path, const struct mayfly_image *image)
{
    printf("image    %s\n", path);
    printf("abi      %u.%u\n", image->abi_major, image->abi_minor);
    printf("entry    0x%llx\n", (unsigned long long)image->entry);
    if (image->stack_bytes)
        printf("stack    %llu KiB\n",
               (unsigned long long)image->stack_bytes >> 10);
    printf("memory   at least %llu KiB\n",
           (unsigned long long)(image->mem_bytes_min + 1023) >> 10);
    if (image->signals)
        printf("signals  may want the host's\n");
    if (image->paging)
        printf("paging   edits its page tables (can reach ring 0)\n");
    printf("segments (address, bytes in memory, bytes in file, access)\n");
    for (unsigned i = 0; i < image->segment_count; i++) {
        const struct mayfly_segment *segment = &image->segments[i];

        printf("  0x%08llx %10llu %10llu  r%c%c\n",
               (unsigned long long)segment->address,
               (unsigned long long)segment->bytes,
               (unsigned long long)segment->file_bytes,
               segment->write ? 'w' : '-', segment->execute ? 'x' : '-');
    }
}

int cmd_inspect(int argc, char **argv)
{
    static const struct option options[] = {
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    char error[MAYFLY_ERROR_BYTES];
    struct mayfly_image image;
    unsigned closed;
    int option, status = CLI_OK;

    opterr = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'h')
            return print_help();
        return cli_misuse("inspect", "unknown option '%s'", argv[optind - 1]);
    }
    if (argc - optind != 1)
        return cli_misuse("inspect", "one image is needed");
    const char *path = argv[optind];
    int fd = cli_open_image(path, false, &closed, &status);
    if (fd < 0)
        return status;
    if (closed & 1u << STDOUT_FILENO)
        return cli_fail(CLI_FAILED, "standard output is closed");
    int result = mayfly_inspect(fd, &image, error);
    close(fd);
    if (result)
        return cli_fail(result == -ENOEXEC ? CLI_NOT_IMAGE : CLI_FAILED,
                        "%s: %s", path, error);
    print_image(path, &image);
    return CLI_OK;
}
