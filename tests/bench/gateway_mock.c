/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway_mock.h"

#include "gateway_wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_FD = 65536, IN_BYTES = 16 * 1024, BODY_BYTES = 1024, EVENTS = 100, MAX_DUE = 16 };

struct client {
    bool open, streams;
    size_t n;
    char *in; /* IN_BYTES */
    uint32_t left;
    uint64_t every_ns, next_ns; /* of its stream */
    int next, prev;             /* among those that stream, by next_ns; -1: none */
};

static struct client clients[MAX_FD];
static int first = -1, last = -1; /* streams */
static int listener, epoll_fd;
static uint64_t tag;
static char answer[2048], models[512];
static size_t n_answer, n_models;

static size_t with_head(char *out, size_t cap, const char *body)
{
    return (size_t)snprintf(out, cap,
                            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                            "Content-Length: %zu\r\n\r\n%s",
                            strlen(body), body);
}

static void make_answers(void)
{
    static const char begin[] =
        "{\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion\","
        "\"created\":1790000000,\"model\":\"mock\",\"choices\":[{\"index\":0,"
        "\"message\":{\"role\":\"assistant\",\"content\":\"";
    static const char end[] = "\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":200,"
                              "\"completion_tokens\":150,\"total_tokens\":350}}";
    char body[BODY_BYTES + 1];
    memset(body, 'a', BODY_BYTES);
    for (size_t i = 5; i < BODY_BYTES; i += 6) {
        body[i] = ' ';
    }
    memcpy(body, begin, sizeof(begin) - 1);
    memcpy(body + BODY_BYTES - (sizeof(end) - 1), end, sizeof(end)); /* with its NUL */
    n_answer = with_head(answer, sizeof(answer), body);
    n_models = with_head(models, sizeof(models),
                         "{\"object\":\"list\",\"data\":[{\"id\":\"mock\",\"object\":\"model\"}]}");
}

static void leave_streams(int fd)
{
    struct client *c = &clients[fd];
    *(c->prev >= 0 ? &clients[c->prev].next : &first) = c->next;
    *(c->next >= 0 ? &clients[c->next].prev : &last) = c->prev;
    c->streams = false;
}

/* Behind those that are due before it, looked for from the end: where streams of one period go. */
static void join_streams(int fd)
{
    struct client *c = &clients[fd];
    int at = last;
    while (at >= 0 && clients[at].next_ns > c->next_ns) {
        at = clients[at].prev;
    }
    c->prev = at;
    c->next = at >= 0 ? clients[at].next : first;
    *(at >= 0 ? &clients[at].next : &first) = fd;
    *(c->next >= 0 ? &clients[c->next].prev : &last) = fd;
    c->streams = true;
}

static void drop(int fd)
{
    if (clients[fd].streams) {
        leave_streams(fd);
    }
    clients[fd].open = false;
    (void)close(fd);
}

static bool send_all(int fd, const char *p, size_t n)
{
    if (send(fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)n) {
        return true;
    }
    drop(fd); /* a reader that slow is not what is measured here */
    return false;
}

#define EVENT_HEAD                                                                                 \
    "data: {\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion.chunk\",\"created\":1790000000," \
    "\"model\":\"mock\",\"choices\":[{\"index\":0,\"delta\":"

static bool send_chunk(int fd, const char *event)
{
    char out[1024];
    int n = snprintf(out, sizeof(out), "%zx\r\n%s\r\n", strlen(event), event);
    return send_all(fd, out, (size_t)n);
}

/* One event of a stream, and its end behind the last. */
static void send_event(int fd)
{
    static const char end[] = "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";
    struct client *c = &clients[fd];
    char event[512];
    leave_streams(fd);
    if (c->left > 0) {
        c->left--;
        (void)snprintf(event, sizeof(event),
                       EVENT_HEAD "{\"content\":\"%019llu word\"},\"finish_reason\":null}]}\n\n",
                       (unsigned long long)wire_now_ns());
        if (send_chunk(fd, event)) {
            join_streams(fd);
        }
        return;
    }
    (void)snprintf(event, sizeof(event), EVENT_HEAD "{},\"finish_reason\":\"stop\"}]}\n\n");
    if (send_chunk(fd, event)) {
        (void)send_all(fd, end, sizeof(end) - 1);
    }
}

static void begin_stream(int fd, const char *body, size_t n_body)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n";
    struct client *c = &clients[fd];
    unsigned n = EVENTS, us = 0;
    const char *at = memchr(body, '@', n_body);
    if (at) {
        (void)sscanf(at, "@%u/%u", &n, &us);
    }
    if (!send_all(fd, head, sizeof(head) - 1)) {
        return;
    }
    c->left = n;
    c->every_ns = (uint64_t)us * 1000;
    c->next_ns = wire_now_ns() + (us ? (uint64_t)fd * 7919000u % c->every_ns : 0);
    join_streams(fd);
}

static void answer_to(int fd, const char *body, size_t n_body, uint64_t arrived_ns)
{
    static const char text[] = "\"content\":\"";
    const char *at = memmem(body, n_body, text, sizeof(text) - 1);
    uint64_t number;
    if (at && (size_t)(body + n_body - at) > sizeof(text) + 15 &&
        wire_number_read(at + sizeof(text) - 1, &number)) {
        *wire_mark(number) = (struct wire_mark){
            .number = number, .arrived_ns = arrived_ns, .answered_ns = wire_now_ns()};
    }
    (void)send_all(fd, answer, n_answer);
}

static void serve(int fd, uint64_t arrived_ns)
{
    struct client *c = &clients[fd];
    size_t n, n_head;
    while (c->open && (n = wire_message_bytes(c->in, c->n, &n_head)) > 0 && n <= c->n) {
        const char *body = c->in + n_head;
        size_t n_body = n - n_head;
        if (c->in[0] != 'P') {
            (void)send_all(fd, models, n_models);
        } else if (memmem(body, n_body, "\"stream\":true", 13) ||
                   memmem(body, n_body, "\"stream\": true", 14)) {
            begin_stream(fd, body, n_body);
        } else {
            answer_to(fd, body, n_body, arrived_ns);
        }
        c->n -= n;
        memmove(c->in, c->in + n, c->n);
    }
}

static void accept_all(void)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= MAX_FD) {
            (void)close(fd);
            continue;
        }
        (void)wire_prepare(fd);
        struct client *c = &clients[fd];
        char *in = c->in ? c->in : malloc(IN_BYTES);
        struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET,
                                .data.u64 = tag | (uint64_t)fd};
        if (!in || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0) {
            perror("gateway_mock: accept");
            exit(1);
        }
        *c = (struct client){.open = true, .in = in};
    }
}

void mock_read(int fd, bool ended)
{
    struct client *c = &clients[fd];
    if (fd == listener) {
        accept_all();
        return;
    }
    /* A read that is not full has taken all there was. */
    for (bool more = true; more && c->open;) {
        uint64_t arrived_ns;
        size_t cap = IN_BYTES - c->n;
        ssize_t n = wire_recv(fd, c->in + c->n, cap, &arrived_ns);
        if (n > 0) {
            more = ended || (size_t)n == cap;
            c->n += (size_t)n;
            serve(fd, arrived_ns);
        } else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            more = false;
        } else {
            drop(fd);
        }
    }
}

/* Without a period the events of a stream go out one per turn, as fast as that is. */
uint64_t mock_send_due(void)
{
    uint64_t time_ns = first >= 0 ? wire_now_ns() : 0;
    for (int i = 0; i < MAX_DUE && first >= 0 && clients[first].next_ns <= time_ns; i++) {
        struct client *c = &clients[first];
        c->next_ns += c->every_ns ? c->every_ns : time_ns + 1 - c->next_ns;
        send_event(first);
    }
    return first >= 0 ? clients[first].next_ns : UINT64_MAX;
}

uint16_t mock_open(int to_epoll_fd, uint64_t with_tag)
{
    epoll_fd = to_epoll_fd;
    tag = with_tag;
    make_answers();
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data.u64 = tag | (uint64_t)listener};
    if (listener < 0 || bind(listener, (struct sockaddr *)&a, n) < 0 ||
        listen(listener, 4096) < 0 || getsockname(listener, (struct sockaddr *)&a, &n) < 0 ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &e) < 0) {
        perror("gateway_mock");
        exit(1);
    }
    return ntohs(a.sin_port);
}
