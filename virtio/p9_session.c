/* SPDX-License-Identifier: MIT */
/* 9P requests about the session and its fids. */
#include <errno.h>
#include <string.h>

#include "virtio/p9_parts.h"
#include "vmm/base/os.h"

int p9_version(struct p9 *p9)
{
    uint32_t msize = p9_take_u32(p9);
    const char *version = p9_take_string(p9);
    bool known = strcmp(version, P9_VERSION_NAME) == 0;

    if (!p9_is_complete(p9))
        return -EINVAL;
    if (msize < P9_MSIZE_MIN)
        return -EMSGSIZE;
    p9_drop_all_fids(p9);
    msize = (uint32_t)min_u64(msize, P9_MSIZE_MAX);
    p9->msize = known ? msize : 0;
    p9_put_u32(p9, msize);
    if (!known)
        version = "unknown";
    p9_put_string(p9, version, strlen(version));
    return 0;
}

int p9_attach(struct p9 *p9)
{
    uint32_t number = p9_take_u32(p9);
    struct stat status;

    p9_take_u32(p9); /* afid: there is nobody to prove anything to */
    p9_take_string(p9);
    const char *tree = p9_take_string(p9);
    p9_take_u32(p9);
    if (!p9_is_complete(p9))
        return -EINVAL;
    if (*tree && strcmp(tree, "/") != 0)
        return -ENOENT;
    int error = p9_host_stat(p9, "", &status);
    if (!error)
        error = p9_add_fid(p9, number, "", P9_QID_DIRECTORY);
    if (!error)
        p9_put_qid(p9, &status);
    return error;
}

/*
 * Goes on to `name` from `path`, which is of `*type`, and appends its qid.
 * Names come from directories only: what lies behind a link is for the guest
 * to find.
 */
static int walk_to(struct p9 *p9, char *path, const char *name, uint8_t *type)
{
    struct stat status;
    int error = 0;

    if (*type != P9_QID_DIRECTORY)
        return -ENOTDIR;
    if (strcmp(name, "..") == 0)
        p9_leave(path);
    else if (strcmp(name, ".") != 0)
        error = p9_check_name(name);
    if (!error && strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
        error = p9_enter(path, name);
    if (!error)
        error = p9_host_stat(p9, path, &status);
    if (error)
        return error;
    *type = p9_qid_type(status.st_mode);
    p9_put_qid(p9, &status);
    return 0;
}

/* Walks along `names`. Returns how many there were, or the first's error. */
static int walk_names(struct p9 *p9, char *path, const char *const *names,
                      unsigned count, uint8_t *type)
{
    for (unsigned i = 0; i < count; i++) {
        int error = walk_to(p9, path, names[i], type);

        if (error && (i == 0 || error == -EINTR))
            return error;
        if (error)
            return (int)i;
    }
    return (int)count;
}

/* `fid`, or a new one called `number`, has arrived at `path`. */
static int arrive(struct p9 *p9, struct p9_fid *fid, uint32_t number,
                  const char *path, uint8_t type)
{
    if (number != fid->number)
        return p9_add_fid(p9, number, path, type);
    if (fid->fd >= 0)
        return -EBUSY;
    p9_copy(p9_path(p9, fid), path);
    fid->type = type;
    return 0;
}

int p9_walk(struct p9 *p9)
{
    uint32_t from = p9_take_u32(p9), to = p9_take_u32(p9);
    unsigned count = p9_take_u16(p9);
    const char *names[P9_WALK_MAX];
    char path[P9_PATH_BYTES];
    struct p9_fid *fid;

    if (count > P9_WALK_MAX)
        return -EINVAL;
    for (unsigned i = 0; i < count; i++)
        names[i] = p9_take_string(p9);
    int error = p9_find_whole(p9, from, &fid);
    if (error)
        return error;
    size_t at = p9->answered;
    uint8_t type = fid->type;
    p9_copy(path, p9_path(p9, fid));
    p9_put_u16(p9, 0);
    int walked = walk_names(p9, path, names, count, &type);
    if (walked < 0)
        return walked;
    /* A walk that ended early tells how far it came, and is no fid. */
    p9_store(p9->answer + at, (unsigned)walked, 2);
    return (unsigned)walked < count ? 0 : arrive(p9, fid, to, path, type);
}

int p9_clunk(struct p9 *p9)
{
    struct p9_fid *fid;
    int error = p9_find_whole(p9, p9_take_u32(p9), &fid);

    if (!error)
        p9_drop_fid(p9, fid);
    return error;
}

/* What came before is answered by the time that this is read. */
int p9_flush(struct p9 *p9)
{
    p9_take_u16(p9);
    return p9_is_complete(p9) ? 0 : -EINVAL;
}

int p9_unsupported(struct p9 *p9)
{
    (void)p9;
    return -EOPNOTSUPP;
}
