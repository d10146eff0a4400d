/* SPDX-License-Identifier: MIT */
/* Devices and arguments from the command line, under other machines. */
#include "guest_rt/pvh.h"

#include <linux/virtio_mmio.h>

#define DEVICE_WORD "virtio_mmio.device="
#define OPTION_WORD                                           \
    "mayfly." /* "mayfly.share=0:/path", behind all arguments \
               */
#define DEVICE_MAGIC 0x74726976u /* "virt" */

/* ---- Devices --------------------------------------------------------- */

static int is_digit(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static uint64_t read_hex(const char *at)
{
    uint64_t value = 0;

    for (; is_digit(*at); at++)
        value =
            value << 4 | (uint64_t)(*at <= '9' ? *at - '0' : *at - 'a' + 10);
    return value;
}

/* What follows the key that the word begins with, or NULL. */
static const char *skip_key(const char *word, const char *key)
{
    for (; *key; key++)
        if (*word++ != *key)
            return NULL;
    return word;
}

/* SIZE@0xADDRESS:IRQ, as Linux has it. Returns the address, or 0. */
static uint64_t read_device_word(const char *word)
{
    word = skip_key(word, DEVICE_WORD);
    if (!word)
        return 0;
    while (*word && *word != '@')
        word++;
    return *word && word[1] == '0' && word[2] == 'x' ? read_hex(word + 3) : 0;
}

/* An entry for what is there, if anything is. */
static void add_device(struct mf_boot *boot, uint64_t at)
{
    const volatile uint32_t *registers = (const volatile uint32_t *)at;
    struct mf_device *device = &boot->devices[boot->device_count];
    uint32_t type;

    if (boot->device_count == MF_DEVICES_MAX || at & 3 ||
        registers[VIRTIO_MMIO_MAGIC_VALUE / 4] != DEVICE_MAGIC)
        return;
    type = registers[VIRTIO_MMIO_DEVICE_ID / 4];
    if (type == 0)
        return;
    device->type = type;
    device->doorbell = device->event = boot->device_count;
    device->registers = at;
    boot->device_count++;
}

/* ---- Words ----------------------------------------------------------- */

/*
 * Copies a word behind the strings, without its quotes. Returns where the line
 * goes on.
 */
static const char *put_word(const char *line, struct mf_boot *boot)
{
    char *to = (char *)boot->strings + boot->strings_bytes;
    int quoted = 0;

    for (; *line && (quoted || *line != ' '); line++) {
        if (*line == '"')
            quoted = !quoted;
        else
            *to++ = *line;
    }
    *to++ = 0;
    boot->strings_bytes = (uint32_t)(to - (char *)boot->strings);
    return line;
}

/* Whether the last word, at `word`, is an option: then it loses its key. */
static int take_option(char *word, struct mf_boot *boot)
{
    const char *from = skip_key(word, OPTION_WORD);

    if (!from)
        return 0;
    boot->strings_bytes -= (uint32_t)(from - word);
    do
        *word++ = *from;
    while (*from++);
    boot->optc++;
    return 1;
}

/* Longer than the line, words never get: there is room for them. */
void pvh_read_command_line(const char *line, struct mf_boot *boot)
{
    boot->strings = MF_STRINGS;
    boot->device_bytes = sizeof(struct mf_device);
    for (;;) {
        uint32_t before = boot->strings_bytes;
        uint64_t at;

        while (*line == ' ')
            line++;
        if (!*line)
            return;
        line = put_word(line, boot);
        at = read_device_word((const char *)boot->strings + before);
        if (at) {
            add_device(boot, at);
            boot->strings_bytes = before;
        } else if (!take_option((char *)boot->strings + before, boot)) {
            boot->argc++;
        }
    }
}
