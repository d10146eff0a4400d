/* SPDX-License-Identifier: MIT */
/* The ELF loader. Nothing that the file says is used before it is checked. */
#include "vmm/image.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include <mayfly/abi.h>

#include "vmm/base/error.h"
#include "vmm/base/os.h"

#define PHNUM_MAX       32
#define NOTES_BYTES_MAX 1024
#define STACK_BYTES_MAX (1ull << 30)
#define NOTE_FLAGS      (MF_NOTE_FAULT_ADDRESS | MF_NOTE_PAGING | MF_NOTE_SIGNALS)

/* Reads exactly `bytes` bytes. Returns 0, -ENOEXEC if the file ends before. */
static int read_at(int fd, void *to, uint64_t bytes, uint64_t offset)
{
    while (bytes > 0) {
        ssize_t got = os_pread(fd, to, bytes, (off_t)offset);

        if (got == -EINTR)
            continue;
        if (got < 0)
            return (int)got;
        if (got == 0)
            return -ENOEXEC;
        to = (uint8_t *)to + got;
        bytes -= (uint64_t)got;
        offset += (uint64_t)got;
    }
    return 0;
}

/* The same, without a call for what is in the head already. */
static int read_part(const struct image *image, int fd, void *to,
                     uint64_t bytes, uint64_t offset)
{
    if (offset > INT64_MAX || bytes > INT64_MAX - offset)
        return -ENOEXEC;
    if (offset + bytes <= image->head_bytes) {
        memcpy(to, image->head + offset, bytes);
        return 0;
    }
    return read_at(fd, to, bytes, offset);
}

static int check_header(const struct image *image, Elf64_Ehdr *elf, char *error)
{
    if (image->head_bytes < sizeof(*elf) ||
        memcmp(image->head, ELFMAG, SELFMAG) != 0)
        return error_set(error, -ENOEXEC, "not an ELF file");
    memcpy(elf, image->head, sizeof(*elf));
    if (elf->e_ident[EI_CLASS] != ELFCLASS64 ||
        elf->e_ident[EI_DATA] != ELFDATA2LSB || elf->e_machine != EM_X86_64)
        return error_set(error, -ENOEXEC, "not an x86-64 ELF file");
    if (elf->e_type != ET_EXEC)
        return error_set(error, -ENOEXEC,
                         "not a static executable (ELF type %u); build it "
                         "with mayfly-cc",
                         elf->e_type);
    if (elf->e_phentsize != sizeof(Elf64_Phdr) || elf->e_phnum == 0 ||
        elf->e_phnum > PHNUM_MAX)
        return error_set(error, -ENOEXEC, "bad program headers: %u of %u bytes",
                         elf->e_phnum, elf->e_phentsize);
    return 0;
}

int image_add_segment(struct image *image, const struct image_segment *segment,
                      char *error)
{
    unsigned long long at = segment->address;

    if (image->segment_count == IMAGE_SEGMENTS_MAX)
        return error_set(error, -ENOEXEC, "more than %d segments",
                         IMAGE_SEGMENTS_MAX);
    if (at < MF_IMAGE_BASE || at >= MF_RAM_LOW_END || segment->bytes == 0 ||
        segment->bytes > MF_RAM_LOW_END - at)
        return error_set(error, -ENOEXEC,
                         "segment at %#llx, %#llx bytes: outside %#llx..%#llx",
                         at, (unsigned long long)segment->bytes,
                         (unsigned long long)MF_IMAGE_BASE,
                         (unsigned long long)MF_RAM_LOW_END);
    if (segment->file_bytes > segment->bytes)
        return error_set(error, -ENOEXEC,
                         "segment at %#llx: larger in the file than in memory",
                         at);
    if (segment->write && segment->execute)
        return error_set(error, -ENOEXEC,
                         "segment at %#llx: writable and executable", at);
    /* Segments are mapped in pages: two of them may not share one. */
    if (round_down(at, MF_PAGE_BYTES) < image->end)
        return error_set(error, -ENOEXEC,
                         "segment at %#llx: overlaps the one before, or is out "
                         "of order",
                         at);

    image->segments[image->segment_count++] = *segment;
    if (image->segment_count == 1)
        image->base = round_down(at, MF_PAGE_BYTES);
    image->end = round_up(at + segment->bytes, MF_PAGE_BYTES);
    return 0;
}

/* One that is of the file. */
static int add_segment(struct image *image, const Elf64_Phdr *ph, char *error)
{
    const struct image_segment segment = {
        .address = ph->p_vaddr,
        .bytes = ph->p_memsz,
        .file_offset = ph->p_offset,
        .file_bytes = ph->p_filesz,
        .write = ph->p_flags & PF_W,
        .execute = ph->p_flags & PF_X,
    };

    if (ph->p_memsz == 0)
        return 0;
    if (!(ph->p_flags & PF_R))
        return error_set(error, -ENOEXEC, "segment at %#llx: not readable",
                         (unsigned long long)ph->p_vaddr);
    return image_add_segment(image, &segment, error);
}

static int use_note(struct image *image, const uint8_t *desc, size_t bytes,
                    char *error)
{
    struct mf_note note;

    if (bytes < sizeof(note))
        return error_set(error, -ENOEXEC, "Mayfly note too short: %zu bytes",
                         bytes);
    memcpy(&note, desc, sizeof(note));
    if (note.abi_major != MF_ABI_MAJOR)
        return error_set(error, -ENOEXEC,
                         "built for Mayfly ABI %u.%u, but this monitor has "
                         "%u.%u; rebuild it with this release's mayfly-cc",
                         note.abi_major, note.abi_minor, MF_ABI_MAJOR,
                         MF_ABI_MINOR);
    if (note.flags & ~(uint64_t)NOTE_FLAGS)
        return error_set(
            error, -ENOEXEC, "needs features that this monitor lacks (%#llx)",
            (unsigned long long)(note.flags & ~(uint64_t)NOTE_FLAGS));
    image->abi_major = note.abi_major;
    image->abi_minor = note.abi_minor;
    image->fault_vectors = note.fault_vectors;
    image->fault_entry = note.fault_vectors ? note.fault_entry : 0;
    image->upcall_entry = note.upcall_entry;
    image->fault_address = note.flags & MF_NOTE_FAULT_ADDRESS;
    image->paging = note.flags & MF_NOTE_PAGING;
    image->signals = note.flags & MF_NOTE_SIGNALS;
    return 0;
}

/* Looks for our note in one PT_NOTE segment. Leaves *found alone if none. */
static int scan_notes(struct image *image, int fd, const Elf64_Phdr *ph,
                      bool *found, char *error)
{
    uint8_t notes[NOTES_BYTES_MAX];
    uint64_t bytes = ph->p_filesz;

    if (bytes > sizeof(notes))
        return error_set(error, -ENOEXEC, "notes too long: %llu bytes",
                         (unsigned long long)bytes);
    int result = read_part(image, fd, notes, bytes, ph->p_offset);
    if (result)
        return error_set(error, result, "notes end past the file's end");

    for (uint64_t at = 0; bytes - at >= sizeof(Elf64_Nhdr);) {
        Elf64_Nhdr note;

        memcpy(&note, notes + at, sizeof(note));
        at += sizeof(note);
        uint64_t name = round_up(note.n_namesz, 4);
        uint64_t desc = round_up(note.n_descsz, 4);
        if (name > bytes - at || desc > bytes - at - name)
            return error_set(error, -ENOEXEC, "a note is cut off");
        if (note.n_type == MF_NOTE_TYPE &&
            note.n_namesz == sizeof(MF_NOTE_NAME) &&
            memcmp(notes + at, MF_NOTE_NAME, sizeof(MF_NOTE_NAME)) == 0) {
            *found = true;
            return use_note(image, notes + at + name, note.n_descsz, error);
        }
        at += name + desc;
    }
    return 0;
}

static bool is_executable(const struct image *image, uint64_t address,
                          uint64_t bytes)
{
    for (unsigned i = 0; i < image->segment_count; i++) {
        const struct image_segment *segment = &image->segments[i];

        if (segment->execute && address >= segment->address &&
            address - segment->address < segment->bytes &&
            bytes <= segment->bytes - (address - segment->address))
            return true;
    }
    return false;
}

/* Where the program headers are in memory, if a segment covers them. */
static uint64_t find_phdr(const struct image *image, const Elf64_Ehdr *elf)
{
    uint64_t bytes = elf->e_phnum * sizeof(Elf64_Phdr);

    for (unsigned i = 0; i < image->segment_count; i++) {
        const struct image_segment *segment = &image->segments[i];

        if (elf->e_phoff >= segment->file_offset &&
            elf->e_phoff - segment->file_offset <= segment->file_bytes &&
            bytes <=
                segment->file_bytes - (elf->e_phoff - segment->file_offset))
            return segment->address + (elf->e_phoff - segment->file_offset);
    }
    return 0;
}

int image_check(const struct image *image, char *error)
{
    if (image->segment_count == 0)
        return error_set(error, -ENOEXEC, "nothing to load");
    if (!is_executable(image, image->entry, 1))
        return error_set(error, -ENOEXEC, "entry point %#llx is not code",
                         (unsigned long long)image->entry);
    if (image->fault_vectors &&
        !is_executable(image, image->fault_entry,
                       MF_FAULT_VECTORS * MF_FAULT_STRIDE))
        return error_set(error, -ENOEXEC, "fault handlers at %#llx: not code",
                         (unsigned long long)image->fault_entry);
    if (image->upcall_entry && !is_executable(image, image->upcall_entry, 1))
        return error_set(error, -ENOEXEC, "upcall handler at %#llx: not code",
                         (unsigned long long)image->upcall_entry);
    return 0;
}

static int check_whole(struct image *image, const Elf64_Ehdr *elf,
                       bool has_note, char *error)
{
    if (!has_note)
        return error_set(error, -ENOEXEC,
                         "not a Mayfly image (no ABI note); build it with "
                         "mayfly-cc");
    image->entry = elf->e_entry;
    image->phdr = find_phdr(image, elf);
    image->phnum = image->phdr ? elf->e_phnum : 0;
    return image_check(image, error);
}

/* What one program header asks for. */
static int use_header(struct image *image, int fd, const Elf64_Phdr *ph,
                      bool *has_note, char *error)
{
    switch (ph->p_type) {
    case PT_LOAD:
        return ph->p_flags & IMAGE_SEGMENT_FOREIGN
                   ? 0
                   : add_segment(image, ph, error);
    case PT_NOTE:
        return *has_note ? 0 : scan_notes(image, fd, ph, has_note, error);
    case PT_INTERP:
    case PT_DYNAMIC:
        return error_set(error, -ENOEXEC,
                         "dynamically linked; build it with mayfly-cc");
    case PT_GNU_STACK:
        if (ph->p_flags & PF_X)
            return error_set(error, -ENOEXEC, "asks for an executable stack");
        if (ph->p_memsz > STACK_BYTES_MAX)
            return error_set(error, -ENOEXEC, "asks for a stack of %llu bytes",
                             (unsigned long long)ph->p_memsz);
        image->stack_bytes = round_up(ph->p_memsz, MF_PAGE_BYTES);
        return 0;
    default:
        return 0;
    }
}

int image_read(struct image *image, int fd, char *error)
{
    Elf64_Ehdr elf = {0};
    bool has_note = false;

    memset(image, 0, sizeof(*image));
    ssize_t got = os_pread(fd, image->head, sizeof(image->head), 0);
    if (got == -EISDIR)
        return error_set(error, -ENOEXEC, "a directory, not an image");
    if (got < 0)
        return error_system(error, (int)got, "cannot read");
    image->head_bytes = (size_t)got;
    int result = check_header(image, &elf, error);
    for (unsigned i = 0; i < elf.e_phnum && !result; i++) {
        uint64_t offset = i * sizeof(Elf64_Phdr);
        Elf64_Phdr ph;

        result = elf.e_phoff > INT64_MAX ? -ENOEXEC
                                         : read_part(image, fd, &ph, sizeof(ph),
                                                     elf.e_phoff + offset);
        if (result)
            return error_set(error, result,
                             "program headers end past the file's end");
        result = use_header(image, fd, &ph, &has_note, error);
    }
    return result ? result : check_whole(image, &elf, has_note, error);
}

int image_load(const struct image *image, int fd, const struct gmem *mem,
               char *error)
{
    for (unsigned i = 0; i < image->segment_count; i++) {
        const struct image_segment *segment = &image->segments[i];
        void *host;

        int result =
            gmem_map(mem, gpa(segment->address), segment->bytes, &host);
        if (result)
            return error_set(error, result, "no room for segment %u", i);
        result = read_part(image, fd, host, segment->file_bytes,
                           segment->file_offset);
        if (result == -ENOEXEC)
            return error_set(error, result,
                             "segment %u ends past the file's end", i);
        if (result)
            return error_system(error, result, "cannot read segment %u", i);
    }
    return 0;
}
