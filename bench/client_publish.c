/* Publishing with a bounded number of messages under way, in four dialects:
 * rtserver's HTTP API, its command `publish` on a WebSocket, NATS's own protocol over TCP, and the
 * control socket of the bare servers ("COUNT\nPAYLOAD": send PAYLOAD to everyone COUNT times). */
#define _GNU_SOURCE
#include "client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define OUT_BYTES (1u << 20)

struct link {
    int fd;
    bool open, busy, upgraded;
    uint8_t *out;
    size_t out_bytes, out_sent;
    char in[65536];
    size_t in_bytes;
    int events; /* in the POST under way */
};

static struct link links[MAX_HTTP_CONNS];
static int link_count;
static int pad_bytes;
static char padding[65536];

static void link_watch(struct client *c, int i, bool writing, int operation) {
    struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0),
                                .data.u32 = (uint32_t)(c->opt.connections + i)};
    epoll_ctl(c->epoll_fd, operation, links[i].fd, &event);
}

static void link_flush(struct client *c, int i) {
    struct link *link = &links[i];
    while (link->out_sent < link->out_bytes) {
        ssize_t sent = send(link->fd, link->out + link->out_sent, link->out_bytes - link->out_sent,
                            MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            link_watch(c, i, true, EPOLL_CTL_MOD);
            return;
        }
        if (sent < 0) {
            fail(c, "publisher: %s", strerror(errno));
            return;
        }
        link->out_sent += (size_t)sent;
    }
    link->out_bytes = link->out_sent = 0;
    link_watch(c, i, false, EPOLL_CTL_MOD);
}

static void append(struct link *link, const void *data, size_t bytes) {
    if (link->out_bytes + bytes > OUT_BYTES) abort(); /* the window keeps it far below */
    memcpy(link->out + link->out_bytes, data, bytes);
    link->out_bytes += bytes;
}

void publish_calibrate(struct client *c, int bytes) {
    if (bytes < 0 || bytes >= (int)sizeof padding)
        fail(c, "a frame cannot be made %d bytes long: the envelope alone is longer", c->opt.frame_bytes);
    else
        pad_bytes = bytes;
}

int publish_pad(const struct client *c) {
    (void)c;
    return pad_bytes;
}

bool publishes_to_rtserver(const struct client *c) {
    return c->opt.publisher == PUBLISH_RTSERVER || c->opt.publisher == PUBLISH_SOCKET;
}

void publish_open(struct client *c) {
    memset(padding, 'x', sizeof padding);
    link_count = c->opt.publisher == PUBLISH_RTSERVER ? c->opt.http_conns : 1;
    for (int i = 0; i < link_count; i++) {
        struct link *link = &links[i];
        link->fd = connect_to(c->opt.host, c->opt.publish_port);
        link->out = malloc(OUT_BYTES);
        if (link->fd < 0 || link->out == NULL) {
            fail(c, "publisher: cannot connect to port %d", c->opt.publish_port);
            return;
        }
        link->open = c->opt.publisher == PUBLISH_RTSERVER;
        char hello[4096];
        int bytes = 0;
        if (c->opt.publisher == PUBLISH_NATS) {
            bytes = snprintf(hello, sizeof hello,
                             "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"c\","
                             "\"version\":\"0\",\"protocol\":1}\r\nPING\r\n");
        } else if (c->opt.publisher == PUBLISH_CONTROL) {
            bytes = snprintf(hello, sizeof hello,
                             "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: "
                             "Upgrade\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
                             "Sec-WebSocket-Version: 13\r\n\r\n",
                             c->opt.publish_path, c->opt.host);
        } else if (c->opt.publisher == PUBLISH_SOCKET) {
            bytes = snprintf(hello, sizeof hello,
                             "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: "
                             "Upgrade\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
                             "Sec-WebSocket-Version: 13\r\nAuthorization: Bearer %s\r\n\r\n",
                             c->opt.publish_path, c->opt.host, c->opt.publish_token);
        }
        append(link, hello, (size_t)bytes);
        /* Writing starts once the connection stands: EPOLLOUT says so. */
        link_watch(c, i, true, EPOLL_CTL_ADD);
    }
}

static int event_json(const struct client *c, char *to, size_t room, uint64_t sent_ns, int pad) {
    const char *shape = publishes_to_rtserver(c)
                            ? "{\"type\":\"" EVENT_TYPE "\",\"data\":{\"sent_ns\":%llu,\"pad\":\"%.*s\"}}"
                            : "{\"type\":\"" EVENT_TYPE "\",\"sent_ns\":%llu,\"pad\":\"%.*s\"}";
    return snprintf(to, room, shape, (unsigned long long)sent_ns, pad, padding);
}

static void post(struct client *c, struct link *link, int count, uint64_t sent_ns) {
    char event[66000], head[4096];
    int event_bytes = event_json(c, event, sizeof event, sent_ns, pad_bytes);
    bool single = c->opt.single && count == 1;
    size_t body = single ? (size_t)event_bytes : 13 + (size_t)count * (size_t)(event_bytes + 1);
    int head_bytes = snprintf(head, sizeof head,
                              "POST %s HTTP/1.1\r\nHost: %s:%d\r\nAuthorization: Bearer %s\r\n"
                              "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                              c->opt.publish_path, c->opt.host, c->opt.port, c->opt.publish_token, body);
    append(link, head, (size_t)head_bytes);
    if (!single) append(link, "{\"events\":[", 11);
    for (int i = 0; i < count; i++) {
        if (i) append(link, ",", 1);
        append(link, event, (size_t)event_bytes);
    }
    if (!single) append(link, "]} ", 3); /* the space stands for the comma that the last has not */
    link->busy = true;
    link->events = count;
}

static void command(struct client *c, struct link *link, uint64_t sent_ns) {
    char event[66000], start[80];
    int event_bytes = event_json(c, event, sizeof event, sent_ns, pad_bytes);
    int start_bytes = snprintf(start, sizeof start, "{\"type\":\"publish\",\"request_id\":%llu,\"event\":",
                               (unsigned long long)c->published);
    int total = start_bytes + event_bytes + 1;
    /* Masked with zeros, which RFC 6455 does not forbid to a benchmark. */
    uint8_t head[8] = {0x81, 0x80 | 126, (uint8_t)(total >> 8), (uint8_t)total};
    append(link, head, sizeof head);
    append(link, start, (size_t)start_bytes);
    append(link, event, (size_t)event_bytes);
    append(link, "}", 1);
}

static void publish_count(struct client *c, int i, int count, uint64_t sent_ns) {
    struct link *link = &links[i];
    char event[8000], frame[8200];
    if (c->opt.publisher == PUBLISH_RTSERVER) {
        post(c, link, count, sent_ns);
    } else if (c->opt.publisher == PUBLISH_SOCKET) {
        for (int n = 0; n < count; n++) {
            command(c, link, sent_ns);
            c->published++;
        }
        return; /* what there is room for goes out in one write */
    } else {
        /* The envelope is known here, so the padding follows from it. */
        int pad = c->opt.frame_bytes - event_json(c, event, sizeof event, sent_ns, 0);
        int bytes = event_json(c, event, sizeof event, sent_ns, pad < 0 ? 0 : pad);
        if (c->opt.publisher == PUBLISH_NATS) {
            int total = snprintf(frame, sizeof frame, "PUB " NATS_SUBJECT " %d\r\n%s\r\n", bytes, event);
            for (int n = 0; n < count; n++) append(link, frame, (size_t)total);
        } else {
            int total = snprintf(frame, sizeof frame, "%d\n%s", count, event);
            uint8_t head[8] = {0x81, 0x80 | 126, (uint8_t)(total >> 8), (uint8_t)total};
            append(link, head, 8);
            append(link, frame, (size_t)total);
        }
        c->acknowledged += (uint64_t)count;
    }
    c->published += (uint64_t)count;
    link_flush(c, i);
}

static int idle_link(void) {
    for (int i = 0; i < link_count; i++)
        if (links[i].open && !links[i].busy && links[i].out_bytes < OUT_BYTES / 2) return i;
    return -1;
}

void publish_scheduled(struct client *c, uint64_t scheduled_ns) {
    int i = idle_link();
    if (i < 0)
        fail(c, "publisher: every connection is busy at the scheduled time; give it more");
    else
        publish_count(c, i, 1, scheduled_ns);
    if (i >= 0 && c->opt.publisher == PUBLISH_SOCKET) link_flush(c, i);
}

void publish_more(struct client *c) {
    bool is_socket = c->opt.publisher == PUBLISH_SOCKET;
    for (int i; (i = idle_link()) >= 0 && !*c->error;) {
        uint64_t slowest = slowest_received(c);
        if (is_socket && c->acknowledged < slowest) slowest = c->acknowledged;
        uint64_t under_way = c->published > slowest ? c->published - slowest : 0;
        if (under_way + (uint64_t)c->opt.chunk > (uint64_t)c->opt.window) break;
        publish_count(c, i, c->opt.chunk, monotonic_ns());
    }
    if (is_socket && links[0].out_bytes > 0) link_flush(c, 0);
}

/* One response at a time and no pipelining, so the buffer holds at most one. */
static void read_response(struct client *c, struct link *link) {
    link->in[link->in_bytes] = 0;
    char *end = strstr(link->in, "\r\n\r\n");
    if (end == NULL) return;
    char *length = strcasestr(link->in, "\r\nContent-Length:");
    size_t body = length != NULL && length < end ? (size_t)atol(length + 17) : 0;
    size_t total = (size_t)(end + 4 - link->in) + body;
    int status = atoi(link->in + 9);
    if (status / 100 != 2) {
        fail(c, "publish answered %d: %.250s", status, end + 4);
    } else if (link->in_bytes >= total || total >= sizeof link->in) {
        if (link->in_bytes < total) { /* a long body: only its head is kept */
            fail(c, "publish answered with %zu bytes, more than the client holds", total);
            return;
        }
        link->in_bytes = 0;
        link->busy = false;
        c->acknowledged += (uint64_t)link->events;
    }
}

static bool begins(const char *frame, size_t bytes, const char *start) {
    return bytes >= strlen(start) && memcmp(frame, start, strlen(start)) == 0;
}

static void take_frame(struct client *c, struct link *link, const char *frame, size_t bytes) {
    if (begins(frame, bytes, "{\"type\":\"welcome\"")) {
        link->open = true;
    } else if (begins(frame, bytes, "{\"type\":\"ack\"")) {
        for (const char *end = frame + bytes, *at = frame; (at = memmem(at, (size_t)(end - at), "\"id\":", 5));
             at += 5)
            c->acknowledged++;
    } else if (begins(frame, bytes, "{\"type\":\"error\"") || begins(frame, bytes, "{\"type\":\"closing\"")) {
        fail(c, "publisher: %.*s", bytes > 300 ? 300 : (int)bytes, frame);
    }
}

static void read_socket(struct client *c, struct link *link) {
    size_t at = 0;
    if (!link->upgraded) {
        link->in[link->in_bytes] = 0;
        char *end = strstr(link->in, "\r\n\r\n");
        if (end == NULL) return;
        if (strstr(link->in, " 101 ") == NULL) fail(c, "publisher: %.100s", link->in);
        link->upgraded = true;
        at = (size_t)(end + 4 - link->in);
    }
    while (link->in_bytes - at >= 4) { /* no frame of a session is shorter */
        const uint8_t *frame = (const uint8_t *)link->in + at;
        size_t head = 2, bytes = frame[1] & 127;
        if (bytes == 126) {
            head = 4;
            bytes = (size_t)(frame[2] << 8 | frame[3]);
        }
        if (bytes == 127 || head + bytes >= sizeof link->in) {
            fail(c, "publisher: a frame that is longer than the client holds");
            return;
        }
        if (link->in_bytes - at < head + bytes) break;
        if ((frame[0] & 15) == 1) take_frame(c, link, (const char *)frame + head, bytes);
        at += head + bytes;
    }
    memmove(link->in, link->in + at, link->in_bytes - at);
    link->in_bytes -= at;
}

void publish_event(struct client *c, int i, uint32_t events) {
    struct link *link = &links[i];
    if (events & EPOLLOUT) link_flush(c, i);
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
    ssize_t got = recv(link->fd, link->in + link->in_bytes, sizeof link->in - 1 - link->in_bytes, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
        fail(c, "publisher: the server closed the connection");
        return;
    }
    link->in_bytes += (size_t)got;
    if (c->opt.publisher == PUBLISH_RTSERVER) {
        read_response(c, link);
        return;
    }
    if (c->opt.publisher == PUBLISH_SOCKET) {
        read_socket(c, link);
        return;
    }
    link->in[link->in_bytes] = 0;
    if (c->opt.publisher == PUBLISH_NATS && strstr(link->in, "PING\r\n") != NULL && link->open) {
        append(link, "PONG\r\n", 6);
        link_flush(c, i);
    }
    if (strstr(link->in, "-ERR") != NULL) fail(c, "NATS: %.200s", strstr(link->in, "-ERR"));
    if (strstr(link->in, c->opt.publisher == PUBLISH_NATS ? "PONG" : " 101 ") != NULL) link->open = true;
    link->in_bytes = 0;
}
