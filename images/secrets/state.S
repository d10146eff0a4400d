/* SPDX-License-Identifier: MIT */
/* All registers that ring 3 has: filled, and found again. */
#include "state.h"

    /* Or local symbols would be of a temporary file. */
    .file "state.S"

#define HYPERCALL_PORT 0x6d
#define HC_EXIT        0
#define HC_KICK        2
#define HC_CALL        6

/* struct mf_call */
#define CALL_OUT       0x10
#define CALL_OUT_BYTES 0x18
#define CALL_RESULT    0x20
#define CALL_NAME      0x38

#define USER_DS  0x2b
#define KEYS     0x55555550 /* protection keys: all but the first are shut */

/* enum mf_reg's places */
#define RBX 8
#define RCX 16
#define RDX 24
#define RSI 32
#define RBP 48
#define RSP 56
#define RFLAGS  128
#define FS_BASE 136
#define GS_BASE 144
#define SET_BYTES 152

	.bss
	.balign 64
	.globl secrets_areas, secrets_vectors, secrets_found, secrets_sets
	.globl secrets_call, secrets_all, secrets_xcr0
	.globl secrets_pkru
secrets_areas:
	.skip 2 * SECRETS_AREA_BYTES
secrets_vectors:
	.skip SECRETS_AREA_BYTES
	.skip 4096
stack_top:
secrets_found:
	.skip 256
secrets_sets:
	.skip 2 * SET_BYTES
	.balign 64
secrets_call:
	.skip 128
secrets_all:
	.skip 32
sane_rsp:
	.skip 8
sane_fs:
	.skip 8
end:
	.skip 8
secrets_xcr0:
	.skip 4
secrets_pkru:
	.skip 4

	.section .rodata
	.balign 8
ends:
	.quad answer, answer, hang, crash, triple, exit, kick
probe:
	.ascii "probe 0\0"
	.ascii "probe 1\0"
default_mxcsr:
	.long 0x1f80

	.text

/* Fills everything from set and area `index`, which are secrets if `selector`
 * says so: then data segments are null. Goes on where `end` says. */
.macro load index, selector
	mov $\selector, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %fs
	mov %eax, %gs
	mov secrets_sets + \index * SET_BYTES + FS_BASE, %rax
	wrfsbase %rax
	mov secrets_sets + \index * SET_BYTES + GS_BASE, %rax
	wrgsbase %rax
	mov secrets_xcr0, %eax
	xor %edx, %edx
	xrstor64 secrets_areas + \index * SECRETS_AREA_BYTES
	mov $stack_top, %esp
	push secrets_sets + \index * SET_BYTES + RFLAGS
	popfq
	mov secrets_sets + \index * SET_BYTES + RBX, %rbx
	mov secrets_sets + \index * SET_BYTES + RCX, %rcx
	mov secrets_sets + \index * SET_BYTES + RDX, %rdx
	mov secrets_sets + \index * SET_BYTES + RSI, %rsi
	mov secrets_sets + \index * SET_BYTES + RBP, %rbp
	mov secrets_sets + \index * SET_BYTES + RSP, %rsp
	.irp n, 8, 9, 10, 11, 12, 13, 14, 15
	mov secrets_sets + \index * SET_BYTES + 8 * \n, %r\n
	.endr
.endm

	.globl secrets_save
	.type secrets_save, @function
secrets_save:
	mov $-1, %eax
	mov %eax, %edx
	xsave64 (%rdi)
	ret

	.globl secrets_serve
	.type secrets_serve, @function
secrets_serve:
	sub $8, %rsp
	mov %rsp, sane_rsp
	rdfsbase %rax
	mov %rax, sane_fs
	mov %rax, secrets_sets + FS_BASE
again:
	mov sane_rsp, %rsp
	call secrets_act
	mov %eax, %eax
	mov ends(, %rax, 8), %rdx
	mov %rdx, end
	test %eax, %eax
	jz home
	cmpl $0, secrets_pkru
	je 1f
	mov $KEYS, %eax
	xor %ecx, %ecx
	xor %edx, %edx
	wrpkru
1:	load 1, 0
	jmp *end
home:
	movq $answer, end
	load 0, USER_DS
	jmp *end

hang:
	mov secrets_sets + SET_BYTES, %rax
	mov %rax, %rdi
	jmp .
crash:
	mov secrets_sets + SET_BYTES, %rax
	mov %rax, %rdi
	ud2
triple:
	mov secrets_sets + SET_BYTES, %rax
	mov %rax, %rdi
	int3
exit:
	mov $7, %edi
	mov $HC_EXIT, %eax
	out %al, $HYPERCALL_PORT
kick:
	mov $0, %edi
	mov $HC_KICK, %eax
	out %al, $HYPERCALL_PORT
	jmp kick

answer:
	mov $secrets_call, %edi
	mov $HC_CALL, %eax
	out %al, $HYPERCALL_PORT
	/* Here a VM goes on after a restore, and after a reset. */
	mov %rax, secrets_found
	mov %rbx, secrets_found + RBX
	mov %rcx, secrets_found + RCX
	mov %rdx, secrets_found + RDX
	mov %rsi, secrets_found + RSI
	mov %rdi, secrets_found + 40
	mov %rbp, secrets_found + RBP
	mov %rsp, secrets_found + RSP
	.irp n, 8, 9, 10, 11, 12, 13, 14, 15
	mov %r\n, secrets_found + 8 * \n
	.endr
	mov $stack_top, %esp
	pushfq
	pop secrets_found + RFLAGS
	push $2
	popfq
	rdfsbase %rax
	mov %rax, secrets_found + FS_BASE
	rdgsbase %rax
	mov %rax, secrets_found + GS_BASE
	mov %ds, %eax
	mov %eax, secrets_found + SET_BYTES
	mov %es, %eax
	mov %eax, secrets_found + SET_BYTES + 4
	mov %fs, %eax
	mov %eax, secrets_found + SET_BYTES + 8
	mov %gs, %eax
	mov %eax, secrets_found + SET_BYTES + 12
	mov %ss, %eax
	mov %eax, secrets_found + SET_BYTES + 16
	mov %cs, %eax
	mov %eax, secrets_found + SET_BYTES + 20
	mov $-1, %eax
	mov %eax, %edx
	xsave64 secrets_vectors
	cmpl $0, secrets_pkru
	je 1f
	xor %ecx, %ecx
	rdpkru
	mov %eax, secrets_found + SET_BYTES + 24
1:
	/* From here on it is a program like others. */
	mov $USER_DS, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %fs
	mov %eax, %gs
	mov sane_fs, %rax
	wrfsbase %rax
	fninit
	ldmxcsr default_mxcsr
	mov secrets_call + CALL_NAME, %rax
	xor %ecx, %ecx
	cmp probe, %rax
	je 2f
	mov $16, %ecx
	cmp probe + 8, %rax
	jne again
2:	mov secrets_all(%rcx), %rax
	mov %rax, secrets_call + CALL_OUT
	mov secrets_all + 8(%rcx), %rax
	mov %rax, secrets_call + CALL_OUT_BYTES
	movq $0, secrets_call + CALL_RESULT
	jmp home
	.size secrets_serve, . - secrets_serve

	.section .note.GNU-stack, "", @progbits
