/* SPDX-License-Identifier: MIT */
/* Telling the processor of changes in page tables: by exceptions (abi.h). */

#include "guest_rt/asm.h"

	.section .text.mf_flush, "ax", @progbits

/* void paging_flush_page(uintptr_t address) */
	.globl paging_flush_page
	.type paging_flush_page, @function
paging_flush_page:
	mov %rdi, %rax
	int3
after_page:
	ret
	.size paging_flush_page, . - paging_flush_page

/* void paging_flush_all(void) */
	.globl paging_flush_all
	.type paging_flush_all, @function
paging_flush_all:
	ud2
after_all:
	ret
	.size paging_flush_all, . - paging_flush_all

/*
 * Where the stubs of #BP and #UD go on (fault.S): back at once if it was one
 * of the above, else to where all others go. An upcall that became due with the
 * exception may be delivered first: then this comes at its first instruction,
 * and the upcall returns to the above.
 */
	.weak mf_upcall_entry
	.globl mf_fault_flushed
	.type mf_fault_flushed, @function
mf_fault_flushed:
	cmpq $after_page, 16(%rsp)
	je 1f
	cmpq $mf_upcall_entry, 16(%rsp)
	je 1f
	cmpq $paging_flush_all, 16(%rsp)
	jne mf_fault
	movq $after_all, 16(%rsp)
1:	add $16, %rsp
	iretq
	.size mf_fault_flushed, . - mf_fault_flushed

/* Images that contain this edit their page tables, and take page faults. */
	.globl mf_needs_paging
	.set mf_needs_paging, 1

	.section .note.GNU-stack, "", @progbits
