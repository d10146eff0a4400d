/* SPDX-License-Identifier: MIT */
/* Fuzzes snapshots: a good one, changed here and there, until a machine and
 * devices are made of it. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/script.h"
#include "tests/unit/page_walk.h"
#include "virtio/console.h"
#include "virtio/native.h"
#include "vmm/base/error.h"
#include "vmm/paging.h"
#include "vmm/snapshot.h"

#define RAM_BYTES (4u << 20)
#define DEVICES   2u
#define RUNS      2u

static struct gmem ram;

static void must(bool condition)
{
    if (!condition)
        abort();
}

/* ---- A good one --------------------------------------------------------- */

/* As it is in the file, from its start. */
static struct {
    union {
        struct snapshot_header header;
        uint8_t page[SNAPSHOT_PAGE_BYTES];
    };
    struct snapshot_state state;
    struct native_state devices[DEVICES];
    struct snapshot_run runs[RUNS];
} good;

#define DATA_AT (round_up(sizeof(good), SNAPSHOT_PAGE_BYTES))

static struct snapshot_image small_image(void)
{
    return (struct snapshot_image){
        .abi_major = MF_ABI_MAJOR,
        .entry = 0x41010,
        .fault_entry = 0x41100,
        .fault_vectors = 1u << 8 | 1u << 14,
        .segment_count = 3,
        .segments =
            {
                {.address = 0x40000, .bytes = 0x1000},
                {.address = 0x41000, .bytes = 0xfff, .execute = 1},
                {.address = 0x43010, .bytes = 0x1ff0, .write = 1},
            },
    };
}

/* Two consoles as they are when a VM starts. */
static void save_devices(void)
{
    struct gmem mem = ram;
    struct console consoles[DEVICES];
    struct native native;

    must(gmem_exclude(&mem, 0, MF_BOOT_PAGE) == 0);
    must(native_init(&native, &mem) == 0);
    for (unsigned i = 0; i < DEVICES; i++) {
        console_init(&consoles[i], -1, -1, CONSOLE_ERR_CHAINS);
        must(native_add(&native, &consoles[i].dev, 0) == 0);
    }
    for (unsigned i = 0; i < DEVICES; i++)
        native_save(&native, i, &good.devices[i]);
}

static void build_good(void)
{
    const struct image image = {.segment_count = 3, .end = 0x45000};
    struct machine machine;
    char error[ERROR_BYTES];

    must(machine_plan(&machine, &image, RAM_BYTES, 0, error) == 0);
    save_devices();
    good.state = (struct snapshot_state){
        .mem_bytes = machine.mem_bytes,
        .stack = machine.stack,
        .image = small_image(),
    };
    good.runs[0] = (struct snapshot_run){MF_BOOT_PAGE, 4 * PAGE_BYTES};
    good.runs[1] = (struct snapshot_run){0x40000, 8 * PAGE_BYTES};
    good.header = (struct snapshot_header){
        .magic = SNAPSHOT_MAGIC,
        .format = SNAPSHOT_FORMAT,
        .abi_major = MF_ABI_MAJOR,
        .abi_minor = MF_ABI_MINOR,
        .state_bytes = sizeof(good) - sizeof(good.page),
        .data_at = DATA_AT,
        .file_bytes = DATA_AT + 12 * PAGE_BYTES,
        .device_count = DEVICES,
        .run_count = RUNS,
    };
}

static void start(void)
{
    void *host = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    must(host != MAP_FAILED);
    gmem_add(&ram, 0, RAM_BYTES, host);
    build_good();
}

/* ---- Another one ------------------------------------------------------- */

/* One file for all runs: making one takes longer than the rest. */
static int file_with(struct script *script)
{
    static uint8_t bytes[sizeof(good)];
    static int fd = -1;
    struct snapshot_header *header = (struct snapshot_header *)bytes;
    unsigned options = (unsigned)script_number(script, 1);

    if (fd < 0)
        fd = memfd_create("fuzz", MFD_CLOEXEC);
    memcpy(bytes, &good, sizeof(good));
    while (script->left > 0) {
        size_t at = script_number(script, 2) % sizeof(good);
        size_t count = 1 + script_below(script, 8);
        uint64_t value = script_number(script, count);

        memcpy(bytes + at, &value, min_u64(count, sizeof(good) - at));
    }
    /* Or else the checksum would be all that is ever looked at. */
    if (options & 1)
        header->checksum = snapshot_checksum(
            header, bytes + sizeof(good.page),
            min_u64(header->state_bytes, sizeof(good) - sizeof(good.page)));
    must(ftruncate(fd, 0) == 0);
    must(ftruncate(fd, options & 2 ? (off_t)(options << 8)
                                   : (off_t)(DATA_AT + 12 * PAGE_BYTES)) == 0);
    must(pwrite(fd, bytes, sizeof(bytes), 0) == sizeof(bytes));
    return fd;
}

/* No page is writable and executable, or one of the monitor's. */
static void check_pages(const struct machine *machine)
{
    for (uint64_t at = 0; at < RAM_BYTES; at += PAGE_BYTES) {
        struct page_walk walk = page_walk(&ram, machine->page_root, at);

        if (!walk.mapped)
            continue;
        must(walk.physical == at);
        must(!walk.write || !walk.execute);
        must(at >= MF_BOOT_PAGE || !walk.write);
        must(at >= MACHINE_RETURN_PAGE || !walk.user);
        must(at - machine->tables.base >= machine->tables.bytes);
    }
}

/* What the devices make of it, with whatever is in their rings. */
static void load_devices(const struct snapshot *snapshot)
{
    static struct console consoles[DEVICES];
    struct gmem mem = ram;
    struct native native;
    bool loaded = true;

    machine_guest_memory(&snapshot->machine, &mem);
    if (snapshot->header.device_count != DEVICES || native_init(&native, &mem))
        return;
    for (unsigned i = 0; i < DEVICES && loaded; i++) {
        console_init(&consoles[i], -1, -1, CONSOLE_ERR_CHAINS);
        loaded = native_load(&native, &consoles[i].dev, 0,
                             &snapshot->devices[i]) == 0;
    }
    if (!loaded)
        return;
    for (unsigned i = 0; i < DEVICES; i++)
        (void)!native_reload(&native, i, &snapshot->devices[i]);
    (void)!vdev_set_serve(&native.set, VDEV_SET_ALL);
}

static void use(struct snapshot *snapshot)
{
    struct image *image = &snapshot->image;
    char error[ERROR_BYTES];
    const uint8_t *mapped;

    if (snapshot->machine.mem_bytes != RAM_BYTES)
        return;
    must(madvise(ram.regions[0].host, RAM_BYTES, MADV_DONTNEED) == 0);
    if (snapshot_map(snapshot, &ram, &mapped, error))
        return;
    must(machine_rebuild(&snapshot->machine, image, &ram) == 0);
    if (!image->paging)
        check_pages(&snapshot->machine);
    load_devices(snapshot);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct script script = {data, bytes};
    struct snapshot snapshot;
    char error[ERROR_BYTES] = "";

    if (ram.count == 0)
        start();
    if (snapshot_read(&snapshot, file_with(&script), error)) {
        must(error[0] != '\0' && strlen(error) < sizeof(error));
        return 0;
    }
    use(&snapshot);
    snapshot_close(&snapshot);
    /* What was mapped from the file gives way to empty memory. */
    must(mmap(ram.regions[0].host, RAM_BYTES, PROT_READ | PROT_WRITE,
              MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
              0) == ram.regions[0].host);
    return 0;
}
