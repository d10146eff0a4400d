/* SPDX-License-Identifier: MIT */
/* A VM whose guest makes exits, and nothing else: the floor for calls. */
#include "tests/bench/snapshots.h"

#include <errno.h>
#include <stdlib.h>

int floor_main(void);

#define main floor_main
#include "tests/bench/floor.c" /* NOLINT: the same VM, which goes on */
#undef main

struct bare_vm {
    int kvm, vm, vcpu;
    char *mem;
    struct kvm_run *run;
};

/* out %al, $0; jmp to it */
static const char loop[] = "\xe6\x00\xeb\xfc";

static char *map_memory(int vm)
{
    char *mem = mmap(NULL, MEM_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct kvm_userspace_memory_region slot = {
        .memory_size = MEM_BYTES,
        .userspace_addr = (__u64)mem,
    };

    if (mem == MAP_FAILED || ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot))
        die("memory of a bare VM");
    return mem;
}

struct bare_vm *bare_vm_create(void)
{
    struct bare_vm *bare = calloc(1, sizeof(*bare));
    struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {24}};
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    int vm = ioctl(kvm, KVM_CREATE_VM, 0);

    if (!bare || vm < 0 || ioctl(vm, KVM_ENABLE_CAP, &split))
        die("a bare VM");
    char *mem = map_memory(vm);
    bare->kvm = kvm;
    bare->vm = vm;
    bare->mem = mem;
    build_memory(mem);
    memcpy(mem + CODE, loop, sizeof(loop) - 1);
    bare->vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    bare->run = mmap(NULL, sizeof(*bare->run), PROT_READ | PROT_WRITE,
                     MAP_SHARED, bare->vcpu, 0);
    if (bare->run == MAP_FAILED)
        die("a bare VM's processor");
    set_registers(bare->run);
    bare->run->kvm_valid_regs = KVM_SYNC_X86_REGS;
    return bare;
}

void bare_vm_exit(struct bare_vm *bare)
{
    /* The library's signal may come once for a VM that is not run now. */
    while (ioctl(bare->vcpu, KVM_RUN, 0))
        if (errno != EINTR)
            die("a bare VM does not run");
    if (bare->run->exit_reason != KVM_EXIT_IO)
        die("a bare VM does not exit");
}

void bare_vm_destroy(struct bare_vm *bare)
{
    munmap(bare->run, sizeof(*bare->run));
    close(bare->vcpu);
    close(bare->vm);
    close(bare->kvm);
    munmap(bare->mem, MEM_BYTES);
    free(bare);
}
