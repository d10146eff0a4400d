/* SPDX-License-Identifier: MIT */
/* 9P2000.L as Linux's client speaks it: what the numbers on the wire mean. */
#ifndef MAYFLY_P9_H
#define MAYFLY_P9_H

/*
 * Every message begins with its length in bytes (32 bits, itself included), its
 * type (8) and the tag (16) by which a request's answer is known. Numbers are
 * little-endian; a string is its length (16 bits) and its bytes; a qid names a
 * file: type (8), version (32), path (64). The comments say what follows the
 * tag, in requests and -> answers. An answer's type is the request's plus one;
 * P9_LERROR answers any request.
 *
 * Shared by the monitor's device and the guest's client.
 */

#include <stdint.h>

enum p9_type {
    P9_LERROR = 7,       /* errno[4]: an answer only */
    P9_STATFS = 8,       /* fid[4] -> struct p9_statfs's fields */
    P9_LOPEN = 12,       /* fid[4] flags[4] -> qid iounit[4] */
    P9_LCREATE = 14,     /* fid[4] name flags[4] mode[4] gid[4] -> likewise */
    P9_SYMLINK = 16,     /* dir[4] name target gid[4] -> qid */
    P9_MKNOD = 18,       /* dir[4] name mode[4] major[4] minor[4] gid[4] */
                         /* -> qid */
    P9_RENAME = 20,      /* fid[4] dir[4] name -> */
    P9_READLINK = 22,    /* fid[4] -> target */
    P9_GETATTR = 24,     /* fid[4] mask[8] -> valid[8] qid and attributes */
    P9_SETATTR = 26,     /* fid[4] valid[4] mode[4] uid[4] gid[4] size[8] */
                         /* atime[8+8] mtime[8+8] -> */
    P9_XATTRWALK = 30,   /* fid[4] newfid[4] name -> size[8] */
    P9_XATTRCREATE = 32, /* fid[4] name size[8] flags[4] -> */
    P9_READDIR = 40,     /* fid[4] offset[8] count[4] -> count[4] entries: */
                         /* qid offset[8] type[1] name */
    P9_FSYNC = 50,       /* fid[4] datasync[4] -> */
    P9_LOCK = 52,        /* fid[4] type[1] flags[4] start[8] length[8] */
                         /* process[4] client -> status[1] */
    P9_GETLOCK = 54,     /* fid[4] type[1] start[8] length[8] process[4] */
                         /* client -> type[1] and so on, likewise */
    P9_LINK = 70,        /* dir[4] fid[4] name -> */
    P9_MKDIR = 72,       /* dir[4] name mode[4] gid[4] -> qid */
    P9_RENAMEAT = 74,    /* dir[4] name dir[4] name -> */
    P9_UNLINKAT = 76,    /* dir[4] name flags[4] -> */
    P9_VERSION = 100,    /* msize[4] version -> likewise */
    P9_AUTH = 102,       /* never answered but by P9_LERROR */
    P9_ATTACH = 104,     /* fid[4] afid[4] user tree uid[4] -> qid */
    P9_FLUSH = 108,      /* tag[2] -> */
    P9_WALK = 110,       /* fid[4] newfid[4] count[2] names */
                         /* -> count[2] qids */
    P9_READ = 116,       /* fid[4] offset[8] count[4] -> count[4] data */
    P9_WRITE = 118,      /* fid[4] offset[8] count[4] data -> count[4] */
    P9_CLUNK = 120,      /* fid[4] -> */
    P9_REMOVE = 122,     /* fid[4] -> */
};

#define P9_VERSION_NAME "9P2000.L"

#define P9_HEADER_BYTES 7u
#define P9_QID_BYTES    13u
#define P9_ERROR_BYTES  11u                     /* a whole P9_LERROR */
#define P9_DATA_BYTES   11u                     /* before the data of a read */
#define P9_WRITE_BYTES  (P9_HEADER_BYTES + 16u) /* before that of a write */
#define P9_WALK_MAX     16u                     /* names in one walk */
#define P9_NAME_MAX     255u                    /* bytes of one name */

#define P9_NO_TAG ((uint16_t)~0u) /* of P9_VERSION */
#define P9_NO_FID (~0u)

/* The type in a qid. */
#define P9_QID_DIRECTORY 0x80u
#define P9_QID_SYMLINK   0x02u
#define P9_QID_FILE      0x00u

/* P9_LOPEN and P9_LCREATE take Linux's O_ flags, as x86 has them. */

#define P9_UNLINK_DIRECTORY 0x200u /* P9_UNLINKAT: AT_REMOVEDIR */

#define P9_GETATTR_BASIC 0x7ffull /* what stat() has */

/* What P9_SETATTR is to change. */
#define P9_SET_MODE     0x001u
#define P9_SET_UID      0x002u
#define P9_SET_GID      0x004u
#define P9_SET_SIZE     0x008u
#define P9_SET_ATIME    0x010u /* to now, unless P9_SET_ATIME_TO */
#define P9_SET_MTIME    0x020u
#define P9_SET_CTIME    0x040u
#define P9_SET_ATIME_TO 0x080u
#define P9_SET_MTIME_TO 0x100u

#define P9_LOCK_SUCCESS  0u /* the status of P9_LOCK */
#define P9_LOCK_UNLOCKED 2u /* the type that P9_GETLOCK answers */

#endif
