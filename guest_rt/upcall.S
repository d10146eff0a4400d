/* SPDX-License-Identifier: MIT */
/* Where an upcall enters the guest: saves everything, calls C, goes back. */

#include "guest_rt/asm_save.h"

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

	push_registers
	mov %rsp, %rbp
	cld
	call_with_vectors mf_upcall_enter, %rbp
	mov %rbp, %rsp
	pop_registers
	iretq
	.size mf_upcall_entry, . - mf_upcall_entry

	.section .note.GNU-stack, "", @progbits
