/* Descriptors, unix sockets and /proc. */
#include "helper.h"
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

void close_from(int lowest)
{
	if (syscall(SYS_close_range, (unsigned)lowest, ~0U, 0U) == 0)
		return;
	/* Kernels before 5.9. */
	DIR *d = opendir("/proc/self/fd");
	if (!d)
		return;
	int own = dirfd(d);
	for (struct dirent *e; (e = readdir(d));) {
		int fd = atoi(e->d_name);
		if (fd >= lowest && fd != own)
			close(fd);
	}
	closedir(d);
}

int set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

/* The address of a path of any length: a long one is named through its folder's descriptor, which is returned or -1. */
static int unix_address(const char *path, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) < sizeof address->sun_path) {
		strcpy(address->sun_path, path);
		return -1;
	}
	const char *slash = strrchr(path, '/');
	char *folder = strndup(path, slash ? (size_t)(slash - path) : 0);
	int fd = folder ? open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	free(folder);
	snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/%s", fd, slash ? slash + 1 : path);
	return fd;
}

int connect_unix(const char *path)
{
	struct sockaddr_un address;
	int folder = unix_address(path, &address);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
		int error = errno;
		close(fd);
		errno = error;
		fd = -1;
	}
	if (folder >= 0)
		close(folder);
	return fd;
}

int listen_unix(const char *name, int backlog)
{
	struct sockaddr_un address;
	unlink(name);
	int folder = unix_address(name, &address);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask = umask(0177);
	int ok = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, backlog) == 0;
	int error = errno;
	umask(mask);
	if (folder >= 0)
		close(folder);
	if (ok)
		return fd;
	if (fd >= 0)
		close(fd);
	errno = error;
	return -1;
}

#ifndef SYS_openat2
#define SYS_openat2 437
#endif

int open_resolved(int folder, const char *path, int flags, mode_t mode, uint64_t resolve)
{
	struct {
		uint64_t flags, mode, resolve;
	} how = {(uint64_t)(unsigned)flags, mode, resolve};
	/* EAGAIN: the kernel saw a rename or mount at the same moment and could not be sure. */
	for (int i = 0;; i++) {
		long fd = syscall(SYS_openat2, folder, path, &how, sizeof how);
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR) || i == 1000)
			return (int)fd;
	}
}

bool is_mount_root(const char *path)
{
	/* struct statx of linux/stat.h, up to what is needed: attributes at 8, their mask at 56; 256 bytes in all. */
	uint64_t x[32] = {0};
	const uint64_t mount_root = 0x2000; /* STATX_ATTR_MOUNT_ROOT, Linux 5.8 */
	if (syscall(SYS_statx, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, 0, x) < 0)
		return false;
	return (x[1] & mount_root) != 0;
}

bool read_process(pid_t pid, struct process_stat *out)
{
	char path[64], text[1024];
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read_full(fd, text, sizeof text - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = 0;
	/* The command may hold blanks and brackets: fields are counted behind the last ')'. */
	char *p = strrchr(text, ')');
	if (!p)
		return false;
	int parent = 0;
	if (sscanf(p + 1, " %c %d %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &out->state, &parent,
		   &out->flags, &out->start_ticks) != 4)
		return false;
	out->parent = parent;
	return true;
}

void reset_signals(void)
{
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int i = 1; i < 32; i++)
		signal(i, SIG_DFL);
}
