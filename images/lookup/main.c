/* SPDX-License-Identifier: MIT */
/* Looks names up, and prints their addresses: lookup NAME... */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static void show(const struct addrinfo *each)
{
    const struct sockaddr_in *four = (const void *)each->ai_addr;
    const struct sockaddr_in6 *six = (const void *)each->ai_addr;
    char text[INET6_ADDRSTRLEN] = "?";

    if (each->ai_family == AF_INET)
        inet_ntop(AF_INET, &four->sin_addr, text, sizeof(text));
    else
        inet_ntop(AF_INET6, &six->sin6_addr, text, sizeof(text));
    printf(" %s", text);
}

int main(int argc, char **argv)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *all;
    int failed = 0;

    for (int i = 1; i < argc; i++) {
        int error = getaddrinfo(argv[i], NULL, &hints, &all);

        printf("%s:", argv[i]);
        if (error) {
            printf(" %s\n", gai_strerror(error));
            failed = 1;
            continue;
        }
        for (const struct addrinfo *each = all; each; each = each->ai_next)
            show(each);
        printf("\n");
        freeaddrinfo(all);
    }
    return failed;
}
