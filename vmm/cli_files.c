/* SPDX-License-Identifier: MIT */
/* --files: an archive for the guest, or a directory made into one. */
#include "vmm/cli.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK      512u
#define DEPTH_MAX  64u
#define COPY_BYTES 65536u

/* What is in a directory must be fit to be held in memory. */
#define BYTES_MAX (UINT64_C(1) << 30)

/*
 * The archive as it is written: ustar with GNU's long names, which tar(1)
 * reads, and guest_rt/tar.c. Owners are left out: everything is root's there.
 */
struct writer {
    int fd;
    uint64_t bytes;
    const char *root;    /* as the user named it */
    char path[PATH_MAX]; /* below it, of what is being written */
    char buffer[COPY_BYTES];
};

/* As POSIX lays a header out. */
struct header {
    char name[100];
    char mode[8], uid[8], gid[8];
    char size[12], mtime[12];
    char sum[8];
    char type;
    char target[100];
    char magic[8];
    char rest[247];
};

_Static_assert(sizeof(struct header) == BLOCK, "as POSIX has it");

static int fail(const struct writer *writer, const char *reason)
{
    return cli_fail(CLI_FAILED, "cannot use files %s%s%s: %s", writer->root,
                    *writer->path ? "/" : "", writer->path, reason);
}

/* ---- Writing ------------------------------------------------------------ */

static int check_room(const struct writer *writer, uint64_t bytes)
{
    if (bytes <= BYTES_MAX - writer->bytes)
        return CLI_OK;
    return cli_fail(CLI_FAILED,
                    "cannot use files %s: it holds more than 1 GiB; make a tar "
                    "archive of it and name that",
                    writer->root);
}

static int put(struct writer *writer, const void *bytes, size_t count)
{
    if (check_room(writer, count))
        return CLI_FAILED;
    writer->bytes += count;
    for (const char *at = bytes; count > 0;) {
        ssize_t done = write(writer->fd, at, count);

        if (done < 0)
            return fail(writer, strerror(errno));
        at += done;
        count -= (size_t)done;
    }
    return CLI_OK;
}

static int put_padding(struct writer *writer)
{
    static const char zeroes[BLOCK];

    return put(writer, zeroes, -writer->bytes % BLOCK);
}

/* A field's number in octal, with its NUL. */
static void set_octal(char *field, size_t bytes, uint64_t value)
{
    field[--bytes] = '\0';
    while (bytes-- > 0) {
        field[bytes] = (char)('0' + (value & 7));
        value >>= 3;
    }
}

static int put_header(struct writer *writer, char type, const char *name,
                      const struct stat *status, uint64_t bytes,
                      const char *target)
{
    struct header header = {.type = type, .magic = "ustar  "};
    unsigned sum = 0;

    memcpy(header.name, name, strnlen(name, sizeof(header.name)));
    memcpy(header.target, target, strnlen(target, sizeof(header.target)));
    set_octal(header.mode, sizeof(header.mode), status->st_mode & 07777);
    set_octal(header.uid, sizeof(header.uid), 0);
    set_octal(header.gid, sizeof(header.gid), 0);
    set_octal(header.size, sizeof(header.size), bytes);
    set_octal(header.mtime, sizeof(header.mtime),
              status->st_mtime > 0 ? (uint64_t)status->st_mtime : 0);
    memset(header.sum, ' ', sizeof(header.sum));
    for (size_t i = 0; i < sizeof(header); i++)
        sum += ((unsigned char *)&header)[i];
    set_octal(header.sum, 7, sum);
    return put(writer, &header, sizeof(header));
}

/* A name that does not fit into a header's field goes before it. */
static int put_long(struct writer *writer, char type, const char *name)
{
    static const struct stat none;
    size_t bytes = strlen(name) + 1;
    int status = CLI_OK;

    if (bytes <= 100)
        return CLI_OK;
    status = put_header(writer, type, "././@LongLink", &none, bytes, "");
    if (!status)
        status = put(writer, name, bytes);
    return status ? status : put_padding(writer);
}

static int put_entry(struct writer *writer, char type,
                     const struct stat *status, uint64_t bytes,
                     const char *target)
{
    int result = put_long(writer, 'K', target);

    if (!result)
        result = put_long(writer, 'L', writer->path);
    if (!result)
        result = put_header(writer, type, writer->path, status, bytes, target);
    return result;
}

/* ---- What there is in a directory --------------------------------------- */

static int put_file(struct writer *writer, int directory, const char *name)
{
    /* It may have become something else since it was looked at: a FIFO. */
    int fd =
        openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat status;
    uint64_t left;
    int result;

    if (fd < 0 || fstat(fd, &status))
        return fail(writer, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return fail(writer, "it changed while it was read");
    left = (uint64_t)status.st_size;
    result = check_room(writer, left);
    if (!result)
        result = put_entry(writer, '0', &status, left, "");
    while (!result && left > 0) {
        size_t part = left < COPY_BYTES ? (size_t)left : COPY_BYTES;
        ssize_t got = read(fd, writer->buffer, part);

        if (got <= 0) {
            result = fail(writer, got ? strerror(errno)
                                      : "it shrank while it was read");
            break;
        }
        result = put(writer, writer->buffer, (size_t)got);
        left -= (uint64_t)got;
    }
    close(fd);
    return result ? result : put_padding(writer);
}

static int put_link(struct writer *writer, int directory, const char *name,
                    const struct stat *status)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(directory, name, target, sizeof(target) - 1);

    if (length < 0)
        return fail(writer, strerror(errno));
    target[length] = '\0';
    return put_entry(writer, '2', status, 0, target);
}

static int put_directory(struct writer *writer, int fd, unsigned depth);

static int put_below(struct writer *writer, int directory, const char *name,
                     const struct stat *status, unsigned depth)
{
    int fd = openat(directory, name,
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int result;

    if (fd < 0)
        return fail(writer, strerror(errno));
    if (depth == DEPTH_MAX) {
        close(fd);
        return fail(writer, "directories are nested too deeply");
    }
    result = put_entry(writer, '5', status, 0, "");
    if (result) {
        close(fd);
        return result;
    }
    return put_directory(writer, fd, depth + 1);
}

static int put_name(struct writer *writer, int directory, const char *name,
                    unsigned depth)
{
    size_t length = strlen(writer->path), bytes = strlen(name) + 1;
    struct stat status;
    int result;

    if (length + bytes + 1 > sizeof(writer->path))
        return fail(writer, strerror(ENAMETOOLONG));
    if (length)
        writer->path[length] = '/';
    memcpy(writer->path + length + (length > 0), name, bytes);
    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW))
        result = fail(writer, strerror(errno));
    else if (S_ISREG(status.st_mode))
        result = put_file(writer, directory, name);
    else if (S_ISDIR(status.st_mode))
        result = put_below(writer, directory, name, &status, depth);
    else if (S_ISLNK(status.st_mode))
        result = put_link(writer, directory, name, &status);
    else
        result = fail(writer, "it is neither a file nor a directory nor a "
                              "symbolic link");
    writer->path[length] = '\0';
    return result;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
    char **name;
    size_t count, room;
};

static bool add_name(struct names *names, const char *name)
{
    if (names->count == names->room) {
        size_t room = names->room ? 2 * names->room : 64;
        char **larger = realloc(names->name, room * sizeof(*larger));

        if (!larger)
            return false;
        names->name = larger;
        names->room = room;
    }
    names->name[names->count] = strdup(name);
    if (!names->name[names->count])
        return false;
    names->count++;
    return true;
}

static void free_names(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->name[i]);
    free(names->name);
}

/* The names in a directory, sorted. Returns whether there was memory. */
static bool read_names(DIR *directory, struct names *names)
{
    struct dirent *entry;

    while ((entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 &&
            strcmp(entry->d_name, "..") != 0 && !add_name(names, entry->d_name))
            return false;
    }
    if (names->count > 0)
        qsort(names->name, names->count, sizeof(*names->name), by_name);
    return true;
}

/* Writes what is in a directory, and closes it. */
static int put_directory(struct writer *writer, int fd, unsigned depth)
{
    DIR *directory = fdopendir(fd);
    struct names names = {0};
    int result = CLI_OK;

    if (!directory) {
        result = fail(writer, strerror(errno));
        close(fd);
        return result;
    }
    if (!read_names(directory, &names))
        result = fail(writer, strerror(ENOMEM));
    for (size_t i = 0; i < names.count && !result; i++)
        result = put_name(writer, fd, names.name[i], depth);
    free_names(&names);
    closedir(directory);
    return result;
}

/* Makes an archive of a directory in memory. Returns its descriptor. */
static int make_archive(const char *path, int directory, int *archive)
{
    static const char end[2 * BLOCK];
    struct writer *writer = calloc(1, sizeof(*writer));
    int result;

    if (!writer)
        return cli_fail(CLI_FAILED, "cannot use files %s: %s", path,
                        strerror(ENOMEM));
    writer->root = path;
    writer->fd = memfd_create("files", MFD_CLOEXEC);
    if (writer->fd < 0)
        result = fail(writer, strerror(errno));
    else
        result = put_directory(writer, directory, 0);
    if (!result)
        result = put(writer, end, sizeof(end));
    *archive = writer->fd;
    free(writer);
    return result;
}

/* ---- The option --------------------------------------------------------- */

static int fail_path(const char *path, const char *reason)
{
    return cli_fail(CLI_FAILED, "cannot use files %s: %s", path, reason);
}

int cli_open_files(const char *path, struct mayfly_disk *opened)
{
    /* O_NONBLOCK: a FIFO is to be refused, not waited for. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    int result = CLI_OK;

    if (fd < 0 || fstat(fd, &status))
        return fail_path(path, strerror(errno));
    if (S_ISDIR(status.st_mode))
        result = make_archive(path, fd, &fd);
    else if (!S_ISREG(status.st_mode))
        result = fail_path(path, "it is neither a directory nor an archive");
    else if (status.st_size < (off_t)BLOCK)
        result = fail_path(path, "it is too small for a tar archive");
    else if (flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK)
        result = fail_path(path, "it is locked: someone may write to it");
    *opened = (struct mayfly_disk){
        .fd = fd,
        .read_only = true,
        .id = "files",
    };
    return result;
}
