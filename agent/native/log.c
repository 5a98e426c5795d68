/*
 * The container's log in CRI format: `RFC3339Nano stdout|stderr P|F text`, one record a line. A line above 16 KiB is written
 * as P records and a final F. Rotation renames PATH to PATH.1, PATH.1 to PATH.2 …, between lines only, so no line is
 * split over files (a line that never ends is cut at twice the size limit). A record is written whole or not at all: what
 * a full disk cut short is taken back. (kubernetes/design-proposals node/kubelet-cri-logging.md)
 */
#include "supervise.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void reopen(struct log *l)
{
	l->fd = open(l->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	/* For log collectors, whatever the umask. */
	if (l->fd >= 0)
		fchmod(l->fd, 0640);
	struct stat s;
	l->size = l->fd >= 0 && fstat(l->fd, &s) == 0 ? s.st_size : 0;
}

void log_open(struct log *l, const char *path, long long bytes_max, int files_max)
{
	l->path = path;
	l->bytes_max = bytes_max;
	l->files_max = files_max < 1 ? 1 : files_max;
	l->fd = -1;
	if (*path)
		reopen(l);
	if (l->fd < 0)
		return;
	/* A supervisor that was killed may have left half a record; it is shorter than this. */
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	long long from = l->size > (long long)sizeof l->buffer ? l->size - (long long)sizeof l->buffer : 0;
	ssize_t n = fd < 0 ? -1 : pread(fd, l->buffer, sizeof l->buffer, from);
	if (n > 0 && l->buffer[n - 1] != '\n') {
		char *newline = memrchr(l->buffer, '\n', (size_t)n);
		long long keep = newline ? from + (newline + 1 - l->buffer) : from;
		if (ftruncate(l->fd, keep) == 0)
			l->size = keep;
	}
	if (fd >= 0)
		close(fd);
}

static void flush(struct log *l)
{
	if (!l->pending)
		return;
	if (l->fd < 0)
		reopen(l);
	if (l->fd >= 0) {
		if (write_full(l->fd, l->buffer, l->pending) == 0)
			l->size += (long long)l->pending;
		else if (ftruncate(l->fd, l->size) < 0)
			reopen(l);
	}
	l->pending = 0;
}

static void rotate(struct log *l)
{
	char from[4200], to[4200];
	flush(l);
	for (int i = l->files_max - 1; i >= 1; i--) {
		if (i == 1)
			snprintf(from, sizeof from, "%s", l->path);
		else
			snprintf(from, sizeof from, "%s.%d", l->path, i - 1);
		snprintf(to, sizeof to, "%s.%d", l->path, i);
		rename(from, to);
	}
	if (l->files_max == 1)
		unlink(l->path);
	if (l->fd >= 0)
		close(l->fd);
	reopen(l);
}

/* One record; parts a and b follow each other. */
static void record(struct log *l, int stream, char tag, const char *a, size_t a_size, const char *b, size_t b_size)
{
	struct timespec now;
	struct tm t;
	char head[64];
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &t);
	int n = snprintf(head, sizeof head, "%04d-%02d-%02dT%02d:%02d:%02d.%09ldZ %s %c ", t.tm_year + 1900, t.tm_mon + 1,
			 t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec, now.tv_nsec, stream ? "stderr" : "stdout", tag);
	size_t size = (size_t)n + a_size + b_size + 1;
	if (l->pending + size > sizeof l->buffer)
		flush(l);
	long long after = l->size + (long long)(l->pending + size);
	bool in_line = l->lines[0].open || l->lines[1].open;
	if (l->bytes_max && after > l->bytes_max && l->size + (long long)l->pending > 0 && (!in_line || after > 2 * l->bytes_max))
		rotate(l);
	char *p = l->buffer + l->pending;
	memcpy(p, head, (size_t)n);
	memcpy(p + n, a, a_size);
	memcpy(p + n + a_size, b, b_size);
	p[size - 1] = '\n';
	l->pending += size;
	l->lines[stream].open = tag == 'P';
}

void log_write(struct log *l, int stream, const char *data, size_t size)
{
	struct line *line = &l->lines[stream];
	if (!*l->path)
		return;
	while (size) {
		size_t room = sizeof line->data - line->size;
		const char *newline = memchr(data, '\n', size < room + 1 ? size : room + 1);
		if (newline) {
			record(l, stream, 'F', line->data, line->size, data, (size_t)(newline - data));
			line->size = 0;
			size -= (size_t)(newline + 1 - data);
			data = newline + 1;
		} else if (size > room) {
			record(l, stream, 'P', line->data, line->size, data, room);
			line->size = 0;
			data += room;
			size -= room;
		} else {
			memcpy(line->data + line->size, data, size);
			line->size += size;
			size = 0;
		}
	}
	flush(l);
}

void log_end(struct log *l)
{
	for (int stream = 0; stream < 2; stream++) {
		struct line *line = &l->lines[stream];
		if (line->size || line->open)
			record(l, stream, 'F', line->data, line->size, "", 0);
		line->size = 0;
	}
	flush(l);
}
