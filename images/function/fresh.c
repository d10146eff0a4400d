/* SPDX-License-Identifier: MIT */
/* Whether anybody has been in this memory before. */
#include "function.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE        4096
#define BLOCK_BYTES (1 << 20)
#define DEEP_BYTES  (16 * PAGE)
#define CLEAN       UINT64_C(0x636c65616e636c65)
#define SECRET      UINT64_C(0x5ec2e75ec2e75ec2)
#define DEEP_SECRET UINT64_C(0xdee95ec2e7dee95e)

/* A place that is as it was made, or not. */
struct place {
    const char *name;
    uint64_t *words;
    size_t bytes;
    uint64_t clean; /* every word of it */
};

static uint64_t data[PAGE / 8] = {[0 ... PAGE / 8 - 1] = CLEAN};
static uint64_t bss[PAGE / 8];
static _Thread_local uint64_t local[8] = {[0 ... 7] = CLEAN};
static uint64_t *heap, *mapped, *block;
static char file[64];

static void set(uint64_t *words, size_t bytes, uint64_t value)
{
    for (size_t i = 0; i < bytes / 8; i++)
        words[i] = value;
}

static bool is_all(const uint64_t *words, size_t bytes, uint64_t value)
{
    for (size_t i = 0; i < bytes / 8; i++)
        if (words[i] != value)
            return false;
    return true;
}

static bool has(const volatile uint64_t *words, size_t bytes, uint64_t value)
{
    for (size_t i = 0; i < bytes / 8; i++)
        if (words[i] == value)
            return true;
    return false;
}

/* ---- A file ---------------------------------------------------------------
 */

static bool write_file(uint64_t value)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    bool done = fd >= 0 && write(fd, &value, sizeof(value)) == sizeof(value);

    if (fd >= 0)
        close(fd);
    return done;
}

static bool file_is(uint64_t value)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    uint64_t found = 0;
    bool same = fd >= 0 && read(fd, &found, sizeof(found)) == sizeof(found) &&
                found == value;

    if (fd >= 0)
        close(fd);
    return same;
}

/* Files that one request leaves, and the next one must not find. */
static bool file_is_new(void)
{
    char path[80];
    int fd;

    snprintf(path, sizeof(path), "%s.left", file);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* ---- Stacks and new blocks ------------------------------------------------
 */

/*
 * Deeper than the server ever goes otherwise; what lies there is read as it was
 * left. The secret is one that no other function has in a register: an upcall
 * saves those below whatever runs.
 */
static __attribute__((noinline)) bool deep_stack_has_secret(void)
{
    uint64_t deep[DEEP_BYTES / 8];
    bool found;

    __asm__ volatile("" : : "r"(deep) : "memory");
    found = has(deep, sizeof(deep), DEEP_SECRET);
    set(deep, sizeof(deep), DEEP_SECRET);
    __asm__ volatile("" : : "r"(deep) : "memory");
    return found;
}

/* What malloc() gives, unwritten. */
static bool new_block_has_secret(void)
{
    uint64_t *fresh = malloc(2 * PAGE);
    bool found;

    if (!fresh)
        return true;
    __asm__ volatile("" : : "r"(fresh) : "memory");
    found = has(fresh, 2 * PAGE, SECRET);
    set(fresh, 2 * PAGE, SECRET);
    __asm__ volatile("" : : "r"(fresh) : "memory");
    free(fresh);
    return found;
}

/* ---- All of it ------------------------------------------------------------
 */

/* A guest that maps memory itself edits its page tables (guest_rt/README.md),
 * and its VM cannot be reset, only made anew: there are images of both kinds.
 */
static uint64_t *map_page(void)
{
#ifdef FUNCTION_MMAP
    void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return page == MAP_FAILED ? NULL : page;
#else
    return aligned_alloc(PAGE, PAGE);
#endif
}

void fresh_prepare(void)
{
    heap = malloc(PAGE);
    block = malloc(BLOCK_BYTES);
    mapped = map_page();
    snprintf(file, sizeof(file), "/tmp/function-%d", (int)getpid());
    if (!heap || !block || !mapped || !write_file(CLEAN)) {
        perror("function: cannot prepare");
        exit(1);
    }
    set(heap, PAGE, CLEAN);
    set(mapped, PAGE, CLEAN);
}

static void add(char *text, size_t room, const char *name)
{
    size_t length = strlen(text);

    snprintf(text + length, room - length, " %s", name);
}

void fresh_check(char *text, size_t room)
{
    const struct place places[] = {
        {"data", data, sizeof(data), CLEAN},
        {"bss", bss, sizeof(bss), 0},
        {"thread-local", local, sizeof(local), CLEAN},
        {"heap", heap, PAGE, CLEAN},
        {"page", mapped, PAGE, CLEAN},
        {"block", block, BLOCK_BYTES, 0},
    };
    char found[128] = "";

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (!is_all(places[i].words, places[i].bytes, places[i].clean))
            add(found, sizeof(found), places[i].name);
        set(places[i].words, places[i].bytes, SECRET);
    }
    if (deep_stack_has_secret())
        add(found, sizeof(found), "stack");
    if (new_block_has_secret())
        add(found, sizeof(found), "malloc");
    if (!file_is(CLEAN) || !write_file(SECRET))
        add(found, sizeof(found), "file");
    if (!file_is_new())
        add(found, sizeof(found), "new-file");
    snprintf(text, room, "%s%s\n", found[0] ? "not clean:" : "clean", found);
}
