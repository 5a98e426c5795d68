/*
 * tend: the small parent of `berth up`. Starts the processes of a config file in order, starts a dead one again with back-off
 * (100 ms doubling to 10 s, back to 100 ms after 10 s up), and stops them in reverse order. When it was killed itself, the
 * next one re-adopts what still lives by pid and start time (state file) and watches it through a pidfd.
 *
 * Config, one `word value` a line, values to the end of the line:
 *   socket PATH          control socket (mode 0600): a line `status`, `stop` or `restart NAME`; answers are JSON lines
 *   state PATH           `NAME PID START-TICKS RESTARTS` per process, replaced atomically; PATH.lock is held by flock
 *   process NAME         begins a process; the lines below belong to it
 *     arg TEXT           argv, repeated
 *     env NAME=VALUE     added to this program's environment, repeated
 *     log PATH           stdout and stderr, appended
 *     log-bytes N        rotated (copied, then truncated) above this size; log-files N older copies are kept
 * Exit codes: 0 stopped on request, 2 bad config, 3 another one holds the lock.
 */
#include "helper.h"
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES_MAX 128
#define WORDS_MAX 64
#define CLIENTS_MAX 8
#define BACKOFF_FIRST_MS 100
#define BACKOFF_LAST_MS 10000
#define UP_LONG_MS 10000
#define STOP_MS 15000
#define ROTATE_EVERY_MS 30000

struct process {
	const char *name, *log;
	char *arguments[WORDS_MAX + 1], *variables[WORDS_MAX + 1];
	int argument_count, variable_count, log_files;
	long long log_bytes;
	pid_t pid;
	int pidfd;
	unsigned long long start_ticks;
	int64_t started_ms, next_ms, backoff_ms;
	unsigned restarts;
};

static struct process processes[PROCESSES_MAX];
static int count;
static const char *socket_path, *state_path;

static void parse(char *text)
{
	struct process *p = NULL;
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		while (*line == ' ')
			line++;
		char *value = strchr(line, ' ');
		if (!*line || *line == '#')
			continue;
		if (!value)
			refuse(2, "config: \"%s\" has no value", line);
		*value++ = 0;
		if (!strcmp(line, "socket"))
			socket_path = value;
		else if (!strcmp(line, "state"))
			state_path = value;
		else if (!strcmp(line, "process")) {
			if (count == PROCESSES_MAX)
				refuse(2, "config: more than %d processes", PROCESSES_MAX);
			p = &processes[count++];
			p->name = value;
			p->pidfd = -1;
			p->backoff_ms = BACKOFF_FIRST_MS;
		} else if (!p)
			refuse(2, "config: \"%s\" stands before the first process", line);
		else if (!strcmp(line, "arg") && p->argument_count < WORDS_MAX)
			p->arguments[p->argument_count++] = value;
		else if (!strcmp(line, "env") && p->variable_count < WORDS_MAX)
			p->variables[p->variable_count++] = value;
		else if (!strcmp(line, "log"))
			p->log = value;
		else if (!strcmp(line, "log-bytes"))
			p->log_bytes = atoll(value);
		else if (!strcmp(line, "log-files"))
			p->log_files = atoi(value);
		else
			refuse(2, "config: \"%s\" is unknown, or there are too many", line);
	}
	if (!socket_path || !state_path || !count)
		refuse(2, "config: socket, state and at least one process are needed");
	for (int i = 0; i < count; i++)
		if (!processes[i].argument_count || !processes[i].log)
			refuse(2, "config: process %s needs arg and log", processes[i].name);
}

static void save(void)
{
	struct bytes text = {0};
	for (int i = 0; i < count; i++)
		if (processes[i].pid > 0)
			bytes_print(&text, "%s %d %llu %u\n", processes[i].name, processes[i].pid, processes[i].start_ticks, processes[i].restarts);
	replace_file(state_path, text.data ? text.data : "", text.size, false);
	bytes_free(&text);
}

/* Watches a living process that may not be our child. */
static void watch(struct process *p, pid_t pid, unsigned long long ticks)
{
	p->pid = pid;
	p->start_ticks = ticks;
	p->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	p->started_ms = monotonic_ms();
}

static void adopt(void)
{
	struct bytes text = {0};
	if (read_file(AT_FDCWD, state_path, &text, 1 << 20) < 0)
		return;
	for (char *line = strtok(text.data, "\n"); line; line = strtok(NULL, "\n")) {
		char name[256];
		int pid = 0;
		unsigned long long ticks = 0;
		unsigned restarts = 0;
		struct process_stat now;
		if (sscanf(line, "%255s %d %llu %u", name, &pid, &ticks, &restarts) < 3)
			continue;
		for (int i = 0; i < count; i++) {
			if (strcmp(processes[i].name, name) || processes[i].pid > 0)
				continue;
			processes[i].restarts = restarts;
			if (read_process(pid, &now) && now.start_ticks == ticks && now.state != 'Z')
				watch(&processes[i], pid, ticks);
		}
	}
	bytes_free(&text);
}

static _Noreturn void become(struct process *p)
{
	reset_signals();
	setsid();
	int null = open("/dev/null", O_RDONLY);
	int log = open(p->log, O_WRONLY | O_CREAT | O_APPEND, 0640);
	if (null < 0 || log < 0)
		_exit(126);
	dup2(null, 0);
	dup2(log, 1);
	dup2(log, 2);
	close_from(3);
	for (int i = 0; i < p->variable_count; i++)
		putenv(p->variables[i]);
	execvp(p->arguments[0], p->arguments);
	dprintf(2, "{\"level\":60,\"component\":\"tend\",\"msg\":\"cannot run %s: %s\"}\n", p->arguments[0], strerror(errno));
	_exit(127);
}

static void start(struct process *p)
{
	pid_t pid = fork();
	if (pid == 0)
		become(p);
	struct process_stat now = {0};
	if (pid < 0 || !read_process(pid, &now)) {
		p->next_ms = monotonic_ms() + p->backoff_ms;
		return;
	}
	watch(p, pid, now.start_ticks);
	save();
}

static bool lives(struct process *p)
{
	struct process_stat now;
	return p->pid > 0 && read_process(p->pid, &now) && now.start_ticks == p->start_ticks && now.state != 'Z';
}

static void note_end(struct process *p)
{
	if (p->pidfd >= 0)
		close(p->pidfd);
	p->pidfd = -1;
	waitpid(p->pid, NULL, WNOHANG);
	p->pid = 0;
	int64_t now = monotonic_ms();
	if (now - p->started_ms >= UP_LONG_MS)
		p->backoff_ms = BACKOFF_FIRST_MS;
	p->next_ms = now + p->backoff_ms;
	p->backoff_ms = p->backoff_ms * 2 > BACKOFF_LAST_MS ? BACKOFF_LAST_MS : p->backoff_ms * 2;
	p->restarts++;
	save();
}

static void rotate(struct process *p)
{
	struct stat s;
	char from[4200], to[4200];
	if (!p->log_bytes || stat(p->log, &s) < 0 || s.st_size <= p->log_bytes)
		return;
	for (int i = p->log_files; i > 1; i--) {
		snprintf(from, sizeof from, "%s.%d", p->log, i - 1);
		snprintf(to, sizeof to, "%s.%d", p->log, i);
		rename(from, to);
	}
	snprintf(to, sizeof to, "%s.1", p->log);
	int in = open(p->log, O_RDWR | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	if (in >= 0 && out >= 0) {
		while (sendfile(out, in, NULL, 1 << 20) > 0)
			;
		if (ftruncate(in, 0) < 0)
			unlink(to);
	}
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
}

/* Reverse order, one after the other: agents before the server, etcd last. */
static void stop_all(void)
{
	for (int i = count - 1; i >= 0; i--) {
		struct process *p = &processes[i];
		if (!lives(p))
			continue;
		kill(p->pid, SIGTERM);
		int64_t end = monotonic_ms() + STOP_MS;
		while (lives(p) && monotonic_ms() < end) {
			struct pollfd f = {.fd = p->pidfd, .events = POLLIN};
			poll(&f, p->pidfd >= 0 ? 1 : 0, 50);
			waitpid(p->pid, NULL, WNOHANG);
		}
		if (lives(p))
			kill(p->pid, SIGKILL);
		for (int k = 0; k < 100 && lives(p); k++) {
			usleep(20000);
			waitpid(p->pid, NULL, WNOHANG);
		}
		p->pid = 0;
	}
	save();
}

/* True when the answer is complete and this program shall stop afterwards. */
static bool answer(int client, const char *line)
{
	struct bytes out = {0};
	bool stop = false;
	if (!strcmp(line, "status")) {
		for (int i = 0; i < count; i++)
			bytes_print(&out, "{\"name\":\"%s\",\"pid\":%d,\"restarts\":%u,\"upMs\":%lld}\n", processes[i].name, processes[i].pid,
				    processes[i].restarts, processes[i].pid > 0 ? (long long)(monotonic_ms() - processes[i].started_ms) : 0LL);
	} else if (!strncmp(line, "restart ", 8)) {
		const char *error = "no such process";
		for (int i = 0; i < count; i++)
			if (!strcmp(processes[i].name, line + 8)) {
				if (lives(&processes[i]))
					kill(processes[i].pid, SIGTERM);
				error = NULL;
			}
		bytes_print(&out, error ? "{\"error\":\"%s\"}\n" : "{\"ok\":true}\n", error);
	} else if (!strcmp(line, "stop")) {
		stop_all();
		bytes_print(&out, "{\"ok\":true}\n");
		stop = true;
	} else
		bytes_print(&out, "{\"error\":\"unknown request\"}\n");
	write_full(client, out.data, out.size);
	bytes_free(&out);
	return stop;
}

static bool serve_client(int server)
{
	int client = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	if (client < 0)
		return false;
	struct timeval limit = {.tv_sec = 2};
	setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	char line[512];
	size_t size = 0;
	while (size < sizeof line - 1) {
		ssize_t n = read(client, line + size, 1);
		if (n <= 0 || line[size] == '\n')
			break;
		size++;
	}
	line[size] = 0;
	bool stop = answer(client, line);
	close(client);
	return stop;
}

static int next_timeout(int64_t rotate_ms)
{
	int64_t now = monotonic_ms(), next = rotate_ms;
	for (int i = 0; i < count; i++)
		if (processes[i].pid <= 0 && processes[i].next_ms < next)
			next = processes[i].next_ms;
	return next > now ? (int)(next - now) : 0;
}

static int run(int signals, int server)
{
	int64_t rotate_ms = monotonic_ms() + ROTATE_EVERY_MS;
	for (;;) {
		struct pollfd fds[PROCESSES_MAX + 2] = {{.fd = signals, .events = POLLIN}, {.fd = server, .events = POLLIN}};
		for (int i = 0; i < count; i++)
			fds[i + 2] = (struct pollfd){.fd = processes[i].pidfd, .events = POLLIN};
		poll(fds, (nfds_t)count + 2, next_timeout(rotate_ms));
		if (fds[0].revents) {
			struct signalfd_siginfo info;
			if (read(signals, &info, sizeof info) == sizeof info && info.ssi_signo != SIGCHLD) {
				stop_all();
				return 0;
			}
		}
		if (fds[1].revents && serve_client(server))
			return 0;
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		int64_t now = monotonic_ms();
		for (int i = 0; i < count; i++) {
			struct process *p = &processes[i];
			if (p->pid > 0 && !lives(p))
				note_end(p);
			if (p->pid <= 0 && p->next_ms <= now)
				start(p);
		}
		if (now >= rotate_ms) {
			rotate_ms = now + ROTATE_EVERY_MS;
			for (int i = 0; i < count; i++)
				rotate(&processes[i]);
		}
	}
}

int tend_main(int argc, char **argv)
{
	struct bytes config = {0};
	char lock_path[4200];
	if (argc != 1)
		refuse(2, "usage: berth-helper tend CONFIG");
	if (read_file(AT_FDCWD, argv[0], &config, 1 << 20) < 0)
		fail("%s", argv[0]);
	parse(config.data);
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
	int signals = signalfd(-1, &set, SFD_CLOEXEC);
	unlink(socket_path);
	int server = listen_unix(socket_path, CLIENTS_MAX);
	if (server < 0 || signals < 0)
		fail("%s", socket_path);
	chmod(socket_path, 0600);
	fcntl(server, F_SETFD, FD_CLOEXEC);
	adopt();
	int code = run(signals, server);
	unlink(socket_path);
	unlink(state_path);
	return code;
}
