/* SPDX-License-Identifier: MIT */
/* Mappings of files. */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NAME "/tmp/memory-check"
#define DATA (PROT_READ | PROT_WRITE)

static bool fails(void *result, int error)
{
    return result == MAP_FAILED && errno == error;
}

static void check_private(int fd)
{
    char text[8] = "", *at = mmap(NULL, 2 * PAGE, DATA, MAP_PRIVATE, fd, 0);

    CHECK("a private mapping has what the file has",
          at != MAP_FAILED && memcmp(at, "file", 4) == 0);
    at[0] = 'F';
    CHECK("and leaves it alone",
          pread(fd, text, 4, 0) == 4 && memcmp(text, "file", 4) == 0);
    munmap(at, 2 * PAGE);
    CHECK("it is closed when it is unmapped", !can_read(at));
    at = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, PAGE);
    CHECK("from the second page on", at[0] == 's' && !can_write(at));
    munmap(at, PAGE);
}

static void check_shared(int fd)
{
    char text[8] = "", *at = mmap(NULL, 2 * PAGE, DATA, MAP_SHARED, fd, 0);
    char *other = mmap(NULL, 2 * PAGE, DATA, MAP_SHARED, fd, 0);

    CHECK("a shared mapping", at != MAP_FAILED && other != MAP_FAILED &&
                                  memcmp(at, "file", 4) == 0);
    memcpy(at, "pages", 5);
    CHECK("is seen through another one", memcmp(other, "pages", 5) == 0);
    msync(at, PAGE, MS_SYNC);
    CHECK("and in the file",
          pread(fd, text, 5, 0) == 5 && memcmp(text, "pages", 5) == 0);
    munmap(at, 2 * PAGE);
    memcpy(other, "other", 5);
    CHECK("the other one stays", munmap(other, 2 * PAGE) == 0 &&
                                     pread(fd, text, 5, 0) == 5 &&
                                     memcmp(text, "other", 5) == 0);
}

static void check_refusals(int fd)
{
    int reader = open(NAME, O_RDONLY), writer = open(NAME, O_WRONLY);
    int pipes[2] = {-1, -1};

    CHECK("no writing through a reader",
          fails(mmap(NULL, PAGE, DATA, MAP_SHARED, reader, 0), EACCES));
    CHECK("but a copy",
          mmap(NULL, PAGE, DATA, MAP_PRIVATE, reader, 0) != MAP_FAILED);
    CHECK("no mapping of a writer",
          fails(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, writer, 0), EACCES));
    CHECK("nor of a pipe",
          pipe(pipes) == 0 &&
              fails(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, pipes[0], 0),
                    ENODEV));
    CHECK("nor from the middle of a page",
          fails(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 10), EINVAL));
    close(reader);
    close(writer);
    close(pipes[0]);
    close(pipes[1]);
}

void check_files(void)
{
    int fd = open(NAME, O_RDWR | O_CREAT | O_TRUNC, 0600);

    CHECK("a file", fd >= 0 && pwrite(fd, "file", 4, 0) == 4 &&
                        pwrite(fd, "second", 6, PAGE) == 6);
    if (fd < 0)
        return;
    check_private(fd);
    check_shared(fd);
    check_refusals(fd);
    close(fd);
    unlink(NAME);
}
