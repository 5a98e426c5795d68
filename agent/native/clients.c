/*
 * The supervisor's socket. Frames both ways: u32 length (little-endian, of what follows), u8 type, payload.
 *   to the supervisor:   A attach, u8 with stdin | I stdin bytes | C stdin ends | W resize, u16 columns, u16 rows
 *                        K kill, u32 signal, u8 all | S status
 *   to the client:       T when it was attached, u64 | O stdout bytes | R stderr bytes | S status text | E exit record (JSON), then the end
 * Each client has a bounded queue. While one is behind, the container's output is not read, so that a slow reader gets every
 * byte; one that does not take the least in HOLD_MS is dropped, and the container goes on. Stdin is the other way round: while
 * the container does not read, its clients are not read either.
 */
#include "supervise.h"
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FRAME_MAX = 1 << 20, QUEUE_MAX = 1 << 20, READ_SIZE = 16384 };
/* Behind; and what it must take in which time to be waited for. */
enum { BEHIND_SIZE = 256 << 10, TAKE_SIZE = 64 << 10, HOLD_MS = 5000 };

struct client {
	int fd;
	bool attached, with_stdin;
	bool waits; /* at a frame that must wait */
	struct bytes in, out;
	size_t taken;	  /* since held_ms */
	int64_t held_ms; /* when it was last seen to be in time; 0 = it is not behind */
};

static struct client clients[CLIENTS_MAX];
static int client_count, listener = -1;
void (*clients_on_kill)(int signal, bool all);
struct bytes clients_status;

void clients_listen(const char *name)
{
	listener = listen_unix(name, CLIENTS_MAX);
	if (listener < 0)
		fail("supervise: listen at %s", name);
}

static void close_stdin(struct input *input)
{
	/* With a terminal stdin and stdout are one: it stays. */
	if (input->tty || input->fd < 0)
		return;
	close(input->fd);
	input->fd = -1;
	bytes_free(&input->pending);
}

/* What is still queued is written first. */
static void end_stdin(struct input *input)
{
	if (input->pending.size || input->waits)
		input->ending = true;
	else
		close_stdin(input);
}

static void drop(struct client *c, struct input *input)
{
	close(c->fd);
	if (c->with_stdin && input->once)
		end_stdin(input);
	bytes_free(&c->in);
	bytes_free(&c->out);
	c->fd = -1;
}

/* Writes what is queued; false when the client is gone. */
static bool flush(struct client *c)
{
	size_t at = 0;
	while (at < c->out.size) {
		ssize_t n = send(c->fd, c->out.data + at, c->out.size - at, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return false;
		if (n < 0)
			break;
		at += (size_t)n;
	}
	c->taken += at;
	if (at == c->out.size)
		bytes_free(&c->out);
	else
		bytes_drop(&c->out, at);
	return true;
}

/* Nobody reads it any more. What it sent before is still taken; its end comes behind that. */
static void stop_sending(struct client *c)
{
	bytes_free(&c->out);
	c->attached = false;
}

static void queue(struct client *c, char type, const char *data, size_t size)
{
	char head[5];
	if (c->fd < 0 || c->out.size > QUEUE_MAX)
		return;
	put_u32(head, (uint32_t)size + 1);
	head[4] = type;
	bytes_append(&c->out, head, 5);
	bytes_append(&c->out, data, size);
	if (!flush(c))
		stop_sending(c);
	else if (c->out.size > QUEUE_MAX)
		shutdown(c->fd, SHUT_RDWR);
}

void clients_output(char type, const char *data, size_t size)
{
	for (int i = 0; i < client_count; i++)
		if (clients[i].attached)
			queue(&clients[i], type, data, size);
}

int clients_hold_ms(void)
{
	int hold = -1;
	for (int i = 0; i < client_count; i++) {
		struct client *c = &clients[i];
		int64_t now = monotonic_ms();
		if (c->fd < 0 || !c->attached || c->out.size <= BEHIND_SIZE || c->out.size > QUEUE_MAX) {
			c->held_ms = 0;
			continue;
		}
		if (!c->held_ms || c->taken >= TAKE_SIZE) {
			c->held_ms = now;
			c->taken = 0;
		}
		int left = (int)(c->held_ms + HOLD_MS - now);
		if (left <= 0) {
			/* Nothing more is queued for it: it is dropped when its end is read. */
			shutdown(c->fd, SHUT_RDWR);
			bytes_free(&c->out);
			c->attached = false;
		} else if (hold < left) {
			hold = left;
		}
	}
	return hold;
}

void clients_exit(const char *record, size_t size)
{
	for (int i = 0; i < client_count; i++)
		queue(&clients[i], 'E', record, size);
}

void clients_end(void)
{
	for (int i = 0; i < client_count; i++)
		if (clients[i].fd >= 0 && clients[i].attached && flush(&clients[i]) && !clients[i].out.size)
			shutdown(clients[i].fd, SHUT_WR);
}

void clients_flush(int timeout_ms)
{
	int64_t last = monotonic_ms() + HOLD_MS;
	for (int i = 0; i < client_count; i++) {
		struct client *c = &clients[i];
		int64_t end = monotonic_ms() + timeout_ms;
		for (size_t before = c->out.size; c->fd >= 0 && c->out.size && flush(c) && c->out.size; before = c->out.size) {
			int64_t now = monotonic_ms();
			if (c->out.size < before)
				end = now + timeout_ms;
			int64_t left = (end < last ? end : last) - now;
			struct pollfd p = {.fd = c->fd, .events = POLLOUT};
			if (left <= 0 || poll(&p, 1, (int)left) <= 0)
				break;
		}
	}
}

static void feed(struct input *input)
{
	while (input->fd >= 0 && input->pending.size) {
		ssize_t n = write(input->fd, input->pending.data, input->pending.size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			/* The program closed its stdin. */
			close_stdin(input);
			break;
		}
		bytes_drop(&input->pending, (size_t)n);
	}
	bytes_free(&input->pending);
	if (input->ending)
		close_stdin(input);
}

static void take_frame(struct client *c, struct input *input, char type, const char *data, size_t size)
{
	if (type == 'A' && size >= 1) {
		c->attached = true;
		c->with_stdin = data[0] != 0;
		/* What the log has up to now this one is not sent, what comes later it is. */
		int64_t now = wall_ns();
		char at[8];
		put_u32(at, (uint32_t)now);
		put_u32(at + 4, (uint32_t)(now >> 32));
		queue(c, 'T', at, sizeof at);
	} else if (type == 'I' && c->with_stdin && input->fd >= 0) {
		bytes_append(&input->pending, data, size);
		feed(input);
	} else if (type == 'C' && c->with_stdin) {
		if (input->once)
			end_stdin(input);
	} else if (type == 'W' && size >= 4 && input->tty && input->fd >= 0) {
		const unsigned char *p = (const unsigned char *)data;
		struct winsize w = {.ws_col = (unsigned short)(p[0] | p[1] << 8), .ws_row = (unsigned short)(p[2] | p[3] << 8)};
		ioctl(input->fd, TIOCSWINSZ, &w);
	} else if (type == 'K' && size >= 5) {
		clients_on_kill((int)get_u32(data), data[4] != 0);
	} else if (type == 'S') {
		queue(c, 'S', clients_status.data, clients_status.size);
	}
}

/* With all that is behind it: until the container is there, or has taken the stdin bytes before it. */
static bool must_wait(char type, const struct client *c, const struct input *input)
{
	return input->waits ? type != 'A' : type == 'I' && c->with_stdin && input->pending.size;
}

/* Frames that have come whole. */
static bool take_frames(struct client *c, struct input *input)
{
	size_t at = 0;
	bool ok = true;
	c->waits = false;
	while (c->in.size - at >= 5) {
		uint32_t size = get_u32(c->in.data + at);
		if (size < 1 || size > FRAME_MAX) {
			ok = false;
			break;
		}
		if (c->in.size - at - 4 < size)
			break;
		if (must_wait(c->in.data[at + 4], c, input)) {
			c->waits = true;
			break;
		}
		take_frame(c, input, c->in.data[at + 4], c->in.data + at + 5, size - 1);
		at += 4 + size;
	}
	if (at == c->in.size)
		bytes_free(&c->in);
	else
		bytes_drop(&c->in, at);
	return ok;
}

static bool is_blocked(const struct client *c, const struct input *input)
{
	return c->waits && (input->waits || input->pending.size);
}

static void read_client(struct client *c, struct input *input)
{
	char data[READ_SIZE];
	ssize_t n = recv(c->fd, data, sizeof data, MSG_DONTWAIT);
	if (n > 0)
		bytes_append(&c->in, data, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		drop(c, input);
	if (c->fd >= 0 && !take_frames(c, input))
		drop(c, input);
}

void clients_resume(struct input *input)
{
	input->waits = false;
	int count = client_count;
	for (int i = 0; i < count; i++)
		if (clients[i].fd >= 0 && !take_frames(&clients[i], input))
			drop(&clients[i], input);
	feed(input);
}

static void accept_clients(void)
{
	for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0;) {
		if (client_count == CLIENTS_MAX)
			close(fd);
		else
			clients[client_count++] = (struct client){.fd = fd};
	}
}

int clients_before_poll(struct pollfd *polls, struct input *input)
{
	int kept = 0;
	for (int i = 0; i < client_count; i++)
		if (clients[i].fd >= 0)
			clients[kept++] = clients[i];
	client_count = kept;
	int n = 0;
	polls[n++] = (struct pollfd){.fd = listener, .events = POLLIN};
	polls[n++] = (struct pollfd){.fd = input->pending.size ? input->fd : -1, .events = POLLOUT};
	for (int i = 0; i < client_count; i++) {
		struct client *c = &clients[i];
		/* A blocked one is left out, or its hanging up would be reported without end; its bytes are read later. */
		short events = (short)(POLLIN | (c->out.size ? POLLOUT : 0));
		polls[n++] = (struct pollfd){.fd = is_blocked(c, input) ? -1 : c->fd, .events = events};
	}
	return n;
}

void clients_after_poll(const struct pollfd *polls, struct input *input)
{
	bool fed = polls[1].revents != 0;
	if (fed)
		feed(input);
	int count = client_count;
	for (int i = 0; i < count; i++) {
		struct client *c = &clients[i];
		short events = polls[2 + i].revents;
		if (c->fd >= 0 && (events & POLLOUT) && !flush(c))
			stop_sending(c);
		if (c->fd >= 0 && fed && !take_frames(c, input))
			drop(c, input);
		if (c->fd >= 0 && (events & (POLLIN | POLLHUP | POLLERR)))
			read_client(c, input);
	}
	if (polls[0].revents)
		accept_clients();
}
