/* SPDX-License-Identifier: MIT */
/* Mappings of files. */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NAME "/tmp/memory-check"
#define DATA (PROT_READ | PROT_WRITE)

static bool fails(void *result, int error)
{
    return result == MAP_FAILED && errno == error;
}

static bool fails_int(int result, int error)
{
    return result == -1 && errno == error;
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

static struct timespec modified(int fd)
{
    struct stat stat = {0};

    fstat(fd, &stat);
    return stat.st_mtim;
}

/* Whether the file was modified since then. */
static bool is_later(int fd, struct timespec then)
{
    struct timespec now = modified(fd);

    return now.tv_sec > then.tv_sec ||
           (now.tv_sec == then.tv_sec && now.tv_nsec > then.tv_nsec);
}

/* Longer than a tick of the clock that files have; without a sleep. */
static void wait_a_tick(void)
{
    clock_t end = clock() + CLOCKS_PER_SEC / 50;

    while (clock() < end)
        ;
}

static void check_times(int fd)
{
    char *at = mmap(NULL, PAGE, DATA, MAP_SHARED, fd, 0);
    struct timespec then = modified(fd);

    wait_a_tick();
    at[0] = 't';
    CHECK("msync says that a file was written",
          msync(at, PAGE, MS_SYNC) == 0 && is_later(fd, then));
    munmap(at, PAGE);
    then = modified(fd);
    wait_a_tick();
    at = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    CHECK("not that it was read", msync(at, PAGE, MS_SYNC) == 0 &&
                                      munmap(at, PAGE) == 0 &&
                                      !is_later(fd, then));
}

/* A mapping that is gone does not keep the file's memory where it is. */
static void check_growth(int fd)
{
    char *at = mmap(NULL, PAGE, DATA, MAP_SHARED, fd, 0);
    off_t end = lseek(fd, 0, SEEK_END);

    munmap(at, PAGE);
    CHECK("a file grows, and is mapped again",
          ftruncate(fd, 256 * PAGE) == 0 &&
              (at = mmap(NULL, 256 * PAGE, DATA, MAP_SHARED, fd, 0)) !=
                  MAP_FAILED &&
              at[0] == 't' && at[256 * PAGE - 1] == 0);
    munmap(at, 256 * PAGE);
    CHECK("and shrinks", ftruncate(fd, end) == 0);
}

static void check_locks(int fd)
{
    char *at = mmap(NULL, 2 * PAGE, DATA, MAP_SHARED, fd, 0);

    CHECK("locked pages are not invalidated",
          mlock(at + PAGE, 10) == 0 && msync(at, PAGE, MS_INVALIDATE) == 0 &&
              fails_int(msync(at, 2 * PAGE, MS_INVALIDATE), EBUSY) &&
              munlock(at, 2 * PAGE) == 0 &&
              msync(at, 2 * PAGE, MS_INVALIDATE) == 0);
    CHECK("nor all pages", mlockall(MCL_CURRENT) == 0 &&
                               fails_int(msync(at, 1, MS_INVALIDATE), EBUSY));
    munmap(at, 2 * PAGE);
    at = mmap(NULL, PAGE, DATA, MAP_SHARED, fd, 0);
    CHECK("but new ones are",
          msync(at, PAGE, MS_INVALIDATE) == 0 && munlockall() == 0);
    munmap(at, PAGE);
}

/* Whether touching it is what it is behind the end of a file. */
static bool is_beyond(char *at)
{
    return FAULTS(peek(at)) && seen_signal == SIGBUS &&
           seen_code == BUS_ADRERR && seen_address == at;
}

static void check_end(void)
{
    int fd = open(NAME "-end", O_RDWR | O_CREAT | O_TRUNC, 0600);
    char *at, *other, byte = 'x';

    CHECK("a short file", fd >= 0 && ftruncate(fd, PAGE + 10) == 0);
    at = mmap(NULL, 6 * PAGE, DATA, MAP_SHARED, fd, 0);
    other = mmap(NULL, 3 * PAGE, DATA, MAP_SHARED, fd, 2 * PAGE);
    CHECK("its last page is there",
          at != MAP_FAILED && can_write(at + PAGE) && is_all(at, 2 * PAGE, 0));
    CHECK("pages behind it are not", is_beyond(at + 2 * PAGE) &&
                                         is_beyond(at + 6 * PAGE - 1) &&
                                         is_beyond(other));
    CHECK("nor for system calls",
          pread(fd, at + 2 * PAGE, 1, 0) == -1 && errno == EFAULT);
    at[PAGE + 10] = 'b';
    CHECK("a longer file has zeroes",
          ftruncate(fd, 3 * PAGE) == 0 && at[PAGE + 10] == 0 &&
              is_all(other, PAGE, 0) && is_beyond(at + 3 * PAGE));
    CHECK("written to be longer",
          pwrite(fd, &byte, 1, 4 * PAGE) == 1 && other[2 * PAGE] == 'x' &&
              is_all(at + 3 * PAGE, PAGE, 0) && is_beyond(at + 5 * PAGE));
    at[3 * PAGE] = 's';
    CHECK("cut short", ftruncate(fd, 3 * PAGE) == 0 &&
                           is_beyond(at + 3 * PAGE) &&
                           is_beyond(other + 2 * PAGE) && can_read(other));
    CHECK("one mapping less",
          munmap(other, 3 * PAGE) == 0 && is_beyond(at + 3 * PAGE));
    CHECK("longer without mappings", munmap(at, 6 * PAGE) == 0 &&
                                         ftruncate(fd, 6 * PAGE) == 0 &&
                                         pwrite(fd, &byte, 1, 5 * PAGE) == 1);
    at = mmap(NULL, 7 * PAGE, DATA, MAP_PRIVATE, fd, 0);
    CHECK("what was cut off is zero",
          is_all(at, 5 * PAGE, 0) && at[5 * PAGE] == 'x');
    CHECK("private mappings end, too", is_beyond(at + 6 * PAGE));
    munmap(at, 7 * PAGE);
    close(fd);
    unlink(NAME "-end");
}

/* Shared mappings at addresses that the program chooses. */
static void check_places(int fd)
{
    const int flags = MAP_SHARED | MAP_FIXED;
    int other = open(NAME "-other", O_RDWR | O_CREAT | O_TRUNC, 0600);
    char *area = map_pages(8, PROT_NONE), *first, *at, text[8] = "";

    CHECK("another file", other >= 0 && pwrite(other, "zero", 4, 0) == 4 &&
                              pwrite(other, "other", 5, 2 * PAGE) == 5);
    at = mmap(area + PAGE, PAGE, DATA, flags, other, 2 * PAGE);
    CHECK("a shared mapping where there was anonymous memory",
          at == area + PAGE && memcmp(at, "other", 5) == 0 && !can_read(area) &&
              !can_read(at + PAGE));
    memcpy(at, "OTHER", 5);
    CHECK("is the file's", pread(other, text, 5, 2 * PAGE) == 5 &&
                               memcmp(text, "OTHER", 5) == 0 &&
                               pread(other, text, 4, 0) == 4 &&
                               memcmp(text, "zero", 4) == 0);
    CHECK("not where something is",
          fails(mmap(at, PAGE, DATA, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0),
                EEXIST));
    first = mmap(at, 2 * PAGE, DATA, flags, fd, 0);
    CHECK("but in place of it", first == at &&
                                    memcmp(at + PAGE, "second", 6) == 0 &&
                                    pread(other, text, 5, 2 * PAGE) == 5 &&
                                    memcmp(text, "OTHER", 5) == 0);
    at[0] = 'p';
    at = mmap(at, 2 * PAGE, DATA, MAP_PRIVATE | MAP_FIXED, other, 0);
    CHECK("and a private one in place of that",
          at == first && memcmp(at, "zero", 4) == 0 &&
              pread(fd, text, 1, 0) == 1 && text[0] == 'p');
    at = mmap(area + 4 * PAGE, 3 * PAGE, DATA, flags, other, 0);
    CHECK("a file in one piece again",
          at == area + 4 * PAGE && memcmp(at, "zero", 4) == 0 &&
              memcmp(at + 2 * PAGE, "OTHER", 5) == 0);
    at = mmap(at, 3 * PAGE, DATA, flags | MAP_ANONYMOUS, -1, 0);
    CHECK("nothing in its place", at == area + 4 * PAGE &&
                                      is_all(at, 3 * PAGE, 0) &&
                                      pread(other, text, 5, 2 * PAGE) == 5 &&
                                      memcmp(text, "OTHER", 5) == 0);
    at = mmap(at, 3 * PAGE, DATA, flags, other, 0);
    at = mmap(at + PAGE, PAGE, DATA, flags, fd, 0);
    CHECK("one page of a mapping", at == area + 5 * PAGE && at[0] == 'p' &&
                                       memcmp(at + PAGE, "OTHER", 5) == 0);
    at = mmap(area, 8 * PAGE, DATA, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1,
              0);
    memset(at, 1, 8 * PAGE);
    CHECK("what is replaced leaves its place",
          at == area && pread(other, text, 5, 2 * PAGE) == 5 &&
              memcmp(text, "OTHER", 5) == 0 && pread(fd, text, 1, 0) == 1 &&
              text[0] == 'p');
    munmap(area, 8 * PAGE);
    close(other);
    unlink(NAME "-other");
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
    check_times(fd);
    check_growth(fd);
    check_locks(fd);
    check_end();
    check_places(fd);
    check_refusals(fd);
    close(fd);
    unlink(NAME);
}
