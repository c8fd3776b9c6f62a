/* Shared types of the load client: an epoll loop that opens WebSockets, counts what is
 * delivered on each, and publishes with a bounded number of messages under way.
 *
 * One thread, no dependencies. Every size is in bytes and every time in nanoseconds of
 * CLOCK_MONOTONIC unless the name says otherwise.
 */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EVENT_TYPE "bench.tick" /* marks the frames that are counted */
#define NATS_SUBJECT "bench"
#define READ_BUFFER_BYTES (1u << 18) /* fits the second-level cache */
#define MAX_HTTP_CONNS 64
#define MAX_SECONDS 600

enum wire { WIRE_WS, WIRE_NATS };
enum publisher { PUBLISH_NONE, PUBLISH_RTSERVER, PUBLISH_NATS, PUBLISH_CONTROL, PUBLISH_SOCKET };
enum ready_on { READY_UPGRADE, READY_FRAME };
enum conn_state { CONN_UNUSED, CONN_CONNECTING, CONN_UPGRADING, CONN_OPEN, CONN_CLOSED };

struct options {
    const char *host;
    int port;
    int publish_port; /* NATS: its plain TCP port; elsewhere the same as port */
    const char *targets_file; /* lines of "path<TAB>token"; an empty token sends none */
    const char *publish_path;
    const char *publish_token;
    enum wire wire;
    enum publisher publisher;
    enum ready_on ready_on;
    int connections;
    int opening; /* handshakes under way at once */
    int window; /* messages under way: published and not yet on every connection */
    int chunk; /* published at once, as soon as so many of the window are free */
    int http_conns;
    bool single; /* one event a POST, without the batch's wrapping */
    int frame_bytes;
    double rate; /* events a second at fixed times; 0: as fast as the window allows */
    double open_timeout_s, settle_s, warmup_s, duration_s, drain_s;
    bool hold; /* after opening, stay until stdin ends */
};

struct conn {
    int fd;
    enum conn_state state;
    bool ready;
    uint8_t *carry; /* an incomplete frame or header, kept until the rest comes */
    uint32_t carry_bytes, carry_capacity;
    uint64_t last_seq; /* of the last event; 0 before the first */
    /* NATS over WebSocket is a byte stream cut into frames without regard to messages. */
    uint64_t frame_left; /* of the current frame */
    uint64_t skip_left; /* of the current message's body */
    uint32_t line_bytes;
    uint8_t opcode;
    char line[120];
};

struct target {
    char *path;
    char *token;
};

struct client {
    struct options opt;
    int epoll_fd;
    struct conn *conns;
    uint64_t *received; /* events delivered on each connection; UINT64_MAX once closed */
    struct target *targets;
    int target_count;
    int started, opened, ready_count, failed, closed;
    int http_status[600]; /* refused upgrades by status */
    int close_codes[5000];
    uint64_t frames, bytes, other_frames, out_of_order;
    uint64_t published, acknowledged;
    uint64_t event_frame_bytes; /* length of the last event frame seen */
    uint64_t first_ns, last_ns;
    uint64_t sample_mask; /* the latency of each frame with (frames & mask) == 0 is taken */
    uint64_t now_ns;
    bool publishing;
    char error[400]; /* set: the run has failed */
    uint8_t *buffer;
    uint64_t *histogram;
};

/* client_conn.c */
void conn_open_more(struct client *c);
void conn_event(struct client *c, int index, uint32_t events);
void conn_send_frame(struct client *c, int fd, int opcode, const void *data, size_t bytes);
int connect_to(const char *host, int port);

/* client_frames.c: consume what it can of data, return how much that was. */
size_t frames_consume_ws(struct client *c, int index, const uint8_t *data, size_t bytes);
size_t frames_consume_nats(struct client *c, int index, const uint8_t *data, size_t bytes);

/* client_publish.c */
void publish_open(struct client *c);
void publish_calibrate(struct client *c, int pad_bytes);
int publish_pad(const struct client *c);
bool publishes_to_rtserver(const struct client *c);
void publish_more(struct client *c);
void publish_event(struct client *c, int index, uint32_t events);
void publish_scheduled(struct client *c, uint64_t scheduled_ns);

/* client_report.c */
uint64_t monotonic_ns(void);
void record_latency(struct client *c, uint64_t ns);
double latency_ms(const struct client *c, double quantile);
uint64_t slowest_received(const struct client *c);
void report_open(const struct client *c, double seconds);
void report_phase(const char *phase);
void fail(struct client *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
