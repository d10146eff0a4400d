/* SPDX-License-Identifier: MIT */
/* The image's first instruction. */

/*
 * abi.h has the state: rdi is the boot page, rsp the top of the stack. The
 * TSC is read first, so that the time line starts here; rbp = 0 ends the
 * chain of frames.
 */
	.section .text._start, "ax", @progbits
	.globl _start
	.type _start, @function
_start:
	rdtsc
	shl $32, %rdx
	lea (%rax, %rdx), %rsi
	xor %ebp, %ebp
	call mf_start
	ud2
	.size _start, . - _start

	.section .note.GNU-stack, "", @progbits
