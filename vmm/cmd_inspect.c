/* SPDX-License-Identifier: MIT */
/* mayfly inspect: what an image or a snapshot says about itself. */
#include "vmm/cli.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <unistd.h>

static int print_help(void)
{
    printf("Usage: mayfly inspect IMAGE|SNAPSHOT\n\n"
           "Shows an image's ABI version, segments and memory needs, or what "
           "is in a\n"
           "snapshot.\n\n"
           "  --help  show this\n");
    return CLI_OK;
}

static void print_image(const struct mayfly_image *image)
{
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

static void print_snapshot(const struct mayfly_snapshot_info *info)
{
    printf("format   %u, by mayfly %s\n", info->format, info->monitor);
    printf("clones   %s\n", !info->once     ? "as many as wanted"
                            : info->claimed ? "none: a VM went on from it"
                                            : "one VM can go on from it");
    if (info->in_call)
        printf("waits    for a call\n");
    printf("ram      %llu KiB, of which %llu KiB are stored, in %u pieces\n",
           (unsigned long long)info->mem_bytes >> 10,
           (unsigned long long)info->stored_bytes >> 10, info->run_count);
    printf("time     %llu.%03llu s since it began\n",
           (unsigned long long)(info->guest_ns / 1000000000),
           (unsigned long long)(info->guest_ns / 1000000 % 1000));
    printf("needs    vector state 0x%llx, disks %u, networks %u\n",
           (unsigned long long)info->xcr0, info->disk_count, info->net_count);
    print_image(&info->image);
}

/* Whether it begins as snapshots do. */
static bool is_snapshot(int fd)
{
    char magic[8];

    return pread(fd, magic, sizeof(magic), 0) == sizeof(magic) &&
           memcmp(magic, "MFLYSNAP", sizeof(magic)) == 0;
}

static int inspect(const char *path, int fd)
{
    char error[MAYFLY_ERROR_BYTES];
    struct mayfly_snapshot_info info;
    struct mayfly_image image;
    bool snapshot = is_snapshot(fd);
    int result = snapshot ? mayfly_inspect_snapshot(fd, &info, error)
                          : mayfly_inspect(fd, &image, error);

    if (result)
        return cli_fail(result == -ENOEXEC ? CLI_NOT_IMAGE : CLI_FAILED,
                        "%s: %s", path, error);
    printf("%-8s %s\n", snapshot ? "snapshot" : "image", path);
    if (snapshot)
        print_snapshot(&info);
    else
        print_image(&image);
    return CLI_OK;
}

int cmd_inspect(int argc, char **argv)
{
    static const struct option options[] = {
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    unsigned closed;
    int option, status = CLI_OK;

    opterr = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'h')
            return print_help();
        return cli_misuse("inspect", "unknown option '%s'", argv[optind - 1]);
    }
    if (argc - optind != 1)
        return cli_misuse("inspect", "one image or snapshot is needed");
    const char *path = argv[optind];
    int fd = cli_open_image(path, false, &closed, &status);
    if (fd < 0)
        return status;
    if (closed & 1u << STDOUT_FILENO)
        return cli_fail(CLI_FAILED, "standard output is closed");
    status = inspect(path, fd);
    close(fd);
    return status;
}
