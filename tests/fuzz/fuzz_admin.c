/* SPDX-License-Identifier: MIT */
/* Fuzzes the admin endpoint: what peers say, and what they are answered. */

/*
 * The bytes come in pieces, as a script says, into a buffer of the endpoint's
 * size; what a request means must not depend on the pieces. An answer always
 * has a head with the length of its body, and nothing of what a peer has said.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/fuzz/script.h"
#include "vmm/server/admin_answer.c"
#include "vmm/server/admin_request.c"
#include "vmm/server/text.c"

#define ANSWERS 64u

static void must(bool condition)
{
    if (!condition)
        abort();
}

static size_t write_page(void *context, char *to)
{
    (void)context;
    memset(to, 'm', 5);
    return 5;
}

static bool is_healthy(void *context)
{
    return *(bool *)context;
}

static void check_request(const struct admin_request *request)
{
    switch (request->error) {
    case 0:
        must(request->path <= ADMIN_NOWHERE);
        return;
    case 400:
    case 405:
    case 414:
    case 431:
    case 505:
        must(!request->keep);
        return;
    }
    abort();
}

static void check_answer(const struct admin_request *request, bool healthy)
{
    static char text[ADMIN_ANSWER_BYTES + 1];
    struct admin_source source = {write_page, is_healthy, &healthy, 0};
    size_t bytes = admin_answer(request, &source, 784111777, text), length;
    unsigned status;

    must(bytes < sizeof(text));
    text[bytes] = '\0';
    must(sscanf(text, "HTTP/1.1 %3u ", &status) == 1);
    must(!request->error || status == request->error);
    char *end = strstr(text, "\r\n\r\n");
    char *field = strstr(text, "\r\nContent-Length: ");
    must(end && field && field < end);
    length = strtoul(field + strlen("\r\nContent-Length: "), NULL, 10);
    must(strlen(end + 4) == (request->head ? 0 : length));
    must((size_t)(end + 4 - text) + strlen(end + 4) == bytes);
    must(request->keep || strstr(text, "\r\nConnection: close\r\n"));
}

/* All at once: the requests of a stream, up to the first error. */
static unsigned read_whole(const char *text, size_t bytes,
                           struct admin_request *requests)
{
    unsigned count = 0;
    size_t used = 1;

    while (count < ANSWERS && used > 0 && bytes > 0) {
        size_t window =
            bytes < ADMIN_REQUEST_BYTES ? bytes : ADMIN_REQUEST_BYTES;

        used = admin_request_parse(text, window, &requests[count]);
        must(used <= window);
        if (used == 0)
            break;
        check_request(&requests[count]);
        if (requests[count++].error)
            break;
        text += used;
        bytes -= used;
    }
    return count;
}

/* In pieces, as admin.c does it. */
static unsigned read_pieces(struct script sizes, const char *text, size_t bytes,
                            struct admin_request *requests)
{
    static char in[ADMIN_REQUEST_BYTES];
    size_t have = 0, used;
    unsigned count = 0;

    while (bytes > 0 && count < ANSWERS) {
        size_t part = 1 + script_number(&sizes, 1) * (sizes.left % 17 + 1);

        must(have < sizeof(in));
        part = part < sizeof(in) - have ? part : sizeof(in) - have;
        part = part < bytes ? part : bytes;
        memcpy(in + have, text, part);
        have += part;
        text += part;
        bytes -= part;
        while (count < ANSWERS &&
               (used = admin_request_parse(in, have, &requests[count]))) {
            must(used <= have);
            have -= used;
            memmove(in, in + used, have);
            if (requests[count++].error)
                return count;
        }
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct admin_request whole[ANSWERS], pieces[ANSWERS];
    struct script sizes = {data, bytes < 16 ? bytes : 16};
    const char *text = (const char *)data + sizes.left;
    unsigned count;

    bytes -= sizes.left;
    count = read_whole(text, bytes, whole);
    must(read_pieces(sizes, text, bytes, pieces) == count);
    for (unsigned i = 0; i < count; i++) {
        must(!memcmp(&whole[i], &pieces[i], sizeof(whole[i])));
        check_answer(&whole[i], i % 2);
    }
    return 0;
}
