/*
 * session: one exec into a running container, its bytes over a unix socket to the agent. Runs as a process of its own that
 * lives exactly as long as that socket: when the agent goes away or closes it, the process in the container is killed. With
 * `outlives` it is not: its stdin ends, what it writes is dropped, and this process stays for as long as that one.
 * (It leaves the job of `serve` that started it: that one is killed by SIGKILL when the agent dies, which could not be
 * passed on.) The runtime's `exec --detach` gives the process, this one is its subreaper and so gets its exit status.
 *
 * Frames as in clients.c. From the agent: I stdin bytes | C stdin ends | W resize. To the agent: S started, pid as u32 | O stdout |
 * R stderr | then one of E exit code as u32, X why it could not start as JSON.
 * After the last frame this side is shut down; the agent closes.
 * The agent's reading speed is passed on: while its queue is long the process's output is not read.
 */
#include "supervise.h"
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { QUEUE_MAX = 256 << 10, FRAME_MAX = 1 << 20, START_TIMEOUT_MS = 30000, DRAIN_MS = 50 };

struct session {
	int socket, in, outputs[2]; /* with a terminal in and outputs[0] are the pty master */
	bool tty, in_ends, exited, outlives;
	pid_t pid;
	int status;
	struct bytes to_agent, from_agent, to_process;
};

static void queue(struct session *s, char type, const void *data, size_t size)
{
	char head[5];
	if (s->socket < 0)
		return;
	put_u32(head, (uint32_t)size + 1);
	head[4] = type;
	bytes_append(&s->to_agent, head, 5);
	bytes_append(&s->to_agent, data, size);
}

static void feed(struct session *s);

/* The agent is gone: so is the process, with its process group (the runtime made it a session leader), unless it outlives it. */
static void lose_agent(struct session *s)
{
	if (s->outlives && s->socket >= 0) {
		close(s->socket);
		s->socket = -1;
		bytes_free(&s->to_agent);
		bytes_free(&s->from_agent);
		s->in_ends = true;
		feed(s);
	}
	if (s->outlives)
		return;
	if (s->pid > 0 && !s->exited) {
		kill(-s->pid, SIGKILL);
		kill(s->pid, SIGKILL);
	}
	_exit(0);
}

static void flush(struct session *s)
{
	size_t at = 0;
	while (s->socket >= 0 && at < s->to_agent.size) {
		ssize_t n = send(s->socket, s->to_agent.data + at, s->to_agent.size - at, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			lose_agent(s);
			return;
		}
		if (n < 0)
			break;
		at += (size_t)n;
	}
	bytes_drop(&s->to_agent, at);
}

static void feed(struct session *s)
{
	while (s->in >= 0 && s->to_process.size) {
		ssize_t n = write(s->in, s->to_process.data, s->to_process.size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			s->to_process.size = 0;
			s->in_ends = true;
			break;
		}
		bytes_drop(&s->to_process, (size_t)n);
	}
	if (s->in_ends && s->in >= 0 && !s->tty) {
		close(s->in);
		s->in = -1;
	}
}

static void take_frame(struct session *s, char type, const char *data, size_t size)
{
	if (type == 'I' && s->in >= 0) {
		bytes_append(&s->to_process, data, size);
		feed(s);
	} else if (type == 'C') {
		/* At a terminal the end of input is a character, VEOF. */
		if (s->tty && s->in >= 0 && !s->in_ends)
			bytes_append(&s->to_process, "\4", 1);
		s->in_ends = true;
		feed(s);
	} else if (type == 'W' && size >= 4 && s->tty && s->in >= 0) {
		const unsigned char *p = (const unsigned char *)data;
		struct winsize w = {.ws_col = (unsigned short)(p[0] | p[1] << 8), .ws_row = (unsigned short)(p[2] | p[3] << 8)};
		ioctl(s->in, TIOCSWINSZ, &w);
	}
}

static void take_frames(struct session *s)
{
	size_t at = 0;
	while (s->from_agent.size - at >= 5 && !s->to_process.size) {
		uint32_t size = get_u32(s->from_agent.data + at);
		if (size < 1 || size > FRAME_MAX) {
			lose_agent(s);
			return;
		}
		if (s->from_agent.size - at - 4 < size)
			break;
		take_frame(s, s->from_agent.data[at + 4], s->from_agent.data + at + 5, size - 1);
		at += 4 + size;
	}
	bytes_drop(&s->from_agent, at);
}

static void read_agent(struct session *s)
{
	char data[16384];
	ssize_t n = recv(s->socket, data, sizeof data, MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		lose_agent(s);
	if (n > 0)
		bytes_append(&s->from_agent, data, (size_t)n);
	take_frames(s);
}

static void read_output(struct session *s, int stream)
{
	char data[32768];
	ssize_t n = read(s->outputs[stream], data, sizeof data);
	if (n > 0) {
		queue(s, stream ? 'R' : 'O', data, (size_t)n);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		if (s->in == s->outputs[stream])
			s->in = -1;
		close(s->outputs[stream]);
		s->outputs[stream] = -1;
	}
}

/* One wait; false when nothing came within the time limit. */
static bool turn(struct session *s, int signals, int timeout_ms)
{
	bool full = s->to_agent.size > QUEUE_MAX;
	struct pollfd p[5] = {
		{.fd = signals, .events = POLLIN},
		{.fd = s->socket, .events = (short)((s->to_process.size ? 0 : POLLIN) | (s->to_agent.size ? POLLOUT : 0))},
		{.fd = full ? -1 : s->outputs[0], .events = POLLIN},
		{.fd = full ? -1 : s->outputs[1], .events = POLLIN},
		{.fd = s->to_process.size ? s->in : -1, .events = POLLOUT},
	};
	int n = poll(p, 5, timeout_ms);
	if (n <= 0)
		return n < 0;
	if (p[4].revents) {
		feed(s);
		take_frames(s);
	}
	for (int i = 0; i < 2; i++)
		if (p[2 + i].revents)
			read_output(s, i);
	flush(s);
	/* POLLHUP: the agent closed; a half close is said by a frame. */
	if (s->socket >= 0 && p[1].revents & (POLLHUP | POLLERR))
		lose_agent(s);
	if (s->socket >= 0 && p[1].revents & POLLIN)
		read_agent(s);
	if (p[0].revents) {
		struct signalfd_siginfo info;
		while (read(signals, &info, sizeof info) > 0)
			;
	}
	return true;
}

static void reap(struct session *s)
{
	int status;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
		if (pid == s->pid) {
			s->exited = true;
			s->status = status;
		}
}

static void start(struct session *s, const struct config *c, const char *process, bool with_stdin)
{
	char json[PATH_MAX], pid_file[64], log[64], console[64];
	snprintf(log, sizeof log, "exec-%d.json", (int)getpid());
	beside_bundle(json, sizeof json, log);
	snprintf(pid_file, sizeof pid_file, "exec-%d.pid", (int)getpid());
	snprintf(log, sizeof log, "exec-%d.log", (int)getpid());
	snprintf(console, sizeof console, "exec-%d.console", (int)getpid());
	int pipes[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}}, listener = -1;
	int fd = open(json, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || write_full(fd, process, strlen(process)) < 0)
		fail("session: %s", json);
	close(fd);
	if (s->tty)
		listener = open_console(console);
	/* With a terminal the third pipe takes the runtime's own words. */
	for (int i = s->tty ? 2 : with_stdin ? 0 : 1; i < 3; i++)
		if (pipe2(pipes[i], O_CLOEXEC) < 0)
			fail("session: pipe");
	s->in = pipes[0][1];
	s->outputs[0] = pipes[1][0];
	s->outputs[1] = pipes[2][0];
	for (int i = 0; i < 2; i++)
		if (s->outputs[i] >= 0)
			set_nonblocking(s->outputs[i]);
	const char *with_pipes[] = {"exec", "--detach", "--process", json, "--pid-file", pid_file, c->id, NULL};
	const char *with_tty[] = {"exec", "--detach", "--process", json, "--pid-file", pid_file, "--console-socket", console, c->id, NULL};
	const int stdio[3] = {pipes[0][0], pipes[1][1], pipes[2][1]};
	for (int i = 0; i < 3; i++)
		give_to_container(c, stdio[i]);
	int status = wait_runtime(start_runtime(c, log, s->tty ? with_tty : with_pipes, stdio), START_TIMEOUT_MS);
	for (int i = 0; i < 3; i++)
		if (stdio[i] >= 0)
			close(stdio[i]);
	s->pid = read_pid_file(pid_file);
	bool ok = WIFEXITED(status) && WEXITSTATUS(status) == 0 && s->pid > 0;
	if (ok && s->tty) {
		close(s->outputs[1]);
		s->outputs[1] = -1;
		s->in = s->outputs[0] = accept_console(listener, console);
	}
	if (ok && !wait_for_exec(s->pid)) {
		reap(s);
		status = s->status;
		ok = false;
	}
	if (ok) {
		char pid[4];
		put_u32(pid, (uint32_t)s->pid);
		queue(s, 'S', pid, 4);
	} else {
		struct bytes why = {0};
		describe_failure(&why, status, log, s->outputs);
		queue(s, 'X', why.data, why.size);
		s->pid = 0;
	}
	unlink(json);
	unlink(pid_file);
	unlink(log);
	unlink(console);
	for (int i = 0; i < 2; i++)
		if (s->outputs[i] >= 0)
			set_nonblocking(s->outputs[i]);
	if (s->in >= 0)
		set_nonblocking(s->in);
}

static _Noreturn void run(struct session *s, int signals)
{
	while (s->pid > 0 && !s->exited) {
		reap(s);
		if (!s->exited)
			turn(s, signals, -1);
	}
	/* What was written before the exit; others that hold the pipes are not waited for. */
	while ((s->outputs[0] >= 0 || s->outputs[1] >= 0) && s->pid > 0)
		if (!turn(s, signals, DRAIN_MS) && s->to_agent.size <= QUEUE_MAX)
			break;
	if (s->pid > 0) {
		char code[4];
		put_u32(code, (uint32_t)(WIFSIGNALED(s->status) ? 128 + WTERMSIG(s->status) : WEXITSTATUS(s->status)));
		queue(s, 'E', code, 4);
	}
	s->outputs[0] = s->outputs[1] = -1;
	for (flush(s); s->to_agent.size; turn(s, signals, -1))
		;
	/* The agent closes once it has read the end. Until then it may write: a socket closed before would answer that with
	 * an error, on which the agent would drop what it has not read yet, the exit code among it. */
	shutdown(s->socket, SHUT_WR);
	char ignored[4096];
	for (ssize_t n = 1; n > 0 || (n < 0 && errno == EINTR);)
		n = recv(s->socket, ignored, sizeof ignored, 0);
	reap_all();
	_exit(0);
}

/* Fields: the agent's socket, token, the container's folder, process (JSON), with a terminal, with stdin, outlives the agent. */
void verb_session(const struct fields *f)
{
	static struct config config;
	static struct session s = {.socket = -1, .in = -1, .outputs = {-1, -1}};
	const char *process = field_text(f, 3);
	s.tty = field_number(f, 4) != 0;
	bool with_stdin = field_number(f, 5) != 0;
	s.outlives = field_number(f, 6) != 0;
	s.socket = connect_unix(field_text(f, 0));
	if (s.socket < 0)
		fail("session: connect");
	if (chdir(field_text(f, 2)) < 0)
		fail("session: %s", field_text(f, 2));
	read_config("config", &config);
	pid_t pid = fork();
	if (pid < 0)
		fail("session: fork");
	if (pid)
		return;
	setsid();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	umask(077);
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	int none = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int i = 0; i < 3; i++)
		dup2(none, i);
	int signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	const char *token = field_text(f, 1);
	if (write_full(s.socket, token, strlen(token)) < 0)
		_exit(EPIPE);
	start(&s, &config, process, with_stdin);
	run(&s, signals);
}
