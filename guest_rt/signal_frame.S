/* SPDX-License-Identifier: MIT */
/* Into handlers, and back to whatever they leave as the place to go on. */

#include "guest_rt/asm_save.h"

/* FXSAVE's area (Intel SDM volume 1, 10.5.1). */
#define FXSAVE_BYTES 512

/*
 * void signal_call_with_frame(void (*body)(struct frame *, void *vectors))
 *
 * Makes a struct frame as an interrupt right behind the call would. rbp stays
 * the caller's for the sake of backtraces.
 */
	.section .text.signal_call_with_frame, "ax", @progbits
	.globl signal_call_with_frame
	.type signal_call_with_frame, @function
signal_call_with_frame:
	mov %rsp, %rax
	mov %ss, %ecx
	push %rcx
	lea 8(%rax), %rcx
	push %rcx
	pushf
	mov %cs, %ecx
	push %rcx
	push (%rax)
	push %rax
	push %rcx
	push_registers
	mov %rsp, %rbx
	sub $FXSAVE_BYTES, %rsp
	and $-64, %rsp
	fxsave64 (%rsp)
	mov %rdi, %rax
	mov %rbx, %rdi
	mov %rsp, %rsi
	call *%rax
	fxrstor64 (%rsp)
	mov %rbx, %rsp
	pop_registers
	iretq
	.size signal_call_with_frame, . - signal_call_with_frame

/*
 * void signal_call_handler(int number, siginfo_t *info, void *context,
 *                          handler, uint64_t stack_top)
 */
	.section .text.signal_call_handler, "ax", @progbits
	.globl signal_call_handler
	.type signal_call_handler, @function
signal_call_handler:
	push %rbp
	mov %rsp, %rbp
	test %r8, %r8
	jz 1f
	mov %r8, %rsp
1:	and $-16, %rsp
	fninit
	ldmxcsr fresh_mxcsr
	xor %eax, %eax
	call *%rcx
	leave
	ret
	.size signal_call_handler, . - signal_call_handler

	.section .rodata.signal_call_handler, "a", @progbits
	.balign 4
fresh_mxcsr:
	.long 0x1f80

	.section .note.GNU-stack, "", @progbits
