/*
 * serve: the agent's hands. Node's own spawn blocks its event loop for 5-19 ms; this process is small, so its forks are
 * cheap, and each request is one forked child, so nothing here can block or change the working folder of the others.
 *
 * Requests on stdin, answers on stdout, both as frames of u32 length (of what follows), all numbers little-endian:
 *   request  u32 id, u8 verb, then fields: u32 size, bytes, NUL
 *   answer   u32 id, u32 code (exit code, 128 + signal, or an errno for the helper's own verbs), u8 flags (1 = output was
 *            cut), u32 size of stdout, stdout, u32 size of stderr, stderr
 * Verb 0 cancels the request of the same id: its process group is killed and its answer comes as usual.
 * When stdin closes (the agent ended or died) running children are killed and this process ends.
 */
#include "helper.h"
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FRAME_MAX = 64 << 20, FIELDS_MAX = 1 << 16, OUTPUT_MAX = 1 << 20, JOBS_MAX = 1024 };

static void (*const verbs[])(const struct fields *) = {
	NULL,	     verb_run,	 verb_overlay, verb_bind,   verb_tmpfs,	  verb_unmount,
	verb_pin,    verb_unpin, verb_remove,  verb_unpack, verb_session, NULL,
	verb_own,
	[20] = verb_pause, [21] = verb_dial, [22] = verb_unpack_blob, [23] = verb_pin_user,
	[24] = verb_overlay_mapped, [25] = verb_read_files, [26] = verb_pack,
	[28] = verb_read_tree, [29] = verb_write_tree,
	[30] = verb_resolve,
	[31] = verb_prober,
};

struct job {
	struct job *next;
	uint32_t id;
	pid_t pid;
	int in, out, err;
	struct bytes frame, out_bytes, err_bytes; /* frame: kept while stdin is fed from it */
	const char *in_data;
	size_t in_size;
	int status;
	bool exited, cut;
};

static struct job *jobs;
static size_t job_count;
static struct bytes answers, requests;

const char *field_text(const struct fields *f, size_t index)
{
	if (index >= f->count)
		refuse(EINVAL, "request has no field %zu", index);
	if (strlen(f->at[index]) != f->sizes[index])
		refuse(EINVAL, "request field %zu holds a NUL", index);
	return f->at[index];
}

long long field_number(const struct fields *f, size_t index)
{
	char *end;
	const char *text = field_text(f, index);
	errno = 0;
	long long v = strtoll(text, &end, 10);
	if (errno || end == text || *end)
		refuse(EINVAL, "request field %zu is not a number", index);
	return v;
}

static bool parse_fields(char *p, size_t size, struct fields *out)
{
	size_t capacity = 0;
	*out = (struct fields){0};
	while (size) {
		if (size < 5)
			return false;
		uint32_t n = get_u32(p);
		if (n > size - 5 || p[4 + n] != 0 || out->count >= FIELDS_MAX)
			return false;
		if (out->count == capacity) {
			capacity = capacity ? capacity * 2 : 32;
			out->at = realloc(out->at, capacity * sizeof *out->at);
			out->sizes = realloc(out->sizes, capacity * sizeof *out->sizes);
			if (!out->at || !out->sizes)
				refuse(ENOMEM, "out of memory");
		}
		out->at[out->count] = p + 4;
		out->sizes[out->count++] = n;
		p += 5 + n;
		size -= 5 + n;
	}
	return true;
}

static void answer(uint32_t id, uint32_t code, bool cut, const struct bytes *out, const struct bytes *err)
{
	char head[21];
	put_u32(head, (uint32_t)(17 + out->size + err->size));
	put_u32(head + 4, id);
	put_u32(head + 8, code);
	head[12] = cut;
	put_u32(head + 13, (uint32_t)out->size);
	bytes_append(&answers, head, 17);
	bytes_append(&answers, out->data, out->size);
	put_u32(head, (uint32_t)err->size);
	bytes_append(&answers, head, 4);
	bytes_append(&answers, err->data, err->size);
}

static void answer_error(uint32_t id, int error, const char *text)
{
	struct bytes none = {0}, err = {0};
	bytes_append(&err, text, strlen(text));
	answer(id, (uint32_t)error, false, &none, &err);
	bytes_free(&err);
}

static _Noreturn void child(pid_t parent, int verb, const struct fields *f, const int pipes[6])
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	setpgid(0, 0);
	reset_signals();
	int in = pipes[0] >= 0 ? pipes[0] : open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (dup2(in, 0) < 0 || dup2(pipes[3], 1) < 0 || dup2(pipes[5], 2) < 0)
		_exit(EIO);
	close_from(3);
	verbs[verb](f);
	_exit(0);
}

/* True for a run request with bytes for stdin; they stay in the frame. */
static bool has_stdin(int verb, const struct fields *f)
{
	return verb == 1 && f->count > 3 && f->sizes[3] > 0;
}

static void start(uint32_t id, int verb, char *data, size_t size)
{
	struct fields f;
	if (verb <= 0 || verb >= (int)(sizeof verbs / sizeof *verbs) || !verbs[verb] || !parse_fields(data, size, &f)) {
		answer_error(id, EINVAL, "bad request frame");
		return;
	}
	int pipes[6] = {-1, -1, -1, -1, -1, -1};
	bool feed = has_stdin(verb, &f);
	pid_t pid = -1, own = getpid();
	if (job_count >= JOBS_MAX)
		errno = EAGAIN;
	else if ((!feed || pipe2(pipes, O_CLOEXEC) == 0) && pipe2(pipes + 2, O_CLOEXEC) == 0 && pipe2(pipes + 4, O_CLOEXEC) == 0) {
		pid = fork();
		if (pid == 0)
			child(own, verb, &f, pipes);
	}
	if (pid < 0) {
		answer_error(id, errno, strerror(errno));
	} else {
		setpgid(pid, pid);
		struct job *j = must_alloc(sizeof *j);
		*j = (struct job){.next = jobs, .id = id, .pid = pid, .in = pipes[1], .out = pipes[2], .err = pipes[4]};
		if (feed) {
			bytes_append(&j->frame, f.at[3], f.sizes[3]);
			j->in_data = j->frame.data;
			j->in_size = j->frame.size;
			set_nonblocking(j->in);
		}
		set_nonblocking(j->out);
		set_nonblocking(j->err);
		jobs = j;
		job_count++;
		pipes[1] = pipes[2] = pipes[4] = -1;
	}
	for (int i = 0; i < 6; i++)
		if (pipes[i] >= 0)
			close(pipes[i]);
	free(f.at);
	free(f.sizes);
}

static void cancel(uint32_t id)
{
	for (struct job *j = jobs; j; j = j->next)
		if (j->id == id && !j->exited)
			kill(-j->pid, SIGKILL);
}

/* Reads what is there; false when the pipe has ended. */
static bool drain(struct job *j, int fd, struct bytes *out)
{
	char data[65536];
	for (;;) {
		ssize_t n = read(fd, data, sizeof data);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		if (n == 0)
			return false;
		size_t room = OUTPUT_MAX - out->size;
		if ((size_t)n > room)
			j->cut = true;
		bytes_append(out, data, (size_t)n < room ? (size_t)n : room);
	}
}

static void drain_and_close(struct job *j, int *fd, struct bytes *out, bool last)
{
	if (*fd >= 0 && (!drain(j, *fd, out) || last)) {
		close(*fd);
		*fd = -1;
	}
}

static void feed(struct job *j)
{
	ssize_t n = write(j->in, j->in_data, j->in_size);
	if (n > 0) {
		j->in_data += n;
		j->in_size -= (size_t)n;
	}
	/* EPIPE: the program does not read; that is its affair. */
	if (j->in_size == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		close(j->in);
		j->in = -1;
		bytes_free(&j->frame);
	}
}

/* A grandchild may hold the pipes: the answer goes out at the exit with what was written until then. */
static void finish(struct job *j)
{
	drain_and_close(j, &j->out, &j->out_bytes, true);
	drain_and_close(j, &j->err, &j->err_bytes, true);
	if (j->in >= 0)
		close(j->in);
	uint32_t code = WIFSIGNALED(j->status) ? 128 + (uint32_t)WTERMSIG(j->status) : (uint32_t)WEXITSTATUS(j->status);
	answer(j->id, code, j->cut, &j->out_bytes, &j->err_bytes);
	bytes_free(&j->out_bytes);
	bytes_free(&j->err_bytes);
	bytes_free(&j->frame);
}

static void reap(int signals)
{
	struct signalfd_siginfo info;
	while (read(signals, &info, sizeof info) > 0)
		;
	int status;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
		for (struct job **at = &jobs; *at; at = &(*at)->next)
			if ((*at)->pid == pid) {
				struct job *j = *at;
				j->status = status;
				j->exited = true;
				*at = j->next;
				job_count--;
				finish(j);
				free(j);
				break;
			}
}

static void take_requests(void)
{
	size_t at = 0;
	while (requests.size - at >= 4) {
		uint32_t size = get_u32(requests.data + at);
		if (size < 5 || size > FRAME_MAX)
			refuse(EPROTO, "serve: bad frame length %u", size);
		if (requests.size - at - 4 < size)
			break;
		char *p = requests.data + at + 4;
		if (p[4] == 0)
			cancel(get_u32(p));
		else
			start(get_u32(p), p[4], p + 5, size - 5);
		at += 4 + size;
	}
	bytes_drop(&requests, at);
	if (requests.size == 0 && requests.capacity > (1 << 20))
		bytes_free(&requests);
}

/* False at the end of stdin. */
static bool read_requests(void)
{
	char data[65536];
	for (;;) {
		ssize_t n = read(0, data, sizeof data);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		if (n == 0)
			return false;
		bytes_append(&requests, data, (size_t)n);
		take_requests();
	}
}

static void write_answers(void)
{
	size_t at = 0;
	while (at < answers.size) {
		ssize_t n = write(1, answers.data + at, answers.size - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			refuse(EPIPE, "serve: the agent is gone");
		at += (size_t)n;
	}
	bytes_drop(&answers, at);
	if (answers.size == 0 && answers.capacity > (1 << 20))
		bytes_free(&answers);
}

static bool turn(int signals)
{
	static struct pollfd *polls;
	static size_t capacity;
	size_t count = 0;
	if (capacity < 3 + job_count * 3) {
		capacity = 64 + job_count * 6;
		free(polls);
		polls = must_alloc(capacity * sizeof *polls);
	}
	polls[count++] = (struct pollfd){.fd = 0, .events = POLLIN};
	polls[count++] = (struct pollfd){.fd = signals, .events = POLLIN};
	polls[count++] = (struct pollfd){.fd = answers.size ? 1 : -1, .events = POLLOUT};
	for (struct job *j = jobs; j; j = j->next) {
		polls[count++] = (struct pollfd){.fd = j->in, .events = POLLOUT};
		polls[count++] = (struct pollfd){.fd = j->out, .events = POLLIN};
		polls[count++] = (struct pollfd){.fd = j->err, .events = POLLIN};
	}
	if (poll(polls, count, -1) < 0 && errno != EINTR)
		fail("serve: poll");
	/* In the order in which they were listed; requests come last because they change the list. */
	size_t i = 3;
	for (struct job *j = jobs; j; j = j->next, i += 3) {
		if (polls[i].revents && j->in >= 0)
			feed(j);
		if (polls[i + 1].revents)
			drain_and_close(j, &j->out, &j->out_bytes, false);
		if (polls[i + 2].revents)
			drain_and_close(j, &j->err, &j->err_bytes, false);
	}
	if (polls[1].revents)
		reap(signals);
	bool more = !polls[0].revents || read_requests();
	write_answers();
	return more;
}

int serve_main(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	/* Ctrl-C at a terminal is for the agent, which ends this process by closing stdin. */
	signal(SIGINT, SIG_IGN);
	int signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (signals < 0 || set_nonblocking(0) < 0 || set_nonblocking(1) < 0)
		fail("serve: set-up");
	while (turn(signals))
		;
	for (struct job *j = jobs; j; j = j->next)
		kill(-j->pid, SIGKILL);
	return 0;
}
