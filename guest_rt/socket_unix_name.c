/* SPDX-License-Identifier: MIT */
/* Sockets of the family AF_UNIX: their names. */
#include <errno.h>
#include <string.h>

#include "guest_rt/socket_unix.h"
#include "guest_rt/vfs.h"

#define PATH_AT offsetof(struct sockaddr_un, sun_path)

/* The path with its NUL, which a program may have left out. */
struct unix_path {
    char bytes[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1];
};

static struct unix_path read_path(const struct socket_name *name)
{
    struct unix_path path = {{0}};
    size_t bytes = name->bytes - PATH_AT;

    memcpy(path.bytes, name->un.sun_path,
           bytes < sizeof(path) - 1 ? bytes : sizeof(path) - 1);
    return path;
}

static bool is_abstract(const struct socket_name *name)
{
    return name->un.sun_path[0] == '\0';
}

static int check(const struct socket_name *name)
{
    if (name->bytes < sizeof(sa_family_t) ||
        name->bytes > sizeof(struct sockaddr_un) ||
        name->any.sa_family != AF_UNIX)
        return -EINVAL;
    return 0;
}

static struct unix_socket *find_abstract(const struct socket_name *name)
{
    for (struct unix_socket *each = unix_sockets; each; each = each->next)
        if (!each->node && each->name.bytes == name->bytes &&
            each->phase != UNIX_CONNECTED &&
            memcmp(each->name.raw, name->raw, name->bytes) == 0)
            return each;
    return NULL;
}

/* ---- Binding ------------------------------------------------------------- */

/* An abstract name of five digits that nobody has, as on Linux. */
static void choose_name(struct socket_name *name)
{
    static unsigned next;

    do {
        next = (next + 1) & 0xfffff;
        *name = (struct socket_name){.bytes = PATH_AT + 6};
        name->any.sa_family = AF_UNIX;
        for (unsigned i = 0; i < 5; i++)
            name->un.sun_path[5 - i] = "0123456789abcdef"[next >> 4 * i & 15];
    } while (find_abstract(name));
}

static int bind_path(struct unix_socket *one, const struct socket_name *name)
{
    struct unix_path path = read_path(name);
    int error = vfs_make(NULL, path.bytes, S_IFSOCK | (0777 & ~vfs_umask), 0,
                         NULL, &one->node);

    if (error)
        return error == -EEXIST ? -EADDRINUSE : error;
    one->node->special = one;
    one->name = *name;
    /* With its NUL, as Linux tells it. */
    one->name.bytes = (socklen_t)(PATH_AT + strlen(path.bytes) + 1);
    return 0;
}

int socket_unix_bind(struct socket *socket, const struct socket_name *name)
{
    struct unix_socket *one = unix_socket_of(socket);
    struct socket_name chosen = *name;
    int error = check(name);

    if (error)
        return error;
    if (one->name.bytes)
        return -EINVAL;
    if (name->bytes == sizeof(sa_family_t))
        choose_name(&chosen);
    if (!is_abstract(&chosen))
        return bind_path(one, &chosen);
    if (find_abstract(&chosen))
        return -EADDRINUSE;
    one->name = chosen;
    return 0;
}

void socket_unix_unbind(struct unix_socket *one)
{
    if (!one->node)
        return;
    one->node->special = NULL;
    vnode_put(one->node);
    one->node = NULL;
}

/* ---- Finding ------------------------------------------------------------- */

static int find_path(const struct socket_name *name, struct unix_socket **found)
{
    struct unix_path path = read_path(name);
    struct vnode *node;
    int error = vfs_lookup(NULL, path.bytes, true, &node);

    if (error)
        return error;
    *found = S_ISSOCK(node->type) ? node->special : NULL;
    vnode_put(node);
    return *found ? 0 : -ECONNREFUSED;
}

int socket_unix_find(const struct socket_name *name, struct unix_socket **found)
{
    int error = check(name);

    if (error)
        return error;
    if (name->bytes == sizeof(sa_family_t))
        return -EINVAL;
    if (!is_abstract(name))
        return find_path(name, found);
    *found = find_abstract(name);
    return *found ? 0 : -ECONNREFUSED;
}
