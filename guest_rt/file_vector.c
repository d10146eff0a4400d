/* SPDX-License-Identifier: MIT */
/* Memory that programs hand to system calls. */
#include "file.h"
#include "runtime.h"

/* In every image: rather small than fast. */
#pragma GCC optimize("Os")

long file_check_pieces(const struct iovec *iov, long count)
{
    size_t total = 0;

    if ((unsigned)count > FILE_IOV_MAX)
        return -EINVAL;
    for (long i = 0; i < count; i++) {
        if (iov[i].iov_len > PTRDIFF_MAX - total)
            return -EINVAL;
        total += iov[i].iov_len;
    }
    for (long i = 0; i < count; i++)
        if (!user_can_read(iov[i].iov_base, iov[i].iov_len))
            return -EFAULT;
    return (long)total;
}

long file_check_vector(const struct iovec *iov, long count)
{
    if ((unsigned)count <= FILE_IOV_MAX &&
        !user_can_read(iov, (size_t)count * sizeof(*iov)))
        return -EFAULT;
    return file_check_pieces(iov, count);
}

long file_check_room(const struct iovec *iov, long count)
{
    long total = file_check_vector(iov, count);

    for (long i = 0; total >= 0 && i < count; i++)
        if (!user_can_write(iov[i].iov_base, iov[i].iov_len))
            return -EFAULT;
    return total;
}
