/* SPDX-License-Identifier: MIT */
/* Name servers: the files that programs read, and queries that lead there. */
#include <string.h>

#include "guest_rt/hosts.h"
#include "guest_rt/lwip/inet.h"
#include "guest_rt/option.h"
#include "guest_rt/vfs.h"
#include "lwip/udp.h"

/*
 * musl asks the servers of /etc/resolv.conf, and 127.0.0.1 without that file.
 * It is written when the program walks its first path, from the options of
 * --net, and again in a VM that goes on with others. What DHCP says comes later
 * than that: then queries to 127.0.0.1 go to the server it named, unless the
 * program has one of its own there, and answers come back as if from 127.0.0.1.
 */
#define NAME_PORT  53
#define FILE_BYTES 512u

/* ---- Files --------------------------------------------------------------- */

static bool exists(const char *path)
{
    struct vnode *node;

    if (vfs_lookup(NULL, path, true, &node))
        return false;
    vnode_put(node);
    return true;
}

static void append(char text[FILE_BYTES], const char *words)
{
    size_t used = strlen(text), more = strlen(words);

    if (used + more < FILE_BYTES)
        memcpy(text + used, words, more + 1);
}

struct own_file {
    const char *path;
    char text[FILE_BYTES]; /* as we wrote it, or empty */
};

/* What a program or its archive has put there stays. */
static void write_file(struct own_file *file, const char text[FILE_BYTES])
{
    if (!*text || strcmp(text, file->text) == 0 ||
        (!*file->text && exists(file->path)))
        return;
    memcpy(file->text, text, FILE_BYTES);
    vfs_write_file(file->path, text, strlen(text));
}

static void write_servers(void)
{
    static struct own_file servers = {.path = "/etc/resolv.conf"};
    char text[FILE_BYTES] = "", address[IPADDR_STRLEN_MAX];
    struct inet_config config;

    for (unsigned card = 0; card < MF_DEVICES_MAX; card++) {
        inet_config_read(card, &config);
        for (unsigned i = 0; i < config.name_server_count; i++) {
            append(text, "nameserver ");
            append(text, ipaddr_ntoa_r(&config.name_servers[i], address,
                                       sizeof(address)));
            append(text, "\n");
        }
    }
    write_file(&servers, text);
}

/* vfs.h: before the first path is walked. */
void vfs_start_network(void)
{
    hosts_write();
    write_servers();
}

/* ---- Queries ------------------------------------------------------------- */

static bool has_own_server(void)
{
    for (const struct udp_pcb *pcb = udp_pcbs; pcb; pcb = pcb->next)
        if (pcb->local_port == NAME_PORT)
            return true;
    return false;
}

bool inet_lead_query(ip_addr_t *to, uint16_t port)
{
    const ip_addr_t *server;

    if (port != NAME_PORT || !IP_IS_V4(to) || !ip_addr_isloopback(to) ||
        has_own_server())
        return false;
    inet_wait_address();
    server = inet_name_server(0);
    if (server)
        ip_addr_copy(*to, *server);
    return server != NULL;
}

void inet_lead_answer(ip_addr_t *from, uint16_t port)
{
    const ip_addr_t *server = inet_name_server(0);

    if (port == NAME_PORT && server && ip_addr_cmp(from, server))
        ip_addr_set_loopback(false, from);
}
