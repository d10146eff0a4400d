/* SPDX-License-Identifier: MIT */
/* Opening KVM and building a VM with as few calls as it takes. */
#include "vmm/kvm.h"

#include <linux/kvm.h>

#include "vmm/base/error.h"
#include "vmm/base/os.h"

/* Routes that user space may give the split interrupt controller. */
#define IOAPIC_PINS 24

bool kvm_is_hardware(int fd)
{
    return os_ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_NESTED_STATE) > 0;
}

static int open_device(struct kvm *kvm, char *error)
{
    kvm->fd = os_open("/dev/kvm", O_RDWR);
    if (kvm->fd == -EACCES)
        return error_set(error, kvm->fd,
                         "cannot open /dev/kvm: permission denied; join the "
                         "group that owns it (often 'kvm')");
    if (kvm->fd == -ENOENT)
        return error_set(error, kvm->fd,
                         "cannot open /dev/kvm: there is none; 'mayfly doctor' "
                         "tells more");
    return kvm->fd < 0 ? error_system(error, kvm->fd, "cannot open /dev/kvm")
                       : 0;
}

static int enable_split_irqchip(const struct kvm *kvm)
{
    struct kvm_enable_cap cap = {
        .cap = KVM_CAP_SPLIT_IRQCHIP,
        .args = {IOAPIC_PINS},
    };

    return os_ioctl(kvm->vm_fd, KVM_ENABLE_CAP, (uintptr_t)&cap);
}

int kvm_create(struct kvm *kvm, char *error)
{
    int result = open_device(kvm, error);

    if (result)
        return result;
    kvm->slots = 0;
    do
        kvm->vm_fd = os_ioctl(kvm->fd, KVM_CREATE_VM, 0);
    while (kvm->vm_fd == -EINTR);
    if (kvm->vm_fd < 0) {
        result = error_system(error, kvm->vm_fd, "cannot create a VM");
        goto close_device;
    }
    result = enable_split_irqchip(kvm);
    if (result) {
        error_system(error, result, "KVM has no split interrupt controller");
        goto close_vm;
    }
    kvm->hardware = kvm_is_hardware(kvm->vm_fd);
    return 0;

close_vm:
    os_close(kvm->vm_fd);
close_device:
    os_close(kvm->fd);
    return result;
}

/*
 * The log is read and never cleared: a page that was written to once counts as
 * written to for good, and costs nothing any more.
 */
static int keep_log(const struct kvm *kvm)
{
    struct kvm_enable_cap cap = {
        .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
        .args = {KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE},
    };

    return os_ioctl(kvm->vm_fd, KVM_ENABLE_CAP, (uintptr_t)&cap);
}

int kvm_get_dirty(const struct kvm *kvm, unsigned slot, uint64_t *bits)
{
    struct kvm_dirty_log log = {.slot = slot, .dirty_bitmap = bits};

    return os_ioctl(kvm->vm_fd, KVM_GET_DIRTY_LOG, (uintptr_t)&log);
}

int kvm_add_memory(struct kvm *kvm, uint64_t base, uint64_t bytes, void *host,
                   bool logged, char *error)
{
    struct kvm_userspace_memory_region region = {
        .slot = kvm->slots,
        .flags = logged ? KVM_MEM_LOG_DIRTY_PAGES : 0,
        .guest_phys_addr = base,
        .memory_size = bytes,
        .userspace_addr = (uintptr_t)host,
    };
    int result = logged && kvm->slots == 0 ? keep_log(kvm) : 0;

    if (!result)
        result = os_ioctl(kvm->vm_fd, KVM_SET_USER_MEMORY_REGION,
                          (uintptr_t)&region);
    if (result)
        return error_system(
            error, result, "KVM refuses %llu MiB of memory at %#llx",
            (unsigned long long)(bytes >> 20), (unsigned long long)base);
    kvm->slots++;
    return 0;
}

void kvm_report_failures(const struct kvm *kvm)
{
    struct kvm_enable_cap cap = {
        .cap = KVM_CAP_EXIT_ON_EMULATION_FAILURE,
        .args = {1},
    };

    /* A kernel without it (before 5.15) lets such a guest spin, no more. */
    if (kvm->hardware)
        os_ioctl(kvm->vm_fd, KVM_ENABLE_CAP, (uintptr_t)&cap);
}

bool kvm_show_triple_faults(const struct kvm *kvm)
{
    struct kvm_enable_cap cap = {
        .cap = KVM_CAP_X86_TRIPLE_FAULT_EVENT,
        .args = {1},
    };

    return os_ioctl(kvm->vm_fd, KVM_ENABLE_CAP, (uintptr_t)&cap) == 0;
}

int kvm_tsc_khz(const struct kvm *kvm)
{
    return os_ioctl(kvm->vm_fd, KVM_GET_TSC_KHZ, 0);
}

void kvm_destroy(struct kvm *kvm)
{
    os_close(kvm->vm_fd);
    os_close(kvm->fd);
}
