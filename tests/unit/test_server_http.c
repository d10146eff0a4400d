/* SPDX-License-Identifier: MIT */
/* What the supervisor takes for HTTP, and what it answers. */
#include <criterion/criterion.h>
#include <string.h>

#include "vmm/server/http.h"

static enum http_kind look(const char *text)
{
    return http_look(text, strlen(text));
}

Test(server_http, requests_are_http)
{
    cr_assert_eq(look("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), HTTP_ONE);
    cr_assert_eq(look("POST /a?b HTTP/1.0\n\n"), HTTP_ONE);
    cr_assert_eq(look("OPTIONS * HTTP/1.1\r\n"), HTTP_ONE);
    cr_assert_eq(look("\r\n\r\nGET / HTTP/1.1\r\n"), HTTP_ONE);
    cr_assert_eq(look("PROPFIND /dav HTTP/1.1\r\n"), HTTP_ONE);
    cr_assert_eq(look("HEAD / HTTP/1.1\r\n"), HTTP_ONE_HEAD);
}

Test(server_http, a_beginning_of_a_request_is_http)
{
    static const char request[] = "DELETE /thing HTTP/1.1\r\n";

    for (size_t count = 1; count < sizeof(request); count++)
        cr_assert_eq(http_look(request, count), HTTP_ONE, "%zu bytes", count);
    cr_assert_eq(look("HEAD"), HTTP_ONE_HEAD);
    cr_assert_eq(look("GET /a-target-that-goes-on-beyond-what-was-looked-at"),
                 HTTP_ONE);
}

Test(server_http, other_protocols_are_not)
{
    static const char *const texts[] = {
        "",
        "\r\n",
        " GET / HTTP/1.1\r\n",
        "get / HTTP/1.1", /* not yet, and not usual */
        "GETS",
        "GET\t/ HTTP/1.1\r\n",
        "GET  HTTP/1.1\r\n",
        "GET /\r\n", /* HTTP/0.9 */
        "GET / HTTP/2.0\r\n",
        "GET / HTTP/1.1 \r\n",
        "GET / HTTP/1.x\r\n",
        "GET / http/1.1\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "PING\r\n",
        "EHLO example.org\r\n",
        "PROPFIND /dav HTTP/1.1",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "A-NAME-THAT-IS-TOO-LONG-FOR-A-METHOD / HTTP/1.1\r\n",
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        cr_assert_eq(look(texts[i]), HTTP_NOT, "%s", texts[i]);
    cr_assert_eq(http_look("\x16\x03\x01\x02\x00\x01", 6), HTTP_NOT);
    cr_assert_eq(http_look("\0GET / HTTP/1.1\r\n", 17), HTTP_NOT);
    cr_assert_eq(http_look("GET\0/ HTTP/1.1\r\n", 16), HTTP_NOT);
}

static void assert_answer(enum http_refusal code, const char *status)
{
    char text[512];
    size_t bytes, head;
    const char *answer = http_refuse(code, HTTP_ONE, &bytes), *end, *length;

    cr_assert_lt(bytes, sizeof(text));
    memcpy(text, answer, bytes);
    text[bytes] = '\0';
    cr_assert_eq(strncmp(text, status, strlen(status)), 0, "%s", text);
    cr_assert(strstr(text, "\r\nConnection: close\r\n"));
    end = strstr(text, "\r\n\r\n");
    length = strstr(text, "\r\nContent-Length: ");
    cr_assert(end && length && length < end);
    cr_assert_eq(strtoul(length + 18, NULL, 10), strlen(end + 4));
    /* The answer to HEAD is the same without its body. */
    cr_assert_eq(http_refuse(code, HTTP_ONE_HEAD, &head), answer);
    cr_assert_eq(head, (size_t)(end + 4 - text));
}

Test(server_http, answers_are_whole)
{
    assert_answer(HTTP_BAD_GATEWAY, "HTTP/1.1 502 Bad Gateway\r\n");
    assert_answer(HTTP_UNAVAILABLE, "HTTP/1.1 503 Service Unavailable\r\n");
    assert_answer(HTTP_GATEWAY_TIMEOUT, "HTTP/1.1 504 Gateway Timeout\r\n");
}
