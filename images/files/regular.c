/* SPDX-License-Identifier: MIT */
/* Regular files: opening, reading and writing, holes, mappings. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "files.h"

void check_open(void)
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

void check_vectors(void)
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

void check_holes(void)
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

void check_unlinked(void)
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

void check_mappings(void)
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
