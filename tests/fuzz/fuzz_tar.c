/* SPDX-License-Identifier: MIT */
/* Fuzzes the guest's reader of tar archives. */
#include <stdlib.h>
#include <string.h>

#include "guest_rt/tar.c"
#include "tests/fuzz/script.h"

static void must(bool condition)
{
    if (!condition)
        abort();
}

struct bytes {
    uint8_t *data;
    size_t count;
};

static int read_bytes(void *context, void *to, uint64_t from, size_t count)
{
    const struct bytes *bytes = context;

    must(from <= bytes->count && count <= bytes->count - from);
    memcpy(to, bytes->data + from, count);
    return 0;
}

/* Makes the checksums right, so that the fuzzer gets past them. */
static void seal_headers(const struct bytes *bytes)
{
    for (size_t at = 0; at + TAR_BLOCK <= bytes->count; at += TAR_BLOCK) {
        struct header *header = (struct header *)(void *)(bytes->data + at);
        unsigned sum = 0;

        if (memcmp(header->sum, "seal", 4) != 0)
            continue;
        memset(header->sum, ' ', sizeof(header->sum));
        for (size_t i = 0; i < sizeof(*header); i++)
            sum += ((unsigned char *)header)[i];
        for (int i = 6; i-- > 0; sum >>= 3)
            header->sum[i] = (char)('0' + (sum & 7));
    }
}

static void check_path(const char *path)
{
    size_t length = strlen(path);

    must(length < TAR_PATH_MAX);
    must(path[0] != '/' && (!length || path[length - 1] != '/'));
    must(strcmp(path, "..") && strncmp(path, "../", 3) &&
         !strstr(path, "/../"));
    must(length < 3 || strcmp(path + length - 3, "/.."));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    static struct tar_entry entry;
    struct bytes bytes = {malloc(count + 1), count};
    struct tar tar;
    uint64_t at = 0;
    int result;

    if (count)
        memcpy(bytes.data, data, count);
    seal_headers(&bytes);
    tar_start(&tar, read_bytes, &bytes, count);
    while ((result = tar_next(&tar, &entry)) > 0) {
        must(tar.at > at);
        at = tar.at;
        must(entry.from <= count && entry.bytes <= count - entry.from);
        check_path(entry.path);
        if (entry.is_link)
            check_path(entry.target);
        must(strnlen(entry.target, TAR_PATH_MAX) < TAR_PATH_MAX);
    }
    must(result == 0 || (result == -EINVAL && tar.fault));
    free(bytes.data);
    return 0;
}
