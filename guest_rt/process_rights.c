/* SPDX-License-Identifier: MIT */
/* What root may and this program may not; capabilities; personality. */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>

#include "runtime.h"
#include "syscalls.h"
#include "user.h"

#define HOST_NAME_MOST 64

/* ---- Capabilities ------------------------------------------------------- */

/* How many 32-bit words of each set a version has; 0: there is no such one. */
static unsigned words_of(struct __user_cap_header_struct *header)
{
    switch (header->version) {
    case _LINUX_CAPABILITY_VERSION_1:
        return _LINUX_CAPABILITY_U32S_1;
    case _LINUX_CAPABILITY_VERSION_2:
    case _LINUX_CAPABILITY_VERSION_3:
        return _LINUX_CAPABILITY_U32S_3;
    default:
        header->version = _LINUX_CAPABILITY_VERSION_3;
        return 0;
    }
}

static long check(struct __user_cap_header_struct *header, unsigned *words)
{
    if (!user_can_write(header, sizeof(*header)))
        return -EFAULT;
    *words = words_of(header);
    if (!*words)
        return -EINVAL;
    if (header->pid < 0)
        return -EINVAL;
    return header->pid == 0 || header->pid == MF_PID ? 0 : -ESRCH;
}

/* Root has them all, another user none. */
static struct __user_cap_data_struct held(unsigned word)
{
    unsigned all = word == 0 ? ~0u : (1u << (CAP_LAST_CAP - 31)) - 1;

    if (__mayfly_sys_geteuid() != 0)
        all = 0;
    return (struct __user_cap_data_struct){.effective = all, .permitted = all};
}

long __mayfly_sys_capget(long header, long data)
{
    struct __user_cap_data_struct *to = (struct __user_cap_data_struct *)data;
    unsigned words;
    long error = check((struct __user_cap_header_struct *)header, &words);

    if (!to) /* asks for the version */
        return error == -EINVAL ? 0 : error;
    if (error)
        return error;
    if (!user_can_write(to, words * sizeof(*to)))
        return -EFAULT;
    for (unsigned i = 0; i < words; i++)
        to[i] = held(i);
    return 0;
}

/* They can be given up, which changes nothing. */
long __mayfly_sys_capset(long header, long data)
{
    const struct __user_cap_data_struct *from =
        (const struct __user_cap_data_struct *)data;
    unsigned words;
    long error = check((struct __user_cap_header_struct *)header, &words);

    if (error)
        return error;
    if (!user_can_read(from, words * sizeof(*from)))
        return -EFAULT;
    for (unsigned i = 0; i < words; i++)
        if (from[i].permitted & ~held(i).permitted ||
            from[i].effective & ~from[i].permitted)
            return -EPERM;
    return 0;
}

/* ---- Names and personality ---------------------------------------------- */

static long refuse_name(long bytes)
{
    return bytes < 0 || bytes > HOST_NAME_MOST ? -EINVAL : -EPERM;
}

/* The host gives the VM its name. */
long __mayfly_sys_sethostname(long name, long bytes)
{
    (void)name;
    return refuse_name(bytes);
}

long __mayfly_sys_setdomainname(long name, long bytes)
{
    (void)name;
    return refuse_name(bytes);
}

long __mayfly_sys_personality(long wanted)
{
    static unsigned personality;
    unsigned before = personality;

    if ((unsigned)wanted != 0xffffffffu)
        personality = (unsigned)wanted;
    return before;
}
