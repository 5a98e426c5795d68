/*
 * Calls of the OCI runtime (crun, runc or another of the same command line: opencontainers/runtime-tools
 * docs/command-line-interface.md), by the supervisor and by exec sessions.
 *
 * crun 1.8.1 refuses a hybrid host whose v2 tree has controllers, and writes plain folders where a v1 controller is not
 * mounted. It therefore gets a mount namespace of its own in which /sys/fs/cgroup is a fresh tmpfs with every v1
 * controller of /proc/self/cgroup mounted and no v2 tree. Only that folder is made private: all other mounts stay as the
 * agent sees them, so container mounts and their propagation are right. The namespace ends with the call.
 */
#include "supervise.h"
#include <dirent.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXEC_WAIT_MS = 2000, KILL_ROUNDS = 50 };

static bool is_set(const char *value)
{
	return !strcmp(value, "1");
}

static void take_source(struct config *c, const char *text)
{
	struct staged s = {0};
	if (c->staged_count == STAGED_MAX)
		refuse(E2BIG, "config: more than %d mounts", STAGED_MAX);
	for (; *text && *text != ':'; text++) {
		s.idmapped |= *text == 'i';
		s.read_only |= *text == 'r';
		s.recursive_read_only |= *text == 'R';
	}
	if (*text != ':')
		refuse(EINVAL, "config: bad mount");
	s.path = text + 1;
	c->staged[c->staged_count++] = s;
}

static void take_key(struct config *c, const char *key, const char *value)
{
	if (!strcmp(key, "id"))
		c->id = value;
	else if (!strcmp(key, "runtime"))
		c->runtime = value;
	else if (!strcmp(key, "argument") && c->runtime_argument_count < ARGUMENTS_MAX)
		c->runtime_arguments[c->runtime_argument_count++] = value;
	else if (!strcmp(key, "private-cgroups"))
		c->private_cgroups = is_set(value);
	else if (!strcmp(key, "log"))
		c->log = value;
	else if (!strcmp(key, "log-bytes-max"))
		c->log_bytes_max = atoll(value);
	else if (!strcmp(key, "log-files-max"))
		c->log_files_max = atoi(value);
	else if (!strcmp(key, "tty"))
		c->tty = is_set(value);
	else if (!strcmp(key, "stdin"))
		c->has_stdin = is_set(value);
	else if (!strcmp(key, "stdin-once"))
		c->stdin_once = is_set(value);
	else if (!strcmp(key, "oom-file"))
		c->oom_file = value;
	else if (!strcmp(key, "procs-file"))
		c->procs_file = value;
	else if (!strcmp(key, "user-namespace"))
		c->user_namespace = value;
	else if (!strcmp(key, "root"))
		c->root = value;
	else if (!strcmp(key, "owner"))
		c->owner = atoll(value);
	else if (!strcmp(key, "mount"))
		take_source(c, value);
	else
		refuse(EINVAL, "config: unknown key %s", key);
}

void read_config(const char *path, struct config *out)
{
	struct bytes text = {0};
	*out = (struct config){.oom_file = "", .procs_file = "", .log_files_max = 1};
	if (read_file(AT_FDCWD, path, &text, 1 << 16) < 0)
		fail("config: %s", path);
	for (char *p = text.data; p < text.data + text.size; p += strlen(p) + 1) {
		char *equals = strchr(p, '=');
		if (!equals)
			refuse(EINVAL, "config: no = in %s", p);
		*equals = 0;
		char *value = equals + 1;
		take_key(out, p, value);
		p = value;
	}
	if (!out->id || !out->runtime)
		refuse(EINVAL, "config: id and runtime are needed");
	if (out->user_namespace && (!out->root || out->owner < 1 || out->owner > UINT32_MAX))
		refuse(EINVAL, "config: root and owner are needed with user-namespace");
}

static void mount_controllers(void)
{
	struct bytes text = {0};
	char path[300];
	if (unshare(CLONE_NEWNS) < 0)
		fail("private cgroups: unshare");
	if (read_file(AT_FDCWD, "/proc/self/cgroup", &text, 1 << 16) < 0)
		fail("private cgroups: /proc/self/cgroup");
	/* Without this the new mount would reach the host where its mounts are shared. */
	if (mount(NULL, "/sys/fs/cgroup", NULL, MS_PRIVATE, NULL) < 0 ||
	    mount("cgroup", "/sys/fs/cgroup", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755") < 0)
		fail("private cgroups: tmpfs");
	for (char *line = strtok(text.data, "\n"); line; line = strtok(NULL, "\n")) {
		char *names = strchr(line, ':'), *end = names ? strchr(names + 1, ':') : NULL;
		if (!end || end == names + 1)
			continue;
		*end = 0;
		names++;
		bool named = !strncmp(names, "name=", 5);
		char options[256];
		snprintf(options, sizeof options, "%s%s", named ? "none," : "", names);
		snprintf(path, sizeof path, "/sys/fs/cgroup/%.200s", named ? names + 5 : names);
		if (mkdir(path, 0755) < 0 || mount("cgroup", path, "cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) < 0)
			fail("private cgroups: %s", names);
		/* Controllers mounted together also go by their single names. */
		const char *folder = path + strlen("/sys/fs/cgroup/");
		for (char *p = names, *next; strchr(names, ',') && p; p = next) {
			next = strchr(p, ',');
			char link[300];
			snprintf(link, sizeof link, "/sys/fs/cgroup/%.*s", next ? (int)(next - p) : 200, p);
			if (symlink(folder, link) < 0)
				fail("private cgroups: %s", link);
			next = next ? next + 1 : NULL;
		}
	}
	bytes_free(&text);
}

char inherited_oom_score[16];
int runtime_lock = -1;
const int no_stdio[3] = {-1, -1, -1};

void give_to_container(const struct config *c, int fd)
{
	if (fd >= 0 && c->user_namespace && fchown(fd, (uid_t)c->owner, (gid_t)c->owner) < 0)
		fail("owner of a pipe");
}

pid_t start_runtime(const struct config *c, const char *log, const char *const *command, const int stdio[3])
{
	const char *argv[ARGUMENTS_MAX + 32];
	int n = 0;
	argv[n++] = c->runtime;
	for (int i = 0; i < c->runtime_argument_count; i++)
		argv[n++] = c->runtime_arguments[i];
	argv[n++] = "--log";
	argv[n++] = log;
	argv[n++] = "--log-format";
	argv[n++] = "json";
	for (int i = 0; command[i]; i++)
		argv[n++] = command[i];
	argv[n] = NULL;
	pid_t pid = fork();
	if (pid < 0)
		fail("fork");
	if (pid)
		return pid;
	/* What the bundle says is set by the runtime; without a word the container gets the agent's, not the supervisor's. */
	if (*inherited_oom_score)
		write_text("/proc/self/oom_score_adj", inherited_oom_score);
	reset_signals();
	int none = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int i = 0; i < 3; i++)
		if (dup2(stdio[i] >= 0 ? stdio[i] : none, i) < 0)
			_exit(126);
	/* cgroups that it makes are looked up by the root of a user namespace, which is anybody here. */
	umask(022);
	/* Its own failures go where those of the runtime go: to fd 2, read by the caller when the start failed. */
	if (c->private_cgroups)
		mount_controllers();
	if (c->user_namespace && !strcmp(command[0], "run"))
		stage_mounts(c);
	/* A start that is under way holds the lock, whatever becomes of its supervisor; the runtime closes it at the exec. */
	int lowest = 3;
	if (runtime_lock >= 0 && (runtime_lock == 3 ? fcntl(3, F_SETFD, 0) == 0 : dup2(runtime_lock, 3) == 3))
		lowest = 4;
	close_from(lowest);
	execvp(argv[0], (char *const *)argv);
	fail("%s", argv[0]);
}

int wait_runtime(pid_t pid, int timeout_ms)
{
	int64_t end = monotonic_ms() + timeout_ms;
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (bool killed = false;;) {
		int status;
		pid_t done = waitpid(pid, &status, WNOHANG);
		if (done == pid)
			return status;
		if (done < 0 && errno != EINTR)
			return 126 << 8;
		int64_t left = end - monotonic_ms();
		if (left <= 0 && !killed) {
			kill(pid, SIGKILL);
			killed = true;
		}
		/* SIGCHLD is blocked in the callers. A lost wake-up costs at most the pause. */
		long pause_ms = left <= 0 || left > 50 ? 50 : (long)left;
		struct timespec t = {.tv_nsec = pause_ms * 1000000};
		sigtimedwait(&set, NULL, &t);
	}
}

static void append_quoted(struct bytes *b, const char *text, size_t size)
{
	bytes_append(b, "\"", 1);
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)text[i];
		if (c == '"' || c == '\\')
			bytes_print(b, "\\%c", c);
		else if (c < 32 || c > 126)
			bytes_append(b, c == '\n' ? "\\n" : "?", c == '\n' ? 2 : 1);
		else
			bytes_append(b, text + i, 1);
	}
	bytes_append(b, "\"", 1);
}

void describe_failure(struct bytes *out, int status, const char *log, const int outputs[2])
{
	struct bytes logged = {0};
	char printed[4096];
	size_t size = 0;
	for (int i = 0; i < 2; i++)
		for (ssize_t n = 1; outputs[i] >= 0 && n > 0 && size < sizeof printed; size += n > 0 ? (size_t)n : 0)
			n = read(outputs[i], printed + size, sizeof printed - size);
	read_file(AT_FDCWD, log, &logged, 1 << 20);
	size_t skip = logged.size > 4096 ? logged.size - 4096 : 0;
	bytes_print(out, "{\"status\":%d,\"log\":", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	append_quoted(out, logged.data ? logged.data + skip : "", logged.size - skip);
	bytes_print(out, ",\"output\":");
	append_quoted(out, printed, size);
	bytes_append(out, "}\n", 2);
	bytes_free(&logged);
}

pid_t read_pid_file(const char *name)
{
	struct bytes text = {0};
	pid_t pid = read_file(AT_FDCWD, name, &text, 64) == 0 ? atoi(text.data) : 0;
	bytes_free(&text);
	return pid;
}

void reap_all(void)
{
	for (int i = 0; i < 40; i++) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);
		if (pid < 0 && errno != EINTR)
			return;
		if (pid == 0)
			usleep(5000);
	}
}

int open_console(const char *name)
{
	int fd = listen_unix(name, 1);
	if (fd < 0)
		fail("console socket");
	return fd;
}

int accept_console(int listener, const char *name)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), master = -1;
	close(listener);
	unlink(name);
	if (fd < 0)
		return -1;
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	char name_of_pty[4096];
	struct iovec v = {.iov_base = name_of_pty, .iov_len = sizeof name_of_pty};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
	if (recvmsg(fd, &m, MSG_CMSG_CLOEXEC) > 0) {
		struct cmsghdr *h = CMSG_FIRSTHDR(&m);
		if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS)
			memcpy(&master, CMSG_DATA(h), sizeof master);
	}
	close(fd);
	return master;
}

bool wait_for_exec(pid_t pid)
{
	struct process_stat s;
	int64_t end = monotonic_ms() + EXEC_WAIT_MS;
	for (unsigned pause_us = 50;; usleep(pause_us), pause_us += 50) {
		if (!read_process(pid, &s))
			return false;
		if (!(s.flags & PROCESS_FORK_NO_EXEC))
			return true;
		if (s.state == 'Z' || s.state == 'X')
			return false;
		/* A runtime whose init never execs is its own program. */
		if (monotonic_ms() >= end)
			return true;
	}
}

long long count_oom_kills(const char *file)
{
	struct bytes text = {0};
	long long kills = 0;
	if (*file && read_file(AT_FDCWD, file, &text, 1 << 16) == 0) {
		char *p = strstr(text.data, "oom_kill ");
		if (p && (p == text.data || p[-1] == '\n'))
			kills = atoll(p + 9);
	}
	bytes_free(&text);
	return kills;
}

/* True when something was there to be signalled. */
static bool signal_folder(const char *folder, int signal)
{
	char path[4096];
	bool found = false;
	struct bytes text = {0};
	if (snprintf(path, sizeof path, "%s/cgroup.procs", folder) >= (int)sizeof path)
		return false;
	if (read_file(AT_FDCWD, path, &text, 1 << 20) == 0)
		for (char *line = strtok(text.data, "\n"); line; line = strtok(NULL, "\n"))
			if (atoi(line) > 1) {
				found = true;
				kill(atoi(line), signal);
			}
	bytes_free(&text);
	/* A privileged program may have made cgroups of its own. */
	DIR *d = opendir(folder);
	for (struct dirent *e; d && (e = readdir(d));)
		if (e->d_type == DT_DIR && e->d_name[0] != '.' &&
		    snprintf(path, sizeof path, "%s/%s", folder, e->d_name) < (int)sizeof path)
			found |= signal_folder(path, signal);
	if (d)
		closedir(d);
	return found;
}

void kill_cgroup(const char *procs_file, int signal)
{
	char folder[4096];
	const char *slash = strrchr(procs_file, '/');
	if (!slash || (size_t)(slash - procs_file) >= sizeof folder)
		return;
	memcpy(folder, procs_file, (size_t)(slash - procs_file));
	folder[slash - procs_file] = 0;
	/* A process may fork while the list is read: a kill is only done when nobody is left, dead ones that nobody reaped aside. */
	for (int i = 0; signal_folder(folder, signal) && signal == SIGKILL && i < KILL_ROUNDS; i++)
		usleep(1000);
}
