/* SPDX-License-Identifier: MIT */
/* Where an upcall enters the guest: saves everything, calls C, goes back. */

#include "guest_rt/asm.h"

/* Large enough for x87, SSE, AVX and AVX-512 state (Intel SDM volume 1, 13.4). */
#define VECTOR_STATE_BYTES 2752
#define XSAVE_HEADER 512

/* The red zone below the interrupted stack pointer is in use. */
#define RED_ZONE_BYTES 128

/*
 * The monitor has pushed ss, rsp, rflags, cs and rip on the upcall stack, as a
 * processor does, and has masked upcalls. The frame moves to the interrupted
 * stack first: from then on the upcall stack is free for the next one, which
 * may come as soon as C unmasks them.
 */
	.section .text.mf_upcall_entry, "ax", @progbits
	.globl mf_upcall_entry
	.type mf_upcall_entry, @function
mf_upcall_entry:
	push %rax
	push %rcx
	mov 40(%rsp), %rax /* the interrupted rsp */
	lea -RED_ZONE_BYTES(%rax), %rax
	and $-16, %rax
	sub $40, %rax
	mov 16(%rsp), %rcx /* rip */
	mov %rcx, 0(%rax)
	mov 24(%rsp), %rcx /* cs */
	mov %rcx, 8(%rax)
	mov 32(%rsp), %rcx /* rflags */
	mov %rcx, 16(%rax)
	mov 40(%rsp), %rcx /* rsp */
	mov %rcx, 24(%rax)
	mov 48(%rsp), %rcx /* ss */
	mov %rcx, 32(%rax)
	mov 8(%rsp), %rcx /* rax */
	mov %rcx, -8(%rax)
	mov 0(%rsp), %rcx /* rcx */
	mov %rcx, -16(%rax)
	lea -16(%rax), %rsp

	push %rdx
	push %rbx
	push %rsi
	push %rdi
	push %r8
	push %r9
	push %r10
	push %r11
	push %r12
	push %r13
	push %r14
	push %r15
	push %rbp
	mov %rsp, %rbp
	cld
	sub $VECTOR_STATE_BYTES, %rsp
	and $-64, %rsp

	mov ASM_BOOT_XCR0, %eax
	mov ASM_BOOT_XCR0 + 4, %edx
	mov %eax, %ebx
	or %edx, %ebx
	jz 1f
	xor %ecx, %ecx
	.irp offset, 0, 8, 16, 24, 32, 40, 48, 56
	mov %rcx, XSAVE_HEADER + \offset(%rsp)
	.endr
	xsave64 (%rsp)
	mov %rbp, %rdi
	mov %rsp, %rsi
	call mf_upcall_enter
	mov ASM_BOOT_XCR0, %eax
	mov ASM_BOOT_XCR0 + 4, %edx
	xrstor64 (%rsp)
	jmp 2f
1:	fxsave64 (%rsp)
	mov %rbp, %rdi
	mov %rsp, %rsi
	call mf_upcall_enter
	fxrstor64 (%rsp)

2:	mov %rbp, %rsp
	pop %rbp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rdi
	pop %rsi
	pop %rbx
	pop %rdx
	pop %rcx
	pop %rax
	iretq
	.size mf_upcall_entry, . - mf_upcall_entry

	.section .note.GNU-stack, "", @progbits
