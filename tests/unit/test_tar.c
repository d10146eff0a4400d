/* SPDX-License-Identifier: MIT */
/* The guest's reader of tar archives. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Guest code is not in the library that other unit tests link. */
#include "guest_rt/tar.c"

#define BLOCKS 256u

static unsigned char archive[BLOCKS * TAR_BLOCK];
static size_t filled;
static struct tar tar;
static struct tar_entry entry;

/* All that is read lies within. */
static int read_archive(void *context, void *to, uint64_t from, size_t bytes)
{
    cr_assert_null(context);
    cr_assert(from <= filled && bytes <= filled - from);
    memcpy(to, archive + from, bytes);
    return 0;
}

/* Sets the header's checksum. */
static void seal(struct header *header)
{
    unsigned sum = 0;

    memset(header->sum, ' ', sizeof(header->sum));
    for (size_t i = 0; i < sizeof(*header); i++)
        sum += ((unsigned char *)header)[i];
    snprintf(header->sum, sizeof(header->sum), "%06o", sum);
}

/* Appends an entry with this content; returns its header. */
static struct header *add(char type, const char *name, const char *content)
{
    struct header *header = (struct header *)(void *)(archive + filled);
    size_t bytes = strlen(content);

    memset(header, 0, sizeof(*header));
    memcpy(header->name, name, strnlen(name, sizeof(header->name)));
    memcpy(header->magic, "ustar\00000", 8);
    strcpy(header->mode, "0000644");
    snprintf(header->size, sizeof(header->size), "%011o", (unsigned)bytes);
    strcpy(header->mtime, "00000000144");
    header->type = type;
    seal(header);
    filled += TAR_BLOCK;
    memcpy(archive + filled, content, bytes);
    filled += (size_t)blocks_up(bytes);
    return header;
}

static int next(void)
{
    if (!tar.read)
        tar_start(&tar, read_archive, NULL, filled);
    return tar_next(&tar, &entry);
}

static void expect_fault(const char *part)
{
    cr_assert_eq(next(), -EINVAL);
    cr_assert(tar.fault && strstr(tar.fault, part), "%s", tar.fault);
}

Test(tar, reads_a_file)
{
    add('0', "./etc//motd", "hello");
    cr_assert_eq(next(), 1);
    cr_assert_str_eq(entry.path, "etc/motd");
    cr_assert_eq(entry.mode, S_IFREG | 0644);
    cr_assert_eq(entry.bytes, 5);
    cr_assert_eq(entry.from, TAR_BLOCK);
    cr_assert_eq(entry.modified, 100);
    cr_assert_eq(next(), 0);
    cr_assert_eq(next(), 0);
}

Test(tar, reads_directories_and_links)
{
    struct header *header;

    add('5', "./", "");
    header = add('2', "link", "");
    strcpy(header->target, "../any/where");
    seal(header);
    header = add('1', "hard", "");
    strcpy(header->target, "./a/b");
    seal(header);
    add('6', "fifo", "");
    add('3', "device", "");
    add('\0', "old/", "");
    cr_assert_eq(next(), 1);
    cr_assert(S_ISDIR(entry.mode));
    cr_assert_str_eq(entry.path, "");
    cr_assert_eq(next(), 1);
    cr_assert(S_ISLNK(entry.mode));
    cr_assert_str_eq(entry.target, "../any/where");
    cr_assert_eq(next(), 1);
    cr_assert(entry.is_link);
    cr_assert_str_eq(entry.target, "a/b");
    cr_assert_eq(next(), 1);
    cr_assert(S_ISFIFO(entry.mode));
    cr_assert_eq(next(), 1);
    cr_assert_str_eq(entry.path, "old");
    cr_assert(S_ISDIR(entry.mode));
    cr_assert_eq(next(), 0);
}

Test(tar, joins_a_prefix)
{
    struct header *header = add('0', "name", "");

    memset(header->prefix, 'p', sizeof(header->prefix));
    memset(header->name, 'n', sizeof(header->name));
    seal(header);
    cr_assert_eq(next(), 1);
    cr_assert_eq(strlen(entry.path), 256);
    cr_assert_eq(entry.path[155], '/');
}

Test(tar, reads_long_names_of_gnu)
{
    char path[300];

    memset(path, 'x', sizeof(path));
    path[200] = '/';
    path[299] = '\0';
    add('L', "././@LongLink", path);
    add('K', "././@LongLink", "target");
    add('2', "short", "");
    add('0', "second", "");
    cr_assert_eq(next(), 1);
    cr_assert_str_eq(entry.path, path);
    cr_assert_str_eq(entry.target, "target");
    cr_assert_eq(next(), 1);
    cr_assert_str_eq(entry.path, "second");
}

Test(tar, reads_pax_records)
{
    add('x', "pax",
        "17 path=new/name\n30 mtime=1350244992.023960108\n"
        "18 linkpath=where\n10 size=3\n");
    add('2', "old", "");
    add('x', "pax", "9 size=3\n");
    add('0', "sized", "");
    filled += TAR_BLOCK;
    cr_assert_eq(next(), 1);
    cr_assert_str_eq(entry.path, "new/name");
    cr_assert_str_eq(entry.target, "where");
    cr_assert_eq(next(), 1);
    cr_assert_str_eq(entry.path, "sized");
    cr_assert_eq(entry.bytes, 3);
    cr_assert_eq(next(), 0);
}

Test(tar, refuses_paths_that_lead_outside)
{
    add('0', "a/../../b", "");
    expect_fault("outside");
}

Test(tar, refuses_names_that_are_too_long)
{
    char record[400];
    int length = snprintf(record, sizeof(record), "265 path=%0255d\n", 0);

    cr_assert_eq(length, 265);
    add('x', "pax", record);
    add('0', "a", "");
    cr_assert_eq(next(), 1);
    cr_assert_eq(strlen(entry.path), 255);
    tar.read = NULL;
    filled = 0;
    snprintf(record, sizeof(record), "266 path=%0256d\n", 0);
    add('x', "pax", record);
    add('0', "a", "");
    expect_fault("longer than 255");
}

Test(tar, refuses_an_archive_that_is_cut)
{
    add('0', "a", "content");
    filled -= TAR_BLOCK;
    expect_fault("middle of a file");
}

Test(tar, refuses_what_is_no_archive)
{
    memset(archive, 'x', sizeof(archive));
    filled = sizeof(archive);
    expect_fault("not a tar archive");
    tar.read = NULL;
    filled = 100;
    expect_fault("not a tar archive");
}

Test(tar, refuses_a_wrong_checksum_later_on)
{
    add('0', "a", "");
    add('0', "b", "")->mode[5] ^= 1;
    cr_assert_eq(next(), 1);
    expect_fault("checksum");
}

Test(tar, refuses_sizes_that_are_too_large)
{
    struct header *header = add('0', "a", "");

    memcpy(header->size, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
           12);
    seal(header);
    expect_fault("not a number");
    memcpy(header->size, "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12);
    seal(header);
    tar.read = NULL;
    expect_fault("middle of a file");
    memcpy(header->size, "77777777777", 12);
    seal(header);
    tar.read = NULL;
    expect_fault("middle of a file");
    memcpy(header->size, "0000000009x", 12);
    seal(header);
    tar.read = NULL;
    expect_fault("not a number");
}

Test(tar, refuses_records_that_are_wrong)
{
    static const struct {
        const char *record, *fault;
    } cases[] = {
        {"path=x\n", "length"},
        {"7 path=\n", "newline"},
        {"999 path=x\n", "length"},
        {"0 path=x\n", "length"},
        {"9 pathxx\n\n", "'='"},
        {"11 size=1x\n", "number"},
        {"22 GNU.sparse.map=0,1\n", "sparse"},
        {"99999999999 path=x\n", "length"},
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tar.read = NULL;
        filled = 0;
        add('x', "pax", cases[i].record);
        add('0', "a", "");
        expect_fault(cases[i].fault);
    }
}

Test(tar, refuses_what_it_does_not_support)
{
    add('S', "sparse", "");
    expect_fault("sparse");
    tar.read = NULL;
    filled = 0;
    add('M', "volume", "");
    expect_fault("volumes");
    tar.read = NULL;
    filled = 0;
    add('2', "link", "");
    expect_fault("nowhere");
    tar.read = NULL;
    filled = 0;
    add('L', "", "");
    expect_fault("long name");
}

Test(tar, passes_over_what_is_global_or_unknown)
{
    add('g', "pax_global_header",
        "52 comment=0123456789012345678901234567890"
        "123456789\n");
    add('V', "label", "");
    add('0', "a", "");
    cr_assert_eq(next(), 1);
    cr_assert_str_eq(entry.path, "a");
}
