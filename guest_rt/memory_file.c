/* SPDX-License-Identifier: MIT */
/* Mappings of files. */
#define MEMORY_PROTECTS

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "guest_rt/file.h"
#include "guest_rt/memory.h"
#include "guest_rt/runtime.h"
#include "guest_rt/sched.h"
#include "guest_rt/vfs.h"

/*
 * Memory is mapped one to one, so that a page cannot be in two places:
 *
 *   MAP_PRIVATE          is a copy, made at once
 *   MAP_SHARED, of files whose kind has `map` (files in memory): the file's own
 *                        pages; all mappings of them have the same address;
 *                        those behind the end of the file are closed
 *   MAP_SHARED, others   a copy that all mappings of the same part have in
 *                        common, written back by msync, munmap and exit
 */

/* A shared mapping. */
struct shared {
    struct shared *next;
    uintptr_t from, to;
    uintptr_t open; /* from here on: behind the end of the file */
    struct file *file;
    off_t offset;
    bool fixed; /* where the program wanted it: the file leaves that place */
    bool copy;  /* to be written back ... */
    bool write; /* ... if it may have been written: it was mapped for that */
};

static struct shared *all, *unused;

/*
 * Files are read and written with this held: others run meanwhile, and what
 * was found in the list has to be there afterwards.
 */
static struct mutex changing;

#define FIXED (MAP_FIXED | MAP_FIXED_NOREPLACE)

/* In programs that have descriptors. */
__typeof__(file_get) file_get __attribute__((weak));
__typeof__(file_put) file_put __attribute__((weak));
__typeof__(file_stat) file_stat __attribute__((weak));
__typeof__(vnode_set) vnode_set __attribute__((weak));

static struct shared *shared_create(void)
{
    struct shared *shared = unused;

    if (!shared) {
        shared = mf_pages_alloc(MEMORY_PAGE);
        for (size_t i = 0; shared && i < MEMORY_PAGE / sizeof(*shared); i++) {
            shared[i].next = unused;
            unused = &shared[i];
        }
        shared = unused;
    }
    if (shared)
        unused = shared->next;
    return shared;
}

static void shared_add(struct shared *shared, struct shared value)
{
    *shared = value;
    shared->next = all;
    all = shared;
}

/* The first shared mapping that is in a range, or NULL. */
static struct shared *find(uintptr_t from, uintptr_t to,
                           const struct shared *except)
{
    struct shared *found = NULL;

    for (struct shared *at = all; at; at = at->next)
        if (at != except && at->from < to && at->to > from &&
            (!found || at->from < found->from))
            found = at;
    return found;
}

size_t memory_file_bytes(uintptr_t from, uintptr_t to)
{
    size_t total = 0;

    for (const struct shared *at = all; at; at = at->next)
        if (at->from < to && at->to > from)
            total += (at->to < to ? at->to : to) -
                     (at->from > from ? at->from : from);
    return total;
}

bool memory_is_file(uintptr_t from, uintptr_t to)
{
    return find(from, to, NULL);
}

/* ---- Moving bytes ------------------------------------------------------- */

/* Reads until the file or the memory ends. Returns the bytes, or -errno. */
static long read_file(struct file *file, uintptr_t to, size_t bytes,
                      off_t offset)
{
    size_t done = 0;

    while (done < bytes) {
        struct iovec part = {(void *)(to + done), bytes - done};
        long got = file->ops->read(file, &part, 1, offset + (off_t)done);

        if (got == -EINTR)
            continue;
        if (got < 0)
            return got;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (long)done;
}

/* What was written to a file's own pages is a change of it from now on. */
static void note_change(struct file *file)
{
    uint64_t now = mf_clock_realtime();
    const struct vfs_change change = {
        .mask = VFS_SET_MODIFIED,
        .modified = {(time_t)(now / 1000000000), (long)(now % 1000000000)},
    };

    if (vnode_set && file->node)
        vnode_set(file->node, &change);
}

/* Writes one mapping back, as far as the file goes. */
static int write_back(const struct shared *shared, uintptr_t from, uintptr_t to)
{
    struct file *file = shared->file;
    off_t at = shared->offset + (off_t)(from - shared->from);
    struct stat stat = {0};
    int error;

    if (!shared->write || !file_stat)
        return 0;
    if (!shared->copy) {
        note_change(file);
        return 0;
    }
    error = file_stat(file, &stat);
    if (error)
        return error;
    if (at >= stat.st_size)
        return 0;
    if ((off_t)(to - from) > stat.st_size - at)
        to = from + (uintptr_t)(stat.st_size - at);
    while (from < to) {
        struct iovec part = {(void *)from, to - from};
        long put = file->ops->write(file, &part, 1, at);

        if (put == -EINTR)
            continue;
        if (put <= 0)
            return put < 0 ? (int)put : -EIO;
        from += (size_t)put;
        at += put;
    }
    return 0;
}

int memory_sync_file(uintptr_t from, uintptr_t to)
{
    int error = 0;

    mutex_lock(&changing);
    for (const struct shared *at = all; at && !error; at = at->next)
        if (at->from < to && at->to > from)
            error = write_back(at, at->from > from ? at->from : from,
                               at->to < to ? at->to : to);
    mutex_unlock(&changing);
    return error;
}

/* ---- The ends of files -------------------------------------------------- */

static int set_rights(uintptr_t from, uintptr_t to, int rights)
{
    int error = 0;

    if (from < to && paging_is_there()) {
        error = paging_protect(from, to, rights);
        paging_flush();
    }
    return error;
}

/* Opens what is within a file of this size, and closes the rest. */
static int set_end(struct shared *shared, off_t size)
{
    size_t bytes = shared->to - shared->from;
    off_t left = size < shared->offset ? 0 : size - shared->offset;
    uintptr_t open = shared->to;
    int error = 0;

    if (left < (off_t)bytes)
        open = shared->from + memory_whole_pages(left);
    if (open < shared->open)
        set_rights(open, shared->open, PAGING_BEYOND);
    else
        error = set_rights(shared->open, open, PROT_READ | PROT_WRITE);
    if (!error)
        shared->open = open;
    return error;
}

int memory_file_sized(const struct vnode *node, off_t bytes)
{
    int error = 0;

    for (struct shared *at = all; at && !error; at = at->next)
        if (!at->copy && at->file->node == node)
            error = set_end(at, bytes);
    return error;
}

/* What is not mapped any more the file may use in any way. */
static void reopen(uintptr_t from, uintptr_t to)
{
    set_rights(from, to, PROT_READ | PROT_WRITE);
    for (const struct shared *at = all; at; at = at->next)
        set_rights(at->open > from ? at->open : from, at->to < to ? at->to : to,
                   PAGING_BEYOND);
}

/* ---- Unmapping ---------------------------------------------------------- */

static void shared_remove(struct shared *shared)
{
    struct shared **link = &all;

    while (*link != shared)
        link = &(*link)->next;
    *link = shared->next;
    file_put(shared->file);
    shared->next = unused;
    unused = shared;
}

static void end_at(struct shared *shared, uintptr_t to)
{
    shared->to = to;
    if (shared->open > to)
        shared->open = to;
}

/* Takes [from, to), which is in it, out of a mapping. */
static bool cut(struct shared *shared, uintptr_t from, uintptr_t to)
{
    if (from > shared->from && to < shared->to) {
        struct shared *rest = shared_create(), value = *shared;

        if (!rest)
            return false;
        value.from = to;
        if (value.open < to)
            value.open = to;
        value.offset += (off_t)(to - shared->from);
        value.file->references++;
        shared_add(rest, value);
        end_at(shared, from);
    } else if (from > shared->from) {
        end_at(shared, from);
    } else if (to < shared->to) {
        shared->offset += (off_t)(to - shared->from);
        shared->from = to;
        if (shared->open < to)
            shared->open = to;
    } else {
        shared_remove(shared);
    }
    return true;
}

/* Moves a file away; what it leaves is taken at once, before others do. */
static int vacate_own(struct file *file, uintptr_t from, uintptr_t to)
{
    int error = file->ops->vacate
                    ? file->ops->vacate(file, (void *)from, to - from)
                    : -ENOMEM;

    return !error && memory_map_at(from, to - from, false) < 0 ? -ENOMEM
                                                               : error;
}

static uintptr_t unmap_first(uintptr_t from, uintptr_t to, bool *kept)
{
    struct shared *shared = find(from, to, NULL);
    struct file *file;
    bool copy, fixed, was_cut;

    if (!shared)
        return to;
    if (shared->from > from)
        return shared->from;
    if (to > shared->to)
        to = shared->to;
    copy = shared->copy;
    fixed = shared->fixed;
    write_back(shared, from, to);
    file = shared->file;
    file->references++;
    was_cut = cut(shared, from, to);
    if (was_cut && !copy)
        reopen(from, to);
    if (was_cut && file->ops->unmap)
        file->ops->unmap(file, (void *)from, to - from);
    *kept = !was_cut || !copy || find(from, to, NULL);
    if (was_cut && fixed && !copy && !find(from, to, NULL))
        *kept = vacate_own(file, from, to) != 0;
    file_put(file);
    return to;
}

uintptr_t memory_unmap_file(uintptr_t from, uintptr_t to, bool *kept)
{
    mutex_lock(&changing);
    to = unmap_first(from, to, kept);
    mutex_unlock(&changing);
    return to;
}

/* ---- Making room --------------------------------------------------------- */

/* Whether two mappings have a page of the range in common. */
static bool has_twins(uintptr_t from, uintptr_t to)
{
    for (const struct shared *at = all; at; at = at->next)
        if (at->from < to && at->to > from &&
            find(at->from > from ? at->from : from, at->to < to ? at->to : to,
                 at))
            return true;
    return false;
}

/* What was there is anonymous memory then. */
static int vacate(uintptr_t from, uintptr_t to)
{
    const struct shared *shared;
    int error = has_twins(from, to) ? -ENOMEM : 0;

    while (!error && (shared = find(from, to, NULL))) {
        uintptr_t start = shared->from > from ? shared->from : from, end;
        struct file *file = shared->file;
        bool kept = false;

        file->references++;
        end = unmap_first(start, to, &kept);
        if (kept)
            error = vacate_own(file, start, end);
        file_put(file);
    }
    return error;
}

int memory_vacate_file(uintptr_t from, uintptr_t to)
{
    int error;

    if (!find(from, to, NULL))
        return 0;
    mutex_lock(&changing);
    error = vacate(from, to);
    mutex_unlock(&changing);
    return error;
}

/* ---- Mapping ------------------------------------------------------------ */

static long map_private(struct file *file, uintptr_t address, size_t bytes,
                        int rights, int flags, off_t offset)
{
    long at = memory_map_somewhere(address, bytes, flags), got;
    uintptr_t from = (uintptr_t)at;
    int error;

    if (at < 0)
        return at;
    got = read_file(file, from, bytes, offset);
    error = got < 0 ? (int)got : memory_set_rights(from, bytes, rights);
    if (error) {
        memory_unmap(from, bytes);
        return error;
    }
    /* It stays as it is, even if the file grows. */
    set_rights(from + memory_whole_pages(got), from + bytes, PAGING_BEYOND);
    return at;
}

/* Memory at a fixed address. */
static long map_place(uintptr_t address, size_t bytes, int flags)
{
    bool replace = (flags & MAP_FIXED) == MAP_FIXED;
    int error = replace ? vacate(address, address + bytes) : 0;

    return error ? error : memory_map_at(address, bytes, replace);
}

/* The copy that another mapping of the same part has, or a new one. */
static long map_copy(struct file *file, uintptr_t place, size_t bytes,
                     int flags, off_t offset)
{
    long address, got;

    for (const struct shared *at = all; at; at = at->next)
        if (at->copy && at->file->node && at->file->node == file->node &&
            at->offset == offset && at->to - at->from == bytes)
            return flags & FIXED ? -ENOMEM : (long)at->from;
    address =
        flags & FIXED ? map_place(place, bytes, flags) : memory_map(bytes);
    if (address < 0)
        return address;
    got = read_file(file, (uintptr_t)address, bytes, offset);
    if (got >= 0)
        return address;
    memory_unmap((uintptr_t)address, bytes);
    return got;
}

/* The file's own pages, which move to where they are to be. */
static long map_own(struct file *file, uintptr_t address, size_t bytes,
                    int rights, int flags, off_t offset)
{
    bool fixed = flags & FIXED;
    long at = fixed ? map_place(address, bytes, flags) : 0;

    if (at < 0)
        return at;
    at = file->ops->map(file, (void *)address, bytes, rights,
                        fixed ? MAP_SHARED | MAP_FIXED : MAP_SHARED, offset);
    /* What was replaced stays the program's: others would move in. */
    if (at < 0 && (flags & MAP_FIXED_NOREPLACE) == MAP_FIXED_NOREPLACE)
        memory_unmap(address, bytes);
    return at;
}

static long map_shared(struct file *file, uintptr_t address, size_t bytes,
                       int rights, int flags, off_t offset)
{
    bool copy = !file->ops->map;
    struct stat stat = {0};
    struct shared *shared;
    long at;

    shared = shared_create();
    if (!shared)
        return -ENOMEM;
    at = copy ? map_copy(file, address, bytes, flags, offset)
              : map_own(file, address, bytes, rights, flags, offset);
    if (at < 0) {
        shared->next = unused;
        unused = shared;
        return at;
    }
    file->references++;
    shared_add(shared, (struct shared){
                           .from = (uintptr_t)at,
                           .to = (uintptr_t)at + bytes,
                           .open = (uintptr_t)at + bytes,
                           .file = file,
                           .offset = offset,
                           .fixed = flags & FIXED,
                           .copy = copy,
                           .write = rights & PROT_WRITE,
                       });
    if (!copy && file_stat && !file_stat(file, &stat))
        set_end(shared, stat.st_size);
    return at;
}

/* What mmap(2) wants of a file. */
static int check(const struct file *file, int rights, int flags)
{
    bool shared = (flags & MAP_TYPE) != MAP_PRIVATE;
    int mode = file->flags & O_ACCMODE;

    if (file->flags & O_PATH)
        return -EBADF;
    if (mode == O_WRONLY || (shared && (rights & PROT_WRITE) && mode != O_RDWR))
        return -EACCES;
    if ((rights & PROT_WRITE) && (rights & PROT_EXEC))
        return -EACCES;
    /* Without a place to read from it is a pipe, a terminal, a socket. */
    if (!file->ops->read || !file->ops->seek || file->ops->read_dir)
        return -ENODEV;
    return 0;
}

long memory_map_file(uintptr_t address, size_t bytes, int rights, int flags,
                     long fd, off_t offset)
{
    struct file *file = file_get ? file_get(fd) : NULL;
    long result;

    if (!file)
        return -EBADF;
    result = check(file, rights, flags);
    if (!result && offset + (off_t)bytes < 0)
        result = -EOVERFLOW;
    if (!result && (flags & MAP_TYPE) == MAP_PRIVATE) {
        result = map_private(file, address, bytes, rights, flags, offset);
    } else if (!result) {
        mutex_lock(&changing);
        result = map_shared(file, address, bytes, rights, flags, offset);
        mutex_unlock(&changing);
    }
    file_put(file);
    return result;
}

int memory_protect_file(uintptr_t from, uintptr_t to, int rights)
{
    for (struct shared *at = all; at && (rights & PROT_WRITE); at = at->next) {
        if (at->from >= to || at->to <= from)
            continue;
        if ((at->file->flags & O_ACCMODE) != O_RDWR)
            return -EACCES;
        at->write = true;
    }
    return 0;
}
