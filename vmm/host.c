/* SPDX-License-Identifier: MIT */
/* What this host offers to a VM. */
#include <errno.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/auxv.h>

#include "vmm/base/os.h"
#include "vmm/base/util.h"
#include "vmm/confine.h"
#include "vmm/kvm.h"
#include "vmm/mayfly.h"

#define HWCAP2_FSGSBASE (1ul << 1)

static bool has_cap(int fd, long cap)
{
    return os_ioctl(fd, KVM_CHECK_EXTENSION, (uintptr_t)cap) > 0;
}

void mayfly_probe_host(struct mayfly_host *host)
{
    uint32_t action = SECCOMP_RET_KILL_PROCESS;
    int landlock = confine_landlock_abi();

    memset(host, 0, sizeof(*host));
    host->fsgsbase = getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE;
    host->landlock_abi = landlock > 0 ? landlock : 0;
    host->seccomp =
        os_syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;

    int fd = os_open("/dev/kvm", O_RDWR);
    if (fd < 0) {
        host->kvm_error = fd;
        return;
    }
    host->kvm_api = os_ioctl(fd, KVM_GET_API_VERSION, 0);
    host->sync_regs = has_cap(fd, KVM_CAP_SYNC_REGS);
    host->split_irqchip = has_cap(fd, KVM_CAP_SPLIT_IRQCHIP);
    host->immediate_exit = has_cap(fd, KVM_CAP_IMMEDIATE_EXIT);
    host->backend =
        kvm_is_hardware(fd) ? MAYFLY_BACKEND_HARDWARE : MAYFLY_BACKEND_SOFTWARE;
    os_close(fd);
}
