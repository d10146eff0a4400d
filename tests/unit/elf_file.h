/* SPDX-License-Identifier: MIT */
/* A valid image as a structure: tests change a field and see what happens. */
#ifndef TESTS_UNIT_ELF_FILE_H
#define TESTS_UNIT_ELF_FILE_H

/*
 * elf_file_init() describes a small image that the monitor accepts;
 * elf_file_open() writes it, as it then is, to an unnamed file. In the file:
 * headers, the note, one page of code, and some data.
 */

#include <elf.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <mayfly/abi.h>

#define ELF_FILE_NOTE  0xc00u  /* offset of the note */
#define ELF_FILE_CODE  0x1000u /* offset of the code, which is all int3 */
#define ELF_FILE_DATA  0x2000u /* offset of the data, which is all 0xdd */
#define ELF_FILE_BYTES 0x2100u
#define ELF_FILE_PH    40 /* more program headers than any image may have */

/* The program headers of the valid image. */
enum elf_file_ph { PH_HEADERS, PH_CODE, PH_DATA, PH_NOTE, PH_STACK, PH_COUNT };

#define ELF_FILE_ENTRY 0x41010u
#define ELF_FILE_STUBS 0x41100u

struct elf_file {
    Elf64_Ehdr head;
    Elf64_Phdr ph[ELF_FILE_PH];
    struct {
        Elf64_Nhdr head;
        char name[8];
        struct mf_note desc;
    } __attribute__((packed)) note;
    uint64_t bytes; /* the file's length: what lies past it is cut off */
};

static inline Elf64_Phdr elf_file_load(uint32_t flags, uint64_t offset,
                                       uint64_t address, uint64_t file_bytes,
                                       uint64_t bytes)
{
    return (Elf64_Phdr){
        .p_type = PT_LOAD,
        .p_flags = flags,
        .p_offset = offset,
        .p_vaddr = address,
        .p_paddr = address,
        .p_filesz = file_bytes,
        .p_memsz = bytes,
        .p_align = MF_PAGE_BYTES,
    };
}

static inline void elf_file_init(struct elf_file *file)
{
    *file = (struct elf_file){
        .head =
            {
                .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
                            ELFDATA2LSB, EV_CURRENT},
                .e_type = ET_EXEC,
                .e_machine = EM_X86_64,
                .e_version = EV_CURRENT,
                .e_entry = ELF_FILE_ENTRY,
                .e_phoff = sizeof(Elf64_Ehdr),
                .e_ehsize = sizeof(Elf64_Ehdr),
                .e_phentsize = sizeof(Elf64_Phdr),
                .e_phnum = PH_COUNT,
            },
        .note =
            {
                .head = {sizeof(MF_NOTE_NAME), sizeof(struct mf_note),
                         MF_NOTE_TYPE},
                .name = MF_NOTE_NAME,
                .desc = {.abi_major = MF_ABI_MAJOR,
                         .abi_minor = MF_ABI_MINOR,
                         .fault_vectors = 1u << 13 | 1u << 14,
                         .fault_entry = ELF_FILE_STUBS},
            },
        .bytes = ELF_FILE_BYTES,
    };
    file->ph[PH_HEADERS] = elf_file_load(PF_R, 0, 0x40000, 0x1000, 0x1000);
    file->ph[PH_CODE] =
        elf_file_load(PF_R | PF_X, ELF_FILE_CODE, 0x41000, 0x1000, 0x1000);
    file->ph[PH_DATA] =
        elf_file_load(PF_R | PF_W, ELF_FILE_DATA, 0x42010, 0x100, 0x2ff0);
    file->ph[PH_NOTE] = (Elf64_Phdr){
        .p_type = PT_NOTE,
        .p_flags = PF_R,
        .p_offset = ELF_FILE_NOTE,
        .p_filesz = sizeof(file->note),
        .p_memsz = sizeof(file->note),
    };
    file->ph[PH_STACK] = (Elf64_Phdr){
        .p_type = PT_GNU_STACK,
        .p_flags = PF_R | PF_W,
    };
}

/* Adds one program header. */
static inline void elf_file_add(struct elf_file *file, Elf64_Phdr ph)
{
    file->ph[file->head.e_phnum++] = ph;
}

/* An unnamed file with these contents. Ends the process if there is none. */
static inline int memory_file(const void *contents, size_t bytes)
{
    int fd = memfd_create("mayfly-test", MFD_CLOEXEC);

    if (fd < 0 || write(fd, contents, bytes) != (ssize_t)bytes) {
        perror("memfd");
        abort();
    }
    return fd;
}

/* Returns a descriptor of the file. */
static inline int elf_file_open(const struct elf_file *file)
{
    uint8_t bytes[ELF_FILE_BYTES] = {0};

    memcpy(bytes, &file->head, sizeof(file->head));
    memcpy(bytes + sizeof(file->head), file->ph, sizeof(file->ph));
    memcpy(bytes + ELF_FILE_NOTE, &file->note, sizeof(file->note));
    memset(bytes + ELF_FILE_CODE, 0xcc, 0x1000);
    memset(bytes + ELF_FILE_DATA, 0xdd, 0x100);
    return memory_file(bytes, file->bytes);
}

#endif
