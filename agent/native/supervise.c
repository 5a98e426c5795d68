/*
 * supervise FOLDER: one small process per container that outlives the agent, so that stdio, log and exit status do.
 *
 * The folder holds `config` (runtime.c reads it) and the bundle's config.json. Made here: `stdout`, `stderr` (FIFOs, so that
 * a successor can go on reading), `sock` (clients.c), `pid` and `runtime.log` (the runtime's), `started.json` and, when the
 * container has ended, `exit.json`.
 *
 *   first process: a job of `serve`; forks the supervisor (own session, reparented) and waits for its word: it prints
 *   started.json and exits 0 once the container's own program was exec'd, else it prints the reason and exits non-zero.
 *   supervisor: subreaper, so that the container's init becomes its child -> runtime `run --detach` -> started.json -> loop
 *   -> init ended -> log drained, exit.json on disk -> clients told -> drain <= 2 s -> runtime `delete` -> end.
 *   `supervise FOLDER hold SOCKET TOKEN`: before the runtime is run the agent lets clients attach (hold.c).
 *
 * `lock` is held (flock) by all of these and by the runtime's processes until the container's program is exec'd: who gets
 * it knows that nothing is being started any more. `supervise FOLDER wait` does only that (or ends with EALREADY when a
 * supervisor answers), `supervise FOLDER clean` kills and deletes what is left.
 *
 * A crash between any two steps leaves a state that can be read back: the runtime wrote `pid` and its own state before the
 * program ran, and `supervise FOLDER adopt` takes over a container whose supervisor was killed (log, attach and kill go
 * on; its exit status is lost, so it is reported as 137). The container itself never dies with its supervisor, because its
 * stdout and stderr are opened for reading and writing: a pipe without a reader would kill it by SIGPIPE.
 */
#include "supervise.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { START_TIMEOUT_MS = 60000, DELETE_TIMEOUT_MS = 10000, DRAIN_MS = 2000, FLUSH_MS = 500 };

/* Where a supervisor keeps its lock. */
#define LOCK 3
static struct config config;
static struct log container_log;
static struct input container_stdin = {.fd = -1};
static int outputs[2] = {-1, -1}; /* stdout (or the pty master), stderr */
static pid_t init_pid;
static unsigned long long init_ticks;
static int64_t started_ms;
static bool ended, adopted;

static void on_kill(int number, bool all)
{
	if (number < 0 || number > 64 || ended)
		return;
	/* As parent nobody else can reap the init, so its pid is still its own; an adopted one is checked. */
	struct process_stat s;
	if (!adopted || (read_process(init_pid, &s) && s.start_ticks == init_ticks))
		kill(init_pid, number);
	if (all)
		kill_cgroup(config.procs_file, number);
}

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Both ends of a FIFO: the returned one is read here, *writer is for the container. */
static int open_fifo(const char *name, int *writer)
{
	if (mkfifo(name, 0600) < 0 && errno != EEXIST)
		fail("supervise: %s", name);
	int fd = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || (writer && (*writer = open(name, O_RDWR | O_CLOEXEC | O_NOFOLLOW)) < 0))
		fail("supervise: %s", name);
	return fd;
}

/* The reason of a failed start, as JSON for the agent: what the runtime logged and what it printed. */
static _Noreturn void report_failure(int status)
{
	struct bytes out = {0};
	describe_failure(&out, status, "runtime.log", outputs);
	const char *force[] = {"delete", "--force", config.id, NULL};
	wait_runtime(start_runtime(&config, "runtime.log", force, no_stdio), DELETE_TIMEOUT_MS);
	reap_all();
	unlink("sock");
	write_full(2, out.data, out.size);
	_exit(1);
}

static void write_started(void)
{
	struct bytes boot = {0};
	read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", &boot, 64);
	bytes_print(&clients_status, "{\"pid\":%d,\"startTicks\":%llu,\"bootId\":\"%.*s\",\"startedAtMs\":%lld,\"supervisor\":%d}\n",
		    (int)init_pid, init_ticks, boot.size >= 36 ? 36 : 0, boot.data ? boot.data : "", (long long)started_ms, (int)getpid());
	bytes_free(&boot);
	/* Not synced: after a power loss no container runs whatever this says. */
	reserve_exit();
	if (replace_file("started.json", clients_status.data, clients_status.size, false) < 0)
		fail("supervise: started.json");
}

static void start_container(void)
{
	int in[2] = {-1, -1}, writers[2] = {-1, -1}, console = -1;
	if (config.tty) {
		console = open_console("console");
		/* For the runtime's own words only. */
		outputs[1] = open_fifo("stderr", &writers[1]);
	} else {
		outputs[0] = open_fifo("stdout", &writers[0]);
		outputs[1] = open_fifo("stderr", &writers[1]);
		if (config.has_stdin && pipe2(in, O_CLOEXEC) < 0)
			fail("supervise: pipe");
	}
	/* Absolute: crun 1.8 is in / when it writes it, where a user namespace meets devices. */
	char pid_file[4096 + 8];
	if (!getcwd(pid_file, 4096))
		fail("supervise: folder");
	strcat(pid_file, "/pid");
	const char *with_pipes[] = {"run", "--detach", "--pid-file", pid_file, config.id, NULL};
	const char *with_tty[] = {"run", "--detach", "--pid-file", pid_file, "--console-socket", "console", config.id, NULL};
	const int stdio[3] = {in[0], writers[0], writers[1]};
	for (int i = 0; i < 3; i++)
		give_to_container(&config, stdio[i]);
	runtime_lock = LOCK;
	int status = wait_runtime(start_runtime(&config, "runtime.log", config.tty ? with_tty : with_pipes, stdio), START_TIMEOUT_MS);
	runtime_lock = -1;
	init_pid = read_pid_file("pid");
	struct process_stat s;
	if (!WIFEXITED(status) || WEXITSTATUS(status) || !init_pid || !read_process(init_pid, &s))
		report_failure(status);
	init_ticks = s.start_ticks;
	if (config.tty)
		outputs[0] = accept_console(console, "console");
	if (!wait_for_exec(init_pid)) {
		waitpid(init_pid, &status, 0);
		report_failure(status);
	}
	started_ms = wall_ns() / 1000000;
	close_one(&writers[0]);
	close_one(&writers[1]);
	close_one(&in[0]);
	if (config.tty)
		close_one(&outputs[1]);
	container_stdin.fd = config.tty ? outputs[0] : in[1];
	if (container_stdin.fd >= 0)
		set_nonblocking(container_stdin.fd);
	write_started();
}

/* Reads what is there, at most `rounds` pieces; closes at the end. */
static void drain(int stream, int rounds)
{
	char data[16384];
	while (outputs[stream] >= 0 && rounds-- > 0) {
		ssize_t n = read(outputs[stream], data, sizeof data);
		if (n > 0) {
			log_write(&container_log, stream, data, (size_t)n);
			clients_output(stream ? 'R' : 'O', data, (size_t)n);
		} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
			/* A pty answers EIO when the last process has closed it. */
			if (outputs[stream] == container_stdin.fd)
				container_stdin.fd = -1;
			close_one(&outputs[stream]);
		} else if (errno == EAGAIN) {
			return;
		}
	}
}

static void finish(int status)
{
	ended = true;
	for (int i = 0; i < 2; i++)
		drain(i, 1024);
	/* Nobody can write any more: whoever hears of the exit finds the log complete. */
	if (outputs[0] < 0 && outputs[1] < 0)
		log_end(&container_log);
	/* Where the process namespace is shared, others of this container may be left. */
	kill_cgroup(config.procs_file, SIGKILL);
	int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	struct bytes record = {0};
	bytes_print(&record, "{\"exitCode\":%d,\"signal\":%d,\"oomKilled\":%s,\"startedAtMs\":%lld,\"finishedAtMs\":%lld,\"lost\":%s}\n",
		    adopted ? 137 : number ? 128 + number : WEXITSTATUS(status), number,
		    count_oom_kills(config.oom_file) > 0 ? "true" : "false", (long long)started_ms, (long long)(wall_ns() / 1000000),
		    adopted ? "true" : "false");
	/* If neither can be written the agent still hears it from the socket; one that starts later says lost. */
	if (!write_exit(&record))
		replace_file("exit.json", record.data, record.size, true);
	clients_exit(record.data, record.size);
	bytes_free(&clients_status);
	clients_status = record;
}

static void reap(void)
{
	int status;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
		if (pid == init_pid && !adopted)
			finish(status);
}

/* One wait of at most `timeout_ms` (-1: for ever); pidfd is the init's (adopted) or -1. */
static void turn(int signals, int pidfd, int timeout_ms)
{
	struct pollfd polls[CLIENTS_MAX + 8];
	int hold_ms = ended ? -1 : clients_hold_ms();
	polls[0] = (struct pollfd){.fd = signals, .events = POLLIN};
	for (int i = 0; i < 2; i++)
		polls[1 + i] = (struct pollfd){.fd = hold_ms < 0 ? outputs[i] : -1, .events = POLLIN};
	if (hold_ms >= 0)
		timeout_ms = hold_ms;
	polls[3] = (struct pollfd){.fd = ended ? -1 : pidfd, .events = POLLIN};
	int n = 4 + clients_before_poll(polls + 4, &container_stdin);
	if (poll(polls, (nfds_t)n, timeout_ms) < 0) {
		if (errno != EINTR)
			fail("supervise: poll");
		return;
	}
	for (int i = 0; i < 2; i++)
		if (polls[1 + i].revents)
			drain(i, 4);
	clients_after_poll(polls + 4, &container_stdin);
	if (polls[3].revents)
		finish(0);
	if (!polls[0].revents)
		return;
	struct signalfd_siginfo info;
	while (read(signals, &info, sizeof info) > 0)
		;
	reap();
}

static _Noreturn void run(int signals, int pidfd)
{
	/* A short container may have ended while the runtime was waited for. */
	reap();
	while (!ended)
		turn(signals, pidfd, -1);
	for (int64_t end = monotonic_ms() + DRAIN_MS; outputs[0] >= 0 || outputs[1] >= 0;) {
		int64_t left = end - monotonic_ms();
		if (left <= 0)
			break;
		turn(signals, -1, (int)left);
	}
	log_end(&container_log);
	clients_end();
	const char *force[] = {"delete", "--force", config.id, NULL};
	wait_runtime(start_runtime(&config, "runtime.log", force, no_stdio), DELETE_TIMEOUT_MS);
	clients_flush(FLUSH_MS);
	unlink("sock");
	_exit(0);
}

static void adopt(void)
{
	struct bytes text = {0};
	if (read_file(AT_FDCWD, "started.json", &text, 4096) < 0)
		fail("adopt: started.json");
	int pid;
	long long started;
	if (sscanf(text.data, "{\"pid\":%d,\"startTicks\":%llu,\"bootId\":\"%*[^\"]\",\"startedAtMs\":%lld", &pid, &init_ticks, &started) != 3)
		refuse(EINVAL, "adopt: started.json is not understood");
	init_pid = pid;
	started_ms = started;
	adopted = true;
	if (!config.tty) {
		outputs[0] = open_fifo("stdout", NULL);
		outputs[1] = open_fifo("stderr", NULL);
	}
	bytes_free(&text);
	write_started();
}

/* The last to be killed when memory is short: it is small, and the container's exit status would be lost. */
static void lower_oom_score(void)
{
	struct bytes text = {0};
	if (read_file(AT_FDCWD, "/proc/self/oom_score_adj", &text, 16) == 0 && text.size < sizeof inherited_oom_score &&
	    write_text("/proc/self/oom_score_adj", "-999") == 0)
		memcpy(inherited_oom_score, text.data, text.size);
	bytes_free(&text);
}

/* For a container without a supervisor: nothing of it is left when this returns but its folder. */
static void clean_up(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	kill_cgroup(config.procs_file, SIGKILL);
	const char *force[] = {"delete", "--force", config.id, NULL};
	wait_runtime(start_runtime(&config, "runtime.log", force, no_stdio), DELETE_TIMEOUT_MS);
	unlink("sock");
}

/* hold: the agent's socket and token, or NULL. */
static _Noreturn void supervisor(int lock, int report, bool takes_over, char **hold)
{
	setsid();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	prctl(PR_SET_NAME, "berth-supervise");
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	int none = open("/dev/null", O_RDWR | O_CLOEXEC);
	/* Until the start is known fd 1 and 2 speak to the first process. */
	if (none < 0 || dup2(none, 0) < 0 || dup2(report, 1) < 0 || dup2(report, 2) < 0 || dup2(lock, LOCK) < 0)
		_exit(EIO);
	fcntl(LOCK, F_SETFD, FD_CLOEXEC);
	close_from(LOCK + 1);
	lower_oom_score();
	int signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	clients_on_kill = on_kill;
	clients_listen("sock");
	container_stdin = (struct input){.fd = -1, .tty = config.tty, .once = config.stdin_once, .waits = true};
	int pidfd = -1;
	if (takes_over) {
		adopt();
		pidfd = (int)syscall(SYS_pidfd_open, init_pid, 0);
		struct process_stat s;
		/* The socket stays: without it the container counts as deleted. */
		if (pidfd < 0 || !read_process(init_pid, &s) || s.start_ticks != init_ticks || s.state == 'Z')
			refuse(ESRCH, "adopt: the container is gone");
	} else {
		if (hold)
			hold_start(hold[0], hold[1], 1, &container_stdin);
		start_container();
	}
	log_open(&container_log, config.log, config.log_bytes_max, config.log_files_max);
	write_full(1, clients_status.data, clients_status.size);
	none = open("/dev/null", O_RDWR | O_CLOEXEC);
	dup2(none, 1);
	dup2(none, 2);
	close(none);
	clients_resume(&container_stdin);
	run(signals, pidfd);
}

int supervise_main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";
	bool adopts = !strcmp(how, "adopt"), cleans = !strcmp(how, "clean"), waits = !strcmp(how, "wait"), holds = !strcmp(how, "hold");
	if (argc != (holds ? 4 : argc > 1 ? 2 : 1) || (argc == 2 && !adopts && !cleans && !waits))
		refuse(EINVAL, "usage: berth-helper supervise FOLDER [adopt | clean | wait | hold SOCKET TOKEN]");
	if (chdir(argv[0]) < 0)
		fail("supervise: %s", argv[0]);
	umask(077);
	read_config("config", &config);
	int lock = cleans || waits ? insist_on_lock(cleans ? config.procs_file : NULL) : take_lock(0);
	if (lock < 0)
		fail("supervise: another one is at work in %s", argv[0]);
	if (waits)
		return 0;
	if (cleans) {
		clean_up();
		return 0;
	}
	if (!config.log)
		refuse(EINVAL, "config: log is needed");
	int pipes[2];
	if (pipe2(pipes, O_CLOEXEC) < 0)
		fail("supervise: pipe");
	pid_t pid = fork();
	if (pid < 0)
		fail("supervise: fork");
	if (pid == 0)
		supervisor(lock, pipes[1], adopts, holds ? argv + 2 : NULL);
	close(lock);
	close(pipes[1]);
	char text[16384];
	ssize_t n = read_full(pipes[0], text, sizeof text);
	/* Success ends the pipe while the supervisor lives; failure ends it by the supervisor's own end. */
	int status = 0;
	if (n > 0 && !strncmp(text, "{\"pid\"", 6)) {
		write_full(1, text, (size_t)n);
		return 0;
	}
	if (n > 0)
		write_full(2, text, (size_t)n);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : EIO;
}
