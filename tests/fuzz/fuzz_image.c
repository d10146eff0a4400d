/* SPDX-License-Identifier: MIT */
/* Fuzzes the loader: a file's bytes, from its headers to a built machine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/script.h"
#include "tests/unit/page_walk.h"
#include "vmm/base/error.h"
#include "vmm/image.h"
#include "vmm/machine.h"
#include "vmm/symbols.h"

#define RAM_BYTES (1u << 20)
#define NAMES     8

static uint8_t ram[RAM_BYTES] __attribute__((aligned(4096)));
static const struct gmem mem = {
    .regions = {{.base = 0, .bytes = RAM_BYTES, .host = ram}}, .count = 1};

static void must(bool condition)
{
    if (!condition)
        abort();
}

/* One file for all runs: making one takes longer than the rest. */
static int file_with(const uint8_t *data, size_t bytes)
{
    static int fd = -1;

    if (fd < 0)
        fd = memfd_create("fuzz", MFD_CLOEXEC);
    must(ftruncate(fd, 0) == 0);
    must(pwrite(fd, data, bytes, 0) == (ssize_t)bytes);
    return fd;
}

/* What everything after the loader relies on. */
static void check_image(const struct image *image)
{
    uint64_t end = MF_IMAGE_BASE;

    must(image->segment_count <= IMAGE_SEGMENTS_MAX);
    for (unsigned i = 0; i < image->segment_count; i++) {
        const struct image_segment *segment = &image->segments[i];

        must(segment->address >= end);
        must(segment->bytes > 0 && segment->file_bytes <= segment->bytes);
        must(!segment->write || !segment->execute);
        end = round_up(segment->address + segment->bytes, PAGE_BYTES);
        must(end > segment->address && end <= MF_RAM_LOW_END);
    }
    must(image->end == end);
    must(image->stack_bytes % PAGE_BYTES == 0);
}

static void check_machine(const struct machine *machine,
                          const struct image *image)
{
    must(machine->stack.base >= image->end + PAGE_BYTES);
    must(machine->free[0].base + machine->free[0].bytes ==
         machine->ram[0].bytes);
    must(machine->tables.base + machine->tables.bytes < machine->stack.base);
}

/* No page is writable and executable, or a table. */
static void check_pages(const struct machine *machine)
{
    for (uint64_t at = 0; at < RAM_BYTES; at += PAGE_BYTES) {
        struct page_walk walk = page_walk(&mem, machine->page_root, at);

        if (!walk.mapped)
            continue;
        must(walk.physical == at);
        must(!walk.write || !walk.execute);
        must(at >= MF_BOOT_PAGE || (!walk.user && !walk.write));
        must(at - machine->tables.base >= machine->tables.bytes);
    }
}

static void build(const struct image *image, int fd)
{
    const char *const args[] = {"fuzz", NULL};
    const struct machine_boot boot = {.args = args};
    struct machine machine;
    char error[ERROR_BYTES];

    memset(ram, 0, sizeof(ram));
    if (machine_plan(&machine, image, RAM_BYTES, 0, error)) {
        must(machine_mem_bytes_min(image, 0) > RAM_BYTES);
        return;
    }
    must(machine_mem_bytes_min(image, 0) <= RAM_BYTES);
    check_machine(&machine, image);
    if (image_load(image, fd, &mem, error))
        return;
    must(machine_build(&machine, image, &boot, &mem, error) == 0);
    check_pages(&machine);
}

static void find_names(int fd)
{
    char names[NAMES][32];
    struct symbol symbols[NAMES];

    for (unsigned i = 0; i < NAMES; i++)
        symbols[i] = (struct symbol){
            .address = 0x40000 + i * 0x400,
            .name = names[i],
            .name_bytes = sizeof(names[i]),
        };
    symbols_find(fd, symbols, NAMES);
    for (unsigned i = 0; i < NAMES; i++)
        for (const char *c = names[i]; *c; c++)
            must(*c >= 0x20 && *c < 0x7f && c < names[i] + sizeof(names[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    int fd = file_with(data, bytes);
    struct machine machine;
    struct image image;
    char error[ERROR_BYTES];

    find_names(fd);
    if (image_read(&image, fd, error) != 0) {
        must(error[0] != '\0' && strlen(error) < sizeof(error));
        return 0;
    }
    check_image(&image);
    build(&image, fd);
    /* Any other size of memory must at least be laid out right. */
    uint64_t mem_bytes = ((uint64_t)data[bytes - 1] << 26) + RAM_BYTES;
    unsigned blocks = data[bytes - 1] % (MF_DEVICES_MAX + 1);
    if (machine_plan(&machine, &image, mem_bytes, blocks, error) == 0)
        check_machine(&machine, &image);
    return 0;
}
