/* SPDX-License-Identifier: MIT */
/* --net: the addresses that a guest's card gets. */
#include "vmm/cli.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/*
 * What is checked here is handed to the guest as the option "ip=INDEX:...",
 * which guest_rt/lwip/inet_config.c reads: the words as they were given, but
 * for their order and the prefix lengths that were left out.
 */
#define PREFIX4_DEFAULT 24u
#define PREFIX6_DEFAULT 64u

/* Whether the text is an address of that family, and not of many or of all. */
static bool is_address(int family, const char *text)
{
    unsigned char binary[16];
    static const unsigned char none[16];

    if (inet_pton(family, text, binary) != 1)
        return false;
    if (memcmp(binary, none, family == AF_INET ? 4 : 16) == 0)
        return false;
    return family == AF_INET ? binary[0] < 224 : binary[0] != 0xff;
}

/* "ADDR" or "ADDR/N". Returns whether it is one; cuts the text. */
static bool parse_prefixed(int family, char *text, unsigned *prefix)
{
    unsigned most = family == AF_INET ? 32 : 128;
    char *slash = strchr(text, '/');

    *prefix = family == AF_INET ? PREFIX4_DEFAULT : PREFIX6_DEFAULT;
    if (slash) {
        size_t digits = strspn(slash + 1, "0123456789");

        if (digits == 0 || digits > 3 || slash[1 + digits])
            return false;
        *slash = '\0';
        *prefix = (unsigned)strtoul(slash + 1, NULL, 10);
    }
    return *prefix >= 1 && *prefix <= most && is_address(family, text);
}

static int refuse(const char *key, const char *value, const char *such_as)
{
    return cli_misuse(NULL, "--net takes %s= such as %s, not '%s'", key,
                      such_as, value);
}

static int take_ip4(const char *value, struct cli_addresses *addresses)
{
    char text[CLI_WORD_BYTES] = "";

    if (addresses->dhcp || addresses->ip4[0])
        return cli_misuse(NULL, "--net takes ip= once");
    if (strcmp(value, "dhcp") == 0) {
        addresses->dhcp = true;
        return CLI_OK;
    }
    snprintf(text, sizeof(text), "%s", value);
    if (strlen(value) >= sizeof(text) ||
        !parse_prefixed(AF_INET, text, &addresses->prefix4))
        return refuse("ip", value, "10.0.0.2/24 or dhcp");
    memcpy(addresses->ip4, text, sizeof(addresses->ip4) - 1);
    return CLI_OK;
}

static int take_ip6(const char *value, struct cli_addresses *addresses)
{
    char text[CLI_WORD_BYTES] = "";

    if (addresses->ip6[0])
        return cli_misuse(NULL, "--net takes ip6= once");
    snprintf(text, sizeof(text), "%s", value);
    if (strlen(value) >= sizeof(text) ||
        !parse_prefixed(AF_INET6, text, &addresses->prefix6))
        return refuse("ip6", value, "fd00::2/64");
    memcpy(addresses->ip6, text, sizeof(addresses->ip6) - 1);
    return CLI_OK;
}

/* A plain address into `to`, once. */
static int take_plain(const char *key, int family, const char *value,
                      const char *such_as, char to[CLI_ADDRESS_BYTES])
{
    if (to[0])
        return cli_misuse(NULL, "--net takes %s= once", key);
    if (strlen(value) >= CLI_ADDRESS_BYTES || !is_address(family, value))
        return refuse(key, value, such_as);
    snprintf(to, CLI_ADDRESS_BYTES, "%s", value);
    return CLI_OK;
}

static int take_name_server(const char *value, struct cli_addresses *addresses)
{
    unsigned count = addresses->name_server_count;

    if (count == CLI_NAME_SERVERS_MAX)
        return cli_misuse(NULL, "--net takes dns= %d times at most",
                          CLI_NAME_SERVERS_MAX);
    if (strlen(value) >= CLI_ADDRESS_BYTES ||
        (!is_address(AF_INET, value) && !is_address(AF_INET6, value)))
        return refuse("dns", value, "10.0.0.1");
    snprintf(addresses->name_servers[count], CLI_ADDRESS_BYTES, "%s", value);
    addresses->name_server_count++;
    return CLI_OK;
}

static int take(const char *word, struct cli_addresses *addresses)
{
    if (strncmp(word, "ip=", 3) == 0)
        return take_ip4(word + 3, addresses);
    if (strncmp(word, "ip6=", 4) == 0)
        return take_ip6(word + 4, addresses);
    if (strncmp(word, "gw=", 3) == 0)
        return take_plain("gw", AF_INET, word + 3, "10.0.0.1",
                          addresses->gateway4);
    if (strncmp(word, "gw6=", 4) == 0)
        return take_plain("gw6", AF_INET6, word + 4, "fd00::1",
                          addresses->gateway6);
    if (strncmp(word, "dns=", 4) == 0)
        return take_name_server(word + 4, addresses);
    return CLI_OTHER;
}

int cli_parse_address(const char *word, struct cli_addresses *addresses)
{
    int status = take(word, addresses);

    if (status == CLI_OK)
        addresses->given = true;
    return status;
}

/* Whether the gateway can be reached without a gateway. */
static bool is_neighbour(const struct cli_addresses *addresses)
{
    uint32_t mask = ~0u << (32 - addresses->prefix4);
    struct in_addr own, gateway;

    return inet_pton(AF_INET, addresses->ip4, &own) == 1 &&
           inet_pton(AF_INET, addresses->gateway4, &gateway) == 1 &&
           !((ntohl(own.s_addr) ^ ntohl(gateway.s_addr)) & mask);
}

int cli_settle_addresses(const struct cli_addresses *addresses)
{
    if (addresses->gateway4[0] && !addresses->ip4[0])
        return cli_misuse(NULL, "--net: gw= needs an ip= with an address");
    if (addresses->gateway6[0] && !addresses->ip6[0])
        return cli_misuse(NULL, "--net: gw6= needs an ip6=");
    if (addresses->gateway4[0] && !is_neighbour(addresses))
        return cli_misuse(NULL, "--net: gw=%s is not within ip=%s/%u",
                          addresses->gateway4, addresses->ip4,
                          addresses->prefix4);
    return CLI_OK;
}

/* Appends a word, with a comma if it is not the first. */
static void append(char *to, size_t room, const char *key, const char *value)
{
    size_t used = strlen(to);

    snprintf(to + used, room - used, "%s%s%s", to[used - 1] == ':' ? "" : ",",
             key, value);
}

void cli_write_addresses(const struct cli_addresses *addresses, unsigned index,
                         char *to, size_t room)
{
    char text[CLI_WORD_BYTES + 8];

    snprintf(to, room, "ip=%u:", index);
    if (addresses->dhcp)
        append(to, room, "", "dhcp");
    if (addresses->ip4[0]) {
        snprintf(text, sizeof(text), "%s/%u", addresses->ip4,
                 addresses->prefix4);
        append(to, room, "", text);
    }
    if (addresses->gateway4[0])
        append(to, room, "gw=", addresses->gateway4);
    if (addresses->ip6[0]) {
        snprintf(text, sizeof(text), "%s/%u", addresses->ip6,
                 addresses->prefix6);
        append(to, room, "ip6=", text);
    }
    if (addresses->gateway6[0])
        append(to, room, "gw6=", addresses->gateway6);
    for (unsigned i = 0; i < addresses->name_server_count; i++)
        append(to, room, "dns=", addresses->name_servers[i]);
}
