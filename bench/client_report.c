/* Clocks, the latency histogram and what is printed. */
#include "client.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

uint64_t monotonic_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* 64 buckets to each doubling: within 1.6 % of the value, whatever its size. */
void record_latency(struct client *c, uint64_t ns) {
    if (ns < 64) ns = 64;
    int exponent = 63 - __builtin_clzll(ns);
    c->histogram[exponent * 64 + (int)((ns >> (exponent - 6)) & 63)]++;
}

double latency_ms(const struct client *c, double quantile) {
    uint64_t total = 0, seen = 0;
    for (int i = 0; i < 4096; i++) total += c->histogram[i];
    if (total == 0) return 0;
    uint64_t rank = (uint64_t)(quantile * (double)(total - 1)) + 1;
    for (int i = 0; i < 4096; i++) {
        seen += c->histogram[i];
        if (seen >= rank) {
            int exponent = i / 64;
            uint64_t upper = ((uint64_t)(64 + i % 64 + 1)) << (exponent - 6);
            return (double)upper / 1e6;
        }
    }
    return 0;
}

uint64_t slowest_received(const struct client *c) {
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < c->opt.connections; i++)
        if (c->received[i] < least) least = c->received[i];
    return least;
}

void report_open(const struct client *c, double seconds) {
    printf("{\"phase\":\"open\",\"connections\":%d,\"failed\":%d,\"seconds\":%.6f,\"per_s\":%.1f,"
           "\"refused\":{",
           c->ready_count, c->failed, seconds, seconds > 0 ? c->ready_count / seconds : 0.0);
    const char *comma = "";
    for (int status = 0; status < 600; status++)
        if (c->http_status[status]) {
            printf("%s\"%d\":%d", comma, status, c->http_status[status]);
            comma = ",";
        }
    printf("}}\n");
    fflush(stdout);
}

void report_phase(const char *phase) {
    printf("{\"phase\":\"%s\"}\n", phase);
    fflush(stdout);
}

void fail(struct client *c, const char *format, ...) {
    if (*c->error) return; /* the first cause is the one to tell */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(c->error, sizeof c->error, format, arguments);
    va_end(arguments);
    for (char *p = c->error; *p; p++)
        if (*p == '"' || *p == '\\' || (unsigned char)*p < ' ') *p = '\'';
}
