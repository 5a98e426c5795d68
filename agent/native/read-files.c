/*
 * readFiles: many small files of the kernel's (cgroupfs, procfs) in one answer. Each costs Node four turns of its thread pool;
 * a full node has a thousand of them to read every ten seconds.
 * Answer: of each path u32 size and bytes; GONE where there is none. A path that ends with a slash is a folder, of which the
 * number of links is told: two more than it has subfolders.
 */
#include "helper.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 16 << 10 };
#define GONE 0xffffffffu

static bool read_one(const char *path, struct bytes *out)
{
	struct stat s;
	size_t size = strlen(path);
	if (size && path[size - 1] == '/') {
		if (lstat(path, &s) < 0)
			return false;
		bytes_print(out, "%lu", (unsigned long)s.st_nlink);
		return true;
	}
	char data[FILE_MAX];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return false;
	ssize_t n = read_full(fd, data, sizeof data);
	close(fd);
	if (n > 0)
		bytes_append(out, data, (size_t)n);
	return n >= 0;
}

/* Fields: paths… */
void verb_read_files(const struct fields *f)
{
	struct bytes all = {0};
	for (size_t i = 0; i < f->count; i++) {
		struct bytes one = {0};
		char head[4];
		bool found = read_one(field_text(f, i), &one);
		put_u32(head, found ? (uint32_t)one.size : GONE);
		bytes_append(&all, head, 4);
		if (found)
			bytes_append(&all, one.data, one.size);
		bytes_free(&one);
	}
	if (write_full(1, all.data, all.size) < 0)
		fail("readFiles");
}
