/* SPDX-License-Identifier: MIT */
/* Links, renaming, attributes. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "files.h"

void check_links(void)
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

void check_rename(void)
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

void check_attributes(void)
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
