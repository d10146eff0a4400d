/* SPDX-License-Identifier: MIT */
/* /etc/hosts: the names that the options of the VM give. */
#include "guest_rt/hosts.h"

#include <string.h>

#include "guest_rt/hypercall.h"
#include "guest_rt/option.h"
#include "guest_rt/vfs.h"

#define FILE_BYTES 8192u

static char text[FILE_BYTES];
static size_t used;
static bool ours;            /* it was written here */
static uint64_t written_for; /* mf_boot.generation */

static void append(const char *words, size_t length)
{
    if (length > FILE_BYTES - used)
        length = FILE_BYTES - used;
    memcpy(text + used, words, length);
    used += length;
}

static void append_line(const char *address, size_t length, const char *name)
{
    append(address, length);
    append(" ", 1);
    append(name, strlen(name));
    append("\n", 1);
}

/* "N:ADDR:PORT:NAME", or "N:[ADDR]:PORT:NAME". */
static void append_entry(const char *entry)
{
    const char *address = strchr(entry, ':'), *end, *name;

    if (!address)
        return;
    address++;
    end = strchr(address, *address == '[' ? ']' : ':');
    if (!end)
        return;
    name = strchr(end + 1 + (*address == '['), ':');
    if (!name || !name[1])
        return;
    address += *address == '[';
    append_line(address, (size_t)(end - address), name + 1);
}

static bool exists(const char *path)
{
    struct vnode *node;

    if (vfs_lookup(NULL, path, true, &node))
        return false;
    vnode_put(node);
    return true;
}

static uint64_t read_generation(void)
{
    return __atomic_load_n(&mf_boot_page()->generation, __ATOMIC_ACQUIRE);
}

void hosts_write(void)
{
    const char *name = option_get("hostname", 0), *entry;

    written_for = read_generation();
    vfs_make_directories("/etc", 0755);
    /* A VM that goes on with other options, that is. */
    if (ours ? !mf_boot_page()->clone_optc : exists("/etc/hosts"))
        return;
    ours = true;
    used = 0;
    append_line("127.0.0.1", 9, "localhost");
    append_line("::1", 3, "localhost");
    if (name)
        append_line("127.0.1.1", 9, name);
    for (unsigned i = 0; (entry = option_get("connect", i)); i++)
        append_entry(entry);
    vfs_write_file("/etc/hosts", text, used);
}

/* vfs.h: before each path. The VM may be another one, with other options. */
void vfs_follow_network(void)
{
    if (read_generation() != written_for)
        vfs_start_network();
}
