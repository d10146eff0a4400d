/* SPDX-License-Identifier: MIT */
/* The addresses of a card: the option "ip=INDEX:...". */
#include <stdlib.h>
#include <string.h>

#include "guest_rt/lwip/inet.h"
#include "guest_rt/option.h"

/*
 *   ip=0:dhcp
 *   ip=0:10.0.0.2/24,gw=10.0.0.1,dns=10.0.0.1,ip6=fd00::2/64,gw6=fd00::1
 *
 * The monitor has checked it (vmm/cli_net.c); what does not fit is ignored.
 */
#define WORD_BYTES 64u

/* Takes the word up to the next comma. Returns where the rest begins. */
static const char *next_word(const char *text, char word[WORD_BYTES])
{
    size_t bytes = strcspn(text, ",");
    size_t kept = bytes < WORD_BYTES ? bytes : 0;

    memcpy(word, text, kept);
    word[kept] = '\0';
    return text + bytes + (text[bytes] == ',');
}

/* Cuts "/N" off. Returns N, or `missing`. */
static unsigned cut_prefix(char *word, unsigned missing)
{
    char *slash = strchr(word, '/');

    if (!slash)
        return missing;
    *slash = '\0';
    return (unsigned)strtoul(slash + 1, NULL, 10);
}

static bool take_ip4(char *word, struct inet_config *config)
{
    unsigned prefix = cut_prefix(word, 24);

    if (prefix > 32 || !ip4addr_aton(word, &config->ip4))
        return false;
    config->netmask.addr =
        prefix ? PP_HTONL(0) | lwip_htonl(~0u << (32 - prefix)) : 0;
    return true;
}

static bool take_ip6(char *word, struct inet_config *config)
{
    config->ip6_prefix = cut_prefix(word, 64);
    config->has_ip6 = ip6addr_aton(word, &config->ip6);
    return config->has_ip6;
}

static bool take_name_server(const char *word, struct inet_config *config)
{
    if (config->name_server_count == INET_NAME_SERVERS_MAX)
        return true;
    return ipaddr_aton(word,
                       &config->name_servers[config->name_server_count++]);
}

static bool take_word(char *word, struct inet_config *config)
{
    if (strcmp(word, "dhcp") == 0)
        return config->dynamic = true;
    if (strncmp(word, "gw=", 3) == 0)
        return ip4addr_aton(word + 3, &config->gateway);
    if (strncmp(word, "gw6=", 4) == 0)
        return ip6addr_aton(word + 4, &config->gateway6);
    if (strncmp(word, "dns=", 4) == 0)
        return take_name_server(word + 4, config);
    if (strncmp(word, "ip6=", 4) == 0)
        return take_ip6(word + 4, config);
    return take_ip4(word, config);
}

/* The option of that card, from behind "INDEX:", or NULL. */
static const char *find_option(unsigned card)
{
    const char *text;

    for (unsigned i = 0; (text = option_get("ip", i)); i++) {
        char *end;

        if (strtoul(text, &end, 10) == card && *end == ':')
            return end + 1;
    }
    return NULL;
}

bool inet_config_read(unsigned card, struct inet_config *config)
{
    const char *text = find_option(card);
    char word[WORD_BYTES];
    bool valid = true;

    *config = (struct inet_config){.present = text != NULL};
    while (text && *text) {
        text = next_word(text, word);
        valid = take_word(word, config) && valid;
    }
    return valid;
}
