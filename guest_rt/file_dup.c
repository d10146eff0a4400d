/* SPDX-License-Identifier: MIT */
/* Descriptors: copies, flags, and closing many. */
#include "guest_rt/file.h"
#include "guest_rt/syscalls.h"

#define CLOSE_RANGE_UNSHARE 2u
#define CLOSE_RANGE_CLOEXEC 4u

/* What F_SETFL can change. */
#define FLAGS_SETTABLE (O_APPEND | O_ASYNC | O_DIRECT | O_NOATIME | O_NONBLOCK)

/* ---- Copies ------------------------------------------------------------- */

static long duplicate(long fd, long least, bool close_on_exec)
{
    struct file *file = file_get(fd);

    if (!file)
        return -EBADF;
    if (least < 0 || least >= (long)file_limit) {
        file_put(file);
        return -EINVAL;
    }
    return file_install(file, (unsigned)least, close_on_exec);
}

static long duplicate_to(long fd, long to, bool close_on_exec)
{
    struct file *file;

    if ((unsigned)to >= file_limit)
        return -EBADF;
    file = file_get(fd);
    return file ? file_install_at(file, (unsigned)to, close_on_exec) : -EBADF;
}

long __mayfly_sys_dup(long fd)
{
    return FILE_CALL(duplicate(fd, 0, false));
}

long __mayfly_sys_dup3(long fd, long to, long flags)
{
    if ((int)flags & ~O_CLOEXEC || (int)fd == (int)to)
        return -EINVAL;
    return FILE_CALL(duplicate_to(fd, to, flags & O_CLOEXEC));
}

long __mayfly_sys_dup2(long fd, long to)
{
    long result;

    if ((int)fd != (int)to)
        return FILE_CALL(duplicate_to(fd, to, false));
    mf_lock();
    result = file_entry(fd) ? (int)fd : -EBADF;
    mf_unlock();
    return result;
}

/* ---- Flags -------------------------------------------------------------- */

static long set_flags(struct file *file, int wanted)
{
    int flags = (file->flags & ~FLAGS_SETTABLE) | (wanted & FLAGS_SETTABLE);
    int error = 0;

    if (file->flags & O_PATH)
        return -EBADF;
    if (file->ops->set_flags)
        error = file->ops->set_flags(file, flags);
    if (!error)
        file->flags = flags;
    return error;
}

static long control_entry(struct descriptor *entry, long fd, long command,
                          long argument)
{
    switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        return duplicate(fd, (int)argument, command == F_DUPFD_CLOEXEC);
    case F_GETFD:
        return entry->close_on_exec ? FD_CLOEXEC : 0;
    case F_SETFD:
        entry->close_on_exec = argument & FD_CLOEXEC;
        return 0;
    case F_GETFL:
        return entry->file->flags;
    case F_SETFL:
        return set_flags(entry->file, (int)argument);
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        return file_lock(entry->file, (int)command, (struct flock *)argument);
    case F_GETOWN:
    case F_SETOWN: /* nobody is told */
    case F_SETSIG:
        return 0;
    default:
        return -EINVAL;
    }
}

static long control(long fd, long command, long argument)
{
    struct descriptor *entry = file_entry(fd);
    struct file *file;
    long result;

    if (!entry)
        return -EBADF;
    file = file_get(fd);
    result = control_entry(entry, fd, (int)command, argument);
    file_put(file);
    return result;
}

long __mayfly_sys_fcntl(long fd, long command, long argument)
{
    return FILE_CALL(control(fd, command, argument));
}

/* ---- Closing many ------------------------------------------------------- */

long __mayfly_sys_close_range(long first, long last, long flags)
{
    unsigned from = (unsigned)first, to = (unsigned)last;

    if ((unsigned)flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) ||
        from > to)
        return -EINVAL;
    mf_lock();
    for (unsigned fd = from; fd <= to && fd < file_table.count; fd++) {
        struct descriptor *entry = file_entry(fd);

        if (entry && flags & CLOSE_RANGE_CLOEXEC)
            entry->close_on_exec = true;
        else if (entry)
            file_close(entry);
    }
    mf_unlock();
    return 0;
}
