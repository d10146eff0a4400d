/* SPDX-License-Identifier: MIT */
/* The descriptor table: making files and descriptors. */
#include <string.h>

#include "guest_rt/console.h"
#include "guest_rt/file.h"
#include "guest_rt/pool.h"
#include "guest_rt/runtime.h"
#include "guest_rt/vfs.h"

#pragma weak vnode_put

#define WORD_BITS   64u
#define COUNT_FIRST 256u

unsigned file_limit = FILE_DESCRIPTORS_MAX;

/* Bit fd: that descriptor is in use. In pages that are touched as needed. */
static uint64_t used[FILE_DESCRIPTORS_MAX / WORD_BITS]
    __attribute__((section(".lbss")));

static bool used_is_valid;

/* ---- The bitmap --------------------------------------------------------- */

static void find_used(void)
{
    if (used_is_valid)
        return; /* nothing is written: resets copy pages back that are */
    for (unsigned fd = 0; fd < file_table.count; fd++)
        if (file_table.entries[fd].file)
            used[fd / WORD_BITS] |= UINT64_C(1) << fd % WORD_BITS;
    used_is_valid = true;
}

void file_freed(unsigned fd)
{
    used[fd / WORD_BITS] &= ~(UINT64_C(1) << fd % WORD_BITS);
}

/* Returns the lowest free descriptor from `least` on, or the limit. */
static unsigned find_free(unsigned least)
{
    uint64_t ignored = (UINT64_C(1) << least % WORD_BITS) - 1;

    for (unsigned i = least / WORD_BITS; i * WORD_BITS < file_limit; i++) {
        uint64_t taken = used[i] | ignored;
        unsigned fd = i * WORD_BITS;

        if (~taken) {
            fd += (unsigned)__builtin_ctzll(~taken);
            return fd < file_limit ? fd : file_limit;
        }
        ignored = 0;
    }
    return file_limit;
}

/* ---- Files -------------------------------------------------------------- */

struct file *file_create(const struct file_ops *ops, void *data, int flags)
{
    struct file *file = pool_alloc(sizeof(*file));

    if (!file)
        return NULL;
    file->ops = ops;
    file->data = data;
    file->flags = flags & ~(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC);
    file->references = 1;
    return file;
}

void file_destroy(struct file *file)
{
    /* The callers below may take and give back references. */
    file->references = 1;
    if (file->wait.first)
        wait_wake(&file->wait, FILE_GONE, WAIT_ALL);
    if (file_drop_locks)
        file_drop_locks(file);
    if (file->ops->release)
        file->ops->release(file);
    if (file->node && vnode_put)
        vnode_put(file->node);
    if ((unsigned)console_number(file) > 2)
        pool_free(file, sizeof(*file));
}

/* ---- Descriptors -------------------------------------------------------- */

/* Makes the table large enough for `fd`. Returns 0 or -ENOMEM. */
static int grow_table(unsigned fd)
{
    unsigned old = file_table.count, count = old;
    struct descriptor *entries;

    if (fd < old)
        return 0;
    while (count <= fd)
        count = count < COUNT_FIRST ? COUNT_FIRST : 2 * count;
    entries = mf_pages_alloc(count * sizeof(*entries));
    if (!entries)
        return -ENOMEM;
    memcpy(entries, file_table.entries, old * sizeof(*entries));
    if (old >= COUNT_FIRST)
        mf_pages_free(file_table.entries, old * sizeof(*entries));
    file_table.entries = entries;
    file_table.count = count;
    return 0;
}

/* Puts the file into an entry that is free. */
static long install(struct file *file, unsigned fd, bool close_on_exec)
{
    int error = grow_table(fd);

    if (error) {
        file_put(file);
        return error;
    }
    file_table.entries[fd] = (struct descriptor){file, close_on_exec};
    used[fd / WORD_BITS] |= UINT64_C(1) << fd % WORD_BITS;
    return fd;
}

long file_install(struct file *file, unsigned least, bool close_on_exec)
{
    unsigned fd;

    find_used();
    fd = least < file_limit ? find_free(least) : file_limit;
    if (fd == file_limit) {
        file_put(file);
        return least >= file_limit ? -EINVAL : -EMFILE;
    }
    return install(file, fd, close_on_exec);
}

long file_install_at(struct file *file, unsigned fd, bool close_on_exec)
{
    struct descriptor *entry = file_entry(fd);
    struct file *old;

    find_used();
    if (fd >= file_limit) {
        file_put(file);
        return -EBADF;
    }
    if (!entry)
        return install(file, fd, close_on_exec);
    /* Its end may take a while: nobody else gets the descriptor meanwhile. */
    old = entry->file;
    *entry = (struct descriptor){file, close_on_exec};
    file_put(old);
    return fd;
}

long file_create_installed(const struct file_ops *ops, void *data, int flags)
{
    struct file *file = file_create(ops, data, flags);

    if (!file)
        return -ENOMEM;
    return file_install(file, 0, flags & O_CLOEXEC);
}
