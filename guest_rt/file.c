/* SPDX-License-Identifier: MIT */
/* The descriptor table: what every program has of it. */
#include "guest_rt/file.h"

#include <fcntl.h>

#include "guest_rt/console.h"
#include "guest_rt/syscalls.h"

/* In every image: rather small than fast. */
#pragma GCC optimize("Os")

struct file console_files[3] = {
    {.ops = &console_ops, .flags = O_RDONLY, .references = 1},
    {.ops = &console_ops, .flags = O_WRONLY, .references = 1},
    {.ops = &console_ops, .flags = O_WRONLY, .references = 1},
};

/* Where the table begins, and stays in programs that open nothing. */
static struct descriptor first[3] = {
    {.file = &console_files[0]},
    {.file = &console_files[1]},
    {.file = &console_files[2]},
};

struct file_table file_table = {first, 3};

int console_number(const struct file *file)
{
    return (int)(file - console_files);
}

struct descriptor *file_entry(long fd)
{
    if ((unsigned)fd >= file_table.count || !file_table.entries[fd].file)
        return NULL;
    return &file_table.entries[(unsigned)fd];
}

struct file *file_get(long fd)
{
    struct descriptor *entry = file_entry(fd);

    if (!entry)
        return NULL;
    entry->file->references++;
    return entry->file;
}

struct file *file_get_io(long fd)
{
    struct file *file = file_get(fd);

    if (file && file->flags & O_PATH) {
        file_put(file);
        file = NULL;
    }
    return file;
}

struct file *file_begin(long fd)
{
    struct file *file;

    mf_lock();
    file = file_get_io(fd);
    if (!file)
        mf_unlock();
    return file;
}

void file_put(struct file *file)
{
    if (--file->references == 0 && file_destroy)
        file_destroy(file);
}

long file_end(struct file *file, long result)
{
    file_put(file);
    mf_unlock();
    return result;
}

void file_close(struct descriptor *entry)
{
    struct file *file = entry->file;

    entry->file = NULL;
    if (file_freed)
        file_freed((unsigned)(entry - file_table.entries));
    file_put(file);
}

long __mayfly_sys_close(long fd)
{
    struct descriptor *entry;

    mf_lock();
    entry = file_entry(fd);
    if (entry)
        file_close(entry);
    mf_unlock();
    return entry ? 0 : -EBADF;
}
