/* SPDX-License-Identifier: MIT */
/* The note by which an image says which ABI it needs. */
#ifndef MAYFLY_NOTE_H
#define MAYFLY_NOTE_H

/*
 * The runtime brings a note along. A program that wants its own fault handlers
 * defines one itself, once, at file scope; the runtime's is then not linked:
 *
 *   #include <mayfly/note.h>
 *   MF_NOTE(1u << 14, my_stubs);
 */

#include <stdint.h>
#include <mayfly/abi.h>

/* The runtime's handlers: stub n reports exception n and ends the VM. */
extern const char mf_fault_stubs[];

/* The runtime's upcall handler, in programs that use <mayfly/upcall.h>. */
extern const char mf_upcall_entry[] __attribute__((weak));

/*
 * MF_NOTE_* of what the image contains (mayfly.ld), as an address: 0 where
 * another linker script is used.
 */
extern const char mf_note_flags[] __attribute__((weak));

/*
 * The exceptions that code in ring 3 can cause: #DE #DB #BP #OF #BR #UD #NM
 * #DF #TS #NP #SS #GP #PF #MF #AC #XM #CP.
 */
#define MF_NOTE_VECTORS 0x002b7dfbu

struct mf_note_elf {
    uint32_t name_bytes;
    uint32_t note_bytes;
    uint32_t type;
    char name[8];
    struct mf_note note;
} __attribute__((packed, aligned(4)));

/*
 * Defines the image's note: bit n of vectors asks for a gate for exception n,
 * to stub n of the table at stubs.
 */
#define MF_NOTE(vectors, stubs)                                        \
    __attribute__((section(".note.mayfly"), aligned(4), used, retain)) \
    const struct mf_note_elf __mayfly_note = {                         \
        .name_bytes = sizeof(MF_NOTE_NAME),                            \
        .note_bytes = sizeof(struct mf_note),                          \
        .type = MF_NOTE_TYPE,                                          \
        .name = MF_NOTE_NAME,                                          \
        .note = {.abi_major = MF_ABI_MAJOR,                            \
                 .abi_minor = MF_ABI_MINOR,                            \
                 .fault_vectors = (vectors),                           \
                 .fault_entry = (uint64_t)(stubs),                     \
                 .upcall_entry = (uint64_t)mf_upcall_entry,            \
                 .flags = (uint64_t)mf_note_flags},                    \
    }

#endif
