/* The physical limit: a server that does nothing but send.
 *
 * It answers every upgrade without looking at it (Sec-WebSocket-Accept included: its client
 * does not check), and sends what the control socket asks for, "COUNT\nPAYLOAD", to every
 * other connection. Mode "each" makes one send() of each message to each connection; mode
 * "join" lays the COUNT messages end to end once and makes one send() to each connection.
 * Usage: raw_sender PORT each|join
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_CONNS = 20000, CONTROL_BYTES = 1 << 16 };
enum kind { NEW, SUBSCRIBER, CONTROL };

static int fds[MAX_CONNS], count; /* subscribers */
static enum kind kinds[65536];
static uint8_t control[CONTROL_BYTES];
static size_t control_bytes;
static bool joined;

/* Waiting here is right: the client reads always, and this server has nothing else to do. */
static bool send_all(int fd, const uint8_t *data, size_t bytes) {
    while (bytes > 0) {
        ssize_t sent = send(fd, data, bytes, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            struct pollfd writable = {.fd = fd, .events = POLLOUT};
            if (poll(&writable, 1, 5000) <= 0) return false;
            continue;
        }
        if (sent < 0) return false;
        data += sent;
        bytes -= (size_t)sent;
    }
    return true;
}

static void drop(int fd) {
    for (int i = 0; i < count; i++)
        if (fds[i] == fd) fds[i--] = fds[--count];
    if (kinds[fd] == CONTROL) control_bytes = 0;
    close(fd);
}

static void send_to_all(const uint8_t *data, size_t bytes) {
    for (int i = count - 1; i >= 0; i--)
        if (!send_all(fds[i], data, bytes)) drop(fds[i]);
}

static void publish(const uint8_t *message, size_t bytes) {
    const uint8_t *newline = memchr(message, '\n', bytes);
    if (newline == NULL) exit(1);
    long times = atol((const char *)message);
    size_t payload = bytes - (size_t)(newline + 1 - message), head = payload < 126 ? 2 : 4;
    uint8_t *all = malloc((size_t)times * (payload + head));
    if (all == NULL) abort();
    for (long n = 0; n < times; n++) {
        uint8_t *frame = all + (size_t)n * (payload + head);
        frame[0] = 0x81;
        frame[1] = head == 2 ? (uint8_t)payload : 126;
        if (head == 4) frame[2] = (uint8_t)(payload >> 8), frame[3] = (uint8_t)payload;
        memcpy(frame + head, newline + 1, payload);
    }
    if (joined) {
        send_to_all(all, (size_t)times * (payload + head));
    } else {
        for (long n = 0; n < times; n++)
            send_to_all(all + (size_t)n * (payload + head), payload + head);
    }
    free(all);
}

/* The client masks with zeros, so its frames' data is plain as it comes. */
static void read_control(int fd) {
    ssize_t got = recv(fd, control + control_bytes, CONTROL_BYTES - control_bytes, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
        drop(fd);
        return;
    }
    control_bytes += (size_t)got;
    size_t used = 0;
    while (control_bytes - used >= 8) {
        const uint8_t *at = control + used;
        size_t head = 6, length = at[1] & 0x7f;
        if (length == 126) length = (size_t)at[2] << 8 | at[3], head = 8;
        if (control_bytes - used < head + length) break;
        if ((at[0] & 0x0f) == 1) publish(at + head, length);
        used += head + length;
    }
    memmove(control, control + used, control_bytes - used);
    control_bytes -= used;
}

static void upgrade(int fd) {
    static const char answer[] =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    char request[8192];
    ssize_t got = recv(fd, request, sizeof request - 1, 0);
    if (got <= 0) {
        drop(fd);
        return;
    }
    request[got] = 0; /* one segment on loopback: the client sends its request at once */
    kinds[fd] = strncmp(request, "GET /control ", 13) == 0 ? CONTROL : SUBSCRIBER;
    if (kinds[fd] == SUBSCRIBER && count < MAX_CONNS) fds[count++] = fd;
    send_all(fd, (const uint8_t *)answer, sizeof answer - 1);
}

int main(int argc, char **argv) {
    if (argc != 3 || (strcmp(argv[2], "each") != 0 && strcmp(argv[2], "join") != 0)) {
        fprintf(stderr, "usage: raw_sender PORT each|join\n");
        return 2;
    }
    joined = strcmp(argv[2], "join") == 0;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)atoi(argv[1])),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 4096) < 0) {
        perror("raw_sender");
        return 1;
    }
    int epoll_fd = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[256];
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(epoll_fd, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                int peer = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                if (peer < 0) continue;
                setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                kinds[peer] = NEW;
                struct epoll_event added = {.events = EPOLLIN, .data.fd = peer};
                epoll_ctl(epoll_fd, EPOLL_CTL_ADD, peer, &added);
            } else if (kinds[fd] == NEW) {
                upgrade(fd);
            } else if (kinds[fd] == CONTROL) {
                read_control(fd);
            } else {
                char discard[4096];
                ssize_t got = recv(fd, discard, sizeof discard, 0);
                if (got == 0 || (got < 0 && errno != EAGAIN)) drop(fd);
            }
        }
    }
}
