/* SPDX-License-Identifier: MIT */
/* The ABI's numbers as the assembler can read them; start.c checks them. */
#ifndef MAYFLY_ASM_H
#define MAYFLY_ASM_H

#define ASM_HYPERCALL_PORT 0x6d
#define ASM_HC_CRASH       3
#define ASM_CRASH_FAULT    0
#define ASM_CRASH_ABORT    1

/* struct mf_crash */
#define ASM_CRASH_BYTES  160
#define ASM_CRASH_KIND   0x00
#define ASM_CRASH_VECTOR 0x04
#define ASM_CRASH_ERROR  0x08
#define ASM_CRASH_REGS   0x10
#define ASM_CRASH_RIP    0x90
#define ASM_CRASH_RFLAGS 0x98

/* struct mf_crash's regs, by enum mf_reg */
#define ASM_CRASH_REG(number) (ASM_CRASH_REGS + 8 * (number))
#define ASM_RAX               0
#define ASM_RBX               1
#define ASM_RCX               2
#define ASM_RDX               3
#define ASM_RSI               4
#define ASM_RDI               5
#define ASM_RBP               6
#define ASM_RSP               7

/* struct fault_frame */
#define ASM_FRAME_BYTES       192
#define ASM_FRAME_REG(number) (8 * (number))
#define ASM_FRAME_ADDRESS     128
#define ASM_FRAME_VECTOR      136
#define ASM_FRAME_ERROR       144
#define ASM_FRAME_RIP         152
#define ASM_FRAME_CS          160
#define ASM_FRAME_RFLAGS      168
#define ASM_FRAME_RSP         176
#define ASM_FRAME_SS          184

/* The boot page and fields of it */
#define ASM_BOOT_PAGE          0x10000
#define ASM_BOOT_XCR0          0x100a0
#define ASM_BOOT_FAULT_ADDRESS 0x10110
#define ASM_BOOT_FAULT_RAX     0x10118
#define ASM_BOOT_FLUSH_RAX     0x10120

/* Segment selectors under other machines than Mayfly (pvh.S) */
#define ASM_PVH_KERNEL_CS 0x08
#define ASM_PVH_KERNEL_DS 0x10
#define ASM_PVH_USER_DS   0x1b
#define ASM_PVH_USER_CS   0x23
#define ASM_PVH_TSS       0x28

#define ASM_FAULT_VECTORS 32
#define ASM_FAULT_STRIDE  16

#endif
