/*
 * tend CONFIG: the small parent of `berth up`. Starts the configured processes in order, starts dead ones again (after 100
 * ms, doubling to 10 s; from the beginning after 10 s up), and stops them in reverse order. It may itself be killed and
 * started again at any time: what lives is re-adopted, nothing is started twice, no output is lost meanwhile, because the
 * processes write to their log files themselves.
 *
 * CONFIG, one `word value` a line, values to the end of the line, `#` begins a comment line:
 *   socket PATH          control socket (mode 0600)
 *   state PATH           what runs: `NAME PID START-TICKS RESTARTS STARTED-WALL-MS` per process; PATH.lock is held by flock
 *   process NAME         begins a process (no blanks); the lines below belong to it, processes start in this order
 *     arg TEXT           the program (searched in PATH) and its arguments, repeated
 *     env NAME=VALUE     added to tend's own environment, repeated
 *     cwd PATH           default /
 *     log PATH           stdout and stderr, appended to
 *     log-bytes N        rotated (copied to PATH.1 …, then truncated) above this size; default: never
 *     log-files N        how many older ones are kept, default 1
 *     stop-ms N          from SIGTERM to SIGKILL of its process group, default 15000
 * Exit codes: 0 stopped on request, 2 bad config, 3 another one holds the lock.
 * Control: a line to the socket, answered by JSON lines when it is done: `status` (one line a process: name, pid or 0,
 * restarts, upMs, phase, startTicks, lastExitCode or -1), `config` (the one line is not JSON: the path of CONFIG), `stop`,
 * `restart NAME`.
 * SIGTERM and SIGINT do as `stop`.
 */
#include "tend.h"
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CLIENTS_MAX = 16, LINE_MAX_BYTES = 512 };
enum { BACKOFF_FIRST_MS = 100, BACKOFF_MAX_MS = 10000, STEADY_MS = 10000, ROTATION_CHECK_MS = 5000 };

struct client {
	int fd;
	const struct process *waits_for; /* restart */
	bool waits_for_stop;
	size_t size;
	char line[LINE_MAX_BYTES];
};

static struct client clients[CLIENTS_MAX];
static int client_count, listener;
static bool stopping;
static const char *config_path;

/* Waits until the parent has noted it: a process that no state names would be started twice. */
static _Noreturn void become(struct process *p, int gate)
{
	char go;
	if (read_full(gate, &go, 1) != 1)
		_exit(0);
	setsid();
	reset_signals();
	int in = open("/dev/null", O_RDONLY), out = open(p->log, O_WRONLY | O_CREAT | O_APPEND, 0640);
	/* Without a log it runs all the same. */
	if (out < 0)
		out = open("/dev/null", O_WRONLY);
	dup2(in, 0);
	dup2(out, 1);
	dup2(out, 2);
	close_from(3);
	if (chdir(p->cwd) < 0)
		fail("tend: %s", p->cwd);
	for (int i = 0; i < p->env_count; i++)
		putenv(p->env[i]);
	execvp(p->argv[0], p->argv);
	dprintf(2, "{\"level\":60,\"component\":\"tend\",\"msg\":\"cannot run %s: %s\"}\n", p->argv[0], strerror(errno));
	_exit(127);
}

static void start(struct process *p)
{
	int gate[2] = {-1, -1};
	pid_t pid = pipe2(gate, O_CLOEXEC) < 0 ? -1 : fork();
	if (pid == 0) {
		close(gate[1]);
		become(p, gate[0]);
	}
	close(gate[0]);
	p->restart_now = p->asked_to_end = false;
	if (pid < 0) {
		close(gate[1]);
		p->next_start_ms = monotonic_ms() + BACKOFF_MAX_MS;
		return;
	}
	struct process_stat s = {0};
	read_process(pid, &s);
	p->pid = pid;
	p->start_ticks = s.start_ticks;
	p->pidfd = -1;
	p->up_since_ms = monotonic_ms();
	p->started_wall_ms = wall_ns() / 1000000;
	if (p->has_ended)
		p->restarts++;
	write_state();
	write_full(gate[1], "", 1);
	close(gate[1]);
}

static void append_status(struct bytes *b)
{
	for (int i = 0; i < process_count; i++) {
		struct process *p = &processes[i];
		int code = !p->has_ended ? -1 : WIFSIGNALED(p->last_status) ? 128 + WTERMSIG(p->last_status) : WEXITSTATUS(p->last_status);
		const char *phase = p->pid ? (p->asked_to_end ? "stopping" : "running") : stopping ? "stopped" : "waiting";
		long long up = p->pid ? (long long)(wall_ns() / 1000000 - p->started_wall_ms) : 0;
		bytes_print(b, "{\"name\":\"%s\",\"pid\":%d,\"restarts\":%lld,\"upMs\":%lld,\"phase\":\"%s\",\"startTicks\":%llu,\"lastExitCode\":%d}\n",
			    p->name, (int)p->pid, p->restarts, up, phase, p->pid ? p->start_ticks : 0, code);
	}
}

static void reply(struct client *c, const char *text, size_t size)
{
	/* Answers are small; who does not read them is not waited for. */
	send(c->fd, text, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(c->fd);
	c->fd = -1;
}

static void reply_text(struct client *c, const char *text)
{
	reply(c, text, strlen(text));
}

static void ended(struct process *p, int status)
{
	int64_t now = monotonic_ms();
	if (p->pidfd >= 0)
		close(p->pidfd);
	p->pidfd = -1;
	p->pid = 0;
	p->has_ended = true;
	p->last_status = status;
	if (p->restart_now) {
		p->backoff_ms = 0;
		p->next_start_ms = now;
		return;
	}
	if (now - p->up_since_ms >= STEADY_MS || !p->backoff_ms)
		p->backoff_ms = BACKOFF_FIRST_MS;
	else
		p->backoff_ms = p->backoff_ms * 2 < BACKOFF_MAX_MS ? p->backoff_ms * 2 : BACKOFF_MAX_MS;
	p->next_start_ms = now + p->backoff_ms;
}

/* Its own pid still names it: a child is not reaped elsewhere, an adopted one is checked. */
static void signal_process(struct process *p, int number, bool group)
{
	struct process_stat s;
	if (p->pidfd >= 0 && (!read_process(p->pid, &s) || s.start_ticks != p->start_ticks))
		return;
	kill(group ? -p->pid : p->pid, number);
}

static void ask_to_end(struct process *p)
{
	if (p->asked_to_end)
		return;
	p->asked_to_end = true;
	p->kill_at_ms = monotonic_ms() + p->stop_ms;
	signal_process(p, SIGTERM, false);
}

static void take_line(struct client *c)
{
	struct bytes b = {0};
	if (!strcmp(c->line, "status")) {
		append_status(&b);
		reply(c, b.data, b.size);
	} else if (!strcmp(c->line, "config")) {
		bytes_print(&b, "%s\n", config_path);
		reply(c, b.data, b.size);
	} else if (!strcmp(c->line, "stop")) {
		stopping = c->waits_for_stop = true;
	} else if (!strncmp(c->line, "restart ", 8)) {
		struct process *p = find_process(c->line + 8);
		if (!p || stopping) {
			reply_text(c, p ? "{\"error\":\"stopping\"}\n" : "{\"error\":\"no such process\"}\n");
		} else {
			p->restart_now = true;
			c->waits_for = p;
			if (p->pid)
				ask_to_end(p);
			else
				p->next_start_ms = monotonic_ms();
		}
	} else {
		reply_text(c, "{\"error\":\"unknown command\"}\n");
	}
	bytes_free(&b);
}

static void read_control(struct client *c)
{
	ssize_t n = recv(c->fd, c->line + c->size, sizeof c->line - 1 - c->size, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	c->size += n > 0 ? (size_t)n : 0;
	char *newline = memchr(c->line, '\n', c->size);
	if (newline && !c->waits_for && !c->waits_for_stop) {
		*newline = 0;
		c->size = 0;
		take_line(c);
	} else if (n <= 0 || c->size == sizeof c->line - 1) {
		close(c->fd);
		c->fd = -1;
	}
}

/* Starts what is due, kills what is overdue, stops in reverse order. The ms until the next thing to do. */
static int step(void)
{
	int64_t now = monotonic_ms(), next = now + ROTATION_CHECK_MS;
	for (int i = process_count - 1; stopping && i >= 0; i--)
		if (processes[i].pid) {
			ask_to_end(&processes[i]);
			break;
		}
	for (int i = 0; i < process_count; i++) {
		struct process *p = &processes[i];
		if (p->pid && p->asked_to_end) {
			if (now >= p->kill_at_ms) {
				signal_process(p, SIGKILL, true);
				p->kill_at_ms = now + 1000;
			}
			if (p->kill_at_ms < next)
				next = p->kill_at_ms;
		}
		if (!p->pid && !stopping && now >= p->next_start_ms) {
			start(p);
			for (int k = 0; k < client_count; k++)
				if (clients[k].fd >= 0 && clients[k].waits_for == p)
					reply_text(&clients[k], "{\"ok\":true}\n");
		}
		if (!p->pid && !stopping && p->next_start_ms < next)
			next = p->next_start_ms;
	}
	return next > now ? (int)(next - now) : 0;
}

static void reap(void)
{
	int status;
	bool changed = false;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
		for (int i = 0; i < process_count; i++)
			if (processes[i].pid == pid && processes[i].pidfd < 0) {
				ended(&processes[i], status);
				changed = true;
			}
	if (changed)
		write_state();
}

static void turn(int signals, int timeout_ms)
{
	struct pollfd polls[2 + PROCESSES_MAX + CLIENTS_MAX];
	int n = 0, kept = 0;
	for (int i = 0; i < client_count; i++)
		if (clients[i].fd >= 0)
			clients[kept++] = clients[i];
	client_count = kept;
	polls[n++] = (struct pollfd){.fd = signals, .events = POLLIN};
	polls[n++] = (struct pollfd){.fd = listener, .events = POLLIN};
	for (int i = 0; i < process_count; i++)
		polls[n++] = (struct pollfd){.fd = processes[i].pidfd, .events = POLLIN};
	for (int i = 0; i < client_count; i++)
		polls[n++] = (struct pollfd){.fd = clients[i].fd, .events = POLLIN};
	if (poll(polls, (nfds_t)n, timeout_ms) <= 0)
		return;
	struct signalfd_siginfo info;
	while (polls[0].revents && read(signals, &info, sizeof info) == sizeof info)
		if (info.ssi_signo != SIGCHLD)
			stopping = true;
	reap();
	for (int i = 0; i < process_count; i++)
		if (polls[2 + i].revents && processes[i].pidfd >= 0) {
			ended(&processes[i], 255 << 8);
			write_state();
		}
	for (int i = 0; i < client_count; i++)
		if (polls[2 + process_count + i].revents)
			read_control(&clients[i]);
	for (int fd; polls[1].revents && (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0;) {
		if (client_count == CLIENTS_MAX)
			close(fd);
		else
			clients[client_count++] = (struct client){.fd = fd};
	}
}

static bool all_ended(void)
{
	for (int i = 0; i < process_count; i++)
		if (processes[i].pid)
			return false;
	return true;
}

int tend_main(int argc, char **argv)
{
	if (argc != 1)
		refuse(2, "usage: berth-helper tend CONFIG");
	config_path = argv[0];
	read_tend_config(config_path);
	char lock_path[4200];
	snprintf(lock_path, sizeof lock_path, "%s.lock", state_path);
	int lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (lock < 0)
		fail("%s", lock_path);
	if (flock(lock, LOCK_EX | LOCK_NB) < 0)
		refuse(3, "another one tends %s", state_path);
	setsid();
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	int signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	listener = listen_unix(socket_path, 8);
	if (signals < 0 || listener < 0)
		fail("%s", socket_path);
	read_state();
	int64_t checked_ms = monotonic_ms();
	while (!stopping || !all_ended()) {
		turn(signals, step());
		for (int i = 0; i < process_count && monotonic_ms() - checked_ms >= ROTATION_CHECK_MS; i++)
			rotate_log(&processes[i]);
		if (monotonic_ms() - checked_ms >= ROTATION_CHECK_MS)
			checked_ms = monotonic_ms();
	}
	unlink(state_path);
	unlink(socket_path);
	for (int i = 0; i < client_count; i++)
		if (clients[i].fd >= 0 && clients[i].waits_for_stop)
			send(clients[i].fd, "{\"ok\":true}\n", 12, MSG_NOSIGNAL | MSG_DONTWAIT);
	/* Who asked for the stop sees the connection end when this process has. */
	return 0;
}
