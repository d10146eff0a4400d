/* SPDX-License-Identifier: MIT */
/* What is in the tree before anybody mounts or makes anything. */
#include <string.h>
#include <sys/sysmacros.h>

#include "guest_rt/tmpfs.h"
#include "guest_rt/vfs_parts.h"

static const struct {
    const char *path;
    mode_t mode;
} directories[] = {
    {"/dev", 0755},     {"/dev/shm", 01777}, {"/etc", 0755},
    {"/proc", 0555},    {"/root", 0700},     {"/run", 0755},
    {"/tmp", 01777},    {"/var", 0755},      {"/var/log", 0755},
    {"/var/run", 0755}, {"/var/tmp", 01777},
};

static const struct {
    const char *path;
    unsigned char major, minor;
} devices[] = {
    {"/dev/null", 1, 3},    {"/dev/zero", 1, 5},    {"/dev/full", 1, 7},
    {"/dev/random", 1, 8},  {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0},
    {"/dev/console", 5, 1},
};

static const struct {
    const char *path, *target;
} links[] = {
    {"/dev/fd", "/proc/self/fd"},       {"/dev/stdin", "/proc/self/fd/0"},
    {"/dev/stdout", "/proc/self/fd/1"}, {"/dev/stderr", "/proc/self/fd/2"},
    {"/etc/mtab", "/proc/self/mounts"},
};

static const struct {
    const char *path, *text;
} files[] = {
    {"/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"
                    "nobody:x:65534:65534:nobody:/:/bin/false\n"},
    {"/etc/group", "root:x:0:\nnogroup:x:65534:\n"},
    {"/etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost\n"},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A file whose text stays where it is. */
static void make_file(const char *path, const char *text)
{
    struct vnode *node;

    if (vfs_make(NULL, path, S_IFREG | 0644, 0, NULL, &node))
        return;
    tmpfs_borrow(node, text, strlen(text));
    vnode_put(node);
}

/* What there is no memory for is missing; the program will find out. */
void vfs_start_tree(void)
{
    struct vnode *proc;

    for (unsigned i = 0; i < COUNT(directories); i++)
        vfs_make(NULL, directories[i].path, S_IFDIR | directories[i].mode, 0,
                 NULL, NULL);
    for (unsigned i = 0; i < COUNT(devices); i++)
        vfs_make(NULL, devices[i].path, S_IFCHR | 0666,
                 makedev(devices[i].major, devices[i].minor), NULL, NULL);
    for (unsigned i = 0; i < COUNT(links); i++)
        vfs_make(NULL, links[i].path, S_IFLNK | 0777, 0, links[i].target, NULL);
    /* The last one has more lines in programs with a network (hosts.c). */
    for (unsigned i = 0; i < COUNT(files) - (vfs_start_network != NULL); i++)
        make_file(files[i].path, files[i].text);
    proc = proc_create_root();
    if (proc)
        vfs_mount("/proc", proc);
}
