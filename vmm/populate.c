/* SPDX-License-Identifier: MIT */
/* Memory that the guest is about to touch, provided at once. */
#include "vmm/populate.h"

#include <errno.h>
#include <sys/mman.h>

#include <mayfly/abi.h>
#include "vmm/base/os.h"

/* Linux 5.14; older kernels refuse it, and the guest goes on as it would. */
#define PROBE_PAGES (MF_POPULATE_PROBE / MF_PAGE_BYTES)

/* Whether the host has provided half of the pages from here on. */
static bool is_used(void *host)
{
    unsigned char resident[PROBE_PAGES] = {0};
    unsigned pages = 0;

    if (os_syscall(SYS_mincore, host, MF_POPULATE_PROBE, resident))
        return false;
    for (unsigned i = 0; i < PROBE_PAGES; i++)
        pages += resident[i] & 1;
    return pages >= PROBE_PAGES / 2;
}

long populate(const struct gmem *mem, uint64_t at, uint64_t bytes)
{
    void *host;

    if (!bytes || bytes > MF_POPULATE_MAX || (at | bytes) % MF_PAGE_BYTES)
        return -EINVAL;
    if (gmem_find(mem, gpa(at), bytes + MF_POPULATE_PROBE, &host))
        return -EFAULT;
    if (!is_used((uint8_t *)host + bytes) ||
        os_madvise(host, bytes, MADV_POPULATE_WRITE))
        return 0;
    return (long)bytes;
}
