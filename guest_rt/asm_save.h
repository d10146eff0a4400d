/* SPDX-License-Identifier: MIT */
/* Assembler macros: what is saved of interrupted code, and how it goes on. */
#ifndef MAYFLY_ASM_SAVE_H
#define MAYFLY_ASM_SAVE_H

#include "guest_rt/asm.h"

/* clang-format off */

/* Large enough for x87, SSE, AVX and AVX-512 state (Intel SDM volume 1, 13.4). */
#define VECTOR_STATE_BYTES 2752
#define XSAVE_HEADER       512

/* struct frame (upcall.h), from rdx on: rax and rcx are on the stack already. */
	.macro push_registers
	.irp register, rdx, rbx, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15, rbp
	push %\register
	.endr
	.endm

/* The whole of it; only what iretq takes is left on the stack. */
	.macro pop_registers
	.irp register, rbp, r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbx, rdx, rcx, rax
	pop %\register
	.endr
	.endm

/*
 * Calls function(frame, vectors): the vector state is saved below the frame, of
 * which a register that calls preserve has the address, and then loaded. Leaves
 * the result in ebx, and the stack as it was for the call.
 */
	.macro call_with_vectors function, frame
	lea -VECTOR_STATE_BYTES(\frame), %rsp
	and $-64, %rsp
	mov ASM_BOOT_XCR0, %eax
	mov ASM_BOOT_XCR0 + 4, %edx
	mov %eax, %ecx
	or %edx, %ecx
	jz 1f
	xor %ecx, %ecx
	.irp offset, 0, 8, 16, 24, 32, 40, 48, 56
	mov %rcx, XSAVE_HEADER + \offset(%rsp)
	.endr
	xsave64 (%rsp)
	mov \frame, %rdi
	mov %rsp, %rsi
	call \function
	mov %eax, %ebx
	mov ASM_BOOT_XCR0, %eax
	mov ASM_BOOT_XCR0 + 4, %edx
	xrstor64 (%rsp)
	jmp 2f
1:	fxsave64 (%rsp)
	mov \frame, %rdi
	mov %rsp, %rsi
	call \function
	mov %eax, %ebx
	fxrstor64 (%rsp)
2:
	.endm

#endif
