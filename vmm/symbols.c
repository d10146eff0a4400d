/* SPDX-License-Identifier: MIT */
/* Looking up names: bounded reads, nothing kept, nothing believed. */
#include "vmm/symbols.h"

#include <elf.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/os.h"
#include "vmm/base/util.h"

#define SECTIONS_MAX 256
#define SYMBOLS_MAX  (1u << 20)
#define CHUNK        64 /* symbols read at once */

/* The best candidate for one address so far. */
struct match {
    uint64_t start;
    uint32_t name; /* offset in the string table */
    bool found;
};

#define MATCHES_MAX 64

static bool read_all(int fd, void *to, size_t bytes, uint64_t offset)
{
    return offset <= INT64_MAX &&
           os_pread(fd, to, bytes, (off_t)offset) == (ssize_t)bytes;
}

static bool find_table(int fd, Elf64_Shdr *symtab, Elf64_Shdr *strtab)
{
    Elf64_Ehdr elf;

    if (!read_all(fd, &elf, sizeof(elf), 0) ||
        memcmp(elf.e_ident, ELFMAG, SELFMAG) != 0 ||
        elf.e_shentsize != sizeof(Elf64_Shdr) || elf.e_shnum > SECTIONS_MAX)
        return false;
    for (unsigned i = 0; i < elf.e_shnum; i++) {
        uint64_t at = elf.e_shoff + i * sizeof(*symtab);

        if (!read_all(fd, symtab, sizeof(*symtab), at))
            return false;
        if (symtab->sh_type != SHT_SYMTAB)
            continue;
        at = elf.e_shoff + symtab->sh_link * sizeof(*strtab);
        return symtab->sh_entsize == sizeof(Elf64_Sym) &&
               symtab->sh_link < elf.e_shnum &&
               read_all(fd, strtab, sizeof(*strtab), at);
    }
    return false;
}

static bool is_better(const Elf64_Sym *symbol, uint64_t address,
                      const struct match *best)
{
    unsigned type = ELF64_ST_TYPE(symbol->st_info);

    /* Absolute symbols are numbers. */
    if (symbol->st_shndx == SHN_UNDEF || symbol->st_shndx == SHN_ABS ||
        symbol->st_value > address)
        return false;
    if (type != STT_FUNC && type != STT_NOTYPE)
        return false;
    if (symbol->st_size && address - symbol->st_value >= symbol->st_size)
        return false;
    return !best->found || symbol->st_value > best->start ||
           (symbol->st_value == best->start && type == STT_FUNC);
}

static void match_symbols(int fd, const Elf64_Shdr *symtab,
                          const struct symbol *symbols, struct match *matches,
                          unsigned count)
{
    uint64_t total = min_u64(symtab->sh_size / sizeof(Elf64_Sym), SYMBOLS_MAX);
    Elf64_Sym chunk[CHUNK];

    for (uint64_t done = 0; done < total;) {
        size_t now = (size_t)min_u64(total - done, CHUNK);

        if (!read_all(fd, chunk, now * sizeof(chunk[0]),
                      symtab->sh_offset + done * sizeof(chunk[0])))
            return;
        for (size_t i = 0; i < now; i++)
            for (unsigned m = 0; m < count; m++)
                if (is_better(&chunk[i], symbols[m].address, &matches[m]))
                    matches[m] = (struct match){chunk[i].st_value,
                                                chunk[i].st_name, true};
        done += now;
    }
}

static void copy_printable(char *to, size_t room, const char *from,
                           size_t bytes)
{
    size_t used = 0;

    for (size_t i = 0; i < bytes && from[i]; i++) {
        unsigned char c = (unsigned char)from[i];
        bool plain = c >= 0x20 && c < 0x7f && c != '\\';
        size_t need = plain ? 1 : 4;

        if (used + need >= room)
            break;
        if (plain)
            to[used] = (char)c;
        else
            snprintf(to + used, room - used, "\\x%02x", c);
        used += need;
    }
    to[used] = '\0';
}

void symbols_find(int fd, struct symbol *symbols, unsigned count)
{
    struct match matches[MATCHES_MAX] = {0};
    Elf64_Shdr symtab, strtab;

    bug_on(count > MATCHES_MAX);
    for (unsigned i = 0; i < count; i++)
        symbols[i].name[0] = '\0';
    if (!find_table(fd, &symtab, &strtab))
        return;
    match_symbols(fd, &symtab, symbols, matches, count);
    for (unsigned i = 0; i < count; i++) {
        char raw[128];

        if (!matches[i].found || matches[i].name >= strtab.sh_size)
            continue;
        size_t room =
            (size_t)min_u64(sizeof(raw), strtab.sh_size - matches[i].name);
        uint64_t at = strtab.sh_offset + matches[i].name;
        if (at > INT64_MAX)
            continue;
        ssize_t got = os_pread(fd, raw, room, (off_t)at);
        if (got <= 0)
            continue;
        copy_printable(symbols[i].name, symbols[i].name_bytes, raw,
                       (size_t)got);
        symbols[i].offset = symbols[i].address - matches[i].start;
    }
}
