/* SPDX-License-Identifier: MIT */
/* mremap. */
#define _GNU_SOURCE
#include "check.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define DATA (PROT_READ | PROT_WRITE)

static void check_growth(void)
{
    char *at = map_pages(8, DATA), *moved;

    memset(at, 1, 8 * PAGE);
    CHECK("mremap makes less",
          mremap(at, 8 * PAGE, 4 * PAGE, 0) == at && !can_read(at + 4 * PAGE));
    CHECK("mremap makes more where there is room",
          mremap(at, 4 * PAGE, 6 * PAGE, 0) == at && is_all(at, 4 * PAGE, 1) &&
              is_all(at + 4 * PAGE, 2 * PAGE, 0));
    mmap(at + 6 * PAGE, PAGE, PROT_READ,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    CHECK("mremap without room",
          mremap(at, 6 * PAGE, 9 * PAGE, 0) == MAP_FAILED && errno == ENOMEM);
    moved = mremap(at, 6 * PAGE, 9 * PAGE, MREMAP_MAYMOVE);
    CHECK("mremap elsewhere", moved != MAP_FAILED && moved != at &&
                                  is_all(moved, 4 * PAGE, 1) &&
                                  is_all(moved + 4 * PAGE, 5 * PAGE, 0));
    CHECK("the old place is closed", !can_read(at) && !can_read(at + 5 * PAGE));
    CHECK("the new one is not", can_write(moved + 9 * PAGE - 1));
    munmap(moved, 9 * PAGE);
    munmap(at + 6 * PAGE, PAGE);
}

static void check_rights(void)
{
    char *at = map_pages(4, DATA), *moved;

    memset(at, 1, 4 * PAGE);
    mprotect(at, 4 * PAGE, PROT_READ);
    moved = mremap(at, 4 * PAGE, 600 * PAGE, MREMAP_MAYMOVE);
    CHECK("mremap keeps rights", moved != MAP_FAILED && can_read(moved) &&
                                     is_all(moved, 4 * PAGE, 1) &&
                                     !can_write(moved) &&
                                     !can_write(moved + 599 * PAGE));
    munmap(moved, 600 * PAGE);
}

static void check_fixed(void)
{
    char *at = map_pages(4, DATA), *to = map_pages(8, DATA);

    memset(at, 1, 4 * PAGE);
    memset(to, 2, 8 * PAGE);
    CHECK("MREMAP_FIXED",
          mremap(at, 4 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
                 to + 2 * PAGE) == to + 2 * PAGE &&
              is_all(to, 2 * PAGE, 2) && is_all(to + 2 * PAGE, 3 * PAGE, 1) &&
              is_all(to + 5 * PAGE, 3 * PAGE, 2) && !can_read(at));
    CHECK("MREMAP_FIXED alone",
          mremap(to, PAGE, PAGE, MREMAP_FIXED, at) == MAP_FAILED &&
              errno == EINVAL);
    CHECK("MREMAP_FIXED onto itself",
          mremap(to, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
                 to + PAGE) == MAP_FAILED &&
              errno == EINVAL);
    CHECK("mremap of what is not mapped",
          mremap(at, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED &&
              errno == EFAULT);
    munmap(to, 8 * PAGE);
}

void check_moves(void)
{
    check_growth();
    check_rights();
    check_fixed();
}
