/* SPDX-License-Identifier: MIT */
/* signalfd: reading signals instead of handling them. */
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

#include "file.h"
#include "pool.h"
#include "runtime.h"
#include "signals.h"
#include "syscalls.h"
#include "thread.h"

/*
 * Each open file has its set. What can be read is the reader's: signals to the
 * process, and to the thread that reads. All files are told of each signal.
 */
struct signal_file {
    struct signal_file *next;
    struct file *file;
    uint64_t set;
};

static struct signal_file *files;

static void note_sent(void)
{
    for (struct signal_file *each = files; each; each = each->next)
        if (signal_is_any_pending(each->set))
            file_wake(each->file, EPOLLIN);
}

/* ---- The file ----------------------------------------------------------- */

static struct signalfd_siginfo record_of(const struct signal_info *info)
{
    struct signalfd_siginfo record = {
        .ssi_signo = (uint32_t)info->number,
        .ssi_errno = info->error,
        .ssi_code = info->code,
    };

    if (info->code == SI_TIMER) {
        record.ssi_tid = (uint32_t)info->words[0];
        record.ssi_overrun = (uint32_t)(info->words[0] >> 32);
    } else {
        record.ssi_pid = (uint32_t)info->words[0];
        record.ssi_uid = (uint32_t)(info->words[0] >> 32);
    }
    /* Only these two have a value, but the others' words are 0. */
    record.ssi_int = (int32_t)info->words[1];
    record.ssi_ptr = info->words[1];
    return record;
}

/* Where byte `at` of a vector is, if a whole record fits there. */
static bool put_record(const struct iovec *iov, int count, size_t at,
                       const struct signalfd_siginfo *record)
{
    const char *from = (const char *)record;
    size_t left = sizeof(*record);

    for (; count > 0 && left > 0; iov++, count--) {
        size_t part;

        if (at >= iov->iov_len) {
            at -= iov->iov_len;
            continue;
        }
        part = iov->iov_len - at < left ? iov->iov_len - at : left;
        memcpy((char *)iov->iov_base + at, from, part);
        from += part;
        left -= part;
        at = 0;
    }
    return left == 0;
}

static long read_signals(struct file *file, const struct iovec *iov, int count,
                         off_t offset)
{
    const struct signal_file *self = file->data;
    size_t room = 0, done = 0;
    struct signal_info info;

    (void)offset;
    for (int i = 0; i < count; i++)
        room += iov[i].iov_len;
    if (room < sizeof(struct signalfd_siginfo))
        return -EINVAL;
    if (file->flags & O_NONBLOCK)
        source_poll();
    for (;;) {
        struct signalfd_siginfo record;
        int error;

        while (room - done >= sizeof(record) && signal_take(self->set, &info)) {
            record = record_of(&info);
            put_record(iov, count, done, &record);
            done += sizeof(record);
        }
        if (done > 0)
            return (long)done;
        error = file_block(file);
        if (error)
            return error;
    }
}

static uint32_t poll_signals(struct file *file)
{
    const struct signal_file *self = file->data;

    return signal_is_any_pending(self->set) ? EPOLLIN : 0;
}

static int stat_signals(struct file *file, struct stat *stat)
{
    (void)file;
    stat->st_mode = 0600;
    stat->st_nlink = 1;
    return 0;
}

static void release(struct file *file)
{
    struct signal_file *self = file->data, **link = &files;

    while (*link != self)
        link = &(*link)->next;
    *link = self->next;
    pool_free(self, sizeof(*self));
}

static const struct file_ops signal_ops = {
    .read = read_signals,
    .stat = stat_signals,
    .poll = poll_signals,
    .release = release,
};

/* ---- The call ----------------------------------------------------------- */

static long create(uint64_t set, int flags)
{
    struct signal_file *self = pool_alloc(sizeof(*self));

    if (!self)
        return -ENOMEM;
    self->set = set;
    self->file =
        file_create(&signal_ops, self, O_RDWR | (flags & SFD_NONBLOCK));
    if (!self->file) {
        pool_free(self, sizeof(*self));
        return -ENOMEM;
    }
    self->next = files;
    files = self;
    mf_signal_sent = note_sent;
    return file_install(self->file, 0, flags & SFD_CLOEXEC);
}

/* Another set for a file that is open already. */
static long change(long fd, uint64_t set)
{
    struct file *file = file_get(fd);
    long result = fd;

    if (!file)
        return -EBADF;
    if (file->ops == &signal_ops)
        ((struct signal_file *)file->data)->set = set;
    else
        result = -EINVAL;
    file_put(file);
    note_sent();
    return result;
}

long __mayfly_sys_signalfd4(long fd, long wanted, long bytes, long flags)
{
    uint64_t set;
    long result;

    if (bytes != sizeof(set) || flags & ~(SFD_CLOEXEC | SFD_NONBLOCK))
        return -EINVAL;
    if (USER_GET(set, wanted))
        return -EFAULT;
    set &= ~SIGNALS_UNBLOCKABLE;
    mf_lock();
    signal_host_await(set);
    result = (int)fd == -1 ? create(set, (int)flags) : change(fd, set);
    mf_unlock();
    return result;
}

long __mayfly_sys_signalfd(long fd, long wanted, long bytes)
{
    return __mayfly_sys_signalfd4(fd, wanted, bytes, 0);
}
