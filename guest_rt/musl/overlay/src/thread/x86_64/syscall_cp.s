/* SPDX-License-Identifier: MIT */
/* The cancellable system call of pthread_cancel.c. */

/*
 * long __syscall_cp_asm(volatile int *cancel, long n, long a..f)
 *
 * A signal that arrives between __cp_begin and __cp_end would cancel the call
 * here. None arrives asynchronously yet, so the range is only the check.
 */
.text
.global __cp_begin
.hidden __cp_begin
.global __cp_end
.hidden __cp_end
.global __cp_cancel
.hidden __cp_cancel
.hidden __cancel
.global __syscall_cp_asm
.hidden __syscall_cp_asm
.type __syscall_cp_asm, @function
__syscall_cp_asm:
__cp_begin:
	cmpl $0, (%rdi)
	jne __cp_cancel
__cp_end:
	push %rbp
	mov %rsp, %rbp
	mov %rsi, %rdi
	mov %rdx, %rsi
	mov %rcx, %rdx
	mov %r8, %rcx
	mov %r9, %r8
	mov 16(%rbp), %r9
	push $0
	push 24(%rbp)
	call __mayfly_syscall
	leave
	ret
__cp_cancel:
	jmp __cancel
.size __syscall_cp_asm, . - __syscall_cp_asm
