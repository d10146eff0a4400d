/* SPDX-License-Identifier: MIT */
/* Giving up everything that running a built VM does not need. */
#include "vmm/confine.h"

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "vmm/base/error.h"
#include "vmm/base/os.h"
#include "vmm/vm.h"

/* ---- Landlock (Linux 5.13 and later): no path but the shares ----------- */

/* Not in every <linux/landlock.h>: the ABI grew after it. */
#define LANDLOCK_VERSION_FLAG 1u

struct landlock_attributes {
    uint64_t fs;
    uint64_t net;
    uint64_t scoped;
};

/* struct landlock_path_beneath_attr, and the type of such a rule. */
struct landlock_beneath {
    uint64_t rights;
    int32_t fd;
} __attribute__((packed));

#define LANDLOCK_BENEATH 1

/* Rights to what is in a share. Files there are never executed. */
#define RIGHT(bit)  (UINT64_C(1) << (bit))
#define RIGHTS_READ (RIGHT(2) | RIGHT(3)) /* files, directories */
#define RIGHTS_CHANGE                                                \
    (RIGHT(1) /* write files */ | RIGHT(4) | RIGHT(5) /* remove */ | \
     RIGHT(7) /* make directories, */ | RIGHT(8) /* files, */ |      \
     RIGHT(10) /* FIFOs, */ | RIGHT(12) /* links */ |                \
     RIGHT(13) /* rename or link to another directory */ |           \
     RIGHT(14) /* cut */)

/* What each version of the ABI handles, and how much of the structure it
 * knows. Nothing of it is allowed again by any rule but those for shares. */
static const struct {
    unsigned fs_rights;
    uint64_t net, scoped;
    size_t bytes;
} landlock_steps[] = {
    /* 6 */ {16, 3, 3, sizeof(struct landlock_attributes)},
    /* 5 */ {16, 3, 0, offsetof(struct landlock_attributes, scoped)},
    /* 4 */ {15, 3, 0, offsetof(struct landlock_attributes, scoped)},
    /* 3 */ {15, 0, 0, offsetof(struct landlock_attributes, net)},
    /* 2 */ {14, 0, 0, offsetof(struct landlock_attributes, net)},
    /* 1 */ {13, 0, 0, offsetof(struct landlock_attributes, net)},
};

int confine_landlock_abi(void)
{
    return (int)os_syscall(SYS_landlock_create_ruleset, NULL, 0,
                           LANDLOCK_VERSION_FLAG);
}

/* The newest ruleset that the kernel takes, usually the first one tried. */
static int create_ruleset(uint64_t *handled)
{
    int fd = -ENOSYS;

    for (size_t i = 0; i < ARRAY_SIZE(landlock_steps); i++) {
        struct landlock_attributes attributes = {
            .fs = (1ull << landlock_steps[i].fs_rights) - 1,
            .net = landlock_steps[i].net,
            .scoped = landlock_steps[i].scoped,
        };

        *handled = attributes.fs;
        fd = (int)os_syscall(SYS_landlock_create_ruleset, &attributes,
                             landlock_steps[i].bytes, 0);
        if (fd != -E2BIG && fd != -EINVAL)
            break;
    }
    return fd;
}

/* Allows what is in the shares. `handled` are the rights that there are. */
static int allow_shares(const struct mayfly *vm, int ruleset, uint64_t handled)
{
    int result = 0;

    for (unsigned i = 0; i < vm->options.share_count && !result; i++) {
        const struct p9 *share = &vm->shares[i];
        struct landlock_beneath rule = {
            .rights =
                handled &
                (share->read_only ? RIGHTS_READ : RIGHTS_READ | RIGHTS_CHANGE),
            .fd = share->root,
        };

        result = (int)os_syscall(SYS_landlock_add_rule, ruleset,
                                 LANDLOCK_BENEATH, &rule, 0);
    }
    return result;
}

static int apply_landlock(const struct mayfly *vm)
{
    uint64_t handled;
    int fd = create_ruleset(&handled);

    if (fd == -ENOSYS || fd == -EOPNOTSUPP)
        return 0; /* the kernel has none, or it is not enabled */
    if (fd < 0)
        return fd;
    int result = allow_shares(vm, fd, handled);
    if (!result)
        result = (int)os_syscall(SYS_landlock_restrict_self, fd, 0);
    os_close(fd);
    return result;
}

/* ---- Seccomp --------------------------------------------------------- */

#include "seccomp_filter.h"

#define PROGRAM(filter) ((struct sock_fprog){ARRAY_SIZE(filter), filter})

/* Says what a number in a filter stands for. */
static void name(struct sock_fprog program, uint32_t placeholder, int number)
{
    for (size_t i = 0; i < program.len; i++) {
        struct sock_filter *op = &program.filter[i];

        if (BPF_CLASS(op->code) == BPF_JMP && op->k == placeholder)
            op->k = (uint32_t)number;
    }
}

static struct sock_fprog
choose_for_acceptor(const struct mayfly_acceptor *acceptor)
{
    struct sock_fprog program = PROGRAM(filter_for_acceptor);

    name(program, SECCOMP_LISTENER, acceptor->listener);
    name(program, SECCOMP_CONNECTION, acceptor->connection);
    name(program, SECCOMP_REPORTS, acceptor->reports);
    return program;
}

static bool has_writable_share(const struct mayfly *vm)
{
    for (unsigned i = 0; i < vm->options.share_count; i++)
        if (!vm->options.shares[i].read_only)
            return true;
    return false;
}

static struct sock_fprog choose_for_sockets(const struct mayfly *vm)
{
    if (has_writable_share(vm))
        return PROGRAM(filter_for_sockets_and_writable_shares);
    if (vm->options.share_count > 0)
        return PROGRAM(filter_for_sockets_and_shares);
    return PROGRAM(filter_for_sockets);
}

/* Allows what this VM needs: more only if it has more than consoles. */
static int apply_seccomp(const struct mayfly *vm)
{
    struct sock_fprog program = PROGRAM(filter_for_consoles);

    if (vm->options.acceptor)
        program = choose_for_acceptor(vm->options.acceptor);
    else if (vm_has_sockets(&vm->options))
        program = choose_for_sockets(vm);
    else if (has_writable_share(vm))
        program = PROGRAM(filter_for_writable_shares);
    else if (vm->options.share_count > 0)
        program = PROGRAM(filter_for_shares);
    else if (vm->native.set.count > VM_CONSOLES)
        program = PROGRAM(filter_for_devices);
    if (vm->has_io)
        /* It sends signals to itself alone. */
        name(program, SECCOMP_PROCESS, vm->process);
    return (int)os_syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

/* ---- Everything else --------------------------------------------------- */

static int drop_capabilities(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};

    return (int)os_syscall(SYS_capset, &header, none);
}

static int set_limit(int resource, rlim_t limit)
{
    struct rlimit both = {limit, limit};

    return (int)os_syscall(SYS_prlimit64, 0, resource, &both, NULL);
}

/*
 * As many descriptors as poll is asked about: a file each, and a bell. Shares
 * open files and streams are accepted, whose numbers come after all that are
 * open now.
 */
static int limit_files(const struct mayfly *vm)
{
    const rlim_t open_now = 64, at_once = 2; /* of a request, beside the fids */
    rlim_t shares = vm->options.share_count;
    bool sockets = vm_has_sockets(&vm->options);
    struct rlimit limit;
    rlim_t most = vm->native.set.count + vm->has_io;

    if (shares == 0 && !sockets)
        return set_limit(RLIMIT_NOFILE, most);
    int result = (int)os_syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit);
    if (result)
        return result;
    most = open_now + shares * P9_OPEN_MAX + at_once +
           (sockets ? VSOCK_STREAMS_MAX : 0);
    return set_limit(RLIMIT_NOFILE,
                     most < limit.rlim_max ? most : limit.rlim_max);
}

static bool is_low(const struct mayfly_acceptor *acceptor)
{
    return acceptor->listener < MAYFLY_ACCEPTOR_FDS &&
           acceptor->connection < MAYFLY_ACCEPTOR_FDS &&
           acceptor->reports < MAYFLY_ACCEPTOR_FDS;
}

static int confine_process(const struct mayfly *vm, unsigned flags, char *error)
{
    const int namespaces = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET |
                           CLONE_NEWIPC | CLONE_NEWUTS;
    int result;

    if (flags & ~(unsigned)MAYFLY_CONFINE_NAMESPACES)
        return error_set(error, -EINVAL, "unknown flags %#x for confining",
                         flags);
    if (vm->options.acceptor && !is_low(vm->options.acceptor))
        return error_set(error, -EINVAL,
                         "an acceptor's descriptor is not "
                         "below %d",
                         MAYFLY_ACCEPTOR_FDS);
    if (flags & MAYFLY_CONFINE_NAMESPACES) {
        result = (int)os_syscall(SYS_unshare, namespaces);
        if (result)
            return error_system(error, result, "cannot make namespaces");
    }
    result = (int)os_syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (result)
        return error_system(error, result, "cannot renounce new privileges");
    result = apply_landlock(vm);
    if (result)
        return error_system(error, result, "cannot apply Landlock");
    result = drop_capabilities();
    if (result)
        return error_system(error, result, "cannot drop capabilities");
    result = limit_files(vm);
    if (!result)
        result = set_limit(RLIMIT_CORE, 0);
    if (result)
        return error_system(error, result, "cannot limit resources");
    result = apply_seccomp(vm);
    if (result)
        return error_system(error, result, "cannot install the seccomp filter");
    return 0;
}

static atomic_bool done;

bool confine_is_done(void)
{
    return atomic_load(&done);
}

int mayfly_confine(struct mayfly *vm, unsigned flags, char *error)
{
    unsigned long calls = os_calls;
    int result = vm_prepare_run(vm, error);

    if (!result)
        result = confine_process(vm, flags, error);
    if (!result) {
        atomic_store(&done, true);
        vm_note_stage(vm, MAYFLY_STAGE_CONFINED);
    }
    vm->os_calls += os_calls - calls;
    return result;
}
