/*
 * dial: one connection into a pod's network namespace, relayed over a unix socket to the agent (port-forward). What listens
 * only on the pod's loopback is reached too. The relay is a process of its own that lives as long as both sockets do; it
 * holds at most one buffer a direction, so a slow reader slows its writer. A half-close is passed on, a reset ends both.
 * What the agent reads first is the token, then S, or X and why nobody was reached. Dialling is the relay's too: a host that
 * does not answer holds up no other job of `serve`.
 * Source: kubernetes cri-client port-forward; containerd internal/cri/server/sandbox_portforward_linux.go (IPv4 first).
 */
#include "helper.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* How long what an agent that hung up has sent may wait for its reader, and then the pod's end: the kernel's tcp_fin_timeout. */
enum { BUFFER_BYTES = 64 << 10, CONNECT_LIMIT_MS = 10000, ORPHAN_LIMIT_MS = 60000 };

struct flow {
	int from, to;
	size_t begin, end; /* what is in the buffer and not yet written */
	bool ended;	   /* `from` has ended, and `to` was told */
	char data[BUFFER_BYTES];
};

static int connect_in_time(const struct sockaddr *address, socklen_t size, int timeout_ms)
{
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error = 0;
	socklen_t error_size = sizeof error;
	if (fd < 0)
		return -1;
	if (connect(fd, address, size) == 0)
		return fd;
	if (errno == EINPROGRESS) {
		struct pollfd p = {.fd = fd, .events = POLLOUT};
		int n = poll(&p, 1, timeout_ms);
		if (n == 1 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_size) == 0 && error == 0)
			return fd;
		errno = n == 0 ? ETIMEDOUT : error ? error : errno;
	}
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

static int dial(const char *text, unsigned short port)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		return connect_in_time((struct sockaddr *)&v4, sizeof v4, CONNECT_LIMIT_MS);
	if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
		return connect_in_time((struct sockaddr *)&v6, sizeof v6, CONNECT_LIMIT_MS);
	refuse(EINVAL, "dial: %s is no address", text);
}

/* False when the connection is broken. */
static bool move(struct flow *f, bool can_read, bool can_write)
{
	if (can_read && f->begin == f->end && !f->ended) {
		ssize_t n = recv(f->from, f->data, sizeof f->data, MSG_DONTWAIT);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		if (n == 0) {
			f->ended = true;
			return shutdown(f->to, SHUT_WR) == 0 || errno == ENOTCONN;
		}
		f->begin = 0;
		f->end = (size_t)n;
		can_write = true;
	}
	if (can_write && f->begin < f->end) {
		ssize_t n = send(f->to, f->data + f->begin, f->end - f->begin, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		f->begin += (size_t)n;
	}
	return true;
}

/* Unread data or an error: the pod's program sees a reset, not an orderly end. */
static _Noreturn void reset(int pod)
{
	struct linger hard = {.l_onoff = 1};
	setsockopt(pod, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	_exit(0);
}

/*
 * The agent closed its end whole. What it had sent still reaches the pod, and then its end, as the kernel does for a program
 * that closes a connection; what the pod says after that is answered with a reset.
 */
static _Noreturn void relay_orphan(struct flow *in)
{
	char none[1];
	int pod = in->to;
	for (;;) {
		if (!move(in, true, true))
			reset(pod);
		bool is_full = in->begin < in->end;
		if (!is_full && !in->ended)
			continue;
		struct pollfd p = {.fd = pod, .events = is_full ? POLLOUT : POLLIN};
		int n = poll(&p, 1, ORPHAN_LIMIT_MS);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || p.revents & POLLERR)
			reset(pod);
		if (!is_full && recv(pod, none, sizeof none, MSG_DONTWAIT) == 0)
			_exit(0);
		if (!is_full)
			reset(pod);
	}
}

static _Noreturn void relay(int agent, int pod)
{
	static struct flow in, out;
	in.from = out.to = agent;
	in.to = out.from = pod;
	for (;;) {
		bool in_full = in.begin < in.end, out_full = out.begin < out.end;
		if (in.ended && out.ended)
			_exit(0);
		struct pollfd p[2] = {
			{.fd = agent, .events = (short)((in.ended || in_full ? 0 : POLLIN) | (out_full ? POLLOUT : 0))},
			/* Where nothing is wanted of it, a reset would be told again and again. */
			{.fd = (out.ended || out_full) && !in_full ? -1 : pod, .events = (short)((out.ended || out_full ? 0 : POLLIN) | (in_full ? POLLOUT : 0))},
		};
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			_exit(EIO);
		/* A half-close is no hang-up. */
		if (p[0].revents & POLLHUP)
			relay_orphan(&in);
		if (p[0].revents & POLLERR)
			reset(pod);
		const short readable = POLLIN | POLLHUP | POLLERR;
		if (!move(&in, p[0].revents & POLLIN, p[1].revents & (POLLOUT | POLLHUP | POLLERR)) ||
		    !move(&out, p[1].revents & readable, p[0].revents & POLLOUT))
			reset(pod);
	}
}

/* In the words of Go's net package, which clients know. */
static void describe(struct bytes *why, const char *address, unsigned short port, int error)
{
	const char *text = strerror(error), *format = strchr(address, ':') ? "%sdial tcp [%s]:%u: connect: %c%s" : "%sdial tcp %s:%u: connect: %c%s";
	bytes_print(why, format, why->size ? ", " : "", address, port, tolower((unsigned char)*text), text + 1);
}

static _Noreturn void dial_and_relay(const struct fields *f, int agent)
{
	struct bytes why = {0};
	const char *token = field_text(f, 1), *netns = field_text(f, 2);
	unsigned short port = (unsigned short)field_number(f, 3);
	int pod = -1;
	if (write_full(agent, token, strlen(token)) < 0)
		_exit(EPIPE);
	int namespace = *netns ? open(netns, O_RDONLY | O_CLOEXEC) : -1;
	bool entered = !*netns || (namespace >= 0 && setns(namespace, CLONE_NEWNET) == 0);
	if (!entered)
		bytes_print(&why, "network namespace: %s", strerror(errno));
	for (size_t i = 4; entered && i < f->count && pod < 0; i++)
		if ((pod = dial(field_text(f, i), port)) < 0)
			describe(&why, field_text(f, i), port, errno);
	if (write_full(agent, pod < 0 ? "X" : "S", 1) < 0)
		_exit(EPIPE);
	if (pod < 0) {
		write_full(agent, why.data, why.size);
		_exit(ECONNREFUSED);
	}
	set_nonblocking(agent);
	relay(agent, pod);
}

/* Fields: the agent's socket, token, network namespace or "" for this one, port, addresses in the order they are tried… */
void verb_dial(const struct fields *f)
{
	long long port = field_number(f, 3);
	if (port < 1 || port > 65535)
		refuse(EINVAL, "dial: bad port %lld", port);
	int agent = connect_unix(field_text(f, 0));
	pid_t pid = agent < 0 ? -1 : fork();
	if (pid < 0)
		fail("dial");
	if (pid)
		return;
	setsid();
	prctl(PR_SET_NAME, "berth-forward");
	int none = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int i = 0; i < 3; i++)
		dup2(none, i);
	dial_and_relay(f, agent);
}
