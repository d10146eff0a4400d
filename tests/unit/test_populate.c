/* SPDX-License-Identifier: MIT */
/* Memory provided ahead: what a guest gets, and what it does not. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sys/mman.h>

#include <mayfly/abi.h>

#include "vmm/populate.h"

#define POPULATE_WRITE 23 /* Linux 5.14 */

#define BASE  0x10000ull
#define PAGE  ((size_t)MF_PAGE_BYTES)
#define PROBE ((size_t)MF_POPULATE_PROBE)
#define BYTES ((size_t)4 << 20)

static struct gmem mem;

TestSuite(populate);

static void fresh_memory(void)
{
    uint8_t *host = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    cr_assert_neq((void *)host, MAP_FAILED);
    madvise(host, BYTES, MADV_NOHUGEPAGE);
    mem = (struct gmem){.regions = {{BASE, BYTES, host}}, .count = 1};
}

static size_t pages_there(void)
{
    static unsigned char resident[BYTES / MF_PAGE_BYTES];
    size_t pages = 0;

    cr_assert_eq(mincore(mem.regions[0].host, BYTES, resident), 0);
    for (size_t i = 0; i < sizeof(resident); i++)
        pages += resident[i] & 1;
    return pages;
}

static void touch(size_t at, size_t pages)
{
    for (size_t i = 0; i < pages; i++)
        mem.regions[0].host[at + i * PAGE] = 1;
}

Test(populate, provides_what_lies_below_used_memory)
{
    const size_t bytes = 64 * PAGE;

    fresh_memory();
    if (madvise(mem.regions[0].host, 0, POPULATE_WRITE))
        cr_skip_test("this kernel has no MADV_POPULATE_WRITE");
    touch(bytes, PROBE / PAGE / 2);
    cr_assert_eq(populate(&mem, BASE, bytes), (long)bytes);
    cr_assert_eq(pages_there(), 64 + PROBE / PAGE / 2);
    cr_assert_eq(populate(&mem, BASE, bytes), (long)bytes);
}

Test(populate, provides_nothing_below_unused_memory)
{
    const size_t bytes = 64 * PAGE, few = PROBE / PAGE / 2 - 1;

    fresh_memory();
    touch(bytes, few);
    touch(bytes + PROBE, 10);
    cr_assert_eq(populate(&mem, BASE, bytes), 0);
    cr_assert_eq(pages_there(), few + 10);
}

Test(populate, refuses_what_is_not_memory_or_too_much)
{
    fresh_memory();
    cr_assert_eq(populate(&mem, BASE, 0), -EINVAL);
    cr_assert_eq(populate(&mem, BASE + 1, PAGE), -EINVAL);
    cr_assert_eq(populate(&mem, BASE, PAGE + 1), -EINVAL);
    cr_assert_eq(populate(&mem, BASE, MF_POPULATE_MAX + PAGE), -EINVAL);
    cr_assert_eq(populate(&mem, BASE, UINT64_MAX - PAGE + 1), -EINVAL);
    cr_assert_eq(populate(&mem, BASE - PAGE, PAGE), -EFAULT);
    cr_assert_eq(populate(&mem, -PAGE, PAGE), -EFAULT);
    /* What it looks at has to be memory, too. */
    cr_assert_eq(populate(&mem, BASE + BYTES - PROBE, PAGE), -EFAULT);
    cr_assert_eq(pages_there(), 0);
}
