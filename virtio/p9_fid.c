/* SPDX-License-Identifier: MIT */
/* The fids of a 9P session, and the paths that they stand for. */
#include <errno.h>
#include <string.h>

#include "virtio/p9_parts.h"
#include "vmm/base/os.h"

/* ---- The table ------------------------------------------------------------
 */

/* A guest that makes all of them collide has a list of them: it is bounded. */
static uint16_t *bucket_of(struct p9_fids *fids, uint32_t number)
{
    return &fids->buckets[number % P9_FID_BUCKETS];
}

struct p9_fid *p9_find_fid(struct p9 *p9, uint32_t number)
{
    struct p9_fids *fids = p9->fids;
    uint16_t at = *bucket_of(fids, number);

    while (at && fids->fids[at - 1].number != number)
        at = fids->fids[at - 1].next;
    return at ? &fids->fids[at - 1] : NULL;
}

/* Returns index + 1 of one that is not in use, or 0. */
static uint16_t take_free(struct p9_fids *fids)
{
    uint16_t at = fids->free;

    if (at)
        fids->free = fids->fids[at - 1].next;
    else if (fids->fresh < P9_FIDS_MAX)
        at = ++fids->fresh;
    return at;
}

int p9_add_fid(struct p9 *p9, uint32_t number, const char *path, uint8_t type)
{
    struct p9_fids *fids = p9->fids;
    uint16_t *bucket = bucket_of(fids, number);

    if (p9_find_fid(p9, number))
        return -EEXIST;
    uint16_t at = take_free(fids);
    if (!at)
        return -ENFILE;
    fids->fids[at - 1] = (struct p9_fid){
        .number = number,
        .next = *bucket,
        .type = type,
        .used = true,
        .fd = -1,
    };
    *bucket = at;
    p9_copy(fids->paths[at - 1], path);
    return 0;
}

void p9_drop_fid(struct p9 *p9, struct p9_fid *fid)
{
    struct p9_fids *fids = p9->fids;
    uint16_t at = (uint16_t)(fid - fids->fids + 1);
    uint16_t *link = bucket_of(fids, fid->number);

    while (*link != at)
        link = &fids->fids[*link - 1].next;
    *link = fid->next;
    if (fid->fd >= 0) {
        os_close(fid->fd);
        fids->open--;
    }
    *fid = (struct p9_fid){.next = fids->free, .fd = -1};
    fids->free = at;
}

void p9_drop_all_fids(struct p9 *p9)
{
    for (unsigned i = 0; i < p9->fids->fresh; i++)
        if (p9->fids->fids[i].used)
            p9_drop_fid(p9, &p9->fids->fids[i]);
}

int p9_find_whole(struct p9 *p9, uint32_t number, struct p9_fid **fid)
{
    if (!p9_is_complete(p9))
        return -EINVAL;
    *fid = p9_find_fid(p9, number);
    return *fid ? 0 : -EBADF;
}

/* ---- Paths -----------------------------------------------------------------
 */

char *p9_path(struct p9 *p9, const struct p9_fid *fid)
{
    return p9->fids->paths[fid - p9->fids->fids];
}

void p9_copy(char *to, const char *from)
{
    memcpy(to, from, strlen(from) + 1);
}

int p9_check_name(const char *name)
{
    if (!*name || strchr(name, '/') || strcmp(name, ".") == 0 ||
        strcmp(name, "..") == 0)
        return -EINVAL;
    return strlen(name) > P9_NAME_MAX ? -ENAMETOOLONG : 0;
}

int p9_enter(char *path, const char *name)
{
    size_t length = strlen(path), more = strlen(name);

    if (length + more + 2 > P9_PATH_BYTES)
        return -ENAMETOOLONG;
    if (length > 0)
        path[length++] = '/';
    memcpy(path + length, name, more + 1);
    return 0;
}

void p9_leave(char *path)
{
    char *slash = strrchr(path, '/');

    *(slash ? slash : path) = '\0';
}

/*
 * Of a path that is or begins with `from`. One that would become too long is
 * left: it names nothing any more.
 */
static void rename_one(char *path, const char *from, size_t from_bytes,
                       const char *to, size_t to_bytes)
{
    size_t rest;

    if (strncmp(path, from, from_bytes) != 0 ||
        (path[from_bytes] != '\0' && path[from_bytes] != '/'))
        return;
    rest = strlen(path + from_bytes) + 1;
    if (to_bytes + rest > P9_PATH_BYTES)
        return;
    memmove(path + to_bytes, path + from_bytes, rest);
    memcpy(path, to, to_bytes);
}

void p9_rename_paths(struct p9 *p9, const char *from, const char *to)
{
    struct p9_fids *fids = p9->fids;
    size_t from_bytes = strlen(from), to_bytes = strlen(to);

    for (unsigned i = 0; i < fids->fresh; i++)
        if (fids->fids[i].used)
            rename_one(fids->paths[i], from, from_bytes, to, to_bytes);
}
