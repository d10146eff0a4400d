/* SPDX-License-Identifier: MIT */
/* Files in memory: the memory. */
#include <string.h>

#include "guest_rt/memory.h"
#include "guest_rt/pool.h"
#include "guest_rt/runtime.h"
#include "guest_rt/tmpfs.h"

/* A hole that is not larger is filled, so that the extent stays one. */
#define SMALL_HOLE (64 * 1024)

/* A larger extent is not copied to grow: the file goes on behind it. */
#define MOVE_MOST (1024 * 1024ul)

#define CAPACITY_FIRST 2u

size_t tmpfs_bytes, tmpfs_bytes_most;

static off_t end_of(const struct tmpfs_extent *extent)
{
    return extent->offset + (off_t)extent->bytes;
}

static off_t page_up(off_t offset)
{
    return (offset + (off_t)TMPFS_PAGE - 1) & -(off_t)TMPFS_PAGE;
}

/* ---- Pages -------------------------------------------------------------- */

static unsigned char *alloc_pages(size_t bytes)
{
    unsigned char *pages = NULL;

    if (bytes <= tmpfs_bytes_most - tmpfs_bytes)
        pages = mf_pages_alloc(bytes);
    if (pages)
        tmpfs_bytes += bytes;
    return pages;
}

static void free_pages(unsigned char *pages, size_t bytes)
{
    if (!bytes)
        return;
    mf_pages_free(pages, bytes);
    tmpfs_bytes -= bytes;
}

static void free_memory(const struct tmpfs_extent *extent)
{
    if (!extent->borrowed)
        free_pages(extent->memory, extent->bytes);
}

/* Moves it to memory of `bytes`, which is more, or its own. */
static int move(const struct tmpfs_node *node, struct tmpfs_extent *extent,
                size_t bytes)
{
    unsigned char *memory = alloc_pages(bytes);
    off_t filled = node->size - extent->offset;

    if (!memory)
        return -ENOSPC;
    if (filled > (off_t)extent->bytes)
        filled = (off_t)extent->bytes;
    if (filled > 0)
        memcpy(memory, extent->memory, (size_t)filled);
    free_memory(extent);
    extent->memory = memory;
    extent->bytes = bytes;
    extent->borrowed = false;
    return 0;
}

/* ---- The list ----------------------------------------------------------- */

/* The index of the first extent that ends behind `offset`. */
static unsigned index_of(const struct tmpfs_node *node, off_t offset)
{
    unsigned low = 0, high = node->file.count;

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (end_of(&node->file.extents[middle]) <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct tmpfs_extent *tmpfs_find(const struct tmpfs_node *node, off_t offset)
{
    unsigned i = index_of(node, offset);

    return i < node->file.count ? &node->file.extents[i] : NULL;
}

static size_t list_bytes(unsigned capacity)
{
    return capacity * sizeof(struct tmpfs_extent);
}

/* Makes room for one more extent. */
static int grow_list(struct tmpfs_file *file)
{
    unsigned capacity = file->capacity ? 2 * file->capacity : CAPACITY_FIRST;
    struct tmpfs_extent *extents;

    if (file->count < file->capacity)
        return 0;
    extents = pool_alloc(list_bytes(capacity));
    if (!extents)
        return -ENOSPC;
    if (file->count)
        memcpy(extents, file->extents, list_bytes(file->count));
    pool_free(file->extents, list_bytes(file->capacity));
    file->extents = extents;
    file->capacity = capacity;
    return 0;
}

static int insert(struct tmpfs_file *file, unsigned index,
                  struct tmpfs_extent extent)
{
    int error = grow_list(file);

    if (error)
        return error;
    memmove(file->extents + index + 1, file->extents + index,
            list_bytes(file->count - index));
    file->extents[index] = extent;
    file->count++;
    return 0;
}

static void remove_extent(struct tmpfs_file *file, unsigned index)
{
    free_memory(&file->extents[index]);
    file->count--;
    memmove(file->extents + index, file->extents + index + 1,
            list_bytes(file->count - index));
}

void tmpfs_free_extents(struct tmpfs_node *node)
{
    for (unsigned i = 0; i < node->file.count; i++)
        free_memory(&node->file.extents[i]);
    pool_free(node->file.extents, list_bytes(node->file.capacity));
    node->file = (struct tmpfs_file){0};
}

/* ---- Filling holes ------------------------------------------------------ */

/* Extends an extent to `end` at least, and up to `limit` at most. */
static int extend(struct tmpfs_node *node, struct tmpfs_extent *extent,
                  off_t end, off_t limit)
{
    size_t least = (size_t)(end - extent->offset), bytes = 2 * extent->bytes;

    if (bytes > (size_t)(limit - extent->offset))
        bytes = (size_t)(limit - extent->offset);
    if (bytes > least && move(node, extent, bytes) == 0)
        return 0;
    return move(node, extent, least);
}

static int insert_new(struct tmpfs_node *node, unsigned index, off_t start,
                      off_t end, off_t limit)
{
    struct tmpfs_extent extent = {.offset = start,
                                  .bytes = (size_t)(end - start)};
    size_t exact = extent.bytes;
    int error;

    /* What follows an extent that stays is as large as all before. */
    if (index > 0 && end_of(&node->file.extents[index - 1]) == start &&
        (size_t)start > exact)
        extent.bytes = (size_t)start;
    if (extent.bytes > (size_t)(limit - start))
        extent.bytes = (size_t)(limit - start);
    if (extent.bytes > exact)
        extent.memory = alloc_pages(extent.bytes);
    if (!extent.memory) {
        extent.bytes = exact;
        extent.memory = alloc_pages(exact);
    }
    if (!extent.memory)
        return -ENOSPC;
    error = insert(&node->file, index, extent);
    if (error)
        free_memory(&extent);
    return error;
}

/* Gives the hole before extent `index` memory, from `start` to `end`. */
static int fill_hole(struct tmpfs_node *node, unsigned index, off_t start,
                     off_t end)
{
    struct tmpfs_extent *before =
        index > 0 ? &node->file.extents[index - 1] : NULL;
    off_t limit = index < node->file.count ? node->file.extents[index].offset
                                           : PTRDIFF_MAX;

    if (before && !before->mapped && before->bytes < MOVE_MOST &&
        start - end_of(before) <= SMALL_HOLE &&
        extend(node, before, end, limit) == 0)
        return 0;
    return insert_new(node, index, start, end, limit);
}

/* A borrowed extent is the only one there is. */
static int own(struct tmpfs_node *node)
{
    struct tmpfs_extent *first = node->file.extents;

    if (!node->file.count || !first->borrowed)
        return 0;
    return move(node, first, (size_t)page_up((off_t)first->bytes));
}

int tmpfs_reserve(struct tmpfs_node *node, off_t offset, size_t bytes)
{
    off_t end = page_up(offset + (off_t)bytes);
    int error = own(node);

    while (!error && offset < end) {
        unsigned index = index_of(node, offset);
        struct tmpfs_extent *next = &node->file.extents[index];
        bool is_last = index == node->file.count;

        if (!is_last && next->offset <= offset) {
            offset = end_of(next);
            continue;
        }
        error = fill_hole(node, index, offset & -(off_t)TMPFS_PAGE,
                          is_last || end < next->offset ? end : next->offset);
    }
    return error;
}

/* Moves all there is into one extent. */
static int unite(struct tmpfs_node *node, off_t end)
{
    struct tmpfs_extent all = {.bytes = (size_t)page_up(end)};
    struct tmpfs_file *file = &node->file;

    for (unsigned i = 0; i < file->count; i++) {
        if (file->extents[i].mapped)
            return -ENOMEM;
        if (end_of(&file->extents[i]) > (off_t)all.bytes)
            all.bytes = (size_t)end_of(&file->extents[i]);
    }
    all.memory = alloc_pages(all.bytes);
    if (!all.memory)
        return -ENOMEM;
    for (unsigned i = 0; i < file->count; i++) {
        memcpy(all.memory + file->extents[i].offset, file->extents[i].memory,
               file->extents[i].bytes);
        free_memory(&file->extents[i]);
    }
    file->count = 1;
    file->extents[0] = all;
    return 0;
}

struct tmpfs_extent *tmpfs_find_whole(struct tmpfs_node *node, off_t offset,
                                      size_t bytes)
{
    off_t end = offset + (off_t)bytes;
    struct tmpfs_extent *extent;

    if (tmpfs_reserve(node, offset, bytes))
        return NULL;
    extent = tmpfs_find(node, offset);
    if (end_of(extent) < end)
        extent = unite(node, end) ? NULL : node->file.extents;
    return extent;
}

/* ---- Moving to a place and away ------------------------------------------ */

/* Bytes of mappings of so much memory. */
static size_t mapped_bytes(const unsigned char *memory, size_t bytes)
{
    uintptr_t from = (uintptr_t)memory;

    return memory_file_bytes ? memory_file_bytes(from, from + bytes) : 0;
}

/*
 * Makes an extent begin at this offset, if one has it. No mapping has what is
 * on both sides.
 */
static int split(struct tmpfs_node *node, off_t at)
{
    unsigned index = index_of(node, at);
    struct tmpfs_extent *extent = &node->file.extents[index], rest;
    size_t keep;
    int error;

    if (index == node->file.count || extent->offset >= at)
        return 0;
    keep = (size_t)(at - extent->offset);
    rest = *extent;
    rest.offset = at;
    rest.bytes -= keep;
    rest.memory += keep;
    error = insert(&node->file, index + 1, rest);
    if (error)
        return -ENOMEM;
    extent = &node->file.extents[index];
    extent->bytes = keep;
    extent->mapped = mapped_bytes(extent->memory, keep);
    extent[1].mapped -= extent->mapped;
    return 0;
}

/* Whether any of [offset, end), which has memory, is mapped. */
static bool is_mapped(const struct tmpfs_node *node, off_t offset, off_t end)
{
    while (offset < end) {
        const struct tmpfs_extent *extent = tmpfs_find(node, offset);
        off_t stop = end_of(extent) < end ? end_of(extent) : end;

        if (mapped_bytes(extent->memory + (offset - extent->offset),
                         (size_t)(stop - offset)))
            return true;
        offset = stop;
    }
    return false;
}

int tmpfs_place(struct tmpfs_node *node, off_t offset, size_t bytes,
                unsigned char *memory)
{
    off_t end = offset + (off_t)bytes;
    struct tmpfs_file *file = &node->file;
    unsigned first;

    if (tmpfs_reserve(node, offset, bytes) || is_mapped(node, offset, end) ||
        split(node, offset) || split(node, end))
        return -ENOMEM;
    first = index_of(node, offset);
    while (first < file->count && file->extents[first].offset < end) {
        const struct tmpfs_extent *old = &file->extents[first];

        memcpy(memory + (old->offset - offset), old->memory, old->bytes);
        remove_extent(file, first);
    }
    tmpfs_bytes += bytes;
    /* There is room in the list: of one extent at least. */
    return insert(file, first,
                  (struct tmpfs_extent){
                      .offset = offset, .bytes = bytes, .memory = memory});
}

int tmpfs_vacate(struct tmpfs_node *node, const void *address, size_t bytes)
{
    for (unsigned i = 0; i < node->file.count; i++) {
        struct tmpfs_extent *extent = &node->file.extents[i];
        uintptr_t skip = (uintptr_t)address - (uintptr_t)extent->memory;
        off_t offset = extent->offset + (off_t)skip;

        if (skip >= extent->bytes)
            continue;
        if (extent->mapped) { /* elsewhere: that stays */
            if (split(node, offset) || split(node, offset + (off_t)bytes))
                return -ENOMEM;
            extent = tmpfs_find(node, offset);
        }
        return move(node, extent, extent->bytes) ? -ENOMEM : 0;
    }
    return 0;
}

/* ---- Sizes -------------------------------------------------------------- */

/* Zeroes what lies in [from, to) of an extent. */
static void zero(struct tmpfs_extent *extent, off_t from, off_t to)
{
    if (from < extent->offset)
        from = extent->offset;
    if (to > end_of(extent))
        to = end_of(extent);
    if (from < to)
        memset(extent->memory + (from - extent->offset), 0,
               (size_t)(to - from));
}

/* Cuts the extent off at `end`, as far as nobody has it mapped. */
static void cut(struct tmpfs_extent *extent, off_t end, off_t old_end)
{
    size_t keep = (size_t)(page_up(end) - extent->offset);

    if (extent->borrowed) {
        extent->bytes = (size_t)(end - extent->offset);
        return;
    }
    if (!extent->mapped && keep < extent->bytes) {
        free_pages(extent->memory + keep, extent->bytes - keep);
        extent->bytes = keep;
    }
    zero(extent, end, old_end);
}

int tmpfs_open_mapped(const struct tmpfs_node *node, off_t bytes)
{
    return memory_file_sized && memory_file_sized(&node->vnode, bytes) ? -ENOSPC
                                                                       : 0;
}

static void shrink(struct tmpfs_node *node, off_t old, off_t bytes)
{
    struct tmpfs_file *file = &node->file;

    for (unsigned i = file->count; i-- > 0;) {
        struct tmpfs_extent *extent = &file->extents[i];

        if (end_of(extent) <= bytes)
            break;
        if (extent->offset >= bytes && !extent->mapped)
            remove_extent(file, i);
        else if (extent->offset >= bytes)
            zero(extent, extent->offset, end_of(extent));
        else
            cut(extent, bytes, old);
    }
    if (memory_file_sized)
        memory_file_sized(&node->vnode, bytes);
}

int tmpfs_resize(struct tmpfs_node *node, off_t bytes)
{
    off_t old = node->size;
    struct tmpfs_extent *last = tmpfs_find(node, old);
    /* What is cut off is cleared, as far as it is mapped. */
    int error = tmpfs_open_mapped(node, bytes < old ? PTRDIFF_MAX : bytes);

    if (error)
        return error;
    node->size = bytes;
    /* Who had the last page mapped may have written behind the end. */
    if (bytes > old && last && !last->borrowed)
        zero(last, old, page_up(old));
    if (bytes < old)
        shrink(node, old, bytes);
    return 0;
}

int tmpfs_clear(struct tmpfs_node *node, off_t offset, off_t bytes)
{
    off_t end = bytes < node->size - offset ? offset + bytes : node->size;
    int error = own(node);

    for (unsigned i = 0; !error && i < node->file.count; i++)
        zero(&node->file.extents[i], offset, end);
    return error;
}

/* ---- Contents of the archive -------------------------------------------- */

int tmpfs_borrow(struct vnode *vnode, const void *bytes, size_t count)
{
    struct tmpfs_node *node = tmpfs_node(vnode);
    struct tmpfs_extent all = {
        .bytes = count,
        .memory = (unsigned char *)(uintptr_t)bytes,
        .borrowed = true,
    };

    node->size = (off_t)count;
    return count ? insert(&node->file, 0, all) : 0;
}

void tmpfs_load_later(struct vnode *vnode, tmpfs_load *load, uint64_t from,
                      size_t count)
{
    struct tmpfs_node *node = tmpfs_node(vnode);

    node->size = (off_t)count;
    node->file.load = count ? load : NULL;
    node->file.from = from;
}

/* What loads may let other threads in, which wait here. */
int tmpfs_load_all(struct tmpfs_node *node)
{
    static struct mutex loading;
    struct tmpfs_file *file = &node->file;
    int error = 0;

    if (!S_ISREG(node->mode) || !file->load)
        return 0;
    mutex_lock(&loading);
    if (file->load) {
        error = tmpfs_reserve(node, 0, (size_t)node->size);
        if (!error)
            error = file->load(file->extents[0].memory, file->from,
                               (size_t)node->size);
        if (error)
            tmpfs_free_extents(node);
        else
            file->load = NULL;
    }
    mutex_unlock(&loading);
    return error;
}
