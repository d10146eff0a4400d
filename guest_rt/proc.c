/* SPDX-License-Identifier: MIT */
/* /proc: the tree. */
#include "guest_rt/proc.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "guest_rt/pool.h"
#include "guest_rt/runtime.h"
#include "guest_rt/vfs.h"
#include "guest_rt/vfs_parts.h"

#define PROC_MAGIC 0x9fa0 /* of statfs, as Linux's */

/* ---- The table ---------------------------------------------------------- */

/* Indices of directories in the table. */
enum {
    TOP,
    PROCESS,
    FDS,
    TASK,
    SYS,
    KERNEL,
    RANDOM,
    VM,
    SYS_NET,
    CORE,
    SYS_FS
};

struct item {
    const char *name;
    unsigned char parent;
    mode_t mode;
    void (*print)(struct proc_text *text); /* a file, made anew each time */
    const char *fixed; /* a file or link that never changes */
    long (*link)(char *buffer, size_t bytes);
};

#define DIRECTORY (S_IFDIR | 0555)
#define FILE_MODE (S_IFREG | 0444)
#define LINK      (S_IFLNK | 0777)

static const struct item items[] = {
    [TOP] = {"", TOP, DIRECTORY, NULL, NULL, NULL},
    [PROCESS] = {"1", TOP, DIRECTORY, NULL, NULL, NULL},
    [FDS] = {"fd", PROCESS, S_IFDIR | 0500, NULL, NULL, NULL},
    [TASK] = {"task", PROCESS, DIRECTORY, NULL, NULL, NULL},
    [SYS] = {"sys", TOP, DIRECTORY, NULL, NULL, NULL},
    [KERNEL] = {"kernel", SYS, DIRECTORY, NULL, NULL, NULL},
    [RANDOM] = {"random", KERNEL, DIRECTORY, NULL, NULL, NULL},
    [VM] = {"vm", SYS, DIRECTORY, NULL, NULL, NULL},
    [SYS_NET] = {"net", SYS, DIRECTORY, NULL, NULL, NULL},
    [CORE] = {"core", SYS_NET, DIRECTORY, NULL, NULL, NULL},
    [SYS_FS] = {"fs", SYS, DIRECTORY, NULL, NULL, NULL},
    {"self", TOP, LINK, NULL, "1", NULL},
    {"thread-self", TOP, LINK, NULL, "1/task/1", NULL},
    {"mounts", TOP, LINK, NULL, "self/mounts", NULL},
    {"meminfo", TOP, FILE_MODE, proc_meminfo, NULL, NULL},
    {"cpuinfo", TOP, FILE_MODE, proc_cpuinfo, NULL, NULL},
    {"stat", TOP, FILE_MODE, proc_machine_stat, NULL, NULL},
    {"loadavg", TOP, FILE_MODE, proc_loadavg, NULL, NULL},
    {"uptime", TOP, FILE_MODE, proc_uptime, NULL, NULL},
    {"version", TOP, FILE_MODE, proc_version, NULL, NULL},
    {"filesystems", TOP, FILE_MODE, NULL, "nodev\ttmpfs\nnodev\tproc\n", NULL},
    {"exe", PROCESS, LINK, NULL, NULL, proc_exe},
    {"cwd", PROCESS, LINK, NULL, NULL, proc_cwd},
    {"root", PROCESS, LINK, NULL, "/", NULL},
    {"status", PROCESS, FILE_MODE, proc_status, NULL, NULL},
    {"stat", PROCESS, FILE_MODE, proc_stat, NULL, NULL},
    {"statm", PROCESS, FILE_MODE, proc_statm, NULL, NULL},
    {"cmdline", PROCESS, FILE_MODE, proc_cmdline, NULL, NULL},
    {"environ", PROCESS, S_IFREG | 0400, proc_environ, NULL, NULL},
    {"comm", PROCESS, FILE_MODE, proc_comm, NULL, NULL},
    {"limits", PROCESS, FILE_MODE, proc_limits, NULL, NULL},
    {"maps", PROCESS, FILE_MODE, proc_maps, NULL, NULL},
    {"mounts", PROCESS, FILE_MODE, proc_mounts, NULL, NULL},
    {"mountinfo", PROCESS, FILE_MODE, proc_mountinfo, NULL, NULL},
    {"1", TASK, LINK, NULL, "..", NULL},
    {"ostype", KERNEL, FILE_MODE, NULL, "Linux\n", NULL},
    {"osrelease", KERNEL, FILE_MODE, NULL, "6.1.0-mayfly\n", NULL},
    {"hostname", KERNEL, FILE_MODE, proc_hostname, NULL, NULL},
    {"pid_max", KERNEL, FILE_MODE, NULL, "32768\n", NULL},
    {"threads-max", KERNEL, FILE_MODE, NULL, "32768\n", NULL},
    {"uuid", RANDOM, FILE_MODE, proc_uuid, NULL, NULL},
    {"overcommit_memory", VM, FILE_MODE, NULL, "1\n", NULL},
    {"max_map_count", VM, FILE_MODE, NULL, "65530\n", NULL},
    {"swappiness", VM, FILE_MODE, NULL, "0\n", NULL},
    {"somaxconn", CORE, FILE_MODE, NULL, "4096\n", NULL},
    {"file-max", SYS_FS, FILE_MODE, NULL, "65536\n", NULL},
    {"nr_open", SYS_FS, FILE_MODE, NULL, "65536\n", NULL},
};

#define ITEMS (sizeof(items) / sizeof(items[0]))

/* ---- Nodes -------------------------------------------------------------- */

struct proc_node {
    struct vnode vnode;
    unsigned index;    /* in the table; ITEMS: a link in fd */
    struct file *file; /* what such a link leads to, with a reference */
    int fd;
};

static const struct vnode_ops proc_ops, fd_ops;
static struct vfs proc = {.type = "proc", .source = "proc", .read_only = true};

/* The nodes of the table that exist. */
static struct proc_node *nodes[ITEMS];

static struct proc_node *node_of(struct vnode *vnode)
{
    return (struct proc_node *)vnode;
}

static struct proc_node *create_node(unsigned index, mode_t type)
{
    struct proc_node *node = pool_alloc(sizeof(*node));

    if (!node)
        return NULL;
    node->vnode = (struct vnode){
        .ops = index < ITEMS ? &proc_ops : &fd_ops,
        .fs = &proc,
        .references = 1,
        .type = type & S_IFMT,
    };
    node->index = index;
    return node;
}

static int get_node(unsigned index, struct vnode **found)
{
    if (nodes[index]) {
        *found = vnode_get(&nodes[index]->vnode);
        return 0;
    }
    nodes[index] = create_node(index, items[index].mode);
    if (!nodes[index])
        return -ENOMEM;
    *found = &nodes[index]->vnode;
    return 0;
}

static void release(struct vnode *vnode)
{
    struct proc_node *node = node_of(vnode);

    if (node->index < ITEMS)
        nodes[node->index] = NULL;
    if (node->file)
        file_put(node->file);
    pool_free(node, sizeof(*node));
}

/* ---- Descriptors -------------------------------------------------------- */

/* A number as it stands in a name, or -1. */
static long parse_number(const char *name)
{
    long number = 0;

    for (const char *at = name; *at; at++) {
        if (*at < '0' || *at > '9' || at - name > 8)
            return -1;
        number = 10 * number + (*at - '0');
    }
    return number;
}

static int lookup_fd(const char *name, struct vnode **found)
{
    long fd = parse_number(name);
    struct proc_node *node;

    if (fd < 0 || !file_entry(fd))
        return -ENOENT;
    node = create_node(ITEMS, LINK);
    if (!node)
        return -ENOMEM;
    node->fd = (int)fd;
    *found = &node->vnode;
    return 0;
}

static long read_fd_link(const struct proc_node *node, char *buffer)
{
    struct file *file = file_get(node->fd);
    struct stat stat = {0};
    long length;

    if (!file)
        return -ENOENT;
    if (file->node && file->node->fs != &proc) {
        length = vfs_path_of(file->node, buffer, VFS_PATH_MAX);
    } else {
        file_stat(file, &stat);
        length = sprintf(buffer, "%s:[%lu]",
                         S_ISFIFO(stat.st_mode)   ? "pipe"
                         : S_ISSOCK(stat.st_mode) ? "socket"
                                                  : "anon_inode",
                         (unsigned long)stat.st_ino);
        if (S_ISCHR(stat.st_mode))
            length = sprintf(buffer, "/dev/console");
    }
    file_put(file);
    return length;
}

/* What has no node is opened as the same open file. */
static int follow(struct vnode *link, struct vnode **target)
{
    struct file *file = file_get(node_of(link)->fd);
    struct proc_node *node;

    if (!file)
        return -ENOENT;
    if (file->node) {
        *target = vnode_get(file->node);
        file_put(file);
        return 0;
    }
    node = create_node(ITEMS, S_IFCHR);
    if (!node) {
        file_put(file);
        return -ENOMEM;
    }
    node->file = file;
    node->fd = node_of(link)->fd;
    *target = &node->vnode;
    return 0;
}

/* ---- Texts -------------------------------------------------------------- */

#define TEXT_FIRST 4096u

void proc_add(struct proc_text *text, const void *bytes, size_t count)
{
    while (!text->failed && text->capacity - text->count < count) {
        size_t more = text->capacity ? 2 * text->capacity : TEXT_FIRST;
        char *pages = mf_pages_alloc(more);

        text->failed = !pages;
        if (text->failed)
            return;
        if (text->bytes) {
            memcpy(pages, text->bytes, text->count);
            mf_pages_free(text->bytes, text->capacity);
        }
        text->bytes = pages;
        text->capacity = more;
    }
    if (text->failed)
        return;
    memcpy(text->bytes + text->count, bytes, count);
    text->count += count;
}

void proc_print(struct proc_text *text, const char *format, ...)
{
    char line[512];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (length >= (int)sizeof(line))
        length = sizeof(line) - 1;
    proc_add(text, line, (size_t)length);
}

static long read_text(struct file *file, const struct iovec *iov, int count,
                      off_t offset)
{
    struct proc_text *text = file->data;
    off_t at = file_position(file, offset);
    long total = 0;

    for (int i = 0; i < count && at < (off_t)text->count; i++) {
        size_t part = text->count - (size_t)at;

        if (part > iov[i].iov_len)
            part = iov[i].iov_len;
        memcpy(iov[i].iov_base, text->bytes + at, part);
        at += (off_t)part;
        total += (long)part;
    }
    return file_moved(file, offset, total);
}

static long seek_text(struct file *file, off_t offset, int whence)
{
    return file_seek(file, offset, whence,
                     (off_t)((struct proc_text *)file->data)->count);
}

static void release_text(struct file *file)
{
    struct proc_text *text = file->data;

    if (text->bytes)
        mf_pages_free(text->bytes, text->capacity);
    pool_free(text, sizeof(*text));
}

static const struct file_ops text_ops = {
    .read = read_text,
    .seek = seek_text,
    .release = release_text,
};

static int open_text(const struct item *item, int flags, struct file **opened)
{
    struct proc_text *text = pool_alloc(sizeof(*text));

    if (!text)
        return -ENOMEM;
    if (item->print)
        item->print(text);
    else
        proc_add(text, item->fixed, strlen(item->fixed));
    *opened = text->failed ? NULL : file_create(&text_ops, text, flags);
    if (*opened)
        return 0;
    if (text->bytes)
        mf_pages_free(text->bytes, text->capacity);
    pool_free(text, sizeof(*text));
    return -ENOMEM;
}

/* ---- Directories -------------------------------------------------------- */

static int lookup(struct vnode *directory, const char *name,
                  struct vnode **found)
{
    unsigned parent = node_of(directory)->index;

    if (parent == FDS)
        return lookup_fd(name, found);
    for (unsigned i = 1; i < ITEMS; i++)
        if (items[i].parent == parent && strcmp(items[i].name, name) == 0)
            return get_node(i, found);
    return -ENOENT;
}

/* Entry number `at`, from 2 on, of what is not a dot: 1, 0 for the end. */
static int entry_at(unsigned parent, off_t *at, char *name, mode_t *mode)
{
    if (parent == FDS) {
        while (*at - 2 < (off_t)file_table.count && !file_entry(*at - 2))
            ++*at;
        if (*at - 2 >= (off_t)file_table.count)
            return 0;
        sprintf(name, "%u", (unsigned)(*at - 2));
        *mode = S_IFLNK;
        return 1;
    }
    while (*at - 1 < (off_t)ITEMS && items[*at - 1].parent != parent)
        ++*at;
    if (*at - 1 >= (off_t)ITEMS)
        return 0;
    strcpy(name, items[*at - 1].name);
    *mode = items[*at - 1].mode;
    return 1;
}

static long read_dir(struct file *file, void *buffer, size_t bytes)
{
    unsigned parent = node_of(file->data)->index;
    struct vfs_entries entries = {buffer, (char *)buffer + bytes};
    char name[32] = ".";
    mode_t mode = S_IFDIR;

    for (;;) {
        off_t at = file->offset;

        if (at == 1)
            strcpy(name, "..");
        else if (at >= 2 && !entry_at(parent, &at, name, &mode))
            break;
        if (!vfs_entries_add(&entries, (ino_t)at + 1000 * parent + 1, at + 1,
                             mode, name, strlen(name))) {
            if (entries.at == buffer)
                return -EINVAL;
            break;
        }
        file->offset = at + 1;
    }
    return entries.at - (char *)buffer;
}

static long seek_dir(struct file *file, off_t offset, int whence)
{
    return file_seek(file, offset, whence, 0);
}

static const struct file_ops directory_ops = {
    .read = file_read_directory,
    .seek = seek_dir,
    .read_dir = read_dir,
};

/* ---- The rest ----------------------------------------------------------- */

static long read_link(struct vnode *vnode, char *buffer, size_t bytes)
{
    const struct proc_node *node = node_of(vnode);
    const struct item *item = &items[node->index];
    char *whole;
    long length;

    whole = pool_alloc(VFS_PATH_MAX);
    if (!whole)
        return -ENOMEM;
    if (node->index == ITEMS)
        length = read_fd_link(node, whole);
    else if (item->fixed)
        length = (long)strlen(strcpy(whole, item->fixed));
    else
        length = item->link(whole, VFS_PATH_MAX);
    if (length > (long)bytes)
        length = (long)bytes;
    if (length > 0)
        memcpy(buffer, whole, (size_t)length);
    pool_free(whole, VFS_PATH_MAX);
    return length;
}

static int stat_node(struct vnode *vnode, struct stat *stat)
{
    const struct proc_node *node = node_of(vnode);
    uint64_t now = mf_clock_realtime();

    if (node->file)
        return file_stat(node->file, stat);
    stat->st_ino = node->index + 1;
    stat->st_mode = node->index < ITEMS ? items[node->index].mode : LINK;
    stat->st_nlink = S_ISDIR(vnode->type) ? 2 : 1;
    stat->st_blksize = 1024;
    stat->st_atim.tv_sec = (time_t)(now / 1000000000);
    stat->st_mtim = stat->st_ctim = stat->st_atim;
    return 0;
}

static int open_node(struct vnode *vnode, int flags, struct file **opened)
{
    struct proc_node *node = node_of(vnode);

    if (node->file) {
        node->file->references++;
        *opened = node->file;
        return 0;
    }
    if (!S_ISDIR(vnode->type))
        return open_text(&items[node->index], flags, opened);
    *opened = file_create(&directory_ops, vnode, flags);
    return *opened ? 0 : -ENOMEM;
}

static int statfs_node(struct vnode *vnode, struct statfs *statfs)
{
    (void)vnode;
    statfs->f_type = PROC_MAGIC;
    return 0;
}

static const struct vnode_ops proc_ops = {
    .lookup = lookup,
    .readlink = read_link,
    .stat = stat_node,
    .open = open_node,
    .statfs = statfs_node,
    .release = release,
};

/* The links in fd lead to files, not to paths. */
static const struct vnode_ops fd_ops = {
    .readlink = read_link,
    .follow = follow,
    .stat = stat_node,
    .open = open_node,
    .release = release,
};

struct vnode *proc_create_root(void)
{
    struct vnode *root;

    return get_node(TOP, &root) ? NULL : root;
}
