/* Opening WebSockets and moving their bytes. RFC 6455, the client's side. */
#define _GNU_SOURCE
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

int connect_to(const char *host, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) return -1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    return fd;
}

/* A masking key of zeros is valid on the wire (RFC 6455, 5.3) and leaves the data readable;
 * its unpredictability protects proxies from scripts, of which there are none here. */
void conn_send_frame(struct client *c, int fd, int opcode, const void *data, size_t bytes) {
    uint8_t frame[8192];
    size_t head = 2;
    if (bytes + 8 > sizeof frame) {
        fail(c, "a frame of %zu bytes is too large for the client", bytes);
        return;
    }
    frame[0] = (uint8_t)(0x80 | opcode);
    if (bytes < 126) {
        frame[1] = (uint8_t)(0x80 | bytes);
    } else {
        frame[1] = 0x80 | 126;
        frame[2] = (uint8_t)(bytes >> 8);
        frame[3] = (uint8_t)bytes;
        head = 4;
    }
    memset(frame + head, 0, 4);
    memcpy(frame + head + 4, data, bytes);
    size_t total = head + 4 + bytes;
    /* What is sent here is small and answered at once, so a full buffer means a stuck peer. */
    if (send(fd, frame, total, MSG_NOSIGNAL) != (ssize_t)total)
        fail(c, "a send of %zu bytes did not fit: %s", total, strerror(errno));
}

static void conn_close(struct client *c, int index) {
    struct conn *conn = &c->conns[index];
    if (conn->state == CONN_CLOSED) return;
    if (conn->state == CONN_OPEN)
        c->closed++;
    else
        c->failed++;
    conn->state = CONN_CLOSED;
    c->received[index] = UINT64_MAX;
    close(conn->fd);
    conn->fd = -1;
    if (c->closed > 0 && c->closed == c->opened) fail(c, "the server closed every connection");
}

void conn_open_more(struct client *c) {
    int under_way = c->started - c->ready_count - c->failed - c->closed;
    while (c->started < c->opt.connections && under_way < c->opt.opening) {
        int index = c->started++;
        struct conn *conn = &c->conns[index];
        conn->fd = connect_to(c->opt.host, c->opt.port);
        if (conn->fd < 0) {
            conn->state = CONN_CLOSED;
            c->received[index] = UINT64_MAX;
            c->failed++;
            continue;
        }
        conn->state = CONN_CONNECTING;
        struct epoll_event event = {.events = EPOLLOUT, .data.u32 = (uint32_t)index};
        epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, conn->fd, &event);
        under_way++;
    }
}

static void send_upgrade(struct client *c, int index) {
    struct conn *conn = &c->conns[index];
    const struct target *target = &c->targets[index % c->target_count];
    char request[8192];
    int bytes = snprintf(request, sizeof request,
                         "GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\n"
                         "Connection: Upgrade\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
                         "Sec-WebSocket-Version: 13\r\n%s%s%s\r\n",
                         target->path, c->opt.host, c->opt.port,
                         *target->token ? "Authorization: Bearer " : "", target->token,
                         *target->token ? "\r\n" : "");
    if (bytes >= (int)sizeof request || send(conn->fd, request, (size_t)bytes, MSG_NOSIGNAL) != bytes) {
        conn_close(c, index);
        return;
    }
    conn->state = CONN_UPGRADING;
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)index};
    epoll_ctl(c->epoll_fd, EPOLL_CTL_MOD, conn->fd, &event);
}

static void mark_ready(struct client *c, struct conn *conn) {
    if (conn->ready) return;
    conn->ready = true;
    c->ready_count++;
}

/* Returns how many bytes the response's head takes; 0 while it is incomplete. */
static size_t finish_upgrade(struct client *c, int index, const uint8_t *data, size_t bytes) {
    struct conn *conn = &c->conns[index];
    const uint8_t *end = memmem(data, bytes, "\r\n\r\n", 4);
    if (end == NULL) return 0;
    int status = bytes > 12 ? atoi((const char *)data + 9) : 0;
    if (status != 101) {
        c->http_status[status > 0 && status < 600 ? status : 0]++;
        conn_close(c, index);
        return bytes;
    }
    conn->state = CONN_OPEN;
    c->opened++;
    if (c->opt.wire == WIRE_NATS) {
        static const char hello[] =
            "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"c\",\"version\":\"0\","
            "\"protocol\":1}\r\nSUB " NATS_SUBJECT " 1\r\nPING\r\n";
        conn_send_frame(c, conn->fd, 2, hello, sizeof hello - 1);
    } else if (c->opt.ready_on == READY_UPGRADE) {
        mark_ready(c, conn);
    }
    return (size_t)(end - data) + 4;
}

static bool keep_rest(struct conn *conn, const uint8_t *rest, size_t bytes) {
    if (bytes > conn->carry_capacity) {
        uint8_t *grown = realloc(conn->carry, bytes * 2);
        if (grown == NULL) return false;
        conn->carry = grown;
        conn->carry_capacity = (uint32_t)bytes * 2;
    }
    if (bytes) memcpy(conn->carry, rest, bytes);
    conn->carry_bytes = (uint32_t)bytes;
    return true;
}

static void conn_read(struct client *c, int index) {
    struct conn *conn = &c->conns[index];
    size_t have = conn->carry_bytes;
    if (have >= READ_BUFFER_BYTES / 2) {
        fail(c, "connection %d: a frame of more than %u bytes", index, READ_BUFFER_BYTES / 2);
        return;
    }
    if (have) memcpy(c->buffer, conn->carry, have);
    ssize_t got = recv(conn->fd, c->buffer + have, READ_BUFFER_BYTES - have, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
        conn_close(c, index);
        return;
    }
    c->now_ns = monotonic_ns();
    c->bytes += (uint64_t)got;
    size_t total = have + (size_t)got, used = 0;
    if (conn->state == CONN_UPGRADING) used = finish_upgrade(c, index, c->buffer, total);
    if (conn->state == CONN_OPEN) {
        uint64_t frames_before = c->other_frames + c->frames;
        size_t (*consume)(struct client *, int, const uint8_t *, size_t) =
            c->opt.wire == WIRE_NATS ? frames_consume_nats : frames_consume_ws;
        used += consume(c, index, c->buffer + used, total - used);
        bool first_frame = c->other_frames + c->frames > frames_before;
        if (first_frame && c->opt.wire == WIRE_WS && c->opt.ready_on == READY_FRAME)
            mark_ready(c, conn);
    }
    if (conn->state == CONN_CLOSED) return;
    if (!keep_rest(conn, c->buffer + used, total - used)) fail(c, "out of memory");
}

void conn_event(struct client *c, int index, uint32_t events) {
    struct conn *conn = &c->conns[index];
    if (conn->state == CONN_CLOSED) return;
    if (conn->state == CONN_CONNECTING) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error || (events & (EPOLLERR | EPOLLHUP)))
            conn_close(c, index);
        else
            send_upgrade(c, index);
        return;
    }
    conn_read(c, index);
}
