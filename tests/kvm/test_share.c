/* SPDX-License-Identifier: MIT */
/* Shares in a confined process: what the guest, and the monitor itself, can. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/kvm/kvm_test.h"

#define CHILD_FAILED 99

static char base[] = "/tmp/mayfly-share-XXXXXX"; /* what is outside, too */
static struct mayfly_share share;

static void write_file(int dir, const char *name, const char *text)
{
    int fd = openat(dir, name, O_CREAT | O_WRONLY, 0644);

    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void make_share(void)
{
    int outside;

    cr_assert_not_null(mkdtemp(base));
    outside = open(base, O_RDONLY | O_DIRECTORY);
    write_file(outside, "secret", "secret");
    cr_assert_eq(mkdirat(outside, "share", 0755), 0);
    share.fd = openat(outside, "share", O_RDONLY | O_DIRECTORY);
    write_file(share.fd, "hello", "hello");
    cr_assert_eq(symlinkat("../secret", share.fd, "out"), 0);
    close(outside);
}

static void remove_share(void)
{
    char command[64];

    snprintf(command, sizeof(command), "rm -rf '%s'", base);
    cr_assert_eq(system(command), 0);
}

TestSuite(share, .init = make_share, .fini = remove_share, .timeout = 240);

static const char *const options_rw[] = {"share=0:/h", NULL};
static const char *const options_ro[] = {"share=0,ro:/h", NULL};

static struct guest guest_with_share(bool writable)
{
    share.read_only = !writable;
    return (struct guest){
        .image = "share",
        .args = {"cat", "/h/hello", "--", "ls", "/h"},
        .options = {.shares = &share,
                    .share_count = 1,
                    .guest_options = writable ? options_rw : options_ro},
    };
}

Test(share, is_found_by_the_guest)
{
    struct guest guest = guest_with_share(false);

    run_guest(&guest);
    assert_exited(&guest, 0, "cat /h/hello: hello\nls /h: hello out@ (2)\n");
    cr_assert_eq(guest.stats.share_count, 1);
    cr_assert_eq(guest.stats.shares[0].read_bytes, 5);
}

Test(share, is_in_no_snapshot)
{
    struct guest guest = guest_with_share(false);
    char error[MAYFLY_ERROR_BYTES];

    guest.options.snapshots = MAYFLY_SNAPSHOT_CALLS;
    load_guest(&guest);
    cr_assert_eq(mayfly_run(guest.vm, &guest.result, error), -ENOTSUP);
    cr_assert(strstr(error, "VM with shares"), "%s", error);
    mayfly_destroy(guest.vm);
}

/* The library is told, the guest is not: it tries, and the server refuses. */
Test(share, is_read_only_whatever_the_guest_believes)
{
    struct guest guest = guest_with_share(true);

    share.read_only = true;
    guest.args[0] = "put";
    guest.args[2] = "new";
    guest.args[3] = "--";
    guest.args[4] = "mkdir";
    guest.args[5] = "/h/dir";
    run_guest(&guest);
    assert_exited(&guest, 2,
                  "put /h/hello: Read-only file system\n"
                  "mkdir /h/dir: Read-only file system\n");
}

/* How many descriptors of this process are open below `base`. */
static unsigned count_open(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 256; fd++) {
        char link[32], target[256] = "";

        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        if (readlink(link, target, sizeof(target) - 1) > 0 &&
            strncmp(target, base, strlen(base)) == 0)
            count++;
    }
    return count;
}

/* A program may run many VMs. */
Test(share, leaves_no_descriptor_behind)
{
    struct guest guest = guest_with_share(true);

    guest.args[0] = "leave";
    guest.args[2] = NULL;
    run_guest(&guest);
    assert_exited(&guest, 0, "leave /h/hello: ok\n");
    cr_assert_eq(count_open(), 1, "the share's own");
}

/* ---- Confined --------------------------------------------------------------
 */

static void expect(bool right)
{
    if (!right)
        _exit(CHILD_FAILED);
}

/* Confines a child that has a share and acts. Returns what wait() says. */
static int in_child(bool writable, void (*act)(struct guest *))
{
    int status = 0;

    need_kvm();
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        struct guest guest = guest_with_share(writable);

        load_guest(&guest);
        expect(mayfly_confine(guest.vm, 0, NULL) == 0);
        act(&guest);
        _exit(0);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    return status;
}

static void run_to_exit(struct guest *guest)
{
    expect(mayfly_run(guest->vm, &guest->result, NULL) == 0);
    expect(guest->result.end == MAYFLY_EXITED && guest->result.status == 0);
    mayfly_get_stats(guest->vm, &guest->stats);
    expect(guest->stats.shares[0].read_bytes == 5);
    mayfly_destroy(guest->vm);
}

static void need_plain_build(void)
{
#if defined(__SANITIZE_ADDRESS__)
    cr_skip_test("a sanitizer makes forbidden system calls");
#endif
}

Test(share, works_when_confined, .init = need_plain_build)
{
    cr_assert_eq(in_child(false, run_to_exit), 0);
    cr_assert_eq(in_child(true, run_to_exit), 0);
}

/* ---- Landlock --------------------------------------------------------------
 */

/* Opens as the device never would. Returns a descriptor or -errno. */
static int open_anyhow(int dir, const char *path, int flags)
{
    struct open_how how = {.flags = (unsigned)flags};
    long fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));

    return fd < 0 ? -errno : (int)fd;
}

/* What is left to a monitor that a guest has taken over. */
static void look_around(struct guest *guest)
{
    bool writable = !guest->options.shares[0].read_only;
    char secret[64];

    snprintf(secret, sizeof(secret), "%s/secret", base);
    expect(open_anyhow(share.fd, "hello", O_RDONLY) >= 0);
    expect(open_anyhow(share.fd, "../secret", O_RDONLY) == -EACCES);
    expect(open_anyhow(share.fd, "out", O_RDONLY) == -EACCES);
    expect(open_anyhow(AT_FDCWD, secret, O_RDONLY) == -EACCES);
    expect(open_anyhow(AT_FDCWD, "/proc/self/mem", O_RDWR) == -EACCES);
    int fd = open_anyhow(share.fd, "hello", O_RDWR);
    expect(writable ? fd >= 0 : fd == -EACCES);
    fd = open_anyhow(share.fd, "new", O_RDWR | O_CREAT);
    expect(writable ? fd >= 0 : fd == -EACCES);
}

static bool has_landlock(void)
{
    struct mayfly_host host;

    mayfly_probe_host(&host);
    return host.landlock_abi > 0;
}

Test(share, is_all_that_the_process_can_open, .init = need_plain_build)
{
    if (!has_landlock())
        cr_skip_test("no Landlock");
    cr_assert_eq(in_child(false, look_around), 0);
    cr_assert_eq(in_child(true, look_around), 0);
}

/* ---- Seccomp ---------------------------------------------------------------
 */

#define CALL(name, ...)                   \
    static void name(struct guest *guest) \
    {                                     \
        (void)guest;                      \
        (void)!(syscall(__VA_ARGS__));    \
    }

CALL(do_open, SYS_openat, share.fd, "hello", O_RDONLY)
CALL(do_execve, SYS_execveat, share.fd, "hello", NULL, NULL, 0)
CALL(do_read, SYS_read, share.fd, NULL, 0)
CALL(do_chown, SYS_fchownat, share.fd, "hello", 0, 0, 0)
CALL(do_chmod, SYS_fchmodat, share.fd, "hello", 0777)
CALL(do_mmap, SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE, share.fd, 0)
CALL(do_xattr, SYS_fsetxattr, share.fd, "user.x", "", 0, 0)
CALL(do_mount, SYS_mount, "a", "b", "c", 0, NULL)

CALL(make_directory, SYS_mkdirat, share.fd, "d", 0755)
CALL(make_link, SYS_symlinkat, "a", share.fd, "l")
CALL(make_file, SYS_mknodat, share.fd, "f", S_IFREG | 0644, 0)
CALL(change_mode, SYS_fchmod, share.fd, 0755)
CALL(change_size, SYS_ftruncate, share.fd, 0)
CALL(change_time, SYS_utimensat, share.fd, "hello", NULL, AT_SYMLINK_NOFOLLOW)
CALL(remove_file, SYS_unlinkat, share.fd, "none", 0)
CALL(rename_file, SYS_renameat, share.fd, "none", share.fd, "other")
CALL(link_file, SYS_linkat, share.fd, "none", share.fd, "other", 0)

CALL(set_id_directory, SYS_mkdirat, share.fd, "d", 02755)
CALL(set_id_mode, SYS_fchmod, share.fd, 04755)
CALL(set_id_file, SYS_mknodat, share.fd, "f", S_IFREG | 04644, 0)
CALL(make_device, SYS_mknodat, share.fd, "z", S_IFCHR | 0666, 0x105)
CALL(make_socket, SYS_mknodat, share.fd, "s", S_IFSOCK | 0666, 0)
CALL(follow_link, SYS_linkat, share.fd, "out", share.fd, "x", AT_SYMLINK_FOLLOW)

static void (*const never[])(struct guest *) = {
    do_open,     do_execve,   do_read,     do_chown,         do_chmod,
    do_mmap,     do_xattr,    do_mount,    set_id_directory, set_id_mode,
    set_id_file, make_device, make_socket, follow_link};

static void (*const changes[])(struct guest *) = {
    make_directory, make_link,   make_file,   change_mode, change_size,
    change_time,    remove_file, rename_file, link_file};

static void assert_killed(bool writable, void (*act)(struct guest *),
                          unsigned index)
{
    int status = in_child(writable, act);

    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS,
              "call %u: status %#x", index, (unsigned)status);
}

Test(share, needs_few_system_calls)
{
    for (unsigned i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        assert_killed(false, never[i], i);
        assert_killed(true, never[i], i);
    }
}

Test(share, that_is_read_only_has_no_call_that_changes_anything)
{
    for (unsigned i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
        assert_killed(false, changes[i], i);
}

Test(share, that_is_writable_has_them, .init = need_plain_build)
{
    for (unsigned i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
        cr_assert_eq(in_child(true, changes[i]), 0, "call %u", i);
}
