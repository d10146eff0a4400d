/* SPDX-License-Identifier: MIT */
/* JSON documents by name, in memory: a hash table */
#include "store.h"

#include "json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 4096 };

struct item {
    struct item *next;
    size_t name_length, value_length;
    char bytes[]; /* the name, then the value */
};

static struct item *buckets[BUCKETS];
static size_t item_count, item_bytes;

/*
 * The link to an item, or to where it would be. FNV-1a: names that collide can
 * be chosen, but STORE_ITEMS_MAX bounds what they cost.
 */
static struct item **find(struct text name)
{
    uint64_t hash = 0xcbf29ce484222325u;
    struct item **link;

    for (size_t i = 0; i < name.length; i++)
        hash = (hash ^ (unsigned char)name.bytes[i]) * 0x100000001b3u;
    link = &buckets[(hash >> 20) % BUCKETS];
    while (*link && ((*link)->name_length != name.length ||
                     memcmp((*link)->bytes, name.bytes, name.length) != 0))
        link = &(*link)->next;
    return link;
}

static size_t size_of(const struct item *item)
{
    return sizeof(*item) + item->name_length + item->value_length;
}

static void unlink_item(struct item **link)
{
    struct item *item = *link;

    *link = item->next;
    item_count--;
    item_bytes -= size_of(item);
    free(item);
}

bool store_get(struct text name, struct text *value)
{
    struct item *item = *find(name);

    if (item)
        *value = text_of(item->bytes + item->name_length, item->value_length);
    return item != NULL;
}

int store_put(struct text name, struct text value)
{
    struct item **link = find(name), *old = *link, *item;
    size_t size = sizeof(*item) + name.length + value.length;

    if (item_bytes + size - (old ? size_of(old) : 0) > STORE_BYTES_MAX ||
        (!old && item_count == STORE_ITEMS_MAX))
        return 507;
    item = malloc(size);
    if (!item)
        return 507;
    if (old)
        unlink_item(link);
    *item = (struct item){*link, name.length, value.length};
    memcpy(item->bytes, name.bytes, name.length);
    memcpy(item->bytes + name.length, value.bytes, value.length);
    *link = item;
    item_count++;
    item_bytes += size;
    return old ? 200 : 201;
}

bool store_remove(struct text name)
{
    struct item **link = find(name);

    if (!*link)
        return false;
    unlink_item(link);
    return true;
}

void store_list(struct buffer *out)
{
    const char *separator = "[";

    for (size_t i = 0; i < BUCKETS; i++)
        for (struct item *item = buckets[i]; item; item = item->next) {
            buffer_add(out, separator, 1);
            json_string(out, item->bytes, item->name_length);
            separator = ",";
        }
    buffer_print(out, "%s", *separator == '[' ? "[]" : "]");
}

size_t store_count(void)
{
    return item_count;
}

size_t store_bytes(void)
{
    return item_bytes;
}
