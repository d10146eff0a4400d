/* SPDX-License-Identifier: MIT */
/* The guest's 9P client against the monitor's 9P device. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest_rt/p9.h"
#include "guest_rt/pool.h"
#include "guest_rt/runtime.h"
#include "guest_rt/syscalls.h"
#include "tests/ring/vm.h"
#include "virtio/p9.h"

/* ---- What the runtime has around it ---------------------------------------
 */

#define ARENA_BYTES (8u << 20)

static _Alignas(4096) char arena[ARENA_BYTES]; /* devices reach statics */
static size_t arena_used;
static long pieces; /* given out and not given back */
static struct vnode *mounted;

void *mf_pages_alloc(size_t bytes)
{
    void *at = arena + arena_used;

    arena_used += (bytes + 4095) & ~(size_t)4095;
    cr_assert_leq(arena_used, ARENA_BYTES);
    return at;
}

void *pool_alloc(size_t bytes)
{
    void *at = arena + arena_used;

    arena_used += (bytes + 15) & ~(size_t)15;
    cr_assert_leq(arena_used, ARENA_BYTES);
    pieces++;
    return at;
}

void pool_free(void *piece, size_t bytes)
{
    (void)bytes;
    pieces -= piece != NULL;
}

struct file *file_create(const struct file_ops *ops, void *data, int flags)
{
    struct file *file = pool_alloc(sizeof(*file));

    *file = (struct file){.ops = ops, .data = data, .flags = flags};
    file->references = 1;
    return file;
}

void vnode_put(struct vnode *node)
{
    if (--node->references == 0)
        node->ops->release(node);
}

bool vfs_entries_add(struct vfs_entries *entries, ino_t inode, off_t next,
                     mode_t type, const char *name, size_t length)
{
    (void)inode, (void)next, (void)type;
    if (length + 1 > (size_t)(entries->end - entries->at))
        return false;
    memcpy(entries->at, name, length);
    entries->at[length] = ' ';
    entries->at += length + 1;
    return true;
}

int vfs_mount(const char *path, struct vnode *root)
{
    cr_assert_str_eq(path, "/h");
    mounted = root;
    return 0;
}

long __mayfly_sys_writev(long fd, long vector, long count)
{
    return writev((int)fd, (const struct iovec *)vector, (int)count);
}

_Noreturn void mf_exit(int status)
{
    printf("ends with %d\n", status);
    abort();
}

/* ---- A share ----------------------------------------------------------------
 */

static char base[] = "/tmp/mayfly-ring-XXXXXX";
static int directory;
static struct p9 share;

static void write_file(const char *name, const char *text)
{
    int fd = openat(directory, name, O_CREAT | O_WRONLY | O_TRUNC, 0644);

    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void set_up(void)
{
    struct p9_options options = {.tag = "share0"};

    umask(022);
    cr_assert_not_null(mkdtemp(base));
    options.fd = directory = open(base, O_RDONLY | O_DIRECTORY);
    write_file("hello", "hello, guest");
    cr_assert_eq(symlinkat("hello", directory, "link"), 0);
    cr_assert_eq(mkdirat(directory, "sub", 0755), 0);
    vm_start(-1, -1, -1);
    cr_assert_eq(p9_init(&share, &options), 0);
    cr_assert_eq(native_add(&vm.native, &share.dev, 0), 0);
    vm_option = "share=0:/h";
    vfs_start_shares();
    cr_assert_not_null(mounted);
    vm.kicks = 0;
    pieces = 0;
}

static void tear_down(void)
{
    char command[64];

    p9_fini(&share);
    snprintf(command, sizeof(command), "rm -rf '%s'", base);
    cr_assert_eq(system(command), 0);
}

TestSuite(p9_ring, .init = set_up, .fini = tear_down, .timeout = 60);

static struct vnode *look_up(const char *name)
{
    struct vnode *node = NULL;
    int error = mounted->ops->lookup(mounted, name, &node);

    cr_assert_eq(error, 0, "%s: %d", name, error);
    return node;
}

static struct file *open_node(struct vnode *node, int flags)
{
    struct file *file = NULL;
    int error = node->ops->open(node, flags, &file);

    cr_assert_eq(error, 0, "%d", error);
    return file;
}

static void release_file(struct file *file)
{
    file->ops->release(file);
    pool_free(file, sizeof(*file));
}

static long read_some(struct file *file, size_t bytes, off_t offset)
{
    struct iovec piece = {VM_BUFFER, bytes};

    return file->ops->read(file, &piece, 1, offset);
}

/* Fids that the client has. */
static unsigned count_fids(void)
{
    const struct p9_fs *fs = p9_fs_of(mounted);
    unsigned count = 0;

    for (unsigned i = 0; i < P9_FIDS_MAX / 64; i++)
        count += (unsigned)__builtin_popcountll(fs->fids[i]);
    return count;
}

/* ---- Requests ---------------------------------------------------------------
 */

Test(p9_ring, finds_opens_and_reads_by_a_kick_each)
{
    struct vnode *node = look_up("hello");
    struct file *file;

    cr_assert_eq(node->type, S_IFREG);
    cr_assert_eq(vm.kicks, 1);
    file = open_node(node, O_RDONLY);
    cr_assert_eq(vm.kicks, 2);
    cr_assert_eq(read_some(file, 100, FILE_HERE), 12);
    cr_assert_eq(memcmp(VM_BUFFER, "hello, guest", 12), 0);
    cr_assert_eq(file->offset, 12);
    cr_assert_eq(vm.kicks, 3);
    cr_assert_eq(read_some(file, 5, 7), 5);
    cr_assert_eq(memcmp(VM_BUFFER, "guest", 5), 0);
    cr_assert_eq(file->offset, 12);
}

/* As long as that takes no time; and once. */
Test(p9_ring, has_the_attributes_of_what_it_has_just_found)
{
    struct vnode *node;
    struct stat stat = {0};

    vm.now_ns = 1000000;
    node = look_up("hello");
    write_file("hello", "another");
    vm.kicks = 0;
    cr_assert_eq(node->ops->stat(node, &stat), 0);
    cr_assert_eq(stat.st_size, 12);
    cr_assert_eq(vm.kicks, 0);
    cr_assert_eq(node->ops->stat(node, &stat), 0);
    cr_assert_eq(stat.st_size, 7);
    cr_assert_eq(vm.kicks, 1);
    node = look_up("hello");
    write_file("hello", "more");
    vm.now_ns += 2000;
    cr_assert_eq(node->ops->stat(node, &stat), 0);
    cr_assert_eq(stat.st_size, 4);
}

Test(p9_ring, closes_in_passing)
{
    struct vnode *node = look_up("hello");
    struct file *file = open_node(node, O_RDONLY);

    vm.kicks = 0;
    release_file(file);
    vnode_put(node);
    cr_assert_eq(vm.kicks, 0);
    cr_assert_eq(share.fids->open, 1, "still open on the host");
    node = look_up("sub");
    cr_assert_eq(vm.kicks, 1);
    cr_assert_eq(share.fids->open, 0);
    file = open_node(look_up("hello"), O_RDWR);
    vm.kicks = 0;
    release_file(file);
    cr_assert_eq(vm.kicks, 1, "at once: it may have been written to");
    cr_assert_eq(share.fids->open, 0);
}

Test(p9_ring, loses_no_fid_and_no_memory)
{
    unsigned before = count_fids();
    struct vnode *node = NULL;

    for (unsigned i = 0; i < 200; i++) {
        struct file *file;

        node = look_up("hello");
        cr_assert_eq(mounted->ops->lookup(mounted, "none", &node), -ENOENT);
        node = look_up("hello");
        vnode_put(node); /* twice found, one node */
        file = open_node(node, O_RDWR);
        release_file(file);
        cr_assert_eq(node->ops->open(look_up("link"), O_RDONLY, &file), -ENXIO);
        vnode_put(node);
        vnode_put(look_up("link"));
        vnode_put(look_up("link"));
        pieces = 0;
    }
    node = look_up("sub");
    vnode_put(node);
    p9_publish(p9_fs_of(mounted));
    node = look_up("sub");
    cr_assert_leq(count_fids(), before + 4);
}

Test(p9_ring, knows_a_file_by_its_number)
{
    struct vnode *node = look_up("hello"), *other;
    struct stat stat = {0};

    cr_assert_eq(renameat(directory, "hello", directory, "renamed"), 0);
    vm.now_ns += 1000000;
    cr_assert_eq(node->ops->stat(node, &stat), -ENOENT, "it was moved away");
    other = look_up("renamed");
    cr_assert_eq(other, node);
    cr_assert_eq(node->ops->stat(node, &stat), 0, "and found again");
    cr_assert_eq(stat.st_size, 12);
    write_file("hello", "another");
    cr_assert_neq(look_up("hello"), node);
}

Test(p9_ring, makes_a_file_that_is_open)
{
    struct iovec text = {VM_BUFFER, 5};
    struct vnode *made = NULL;
    struct file *file;

    memcpy(VM_BUFFER, "hello", 5);
    cr_assert_eq(mounted->ops->create(mounted, "new", S_IFREG | 0400, 0, &made),
                 0);
    vm.kicks = 0;
    file = open_node(made, O_WRONLY);
    cr_assert_eq(vm.kicks, 0, "it is open already");
    cr_assert_eq(file->ops->write(file, &text, 1, FILE_HERE), 5);
    cr_assert_eq(file->ops->sync(file, false), 0);
    cr_assert_eq(mounted->ops->unlink(mounted, "new", made), 0);
    cr_assert_eq(read_some(file, 5, 0), 5, "without a name, too");
}

Test(p9_ring, moves_what_the_program_has_in_pieces)
{
    struct iovec iov[40];
    struct vnode *made = NULL;
    struct file *file;

    for (unsigned i = 0; i < 40; i++)
        iov[i] = (struct iovec){VM_BUFFER + i * 100, i % 7 ? i : 0};
    for (unsigned i = 0; i < 4000; i++)
        VM_BUFFER[i] = (unsigned char)(i / 100);
    cr_assert_eq(mounted->ops->create(mounted, "new", S_IFREG | 0644, 0, &made),
                 0);
    file = open_node(made, O_RDWR);
    long bytes = file->ops->write(file, iov, 40, FILE_HERE);
    cr_assert_eq(bytes, 780 - 105);
    memset(VM_BUFFER, 0, 4000);
    cr_assert_eq(file->ops->read(file, iov, 40, 0), bytes);
    for (unsigned i = 0; i < 40; i++)
        for (unsigned j = 0; j < iov[i].iov_len; j++)
            cr_assert_eq(VM_BUFFER[i * 100 + j], i);
}

Test(p9_ring, reads_directories_with_few_requests)
{
    struct file *file = open_node(vnode_get(mounted), O_RDONLY | O_DIRECTORY);
    char *names = (char *)VM_BUFFER;
    long bytes;

    vm.kicks = 0;
    bytes = file->ops->read_dir(file, names, 1000);
    cr_assert_gt(bytes, 0);
    names[bytes] = '\0';
    cr_assert(strstr(names, "hello ") && strstr(names, "link ") &&
              strstr(names, "sub "));
    cr_assert_eq(file->ops->read_dir(file, names, 1000), 0);
    cr_assert_eq(vm.kicks, 2);
    cr_assert_eq(file->ops->seek(file, 0, SEEK_SET), 0);
    vm.kicks = 0;
    for (unsigned i = 0; i < 5; i++)
        cr_assert_gt(file->ops->read_dir(file, names, 6), 0);
    cr_assert_eq(vm.kicks, 1, "the rest was kept");
}

Test(p9_ring, says_what_the_server_says)
{
    struct vnode *made, *node = look_up("hello");
    char *to = (char *)VM_BUFFER;

    cr_assert_eq(mounted->ops->mkdir(mounted, "sub", 0755, &made), -EEXIST);
    cr_assert_eq(mounted->ops->rmdir(mounted, "hello", node), -ENOTDIR);
    cr_assert_eq(node->ops->readlink(node, to, 10), -EINVAL);
    node = look_up("link");
    cr_assert_eq(node->ops->readlink(node, to, 100), 5);
    cr_assert_eq(memcmp(to, "hello", 5), 0);
    cr_assert_eq(node->ops->readlink(node, to, 1), 1);
}

Test(p9_ring, waits_if_the_server_is_slow)
{
    struct file *file;

    vm.lazy = true; /* served by waits only */
    file = open_node(look_up("hello"), O_RDONLY);
    cr_assert_eq(read_some(file, 100, 0), 12);
    cr_assert_geq(vm.waits, 3);
}

Test(p9_ring, ends_with_EIO_when_the_device_gives_up)
{
    struct vnode *node = look_up("hello"), *found;
    struct file *file = open_node(node, O_RDWR);
    struct stat stat = {0};

    vdev_mark_needs_reset(&share.dev);
    cr_assert_eq(read_some(file, 100, 0), -EIO);
    cr_assert_eq(node->ops->stat(node, &stat), -EIO);
    cr_assert_eq(mounted->ops->lookup(mounted, "sub", &found), -EIO);
    for (unsigned i = 0; i < 100; i++)
        cr_assert_eq(file->ops->sync(file, false), -EIO);
    release_file(file);
    vnode_put(node);
}
