/* SPDX-License-Identifier: MIT */
/* Sockets: addresses from programs and back. */
#include <errno.h>

#include "guest_rt/socket.h"

int socket_take_name(struct socket_name *name, const void *address,
                     socklen_t bytes)
{
    if ((int)bytes < 0 || bytes > sizeof(name->raw))
        return -EINVAL;
    *name = (struct socket_name){.bytes = bytes};
    /* A path may fill its field to the end. */
    return user_get(name->raw, address, bytes);
}

int socket_give_name(const struct socket_name *name, void *address,
                     socklen_t *bytes)
{
    socklen_t room;

    if (!address)
        return 0;
    if (USER_GET(room, bytes))
        return -EFAULT;
    if ((int)room < 0)
        return -EINVAL;
    if (room > name->bytes)
        room = name->bytes;
    if (user_put(address, name->raw, room))
        return -EFAULT;
    return USER_PUT(bytes, name->bytes);
}
