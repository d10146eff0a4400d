/* SPDX-License-Identifier: MIT */
/* Sends 150000 bytes by TCP, and ends without a word: sendaway ADDRESS PORT */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
    static char bytes[150000];
    struct sockaddr_in peer = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (argc < 3 || inet_pton(AF_INET, argv[1], &peer.sin_addr) != 1)
        return 2;
    peer.sin_port = htons((uint16_t)atoi(argv[2]));
    if (connect(fd, (struct sockaddr *)&peer, sizeof(peer))) {
        perror("connect");
        return 1;
    }
    return send(fd, bytes, sizeof(bytes), 0) == sizeof(bytes) ? 0 : 1;
}
