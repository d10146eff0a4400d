/* SPDX-License-Identifier: MIT */
/* Function names out of an image's symbol table, as hostile input. */
#ifndef VMM_SYMBOLS_H
#define VMM_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

/* One address to name. */
struct symbol {
    uint64_t address;  /* in: what to look up */
    uint64_t offset;   /* out: distance from the function's start */
    char *name;        /* out: printable text, empty if there is none */
    size_t name_bytes; /* in: room for it, at least 1 */
};

/*
 * Names `count` addresses from the ELF file open on `fd`, reading its symbol
 * table once, piece by piece. What is missing, damaged or longer than the file
 * leaves names empty. Characters that are not printable ASCII are written as
 * \xNN.
 */
void symbols_find(int fd, struct symbol *symbols, unsigned count);

#endif
