/* SPDX-License-Identifier: MIT */
/* What goes between the supervisor and a worker: jobs, reports, claims. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/server/child.h"
#include "vmm/server/worker.h"

/* Puts a job's number where there is room. Returns the place, or NULL. */
static _Atomic uint64_t *announce(struct worker_page *page, uint64_t id)
{
    for (unsigned i = 0; i < 2; i++)
        if (atomic_load_explicit(&page->next[i], memory_order_relaxed) == 0) {
            atomic_store_explicit(&page->next[i], id, memory_order_release);
            return &page->next[i];
        }
    return NULL;
}

int worker_hand_over(struct worker_link *link, const struct worker_job *job,
                     int connection)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec data = {(void *)(uintptr_t)job, sizeof(*job)};
    struct msghdr message = {
        .msg_iov = &data,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    _Atomic uint64_t *place = announce(link->page, job->id);
    int error;

    if (!place)
        return -EBUSY;
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &connection, sizeof(int));
    if (sendmsg(link->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
        return 0;
    error = -errno;
    atomic_store_explicit(place, 0, memory_order_relaxed);
    return error;
}

/* Both sides do the same: whoever swaps the number has the job. */
static bool take(struct worker_page *page, uint64_t id)
{
    for (unsigned i = 0; i < 2; i++) {
        uint64_t expected = id;

        if (atomic_compare_exchange_strong(&page->next[i], &expected, 0))
            return true;
    }
    return false;
}

bool worker_take_back(struct worker_link *link, uint64_t id)
{
    return take(link->page, id);
}

bool worker_claim(struct worker_page *page, uint64_t id)
{
    atomic_store(&page->current, id);
    return take(page, id);
}

/* What an honest worker's report looks like. */
static bool is_sound(const struct worker_report *report)
{
    if (report->event == WORKER_READY || report->event == WORKER_AWAKE)
        return report->id == 0;
    return report->event >= WORKER_DONE && report->event <= WORKER_OWN_SILENT &&
           report->end < WORKER_ENDS && report->id != 0 && report->spent <= 1 &&
           report->explained <= 1;
}

static bool has_connection(const struct worker_report *report)
{
    return report->event == WORKER_OWN_DONE ||
           report->event == WORKER_OWN_SILENT;
}

static int receive(struct worker_link *link, struct worker_report *report,
                   int *connection)
{
    unsigned count = 1;
    int result =
        child_receive(link->fd, report, sizeof(*report), connection, &count);

    if (result || count == 0)
        *connection = -1;
    return result;
}

int worker_hear(struct worker_link *link, struct worker_report *report,
                int *connection)
{
    int result = receive(link, report, connection);
    bool is_full, is_wanted;

    /* It ended with a job unread. What it said before can be read afterwards.
     */
    if (result == -ECONNRESET)
        result = receive(link, report, connection);
    is_full = result == -EMFILE; /* the report is there */
    if (result && !is_full)
        return result == -EAGAIN || result == -EPROTO ? result : -EPIPE;
    is_wanted = is_sound(report) && has_connection(report);
    if (*connection >= 0 && !is_wanted) {
        close(*connection);
        *connection = -1;
    }
    if (!is_sound(report) || (is_wanted && !is_full && *connection < 0))
        return -EPROTO;
    return 0;
}

int worker_let_accept(struct worker_link *link)
{
    const struct worker_job none = {0};

    atomic_store(&link->page->own.accepts, 1);
    return child_send(link->fd, &none, sizeof(none), NULL, 0);
}

void worker_release(struct worker_link *link)
{
    if (link->fd >= 0)
        close(link->fd);
    if (link->page)
        munmap(link->page, sizeof(*link->page));
    if (link->keeper >= 0)
        close(link->keeper);
    link->fd = link->keeper = -1;
    link->page = NULL;
}
