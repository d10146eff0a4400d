/* SPDX-License-Identifier: MIT */
/* mmap, munmap, mprotect and madvise: what is mapped where, and errors. */
#include "check.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS)
#define DATA      (PROT_READ | PROT_WRITE)
#define MIB       (1ul << 20)

static bool fails(void *result, int error)
{
    return result == MAP_FAILED && errno == error;
}

static bool fails_int(int result, int error)
{
    return result == -1 && errno == error;
}

static void check_limit(void)
{
    const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY},
                        tight = {PAGE, RLIM_INFINITY};

    setrlimit(RLIMIT_AS, &tight);
    CHECK("RLIMIT_AS", fails(mmap(NULL, PAGE, DATA, ANONYMOUS, -1, 0), ENOMEM));
    setrlimit(RLIMIT_AS, &none);
    CHECK("no RLIMIT_AS", munmap(map_pages(1, DATA), PAGE) == 0);
}

static void check_errors(void)
{
    char *at = map_pages(4, DATA);
    unsigned char vector[4];

    munmap(at + 2 * PAGE, PAGE);
    CHECK("mmap of nothing",
          fails(mmap(NULL, 0, DATA, ANONYMOUS, -1, 0), EINVAL));
    CHECK("mmap neither private nor shared",
          fails(mmap(NULL, PAGE, DATA, MAP_ANONYMOUS, -1, 0), EINVAL));
    CHECK(
        "mmap of too much",
        fails(mmap(NULL, PTRDIFF_MAX - PAGE, DATA, ANONYMOUS, -1, 0), ENOMEM));
    CHECK(
        "mmap at an odd address",
        fails(mmap(at + 1, PAGE, DATA, ANONYMOUS | MAP_FIXED, -1, 0), EINVAL));
    CHECK("mmap of a file that is not open",
          fails(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 99, 0), EBADF));
    CHECK("munmap of nothing", fails_int(munmap(at, 0), EINVAL));
    CHECK("munmap at an odd address", fails_int(munmap(at + 1, PAGE), EINVAL));
    CHECK("munmap of what is not mapped", munmap(at + 2 * PAGE, PAGE) == 0);
    CHECK("mprotect of a hole",
          fails_int(mprotect(at, 4 * PAGE, PROT_READ), ENOMEM));
    CHECK("mprotect to the unknown",
          fails_int(mprotect(at, PAGE, 1 << 20), EINVAL));
    CHECK("mprotect of nothing", mprotect(at, 0, PROT_NONE) == 0);
    CHECK("madvise of a hole",
          fails_int(madvise(at, 4 * PAGE, MADV_DONTNEED), ENOMEM));
    CHECK("madvise of the unknown",
          fails_int(madvise(at, PAGE, 12345), EINVAL));
    CHECK("madvise at an odd address",
          fails_int(madvise(at + 1, PAGE, MADV_DONTNEED), EINVAL));
    CHECK("mincore of a hole",
          fails_int(mincore(at, 4 * PAGE, vector), ENOMEM));
    mprotect(at, 2 * PAGE, DATA);
    at[0] = at[PAGE] = 1;
    CHECK("mincore",
          mincore(at, 2 * PAGE, vector) == 0 && (vector[0] & vector[1] & 1));
    CHECK("msync in two ways",
          fails_int(msync(at, PAGE, MS_SYNC | MS_ASYNC), EINVAL));
    CHECK("msync of a hole", fails_int(msync(at, 4 * PAGE, MS_SYNC), ENOMEM));
    CHECK("msync", msync(at, 2 * PAGE, MS_SYNC) == 0);
    CHECK("mlock of a hole", fails_int(mlock(at, 4 * PAGE), ENOMEM));
    CHECK("mlock", mlock(at, 2 * PAGE) == 0 && munlock(at, 2 * PAGE) == 0);
    CHECK("mlockall without a flag", fails_int(mlockall(0), EINVAL));
    munmap(at, 4 * PAGE);
}

static void check_places(void)
{
    char *at = map_pages(8, DATA), *hint;

    memset(at, 1, 8 * PAGE);
    CHECK("MAP_FIXED over a part",
          mmap(at + 2 * PAGE, 2 * PAGE, PROT_READ, ANONYMOUS | MAP_FIXED, -1,
               0) == at + 2 * PAGE);
    CHECK("is zero there, and nowhere else",
          is_all(at, 2 * PAGE, 1) && is_all(at + 2 * PAGE, 2 * PAGE, 0) &&
              is_all(at + 4 * PAGE, 4 * PAGE, 1));
    CHECK("with its rights", !can_write(at + 2 * PAGE) &&
                                 !can_write(at + 4 * PAGE - 1) &&
                                 can_write(at + 4 * PAGE));
    mprotect(at + PAGE, PAGE, PROT_NONE);
    CHECK("MAP_FIXED over no rights gives rights",
          mmap(at + PAGE, PAGE, DATA, ANONYMOUS | MAP_FIXED, -1, 0) ==
                  at + PAGE &&
              can_write(at + PAGE) && peek(at + PAGE) == 0);
    CHECK("MAP_FIXED_NOREPLACE of what is used",
          fails(mmap(at + 7 * PAGE, PAGE, DATA, ANONYMOUS | MAP_FIXED_NOREPLACE,
                     -1, 0),
                EEXIST));
    munmap(at + 3 * PAGE, 3 * PAGE);
    CHECK("unmapped pages are closed",
          !can_read(at + 3 * PAGE) && !can_read(at + 6 * PAGE - 1));
    CHECK("MAP_FIXED_NOREPLACE of what is free",
          mmap(at + 4 * PAGE, PAGE, DATA, ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
               0) == at + 4 * PAGE);
    hint = mmap(at + 3 * PAGE + 5, PAGE, DATA, ANONYMOUS, -1, 0);
    CHECK("a hint that is free is taken", hint == at + 3 * PAGE);
    hint = mmap(at, PAGE, DATA, ANONYMOUS, -1, 0);
    CHECK("a hint that is used is not", hint != MAP_FAILED && hint != at);
    munmap(hint, PAGE);
    munmap(at, 8 * PAGE);
    CHECK("nothing is left", !can_read(at) && !can_read(at + 7 * PAGE));
}

static void check_reservations(void)
{
    /* More than a page of 2 MiB on both sides. */
    char *at = mmap(NULL, 5 * MIB, PROT_NONE, ANONYMOUS | MAP_NORESERVE, -1, 0);

    CHECK("a reservation is closed", at != MAP_FAILED && !can_read(at) &&
                                         !can_read(at + 3 * MIB) &&
                                         !can_read(at + 5 * MIB - 1));
    mprotect(at + MIB, 3 * MIB, DATA);
    CHECK("a part of it is opened",
          can_write(at + MIB) && can_write(at + 4 * MIB - 1) &&
              !can_read(at + MIB - 1) && !can_read(at + 4 * MIB));
    CHECK("and is zero", is_all(at + MIB, 3 * MIB, 0));
    memset(at + MIB, 7, 3 * MIB);
    CHECK("it is closed by mmap, and zero when it is opened again",
          mmap(at + MIB, 2 * MIB, PROT_NONE, ANONYMOUS | MAP_FIXED, -1, 0) ==
                  at + MIB &&
              !can_read(at + 2 * MIB) &&
              mprotect(at + MIB, 2 * MIB, DATA) == 0 &&
              is_all(at + MIB, 2 * MIB, 0) && is_all(at + 3 * MIB, MIB, 7));
    munmap(at, 5 * MIB);
    CHECK("and freed", !can_read(at + MIB));
}

static void check_advice(void)
{
    char *at = map_pages(4, DATA);

    memset(at, 1, 4 * PAGE);
    mprotect(at + 2 * PAGE, PAGE, PROT_READ);
    CHECK("MADV_DONTNEED", madvise(at + PAGE, 2 * PAGE, MADV_DONTNEED) == 0 &&
                               is_all(at, PAGE, 1) &&
                               is_all(at + PAGE, 2 * PAGE, 0) &&
                               is_all(at + 3 * PAGE, PAGE, 1));
    CHECK("leaves rights alone",
          can_write(at + PAGE) && !can_write(at + 2 * PAGE));
    munmap(at, 4 * PAGE);
}

#ifdef __mayfly__
#define PIECES 64

/* As much memory as there is, in smaller and smaller pieces. */
static void check_exhaustion(void)
{
    static char *pieces[PIECES];
    static size_t sizes[PIECES];
    size_t bytes = 16384 * MIB;
    int count = 0;

    while (count < PIECES && bytes >= 16 * PAGE) {
        pieces[count] = mmap(NULL, bytes, DATA, ANONYMOUS, -1, 0);
        if (pieces[count] == MAP_FAILED)
            bytes /= 2;
        else
            sizes[count++] = bytes;
    }
    CHECK("memory ends in ENOMEM", count < PIECES && errno == ENOMEM);
    CHECK("for malloc, too", !malloc(MIB) && errno == ENOMEM);
    while (count-- > 0)
        munmap(pieces[count], sizes[count]);
    CHECK("and is there again", map_pages(MIB / PAGE, DATA));
}
#endif

void check_maps(void)
{
    check_errors();
    check_limit();
    check_places();
    check_reservations();
    check_advice();
#ifdef __mayfly__
    check_exhaustion();
#endif
}
