/* SPDX-License-Identifier: MIT */
/* Calls of a guest's functions. */
#include <errno.h>
#include <string.h>

#include "vmm/base/error.h"
#include "vmm/base/os.h"
#include "vmm/vm.h"

/* Puts the call where the guest waits for it. */
static int write_call(struct mayfly *vm, const struct mayfly_call *call,
                      char *error)
{
    size_t name_bytes = strlen(call->function) + 1;
    gpa_t at = gpa(vm->call_at);
    struct mf_call guest;

    if (name_bytes > sizeof(guest.name))
        return error_set(error, -EINVAL, "the function's name is too long");
    if (gmem_read(&vm->mem, at, &guest, sizeof(guest)))
        return error_set(error, -EFAULT, "the guest's call is not in memory");
    if (call->in_bytes > guest.in_room)
        return error_set(error, -E2BIG, "%zu bytes of input, and room for %llu",
                         call->in_bytes, (unsigned long long)guest.in_room);
    guest.in_bytes = call->in_bytes;
    guest.out_room = call->out_room;
    memset(guest.name, 0, sizeof(guest.name));
    memcpy(guest.name, call->function, name_bytes);
    if ((call->in_bytes > 0 &&
         gmem_write(&vm->mem, gpa(guest.in), call->in, call->in_bytes)) ||
        gmem_write(&vm->mem, at, &guest, sizeof(guest)))
        return error_set(error, -EFAULT, "the guest's room is not in memory");
    return 0;
}

static int read_answer(struct mayfly *vm, struct mayfly_call *call, char *error)
{
    struct mf_call guest;

    if (gmem_read(&vm->mem, gpa(vm->call_at), &guest, sizeof(guest)))
        return error_set(error, -EFAULT, "the guest's answer is not in memory");
    call->result = (long)guest.result;
    if (guest.out_bytes > call->out_room ||
        (guest.out_bytes > 0 &&
         gmem_read(&vm->mem, gpa(guest.out), call->out, guest.out_bytes)))
        return error_set(error, -EFAULT,
                         "the guest's answer is longer than there is room for, "
                         "or not in memory");
    call->out_bytes = guest.out_bytes;
    return call->result == -ENOSYS
               ? error_set(error, -ENOSYS, "the guest has no function '%s'",
                           call->function)
               : 0;
}

int mayfly_call(struct mayfly *vm, struct mayfly_call *call,
                struct mayfly_result *result, char *error)
{
    unsigned long calls = os_calls;
    int failure;

    memset(result, 0, sizeof(*result));
    call->out_bytes = 0;
    if (!vm->at_call)
        return error_set(error, -EINVAL, "the guest does not wait for a call");
    failure = vm_prepare_run(vm, error);
    if (!failure)
        failure = write_call(vm, call, error);
    if (!failure)
        failure = vm_run(vm, call->timeout_ns, result, error);
    if (!failure && result->end == MAYFLY_AT_CALL)
        failure = read_answer(vm, call, error);
    vm->os_calls += os_calls - calls;
    return failure;
}
