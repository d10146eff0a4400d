/* SPDX-License-Identifier: MIT */
/* Reading tar archives. */
#include "tar.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

/* A header, as POSIX has it: "ustar Interchange Format". */
struct header {
    char name[100];
    char mode[8], uid[8], gid[8];
    char size[12], mtime[12];
    char sum[8];
    char type;
    char target[100];
    char magic[8]; /* "ustar\0" "00", or GNU's "ustar  " */
    char user[32], group[32];
    char major[8], minor[8];
    char prefix[155];
    char unused[12];
};

_Static_assert(sizeof(struct header) == TAR_BLOCK, "as POSIX has it");

static int fail(struct tar *tar, const char *fault)
{
    tar->fault = fault;
    return -EINVAL;
}

static uint64_t blocks_up(uint64_t bytes)
{
    return (bytes + TAR_BLOCK - 1) & -(uint64_t)TAR_BLOCK;
}

/* ---- Fields ------------------------------------------------------------- */

/* GNU's binary numbers: the first bit set, the rest big-endian. */
static bool parse_binary(const unsigned char *field, size_t bytes,
                         uint64_t *value)
{
    uint64_t result = field[0] & 0x7f;

    for (size_t i = 1; i < bytes; i++) {
        if (result >> 55)
            return false;
        result = result << 8 | field[i];
    }
    *value = result;
    return true;
}

/* An octal number, which spaces and NULs may surround. */
static bool parse_number(const char *field, size_t bytes, uint64_t *value)
{
    uint64_t result = 0;
    size_t i = 0;

    if (field[0] & 0x80)
        return parse_binary((const unsigned char *)field, bytes, value);
    while (i < bytes && field[i] == ' ')
        i++;
    for (; i < bytes && field[i] >= '0' && field[i] <= '7'; i++)
        result = result << 3 | (uint64_t)(field[i] - '0');
    *value = result;
    return i == bytes || field[i] == ' ' || field[i] == '\0';
}

#define NUMBER(header, field, value) \
    parse_number((header)->field, sizeof((header)->field), value)

/* The sum of all bytes, its own field counted as spaces. */
static bool sum_is_right(const struct header *header)
{
    const unsigned char *bytes = (const unsigned char *)header;
    size_t from = offsetof(struct header, sum);
    uint64_t wanted, sum = 0;

    for (size_t i = 0; i < sizeof(*header); i++)
        sum += i - from < sizeof(header->sum) ? ' ' : bytes[i];
    return NUMBER(header, sum, &wanted) && sum == wanted;
}

static bool is_zero(const struct header *header)
{
    const char *bytes = (const char *)header;

    for (size_t i = 0; i < sizeof(*header); i++)
        if (bytes[i])
            return false;
    return true;
}

/* Appends a field that ends with a NUL, or with the field. */
static size_t add_field(char *to, size_t at, const char *field, size_t bytes)
{
    size_t length = strnlen(field, bytes);

    memcpy(to + at, field, length);
    return at + length;
}

/*
 * Takes "./" and slashes away where they mean nothing. Returns what is wrong
 * with the path, or NULL.
 */
static const char *clean_path(char *path)
{
    char *to = path;

    for (const char *from = path; *from;) {
        size_t length = strcspn(from, "/");

        if (length == 2 && from[0] == '.' && from[1] == '.')
            return "a path leads outside, by \"..\"";
        if (length > 255)
            return "a name is longer than 255 bytes";
        if (length && !(length == 1 && from[0] == '.')) {
            if (to > path)
                *to++ = '/';
            memmove(to, from, length);
            to += length;
        }
        from += length;
        while (*from == '/')
            from++;
    }
    *to = '\0';
    return NULL;
}

/* ---- Extended headers --------------------------------------------------- */

/* Reads a long name of GNU's into a path. */
static int read_name(struct tar *tar, char *to, uint64_t bytes)
{
    int error;

    if (bytes == 0 || bytes > TAR_PATH_MAX)
        return fail(tar, "a long name is empty or too long");
    error = tar->read(tar->context, to, tar->at, (size_t)bytes);
    if (error)
        return error;
    if (strnlen(to, (size_t)bytes) == TAR_PATH_MAX)
        return fail(tar, "a long name is too long");
    if (bytes < TAR_PATH_MAX)
        to[bytes] = '\0';
    return 0;
}

/* Takes the value of one record. Returns what is wrong with it, or NULL. */
static const char *take_record(struct tar *tar, struct tar_entry *entry,
                               const char *key, const char *value,
                               size_t length)
{
    bool is_path = strcmp(key, "path") == 0;

    if (is_path || strcmp(key, "linkpath") == 0) {
        if (length >= TAR_PATH_MAX)
            return "a pax path is too long";
        memcpy(is_path ? entry->path : entry->target, value, length);
        (is_path ? entry->path : entry->target)[length] = '\0';
        *(is_path ? &tar->has_path : &tar->has_target) = 1;
    } else if (strcmp(key, "size") == 0) {
        tar->size = 0;
        for (size_t i = 0; i < length; i++) {
            if (value[i] < '0' || value[i] > '9' || tar->size >> 59)
                return "a pax size is not a number";
            tar->size = 10 * tar->size + (uint64_t)(value[i] - '0');
        }
        tar->has_size = 1;
    } else if (strncmp(key, "GNU.sparse.", 11) == 0) {
        return "sparse files are not supported";
    }
    return NULL;
}

/*
 * Reads "LENGTH KEY=VALUE\n" at tar->at, of at most `most` bytes. Returns its
 * length, or -errno.
 */
static long read_record(struct tar *tar, struct tar_entry *entry, uint64_t most)
{
    char record[TAR_PATH_MAX + 64];
    size_t bytes = most < sizeof(record) ? (size_t)most : sizeof(record);
    size_t length = 0, digits = 0;
    char *equals;
    int error = tar->read(tar->context, record, tar->at, bytes);

    if (error)
        return error;
    while (digits < bytes && digits < 6 && record[digits] >= '0' &&
           record[digits] <= '9')
        length = 10 * length + (size_t)(record[digits++] - '0');
    if (!digits || digits >= bytes || record[digits] != ' ' ||
        length <= digits + 2 || length > most)
        return fail(tar, "a pax record has a wrong length");
    if (length > bytes)
        return (long)length; /* nothing that is used here is so long */
    if (record[length - 1] != '\n')
        return fail(tar, "a pax record does not end with a newline");
    equals = memchr(record + digits + 1, '=', length - digits - 2);
    if (!equals)
        return fail(tar, "a pax record has no '='");
    *equals = '\0';
    tar->fault = take_record(tar, entry, record + digits + 1, equals + 1,
                             (size_t)(record + length - 1 - (equals + 1)));
    return tar->fault ? -EINVAL : (long)length;
}

static int read_pax(struct tar *tar, struct tar_entry *entry, uint64_t bytes)
{
    uint64_t start = tar->at;

    if (bytes > TAR_EXTENDED_MAX)
        return fail(tar, "a pax header is too large");
    while (tar->at - start < bytes) {
        long length = read_record(tar, entry, bytes - (tar->at - start));

        if (length < 0)
            return (int)length;
        tar->at += (uint64_t)length;
    }
    tar->at = start;
    return 0;
}

/* ---- Entries ------------------------------------------------------------ */

/* Fills in what no extended header has said. */
static void take_names(const struct tar *tar, struct tar_entry *entry,
                       const struct header *header)
{
    bool is_ustar = memcmp(header->magic, "ustar", 6) == 0;
    size_t at = 0;

    if (!tar->has_path) {
        if (is_ustar && header->prefix[0]) {
            at = add_field(entry->path, 0, header->prefix,
                           sizeof(header->prefix));
            entry->path[at++] = '/';
        }
        at = add_field(entry->path, at, header->name, sizeof(header->name));
        entry->path[at] = '\0';
    }
    if (!tar->has_target) {
        at =
            add_field(entry->target, 0, header->target, sizeof(header->target));
        entry->target[at] = '\0';
    }
}

/* The file type of a header's, or 0 for what is passed over. */
static mode_t type_of(char type, const char *path)
{
    size_t length = strlen(path);

    switch (type) {
    case '\0': /* before ustar, directories were names with a slash */
        if (length && path[length - 1] == '/')
            return S_IFDIR;
        return S_IFREG;
    case '0':
    case '1':
    case '7':
        return S_IFREG;
    case '2':
        return S_IFLNK;
    case '5':
        return S_IFDIR;
    case '6':
        return S_IFIFO;
    default:
        return 0;
    }
}

/* A header of a file: fills in the entry. Returns 1, 0 to pass over it. */
static int take_entry(struct tar *tar, struct tar_entry *entry,
                      const struct header *header)
{
    uint64_t mode = 0, modified = 0;
    mode_t type;

    if (header->type == 'S')
        return fail(tar, "sparse files are not supported");
    if (header->type == 'M')
        return fail(tar, "archives of several volumes are not supported");
    if (!NUMBER(header, mode, &mode))
        return fail(tar, "a mode is not a number");
    if (!NUMBER(header, mtime, &modified))
        modified = 0; /* before 1970, perhaps */
    take_names(tar, entry, header);
    type = type_of(header->type, entry->path);
    entry->mode = type | ((mode_t)mode & 07777);
    entry->is_link = header->type == '1';
    entry->modified = (int64_t)modified;
    tar->fault = clean_path(entry->path);
    if (!tar->fault && entry->is_link)
        tar->fault = clean_path(entry->target);
    if (!tar->fault && (entry->is_link || S_ISLNK(type)) && !entry->target[0])
        tar->fault = "a link leads nowhere";
    if (!tar->fault && !S_ISDIR(type) && type && !entry->path[0])
        tar->fault = "a name is empty";
    return tar->fault ? -EINVAL : type != 0;
}

/* Handles what follows a header. Returns as tar_next() does; 0: go on. */
static int take_body(struct tar *tar, struct tar_entry *entry,
                     const struct header *header, uint64_t bytes)
{
    int result;

    switch (header->type) {
    case 'L':
        tar->has_path = 1;
        return read_name(tar, entry->path, bytes);
    case 'K':
        tar->has_target = 1;
        return read_name(tar, entry->target, bytes);
    case 'x':
        return read_pax(tar, entry, bytes);
    case 'g': /* of all that follow: nothing that is used here */
        return 0;
    default:
        result = take_entry(tar, entry, header);
        tar->has_path = tar->has_target = tar->has_size = 0;
        return result;
    }
}

/* Reads one header and what belongs to it. Returns as take_body() does. */
static int take_header(struct tar *tar, struct tar_entry *entry,
                       const struct header *header)
{
    bool is_extended = header->type == 'L' || header->type == 'K' ||
                       header->type == 'x' || header->type == 'g';
    bool has_data;
    uint64_t bytes;
    int result;

    if (!sum_is_right(header))
        return fail(tar, tar->at ? "a header's checksum is wrong"
                                 : "it is not a tar archive");
    if (!NUMBER(header, size, &bytes))
        return fail(tar, "a size is not a number");
    if (tar->has_size && !is_extended)
        bytes = tar->size;
    /* Links and directories have no data, whatever the size says. */
    has_data = !strchr("123456", header->type) || !header->type;
    if (!has_data)
        bytes = 0;
    tar->at += TAR_BLOCK;
    if (bytes > tar->bytes - tar->at)
        return fail(tar, "it ends in the middle of a file");
    entry->bytes = bytes;
    entry->from = tar->at;
    result = take_body(tar, entry, header, bytes);
    tar->at += blocks_up(bytes);
    if (tar->at > tar->bytes)
        tar->at = tar->bytes;
    return result;
}

void tar_start(struct tar *tar, tar_read *read, void *context, uint64_t bytes)
{
    *tar = (struct tar){.read = read, .context = context, .bytes = bytes};
}

int tar_next(struct tar *tar, struct tar_entry *entry)
{
    struct header header;
    int result = 0;

    /* An archive ends with two blocks of zeroes; one is enough here. */
    while (!result) {
        if (tar->bytes - tar->at < TAR_BLOCK)
            return tar->at ? 0 : fail(tar, "it is not a tar archive");
        result = tar->read(tar->context, &header, tar->at, TAR_BLOCK);
        if (result)
            return result;
        if (is_zero(&header))
            return 0;
        result = take_header(tar, entry, &header);
    }
    return result;
}
