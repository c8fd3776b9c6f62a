/* Load client: opens N WebSockets, publishes, counts what arrives on each, prints JSON lines.
 *
 *   open -> settle -> warm-up -> measure -> drain -> one "done" line
 *
 * Each phase is announced on stdout, so that whoever started it can sample the servers'
 * processor time at the same moments. Exit status 1 when the run failed; "error" says why.
 */
#define _GNU_SOURCE
#include "client.h"

#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

enum { BATCH = 1024 };

static void step(struct client *c, int timeout_ms) {
    static struct epoll_event events[BATCH];
    int count = epoll_wait(c->epoll_fd, events, BATCH, timeout_ms);
    for (int i = 0; i < count; i++) {
        int index = (int)events[i].data.u32;
        if (index < c->opt.connections)
            conn_event(c, index, events[i].events);
        else
            publish_event(c, index - c->opt.connections, events[i].events);
    }
    if (c->publishing) publish_more(c);
}

static void run_until(struct client *c, uint64_t deadline_ns) {
    uint64_t now;
    while (!*c->error && (now = monotonic_ns()) < deadline_ns)
        step(c, (int)((deadline_ns - now) / 1000000) + 1);
}

static void open_all(struct client *c) {
    uint64_t start = monotonic_ns(), deadline = start + (uint64_t)(c->opt.open_timeout_s * 1e9);
    while (!*c->error && c->ready_count + c->failed + c->closed < c->opt.connections) {
        conn_open_more(c);
        step(c, 100);
        if (monotonic_ns() > deadline) fail(c, "opening took longer than %.0f s", c->opt.open_timeout_s);
    }
    report_open(c, (double)(monotonic_ns() - start) / 1e9);
    if (c->ready_count == 0 && !*c->error) fail(c, "no connection was accepted");
}

static void hold_until_stdin_ends(struct client *c) {
    struct pollfd input = {.fd = 0, .events = POLLIN};
    char discard[64];
    while (!*c->error) {
        if (poll(&input, 1, 0) > 0 && read(0, discard, sizeof discard) <= 0) return;
        step(c, 50);
    }
}

/* The server's envelope is its own affair: publish one event without padding, see how long
 * its frame is, and pad the rest to the size that was asked for. */
static void calibrate(struct client *c) {
    uint64_t deadline = monotonic_ns() + 10000000000u;
    publish_calibrate(c, 0);
    publish_scheduled(c, monotonic_ns());
    while (!*c->error && (slowest_received(c) < c->published || c->acknowledged < c->published)) {
        step(c, 10);
        if (monotonic_ns() > deadline) fail(c, "the first event did not reach every connection in 10 s");
    }
    if (!*c->error) publish_calibrate(c, c->opt.frame_bytes - (int)c->event_frame_bytes);
}

static void publish_at_rate(struct client *c, double seconds) {
    uint64_t start = monotonic_ns(), interval = (uint64_t)(1e9 / c->opt.rate);
    uint64_t events = (uint64_t)(seconds * c->opt.rate);
    for (uint64_t n = 0; n < events && !*c->error; n++) {
        uint64_t scheduled = start + n * interval, now;
        while (!*c->error && (now = monotonic_ns()) < scheduled)
            step(c, (int)((scheduled - now) / 1000000));
        publish_scheduled(c, scheduled);
    }
}

static void publish_for(struct client *c, double seconds) {
    if (c->opt.rate > 0) {
        publish_at_rate(c, seconds);
        return;
    }
    c->publishing = true;
    publish_more(c);
    run_until(c, monotonic_ns() + (uint64_t)(seconds * 1e9));
}

static void drain(struct client *c) {
    uint64_t deadline = monotonic_ns() + (uint64_t)(c->opt.drain_s * 1e9);
    c->publishing = false;
    while (!*c->error && slowest_received(c) < c->published && monotonic_ns() < deadline) step(c, 10);
}

struct measured {
    uint64_t frames, bytes, published, start_ns, end_ns;
    struct rusage usage;
    uint64_t per_second[MAX_SECONDS];
    int seconds;
};

static void measure(struct client *c, struct measured *m) {
    memset(c->histogram, 0, 4096 * sizeof *c->histogram);
    struct rusage before;
    getrusage(RUSAGE_SELF, &before);
    uint64_t frames = c->frames, bytes = c->bytes, published = c->published;
    m->start_ns = monotonic_ns();
    double left = c->opt.duration_s;
    while (left > 0 && !*c->error && m->seconds < MAX_SECONDS) {
        uint64_t at = c->frames;
        double slice = c->opt.rate > 0 || left < 1 ? left : 1;
        publish_for(c, slice);
        m->per_second[m->seconds++] = (uint64_t)((double)(c->frames - at) / slice);
        left -= slice;
    }
    m->end_ns = monotonic_ns();
    m->frames = c->frames - frames;
    m->bytes = c->bytes - bytes;
    m->published = c->published - published;
    getrusage(RUSAGE_SELF, &m->usage);
    timersub(&m->usage.ru_utime, &before.ru_utime, &m->usage.ru_utime);
    timersub(&m->usage.ru_stime, &before.ru_stime, &m->usage.ru_stime);
}

static double seconds_of(struct timeval t) { return (double)t.tv_sec + (double)t.tv_usec / 1e6; }

static void report_done(const struct client *c, const struct measured *m) {
    double seconds = (double)(m->end_ns - m->start_ns) / 1e9;
    if (seconds <= 0) seconds = 1e-9; /* a run that failed before: no division by zero */
    uint64_t most = 0;
    for (int i = 0; i < c->opt.connections; i++)
        if (c->received[i] != UINT64_MAX && c->received[i] > most) most = c->received[i];
    uint64_t least = slowest_received(c);
    printf("{\"phase\":\"done\",\"error\":\"%s\",\"connections\":%d,\"closed\":%d,\"seconds\":%.6f,"
           "\"frames\":%llu,\"bytes\":%llu,\"deliveries_per_s\":%.1f,\"events_per_s\":%.1f,"
           "\"published\":%llu,\"delivered_least\":%llu,\"delivered_most\":%llu,"
           "\"out_of_order\":%llu,\"other_frames\":%llu,\"frame_bytes\":%llu,"
           "\"client_cpu_s\":%.4f,\"p50_ms\":%.4f,\"p90_ms\":%.4f,\"p99_ms\":%.4f,"
           "\"p999_ms\":%.4f,\"max_ms\":%.4f,\"first_ns\":%llu,\"last_ns\":%llu,\"per_second\":[",
           c->error, c->ready_count, c->closed, seconds, (unsigned long long)m->frames,
           (unsigned long long)m->bytes, (double)m->frames / seconds, (double)m->published / seconds,
           (unsigned long long)c->published, (unsigned long long)(least == UINT64_MAX ? 0 : least),
           (unsigned long long)most, (unsigned long long)c->out_of_order,
           (unsigned long long)c->other_frames, (unsigned long long)c->event_frame_bytes,
           seconds_of(m->usage.ru_utime) + seconds_of(m->usage.ru_stime), latency_ms(c, 0.5),
           latency_ms(c, 0.9), latency_ms(c, 0.99), latency_ms(c, 0.999), latency_ms(c, 1),
           (unsigned long long)c->first_ns, (unsigned long long)c->last_ns);
    for (int i = 0; i < m->seconds; i++)
        printf("%s%llu", i ? "," : "", (unsigned long long)m->per_second[i]);
    printf("],\"close_codes\":{");
    const char *comma = "";
    for (int code = 0; code < 5000; code++)
        if (c->close_codes[code]) {
            printf("%s\"%d\":%d", comma, code, c->close_codes[code]);
            comma = ",";
        }
    printf("}}\n");
    fflush(stdout);
}

static void read_targets(struct client *c) {
    FILE *file = fopen(c->opt.targets_file, "r");
    char *line = NULL;
    size_t room = 0;
    ssize_t bytes;
    if (file == NULL) {
        perror(c->opt.targets_file);
        exit(2);
    }
    while ((bytes = getline(&line, &room, file)) > 0) {
        if (line[bytes - 1] == '\n') line[bytes - 1] = 0;
        char *tab = strchr(line, '\t');
        if (tab != NULL) *tab = 0;
        c->targets = realloc(c->targets, (size_t)(c->target_count + 1) * sizeof *c->targets);
        if (c->targets == NULL) abort();
        c->targets[c->target_count++] =
            (struct target){strdup(line), strdup(tab == NULL ? "" : tab + 1)};
    }
    free(line);
    fclose(file);
    if (c->target_count == 0) {
        fprintf(stderr, "%s names no target\n", c->opt.targets_file);
        exit(2);
    }
}

static int choose(const char *given, const char *const *names) {
    for (int i = 0; names[i] != NULL; i++)
        if (strcmp(given, names[i]) == 0) return i;
    fprintf(stderr, "unknown choice: %s\n", given);
    exit(2);
}

static void parse(struct options *o, int argc, char **argv) {
    static const char *const wires[] = {"ws", "nats", NULL};
    static const char *const publishers[] = {"none", "rtserver", "nats", "control", "socket", NULL};
    static const char *const readies[] = {"upgrade", "frame", NULL};
    static const struct option names[] = {
        {"host", 1, 0, 'h'},         {"port", 1, 0, 'p'},       {"publish-port", 1, 0, 'P'},
        {"targets", 1, 0, 't'},      {"publish-path", 1, 0, 'u'}, {"wire", 1, 0, 'w'},
        {"publisher", 1, 0, 'b'},    {"ready-on", 1, 0, 'r'},   {"connections", 1, 0, 'n'},
        {"opening", 1, 0, 'o'},      {"window", 1, 0, 'W'},     {"chunk", 1, 0, 'c'},
        {"http-conns", 1, 0, 'k'},   {"frame-bytes", 1, 0, 'f'}, {"rate", 1, 0, 'R'},
        {"open-timeout-s", 1, 0, 'O'}, {"settle-s", 1, 0, 'S'}, {"warmup-s", 1, 0, 'm'},
        {"duration-s", 1, 0, 'd'},   {"drain-s", 1, 0, 'D'},    {"single", 0, 0, '1'},
        {"hold", 0, 0, 'H'},         {0, 0, 0, 0}};
    for (int letter; (letter = getopt_long(argc, argv, "", names, NULL)) != -1;) switch (letter) {
            case 'h': o->host = optarg; break;
            case 'p': o->port = atoi(optarg); break;
            case 'P': o->publish_port = atoi(optarg); break;
            case 't': o->targets_file = optarg; break;
            case 'u': o->publish_path = optarg; break;
            case 'w': o->wire = (enum wire)choose(optarg, wires); break;
            case 'b': o->publisher = (enum publisher)choose(optarg, publishers); break;
            case 'r': o->ready_on = (enum ready_on)choose(optarg, readies); break;
            case 'n': o->connections = atoi(optarg); break;
            case 'o': o->opening = atoi(optarg); break;
            case 'W': o->window = atoi(optarg); break;
            case 'c': o->chunk = atoi(optarg); break;
            case 'k': o->http_conns = atoi(optarg); break;
            case 'f': o->frame_bytes = atoi(optarg); break;
            case 'R': o->rate = atof(optarg); break;
            case 'O': o->open_timeout_s = atof(optarg); break;
            case 'S': o->settle_s = atof(optarg); break;
            case 'm': o->warmup_s = atof(optarg); break;
            case 'd': o->duration_s = atof(optarg); break;
            case 'D': o->drain_s = atof(optarg); break;
            case '1': o->single = true; break;
            case 'H': o->hold = true; break;
            default: exit(2);
        }
    if (o->publish_port == 0) o->publish_port = o->port;
    if (o->port == 0 || o->targets_file == NULL || o->connections < 1 || o->chunk < 1 ||
        o->window < o->chunk || o->http_conns < 1 || o->http_conns > MAX_HTTP_CONNS) {
        fprintf(stderr, "needed: --port, --targets, --connections > 0, 0 < --chunk <= --window, "
                        "--http-conns from 1 to %d\n", MAX_HTTP_CONNS);
        exit(2);
    }
}

int main(int argc, char **argv) {
    struct client client = {
        .opt = {.host = "127.0.0.1", .publish_path = "/", .connections = 1, .opening = 64,
                .window = 64, .chunk = 16, .http_conns = 4, .frame_bytes = 200, .open_timeout_s = 120,
                .settle_s = 0.5, .warmup_s = 1, .duration_s = 5, .drain_s = 15}};
    struct client *c = &client;
    parse(&c->opt, argc, argv);
    /* Through the environment, since arguments are everyone's to read. */
    c->opt.publish_token = getenv("BENCH_PUBLISH_TOKEN") ? getenv("BENCH_PUBLISH_TOKEN") : "";
    read_targets(c);
    c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    c->conns = calloc((size_t)c->opt.connections, sizeof *c->conns);
    c->received = calloc((size_t)c->opt.connections, sizeof *c->received);
    c->histogram = calloc(4096, sizeof *c->histogram);
    c->buffer = malloc(READ_BUFFER_BYTES);
    if (c->epoll_fd < 0 || !c->conns || !c->received || !c->histogram || !c->buffer) abort();
    c->sample_mask = c->opt.rate > 0 ? 0 : 63; /* at full load one in 64 is plenty */
    static struct measured measured;

    open_all(c);
    if (c->opt.hold) {
        if (!*c->error) hold_until_stdin_ends(c);
    } else if (c->opt.publisher != PUBLISH_NONE) {
        if (!*c->error) publish_open(c);
        run_until(c, monotonic_ns() + (uint64_t)(c->opt.settle_s * 1e9));
        if (!*c->error && publishes_to_rtserver(c)) calibrate(c);
        if (!*c->error) publish_for(c, c->opt.warmup_s);
        report_phase("measure");
        if (!*c->error) measure(c, &measured);
        report_phase("drain");
        if (!*c->error) drain(c);
    }
    report_done(c, &measured);
    return *c->error ? 1 : 0;
}
