/*
 * Names inside the root of an unpacking (unpack.c). Every folder is opened by openat2 with RESOLVE_IN_ROOT |
 * RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV: an absolute link or ".." leads back inside, as it will in the container.
 */
#include "unpack.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { LINKS_MAX = 40 };

void clean(char out[PATH_MAX], const char *path)
{
	size_t size = 0;
	while (*path) {
		size_t n = strcspn(path, "/");
		if (n > 255)
			refuse(ENAMETOOLONG, "unpack: a name of %zu bytes", n);
		if (n == 2 && path[0] == '.' && path[1] == '.') {
			while (size && out[--size] != '/')
				;
		} else if (n && !(n == 1 && *path == '.')) {
			if (size + n + 2 > PATH_MAX)
				refuse(ENAMETOOLONG, "unpack: a path longer than %d bytes", PATH_MAX);
			if (size)
				out[size++] = '/';
			memcpy(out + size, path, n);
			size += n;
		}
		path += n;
		path += *path == '/';
	}
	out[size] = 0;
}

bool is_whiteout(int folder, const char *name)
{
	struct stat s;
	return fstatat(folder, name, &s, AT_SYMLINK_NOFOLLOW) == 0 && S_ISCHR(s.st_mode) && s.st_rdev == makedev(0, 0);
}

/* From inside the folder: setxattr takes neither O_PATH descriptors nor a folder and a name. */
int set_xattr(int folder, const char *name, const char *key, const void *value, size_t size)
{
	return fchdir(folder) < 0 ? -1 : lsetxattr(*name ? name : ".", key, value, size, 0);
}

void set_opaque(int folder, const char *name)
{
	if (set_xattr(folder, name, "trusted.overlay.opaque", "y", 1) < 0)
		fail("unpack: mark %s opaque", name);
}

void make_folder(int folder, const char *name)
{
	bool hides = is_whiteout(folder, name);
	if (hides && unlinkat(folder, name, 0) < 0)
		fail("unpack: replace whiteout %s", name);
	if (mkdirat(folder, name, 0755) < 0)
		fail("unpack: folder %s", name);
	if (hides)
		set_opaque(folder, name);
}

int open_folder(const struct unpacker *u, const char *path)
{
	return open_resolved(u->root, *path ? path : ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0, RESOLVE_AS_ROOT | RESOLVE_PLAIN_LINKS | u->resolve);
}

/*
 * Opens a folder, making what is missing. A link to what is missing is followed by hand, one step, and tried again from
 * the root: names are only ever joined here, the kernel resolves them.
 */
static int make_path(struct unpacker *u, const char *wanted, int links)
{
	char path[PATH_MAX], next[3 * PATH_MAX], target[PATH_MAX];
	clean(path, wanted);
	int folder = dup(u->root);
	for (size_t at = 0; path[at];) {
		size_t n = strcspn(path + at, "/");
		char after = path[at + n], name[256];
		memcpy(name, path + at, n);
		name[n] = 0;
		path[at + n] = 0;
		int fd = open_folder(u, path);
		if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
			ssize_t size = readlinkat(folder, name, target, sizeof target - 1);
			if (size >= 0) {
				if (links == 0)
					refuse(ELOOP, "unpack: too many links in %s", wanted);
				target[size] = 0;
				path[at] = 0;
				snprintf(next, sizeof next, "%s/%s/%s", *target == '/' ? "" : path, target, after ? path + at + n + 1 : "");
				close(folder);
				return make_path(u, next, links - 1);
			}
			/* A file where a folder must be is an error of the archive, as it is to Docker. */
			if (errno == ENOENT || is_whiteout(folder, name))
				make_folder(folder, name);
			fd = open_folder(u, path);
		}
		if (fd < 0)
			fail("unpack: folder %s", path);
		close(folder);
		folder = fd;
		path[at + n] = after;
		at += n + (after != 0);
	}
	return folder;
}

static void forget_parent(struct unpacker *u)
{
	if (u->parent >= 0)
		close(u->parent);
	u->parent = -1;
}

int parent_of(struct unpacker *u, const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	size_t size = slash ? (size_t)(slash - path) : 0;
	*name = slash ? slash + 1 : path;
	if (u->parent >= 0 && strlen(u->parent_name) == size && !memcmp(u->parent_name, path, size))
		return u->parent;
	forget_parent(u);
	memcpy(u->parent_name, path, size);
	u->parent_name[size] = 0;
	u->parent = open_folder(u, u->parent_name);
	if (u->parent < 0)
		u->parent = make_path(u, u->parent_name, LINKS_MAX);
	return u->parent;
}
