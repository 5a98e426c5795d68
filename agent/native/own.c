/*
 * Gives a tree to a group, as fsGroup of a pod asks: group of all, read and write for it, and on folders the setgid bit, so that
 * what comes later is the group's too. A container may be changing the tree meanwhile, so nothing is done by a path: each entry
 * is opened (O_PATH), looked at and changed by its descriptor; no link is followed, no mount entered.
 * Source: kubernetes pkg/volume/volume_linux.go (SetVolumeOwnership).
 */
#include "helper.h"
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEPTH_MAX = 400, FILE_MODE = 0660, FOLDER_MODE = 02770 };

static gid_t group;

static void own_below(int parent, const char *name, int depth);

/* The mode again: chown takes setuid and setgid away. */
static void own(int fd, const struct stat *s, const char *name)
{
	char path[64];
	if (s->st_gid != group && fchownat(fd, "", (uid_t)-1, group, AT_EMPTY_PATH) < 0)
		fail("own: group of %s", name);
	if (S_ISLNK(s->st_mode))
		return;
	mode_t mode = (s->st_mode & 07777) | (S_ISDIR(s->st_mode) ? FOLDER_MODE : FILE_MODE);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (chmod(path, mode) < 0)
		fail("own: mode of %s", name);
}

static void own_entries(int fd, const char *name, int depth)
{
	int folder = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		fail("own: read %s", name);
	DIR *d = fdopendir(folder);
	if (!d)
		fail("own: read %s", name);
	for (struct dirent *e; (e = readdir(d));)
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			own_below(folder, e->d_name, depth + 1);
	closedir(d);
}

static void own_below(int parent, const char *name, int depth)
{
	struct stat s;
	if (depth > DEPTH_MAX)
		refuse(ELOOP, "own: %s is more than %d folders deep", name, DEPTH_MAX);
	uint64_t inside = depth ? RESOLVE_SAME_MOUNT | RESOLVE_NO_LINKS : RESOLVE_NO_LINKS;
	int fd = open_resolved(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0, inside);
	/* Removed meanwhile, or a mount: neither is ours. */
	if (fd < 0 && depth && (errno == ENOENT || errno == EXDEV))
		return;
	if (fd < 0 || fstat(fd, &s) < 0)
		fail("own: %s", name);
	if (!depth && !S_ISDIR(s.st_mode))
		refuse(ENOTDIR, "own: %s is not a folder", name);
	own(fd, &s, name);
	if (S_ISDIR(s.st_mode))
		own_entries(fd, name, depth);
	close(fd);
}

/* Fields: absolute path of a folder without links, group id. */
void verb_own(const struct fields *f)
{
	long long id = field_number(f, 1);
	if (field_text(f, 0)[0] != '/' || id < 0 || id >= UINT32_MAX)
		refuse(EINVAL, "own: not an absolute path, or not a group id");
	group = (gid_t)id;
	own_below(AT_FDCWD, field_text(f, 0), 0);
}
