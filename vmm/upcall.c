/* SPDX-License-Identifier: MIT */
/* Reading the guest's wishes about upcalls. */
#include "vmm/upcall.h"

#include <mayfly/abi.h>

int upcall_init(struct upcall_line *line, const struct gmem *mem,
                struct event_word *events, uint64_t entry)
{
    void *host;
    int error = gmem_map(mem, gpa(MF_BOOT_PAGE), sizeof(struct mf_boot), &host);

    if (error)
        return error;
    *line = (struct upcall_line){host, events, entry};
    return 0;
}

uint64_t upcall_deadline(const struct upcall_line *line)
{
    return __atomic_load_n(&line->boot->upcall_deadline_ns, __ATOMIC_RELAXED);
}

void upcall_check_timer(struct upcall_line *line, uint64_t now_ns)
{
    uint64_t deadline_ns = upcall_deadline(line);

    if (deadline_ns == 0 || deadline_ns > now_ns)
        return;
    __atomic_store_n(&line->boot->upcall_deadline_ns, 0, __ATOMIC_RELAXED);
    event_raise(line->events, MF_EVENT_TIMER);
}

uint64_t upcall_armed(const struct upcall_line *line)
{
    if (!line->entry)
        return 0;
    return __atomic_load_n(&line->boot->upcall_events, __ATOMIC_RELAXED);
}

uint64_t upcall_due(const struct upcall_line *line)
{
    if (!line->entry)
        return 0;
    /* Partner: the guest's store of 0, after which it looks at the events. */
    if (__atomic_load_n(&line->boot->upcall_masked, __ATOMIC_ACQUIRE))
        return 0;
    return event_read(line->events) & upcall_armed(line);
}

void upcall_begin(struct upcall_line *line)
{
    __atomic_store_n(&line->boot->upcall_masked, 1, __ATOMIC_RELAXED);
}
