/*
 * resolve: the end of a container's DNS server that is in its network namespace, on 127.0.0.11 and a port of its own (a program of
 * the container may have port 53; the packet filter there leads it here). Questions over UDP and TCP go to the agent over a
 * unix socket, answers come back; nothing is understood here. It is a process of its own that lives as long as that socket: when
 * the agent dies it ends, and the next agent starts another on the same port. Whoever asks is told by the namespace, so no
 * container can ask in another's name. Source of the address and of the idea: moby libnetwork/resolver.go.
 *
 * Frames both ways: u32 size of what follows, u32 id, the message. An id is answered at most once.
 */
#include "helper.h"
#include <arpa/inet.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	SLOTS = 1024,	    /* askers over UDP that are remembered: the oldest is forgotten */
	STREAMS = 32,	    /* connections */
	MESSAGE_MAX = 65535,
	WAITING_MAX = 256 << 10, /* bytes for the agent; beyond it nothing is read, and the kernel drops datagrams */
	IDLE_MS = 10000,
	PORT_TRIES = 16,
};
#define STREAM_BIT 0x80000000u

struct slot {
	struct sockaddr_in from;
	uint32_t id;
};

struct stream {
	int fd;
	uint32_t id; /* of the question that is being answered, 0 = none */
	int64_t used_ms;
	struct bytes in, out;
};

static struct slot slots[SLOTS];
static struct stream streams[STREAMS];
static struct bytes to_agent, from_agent;
static uint32_t next_slot = 1, next_stream_id = 1;
static char message[4 + 4 + MESSAGE_MAX];

static int bound(int type, unsigned short port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	inet_pton(AF_INET, "127.0.0.11", &a.sin_addr);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
	if (fd < 0)
		fail("resolve: socket");
	if (type == SOCK_STREAM)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && (type == SOCK_DGRAM || listen(fd, STREAMS) == 0))
		return fd;
	int error = errno;
	close(fd);
	errno = error;
	return -1;
}

/* Both on one port: the wanted one, or any where that is taken. */
static unsigned short open_both(unsigned short wanted, int *udp, int *tcp)
{
	for (int i = 0; i < PORT_TRIES; i++) {
		struct sockaddr_in a;
		socklen_t size = sizeof a;
		*udp = bound(SOCK_DGRAM, i == 0 ? wanted : 0);
		if (*udp < 0 && i > 0)
			break;
		if (*udp < 0)
			continue;
		if (getsockname(*udp, (struct sockaddr *)&a, &size) < 0)
			break;
		*tcp = bound(SOCK_STREAM, ntohs(a.sin_port));
		if (*tcp >= 0)
			return ntohs(a.sin_port);
		close(*udp);
	}
	fail("resolve: no port on 127.0.0.11");
}

static void ask(uint32_t id, char *frame, size_t size)
{
	put_u32(frame, (uint32_t)(4 + size));
	put_u32(frame + 4, id);
	bytes_append(&to_agent, frame, 8 + size);
}

static void take_datagrams(int udp)
{
	while (to_agent.size < WAITING_MAX) {
		struct slot *s = &slots[next_slot % SLOTS];
		socklen_t size = sizeof s->from;
		ssize_t n = recvfrom(udp, message + 8, MESSAGE_MAX, 0, (struct sockaddr *)&s->from, &size);
		if (n < 0)
			return;
		s->id = next_slot;
		ask(next_slot, message, (size_t)n);
		next_slot = (next_slot + 1) & ~STREAM_BIT;
		if (next_slot == 0)
			next_slot = 1;
	}
}

static void end_stream(struct stream *s)
{
	close(s->fd);
	bytes_free(&s->in);
	bytes_free(&s->out);
	*s = (struct stream){.fd = -1};
}

static void take_connections(int tcp)
{
	for (int i = 0; i < STREAMS; i++) {
		if (streams[i].fd >= 0)
			continue;
		int fd = accept4(tcp, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0)
			return;
		streams[i] = (struct stream){.fd = fd, .used_ms = monotonic_ms()};
	}
}

/* The next whole question, when none is being answered and the last answer was taken: who does not read is kept no answers. */
static void ask_next(struct stream *s, int index)
{
	const unsigned char *p = (const unsigned char *)s->in.data;
	if (s->id || s->out.size || s->in.size < 2)
		return;
	size_t size = (size_t)p[0] << 8 | p[1];
	if (s->in.size < 2 + size)
		return;
	s->id = STREAM_BIT | (next_stream_id++ % (STREAM_BIT / STREAMS)) * STREAMS | (uint32_t)index;
	memcpy(message + 8, p + 2, size);
	ask(s->id, message, size);
	bytes_drop(&s->in, 2 + size);
}

static void take_stream(struct stream *s, int index)
{
	char data[4096];
	ssize_t n = recv(s->fd, data, sizeof data, 0);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		end_stream(s);
		return;
	}
	if (n > 0) {
		bytes_append(&s->in, data, (size_t)n);
		s->used_ms = monotonic_ms();
	}
	ask_next(s, index);
}

static void write_stream(struct stream *s, int index)
{
	ssize_t n = send(s->fd, s->out.data, s->out.size, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		end_stream(s);
		return;
	}
	if (n > 0) {
		bytes_drop(&s->out, (size_t)n);
		s->used_ms = monotonic_ms();
	}
	ask_next(s, index);
}

static void answer(int udp, uint32_t id, const char *data, size_t size)
{
	if (!(id & STREAM_BIT)) {
		const struct slot *s = &slots[id % SLOTS];
		if (s->id == id)
			sendto(udp, data, size, MSG_NOSIGNAL, (const struct sockaddr *)&s->from, sizeof s->from);
		return;
	}
	struct stream *s = &streams[id % STREAMS];
	if (s->fd < 0 || s->id != id || size > MESSAGE_MAX)
		return;
	char length[2] = {(char)(size >> 8), (char)size};
	bytes_append(&s->out, length, 2);
	bytes_append(&s->out, data, size);
	s->id = 0;
	s->used_ms = monotonic_ms();
	write_stream(s, (int)(id % STREAMS));
}

/* False when the agent is gone. */
static bool take_answers(int agent, int udp)
{
	char data[65536];
	ssize_t n = recv(agent, data, sizeof data, 0);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		return false;
	if (n > 0)
		bytes_append(&from_agent, data, (size_t)n);
	while (from_agent.size >= 8) {
		size_t size = get_u32(from_agent.data);
		if (size < 4 || size > 4 + MESSAGE_MAX)
			return false;
		if (from_agent.size < 4 + size)
			break;
		answer(udp, get_u32(from_agent.data + 4), from_agent.data + 8, size - 4);
		bytes_drop(&from_agent, 4 + size);
	}
	return true;
}

static bool write_agent(int agent)
{
	if (to_agent.size == 0)
		return true;
	ssize_t n = send(agent, to_agent.data, to_agent.size, MSG_NOSIGNAL);
	if (n > 0)
		bytes_drop(&to_agent, (size_t)n);
	return n >= 0 || errno == EAGAIN || errno == EINTR;
}

/* Gives the time until the next may be ended. */
static int end_idle(void)
{
	int64_t now = monotonic_ms(), next = -1;
	for (int i = 0; i < STREAMS; i++) {
		if (streams[i].fd < 0)
			continue;
		int64_t left = streams[i].used_ms + IDLE_MS - now;
		if (left <= 0)
			end_stream(&streams[i]);
		else if (next < 0 || left < next)
			next = left;
	}
	return (int)next;
}

static _Noreturn void relay(int agent, int udp, int tcp)
{
	for (int i = 0; i < STREAMS; i++)
		streams[i].fd = -1;
	for (;;) {
		int timeout = end_idle();
		const short reading = to_agent.size < WAITING_MAX ? POLLIN : 0;
		struct pollfd p[3 + STREAMS] = {
			{.fd = agent, .events = (short)(POLLIN | (to_agent.size ? POLLOUT : 0))},
			{.fd = udp, .events = reading},
			{.fd = tcp, .events = reading},
		};
		bool is_full = true;
		for (int i = 0; i < STREAMS; i++) {
			const struct stream *s = &streams[i];
			/* One question at a time: who sends more is held back by its own connection. */
			short in = s->fd >= 0 && s->id == 0 && s->out.size == 0 ? reading : 0;
			p[3 + i] = (struct pollfd){.fd = s->fd, .events = (short)(in | (s->out.size ? POLLOUT : 0))};
			is_full = is_full && s->fd >= 0;
		}
		if (is_full)
			p[2].fd = -1;
		if (poll(p, 3 + STREAMS, timeout) < 0 && errno != EINTR)
			_exit(EIO);
		if (p[0].revents & (POLLIN | POLLHUP | POLLERR) && !take_answers(agent, udp))
			_exit(0);
		if (p[1].revents & (POLLIN | POLLERR))
			take_datagrams(udp);
		if (p[2].revents & POLLIN)
			take_connections(tcp);
		for (int i = 0; i < STREAMS; i++) {
			struct stream *s = &streams[i];
			/* It may have been ended, and its place taken, since it was looked at. */
			if (s->fd < 0 || s->fd != p[3 + i].fd)
				continue;
			if (p[3 + i].revents & POLLOUT)
				write_stream(s, i);
			if (s->fd >= 0 && p[3 + i].revents & (POLLHUP | POLLERR) && !(p[3 + i].revents & POLLIN))
				end_stream(s);
			else if (s->fd >= 0 && p[3 + i].revents & POLLIN)
				take_stream(s, i);
		}
		if (!write_agent(agent))
			_exit(0);
	}
}

/* Fields: the agent's socket, token, network namespace, port that is wanted or 0. Answers the port. */
void verb_resolve(const struct fields *f)
{
	const char *token = field_text(f, 1), *netns = field_text(f, 2);
	long long wanted = field_number(f, 3);
	if (wanted < 0 || wanted > 65535)
		refuse(EINVAL, "resolve: bad port %lld", wanted);
	int agent = connect_unix(field_text(f, 0)), udp, tcp;
	if (agent < 0)
		fail("resolve");
	enter_pinned(netns, CLONE_NEWNET);
	unsigned short port = open_both((unsigned short)wanted, &udp, &tcp);
	struct bytes text = {0};
	bytes_print(&text, "%u", port);
	write_full(1, text.data, text.size);
	pid_t pid = fork();
	if (pid < 0)
		fail("resolve");
	if (pid)
		return;
	setsid();
	prctl(PR_SET_NAME, "berth-resolve");
	int none = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int i = 0; i < 3; i++)
		dup2(none, i);
	if (write_full(agent, token, strlen(token)) < 0)
		_exit(EPIPE);
	set_nonblocking(agent);
	relay(agent, udp, tcp);
}
