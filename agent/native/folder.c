/* What keeps a container's folder (supervise.c) true: the lock and the exit record. All in the current folder. */
#include "supervise.h"
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { EXIT_RECORD_SIZE = 512, LOCK_TIMEOUT_MS = 15000 };

/* The lock, within a time limit; -1 and errno. */
int take_lock(int timeout_ms)
{
	int fd = open("lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	for (int64_t end = monotonic_ms() + timeout_ms; fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0; usleep(2000))
		if (errno != EWOULDBLOCK || monotonic_ms() >= end) {
			int error = errno;
			close(fd);
			errno = error;
			return -1;
		}
	return fd;
}

int insist_on_lock(const char *procs_file)
{
	for (int64_t end = monotonic_ms() + LOCK_TIMEOUT_MS;;) {
		int fd = take_lock(20);
		if (fd >= 0 || errno != EWOULDBLOCK || monotonic_ms() >= end)
			return fd;
		if (procs_file)
			kill_cgroup(procs_file, SIGKILL);
		else if (connect_unix("sock") >= 0)
			refuse(EALREADY, "supervise: a supervisor answers");
		errno = EWOULDBLOCK;
	}
}

/* The exit record's place on disk, so that a disk that is full by then cannot lose it. JSON ends in blanks as well. */
void reserve_exit(void)
{
	char blanks[EXIT_RECORD_SIZE];
	memset(blanks, ' ', sizeof blanks);
	blanks[sizeof blanks - 1] = '\n';
	replace_file("exit.reserved", blanks, sizeof blanks, false);
}

bool write_exit(const struct bytes *record)
{
	int fd = open("exit.reserved", O_WRONLY | O_CLOEXEC), folder = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && record->size < EXIT_RECORD_SIZE && write_full(fd, record->data, record->size - 1) == 0 && fsync(fd) == 0 &&
		  rename("exit.reserved", "exit.json") == 0 && fsync(folder) == 0;
	if (fd >= 0)
		close(fd);
	if (folder >= 0)
		close(folder);
	return ok;
}

void beside_bundle(char *path, size_t size, const char *name)
{
	char bundle[PATH_MAX];
	ssize_t n = readlink("config.json", bundle, sizeof bundle - 1);
	bundle[n > 0 ? n : 0] = 0;
	char *slash = strrchr(bundle, '/');
	int written = slash ? snprintf(path, size, "%.*s/%s", (int)(slash - bundle), bundle, name) : snprintf(path, size, "%s", name);
	if (written < 0 || (size_t)written >= size)
		refuse(ENAMETOOLONG, "%s", name);
}
