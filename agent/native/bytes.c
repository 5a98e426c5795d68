/* Buffers, whole reads and writes, and how a verb fails. Out of memory ends the process: every verb is crash-safe. */
#include "helper.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void *must_alloc(size_t size)
{
	void *p = calloc(1, size ? size : 1);
	if (!p)
		refuse(ENOMEM, "out of memory");
	return p;
}

static void reserve(struct bytes *b, size_t more)
{
	if (more > SIZE_MAX / 4 || b->size > SIZE_MAX / 4)
		refuse(ENOMEM, "buffer too large");
	if (b->size + more <= b->capacity)
		return;
	size_t capacity = b->capacity ? b->capacity : 256;
	while (capacity < b->size + more)
		capacity *= 2;
	char *data = realloc(b->data, capacity);
	if (!data)
		refuse(ENOMEM, "out of memory");
	b->data = data;
	b->capacity = capacity;
}

void bytes_append(struct bytes *b, const void *data, size_t size)
{
	if (!size)
		return;
	reserve(b, size);
	memcpy(b->data + b->size, data, size);
	b->size += size;
}

void bytes_print(struct bytes *b, const char *format, ...)
{
	va_list a, again;
	va_start(a, format);
	va_copy(again, a);
	int n = vsnprintf(NULL, 0, format, a);
	va_end(a);
	reserve(b, (size_t)n + 1);
	vsnprintf(b->data + b->size, (size_t)n + 1, format, again);
	va_end(again);
	b->size += (size_t)n;
}

void bytes_drop(struct bytes *b, size_t size)
{
	if (!size)
		return;
	memmove(b->data, b->data + size, b->size - size);
	b->size -= size;
}

void bytes_free(struct bytes *b)
{
	free(b->data);
	*b = (struct bytes){0};
}

ssize_t read_full(int fd, void *data, size_t size)
{
	size_t done = 0;
	while (done < size) {
		ssize_t n = read(fd, (char *)data + done, size - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int write_full(int fd, const void *data, size_t size)
{
	size_t done = 0;
	while (done < size) {
		ssize_t n = write(fd, (const char *)data + done, size - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		done += (size_t)n;
	}
	return 0;
}

int read_file(int folder, const char *path, struct bytes *out, size_t limit)
{
	int fd = openat(folder, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	for (;;) {
		reserve(out, 4096);
		ssize_t n = read(fd, out->data + out->size, 4095);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || out->size > limit) {
			int error = n < 0 ? errno : EFBIG;
			close(fd);
			errno = error;
			return -1;
		}
		if (n == 0)
			break;
		out->size += (size_t)n;
	}
	out->data[out->size] = 0;
	close(fd);
	return 0;
}

int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	int result = write_full(fd, text, strlen(text)), error = errno;
	close(fd);
	errno = error;
	return result;
}

int replace_file(const char *path, const void *data, size_t size, bool durable)
{
	char temporary[4200];
	if ((size_t)snprintf(temporary, sizeof temporary, "%s.%d.tmp", path, (int)getpid()) >= sizeof temporary) {
		errno = ENAMETOOLONG;
		return -1;
	}
	int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	int error = 0;
	if (write_full(fd, data, size) < 0 || (durable && fsync(fd) < 0))
		error = errno;
	close(fd);
	if (!error && rename(temporary, path) < 0)
		error = errno;
	if (error) {
		unlink(temporary);
		errno = error;
		return -1;
	}
	if (!durable)
		return 0;
	char *slash = strrchr(temporary, '/');
	if (slash)
		slash[slash == temporary] = 0;
	int folder = open(slash ? temporary : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return -1;
	int result = fsync(folder);
	close(folder);
	return result;
}

void fail(const char *format, ...)
{
	int error = errno;
	va_list a;
	va_start(a, format);
	char text[1024];
	vsnprintf(text, sizeof text, format, a);
	va_end(a);
	dprintf(2, "%s: %s\n", text, strerror(error));
	_exit(error > 0 && error < 126 ? error : EIO);
}

void refuse(int error, const char *format, ...)
{
	va_list a;
	va_start(a, format);
	char text[1024];
	vsnprintf(text, sizeof text, format, a);
	va_end(a);
	dprintf(2, "%s\n", text);
	_exit(error);
}

uint32_t get_u32(const void *p)
{
	const unsigned char *b = p;
	return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

void put_u32(void *p, uint32_t v)
{
	unsigned char *b = p;
	for (int i = 0; i < 4; i++)
		b[i] = (unsigned char)(v >> (8 * i));
}

int64_t monotonic_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t wall_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
