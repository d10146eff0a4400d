/* SPDX-License-Identifier: MIT */
/* What the parts of the 9P device share. */
#ifndef VIRTIO_P9_PARTS_H
#define VIRTIO_P9_PARTS_H

#include <sys/stat.h>

#include "virtio/p9.h"

/* ---- Messages (p9_message.c) ------------------------------------------- */

/*
 * Fields are taken from the private copy one after the other. What is missing
 * is 0 or an empty string and sets `bad`: handlers take all fields first, then
 * ask p9_is_complete(), then act.
 */
uint8_t p9_take_u8(struct p9 *p9);
uint16_t p9_take_u16(struct p9 *p9);
uint32_t p9_take_u32(struct p9 *p9);
uint64_t p9_take_u64(struct p9 *p9);

/* A string, with a NUL put behind it; one that contains a NUL is bad. */
char *p9_take_string(struct p9 *p9);

/* Whether all fields were there, and nothing else. */
bool p9_is_complete(const struct p9 *p9);

/* They append to the answer, which has room for what any handler says. */
void p9_put_u8(struct p9 *p9, uint8_t value);
void p9_put_u16(struct p9 *p9, uint16_t value);
void p9_put_u32(struct p9 *p9, uint32_t value);
void p9_put_u64(struct p9 *p9, uint64_t value);
void p9_put_string(struct p9 *p9, const char *text, size_t bytes);

/* Stores a number of up to 8 bytes in the order of the wire. */
void p9_store(uint8_t *to, uint64_t value, unsigned bytes);

/* Copies [skip, skip + bytes) of the pieces, which have that much. */
void p9_gather(const struct iovec *iov, uint64_t skip, void *to, size_t bytes);

/* And the other way. */
void p9_scatter(const struct iovec *iov, const void *from, size_t bytes);

/* The pieces of [skip, skip + bytes), until p9_window_close() undoes it. */
struct p9_window {
    struct iovec *first, *last;
    struct iovec saved_first, saved_last;
};

/* `bytes` is not 0, and the pieces have that much. Returns their number. */
int p9_window_open(struct p9_window *window, struct iovec *iov, uint64_t skip,
                   uint64_t bytes);
void p9_window_close(struct p9_window *window);

/* ---- Fids and paths (p9_fid.c) ------------------------------------------ */

/* The fid of that number, or NULL. */
struct p9_fid *p9_find_fid(struct p9 *p9, uint32_t number);

/*
 * Makes a fid with a path, which is copied. Returns 0, -EEXIST if the number is
 * in use, or -ENFILE.
 */
MUST_CHECK int p9_add_fid(struct p9 *p9, uint32_t number, const char *path,
                          uint8_t type);

/* Closes and forgets it. */
void p9_drop_fid(struct p9 *p9, struct p9_fid *fid);
void p9_drop_all_fids(struct p9 *p9);

/* Its path from the root: "", or names with '/' between them. */
char *p9_path(struct p9 *p9, const struct p9_fid *fid);

/* What is called `from` is `to` now, with all that is below it. */
void p9_rename_paths(struct p9 *p9, const char *from, const char *to);

/* Copies a path or name to where there is room for any. */
void p9_copy(char *to, const char *from);

/* Whether it is a name of one file: not "", ".", "..". Returns 0 or -errno. */
MUST_CHECK int p9_check_name(const char *name);

/*
 * Goes down to `name` in `path`, room for P9_PATH_BYTES. Returns 0 or
 * -ENAMETOOLONG.
 */
MUST_CHECK int p9_enter(char *path, const char *name);

/* Goes up by one name; stays at the root. */
void p9_leave(char *path);

/* ---- The host (p9_host.c) ----------------------------------------------- */

/*
 * The one door to the host's files: opens `path` below the root and never
 * anything else. No symbolic link is followed, no other mount entered. `flags`
 * as open() has them. Returns a descriptor or -errno.
 */
MUST_CHECK int p9_host_open(const struct p9 *p9, const char *path,
                            unsigned flags, unsigned mode);

/* A descriptor for `path` as it is (O_PATH), a symbolic link too. */
MUST_CHECK int p9_host_find(const struct p9 *p9, const char *path);

/*
 * The directory in which the last name of `path` is, which is stored in
 * `*name`; "." for the root. Returns a descriptor (O_PATH) or -errno.
 */
MUST_CHECK int p9_host_find_parent(const struct p9 *p9, const char *path,
                                   char name[P9_NAME_MAX + 1]);

/*
 * Opens a regular file or a directory, and nothing else. Returns a descriptor,
 * -ELOOP for a link, -EACCES for special files, or another -errno.
 */
MUST_CHECK int p9_host_open_plain(const struct p9 *p9, const char *path,
                                  unsigned flags);

/* What stat() has of `path`, or of `fid`: of its descriptor, if it is open. */
MUST_CHECK int p9_host_stat(const struct p9 *p9, const char *path,
                            struct stat *status);
MUST_CHECK int p9_host_stat_fid(struct p9 *p9, const struct p9_fid *fid,
                                struct stat *status);

/* P9_QID_* for a mode. */
uint8_t p9_qid_type(unsigned mode);

/* Appends the qid of a file to the answer. */
void p9_put_qid(struct p9 *p9, const struct stat *status);

/* ---- Requests ------------------------------------------------------------ */

/*
 * Each takes its fields, acts and appends to the answer. They return 0,
 * -EINTR before anything has changed, or the -errno to answer. What a fid or a
 * descriptor becomes is settled only once nothing can fail any more.
 */
typedef int p9_handler(struct p9 *p9);

/* Sessions and fids: p9_session.c */
p9_handler p9_version, p9_attach, p9_walk, p9_clunk, p9_flush, p9_unsupported;
/* Open files: p9_file.c */
p9_handler p9_lopen, p9_lcreate, p9_read, p9_write, p9_readdir, p9_fsync;
p9_handler p9_lock, p9_getlock;
/* Names: p9_name.c */
p9_handler p9_mkdir, p9_symlink, p9_link, p9_mknod, p9_readlink;
p9_handler p9_unlinkat, p9_remove, p9_rename, p9_renameat;
/* Attributes: p9_attr.c */
p9_handler p9_getattr, p9_setattr, p9_statfs;

/*
 * Most of them begin with fields of which the first is a fid. Returns 0 and the
 * fid, -EINVAL if the request is not whole, or -EBADF.
 */
MUST_CHECK int p9_find_whole(struct p9 *p9, uint32_t number,
                             struct p9_fid **fid);

/* Modes that a guest may set: no set-id bits. */
#define P9_MODE_MASK 01777u

#endif
