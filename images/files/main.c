/* SPDX-License-Identifier: MIT */
/* Exercises files: prints what each call returned. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <unistd.h>

#include "files.h"

/*
 * So the same program, run as a Linux process (in an empty directory), says
 * what is right.
 */

void check_devices(void)
{
    unsigned char bytes[16] = {1};
    int fd;

    puts("-- devices");
    OPEN(fd, open("/dev/null", O_RDWR));
    SHOW(read(fd, bytes, 16));
    SHOW(write(fd, bytes, 16));
    SHOW(close(fd));
    OPEN(fd, open("/dev/zero", O_RDWR));
    SHOW(read(fd, bytes, 16));
    printf("%d\n", bytes[0]);
    SHOW(close(fd));
    OPEN(fd, open("/dev/full", O_RDWR));
    SHOW(write(fd, bytes, 1));
    SHOW(close(fd));
    OPEN(fd, open("/dev/urandom", O_RDONLY));
    SHOW(read(fd, bytes, 16));
    SHOW(close(fd));
    OPEN(fd, open("/dev/missing", O_RDONLY));
    SHOW(access("/tmp", W_OK));
    SHOW(access("/dev/shm", W_OK));
    SHOW(access("/etc/passwd", R_OK));
    SHOW(access("/etc/hosts", R_OK));
    SHOW(rmdir("/"));
    SHOW(unlink("/"));
}

int main(void)
{
    char directory[] = "/tmp/files-XXXXXX";

    if (!mkdtemp(directory) || chdir(directory)) {
        perror(directory);
        return 1;
    }
    check_open();
    check_vectors();
    check_holes();
    check_unlinked();
    check_mappings();
    check_directories();
    check_many();
    check_links();
    check_rename();
    check_attributes();
    check_descriptors();
    check_pipes();
    check_select();
    check_epoll();
    check_eventfd();
    check_limits();
    check_devices();
    chdir("/");
    SHOW(rmdir(directory));
    return 0;
}
