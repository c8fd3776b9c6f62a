/* Reading what was delivered: WebSocket frames (RFC 6455, 5.2), and NATS inside them. */
#define _GNU_SOURCE
#include "client.h"

#include <stdlib.h>
#include <string.h>

enum { OPCODE_TEXT = 1, OPCODE_CLOSE = 8, OPCODE_PING = 9, OPCODE_PONG = 10 };

/* Returns the head's length, or 0 while it is incomplete. Servers do not mask (5.1). */
static size_t read_head(const uint8_t *data, size_t bytes, uint64_t *payload_bytes) {
    if (bytes < 2) return 0;
    uint64_t length = data[1] & 0x7f;
    size_t head = 2;
    if (length == 126) {
        if (bytes < 4) return 0;
        length = (uint64_t)data[2] << 8 | data[3];
        head = 4;
    } else if (length == 127) {
        if (bytes < 10) return 0;
        length = 0;
        for (int i = 2; i < 10; i++) length = length << 8 | data[i];
        head = 10;
    }
    *payload_bytes = length;
    return head;
}

/* Events have one shape, so a key is nearly always where it was in the event before. */
static const uint8_t *find(const uint8_t *data, size_t bytes, const char *key, size_t key_bytes,
                           size_t *hint) {
    if (*hint + key_bytes <= bytes && memcmp(data + *hint, key, key_bytes) == 0)
        return data + *hint;
    const uint8_t *at = memmem(data, bytes, key, key_bytes);
    if (at != NULL) *hint = (size_t)(at - data);
    return at;
}

static void take_latency(struct client *c, const uint8_t *data, size_t bytes, size_t *hint) {
    static const char key[] = "\"sent_ns\":";
    const uint8_t *at = find(data, bytes, key, sizeof key - 1, hint);
    if (at == NULL) return;
    uint64_t sent_ns = 0;
    for (at += sizeof key - 1; at < data + bytes && *at >= '0' && *at <= '9'; at++)
        sent_ns = sent_ns * 10 + (uint64_t)(*at - '0');
    if (sent_ns > 0 && sent_ns < c->now_ns) record_latency(c, c->now_ns - sent_ns);
}

static void count_event(struct client *c, int index, const uint8_t *data, size_t bytes,
                        size_t *sent_hint) {
    c->received[index]++;
    if (c->first_ns == 0) c->first_ns = c->now_ns;
    c->last_ns = c->now_ns;
    if ((c->frames++ & c->sample_mask) == 0 && data != NULL)
        take_latency(c, data, bytes, sent_hint);
}

/* A stored event's id is EPOCH-SEQ, and SEQ is dense: each is the one before plus one. */
static void check_order(struct client *c, int index, const uint8_t *data, size_t bytes) {
    static size_t hint;
    static const char key[] = "\"id\":\"";
    const uint8_t *at = find(data, bytes, key, sizeof key - 1, &hint);
    if (at == NULL) return;
    const uint8_t *start = at + sizeof key - 1;
    const uint8_t *end = memchr(start, '"', bytes - (size_t)(start - data));
    if (end == NULL) return;
    uint64_t seq = 0, place = 1;
    for (const uint8_t *p = end - 1; p > start && *p >= '0' && *p <= '9'; p--, place *= 10)
        seq += place * (uint64_t)(*p - '0');
    struct conn *conn = &c->conns[index];
    if (conn->last_seq != 0 && seq != conn->last_seq + 1) c->out_of_order++;
    conn->last_seq = seq;
}

static void control_frame(struct client *c, int index, int opcode, const uint8_t *data,
                          uint64_t bytes) {
    if (opcode == OPCODE_PING) {
        conn_send_frame(c, c->conns[index].fd, OPCODE_PONG, data, bytes);
    } else if (opcode == OPCODE_CLOSE) {
        int code = bytes >= 2 ? data[0] << 8 | data[1] : 1005;
        c->close_codes[code < 5000 ? code : 0]++;
    }
}

size_t frames_consume_ws(struct client *c, int index, const uint8_t *data, size_t bytes) {
    static size_t type_hint, sent_hint;
    size_t used = 0;
    for (;;) {
        uint64_t length;
        size_t head = read_head(data + used, bytes - used, &length);
        if (head == 0 || length > bytes - used - head) return used;
        const uint8_t *payload = data + used + head;
        int opcode = data[used] & 0x0f;
        used += head + length;
        if (opcode != OPCODE_TEXT) {
            control_frame(c, index, opcode, payload, length);
            continue;
        }
        static const char type[] = EVENT_TYPE;
        if (find(payload, length, type, sizeof type - 1, &type_hint) == NULL) {
            c->other_frames++;
            continue;
        }
        c->event_frame_bytes = length;
        check_order(c, index, payload, length);
        count_event(c, index, payload, length, &sent_hint);
    }
}

static void nats_line(struct client *c, int index, const char *line, size_t bytes) {
    struct conn *conn = &c->conns[index];
    if (bytes > 4 && memcmp(line, "MSG ", 4) == 0) {
        size_t i = bytes;
        while (i > 0 && line[i - 1] != ' ') i--;
        uint64_t size = 0;
        for (; i < bytes && line[i] >= '0' && line[i] <= '9'; i++)
            size = size * 10 + (uint64_t)(line[i] - '0');
        conn->skip_left = size + 2;
        c->event_frame_bytes = size;
    } else if (bytes >= 4 && memcmp(line, "PING", 4) == 0) {
        conn_send_frame(c, conn->fd, 2, "PONG\r\n", 6);
    } else if (bytes >= 4 && memcmp(line, "PONG", 4) == 0) {
        if (!conn->ready) c->ready_count++;
        conn->ready = true;
    } else if (bytes >= 4 && memcmp(line, "-ERR", 4) == 0) {
        fail(c, "NATS: %.*s", (int)(bytes < 200 ? bytes : 200), line);
    }
}

static void nats_stream(struct client *c, int index, const uint8_t *data, size_t bytes) {
    static size_t sent_hint;
    struct conn *conn = &c->conns[index];
    while (bytes > 0) {
        if (conn->skip_left > 0) {
            size_t step = conn->skip_left < bytes ? conn->skip_left : bytes;
            bool whole = step == conn->skip_left && step == c->event_frame_bytes + 2;
            conn->skip_left -= step;
            if (conn->skip_left == 0)
                count_event(c, index, whole ? data : NULL, step, &sent_hint);
            data += step;
            bytes -= step;
            continue;
        }
        const uint8_t *newline = memchr(data, '\n', bytes);
        size_t step = newline == NULL ? bytes : (size_t)(newline - data) + 1;
        if (newline != NULL && conn->line_bytes == 0) {
            nats_line(c, index, (const char *)data, step - (step > 1 ? 2 : 1));
        } else {
            /* Only INFO is longer than the buffer, and only its first word matters. */
            size_t room = sizeof conn->line - conn->line_bytes;
            size_t kept = step < room ? step : room;
            memcpy(conn->line + conn->line_bytes, data, kept);
            conn->line_bytes += (uint32_t)kept;
            if (newline != NULL) {
                size_t end = conn->line_bytes;
                while (end > 0 && (conn->line[end - 1] == '\n' || conn->line[end - 1] == '\r')) end--;
                conn->line_bytes = 0;
                nats_line(c, index, conn->line, end);
            }
        }
        data += step;
        bytes -= step;
    }
}

size_t frames_consume_nats(struct client *c, int index, const uint8_t *data, size_t bytes) {
    struct conn *conn = &c->conns[index];
    size_t used = 0;
    while (used < bytes) {
        if (conn->frame_left == 0) {
            uint64_t length;
            size_t head = read_head(data + used, bytes - used, &length);
            if (head == 0) return used;
            conn->opcode = data[used] & 0x0f;
            if (conn->opcode >= OPCODE_CLOSE) { /* at most 125 bytes: taken whole */
                if (length > bytes - used - head) return used;
                control_frame(c, index, conn->opcode, data + used + head, length);
                used += head + length;
                continue;
            }
            conn->frame_left = length;
            used += head;
        }
        size_t step = conn->frame_left < bytes - used ? conn->frame_left : bytes - used;
        nats_stream(c, index, data + used, step);
        conn->frame_left -= step;
        used += step;
    }
    return used;
}
