/* SPDX-License-Identifier: MIT */
/* lseek, for kinds of files that can. */
#include <unistd.h>

#include "guest_rt/file.h"

long file_read_directory(struct file *file, const struct iovec *iov, int count,
                         off_t offset)
{
    (void)file;
    (void)iov;
    (void)count;
    (void)offset;
    return -EISDIR;
}

long file_seek(struct file *file, off_t offset, int whence, off_t end)
{
    off_t from;

    switch (whence) {
    case SEEK_SET:
        from = 0;
        break;
    case SEEK_CUR:
        from = file->offset;
        break;
    case SEEK_END:
        from = end;
        break;
    case SEEK_DATA:
        if (offset < 0 || offset >= end)
            return -ENXIO;
        from = 0;
        break;
    case SEEK_HOLE:
        if (offset < 0 || offset >= end)
            return -ENXIO;
        from = end;
        offset = 0;
        break;
    default:
        return -EINVAL;
    }
    if (offset > 0 ? from > PTRDIFF_MAX - offset : from + offset < 0)
        return offset > 0 ? -EOVERFLOW : -EINVAL;
    file->offset = from + offset;
    return file->offset;
}
