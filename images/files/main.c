/* SPDX-License-Identifier: MIT */
/*
 * Exercises files: prints what each call returned, so that the same program run
 * as a Linux process (in an empty directory) says what is right.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

/* Linux's names of what is expected here. */
static const char *name_of(int error)
{
    static const struct {
        int number;
        const char *name;
    } names[] = {
        {EACCES, "EACCES"},         {EAGAIN, "EAGAIN"},
        {EBADF, "EBADF"},           {EBUSY, "EBUSY"},
        {EEXIST, "EEXIST"},         {EFAULT, "EFAULT"},
        {EFBIG, "EFBIG"},           {EINVAL, "EINVAL"},
        {EISDIR, "EISDIR"},         {ELOOP, "ELOOP"},
        {EMFILE, "EMFILE"},         {ENAMETOOLONG, "ENAMETOOLONG"},
        {ENOENT, "ENOENT"},         {ENOSPC, "ENOSPC"},
        {ENOTDIR, "ENOTDIR"},       {ENOTEMPTY, "ENOTEMPTY"},
        {ENOTTY, "ENOTTY"},         {ENXIO, "ENXIO"},
        {EOPNOTSUPP, "EOPNOTSUPP"}, {EOVERFLOW, "EOVERFLOW"},
        {EPERM, "EPERM"},           {EPIPE, "EPIPE"},
        {ESPIPE, "ESPIPE"},         {EXDEV, "EXDEV"},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].number == error)
            return names[i].name;
    return strerror(error);
}

static void show(const char *what, long result)
{
    if (result < 0)
        printf("%s: %s\n", what, name_of(errno));
    else
        printf("%s: %ld\n", what, result);
}

/* Prints the call and what it returned. */
#define SHOW(call) show(#call, (long)(call))

/* The same for calls whose result is a descriptor, whatever its number. */
#define OPEN(variable, call)                      \
    do {                                          \
        variable = (call);                        \
        show(#call, variable < 0 ? variable : 0); \
    } while (0)

static void show_text(const char *what, const char *text, long bytes)
{
    if (bytes < 0)
        printf("%s: %s\n", what, name_of(errno));
    else
        printf("%s: %ld \"%.*s\"\n", what, bytes, (int)bytes, text);
}

static char text[8192];

#define READ(fd)                                    \
    do {                                            \
        long bytes_ = read(fd, text, sizeof(text)); \
        show_text("read(" #fd ")", text, bytes_);   \
    } while (0)

/* ---- Regular files ------------------------------------------------------ */

static void check_open(void)
{
    int fd, other;

    puts("-- open");
    OPEN(fd, open("missing", O_RDONLY));
    OPEN(fd, open("", O_RDONLY));
    OPEN(fd, open("a", O_RDWR | O_CREAT | O_EXCL, 0644));
    SHOW(write(fd, "hello world", 11));
    OPEN(other, open("a", O_RDWR | O_CREAT | O_EXCL, 0644));
    OPEN(other, open("a/b", O_RDONLY));
    OPEN(other, open("a/", O_RDONLY));
    OPEN(other, open("a", O_RDONLY | O_DIRECTORY));
    OPEN(other, open(".", O_WRONLY));
    OPEN(other, open("new/", O_WRONLY | O_CREAT, 0644));
    OPEN(other, open("no/new", O_WRONLY | O_CREAT, 0644));
    OPEN(other, open("a", O_RDONLY));
    READ(other);
    READ(other);
    SHOW(write(other, "x", 1));
    SHOW(lseek(other, 6, SEEK_SET));
    READ(other);
    SHOW(lseek(other, -1, SEEK_SET));
    SHOW(lseek(other, -3, SEEK_END));
    SHOW(lseek(other, 1, SEEK_CUR));
    SHOW(lseek(other, 0, 77));
    SHOW(pread(other, text, 5, 0));
    SHOW(pread(other, text, 5, -1));
    SHOW(pwrite(fd, "J", 1, 0));
    SHOW(pread(other, text, 3, 100));
    SHOW(close(other));
    SHOW(close(other));
    OPEN(other, open("a", O_WRONLY | O_APPEND));
    SHOW(write(other, "!", 1));
    SHOW(read(other, text, 1));
    SHOW(pwrite(other, "?", 1, 0));
    SHOW(close(other));
    SHOW(lseek(fd, 0, SEEK_SET));
    READ(fd);
    OPEN(other, open("a", O_WRONLY | O_TRUNC));
    SHOW(close(other));
    SHOW(lseek(fd, 0, SEEK_END));
    SHOW(read(fd, (void *)-4096l, 5));
    SHOW(write(fd, (void *)-4096l, 5));
    SHOW(open((void *)-4096l, O_RDONLY));
    SHOW(close(fd));
    SHOW(unlink("a"));
}

static void check_vectors(void)
{
    char one[4], two[16];
    char ab[] = "ab", cdefg[] = "cdefg";
    struct iovec out[3] = {{ab, 2}, {NULL, 0}, {cdefg, 5}};
    struct iovec in[2] = {{one, 4}, {two, 16}};
    int fd;

    puts("-- vectors");
    OPEN(fd, open("v", O_RDWR | O_CREAT, 0600));
    SHOW(writev(fd, out, 3));
    SHOW(writev(fd, out, -1));
    SHOW(writev(fd, out, 0));
    SHOW(pwritev(fd, out, 3, 100));
    SHOW(lseek(fd, 0, SEEK_CUR));
    SHOW(preadv(fd, in, 2, 0));
    printf("%.4s %.3s\n", one, two);
    SHOW(readv(fd, in, 2));
    printf("%d %d\n", one[0], two[15]);
    SHOW(preadv(fd, in, 2, 105));
    SHOW(close(fd));
    SHOW(unlink("v"));
}

static void check_holes(void)
{
    struct stat stat;
    int fd, copy;

    puts("-- holes");
    OPEN(fd, open("h", O_RDWR | O_CREAT, 0600));
    SHOW(pwrite(fd, "end", 3, 10 << 20));
    SHOW(fstat(fd, &stat));
    printf("size %ld, sparse %d\n", (long)stat.st_size, stat.st_blocks < 1000);
    SHOW(lseek(fd, 0, SEEK_DATA));
    SHOW(lseek(fd, 10 << 20, SEEK_HOLE));
    SHOW(lseek(fd, 0, SEEK_HOLE));
    SHOW(lseek(fd, 11 << 20, SEEK_DATA));
    SHOW(pread(fd, text, 4, (10 << 20) - 2));
    printf("%d %d %c %c\n", text[0], text[1], text[2], text[3]);
    SHOW(ftruncate(fd, 5));
    SHOW(pwrite(fd, "abcde", 5, 0));
    SHOW(ftruncate(fd, 2));
    SHOW(ftruncate(fd, 6));
    SHOW(pread(fd, text, 10, 0));
    printf("%c%c %d %d %d %d\n", text[0], text[1], text[2], text[3], text[4],
           text[5]);
    SHOW(ftruncate(fd, -1));
    SHOW(truncate("h", 3));
    SHOW(truncate(".", 3));
    SHOW(truncate("missing", 3));
    SHOW(fallocate(fd, 0, 0, 100));
    SHOW(lseek(fd, 0, SEEK_END));
    SHOW(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 10000));
    SHOW(lseek(fd, 0, SEEK_END));
    SHOW(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1));
    SHOW(pread(fd, text, 2, 0));
    printf("%d %c\n", text[0], text[1]);
    SHOW(posix_fallocate(fd, 0, 200));
    SHOW(posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED));
    SHOW(fsync(fd));
    SHOW(fdatasync(fd));
    OPEN(copy, open("h2", O_RDWR | O_CREAT, 0600));
    SHOW(lseek(fd, 0, SEEK_SET));
    SHOW(sendfile(copy, fd, NULL, 150));
    SHOW(lseek(fd, 0, SEEK_CUR));
    SHOW(copy_file_range(fd, NULL, copy, NULL, 1000, 0));
    SHOW(lseek(copy, 0, SEEK_END));
    SHOW(close(copy));
    SHOW(close(fd));
    SHOW(unlink("h"));
    SHOW(unlink("h2"));
    SHOW(unlink("h2"));
}

static void check_unlinked(void)
{
    struct stat stat;
    int fd;

    puts("-- open after unlink");
    OPEN(fd, open("u", O_RDWR | O_CREAT, 0600));
    SHOW(write(fd, "still here", 10));
    SHOW(unlink("u"));
    SHOW(access("u", F_OK));
    SHOW(fstat(fd, &stat));
    printf("links %ld\n", (long)stat.st_nlink);
    SHOW(lseek(fd, 0, SEEK_SET));
    READ(fd);
    SHOW(close(fd));
    OPEN(fd, open(".", O_RDWR | O_TMPFILE, 0600));
    SHOW(write(fd, "x", 1));
    SHOW(close(fd));
}

static void check_mappings(void)
{
    static const char constant[] = "read-only";
    char *shared, *private;
    int fd;

    puts("-- mappings");
    OPEN(fd, open("m", O_RDWR | O_CREAT, 0600));
    SHOW(write(fd, "hello", 5));
    SHOW(ftruncate(fd, 8192));
    shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    private = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    printf("%d %d\n", shared != MAP_FAILED, private != MAP_FAILED);
    private[1] = 'P';
    shared[0] = 'J';
    SHOW(pwrite(fd, "end", 3, 4096));
    printf("%s %s\n", shared, shared + 4096);
    /* A file that grows keeps what is mapped. */
    SHOW(pwrite(fd, "far", 3, 300000));
    SHOW(pread(fd, text, 6, 0));
    printf("%s %c\n", text, private[1]);
    SHOW(msync(shared, 8192, MS_SYNC));
    SHOW(read(fd, (void *)(size_t)constant, 5));
    SHOW(munmap(private, 8192));
    SHOW(close(fd));
    strcpy(shared + 4096, "after close");
    SHOW(munmap(shared, 8192));
    OPEN(fd, open("m", O_RDONLY));
    SHOW(pread(fd, text, 12, 4096));
    puts(text);
    SHOW(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? -1
                                                                       : 0);
    SHOW(close(fd));
    SHOW(unlink("m"));
}

/* ---- Directories -------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list(const char *path)
{
    DIR *directory = opendir(path);
    char *names[64];
    int count = 0;
    struct dirent *entry;

    if (!directory) {
        printf("list %s: %s\n", path, name_of(errno));
        return;
    }
    while ((entry = readdir(directory)) && count < 64) {
        names[count] = malloc(strlen(entry->d_name) + 8);
        sprintf(names[count++], "%s:%d", entry->d_name, entry->d_type);
    }
    closedir(directory);
    qsort(names, (size_t)count, sizeof(names[0]), by_name);
    printf("list %s:", path);
    for (int i = 0; i < count; i++) {
        printf(" %s", names[i]);
        free(names[i]);
    }
    printf("\n");
}

static long links_of(const char *path)
{
    struct stat stat;

    return lstat(path, &stat) ? -1 : (long)stat.st_nlink;
}

static void check_directories(void)
{
    char path[PATH_MAX];
    int fd;

    puts("-- directories");
    SHOW(mkdir("d", 0755));
    SHOW(mkdir("d", 0755));
    SHOW(mkdir("d/e/", 0700));
    SHOW(mkdir("x/y", 0700));
    SHOW(mkdir("/", 0700));
    SHOW(mkdir("d/.", 0700));
    SHOW(links_of("d"));
    OPEN(fd, open("d/f", O_WRONLY | O_CREAT, 0644));
    SHOW(close(fd));
    SHOW(symlink("f", "d/s"));
    SHOW(mkfifo("d/p", 0644));
    list("d");
    list("missing");
    list("d/f");
    SHOW(rmdir("d"));
    SHOW(rmdir("d/f"));
    SHOW(rmdir("d/s"));
    SHOW(rmdir("d/e/."));
    SHOW(rmdir("d/e/.."));
    SHOW(rmdir("missing"));
    SHOW(unlink("d/e"));
    SHOW(unlink("d/f/"));
    SHOW(unlink("d/e/"));
    SHOW(chdir("d/e"));
    SHOW(access("../f", F_OK));
    SHOW(access("../../d/e/../f", R_OK));
    SHOW(access("../f", X_OK));
    SHOW(strlen(getcwd(path, sizeof(path))) > 4 &&
         !strcmp(path + strlen(path) - 4, "/d/e"));
    SHOW((long)getcwd(path, 3) - (long)NULL ? 0 : -1);
    SHOW(chdir(".."));
    SHOW(chdir("f"));
    SHOW(chdir("missing"));
    SHOW(chdir(".."));
    OPEN(fd, open("d", O_RDONLY | O_DIRECTORY));
    SHOW(read(fd, text, 10));
    SHOW(openat(fd, "f", O_RDONLY | O_NOFOLLOW | O_CLOEXEC) >= 0);
    SHOW(faccessat(fd, "e", F_OK, 0));
    SHOW(unlinkat(fd, "p", 0));
    SHOW(unlinkat(fd, "e", AT_REMOVEDIR));
    SHOW(unlinkat(fd, "f", 1));
    SHOW(fchdir(fd));
    SHOW(access("f", F_OK));
    SHOW(chdir(".."));
    SHOW(close(fd));
    SHOW(unlink("d/f"));
    SHOW(unlink("d/s"));
    SHOW(rmdir("d"));
    SHOW(links_of("d"));
}

static void check_many(void)
{
    char name[32];
    int left = 0, seen = 0;
    DIR *directory;
    struct dirent *entry;

    puts("-- many files");
    SHOW(mkdir("many", 0755));
    SHOW(chdir("many"));
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof(name), "file-%d", i);
        left += close(open(name, O_WRONLY | O_CREAT, 0644)) == 0;
    }
    printf("made %d\n", left);
    /* Removing while reading is what rm -r does. */
    directory = opendir(".");
    while ((entry = readdir(directory)))
        if (entry->d_name[0] != '.') {
            seen++;
            left -= unlink(entry->d_name) == 0;
        }
    closedir(directory);
    printf("seen %d, left %d\n", seen, left);
    SHOW(chdir(".."));
    SHOW(rmdir("many"));
}

/* ---- Links and renaming ------------------------------------------------- */

static void write_file(const char *path, const char *content)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    if (fd < 0 || write(fd, content, strlen(content)) < 0)
        printf("write_file %s: %s\n", path, name_of(errno));
    close(fd);
}

static void show_file(const char *path)
{
    int fd = open(path, O_RDONLY);
    long bytes = fd < 0 ? -1 : read(fd, text, sizeof(text));

    show_text(path, text, bytes);
    if (fd >= 0)
        close(fd);
}

static void check_links(void)
{
    char path[300];
    int fd;

    puts("-- links");
    write_file("l1", "one");
    SHOW(link("l1", "l2"));
    SHOW(link("l1", "l2"));
    SHOW(link("missing", "l3"));
    SHOW(link(".", "l3"));
    SHOW(links_of("l2"));
    SHOW(unlink("l1"));
    show_file("l2");
    SHOW(symlink("l2", "s1"));
    SHOW(symlink("s1", "s2"));
    SHOW(symlink("x", "s2"));
    SHOW(symlink("", "s3"));
    show_file("s2");
    memset(text, 0, sizeof(text));
    SHOW(readlink("s2", text, 10));
    puts(text);
    SHOW(readlink("s2", text, 1));
    SHOW(readlink("l2", text, 10));
    OPEN(fd, open("s2", O_RDONLY | O_NOFOLLOW));
    OPEN(fd, open("s2", O_RDONLY | O_CREAT | O_EXCL, 0600));
    SHOW(symlink("loop", "loop"));
    show_file("loop");
    SHOW(access("loop/x", F_OK));
    SHOW(links_of("loop"));
    SHOW(symlink("made", "dangling"));
    write_file("dangling", "through a link");
    show_file("made");
    SHOW(symlink(".", "here"));
    SHOW(access("here/here/here/made", F_OK));
    SHOW(rmdir("here"));
    SHOW(unlink("here/"));
    SHOW(mkdir("dangling2", 0700));
    SHOW(rmdir("dangling2/"));
    memset(path, 'n', sizeof(path));
    path[256] = '\0';
    write_file(path, "");
    path[255] = '\0';
    write_file(path, "");
    SHOW(unlink(path));
    memset(text, '/', sizeof(text));
    text[4096] = '\0';
    SHOW(access(text, F_OK));
    text[4095] = '\0';
    SHOW(access(text, F_OK));
    for (const char *const *at =
             (const char *const[]){"l2", "s1", "s2", "loop", "dangling", "made",
                                   "here", NULL};
         *at; at++)
        SHOW(unlink(*at));
}

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE  2
#endif

static long rename_two(const char *from, const char *to, unsigned flags)
{
    return syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
}

static void check_rename(void)
{
    puts("-- rename");
    write_file("r1", "one");
    write_file("r2", "two");
    SHOW(mkdir("rd", 0755));
    SHOW(mkdir("rd/sub", 0755));
    SHOW(mkdir("re", 0755));
    SHOW(rename("missing", "x"));
    SHOW(rename("r1", "r1"));
    SHOW(rename("r1", "r2"));
    show_file("r2");
    SHOW(rename("r2", "rd"));
    SHOW(rename("rd", "r2"));
    SHOW(rename("rd", "rd/sub/x"));
    SHOW(rename("rd/sub", "rd"));
    SHOW(rename("re", "rd"));
    SHOW(rename("rd", "re"));
    SHOW(links_of("re"));
    SHOW(rename("r2", "re/sub/r3"));
    show_file("re/sub/r3");
    SHOW(rename("re/sub/r3", "r4/"));
    SHOW(rename("re/.", "x"));
    SHOW(rename("re", "rf/"));
    SHOW(rename_two("rf", "rf/sub", RENAME_NOREPLACE));
    write_file("r5", "five");
    SHOW(rename_two("r5", "rf", RENAME_NOREPLACE));
    SHOW(rename_two("r5", "rf", RENAME_EXCHANGE));
    show_file("rf");
    SHOW(rename_two("rf", "r5", RENAME_EXCHANGE));
    SHOW(unlink("r5"));
    SHOW(unlink("rf/sub/r3"));
    SHOW(rmdir("rf/sub"));
    SHOW(rmdir("rf"));
}

/* ---- Attributes --------------------------------------------------------- */

static void check_attributes(void)
{
    struct timespec times[2] = {{1000, 5}, {2000, 6}};
    struct stat stat;
    int fd;

    puts("-- attributes");
    umask(027);
    write_file("t", "0123456789");
    SHOW(chmod("t", 04751));
    SHOW(lstat("t", &stat));
    printf("%o %ld %d\n", stat.st_mode, (long)stat.st_size,
           stat.st_blksize >= 512);
    SHOW(utimensat(AT_FDCWD, "t", times, 0));
    SHOW(lstat("t", &stat));
    printf("%ld %ld %ld %ld\n", (long)stat.st_atim.tv_sec, stat.st_atim.tv_nsec,
           (long)stat.st_mtim.tv_sec, stat.st_mtim.tv_nsec);
    times[0].tv_nsec = UTIME_OMIT;
    times[1].tv_nsec = 1000000000;
    SHOW(utimensat(AT_FDCWD, "t", times, 0));
    SHOW(access("t", X_OK));
    SHOW(chmod("missing", 0));
    SHOW(access("t", 8));
    OPEN(fd, open("t", O_RDONLY | O_PATH));
    SHOW(fstat(fd, &stat));
    SHOW(read(fd, text, 1));
    SHOW(ioctl(fd, FIONREAD, text));
    SHOW(close(fd));
    OPEN(fd, open("t", O_RDONLY));
    SHOW(fchmod(fd, 0640));
    SHOW(ftruncate(fd, 0));
    SHOW(ioctl(fd, FIONREAD, text));
    printf("%d\n", *(int *)(void *)text);
    SHOW(ioctl(fd, TCGETS, text));
    SHOW(isatty(fd));
    SHOW(close(fd));
    SHOW(unlink("t"));
    umask(022);
}

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/* musl does not declare it. */
static long close_all(unsigned first, unsigned last)
{
    return syscall(SYS_close_range, first, last, 0);
}

/* ---- Descriptors -------------------------------------------------------- */

static void check_descriptors(void)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd, two, three;

    puts("-- descriptors");
    fd = open("f", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    SHOW(fcntl(fd, F_GETFD));
    SHOW(fcntl(fd, F_SETFD, 0));
    SHOW(fcntl(fd, F_GETFD));
    SHOW(fcntl(fd, F_GETFL) & ~0100000);
    SHOW(fcntl(fd, F_SETFL, O_NONBLOCK | O_APPEND));
    SHOW(fcntl(fd, F_GETFL) & ~0100000);
    SHOW(fcntl(fd, F_SETFL, 0));
    SHOW(fcntl(fd, 9999));
    SHOW((two = dup(fd)) - fd);
    SHOW(write(two, "ab", 2));
    SHOW(lseek(fd, 0, SEEK_CUR));
    SHOW(dup2(fd, 100));
    SHOW(dup2(fd, fd) - fd);
    SHOW(dup2(999, 5));
    SHOW(dup2(fd, -1));
    SHOW(dup3(fd, fd, 0));
    SHOW(fcntl(fd, F_DUPFD, 50));
    SHOW(fcntl(fd, F_DUPFD, 50));
    SHOW(fcntl(fd, F_DUPFD_CLOEXEC, 50));
    SHOW(fcntl(52, F_GETFD));
    SHOW(fcntl(fd, F_DUPFD, -1));
    SHOW(close_all(50, 52));
    SHOW(fcntl(51, F_GETFD));
    SHOW(fcntl(fd, F_SETLK, &lock));
    SHOW(fcntl(fd, F_GETLK, &lock));
    printf("%d\n", lock.l_type == F_UNLCK);
    three = open("f", O_RDWR);
    SHOW(flock(fd, LOCK_EX));
    SHOW(flock(three, LOCK_EX | LOCK_NB));
    SHOW(flock(two, LOCK_EX | LOCK_NB));
    SHOW(flock(fd, LOCK_SH));
    SHOW(flock(three, LOCK_SH | LOCK_NB));
    SHOW(flock(fd, LOCK_UN));
    SHOW(flock(three, LOCK_EX | LOCK_NB));
    SHOW(close(three));
    SHOW(flock(fd, LOCK_EX | LOCK_NB));
    SHOW(close(100));
    SHOW(close(two));
    SHOW(close(fd));
    SHOW(close(-1));
    SHOW(unlink("f"));
}

/* ---- Pipes and FIFOs ---------------------------------------------------- */

static void show_poll(int fd, short events)
{
    struct pollfd one = {.fd = fd, .events = events};
    int result = poll(&one, 1, 0);

    printf("poll: %d %#x\n", result, one.revents);
}

static void check_pipes(void)
{
    static char block[70000];
    int ends[2], fd, other;
    long total = 0, done;

    puts("-- pipes");
    signal(SIGPIPE, SIG_IGN);
    SHOW(pipe2(ends, O_NONBLOCK));
    SHOW(pipe2(ends, 0x12345));
    show_poll(ends[0], POLLIN);
    show_poll(ends[1], POLLOUT);
    SHOW(read(ends[0], text, 10));
    SHOW(write(ends[1], "abc", 3));
    show_poll(ends[0], POLLIN);
    SHOW(ioctl(ends[0], FIONREAD, &fd));
    printf("%d\n", fd);
    SHOW(lseek(ends[0], 0, SEEK_CUR));
    SHOW(pread(ends[0], text, 1, 0));
    SHOW(read(ends[1], text, 10));
    SHOW(write(ends[0], "x", 1));
    READ(ends[0]);
    while ((done = write(ends[1], block, sizeof(block))) > 0)
        total += done;
    printf("filled with %ld\n", total);
    show_poll(ends[1], POLLOUT);
    SHOW(write(ends[1], "x", 1));
    SHOW(read(ends[0], block, 4096));
    show_poll(ends[1], POLLOUT);
    SHOW(write(ends[1], block, 4096));
    SHOW(close(ends[1]));
    total = 0;
    while ((done = read(ends[0], block, sizeof(block))) > 0)
        total += done;
    printf("emptied of %ld\n", total);
    show_poll(ends[0], POLLIN);
    SHOW(close(ends[0]));
    SHOW(pipe(ends));
    SHOW(close(ends[0]));
    show_poll(ends[1], POLLOUT);
    SHOW(write(ends[1], "x", 1));
    SHOW(close(ends[1]));

    puts("-- FIFOs");
    SHOW(mkfifo("fifo", 0600));
    SHOW(mkfifo("fifo", 0600));
    OPEN(fd, open("fifo", O_WRONLY | O_NONBLOCK));
    OPEN(fd, open("fifo", O_RDONLY | O_NONBLOCK));
    SHOW(read(fd, text, 1));
    show_poll(fd, POLLIN);
    OPEN(other, open("fifo", O_WRONLY));
    SHOW(read(fd, text, 1));
    SHOW(write(other, "through a name", 14));
    READ(fd);
    SHOW(close(other));
    show_poll(fd, POLLIN);
    SHOW(read(fd, text, 1));
    SHOW(close(fd));
    SHOW(unlink("fifo"));
}

static void check_select(void)
{
    struct timeval soon = {0, 1000};
    struct pollfd some[3] = {{.fd = -1}, {.fd = 500, .events = POLLIN}};
    int ends[2];
    fd_set in, out;

    puts("-- select");
    SHOW(pipe(ends));
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(ends[0], &in);
    SHOW(select(ends[1] + 1, &in, NULL, NULL, &soon));
    FD_SET(ends[0], &in);
    FD_SET(ends[1], &out);
    SHOW(select(ends[1] + 1, &in, &out, NULL, NULL));
    printf("%d %d\n", FD_ISSET(ends[0], &in), FD_ISSET(ends[1], &out));
    SHOW(write(ends[1], "x", 1));
    FD_SET(ends[0], &in);
    SHOW(select(ends[1] + 1, &in, &out, NULL, NULL));
    some[2] = (struct pollfd){.fd = ends[0], .events = POLLIN | POLLOUT};
    SHOW(poll(some, 3, -1));
    printf("%#x %#x %#x\n", some[0].revents, some[1].revents, some[2].revents);
    SHOW(close(ends[0]));
    SHOW(close(ends[1]));
    FD_SET(ends[0], &in);
    SHOW(select(ends[0] + 1, &in, NULL, NULL, NULL));
    SHOW(select(-1, NULL, NULL, NULL, NULL));
    SHOW(poll(NULL, 0, 1));
}

/* ---- epoll, eventfd, timerfd -------------------------------------------- */

static void show_epoll(int epoll, int timeout_ms)
{
    struct epoll_event events[4];
    int count = epoll_wait(epoll, events, 4, timeout_ms);

    printf("epoll_wait: %d", count);
    for (int i = 0; i < count; i++)
        printf(" %#x:%d", events[i].events, (int)events[i].data.u32);
    printf("\n");
}

static int control(int epoll, int operation, int fd, uint32_t events, int data)
{
    struct epoll_event event = {events, {.u32 = (uint32_t)data}};

    return epoll_ctl(epoll, operation, fd, &event);
}

static void check_epoll(void)
{
    int ends[2], epoll, file, copy;

    puts("-- epoll");
    SHOW(epoll_create(0));
    SHOW(epoll_create1(1));
    OPEN(epoll, epoll_create1(EPOLL_CLOEXEC));
    SHOW(pipe2(ends, O_NONBLOCK));
    OPEN(file, open("e", O_RDWR | O_CREAT, 0600));
    SHOW(control(epoll, EPOLL_CTL_ADD, file, EPOLLIN, 1));
    SHOW(control(epoll, EPOLL_CTL_ADD, epoll, EPOLLIN, 1));
    SHOW(control(epoll, EPOLL_CTL_ADD, 700, EPOLLIN, 1));
    SHOW(control(file, EPOLL_CTL_ADD, ends[0], EPOLLIN, 1));
    SHOW(control(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN, 1));
    SHOW(control(epoll, EPOLL_CTL_DEL, ends[0], EPOLLIN, 1));
    SHOW(control(epoll, EPOLL_CTL_ADD, ends[0], EPOLLIN, 1));
    SHOW(control(epoll, EPOLL_CTL_ADD, ends[0], EPOLLIN, 1));
    SHOW(control(epoll, 9, ends[0], EPOLLIN, 1));
    SHOW(epoll_wait(epoll, NULL, 0, 0));
    SHOW(epoll_wait(file, (void *)text, 1, 0));
    show_epoll(epoll, 0);
    show_epoll(epoll, 2);
    SHOW(write(ends[1], "abc", 3));
    show_poll(epoll, POLLIN);
    show_epoll(epoll, -1);
    show_epoll(epoll, -1);
    SHOW(read(ends[0], text, 1));
    show_epoll(epoll, 0);
    SHOW(control(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLET, 2));
    show_epoll(epoll, 0);
    show_epoll(epoll, 0);
    SHOW(write(ends[1], "d", 1));
    show_epoll(epoll, 0);
    SHOW(control(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLONESHOT, 3));
    show_epoll(epoll, 0);
    show_epoll(epoll, 0);
    SHOW(control(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLONESHOT, 4));
    show_epoll(epoll, 0);
    SHOW(control(epoll, EPOLL_CTL_ADD, ends[1], EPOLLOUT, 5));
    SHOW(control(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN, 6));
    show_epoll(epoll, 0);
    copy = dup(ends[1]);
    SHOW(close(ends[1]));
    show_epoll(epoll, 0);
    /* What is not asked for is told all the same: a hang-up. */
    SHOW(control(epoll, EPOLL_CTL_MOD, ends[0], 0, 7));
    show_epoll(epoll, 0);
    SHOW(close(copy));
    show_epoll(epoll, 0);
    SHOW(read(ends[0], text, 10));
    show_epoll(epoll, 0);
    SHOW(close(ends[0]));
    show_epoll(epoll, 0);
    SHOW(close(epoll));
    SHOW(close(file));
    SHOW(unlink("e"));
}

static void check_eventfd(void)
{
    struct itimerspec soon = {{0, 1000000}, {0, 1000000}}, left;
    uint64_t count = 5;
    int fd;

    puts("-- eventfd, timerfd, memfd");
    OPEN(fd, eventfd(3, EFD_NONBLOCK));
    show_poll(fd, POLLIN | POLLOUT);
    SHOW(write(fd, &count, 8));
    SHOW(write(fd, &count, 7));
    SHOW(read(fd, &count, 8));
    printf("%d\n", (int)count);
    SHOW(read(fd, &count, 8));
    show_poll(fd, POLLIN | POLLOUT);
    count = UINT64_MAX - 1;
    SHOW(write(fd, &count, 8));
    SHOW(write(fd, &count, 8));
    show_poll(fd, POLLIN | POLLOUT);
    SHOW(close(fd));
    OPEN(fd, eventfd(2, EFD_NONBLOCK | EFD_SEMAPHORE));
    SHOW(read(fd, &count, 8));
    printf("%d\n", (int)count);
    SHOW(read(fd, &count, 8));
    SHOW(read(fd, &count, 8));
    SHOW(close(fd));
    OPEN(fd, timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
    SHOW(timerfd_create(77, 0));
    show_poll(fd, POLLIN);
    SHOW(timerfd_settime(fd, 0, &soon, NULL));
    SHOW(read(fd, &count, 8));
    SHOW(timerfd_gettime(fd, &left));
    printf("%ld %d\n", left.it_interval.tv_nsec, left.it_value.tv_nsec > 0);
    SHOW(read(fd, &count, 3));
    soon = (struct itimerspec){{0, 0}, {0, 0}};
    SHOW(timerfd_settime(fd, 0, &soon, &left));
    show_poll(fd, POLLIN);
    SHOW(close(fd));
    OPEN(fd, (int)syscall(SYS_memfd_create, "name", 1));
    SHOW(write(fd, "in memory", 9));
    SHOW(lseek(fd, 0, SEEK_SET));
    READ(fd);
    SHOW(close(fd));
}

/* ---- Limits ------------------------------------------------------------- */

static void check_limits(void)
{
    struct rlimit limit, few = {20, 20};
    int opened = 0;

    puts("-- limits");
    SHOW(getrlimit(RLIMIT_NOFILE, &limit));
    few.rlim_max = limit.rlim_max;
    SHOW(setrlimit(RLIMIT_NOFILE, &few));
    while (open("/dev/null", O_RDONLY) >= 0)
        opened++;
    SHOW(open("/dev/null", O_RDONLY));
    printf("all used: %d\n", opened > 10 && opened < 20);
    SHOW(dup2(0, 20));
    SHOW(fcntl(0, F_DUPFD, 20));
    while (opened > 0)
        opened -= close(19 - opened + 1) == 0 || 1;
    SHOW(setrlimit(RLIMIT_NOFILE, &limit));
    few.rlim_max = 10;
    SHOW(setrlimit(RLIMIT_NOFILE, &few));
}

/* ---- Devices ------------------------------------------------------------ */

static void check_devices(void)
{
    unsigned char bytes[16] = {1};
    int fd;

    puts("-- devices");
    OPEN(fd, open("/dev/null", O_RDWR));
    SHOW(read(fd, bytes, 16));
    SHOW(write(fd, bytes, 16));
    SHOW(close(fd));
    OPEN(fd, open("/dev/zero", O_RDWR));
    SHOW(read(fd, bytes, 16));
    printf("%d\n", bytes[0]);
    SHOW(close(fd));
    OPEN(fd, open("/dev/full", O_RDWR));
    SHOW(write(fd, bytes, 1));
    SHOW(close(fd));
    OPEN(fd, open("/dev/urandom", O_RDONLY));
    SHOW(read(fd, bytes, 16));
    SHOW(close(fd));
    OPEN(fd, open("/dev/missing", O_RDONLY));
    SHOW(access("/tmp", W_OK));
    SHOW(access("/dev/shm", W_OK));
    SHOW(access("/etc/passwd", R_OK));
    SHOW(access("/etc/hosts", R_OK));
    SHOW(rmdir("/"));
    SHOW(unlink("/"));
}

int main(void)
{
    char directory[] = "/tmp/files-XXXXXX";

    if (!mkdtemp(directory) || chdir(directory)) {
        perror(directory);
        return 1;
    }
    check_open();
    check_vectors();
    check_holes();
    check_unlinked();
    check_mappings();
    check_directories();
    check_many();
    check_links();
    check_rename();
    check_attributes();
    check_descriptors();
    check_pipes();
    check_select();
    check_epoll();
    check_eventfd();
    check_limits();
    check_devices();
    chdir("/");
    SHOW(rmdir(directory));
    return 0;
}
