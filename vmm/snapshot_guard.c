/* SPDX-License-Identifier: MIT */
/* A snapshot's file that is cut short under a VM ends that VM, and no other. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "vmm/base/os.h"
#include "vmm/snapshot.h"

#ifndef F_GET_SEALS
#define F_GET_SEALS   1034
#define F_SEAL_SHRINK 2
#endif

/*
 * Memory that is mapped from a file and lies past its end is not there: whoever
 * touches it gets SIGBUS. The handler puts an empty page there, so that the
 * access ends, and notes that this VM has lost memory. It knows memory by these
 * entries; one belongs to whoever has put its `lost` there.
 */
#define GUARDS_MAX 8192 /* three for each VM at most */

static struct guard {
    _Atomic(atomic_bool *) lost; /* NULL: free */
    _Atomic uintptr_t start, end;
} guards[GUARDS_MAX];

static struct sigaction before;
static atomic_bool installed;

static struct guard *find_guard(uintptr_t address)
{
    for (unsigned i = 0; i < GUARDS_MAX; i++)
        if (atomic_load(&guards[i].lost) &&
            address >= atomic_load(&guards[i].start) &&
            address < atomic_load(&guards[i].end))
            return &guards[i];
    return NULL;
}

static bool put_page(uintptr_t address)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    void *page = (void *)round_down(address, SNAPSHOT_PAGE_BYTES);

    return mmap(page, SNAPSHOT_PAGE_BYTES, PROT_READ | PROT_WRITE, flags, -1,
                0) == page;
}

static void on_bus_error(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    struct guard *guard = find_guard((uintptr_t)info->si_addr);

    if (guard && put_page((uintptr_t)info->si_addr)) {
        atomic_store(atomic_load(&guard->lost), true);
        errno = saved;
        return;
    }
    /* Not ours: as it would have been without us. */
    if (before.sa_flags & SA_SIGINFO) {
        before.sa_sigaction(number, info, context);
    } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
        before.sa_handler(number);
    } else {
        sigaction(number, &before, NULL); /* happens again, and ends it */
    }
    errno = saved;
}

static int install(void)
{
    struct sigaction action = {
        .sa_sigaction = on_bus_error,
        .sa_flags = SA_SIGINFO | SA_NODEFER,
    };

    if (atomic_exchange(&installed, true))
        return 0;
    return os_sigaction(SIGBUS, &action, &before);
}

static int add_guard(const void *start, size_t bytes, atomic_bool *lost)
{
    for (unsigned i = 0; i < GUARDS_MAX; i++) {
        atomic_bool *nobody = NULL;

        if (!atomic_compare_exchange_strong(&guards[i].lost, &nobody, lost))
            continue;
        atomic_store(&guards[i].start, (uintptr_t)start);
        atomic_store(&guards[i].end, (uintptr_t)start + bytes);
        return 0;
    }
    return -EMFILE;
}

/* Whether the file cannot be cut short. */
static bool is_sealed(int fd)
{
    int seals = (int)os_syscall(SYS_fcntl, fd, F_GET_SEALS);

    return seals >= 0 && (seals & F_SEAL_SHRINK);
}

int snapshot_guard_range(const void *start, size_t bytes, int fd,
                         atomic_bool *lost)
{
    int result = 0;

    if (is_sealed(fd))
        return 0;
    result = install();
    return result ? result : add_guard(start, bytes, lost);
}

int snapshot_guard(const struct gmem *ram, int fd, atomic_bool *lost)
{
    int result = 0;

    for (unsigned i = 0; i < ram->count && !result; i++)
        result = snapshot_guard_range(ram->regions[i].host,
                                      ram->regions[i].bytes, fd, lost);
    if (result)
        snapshot_unguard(lost);
    return result;
}

void snapshot_unguard(atomic_bool *lost)
{
    for (unsigned i = 0; i < GUARDS_MAX; i++)
        if (atomic_load(&guards[i].lost) == lost) {
            atomic_store(&guards[i].end, 0);
            atomic_store(&guards[i].start, 0);
            atomic_store(&guards[i].lost, NULL);
        }
}
