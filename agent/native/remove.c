/*
 * Removes a tree by descriptors: no link is followed and no mount is entered, bind mounts of the same file system included
 * (openat2 with RESOLVE_NO_XDEV): a mount point is refused with EBUSY, because what is mounted there is not ours to remove.
 * Depth costs one descriptor a level, so folders deeper than DEPTH_MAX are first moved up.
 */
#include "helper.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* linux/fs.h (musl brings no kernel headers) */
#define FS_IOC_GETFLAGS _IOR('f', 1, long)
#define FS_IOC_SETFLAGS _IOW('f', 2, long)
#define FS_IMMUTABLE_FL 0x10
#define FS_APPEND_FL 0x20

enum { DEPTH_MAX = 200, ROUNDS_MAX = 6 };

static int top;
static unsigned long moved;

/* chattr +i or +a keeps even root from removing. */
static void make_mutable(int fd)
{
	int flags;
	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && (flags & (FS_IMMUTABLE_FL | FS_APPEND_FL))) {
		flags &= ~(FS_IMMUTABLE_FL | FS_APPEND_FL);
		ioctl(fd, FS_IOC_SETFLAGS, &flags);
	}
}

static void remove_below(int parent, int depth, const char *name);

/* Takes the descriptor. */
static void empty(int fd, int depth, const char *name)
{
	DIR *d = fdopendir(fd);
	if (!d)
		fail("remove: read %s", name);
	/* Entries that were moved up into the top folder while it was read need another pass. */
	for (bool again = true; again;) {
		unsigned long before = moved;
		for (struct dirent *e; (e = readdir(d));)
			if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
				remove_below(fd, depth, e->d_name);
		again = fd == top && moved != before;
		rewinddir(d);
	}
	closedir(d);
}

static void remove_folder(int parent, int depth, const char *name)
{
	if (depth >= DEPTH_MAX) {
		char other[64];
		snprintf(other, sizeof other, ".berth-remove-%d-%lu", (int)getpid(), moved++);
		if (renameat(parent, name, top, other) < 0)
			fail("remove: move %s", name);
		return;
	}
	/* Whoever still writes there (a program that is being killed) may add entries meanwhile: a few rounds. */
	for (int round = 0;; round++) {
		int fd = open_resolved(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0, RESOLVE_SAME_MOUNT);
		if (fd < 0 && errno == ENOENT)
			return;
		if (fd < 0 && errno == EXDEV)
			refuse(EBUSY, "remove: %s is a mount point", name);
		if (fd < 0)
			fail("remove: open %s", name);
		if (depth == 0)
			top = fd;
		empty(fd, depth, name);
		if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
			return;
		if (errno == EPERM)
			make_mutable(parent);
		else if (errno != ENOTEMPTY || round == ROUNDS_MAX)
			fail("remove: folder %s", name);
		else
			usleep(2000U << round);
	}
}

static void remove_below(int parent, int depth, const char *name)
{
	if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
		return;
	if (errno == EISDIR) {
		remove_folder(parent, depth + 1, name);
		return;
	}
	if (errno != EPERM)
		fail("remove: %s", name);
	int fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0) {
		make_mutable(fd);
		close(fd);
	}
	make_mutable(parent);
	if (unlinkat(parent, name, 0) < 0 && errno != ENOENT)
		fail("remove: %s", name);
}

void remove_at(int folder, const char *name)
{
	remove_below(folder, -1, name);
}

/* Fields: absolute path. */
void verb_remove(const struct fields *f)
{
	char *path = strdup(field_text(f, 0));
	size_t length = strlen(path);
	while (length > 1 && path[length - 1] == '/')
		path[--length] = 0;
	char *slash = strrchr(path, '/');
	if (path[0] != '/' || length < 2 || !strcmp(slash, "/..") || !strcmp(slash, "/."))
		refuse(EINVAL, "remove: %s is not an absolute path below /", path);
	*slash = 0;
	int folder = open(slash == path ? "/" : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0 && errno == ENOENT)
		return;
	if (folder < 0)
		fail("remove: %s", path);
	remove_at(folder, slash + 1);
}
