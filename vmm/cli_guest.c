/* SPDX-License-Identifier: MIT */
/* The options that say what is in a guest. */
#include "vmm/cli_guest.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

bool cli_parse_level(const char *text)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i]) == 0) {
            mayfly_set_log_level((enum mayfly_log_level)i);
            return true;
        }
    }
    return false;
}

int cli_guest_add_option(struct cli_guest *guest, const char *option)
{
    if (guest->option_count == CLI_GUEST_OPTIONS_MAX)
        return cli_misuse(guest->command,
                          "at most %d mounts, addresses and the like "
                          "are possible",
                          CLI_GUEST_OPTIONS_MAX);
    guest->options[guest->option_count++] = option;
    return CLI_OK;
}

/* Adds K=V, or the host's value of K. */
static int add_env(struct cli_guest *guest, const char *text)
{
    const char *entry = text;

    if (!strchr(text, '=')) {
        char *const *host = environ;
        size_t length = strlen(text);

        while (*host &&
               (strncmp(*host, text, length) != 0 || (*host)[length] != '='))
            host++;
        if (!*host)
            return CLI_OK;
        entry = *host;
    }
    if (*entry == '=' || guest->env_count == CLI_ENV_MAX)
        return cli_misuse(guest->command,
                          "--env takes K=V, at most %d times, not '%s'",
                          CLI_ENV_MAX, text);
    guest->env[guest->env_count++] = entry;
    return CLI_OK;
}

/* What goes into names of hosts (RFC 952, 1123), and what programs add. */
static bool is_host_name(const char *name)
{
    size_t length = strlen(name);

    return length > 0 && length <= CLI_HOST_NAME_MAX && *name != '-' &&
           *name != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "0123456789-._") == length;
}

static int set_hostname(struct cli_guest *guest, const char *name)
{
    if (guest->hostname_option[0])
        return cli_misuse(guest->command, "--hostname can be given once");
    if (!is_host_name(name))
        return cli_misuse(guest->command,
                          "--hostname takes letters, digits, '-', '.' and "
                          "'_', at most %d, not '%s'",
                          CLI_HOST_NAME_MAX, name);
    snprintf(guest->hostname_option, sizeof(guest->hostname_option),
             "hostname=%s", name);
    return cli_guest_add_option(guest, guest->hostname_option);
}

/* Notes one more disk. */
static int add_disk(struct cli_guest *guest, char *text)
{
    unsigned index = guest->disk_count;
    struct cli_disk *disk = &guest->disks[index];

    if (index == MAYFLY_DISKS_MAX)
        return cli_misuse(guest->command, "at most %d disks are possible",
                          MAYFLY_DISKS_MAX);
    if (cli_parse_disk(text, disk))
        return CLI_FAILED;
    guest->disk_count++;
    /* What goes on from a snapshot has mounted it. */
    if (!disk->mount || guest->restore)
        return CLI_OK;
    snprintf(disk->guest_option, sizeof(disk->guest_option), "mount=%u:%s",
             index, disk->mount);
    return cli_guest_add_option(guest, disk->guest_option);
}

static int set_files(struct cli_guest *guest, const char *path)
{
    if (guest->files)
        return cli_misuse(guest->command, "--files can be given once");
    guest->files = path;
    return CLI_OK;
}

/* Notes one more address to connect to, and tells the guest of it. */
static int add_connect(struct cli_guest *guest, char *text)
{
    unsigned index = guest->connect_count;

    if (index == MAYFLY_CONNECTS_MAX)
        return cli_misuse(guest->command, "at most %d addresses are possible",
                          MAYFLY_CONNECTS_MAX);
    if (cli_parse_connect(text, index, &guest->connects[index]))
        return CLI_FAILED;
    guest->connect_count++;
    return cli_guest_add_option(guest, guest->connects[index].guest_option);
}

static int set_memory(struct cli_guest *guest, const char *text)
{
    if (cli_parse_number(text, 1024, &guest->mem_bytes))
        return CLI_OK;
    return cli_misuse(guest->command,
                      "--mem takes a size such as 64M, not '%s'", text);
}

int cli_guest_take(struct cli_guest *guest, int option, char *value)
{
    switch (option) {
    case 'm':
        return set_memory(guest, value);
    case 'e':
        return add_env(guest, value);
    case 'd':
        return add_disk(guest, value);
    case 'f':
        return set_files(guest, value);
    case 'C':
        return add_connect(guest, value);
    case 'N':
        return set_hostname(guest, value);
    default:
        return CLI_OTHER;
    }
}

int cli_guest_settle(struct cli_guest *guest)
{
    if (!guest->files)
        return CLI_OK;
    if (guest->disk_count == MAYFLY_DISKS_MAX)
        return cli_misuse(guest->command,
                          "--files is a disk, too: at most %d are possible",
                          MAYFLY_DISKS_MAX);
    if (guest->restore)
        return CLI_OK;
    /* The last disk, so that the others keep their numbers. */
    snprintf(guest->files_option, sizeof(guest->files_option), "files=%u",
             guest->disk_count);
    return cli_guest_add_option(guest, guest->files_option);
}

void cli_guest_take_args(struct cli_guest *guest, char **argv)
{
    /* argv[0] is the image's name: `--`, where it stands, gives way to it. */
    if (argv[1] && strcmp(argv[1], "--") == 0) {
        argv[1] = argv[0];
        argv++;
    }
    guest->args = (const char *const *)argv;
}

int cli_guest_open_disks(const struct cli_guest *guest,
                         struct mayfly_disk opened[MAYFLY_DISKS_MAX],
                         unsigned *count)
{
    int status = CLI_OK;
    unsigned at = 0;

    for (; at < guest->disk_count && !status; at++)
        status = cli_open_disk(&guest->disks[at], &opened[at]);
    if (guest->files && !status)
        status = cli_open_files(guest->files, &opened[at++]);
    /* A file that may not grow is the guest's I/O error, not our end. */
    if (at > 0)
        signal(SIGXFSZ, SIG_IGN);
    *count = at;
    return status;
}
