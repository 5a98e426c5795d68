/*
 * prober: asks the probes of a node that have succeeded, again and again, for as long as they do. One that succeeds costs the
 * agent nothing; the first answer that is anything else is told with all its bytes, for the agent to judge, and the probe is
 * the agent's again. One process for all, which lives as long as the agent's connection does.
 *
 * Frames both ways: u32 length (of what follows), u8 type, payload; numbers little-endian.
 *   to the prober   A add: u32 id, u32 ms until the first, u32 period ms, u32 limit ms, u16 port, u8 size of the address, address
 *                   as text, request (none: that the port answers is enough) | D drop: u32 id
 *   to the agent    T told: u32 id, u8 how, u32 errno, u32 ms since it began, bytes of the answer
 */
#include "helper.h"
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* An answer of which BODY_ENOUGH bytes of the body came is whole: no more is ever read of one (pkg/probe/http, maxRespBodyLength). */
enum { FRAME_MAX = 128 << 10, ANSWER_MAX = 32 << 10, BODY_ENOUGH = 10 << 10, EVENTS = 64 };
enum how { ANSWERED = 1, TIMED_OUT = 2, NOT_CONNECTED = 3, BROKEN = 4 };

struct probe {
	uint32_t id;
	int64_t at_ms;	  /* when it is due, or must have ended: the heap's order */
	int64_t began_ms; /* 0: it waits */
	uint32_t period_ms, limit_ms;
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} address;
	socklen_t address_size;
	struct bytes request, answer;
	size_t sent, heap_index;
	int fd;
	bool connected;
};

static struct probe **heap;
static size_t heap_size, heap_capacity;
static struct bytes to_agent, from_agent;
static int agent, poller;
static bool agent_is_behind;

static void place(size_t i, struct probe *p)
{
	heap[i] = p;
	p->heap_index = i;
}

static void sift(struct probe *p)
{
	size_t i = p->heap_index;
	for (; i && heap[(i - 1) / 2]->at_ms > p->at_ms; i = (i - 1) / 2)
		place(i, heap[(i - 1) / 2]);
	for (;;) {
		size_t child = 2 * i + 1;
		if (child + 1 < heap_size && heap[child + 1]->at_ms < heap[child]->at_ms)
			child++;
		if (child >= heap_size || heap[child]->at_ms >= p->at_ms)
			break;
		place(i, heap[child]);
		i = child;
	}
	place(i, p);
}

static void stop(struct probe *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	p->began_ms = 0;
	p->sent = 0;
	p->connected = false;
	bytes_free(&p->answer);
}

static void forget(struct probe *p)
{
	stop(p);
	struct probe *last = heap[--heap_size];
	if (last != p) {
		place(p->heap_index, last);
		sift(last);
	}
	bytes_free(&p->request);
	free(p);
}

static void tell(struct probe *p, enum how how, int error)
{
	char head[18];
	put_u32(head, (uint32_t)(14 + p->answer.size));
	head[4] = 'T';
	put_u32(head + 5, p->id);
	head[9] = (char)how;
	put_u32(head + 10, (uint32_t)error);
	put_u32(head + 14, p->began_ms ? (uint32_t)(monotonic_ms() - p->began_ms) : 0);
	bytes_append(&to_agent, head, sizeof head);
	bytes_append(&to_agent, p->answer.data, p->answer.size);
	forget(p);
}

static void well(struct probe *p)
{
	int64_t now = monotonic_ms(), due = p->began_ms + p->period_ms;
	stop(p);
	p->at_ms = due > now ? due : now;
	sift(p);
}

/* A header's value in the head, or NULL; names are compared as HTTP does. */
static const char *header(const char *head, const char *end, const char *name)
{
	size_t size = strlen(name);
	for (const char *line = memchr(head, '\n', (size_t)(end - head)); line && line + 1 < end; line = memchr(line, '\n', (size_t)(end - line))) {
		line++;
		if ((size_t)(end - line) > size && strncasecmp(line, name, size) == 0 && line[size] == ':')
			return line + size + 1;
	}
	return NULL;
}

/* The digits of a header's value that begins at `at`; more than any body where there are none: that is the agent's to judge. */
static size_t number(const char *at, const char *end)
{
	size_t n = 0;
	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	if (at == end || *at < '0' || *at > '9')
		return SIZE_MAX;
	for (; at < end && *at >= '0' && *at <= '9' && n < SIZE_MAX / 16; at++)
		n = n * 10 + (size_t)(*at - '0');
	return n;
}

/* Nothing more of the answer is needed. Where it ends is the agent's to know exactly: this one only stops to read. */
static bool is_whole(const struct bytes *a)
{
	const char *end = memmem(a->data, a->size, "\r\n\r\n", 4);
	if (!end || a->size < 12 || a->data[9] == '1')
		return false;
	size_t body = a->size - (size_t)(end + 4 - a->data);
	const char *length = header(a->data, end + 2, "Content-Length");
	if (body >= BODY_ENOUGH || memcmp(a->data + 9, "204", 3) == 0 || memcmp(a->data + 9, "304", 3) == 0)
		return true;
	if (length)
		return body >= number(length, end);
	return header(a->data, end + 2, "Transfer-Encoding") && body >= 5 && memcmp(a->data + a->size - 5, "0\r\n\r\n", 5) == 0;
}

/* An answer of 200 to 299 with its head whole. */
static bool is_plain(const struct bytes *a)
{
	return a->size >= 12 && memcmp(a->data, "HTTP/1.", 7) == 0 && a->data[8] == ' ' && a->data[9] == '2' &&
	       memmem(a->data, a->size, "\r\n\r\n", 4);
}

static void wait_for(struct probe *p, uint32_t events, int operation)
{
	struct epoll_event e = {.events = events, .data.ptr = p};
	if (epoll_ctl(poller, operation, p->fd, &e) < 0)
		tell(p, BROKEN, errno);
}

static void take_answer(struct probe *p)
{
	char data[16384];
	ssize_t n = recv(p->fd, data, sizeof data, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0)
		return tell(p, BROKEN, errno);
	bytes_append(&p->answer, data, (size_t)n);
	const char *end = p->answer.data + p->answer.size;
	bool is_ended = n == 0 && is_plain(&p->answer);
	bool until_end = is_ended && !header(p->answer.data, end, "Content-Length") && !header(p->answer.data, end, "Transfer-Encoding");
	if (until_end || (is_whole(&p->answer) && is_plain(&p->answer)))
		return well(p);
	if (n == 0 || is_whole(&p->answer) || p->answer.size >= ANSWER_MAX)
		tell(p, ANSWERED, 0);
}

/* `operation`: how its descriptor becomes known to the poller. */
static void send_request(struct probe *p, int operation)
{
	while (p->sent < p->request.size) {
		ssize_t n = send(p->fd, p->request.data + p->sent, p->request.size - p->sent, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		/* Not connected yet, or its buffer is full. */
		if (n < 0 && errno == EAGAIN)
			return operation == EPOLL_CTL_ADD ? wait_for(p, EPOLLOUT, operation) : (void)0;
		if (n < 0)
			return tell(p, p->connected ? BROKEN : NOT_CONNECTED, errno);
		p->connected = true;
		p->sent += (size_t)n;
	}
	wait_for(p, EPOLLIN, operation);
}

static void go_on(struct probe *p)
{
	int error = 0;
	socklen_t size = sizeof error;
	if (p->sent == p->request.size && p->request.size)
		return take_answer(p);
	if (!p->connected) {
		if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error)
			return tell(p, NOT_CONNECTED, error ? error : errno);
		p->connected = true;
	}
	if (p->request.size == 0)
		well(p);
	else
		send_request(p, EPOLL_CTL_MOD);
}

static void begin(struct probe *p)
{
	p->began_ms = p->at_ms;
	p->at_ms = monotonic_ms() + p->limit_ms;
	sift(p);
	p->fd = socket(p->address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->fd < 0)
		return tell(p, BROKEN, errno);
	if (connect(p->fd, &p->address.any, p->address_size) < 0 && errno != EINPROGRESS)
		return tell(p, NOT_CONNECTED, errno);
	if (p->request.size)
		send_request(p, EPOLL_CTL_ADD);
	else
		wait_for(p, EPOLLOUT, EPOLL_CTL_ADD);
}

static void add(const char *data, size_t size)
{
	if (size < 19)
		refuse(EPROTO, "prober: bad frame");
	size_t text_size = (unsigned char)data[18];
	char text[INET6_ADDRSTRLEN] = "";
	uint16_t port = htons((uint16_t)((unsigned char)data[16] | (unsigned char)data[17] << 8));
	if (text_size >= sizeof text || size < 19 + text_size)
		refuse(EPROTO, "prober: bad frame");
	memcpy(text, data + 19, text_size);
	struct probe *p = must_alloc(sizeof *p);
	*p = (struct probe){.id = get_u32(data), .period_ms = get_u32(data + 8), .limit_ms = get_u32(data + 12), .fd = -1};
	p->at_ms = monotonic_ms() + get_u32(data + 4);
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = port};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = port};
	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
		p->address.v4 = v4;
		p->address_size = sizeof v4;
	} else if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
		p->address.v6 = v6;
		p->address_size = sizeof v6;
	}
	/* Anything else has no family: that probe fails when it is due, and no other. */
	bytes_append(&p->request, data + 19 + text_size, size - 19 - text_size);
	if (heap_size == heap_capacity) {
		heap_capacity = heap_capacity ? heap_capacity * 2 : 64;
		heap = realloc(heap, heap_capacity * sizeof *heap);
		if (!heap)
			refuse(ENOMEM, "out of memory");
	}
	place(heap_size++, p);
	sift(p);
}

/* One that was told of meanwhile is gone: fine. */
static void drop(const char *data, size_t size)
{
	uint32_t id = size < 4 ? 0 : get_u32(data);
	for (size_t i = 0; i < heap_size; i++)
		if (heap[i]->id == id)
			return forget(heap[i]);
}

/* The agent's end is this process's. */
static void hear(void)
{
	char data[65536];
	ssize_t n = recv(agent, data, sizeof data, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		_exit(0);
	bytes_append(&from_agent, data, (size_t)n);
	size_t at = 0;
	while (from_agent.size - at >= 5) {
		const char *frame = from_agent.data + at;
		uint32_t size = get_u32(frame);
		if (size < 1 || size > FRAME_MAX)
			refuse(EPROTO, "prober: bad frame length %u", size);
		if (from_agent.size - at - 4 < size)
			break;
		if (frame[4] == 'A')
			add(frame + 5, size - 1);
		else if (frame[4] == 'D')
			drop(frame + 5, size - 1);
		at += 4 + size;
	}
	bytes_drop(&from_agent, at);
}

static void speak(void)
{
	size_t at = 0;
	while (at < to_agent.size) {
		ssize_t n = send(agent, to_agent.data + at, to_agent.size - at, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			_exit(0);
		if (n < 0)
			break;
		at += (size_t)n;
	}
	bytes_drop(&to_agent, at);
	bool is_behind = to_agent.size > 0;
	struct epoll_event e = {.events = EPOLLIN | (is_behind ? EPOLLOUT : 0), .data.ptr = NULL};
	if (is_behind != agent_is_behind && epoll_ctl(poller, EPOLL_CTL_MOD, agent, &e) < 0)
		fail("prober: epoll");
	agent_is_behind = is_behind;
}

static void turn(void)
{
	struct epoll_event events[EVENTS];
	int64_t wait = heap_size ? heap[0]->at_ms - monotonic_ms() : 60000;
	int count = epoll_wait(poller, events, EVENTS, wait < 0 ? 0 : wait > 60000 ? 60000 : (int)wait);
	bool heard = false;
	/* What the agent drops may be among those that have something: it is heard last. */
	for (int i = 0; i < count; i++)
		if (events[i].data.ptr)
			go_on(events[i].data.ptr);
		else
			heard = true;
	if (heard)
		hear();
	for (int64_t now = monotonic_ms(); heap_size && heap[0]->at_ms <= now;)
		if (heap[0]->began_ms)
			tell(heap[0], TIMED_OUT, 0);
		else
			begin(heap[0]);
	speak();
}

/* Fields: the agent's socket, token. Its job is open for as long as the agent listens. */
void verb_prober(const struct fields *f)
{
	const char *token = field_text(f, 1);
	struct rlimit files;
	prctl(PR_SET_NAME, "berth-prober");
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	agent = connect_unix(field_text(f, 0));
	poller = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
	if (agent < 0 || poller < 0 || write_full(agent, token, strlen(token)) < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, agent, &e) < 0)
		fail("prober");
	for (;;)
		turn();
}
