/* SPDX-License-Identifier: MIT */
/* The ELF loader: what it takes, and every reason to refuse a file. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "tests/unit/elf_file.h"
#include "vmm/base/error.h"
#include "vmm/image.h"

static struct elf_file file;
static struct image image;
static char error[ERROR_BYTES];

static void set_up(void)
{
    elf_file_init(&file);
}

static int read_file(void)
{
    int fd = elf_file_open(&file);
    int result = image_read(&image, fd, error);

    close(fd);
    return result;
}

static void assert_accepted(void)
{
    int result = read_file();

    cr_assert_eq(result, 0, "%d: %s", result, error);
}

/* The file is refused, and the message says why in these words. */
static void assert_refused(const char *why)
{
    int result = read_file();

    cr_assert_eq(result, -ENOEXEC, "%d instead of \"%s\"", result, why);
    cr_assert(strstr(error, why), "\"%s\" instead of \"%s\"", error, why);
}

TestSuite(image_read, .init = set_up);

/* ---- What is accepted --------------------------------------------------- */

Test(image_read, takes_a_valid_image_apart)
{
    assert_accepted();
    cr_assert_eq(image.abi_major, MF_ABI_MAJOR);
    cr_assert_eq(image.abi_minor, MF_ABI_MINOR);
    cr_assert_eq(image.entry, ELF_FILE_ENTRY);
    cr_assert_eq(image.fault_entry, ELF_FILE_STUBS);
    cr_assert_eq(image.fault_vectors, 1u << 13 | 1u << 14);
    cr_assert_eq(image.base, 0x40000);
    cr_assert_eq(image.end, 0x45000);
    cr_assert_eq(image.phdr, 0x40000 + sizeof(Elf64_Ehdr));
    cr_assert_eq(image.phnum, PH_COUNT);
    cr_assert_eq(image.segment_count, 3);
    cr_assert(image.segments[1].execute && !image.segments[1].write);
    cr_assert(image.segments[2].write && !image.segments[2].execute);
    cr_assert_eq(image.segments[2].address, 0x42010);
    cr_assert_eq(image.segments[2].bytes, 0x2ff0);
    cr_assert_eq(image.segments[2].file_offset, ELF_FILE_DATA);
    cr_assert_eq(image.segments[2].file_bytes, 0x100);
}

Test(image_read, takes_a_later_minor_version_and_a_longer_note)
{
    file.note.desc.abi_minor = MF_ABI_MINOR + 1;
    file.note.head.n_descsz += 4;
    file.ph[PH_NOTE].p_filesz += 4;
    assert_accepted();
    cr_assert_eq(image.abi_minor, MF_ABI_MINOR + 1);
}

Test(image_read, takes_an_image_without_fault_handlers)
{
    file.note.desc.fault_vectors = 0;
    file.note.desc.fault_entry = UINT64_MAX;
    assert_accepted();
    cr_assert_eq(image.fault_entry, 0);
}

Test(image_read, says_so_when_no_segment_holds_the_program_headers)
{
    file.ph[PH_HEADERS].p_type = PT_NULL;
    assert_accepted();
    cr_assert_eq(image.phdr, 0);
    cr_assert_eq(image.phnum, 0);
}

Test(image_read, takes_the_stack_size_from_the_stack_header_in_pages)
{
    file.ph[PH_STACK].p_memsz = 0x10001;
    assert_accepted();
    cr_assert_eq(image.stack_bytes, 0x11000);
}

Test(image_read, ignores_segments_without_memory)
{
    elf_file_add(&file, elf_file_load(PF_R | PF_W | PF_X, 0, 0, 0, 0));
    assert_accepted();
    cr_assert_eq(image.segment_count, 3);
}

Test(image_read, leaves_out_a_segment_for_other_machines_and_no_other)
{
    const uint64_t far = UINT64_MAX - 0x10;
    Elf64_Phdr ph = elf_file_load(PF_R | PF_W | PF_X, far, far, far, far);

    ph.p_flags |= IMAGE_SEGMENT_FOREIGN;
    elf_file_add(&file, ph);
    assert_accepted();
    cr_assert_eq(image.segment_count, 3);
    cr_assert_eq(image.end, 0x45000);
    for (uint32_t bit = 0x00200000; bit; bit <<= 1) {
        file.ph[PH_COUNT].p_flags = PF_R | PF_W | PF_X | bit;
        assert_refused("outside");
    }
}

Test(image_read, finds_no_code_in_a_segment_for_other_machines)
{
    file.ph[PH_CODE].p_flags |= IMAGE_SEGMENT_FOREIGN;
    assert_refused("entry point 0x41010 is not code");
}

/* ---- The ELF header ----------------------------------------------------- */

Test(image_read, refuses_an_empty_file)
{
    file.bytes = 0;
    assert_refused("not an ELF file");
}

Test(image_read, refuses_a_file_without_the_magic)
{
    file.head.e_ident[EI_MAG3] ^= 1;
    assert_refused("not an ELF file");
}

Test(image_read, refuses_a_32_bit_file)
{
    file.head.e_ident[EI_CLASS] = ELFCLASS32;
    assert_refused("not an x86-64 ELF file");
}

Test(image_read, refuses_a_big_endian_file)
{
    file.head.e_ident[EI_DATA] = ELFDATA2MSB;
    assert_refused("not an x86-64 ELF file");
}

Test(image_read, refuses_another_machine)
{
    file.head.e_machine = EM_AARCH64;
    assert_refused("not an x86-64 ELF file");
}

Test(image_read, refuses_position_independent_and_relocatable_files)
{
    file.head.e_type = ET_DYN;
    assert_refused("not a static executable (ELF type 3)");
    file.head.e_type = ET_REL;
    assert_refused("not a static executable (ELF type 1)");
}

Test(image_read, refuses_program_headers_of_another_size)
{
    file.head.e_phentsize--;
    assert_refused("bad program headers");
}

Test(image_read, takes_32_program_headers_and_refuses_0_and_33)
{
    file.head.e_phnum = 32;
    assert_accepted();
    file.head.e_phnum = 33;
    assert_refused("bad program headers");
    file.head.e_phnum = 0;
    assert_refused("bad program headers");
}

Test(image_read, refuses_program_headers_past_the_files_end)
{
    const uint64_t bytes = PH_COUNT * sizeof(Elf64_Phdr);
    const uint64_t offsets[] = {
        ELF_FILE_BYTES - bytes + 1,
        ELF_FILE_BYTES,
        INT64_MAX - 1,
        INT64_MAX,
        (uint64_t)INT64_MAX + 1,
        UINT64_MAX,
        UINT64_MAX - bytes + 1,
        (uint64_t)INT64_MAX - bytes,
    };

    for (unsigned i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        file.head.e_phoff = offsets[i];
        assert_refused("program headers end past the file's end");
    }
}

Test(image_read, refuses_what_only_a_dynamic_linker_could_load)
{
    elf_file_add(&file, (Elf64_Phdr){.p_type = PT_INTERP});
    assert_refused("dynamically linked");
    file.ph[PH_COUNT].p_type = PT_DYNAMIC;
    assert_refused("dynamically linked");
}

/* ---- Segments ----------------------------------------------------------- */

Test(image_read, refuses_a_segment_that_is_writable_and_executable)
{
    file.ph[PH_CODE].p_flags |= PF_W;
    assert_refused("writable and executable");
}

Test(image_read, refuses_a_segment_that_cannot_be_read)
{
    file.ph[PH_CODE].p_flags = PF_X;
    assert_refused("not readable");
}

Test(image_read, takes_the_lowest_address_and_refuses_the_byte_before)
{
    file.ph[PH_HEADERS].p_vaddr = MF_IMAGE_BASE;
    assert_accepted();
    file.ph[PH_HEADERS].p_vaddr = MF_IMAGE_BASE - 1;
    assert_refused("outside");
    file.ph[PH_HEADERS].p_vaddr = 0;
    assert_refused("outside");
}

Test(image_read, takes_the_last_byte_below_3_gib_and_refuses_the_next)
{
    Elf64_Phdr *data = &file.ph[PH_DATA];

    data->p_vaddr = MF_RAM_LOW_END - data->p_memsz;
    assert_accepted();
    cr_assert_eq(image.end, MF_RAM_LOW_END);
    data->p_vaddr++;
    assert_refused("outside");
    data->p_vaddr = MF_RAM_LOW_END;
    assert_refused("outside");
}

Test(image_read, refuses_segments_that_wrap_around)
{
    Elf64_Phdr *data = &file.ph[PH_DATA];

    data->p_vaddr = UINT64_MAX - 0x10;
    assert_refused("outside");
    data->p_vaddr = 0x42010;
    data->p_memsz = UINT64_MAX;
    assert_refused("outside");
    data->p_memsz = UINT64_MAX - data->p_vaddr + 2;
    assert_refused("outside");
}

Test(image_read, refuses_more_bytes_in_the_file_than_in_memory)
{
    file.ph[PH_DATA].p_filesz = file.ph[PH_DATA].p_memsz;
    assert_accepted();
    file.ph[PH_DATA].p_filesz++;
    assert_refused("larger in the file than in memory");
}

Test(image_read, takes_segments_in_neighbouring_pages_and_refuses_a_shared_one)
{
    file.ph[PH_DATA].p_vaddr = 0x42000;
    assert_accepted();
    file.ph[PH_DATA].p_vaddr = 0x41fff;
    assert_refused("overlaps");
    file.ph[PH_DATA].p_vaddr = 0x42010;
    file.ph[PH_CODE].p_memsz = 0x1001;
    assert_refused("overlaps");
}

Test(image_read, refuses_segments_out_of_order)
{
    Elf64_Phdr code = file.ph[PH_CODE];

    file.ph[PH_CODE] = file.ph[PH_DATA];
    file.ph[PH_DATA] = code;
    assert_refused("out of order");
}

Test(image_read, takes_16_segments_and_refuses_17)
{
    for (unsigned i = 3; i < IMAGE_SEGMENTS_MAX; i++)
        elf_file_add(&file, elf_file_load(PF_R, 0, 0x50000 + i * 0x1000, 1, 1));
    assert_accepted();
    cr_assert_eq(image.segment_count, IMAGE_SEGMENTS_MAX);
    elf_file_add(&file, elf_file_load(PF_R, 0, 0x80000, 1, 1));
    assert_refused("more than 16 segments");
}

Test(image_read, refuses_an_image_without_segments)
{
    file.ph[PH_HEADERS].p_type = PT_NULL;
    file.ph[PH_CODE].p_type = PT_NULL;
    file.ph[PH_DATA].p_type = PT_NULL;
    assert_refused("nothing to load");
}

Test(image_read, refuses_an_executable_stack)
{
    file.ph[PH_STACK].p_flags |= PF_X;
    assert_refused("executable stack");
}

Test(image_read, takes_a_stack_of_1_gib_and_refuses_a_larger_one)
{
    file.ph[PH_STACK].p_memsz = 1ull << 30;
    assert_accepted();
    file.ph[PH_STACK].p_memsz++;
    assert_refused("asks for a stack of");
    file.ph[PH_STACK].p_memsz = UINT64_MAX;
    assert_refused("asks for a stack of");
}

/* ---- Entry points ------------------------------------------------------- */

Test(image_read, takes_the_first_and_last_byte_of_code_as_the_entry_point)
{
    file.head.e_entry = 0x41000;
    assert_accepted();
    file.head.e_entry = 0x41fff;
    assert_accepted();
}

Test(image_read, refuses_an_entry_point_outside_code)
{
    const uint64_t bad[] = {0, 0x40fff, 0x42000, 0x42010, UINT64_MAX};

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        file.head.e_entry = bad[i];
        assert_refused("is not code");
    }
}

Test(image_read, takes_fault_stubs_up_to_the_end_of_code_and_not_past_it)
{
    const uint64_t last = 0x42000 - MF_FAULT_VECTORS * MF_FAULT_STRIDE;
    const uint64_t bad[] = {0, 0x40fff, last + 1, 0x42010, UINT64_MAX};

    file.note.desc.fault_entry = last;
    assert_accepted();
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        file.note.desc.fault_entry = bad[i];
        assert_refused("fault handlers");
    }
}

Test(image_read, takes_an_upcall_handler_inside_code_and_not_past_it)
{
    const uint64_t bad[] = {1, 0x40fff, 0x42000, UINT64_MAX};

    file.note.desc.upcall_entry = 0x41fff;
    assert_accepted();
    cr_assert_eq(image.upcall_entry, 0x41fff);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        file.note.desc.upcall_entry = bad[i];
        assert_refused("upcall handler");
    }
}

/* ---- The note ----------------------------------------------------------- */

Test(image_read, refuses_an_image_without_a_note)
{
    file.ph[PH_NOTE].p_type = PT_NULL;
    assert_refused("no ABI note");
}

Test(image_read, passes_over_notes_of_other_names_and_types)
{
    file.note.name[0] = 'm';
    assert_refused("no ABI note");
    file.note.name[0] = 'M';
    file.note.head.n_type++;
    assert_refused("no ABI note");
}

Test(image_read, refuses_the_major_versions_next_to_its_own)
{
    char why[128];

    snprintf(why, sizeof(why),
             "built for Mayfly ABI %u.%u, but this monitor has %u.%u",
             MF_ABI_MAJOR + 1, MF_ABI_MINOR, MF_ABI_MAJOR, MF_ABI_MINOR);
    file.note.desc.abi_major = MF_ABI_MAJOR + 1;
    assert_refused(why);
    snprintf(why, sizeof(why), "built for Mayfly ABI %u.%u", MF_ABI_MAJOR - 1,
             MF_ABI_MINOR);
    file.note.desc.abi_major = MF_ABI_MAJOR - 1;
    assert_refused(why);
}

Test(image_read, takes_the_flags_that_it_knows)
{
    static const struct {
        uint64_t flags;
        bool fault_address, paging, signals;
    } cases[] = {
        {0, false, false, false},
        {MF_NOTE_FAULT_ADDRESS, true, false, false},
        {MF_NOTE_PAGING, false, true, false},
        {MF_NOTE_SIGNALS, false, false, true},
        {MF_NOTE_FAULT_ADDRESS | MF_NOTE_PAGING, true, true, false},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        file.note.desc.flags = cases[i].flags;
        assert_accepted();
        cr_assert_eq(image.fault_address, cases[i].fault_address);
        cr_assert_eq(image.paging, cases[i].paging);
        cr_assert_eq(image.signals, cases[i].signals);
    }
}

Test(image_read, refuses_flags_that_it_does_not_know)
{
    for (unsigned bit = 3; bit < 64; bit++) {
        file.note.desc.flags = 1ull << bit;
        assert_refused("needs features that this monitor lacks");
        file.note.desc.flags |= MF_NOTE_FAULT_ADDRESS | MF_NOTE_PAGING;
        assert_refused("needs features that this monitor lacks");
    }
}

Test(image_read, refuses_a_note_that_is_one_byte_short)
{
    file.note.head.n_descsz--;
    assert_refused("note too short");
}

Test(image_read, refuses_a_note_that_its_header_cuts_off)
{
    file.ph[PH_NOTE].p_filesz--;
    assert_refused("a note is cut off");
}

Test(image_read, refuses_notes_with_absurd_lengths)
{
    file.note.head.n_namesz = UINT32_MAX;
    assert_refused("a note is cut off");
    file.note.head.n_namesz = sizeof(MF_NOTE_NAME);
    file.note.head.n_descsz = UINT32_MAX;
    assert_refused("a note is cut off");
}

Test(image_read, refuses_notes_past_the_files_end)
{
    file.ph[PH_NOTE].p_offset = ELF_FILE_BYTES - sizeof(file.note) + 1;
    assert_refused("notes end past the file's end");
    file.ph[PH_NOTE].p_offset = UINT64_MAX;
    assert_refused("notes end past the file's end");
}

Test(image_read, takes_1024_bytes_of_notes_and_refuses_one_more)
{
    file.ph[PH_NOTE].p_filesz = 1024;
    assert_accepted();
    file.ph[PH_NOTE].p_filesz = 1025;
    assert_refused("notes too long");
}

/* ---- Reading ------------------------------------------------------------ */

Test(image_read, refuses_a_directory)
{
    int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    cr_assert_eq(image_read(&image, fd, error), -ENOEXEC);
    cr_assert(strstr(error, "a directory"));
    close(fd);
}

Test(image_read, passes_on_what_reading_said)
{
    cr_assert_eq(image_read(&image, -1, error), -EBADF);
    cr_assert(strstr(error, "cannot read"));
    cr_assert_eq(image_read(&image, -1, NULL), -EBADF);
}

static uint8_t ram[0x60000];

static int load_file(void)
{
    struct gmem mem = {.regions = {{0, sizeof(ram), ram}}, .count = 1};
    int fd = elf_file_open(&file);
    int result = image_read(&image, fd, error);

    if (!result)
        result = image_load(&image, fd, &mem, error);
    close(fd);
    return result;
}

TestSuite(image_load, .init = set_up);

Test(image_load, copies_segments_and_leaves_the_rest_zero)
{
    cr_assert_eq(load_file(), 0);
    cr_assert_eq(memcmp(ram + 0x40000, ELFMAG, SELFMAG), 0);
    cr_assert_eq(ram[0x41000], 0xcc);
    cr_assert_eq(ram[0x41fff], 0xcc);
    cr_assert_eq(ram[0x4200f], 0);
    cr_assert_eq(ram[0x42010], 0xdd);
    cr_assert_eq(ram[0x4210f], 0xdd);
    cr_assert_eq(ram[0x42110], 0);
    cr_assert_eq(ram[0x44fff], 0);
}

Test(image_load, refuses_a_file_cut_off_anywhere)
{
    for (file.bytes = 0; file.bytes < ELF_FILE_BYTES; file.bytes++)
        cr_assert_eq(load_file(), -ENOEXEC, "%u bytes", (unsigned)file.bytes);
    cr_assert_eq(load_file(), 0);
}

Test(image_load, names_the_segment_that_the_file_cuts_off)
{
    file.bytes = ELF_FILE_BYTES - 1;
    cr_assert_eq(load_file(), -ENOEXEC);
    cr_assert_str_eq(error, "segment 2 ends past the file's end");
}

Test(image_load, refuses_contents_at_offsets_that_no_file_has)
{
    const uint64_t offsets[] = {INT64_MAX - 0xff, INT64_MAX,
                                (uint64_t)INT64_MAX + 1, UINT64_MAX};

    for (unsigned i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        file.ph[PH_DATA].p_offset = offsets[i];
        cr_assert_eq(load_file(), -ENOEXEC);
        cr_assert(strstr(error, "past the file's end"));
    }
}

Test(image_load, refuses_a_segment_that_memory_has_no_room_for)
{
    Elf64_Phdr *data = &file.ph[PH_DATA];

    data->p_memsz = sizeof(ram) - data->p_vaddr;
    cr_assert_eq(load_file(), 0);
    data->p_memsz++;
    cr_assert_eq(load_file(), -EFAULT);
    cr_assert_str_eq(error, "no room for segment 2");
}
