/* The files of tend (tend.c): its configuration, its state, the logs of its processes. */
#include "tend.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct process processes[PROCESSES_MAX];
int process_count;
const char *socket_path, *state_path;
static char boot_id[37];

static void take_key(const char *key, char *value)
{
	struct process *p = process_count ? &processes[process_count - 1] : NULL;
	if (!strcmp(key, "socket"))
		socket_path = value;
	else if (!strcmp(key, "state"))
		state_path = value;
	else if (!strcmp(key, "process")) {
		if (process_count == PROCESSES_MAX || strpbrk(value, " \"\\"))
			refuse(2, "config: bad process %s, or more than %d", value, PROCESSES_MAX);
		processes[process_count++] = (struct process){.name = value, .cwd = "/", .log_files = 1, .stop_ms = 15000, .pidfd = -1};
	} else if (!p)
		refuse(2, "config: \"%s\" stands before the first process", key);
	else if (!strcmp(key, "arg") && p->argc < ARGUMENTS_MAX)
		p->argv[p->argc++] = value;
	else if (!strcmp(key, "env") && p->env_count < ARGUMENTS_MAX)
		p->env[p->env_count++] = value;
	else if (!strcmp(key, "cwd"))
		p->cwd = value;
	else if (!strcmp(key, "log"))
		p->log = value;
	else if (!strcmp(key, "log-bytes"))
		p->log_bytes = atoll(value);
	else if (!strcmp(key, "log-files"))
		p->log_files = atoi(value);
	else if (!strcmp(key, "stop-ms"))
		p->stop_ms = atoi(value);
	else
		refuse(2, "config: \"%s\" is unknown, or there are too many", key);
}

void read_tend_config(const char *path)
{
	static struct bytes text;
	if (read_file(AT_FDCWD, path, &text, 1 << 20) < 0)
		fail("%s", path);
	for (char *line = strtok(text.data, "\n"); line; line = strtok(NULL, "\n")) {
		line += strspn(line, " ");
		if (!*line || *line == '#')
			continue;
		char *value = strchr(line, ' ');
		if (!value)
			refuse(2, "config: \"%s\" has no value", line);
		*value = 0;
		take_key(line, value + 1);
	}
	if (!socket_path || !state_path || !process_count)
		refuse(2, "config: socket, state and at least one process are needed");
	for (int i = 0; i < process_count; i++)
		if (!processes[i].argc || !processes[i].log)
			refuse(2, "config: process %s needs arg and log", processes[i].name);
}

/* Not synced: it describes processes. The first line names the boot: pids and ticks repeat after the next one. */
void write_state(void)
{
	struct bytes b = {0};
	bytes_print(&b, "boot %s\n", boot_id);
	for (int i = 0; i < process_count; i++)
		if (processes[i].pid)
			bytes_print(&b, "%s %d %llu %lld %lld\n", processes[i].name, (int)processes[i].pid, processes[i].start_ticks,
				    processes[i].restarts, (long long)processes[i].started_wall_ms);
	replace_file(state_path, b.data, b.size, false);
	bytes_free(&b);
}

struct process *find_process(const char *name)
{
	for (int i = 0; i < process_count; i++)
		if (!strcmp(processes[i].name, name))
			return &processes[i];
	return NULL;
}

static int pidfd_open(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* A line of the state of an earlier instance: still the same process? */
static void adopt(const char *name, pid_t pid, unsigned long long ticks, long long restarts, long long started)
{
	int fd = pidfd_open(pid);
	struct process_stat s;
	if (fd < 0 || !read_process(pid, &s) || s.start_ticks != ticks || s.state == 'Z') {
		if (fd >= 0)
			close(fd);
		return;
	}
	struct process *p = find_process(name);
	if (!p || p->pid) {
		/* No longer configured: nobody else would ever end it. */
		kill(pid, SIGTERM);
		close(fd);
		return;
	}
	p->pid = pid;
	p->start_ticks = ticks;
	p->pidfd = fd;
	p->restarts = restarts;
	p->started_wall_ms = started;
	p->up_since_ms = monotonic_ms();
}

void read_state(void)
{
	struct bytes text = {0};
	if (read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", &text, 64) == 0)
		memcpy(boot_id, text.data, text.size < 36 ? text.size : 36);
	text.size = 0;
	if (read_file(AT_FDCWD, state_path, &text, 1 << 20) == 0) {
		char *line = strtok(text.data, "\n");
		bool same_boot = line && !strncmp(line, "boot ", 5) && !strcmp(line + 5, boot_id);
		while (same_boot && (line = strtok(NULL, "\n"))) {
			char name[256];
			int pid;
			unsigned long long ticks;
			long long restarts, started;
			if (sscanf(line, "%255s %d %llu %lld %lld", name, &pid, &ticks, &restarts, &started) == 5 && pid > 1)
				adopt(name, pid, ticks, restarts, started);
		}
	}
	bytes_free(&text);
}

/*
 * By copy and truncation: the process holds the file open. What it writes between the last read and the truncation, a few
 * µs, is lost; a pipe through this program would lose nothing, but hold the process up, or kill it, when this program dies.
 */
void rotate_log(struct process *p)
{
	char from[4200], to[4200];
	struct stat s;
	if (!p->log_bytes || stat(p->log, &s) < 0 || !S_ISREG(s.st_mode) || s.st_size <= p->log_bytes)
		return;
	for (int i = p->log_files; i > 1; i--) {
		snprintf(from, sizeof from, "%s.%d", p->log, i - 1);
		snprintf(to, sizeof to, "%s.%d", p->log, i);
		rename(from, to);
	}
	snprintf(to, sizeof to, "%s.1", p->log);
	int in = open(p->log, O_RDWR | O_CLOEXEC);
	int out = p->log_files > 0 ? open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640) : -1;
	bool ok = in >= 0;
	for (ssize_t n = 1; ok && out >= 0 && n > 0;)
		ok = (n = sendfile(out, in, NULL, 1 << 20)) >= 0;
	/* On a full disk the old log goes, or it would never get better. */
	if (in >= 0 && ftruncate(in, 0) < 0)
		ok = false;
	if (!ok && out >= 0)
		unlink(to);
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
}
