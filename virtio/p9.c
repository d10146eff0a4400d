/* SPDX-License-Identifier: MIT */
/* The virtio 9P transport device: requests, answers, setting up. */
#include "virtio/p9.h"

#include <errno.h>
#include <linux/virtio_9p.h>
#include <linux/virtio_ids.h>
#include <string.h>
#include <sys/vfs.h>

#include "virtio/p9_parts.h"
#include "vmm/base/os.h"

/*
 * One serve ends, with -EINTR, after about this much work, as a disk's does. A
 * request counts for its bytes and one page more.
 */
#define P9_SERVE_BYTES  (UINT64_C(16) << 20)
#define P9_SHOW_BYTES   (UINT64_C(64) << 10)
#define P9_REQUEST_COST 4096u
#define P9_FLUSH_COST   (1u << 20) /* it may take long */

/* Another proc is where this process itself can be reached. */
#define PROC_SUPER_MAGIC 0x9fa0

static struct p9 *p9_of(struct vdev *dev)
{
    return CONTAINER_OF(dev, struct p9, dev);
}

/* ---- What there is to ask ------------------------------------------------ */

static const struct {
    p9_handler *handle;
    bool changes; /* refused by a read-only share */
} calls[] = {
    [P9_STATFS] = {p9_statfs, false},
    [P9_LOPEN] = {p9_lopen, false},
    [P9_LCREATE] = {p9_lcreate, true},
    [P9_SYMLINK] = {p9_symlink, true},
    [P9_MKNOD] = {p9_mknod, true},
    [P9_RENAME] = {p9_rename, true},
    [P9_READLINK] = {p9_readlink, false},
    [P9_GETATTR] = {p9_getattr, false},
    [P9_SETATTR] = {p9_setattr, true},
    [P9_XATTRWALK] = {p9_unsupported, false},
    [P9_XATTRCREATE] = {p9_unsupported, false},
    [P9_READDIR] = {p9_readdir, false},
    [P9_FSYNC] = {p9_fsync, false},
    [P9_LOCK] = {p9_lock, false},
    [P9_GETLOCK] = {p9_getlock, false},
    [P9_LINK] = {p9_link, true},
    [P9_MKDIR] = {p9_mkdir, true},
    [P9_RENAMEAT] = {p9_renameat, true},
    [P9_UNLINKAT] = {p9_unlinkat, true},
    [P9_VERSION] = {p9_version, false},
    [P9_AUTH] = {p9_unsupported, false},
    [P9_ATTACH] = {p9_attach, false},
    [P9_FLUSH] = {p9_flush, false},
    [P9_WALK] = {p9_walk, false},
    [P9_READ] = {p9_read, false},
    [P9_WRITE] = {p9_write, true},
    [P9_CLUNK] = {p9_clunk, false},
    [P9_REMOVE] = {p9_remove, false}, /* which forgets the fid all the same */
};

/* Returns 0 with the answer appended, -EINTR to go on later, or -errno. */
static int execute(struct p9 *p9)
{
    struct p9_request *request = &p9->request;
    unsigned type = request->type;

    p9->answered = P9_HEADER_BYTES;
    request->in_data = 0;
    if (type >= ARRAY_SIZE(calls) || !calls[type].handle)
        return -EOPNOTSUPP;
    if (!p9->msize && type != P9_VERSION)
        return -EPROTO;
    if (p9->read_only && calls[type].changes)
        return -EROFS;
    /* Strings are cut in the copy: it may be needed again. */
    memcpy(p9->fields, request->copy, request->copied);
    p9->reader = (struct p9_reader){p9->fields, request->copied, false};
    return calls[type].handle(p9);
}

/* ---- One request after the other ----------------------------------------- */

/* Gives the chain back with the answer, or with the error in its place. */
static void finish_request(struct p9 *p9, int error)
{
    struct p9_request *request = &p9->request;

    if (!error && p9->answered > request->room)
        error = -EMSGSIZE;
    if (error) {
        p9->answered = P9_HEADER_BYTES;
        request->in_data = 0;
        p9_put_u32(p9, (uint32_t)-error);
        p9->errors++;
    }
    uint32_t bytes = (uint32_t)p9->answered + request->in_data;
    p9_store(p9->answer, bytes, 4);
    p9->answer[4] = error ? P9_LERROR : (uint8_t)(request->type + 1);
    p9_store(p9->answer + 5, request->tag, 2);
    p9_scatter(request->in, p9->answer, p9->answered);
    virtq_push(&p9->dev.queues[0], request->head, bytes);
    p9->busy = false;
    p9->requests++;
}

/*
 * Takes the private copy of the request: its header, then the fields that the
 * header says there are, which for a write are those before its data. Returns
 * 0, or the errno to answer.
 */
static int copy_request(struct p9 *p9, uint64_t bytes)
{
    struct p9_request *request = &p9->request;
    uint8_t header[P9_HEADER_BYTES];
    uint64_t size;

    if (bytes < sizeof(header))
        return -EINVAL;
    p9_gather(request->out, 0, header, sizeof(header));
    size = header[0] | header[1] << 8 | header[2] << 16 |
           (uint64_t)header[3] << 24;
    request->type = header[4];
    request->tag = (uint16_t)(header[5] | header[6] << 8);
    if (size < sizeof(header) || size > bytes)
        return -EINVAL;
    if (size > max_u64(p9->msize, P9_MSIZE_MIN))
        return -EMSGSIZE;
    if (request->type == P9_WRITE && size > P9_WRITE_BYTES) {
        request->data = size - P9_WRITE_BYTES;
        size = P9_WRITE_BYTES;
    }
    request->copied = size - sizeof(header);
    if (request->copied > sizeof(request->copy))
        return -EMSGSIZE;
    p9_gather(request->out, sizeof(header), request->copy, request->copied);
    return 0;
}

static void start_request(struct p9 *p9, const struct virtq_chain *chain)
{
    struct p9_request *request = &p9->request;
    int error;

    request->head = chain->head;
    request->type = 0;
    request->tag = P9_NO_TAG;
    request->out = p9->iov;
    request->in = p9->iov + chain->readable_count;
    request->room = chain->writable_bytes;
    request->data = request->moved = 0;
    request->flushed = false;
    error = copy_request(p9, chain->readable_bytes);
    if (error)
        finish_request(p9, error);
    else
        p9->busy = true;
}

/* Whether the next request has to wait for the rate limit. */
static bool is_too_early(struct p9 *p9)
{
    uint64_t wake_ns;

    if (!limit_is_set(&p9->rate))
        return false;
    wake_ns = limit_take(&p9->rate, os_now_ns(), 0);
    if (wake_ns == 0)
        return false;
    p9->dev.wake_ns = wake_ns;
    p9->delayed++;
    return true;
}

/*
 * Pops a request and begins it. Returns 1, 0 if there is none, -EAGAIN if it
 * is not yet its time, or -EBADMSG.
 */
static int begin_request(struct p9 *p9)
{
    struct virtq *q = &p9->dev.queues[0];
    struct virtq_chain chain = {.iov = p9->iov, .iov_max = P9_QUEUE_MAX};
    int found = virtq_pop(q, &chain);

    if (found <= 0)
        return found;
    if (chain.writable_bytes < P9_ERROR_BYTES) {
        log_guest(&p9->limit, "share stopped: request without room for an "
                              "answer");
        return -EBADMSG;
    }
    if (is_too_early(p9)) {
        virtq_unpop(q);
        return -EAGAIN;
    }
    start_request(p9, &chain);
    return 1;
}

/* Goes on with the request. Returns 0, or -EINTR if it is not finished. */
static int run_request(struct p9 *p9, uint64_t *budget)
{
    const struct p9_request *request = &p9->request;
    int error = execute(p9);
    uint64_t cost;

    if (error == -EINTR)
        return error;
    cost = request->moved + (request->flushed ? P9_FLUSH_COST : 0);
    *budget -= min_u64(*budget, cost);
    if (request->moved && limit_is_set(&p9->rate))
        limit_charge(&p9->rate, request->moved);
    finish_request(p9, error);
    return 0;
}

static int serve_some(struct p9 *p9)
{
    struct virtq *q = &p9->dev.queues[0];
    uint64_t shown = P9_SERVE_BYTES; /* what the budget was then */

    for (uint64_t budget = P9_SERVE_BYTES; budget > 0;
         budget -= min_u64(budget, P9_REQUEST_COST)) {
        if (shown - budget >= P9_SHOW_BYTES) {
            shown = budget;
            vdev_publish(&p9->dev, 0);
        }
        int found = p9->busy ? 1 : begin_request(p9);

        if (found == -EAGAIN) {
            virtq_suppress_kicks(q); /* time wakes it up, nothing else */
            return 0;
        }
        if (found < 0)
            return found;
        if (found == 0 && !vdev_ask_kick(&p9->dev, 0, 1))
            return q->broken ? -EBADMSG : 0;
        if (p9->busy && run_request(p9, &budget) == -EINTR)
            return -EINTR;
    }
    return -EINTR;
}

static int p9_serve(struct vdev *dev)
{
    int error;

    if (vdev_is_waiting(dev))
        return 0;
    error = serve_some(p9_of(dev));
    vdev_publish(dev, 0);
    return error;
}

static void p9_reset(struct vdev *dev)
{
    struct p9 *p9 = p9_of(dev);

    p9->busy = false;
    p9->msize = 0;
    p9_drop_all_fids(p9);
}

static const struct vdev_class p9_class = {
    .name = "share",
    .type = VIRTIO_ID_9P,
    .queue_count = 1,
    .config_bytes = sizeof(((struct p9 *)0)->config),
    .threaded = true,
    .serve = p9_serve,
    .reset = p9_reset,
};

/* ---- Setting up ---------------------------------------------------------- */

/* Whether it is a directory that can be shared. Returns 0 or -errno. */
static int check_root(struct p9 *p9)
{
    struct stat status;
    struct statfs system;
    int error = (int)os_syscall(SYS_fstat, p9->root, &status);

    if (!error && !S_ISDIR(status.st_mode))
        error = -ENOTDIR;
    if (!error)
        error = (int)os_syscall(SYS_fstatfs, p9->root, &system);
    if (!error && system.f_type == PROC_SUPER_MAGIC)
        error = -EINVAL;
    if (error)
        return error;
    p9->root_device = status.st_dev;
    p9->root_inode = status.st_ino;
    return p9_host_stat(p9, "", &status); /* -ENOSYS: there is no openat2() */
}

int p9_init(struct p9 *p9, const struct p9_options *options)
{
    uint32_t size = options->queue_size ? options->queue_size : P9_QUEUE_MAX;
    size_t tag_bytes = strlen(options->tag);
    void *fids = NULL;
    int error;

    if (!is_power_of_2(size) || size < 4 || size > P9_QUEUE_MAX ||
        tag_bytes == 0 || tag_bytes > P9_TAG_MAX)
        return -EINVAL;
    p9->root = options->fd;
    p9->read_only = options->read_only;
    error = check_root(p9);
    if (!error)
        error = os_mmap(sizeof(*p9->fids), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, &fids);
    if (error)
        return error;
    p9->fids = fids;
    limit_init(&p9->rate, options->rate);
    p9->config.tag_bytes = (uint16_t)tag_bytes;
    memcpy(p9->config.tag, options->tag, tag_bytes);
    p9->dev.queue_size_max[0] = size;
    vdev_init(&p9->dev, &p9_class, UINT64_C(1) << VIRTIO_9P_MOUNT_TAG,
              &p9->config);
    return 0;
}

void p9_fini(struct p9 *p9)
{
    if (!p9->fids)
        return;
    p9_drop_all_fids(p9);
    os_munmap(p9->fids, sizeof(*p9->fids));
    p9->fids = NULL;
}
