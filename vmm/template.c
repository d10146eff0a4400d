/* SPDX-License-Identifier: MIT */
/* A snapshot kept ready, for clones in this process. */
#include "vmm/template.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/base/error.h"
#include "vmm/base/os.h"
#include "vmm/paging.h"
#include "vmm/room.h"
#include "vmm/vm.h"

/*
 * What clones share is in the file several times, as long as that takes no more
 * memory and addresses than these: one mapping is enough for so many clones.
 */
#define COPIES_DATA_BYTES_MAX (UINT64_C(8) << 20)
#define COPIES_BYTES_MAX      (UINT64_C(1) << 30)

/* ---- Its memory ---------------------------------------------------------- */

/* What is at `host` is the machine's RAM, one range behind the other. */
static void place_ram(const struct machine *machine, void *host,
                      struct gmem *ram)
{
    uint8_t *at = host;

    for (unsigned i = 0; i < ARRAY_SIZE(machine->ram); i++) {
        const struct mf_range *range = &machine->ram[i];

        if (range->bytes)
            gmem_add(ram, range->base, range->bytes, at);
        at += range->bytes;
    }
}

/* Lays all of RAM out at `host`. */
static int fill(struct mayfly_template *to, void *host, char *error)
{
    struct machine *machine = &to->snapshot.machine;
    struct gmem ram = {.count = 0};

    place_ram(machine, host, &ram);
    int result = snapshot_copy(&to->snapshot, &ram, error);
    if (result)
        return result;
    result = machine_rebuild(machine, &to->snapshot.image, &ram);
    return result ? error_system(error, result, "cannot build the machine") : 0;
}

/* As many copies as are worth their memory. */
static unsigned choose_copies(uint64_t bytes, uint64_t data_bytes)
{
    uint64_t copies =
        min_u64(COPIES_BYTES_MAX / bytes,
                COPIES_DATA_BYTES_MAX / max_u64(data_bytes, GMEM_PAGE_BYTES));

    return (unsigned)max_u64(1, min_u64(copies, ROOMS_IN_ROW_MAX));
}

/* Writes what is in [start, end) of the first copy to all others. */
static int copy_data(int file, const uint8_t *first, uint64_t bytes,
                     unsigned copies, off_t start, off_t end)
{
    for (unsigned i = 1; i < copies; i++)
        for (off_t at = start; at < end;) {
            ssize_t part = os_pwrite(file, first + at, (size_t)(end - at),
                                     (off_t)(i * bytes) + at);

            if (part <= 0)
                return part < 0 ? (int)part : -EIO;
            at += part;
        }
    return 0;
}

/* Makes `copies` of one, holes and all. */
static int copy_memory(int file, const uint8_t *first, uint64_t bytes,
                       unsigned copies)
{
    off_t end = 0;
    int result = (int)os_syscall(SYS_ftruncate, file, (off_t)(copies * bytes));

    while (!result && copies > 1) {
        off_t start = os_syscall(SYS_lseek, file, end, SEEK_DATA);

        if (start == -ENXIO || start >= (off_t)bytes)
            return 0;
        end = start < 0 ? start : os_syscall(SYS_lseek, file, start, SEEK_HOLE);
        if (end < 0)
            return (int)end;
        end = (off_t)min_u64((uint64_t)end, bytes);
        result = copy_data(file, first, bytes, copies, start, end);
    }
    return result;
}

/* Lays RAM out in the file, `bytes` of it, and decides how often. */
static int fill_file(struct mayfly_template *to, int file, uint64_t bytes,
                     unsigned *copies, char *error)
{
    struct stat status;
    void *host = NULL;
    int result = (int)os_syscall(SYS_ftruncate, file, (off_t)bytes);

    if (!result)
        result =
            os_mmap(bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, &host);
    if (result)
        return error_system(error, result, "cannot map the memory file");
    result = fill(to, host, error);
    if (!result) {
        result = os_fstat(file, &status);
        *copies = choose_copies(bytes, result ? 0 : 512ull * status.st_blocks);
        if (!result)
            result = copy_memory(file, host, bytes, *copies);
        if (result)
            error_system(error, result, "cannot fill the memory file");
    }
    os_munmap(host, bytes);
    return result;
}

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

static int make_memory(struct mayfly_template *to, char *error)
{
    /* Each copy begins where a page table does. */
    uint64_t bytes = round_up(to->snapshot.machine.mem_bytes, LARGE_PAGE_BYTES);
    unsigned copies = 1;
    int file = (int)os_syscall(SYS_memfd_create, "mayfly-template",
                               MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (file < 0)
        return error_system(error, file, "cannot make a memory file");
    int result = fill_file(to, file, bytes, &copies, error);
    if (!result) {
        result = (int)os_syscall(SYS_fcntl, file, F_ADD_SEALS, SEALS);
        if (!result)
            result = rooms_open(bytes, copies, file, &to->memory);
        if (result)
            error_system(error, result, "cannot keep the memory file");
    }
    if (result)
        os_close(file);
    return result;
}

int template_map(const struct mayfly_template *from, struct mayfly *vm,
                 char *error)
{
    void *host = NULL;
    int result = rooms_take(from->memory, &host);

    if (result)
        return error_system(error, result, "cannot map its memory");
    vm->ram_rooms = from->memory;
    place_ram(&from->snapshot.machine, host, &vm->ram);
    return 0;
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
    int device; /* without one VMs cannot be made, but templates can */
    int result = os_mmap(sizeof(*to), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, &room);

    if (result)
        return error_system(error, result, "cannot make a template");
    to = room;
    to->snapshot.fd = -1;
    to->holds_device = !kvm_hold_device(&device, error);
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
    rooms_close(template->memory);
    if (template->holds_device)
        kvm_leave_device();
    if (template->snapshot.fd >= 0)
        os_close(template->snapshot.fd);
    snapshot_close(&template->snapshot);
    os_munmap(template, sizeof(*template));
}
