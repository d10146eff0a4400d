/* SPDX-License-Identifier: MIT */
/* What pthread_cancel.c takes for the cancellable system call. */

/*
 * System calls are called directly (syscall_arch.h), so nobody calls
 * __syscall_cp_asm, and no program counter is between __cp_begin and __cp_end:
 * cancel_point.c does it. Asynchronous cancellation goes on at __cp_cancel,
 * wherever the stack pointer is.
 */
.text
.global __cp_begin
.hidden __cp_begin
.global __cp_end
.hidden __cp_end
.global __cp_cancel
.hidden __cp_cancel
.global __syscall_cp_asm
.hidden __syscall_cp_asm
.type __syscall_cp_asm, @function
__syscall_cp_asm:
__cp_begin:
__cp_end:
	ud2
.size __syscall_cp_asm, . - __syscall_cp_asm

.type __cp_cancel, @function
__cp_cancel:
	and $-16, %rsp
	xor %ebp, %ebp
	call __mayfly_cancel_now
	ud2
.size __cp_cancel, . - __cp_cancel
