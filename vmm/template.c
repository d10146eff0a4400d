/* SPDX-License-Identifier: MIT */
/* A snapshot kept ready, for clones in this process. */
#include "vmm/template.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/base/error.h"
#include "vmm/base/os.h"
#include "vmm/vm.h"

/* ---- Its memory ---------------------------------------------------------- */

/* Maps `ram`, a file's as a whole, with these flags. */
static int map_ram(const struct machine *machine, int memory, int flags,
                   struct gmem *ram)
{
    off_t offset = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(machine->ram); i++) {
        const struct mf_range *range = &machine->ram[i];
        void *host;

        if (range->bytes == 0)
            continue;
        host = mmap(NULL, range->bytes, PROT_READ | PROT_WRITE, flags, memory,
                    offset);
        os_calls++;
        if (host == MAP_FAILED)
            return -errno;
        gmem_add(ram, range->base, range->bytes, host);
        offset += (off_t)range->bytes;
    }
    return 0;
}

static void unmap_ram(struct gmem *ram)
{
    for (unsigned i = 0; i < ram->count; i++)
        os_munmap(ram->regions[i].host, ram->regions[i].bytes);
    ram->count = 0;
}

/* Lays all of RAM out in the file. */
static int fill(struct mayfly_template *to, char *error)
{
    struct machine *machine = &to->snapshot.machine;
    struct gmem ram = {.count = 0};
    int result = map_ram(machine, to->memory, MAP_SHARED, &ram);

    if (result)
        error_system(error, result, "cannot map memory");
    else
        result = snapshot_copy(&to->snapshot, &ram, error);
    if (!result) {
        result = machine_rebuild(machine, &to->snapshot.image, &ram);
        if (result)
            error_system(error, result, "cannot build the machine");
    }
    unmap_ram(&ram);
    return result;
}

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

static int make_memory(struct mayfly_template *to, char *error)
{
    int result;

    to->memory = (int)os_syscall(SYS_memfd_create, "mayfly-template",
                                 MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (to->memory < 0)
        return error_system(error, to->memory, "cannot make a memory file");
    result = (int)os_syscall(SYS_ftruncate, to->memory,
                             to->snapshot.machine.mem_bytes);
    if (result)
        return error_system(error, result, "cannot size the memory file");
    result = fill(to, error);
    if (result)
        return result;
    result = (int)os_syscall(SYS_fcntl, to->memory, F_ADD_SEALS, SEALS);
    return result ? error_system(error, result, "cannot seal the memory file")
                  : 0;
}

int template_map(const struct mayfly_template *from, struct mayfly *vm,
                 char *error)
{
    int result = map_ram(&from->snapshot.machine, from->memory,
                         MAP_PRIVATE | MAP_NORESERVE, &vm->ram);

    return result ? error_system(error, result, "cannot map its memory") : 0;
}

/* ---- What clones write to ------------------------------------------------ */

void template_warm(const struct mayfly_template *from, const struct gmem *ram)
{
    for (unsigned i = 0; i < from->warm_count; i++) {
        const struct mf_range *range = &from->warm[i];
        void *host;

        /* Before Linux 5.14: they come one by one, when they are touched. */
        if (gmem_find(ram, gpa(range->base), range->bytes, &host) ||
            os_madvise(host, range->bytes, MADV_POPULATE_WRITE))
            return;
    }
}

#define PAGEMAP_PRESENT (UINT64_C(1) << 63)
#define PAGEMAP_SHARED  (UINT64_C(1) << 61) /* the file's own page */
#define PAGEMAP_PAGES   512u

struct finding {
    struct mayfly_template *to;
    uint64_t pages;
};

/* Notes one page. Returns whether there is room for more. */
static bool add_warm(struct finding *finding, uint64_t address)
{
    struct mayfly_template *to = finding->to;
    struct mf_range *last =
        to->warm_count > 0 ? &to->warm[to->warm_count - 1] : NULL;

    if (finding->pages == TEMPLATE_WARM_PAGES_MAX)
        return false;
    if (last && last->base + last->bytes == address) {
        last->bytes += GMEM_PAGE_BYTES;
    } else if (to->warm_count == TEMPLATE_WARM_MAX) {
        return false;
    } else {
        to->warm[to->warm_count++] =
            (struct mf_range){address, GMEM_PAGE_BYTES};
    }
    finding->pages++;
    return true;
}

/* Finds pages of a region that are not the file's any more. */
static int find_warm(struct finding *finding, int pagemap,
                     const struct gmem_region *region)
{
    uint64_t entries[PAGEMAP_PAGES];
    uint64_t pages = region->bytes / GMEM_PAGE_BYTES;

    for (uint64_t at = 0; at < pages; at += PAGEMAP_PAGES) {
        uint64_t count = min_u64(PAGEMAP_PAGES, pages - at);
        size_t bytes = count * sizeof(entries[0]);
        uintptr_t page = (uintptr_t)region->host / GMEM_PAGE_BYTES + at;
        ssize_t got = os_pread(pagemap, entries, bytes,
                               (off_t)(page * sizeof(entries[0])));

        if (got != (ssize_t)bytes)
            return got < 0 ? (int)got : -EIO;
        for (uint64_t i = 0; i < count; i++)
            if ((entries[i] & (PAGEMAP_PRESENT | PAGEMAP_SHARED)) ==
                    PAGEMAP_PRESENT &&
                !add_warm(finding, region->base + (at + i) * GMEM_PAGE_BYTES))
                return 0;
    }
    return 0;
}

int mayfly_learn(struct mayfly_template *template, const struct mayfly *vm,
                 char *error)
{
    struct finding finding = {.to = template};
    int pagemap, result = 0;

    if (vm->template != template)
        return error_set(error, -EINVAL, "this VM is no clone of that");
    pagemap = os_open("/proc/self/pagemap", O_RDONLY);
    if (pagemap < 0)
        return error_system(error, pagemap, "cannot open /proc/self/pagemap");
    template->warm_count = 0;
    for (unsigned i = 0; i < vm->ram.count && !result; i++)
        result = find_warm(&finding, pagemap, &vm->ram.regions[i]);
    os_close(pagemap);
    if (!result)
        return 0;
    template->warm_count = 0;
    return error_system(error, result, "cannot read /proc/self/pagemap");
}

/* ---- Life cycle ---------------------------------------------------------- */

int template_copy(const struct mayfly_template *from, struct snapshot *to)
{
    void *state = NULL;
    int result = os_mmap(from->snapshot.bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, &state);

    if (result)
        return result;
    memcpy(state, from->snapshot.state, from->snapshot.bytes);
    *to = from->snapshot;
    snapshot_place(to, state);
    return 0;
}

static int open_template(struct mayfly_template *to, int fd, char *error)
{
    int result = snapshot_read(&to->snapshot, fd, error);

    if (result)
        return result;
    if (to->snapshot.header.flags & SNAPSHOT_ONCE)
        return error_set(error, -EBUSY,
                         "one VM may go on from this snapshot, no clones: it "
                         "was not taken where the guest said so");
    result = snapshot_check_host(&to->snapshot, error);
    if (result)
        return result;
    to->snapshot.fd = (int)os_syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 0);
    if (to->snapshot.fd < 0)
        return error_system(error, to->snapshot.fd, "cannot keep the file");
    return make_memory(to, error);
}

int mayfly_open_template(int snapshot_fd, struct mayfly_template **template,
                         char *error)
{
    struct mayfly_template *to;
    void *room = NULL;
    int result = os_mmap(sizeof(*to), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, &room);

    if (result)
        return error_system(error, result, "cannot make a template");
    to = room;
    to->memory = to->snapshot.fd = -1;
    result = open_template(to, snapshot_fd, error);
    if (result) {
        if (to->snapshot.fd == snapshot_fd)
            to->snapshot.fd = -1; /* not ours yet */
        mayfly_close_template(to);
        return result;
    }
    *template = to;
    return 0;
}

void mayfly_close_template(struct mayfly_template *template)
{
    if (!template)
        return;
    if (template->memory >= 0)
        os_close(template->memory);
    if (template->snapshot.fd >= 0)
        os_close(template->snapshot.fd);
    snapshot_close(&template->snapshot);
    os_munmap(template, sizeof(*template));
}
