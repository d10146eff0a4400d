/* SPDX-License-Identifier: MIT */
/* From one thread's stack to another's. */

/*
 * void sched_switch(uint64_t *stack_pointer, uint64_t to)
 *
 * To C this is a call that comes back later: what a callee must preserve is
 * saved (System V ABI for x86-64, 3.2.1), and MXCSR and x87's control and status
 * with it; everything else is the caller's business. Loading those costs more
 * than all the rest, and they hardly ever differ. A thread that was interrupted
 * by an upcall has its other registers further up on its stack (upcall.S).
 */
	.section .text.sched_switch, "ax", @progbits
	.globl sched_switch
	.type sched_switch, @function
sched_switch:
	push %rbp
	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	sub $8, %rsp
	stmxcsr (%rsp)
	fnstcw 4(%rsp)
	fnstsw 6(%rsp)
	mov (%rsp), %eax
	mov 4(%rsp), %ecx
	mov %rsp, (%rdi)
	mov %rsi, %rsp
	cmp (%rsp), %eax
	je 1f
	ldmxcsr (%rsp)
1:	cmp 4(%rsp), %ecx
	je 2f
	call load_x87
2:	add $8, %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	pop %rbp
	ret
	.size sched_switch, . - sched_switch

/* Loads x87's control and status word from above the return address. */
	.type load_x87, @function
load_x87:
	mov 12(%rsp), %ecx
	sub $32, %rsp
	fnstenv (%rsp)
	mov %cx, (%rsp)
	shr $16, %ecx
	mov %cx, 4(%rsp)
	fldenv (%rsp)
	add $32, %rsp
	ret
	.size load_x87, . - load_x87

/*
 * uint64_t sched_prepare(void *stack, void (*begin)(void))
 *
 * Lays a stack out so that sched_switch() to what this returns calls begin(),
 * with the control bits of the caller, as a new thread has them. At begin()'s
 * first instruction rsp is 8 more than a multiple of 16, as after a call.
 */
	.section .text.sched_prepare, "ax", @progbits
	.globl sched_prepare
	.type sched_prepare, @function
sched_prepare:
	mov %rdi, %rax
	and $-16, %rax
	sub $88, %rax
	movq $0, 72(%rax)
	movq $0, 64(%rax)            /* begin()'s return address: none */
	mov %rsi, 56(%rax)           /* where sched_switch() returns to */
	movq $0, 48(%rax)            /* rbp: the end of the chain of frames */
	movq $0, 40(%rax)
	movq $0, 32(%rax)
	movq $0, 24(%rax)
	movq $0, 16(%rax)
	movq $0, 8(%rax)
	stmxcsr (%rax)
	fnstcw 4(%rax)
	fnstsw 6(%rax)
	ret
	.size sched_prepare, . - sched_prepare

	.section .note.GNU-stack, "", @progbits
