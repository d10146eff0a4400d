/* SPDX-License-Identifier: MIT */
/* Opening KVM and building a VM with as few calls as it takes. */
#include "vmm/kvm.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>

#include "vmm/base/error.h"
#include "vmm/base/os.h"

/* Routes that user space may give the split interrupt controller. */
#define IOAPIC_PINS 24

bool kvm_is_hardware(int fd)
{
    return os_ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_NESTED_STATE) > 0;
}

static int open_device(int *fd, char *error)
{
    *fd = os_open("/dev/kvm", O_RDWR);
    if (*fd == -EACCES)
        return error_set(error, *fd,
                         "cannot open /dev/kvm: permission denied; join the "
                         "group that owns it (often 'kvm')");
    if (*fd == -ENOENT)
        return error_set(error, *fd,
                         "cannot open /dev/kvm: there is none; 'mayfly doctor' "
                         "tells more");
    return *fd < 0 ? error_system(error, *fd, "cannot open /dev/kvm") : 0;
}

/* All VMs of the process are made by one descriptor, while there are any. */
static struct {
    pthread_mutex_t lock;
    int fd;
    unsigned users;
} device = {.lock = PTHREAD_MUTEX_INITIALIZER};

int kvm_hold_device(int *fd, char *error)
{
    int result = 0;

    pthread_mutex_lock(&device.lock);
    if (device.users == 0)
        result = open_device(&device.fd, error);
    device.users += !result;
    *fd = device.fd;
    pthread_mutex_unlock(&device.lock);
    return result;
}

/*
 * In a forked child somebody may have closed what the parent's VMs were made
 * by: `*fd` makes no VMs. Opens another one for all that come now.
 */
static int renew_device(int *fd, char *error)
{
    int result = 0;

    pthread_mutex_lock(&device.lock);
    if (device.fd == *fd && device.users > 1)
        result = open_device(&device.fd, error);
    *fd = device.fd;
    pthread_mutex_unlock(&device.lock);
    return result;
}

void kvm_leave_device(void)
{
    pthread_mutex_lock(&device.lock);
    if (--device.users == 0 && device.fd >= 0)
        os_close(device.fd);
    pthread_mutex_unlock(&device.lock);
}

/* Its descriptor, or a negative errno. */
static int make_vm(int fd)
{
    int vm_fd;

    do
        vm_fd = os_ioctl(fd, KVM_CREATE_VM, 0);
    while (vm_fd == -EINTR);
    return vm_fd;
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
    int result = kvm_hold_device(&kvm->fd, error);

    if (result)
        return result;
    kvm->slots = 0;
    kvm->vm_fd = make_vm(kvm->fd);
    if (kvm->vm_fd == -EBADF || kvm->vm_fd == -ENOTTY) {
        result = renew_device(&kvm->fd, error);
        if (result)
            goto leave;
        kvm->vm_fd = make_vm(kvm->fd);
    }
    if (kvm->vm_fd < 0) {
        result = error_system(error, kvm->vm_fd, "cannot create a VM");
        goto leave;
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
leave:
    kvm_leave_device();
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
    kvm_leave_device();
}
