/* SPDX-License-Identifier: MIT */
/* Names for addresses: the right ones, and none out of damaged tables. */
#include <criterion/criterion.h>
#include <elf.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/elf_file.h"
#include "vmm/symbols.h"

#define SYMBOLS 100 /* more than are read at once */

/* A file of nothing but a symbol table. */
static struct {
    Elf64_Ehdr head;
    Elf64_Shdr sections[3]; /* none, symbols, strings */
    Elf64_Sym symbols[SYMBOLS];
    char strings[512];
} file;
static uint32_t strings_used;
static unsigned symbol_count;
static char name[96];

static void add_symbol(const char *text, uint64_t address, uint64_t bytes,
                       unsigned type)
{
    file.symbols[symbol_count++] = (Elf64_Sym){
        .st_name = strings_used,
        .st_info = (unsigned char)ELF64_ST_INFO(STB_GLOBAL, type),
        .st_shndx = 1,
        .st_value = address,
        .st_size = bytes,
    };
    strcpy(file.strings + strings_used, text);
    strings_used += (uint32_t)strlen(text) + 1;
}

static void set_up(void)
{
    memcpy(file.head.e_ident, ELFMAG, SELFMAG);
    file.head.e_shoff = offsetof(typeof(file), sections);
    file.head.e_shentsize = sizeof(Elf64_Shdr);
    file.head.e_shnum = 3;
    file.sections[1] = (Elf64_Shdr){
        .sh_type = SHT_SYMTAB,
        .sh_offset = offsetof(typeof(file), symbols),
        .sh_size = sizeof(file.symbols),
        .sh_link = 2,
        .sh_entsize = sizeof(Elf64_Sym),
    };
    file.sections[2] = (Elf64_Shdr){
        .sh_type = SHT_STRTAB,
        .sh_offset = offsetof(typeof(file), strings),
        .sh_size = sizeof(file.strings),
    };
    strings_used = 1;
    add_symbol("first", 0x1000, 0x100, STT_FUNC);
    add_symbol("second", 0x2000, 0x100, STT_FUNC);
}

/* The name of an address, and how far behind its start it is. */
static const char *find(uint64_t address, uint64_t *offset)
{
    struct symbol symbol = {
        .address = address,
        .name = name,
        .name_bytes = sizeof(name),
    };
    int fd = memory_file(&file, sizeof(file));

    memset(name, '?', sizeof(name));
    symbols_find(fd, &symbol, 1);
    close(fd);
    cr_assert(memchr(name, '\0', sizeof(name)));
    if (offset)
        *offset = symbol.offset;
    return name;
}

TestSuite(symbols, .init = set_up);

Test(symbols, names_the_first_and_last_byte_of_a_function)
{
    uint64_t offset;

    cr_assert_str_eq(find(0x1000, &offset), "first");
    cr_assert_eq(offset, 0);
    cr_assert_str_eq(find(0x10ff, &offset), "first");
    cr_assert_eq(offset, 0xff);
}

Test(symbols, has_no_name_before_and_after_a_function)
{
    cr_assert_str_eq(find(0xfff, NULL), "");
    cr_assert_str_eq(find(0x1100, NULL), "");
    cr_assert_str_eq(find(0, NULL), "");
    cr_assert_str_eq(find(UINT64_MAX, NULL), "");
}

Test(symbols, names_what_follows_a_label_without_a_size)
{
    add_symbol("label", 0x3000, 0, STT_NOTYPE);
    cr_assert_str_eq(find(0x3456, NULL), "label");
}

Test(symbols, prefers_the_nearest_symbol_and_functions_among_equals)
{
    add_symbol("inner", 0x1080, 0x10, STT_FUNC);
    cr_assert_str_eq(find(0x1085, NULL), "inner");
    cr_assert_str_eq(find(0x1090, NULL), "first");
    add_symbol("label", 0x2000, 0, STT_NOTYPE);
    cr_assert_str_eq(find(0x2000, NULL), "second");
}

Test(symbols, passes_over_data_and_undefined_symbols)
{
    add_symbol("data", 0x4000, 0x100, STT_OBJECT);
    add_symbol("elsewhere", 0x5000, 0x100, STT_FUNC);
    file.symbols[symbol_count - 1].st_shndx = SHN_UNDEF;
    cr_assert_str_eq(find(0x4000, NULL), "");
    cr_assert_str_eq(find(0x5000, NULL), "");
}

Test(symbols, reads_the_whole_table)
{
    symbol_count = SYMBOLS - 1;
    add_symbol("last", 0x9000, 1, STT_FUNC);
    cr_assert_str_eq(find(0x9000, NULL), "last");
}

Test(symbols, names_many_addresses_at_once)
{
    char names[64][16];
    struct symbol wanted[64];
    int fd = memory_file(&file, sizeof(file));

    for (unsigned i = 0; i < 64; i++)
        wanted[i] = (struct symbol){
            .address = i % 2 ? 0x1000 + i : 0x2000 + i,
            .name = names[i],
            .name_bytes = sizeof(names[i]),
        };
    symbols_find(fd, wanted, 64);
    for (unsigned i = 0; i < 64; i++) {
        cr_assert_str_eq(names[i], i % 2 ? "first" : "second");
        cr_assert_eq(wanted[i].offset, i);
    }
    close(fd);
}

/* ---- What names are made of --------------------------------------------- */

Test(symbols, escapes_what_is_not_printable)
{
    add_symbol("a\x1b[31m\n\x7f\xff\\b", 0x6000, 1, STT_FUNC);
    cr_assert_str_eq(find(0x6000, NULL), "a\\x1b[31m\\x0a\\x7f\\xff\\x5cb");
}

Test(symbols, leaves_printable_characters_alone)
{
    add_symbol(" ~operator+<int>()", 0x6000, 1, STT_FUNC);
    cr_assert_str_eq(find(0x6000, NULL), " ~operator+<int>()");
}

Test(symbols, cuts_names_that_are_too_long_between_characters)
{
    char text[300];

    memset(text, 'n', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    add_symbol(text, 0x6000, 1, STT_FUNC);
    find(0x6000, NULL);
    cr_assert_eq(strlen(name), sizeof(name) - 1);
    memset(text, '\1', sizeof(text) - 1);
    memcpy(file.strings + file.symbols[2].st_name, text, sizeof(text));
    find(0x6000, NULL);
    cr_assert_eq(strlen(name), (sizeof(name) - 1) / 4 * 4);
}

Test(symbols, fits_any_name_into_a_single_byte)
{
    struct symbol symbol = {.address = 0x1000, .name = name, .name_bytes = 1};
    int fd = memory_file(&file, sizeof(file));

    name[1] = '?';
    symbols_find(fd, &symbol, 1);
    close(fd);
    cr_assert_eq(name[0], '\0');
    cr_assert_eq(name[1], '?');
}

/* ---- Damage ------------------------------------------------------------- */

Test(symbols, has_no_names_for_a_file_that_is_no_elf_file)
{
    file.head.e_ident[0] = 0;
    cr_assert_str_eq(find(0x1000, NULL), "");
}

Test(symbols, has_no_names_for_a_stripped_file)
{
    file.head.e_shnum = 0;
    cr_assert_str_eq(find(0x1000, NULL), "");
}

Test(symbols, takes_256_sections_and_no_more)
{
    file.head.e_shnum = 256;
    cr_assert_str_eq(find(0x1000, NULL), "first");
    file.head.e_shnum = 257;
    cr_assert_str_eq(find(0x1000, NULL), "");
}

Test(symbols, has_no_names_when_headers_are_somewhere_else)
{
    const uint64_t places[] = {sizeof(file), INT64_MAX, UINT64_MAX,
                               UINT64_MAX - sizeof(Elf64_Shdr)};

    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        file.head.e_shoff = places[i];
        cr_assert_str_eq(find(0x1000, NULL), "");
    }
}

Test(symbols, has_no_names_when_the_table_is_somewhere_else)
{
    const uint64_t places[] = {sizeof(file), INT64_MAX, UINT64_MAX,
                               UINT64_MAX - sizeof(Elf64_Sym)};

    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        file.sections[1].sh_offset = places[i];
        cr_assert_str_eq(find(0x1000, NULL), "");
    }
}

Test(symbols, has_no_names_when_the_strings_are_somewhere_else)
{
    const uint64_t places[] = {sizeof(file), INT64_MAX, UINT64_MAX - 99};

    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        file.sections[2].sh_offset = places[i];
        cr_assert_str_eq(find(0x1000, NULL), "");
    }
}

Test(symbols, has_no_names_when_sizes_or_links_are_wrong)
{
    file.sections[1].sh_link = 3;
    cr_assert_str_eq(find(0x1000, NULL), "");
    file.sections[1].sh_link = 2;
    file.sections[1].sh_entsize--;
    cr_assert_str_eq(find(0x1000, NULL), "");
    file.sections[1].sh_entsize++;
    file.head.e_shentsize++;
    cr_assert_str_eq(find(0x1000, NULL), "");
}

Test(symbols, has_no_name_past_the_end_of_the_strings)
{
    file.sections[2].sh_size = file.symbols[0].st_name;
    cr_assert_str_eq(find(0x1000, NULL), "");
    file.sections[2].sh_size++;
    cr_assert_str_eq(find(0x1000, NULL), "f");
    file.symbols[0].st_name = UINT32_MAX;
    cr_assert_str_eq(find(0x1000, NULL), "");
}

Test(symbols, survives_a_table_that_claims_to_be_endless)
{
    file.sections[1].sh_size = UINT64_MAX;
    find(0x1000, NULL);
    file.sections[1].sh_offset = 0;
    find(0x1000, NULL);
}

Test(symbols, survives_a_file_cut_off_anywhere)
{
    struct symbol symbol = {
        .address = 0x1000,
        .name = name,
        .name_bytes = sizeof(name),
    };

    for (size_t bytes = 0; bytes <= sizeof(file); bytes += 7) {
        int fd = memory_file(&file, bytes);

        symbols_find(fd, &symbol, 1);
        cr_assert(memchr(name, '\0', sizeof(name)));
        close(fd);
    }
    symbols_find(-1, &symbol, 1);
    cr_assert_str_eq(name, "");
}
