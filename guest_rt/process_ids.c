/* SPDX-License-Identifier: MIT */
/* Users and groups: nobody asks for them, but servers set and get them. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/types.h>

#include "runtime.h"
#include "syscalls.h"
#include "user.h"

/*
 * The program starts as root and may become another user, as Linux's
 * credentials(7) has it. That changes what these calls say, and nothing else.
 */
struct ids {
    unsigned real, effective, saved, file_system;
};

static struct ids users, groups;

#define GROUPS_MAX  64
#define GROUPS_MOST 65536

static gid_t more_groups[GROUPS_MAX];
static int group_count;

#define KEEP (~0u)

static bool is_privileged(void)
{
    return users.effective == 0;
}

static bool has(const struct ids *ids, unsigned id)
{
    return id == ids->real || id == ids->effective || id == ids->saved;
}

/* ---- Reading ------------------------------------------------------------ */

long __mayfly_sys_getuid(void)
{
    return users.real;
}

long __mayfly_sys_geteuid(void)
{
    return users.effective;
}

long __mayfly_sys_getgid(void)
{
    return groups.real;
}

long __mayfly_sys_getegid(void)
{
    return groups.effective;
}

static long get_three(const struct ids *ids, long real, long effective,
                      long saved)
{
    if (USER_PUT(real, ids->real) || USER_PUT(effective, ids->effective) ||
        USER_PUT(saved, ids->saved))
        return -EFAULT;
    return 0;
}

long __mayfly_sys_getresuid(long real, long effective, long saved)
{
    return get_three(&users, real, effective, saved);
}

long __mayfly_sys_getresgid(long real, long effective, long saved)
{
    return get_three(&groups, real, effective, saved);
}

/* ---- Setting ------------------------------------------------------------ */

/* setuid: all of them for the privileged, else the effective one. */
static long set_one(struct ids *ids, unsigned id)
{
    if (id == KEEP)
        return -EINVAL;
    if (is_privileged())
        *ids = (struct ids){id, id, id, id};
    else if (id == ids->real || id == ids->saved)
        ids->effective = ids->file_system = id;
    else
        return -EPERM;
    return 0;
}

static long set_three(struct ids *ids, unsigned real, unsigned effective,
                      unsigned saved)
{
    if (!is_privileged() && ((real != KEEP && !has(ids, real)) ||
                             (effective != KEEP && !has(ids, effective)) ||
                             (saved != KEEP && !has(ids, saved))))
        return -EPERM;
    if (real != KEEP)
        ids->real = real;
    if (effective != KEEP)
        ids->effective = ids->file_system = effective;
    if (saved != KEEP)
        ids->saved = saved;
    return 0;
}

/* setreuid: the saved one follows, unless all stays as it was. */
static long set_two(struct ids *ids, unsigned real, unsigned effective)
{
    bool follows =
        real != KEEP || (effective != KEEP && effective != ids->real);

    if (!is_privileged() &&
        ((real != KEEP && real != ids->real && real != ids->effective) ||
         (effective != KEEP && !has(ids, effective))))
        return -EPERM;
    return set_three(ids, real, effective,
                     !follows            ? KEEP
                     : effective == KEEP ? ids->effective
                                         : effective);
}

static long set_file_system(struct ids *ids, unsigned id)
{
    unsigned before = ids->file_system;

    if (id != KEEP && (is_privileged() || has(ids, id) || id == before))
        ids->file_system = id;
    return before;
}

long __mayfly_sys_setuid(long id)
{
    return set_one(&users, (unsigned)id);
}

long __mayfly_sys_setgid(long id)
{
    return set_one(&groups, (unsigned)id);
}

long __mayfly_sys_setreuid(long real, long effective)
{
    return set_two(&users, (unsigned)real, (unsigned)effective);
}

long __mayfly_sys_setregid(long real, long effective)
{
    return set_two(&groups, (unsigned)real, (unsigned)effective);
}

long __mayfly_sys_setresuid(long real, long effective, long saved)
{
    return set_three(&users, (unsigned)real, (unsigned)effective,
                     (unsigned)saved);
}

long __mayfly_sys_setresgid(long real, long effective, long saved)
{
    return set_three(&groups, (unsigned)real, (unsigned)effective,
                     (unsigned)saved);
}

long __mayfly_sys_setfsuid(long id)
{
    return set_file_system(&users, (unsigned)id);
}

long __mayfly_sys_setfsgid(long id)
{
    return set_file_system(&groups, (unsigned)id);
}

/* ---- More groups -------------------------------------------------------- */

long __mayfly_sys_getgroups(long count, long list)
{
    if ((int)count < 0 || ((int)count > 0 && (int)count < group_count))
        return -EINVAL;
    if ((int)count > 0 &&
        user_put((void *)list, more_groups,
                 (size_t)group_count * sizeof(more_groups[0])))
        return -EFAULT;
    return group_count;
}

long __mayfly_sys_setgroups(long count, long list)
{
    if (!is_privileged())
        return -EPERM;
    if ((unsigned long)count > GROUPS_MOST)
        return -EINVAL;
    if (count > GROUPS_MAX)
        return -ENOMEM;
    if (user_get(more_groups, (const void *)list,
                 (size_t)count * sizeof(more_groups[0])))
        return -EFAULT;
    group_count = (int)count;
    return 0;
}
