/* SPDX-License-Identifier: MIT */
/* The smallest guest for QEMU: one byte to the serial port, then the end. */

/*
 * QEMU's firmware finds the entry point in the Xen PVH note and jumps to it in
 * 32-bit protected mode. isa-debug-exit at port 0xf4 ends QEMU with status
 * 2 * value + 1.
 */
    .section .note.pvh, "a", @note
    .long 4, 4, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long _start

    .text
    .code32
    .globl _start
_start:
    movb $'!', %al
    movw $0x3f8, %dx
    outb %al, %dx
    xorl %eax, %eax
    movw $0xf4, %dx
    outb %al, %dx
1:  hlt
    jmp 1b

    .section .note.GNU-stack, "", @progbits
