/* SPDX-License-Identifier: MIT */
/* JSON documents by name, in memory. */
#ifndef HTTPD_STORE_H
#define HTTPD_STORE_H

#include "http.h"

enum {
    STORE_ITEMS_MAX = 10000,
    STORE_BYTES_MAX = 16 << 20,
    STORE_NAME_MAX = 128
};

/* Finds a document. It stays until it is put or removed again. */
bool store_get(struct text name, struct text *value);

/* Keeps a copy. Returns 201, 200 if it replaced one, or 507 if it is full. */
int store_put(struct text name, struct text value);

/* Returns whether there was one. */
bool store_remove(struct text name);

/* Appends an array of all names. */
void store_list(struct buffer *out);

/* How many there are, and the size of them all. */
size_t store_count(void);
size_t store_bytes(void);

#endif
