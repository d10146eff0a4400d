/* SPDX-License-Identifier: MIT */
/* Reading snapshots: nothing that the file says is used before it is checked.
 */
#include "vmm/snapshot.h"

#include <errno.h>
#include <string.h>

#include "vmm/base/error.h"
#include "vmm/base/os.h"

#define STATE_BYTES_MAX                             \
    (sizeof(struct snapshot_state) +                \
     MF_DEVICES_MAX * sizeof(struct native_state) + \
     SNAPSHOT_RUNS_MAX * sizeof(struct snapshot_run))

/* Guest time: longer than any host runs, and far from where sums overflow. */
#define MONOTONIC_NS_MAX (1ull << 62)

/* Reads exactly `bytes` bytes. Returns 0, or -ENOEXEC if the file is short. */
static int read_at(int fd, void *to, size_t bytes, uint64_t offset)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t got = os_pread(fd, (char *)to + done, bytes - done,
                               (off_t)(offset + done));

        if (got == -EINTR)
            continue;
        if (got <= 0)
            return got ? (int)got : -ENOEXEC;
        done += (size_t)got;
    }
    return 0;
}

/* ---- The checksum ------------------------------------------------------ */

/* CRC-32C (RFC 3720, B.4), by the instruction that is there for it. */
__attribute__((__target__("sse4.2"))) static uint32_t
crc32c(uint32_t crc, const void *from, size_t bytes)
{
    const uint8_t *at = from;
    uint64_t wide = crc;

    for (; bytes >= sizeof(uint64_t); bytes -= sizeof(uint64_t)) {
        uint64_t word;

        memcpy(&word, at, sizeof(word));
        wide = __builtin_ia32_crc32di(wide, word);
        at += sizeof(word);
    }
    crc = (uint32_t)wide;
    for (; bytes > 0; bytes--)
        crc = __builtin_ia32_crc32qi(crc, *at++);
    return crc;
}

uint32_t snapshot_checksum(const struct snapshot_header *header,
                           const void *state, size_t bytes)
{
    struct snapshot_header copy = *header;
    uint32_t crc;

    copy.checksum = copy.claimed = 0;
    crc = crc32c(UINT32_MAX, &copy, sizeof(copy));
    return ~crc32c(crc, state, bytes);
}

/* ---- Header and host --------------------------------------------------- */

static uint64_t state_bytes(const struct snapshot_header *header)
{
    return sizeof(struct snapshot_state) +
           header->device_count * sizeof(struct native_state) +
           header->run_count * sizeof(struct snapshot_run);
}

static int check_header(const struct snapshot_header *header, int fd,
                        char *error)
{
    struct stat file;
    int result = os_fstat(fd, &file);

    if (result)
        return error_system(error, result, "cannot look at it");
    if (header->magic == 0 && header->format == 0)
        return error_set(error, -ENOEXEC,
                         "a snapshot that was not written to its end");
    if (header->magic != SNAPSHOT_MAGIC)
        return error_set(error, -ENOEXEC, "not a snapshot");
    if (header->format != SNAPSHOT_FORMAT)
        return error_set(error, -ENOEXEC,
                         "a snapshot of format %u, but this monitor knows "
                         "format %u; take it again with this release",
                         header->format, SNAPSHOT_FORMAT);
    if (header->abi_major != MF_ABI_MAJOR || header->abi_minor > MF_ABI_MINOR)
        return error_set(error, -ENOEXEC,
                         "a snapshot for Mayfly ABI %u.%u, but this monitor "
                         "has %u.%u",
                         header->abi_major, header->abi_minor, MF_ABI_MAJOR,
                         MF_ABI_MINOR);
    if (header->device_count > MF_DEVICES_MAX ||
        header->run_count > SNAPSHOT_RUNS_MAX ||
        header->state_bytes != state_bytes(header) ||
        header->data_at < SNAPSHOT_PAGE_BYTES + header->state_bytes ||
        header->data_at % SNAPSHOT_PAGE_BYTES ||
        header->file_bytes < header->data_at ||
        (header->flags &
         ~(SNAPSHOT_ONCE | SNAPSHOT_AT_POINT | SNAPSHOT_IN_CALL)))
        return error_set(error, -ENOEXEC,
                         "a damaged snapshot: its header "
                         "makes no sense");
    if ((uint64_t)file.st_size < header->file_bytes)
        return error_set(error, -ENOEXEC,
                         "a snapshot that is cut off: %llu of %llu bytes",
                         (unsigned long long)file.st_size,
                         (unsigned long long)header->file_bytes);
    return 0;
}

int snapshot_check_host(const struct snapshot *snapshot, char *error)
{
    const struct snapshot_host *needed = &snapshot->state->host;
    struct snapshot_host have;
    bool misses = false;

    snapshot_host(&have);
    if (needed->xcr0 & ~have.xcr0)
        return error_set(
            error, -ENOTSUP, "needs vector state %#llx, this host has %#llx",
            (unsigned long long)needed->xcr0, (unsigned long long)have.xcr0);
    for (unsigned i = 0; i < SNAPSHOT_FEATURES; i++)
        misses = misses || (needed->features[i] & ~have.features[i]);
    for (unsigned i = 2; i < SNAPSHOT_XSAVE_PARTS; i++)
        misses = misses || ((needed->xcr0 >> i & 1) &&
                            needed->offsets[i] != have.offsets[i]);
    if (misses)
        return error_set(error, -ENOTSUP,
                         "was taken on a processor with features that this "
                         "one does not have");
    return 0;
}

/* ---- Image, machine and memory ----------------------------------------- */

#define NOTE_FLAGS (MF_NOTE_FAULT_ADDRESS | MF_NOTE_PAGING | MF_NOTE_SIGNALS)

static int check_image(struct image *image, const struct snapshot_image *from,
                       char *error)
{
    int result = 0;

    *image = (struct image){
        .abi_major = from->abi_major,
        .abi_minor = from->abi_minor,
        .entry = from->entry,
        .stack_bytes = from->stack_bytes,
        .fault_entry = from->fault_entry,
        .fault_vectors = from->fault_vectors,
        .upcall_entry = from->upcall_entry,
        .fault_address = from->note_flags & MF_NOTE_FAULT_ADDRESS,
        .paging = from->note_flags & MF_NOTE_PAGING,
        .signals = from->note_flags & MF_NOTE_SIGNALS,
    };
    if ((from->note_flags & ~(uint64_t)NOTE_FLAGS) ||
        from->segment_count > IMAGE_SEGMENTS_MAX ||
        from->stack_bytes > MF_RAM_LOW_END || from->stack_bytes % MF_PAGE_BYTES)
        return error_set(error, -ENOEXEC,
                         "a damaged snapshot: its image "
                         "makes no sense");
    for (unsigned i = 0; i < from->segment_count && !result; i++) {
        const struct image_segment segment = {
            .address = from->segments[i].address,
            .bytes = from->segments[i].bytes,
            .write = from->segments[i].write,
            .execute = from->segments[i].execute,
        };

        result = image_add_segment(image, &segment, error);
    }
    return result ? result : image_check(image, error);
}

static bool is_inside(const struct snapshot_run *run,
                      const struct mf_range *range)
{
    return run->base >= range->base && run->base - range->base < range->bytes &&
           run->bytes <= range->bytes - (run->base - range->base);
}

/* Runs are ascending, apart, in RAM, and have their pages in the file. */
static int check_runs(const struct snapshot *snapshot, char *error)
{
    const struct snapshot_header *header = &snapshot->header;
    const struct machine *machine = &snapshot->machine;
    uint64_t left = header->file_bytes - header->data_at;
    uint64_t end = 0;

    for (unsigned i = 0; i < header->run_count; i++) {
        const struct snapshot_run *run = &snapshot->runs[i];

        if (run->base % SNAPSHOT_PAGE_BYTES ||
            run->bytes % SNAPSHOT_PAGE_BYTES || run->bytes == 0 ||
            run->base < end ||
            (!is_inside(run, &machine->ram[0]) &&
             !is_inside(run, &machine->ram[1])))
            return error_set(error, -ENOEXEC,
                             "a damaged snapshot: memory at %#llx, %#llx bytes",
                             (unsigned long long)run->base,
                             (unsigned long long)run->bytes);
        if (run->bytes > left)
            return error_set(error, -ENOEXEC,
                             "a damaged snapshot: more memory than file");
        left -= run->bytes;
        end = run->base + run->bytes;
    }
    return 0;
}

static int check_state(struct snapshot *snapshot, char *error)
{
    const struct snapshot_state *state = snapshot->state;
    struct machine *machine = &snapshot->machine;
    int result = check_image(&snapshot->image, &state->image, error);

    if (!result)
        result =
            machine_plan(machine, &snapshot->image, state->mem_bytes, 0, error);
    if (result)
        return -ENOEXEC;
    if (machine->mem_bytes != state->mem_bytes ||
        machine->stack.base != state->stack.base ||
        machine->stack.bytes != state->stack.bytes)
        return error_set(error, -ENOEXEC,
                         "a snapshot of another release, which laid memory "
                         "out differently");
    if (state->monotonic_ns > MONOTONIC_NS_MAX)
        return error_set(error, -ENOEXEC, "a damaged snapshot: its clock");
    return check_runs(snapshot, error);
}

/* ---- All of it --------------------------------------------------------- */

void snapshot_place(struct snapshot *snapshot, void *state)
{
    snapshot->state = state;
    snapshot->devices = (struct native_state *)(snapshot->state + 1);
    snapshot->runs = (struct snapshot_run *)(snapshot->devices +
                                             snapshot->header.device_count);
}

static int read_state(struct snapshot *snapshot, char *error)
{
    const struct snapshot_header *header = &snapshot->header;
    void *state = NULL;
    int result;

    snapshot->bytes = header->state_bytes;
    result = os_mmap(snapshot->bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, &state);
    if (result)
        return error_system(error, result, "no memory for its state");
    snapshot_place(snapshot, state);
    result = read_at(snapshot->fd, state, snapshot->bytes, SNAPSHOT_PAGE_BYTES);
    if (result)
        return error_set(error, result, "cannot read its state");
    if (snapshot_checksum(header, state, snapshot->bytes) != header->checksum)
        return error_set(error, -ENOEXEC,
                         "a damaged snapshot: its checksum is wrong");
    if (header->flags & SNAPSHOT_AT_POINT)
        snapshot->state->vcpu.regs[MF_RAX] = 1;
    return check_state(snapshot, error);
}

int snapshot_read(struct snapshot *snapshot, int fd, char *error)
{
    int result;

    _Static_assert(STATE_BYTES_MAX < 1 << 20, "a bounded read");
    *snapshot = (struct snapshot){.fd = fd};
    result = read_at(fd, &snapshot->header, sizeof(snapshot->header), 0);
    if (result == -ENOEXEC)
        return error_set(error, result, "too short for a snapshot");
    if (result)
        return error_system(error, result, "cannot read");
    result = check_header(&snapshot->header, fd, error);
    if (!result)
        result = read_state(snapshot, error);
    if (result)
        snapshot_close(snapshot);
    return result;
}

void snapshot_close(struct snapshot *snapshot)
{
    if (snapshot->state)
        os_munmap(snapshot->state, snapshot->bytes);
    snapshot->state = NULL;
}

int snapshot_map_data(const struct snapshot *snapshot, const uint8_t **data)
{
    const struct snapshot_header *header = &snapshot->header;
    size_t bytes = header->file_bytes - header->data_at;
    void *mapped = mmap(NULL, bytes ? bytes : 1, PROT_READ, MAP_SHARED,
                        snapshot->fd, (off_t)header->data_at);

    os_calls++;
    if (mapped == MAP_FAILED)
        return -errno;
    *data = mapped;
    return 0;
}

/* ---- Memory ------------------------------------------------------------ */

/*
 * A mapping takes as long as copying a dozen pages, and a page that is mapped
 * and then written to is copied all the same, when it is dearer: by a fault.
 * Up to so much of a row is read; of all rows together, up to ...
 */
#define COPY_BYTES_MAX     (16ull * SNAPSHOT_PAGE_BYTES)
#define COPY_BYTES_MAX_ALL (64ull * SNAPSHOT_PAGE_BYTES)

/* What is done with rows of pages. */
struct placing {
    const struct snapshot *snapshot;
    const struct gmem *ram;
    uint64_t copy_max;     /* rows of so many bytes are copied ... */
    uint64_t copy_all;     /* ... as long as that much is left */
    const uint8_t *mapped; /* the last byte of those that were not */
};

/* Puts [base, base + bytes) of guest memory there, from `offset` on. */
static int place(struct placing *placing, uint64_t base, uint64_t bytes,
                 uint64_t offset, char *error)
{
    int fd = placing->snapshot->fd;
    void *host;
    int result = gmem_find(placing->ram, gpa(base), bytes, &host);

    if (!result && bytes <= placing->copy_max && bytes <= placing->copy_all) {
        placing->copy_all -= bytes;
        result = read_at(fd, host, bytes, offset);
        return result ? error_set(error, result, "cannot read its memory") : 0;
    }
    if (!result)
        result = os_map_over(host, bytes, fd, (off_t)offset);
    if (result)
        return error_system(error, result, "cannot map its memory at %#llx",
                            (unsigned long long)base);
    placing->mapped = (const uint8_t *)host + bytes - 1;
    return 0;
}

static int place_all(struct placing *placing, char *error)
{
    const struct snapshot *snapshot = placing->snapshot;
    struct mf_range own[MACHINE_OWN_RANGES];
    unsigned count =
        machine_own_ranges(&snapshot->machine, &snapshot->image, own);
    uint64_t offset = snapshot->header.data_at;
    int result = 0;

    for (unsigned i = 0; i < snapshot->header.run_count && !result; i++) {
        const struct snapshot_run *run = &snapshot->runs[i];
        uint64_t at = run->base, end = run->base + run->bytes;

        /* The parts between those that are built anew. */
        for (unsigned o = 0; o <= count && at < end && !result; o++) {
            uint64_t stop = o < count ? own[o].base : end;

            stop = max_u64(min_u64(stop, end), at);
            if (stop > at)
                result = place(placing, at, stop - at,
                               offset + (at - run->base), error);
            at = o < count ? max_u64(at, own[o].base + own[o].bytes) : end;
            at = max_u64(at, stop);
        }
        offset += run->bytes;
    }
    return result;
}

int snapshot_map(const struct snapshot *snapshot, const struct gmem *ram,
                 const uint8_t **mapped, char *error)
{
    struct placing placing = {
        .snapshot = snapshot,
        .ram = ram,
        .copy_max = COPY_BYTES_MAX,
        .copy_all = COPY_BYTES_MAX_ALL,
    };
    int result = place_all(&placing, error);

    *mapped = placing.mapped;
    return result;
}

int snapshot_copy(const struct snapshot *snapshot, const struct gmem *ram,
                  char *error)
{
    struct placing placing = {
        .snapshot = snapshot,
        .ram = ram,
        .copy_max = UINT64_MAX,
        .copy_all = UINT64_MAX,
    };

    return place_all(&placing, error);
}
