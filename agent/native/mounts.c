/*
 * Mounts by mount(2); what is already mounted as asked is left alone. overlay: its options must fit in one page (4 KiB), so the lower folders are named relative to their
 * longest common folder, into which this (forked) process changes; when they are still too long each is opened and named
 * /proc/self/fd/N. (containerd core/mount/mount_linux.go has the same idea.)
 */
#include "helper.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define OVERLAY_MAGIC 0x794c7630
#define TMPFS_MAGIC 0x01021994
/* Upper folders become layers as they are: nothing in one may point into another. */
#define OVERLAY_FEATURES "index=off,metacopy=off,redirect_dir=off,"
enum { OPTIONS_MAX = 4095, LOWER_MAX = 500 };

static bool is_mounted(const char *target, long type)
{
	struct statfs fs;
	return is_mount_root(target) && statfs(target, &fs) == 0 && (long)fs.f_type == type;
}

/* Length of the common folder of all paths, its final '/' included. */
static size_t common_folder(const struct fields *f, size_t from)
{
	const char *first = field_text(f, from);
	size_t length = strlen(first);
	for (size_t i = from; i < f->count; i++) {
		const char *p = field_text(f, i);
		size_t n = 0;
		while (n < length && p[n] == first[n] && p[n])
			n++;
		length = n;
	}
	while (length && first[length - 1] != '/')
		length--;
	/* A path that is itself the common folder needs a name of its own. */
	for (size_t i = from; i < f->count; i++)
		if (strlen(field_text(f, i)) == length)
			for (length = length ? length - 1 : 0; length && first[length - 1] != '/';)
				length--;
	return length;
}

/* overlayfs reads ':', ',' and '\' in names as its own. */
static void append_escaped(struct bytes *b, const char *path)
{
	for (; *path; path++) {
		if (strchr(":,\\", *path))
			bytes_append(b, "\\", 1);
		bytes_append(b, path, 1);
	}
}

static void overlay_options(struct bytes *b, const struct fields *f, size_t skip, bool by_descriptor)
{
	b->size = 0;
	bytes_print(b, OVERLAY_FEATURES "lowerdir=");
	for (size_t i = 3; i < f->count; i++) {
		if (i > 3)
			bytes_append(b, ":", 1);
		if (by_descriptor) {
			int fd = open(field_text(f, i), O_PATH | O_DIRECTORY);
			if (fd < 0)
				fail("overlay: %s", field_text(f, i));
			bytes_print(b, "%d", fd);
		} else {
			append_escaped(b, field_text(f, i) + skip);
		}
	}
	bytes_print(b, ",upperdir=");
	append_escaped(b, field_text(f, 1));
	bytes_print(b, ",workdir=");
	append_escaped(b, field_text(f, 2));
	bytes_append(b, "", 1);
}

static void check_overlay(const struct fields *f, size_t first)
{
	size_t lowers = f->count < first + 4 ? 0 : f->count - first - 3;
	if (!lowers || lowers > LOWER_MAX)
		refuse(EINVAL, "overlay: %zu lower folders, of 1 to %d", lowers, LOWER_MAX);
	for (size_t i = 0; i < f->count; i++)
		if (field_text(f, i)[0] != '/')
			refuse(EINVAL, "overlay: %s is not absolute", field_text(f, i));
}

/* Fields: target, upper, work, lower… (upper-most first). */
void verb_overlay(const struct fields *f)
{
	check_overlay(f, 0);
	const char *target = field_text(f, 0);
	if (is_mounted(target, OVERLAY_MAGIC))
		return;
	struct bytes options = {0};
	size_t skip = common_folder(f, 3);
	overlay_options(&options, f, skip, false);
	char *folder = strndup(field_text(f, 3), skip);
	if (options.size > OPTIONS_MAX) {
		free(folder);
		overlay_options(&options, f, 0, true);
		folder = strdup("/proc/self/fd");
	}
	if (!folder || options.size > OPTIONS_MAX)
		refuse(E2BIG, "overlay: the options of %zu lower folders exceed a page", f->count - 3);
	if (chdir(folder) < 0)
		fail("overlay: %s", folder);
	if (mount("overlay", target, "overlay", 0, options.data) < 0)
		fail("overlay on %s", target);
}

static void lower_name(char name[24], size_t i)
{
	snprintf(name, 24, "%zu", i);
}

/* Also what an earlier call left that was killed. */
static void remove_lowers(size_t count)
{
	char name[24];
	for (size_t i = 0; i < count; i++) {
		lower_name(name, i);
		while (umount2(name, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
			;
		rmdir(name);
	}
}

/*
 * Fields: user namespace, a folder for this call alone, target, upper, work, lower… (upper-most first). The ids of the lower folders
 * are those inside the namespace; the upper one is written with ids outside it, so its owner is the caller's business. overlayfs keeps
 * mounts of its own, so that the idmapped ones are needed for the call only (idmapped lower folders: Linux 5.19).
 */
void verb_overlay_mapped(const struct fields *f)
{
	enum { FIRST = 2 };
	check_overlay(f, FIRST);
	const char *staging = field_text(f, 1), *target = field_text(f, FIRST);
	if (is_mounted(target, OVERLAY_MAGIC))
		return;
	int userns = open(field_text(f, 0), O_RDONLY | O_CLOEXEC);
	if (userns < 0)
		fail("overlay: %s", field_text(f, 0));
	if ((mkdir(staging, 0700) < 0 && errno != EEXIST) || chdir(staging) < 0)
		fail("overlay: %s", staging);
	size_t count = f->count - FIRST - 3;
	struct bytes options = {0};
	char name[24];
	remove_lowers(count);
	bytes_print(&options, OVERLAY_FEATURES "lowerdir=");
	for (size_t i = 0; i < count; i++) {
		int tree = idmapped_tree(field_text(f, FIRST + 3 + i), false, userns);
		lower_name(name, i);
		if (tree < 0 || mkdir(name, 0700) < 0 || attach_tree(tree, name) < 0) {
			int error = errno;
			remove_lowers(count);
			errno = error;
			fail("overlay: idmapped %s", field_text(f, FIRST + 3 + i));
		}
		close(tree);
		bytes_print(&options, "%s%s", i ? ":" : "", name);
	}
	bytes_print(&options, ",upperdir=");
	append_escaped(&options, field_text(f, FIRST + 1));
	bytes_print(&options, ",workdir=");
	append_escaped(&options, field_text(f, FIRST + 2));
	bytes_append(&options, "", 1);
	int error = 0;
	if (options.size > OPTIONS_MAX)
		error = E2BIG;
	else if (mount("overlay", target, "overlay", 0, options.data) < 0)
		error = errno;
	remove_lowers(count);
	rmdir(staging);
	errno = error;
	if (error)
		fail("overlay on %s", target);
}

/* Fields: source, target, read-only, recursive. */
void verb_bind(const struct fields *f)
{
	const char *source = field_text(f, 0), *target = field_text(f, 1);
	unsigned long recursive = field_number(f, 3) ? MS_REC : 0;
	struct stat s, t;
	if (stat(source, &s) < 0)
		fail("bind: %s", source);
	if (is_mount_root(target) && stat(target, &t) == 0 && s.st_dev == t.st_dev && s.st_ino == t.st_ino)
		return;
	if (mount(source, target, NULL, MS_BIND | recursive, NULL) < 0)
		fail("bind %s on %s", source, target);
	if (field_number(f, 2) && mount(NULL, target, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0) {
		int error = errno;
		umount2(target, MNT_DETACH);
		errno = error;
		fail("read-only bind on %s", target);
	}
}

/* Fields: target, size in bytes or 0, mode or 0. */
void verb_tmpfs(const struct fields *f)
{
	const char *target = field_text(f, 0);
	long long size = field_number(f, 1), mode = field_number(f, 2);
	char options[80];
	if (is_mounted(target, TMPFS_MAGIC))
		return;
	int n = snprintf(options, sizeof options, "mode=%llo", mode ? mode & 07777 : 0777);
	if (size)
		snprintf(options + n, sizeof options - (size_t)n, ",size=%lld", size);
	if (mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
		fail("tmpfs on %s", target);
}

/* Fields: target. What is not mounted, or gone, is fine. */
void verb_unmount(const struct fields *f)
{
	const char *target = field_text(f, 0);
	for (int i = 0; umount2(target, UMOUNT_NOFOLLOW) < 0; i++) {
		if (errno == EINVAL || errno == ENOENT)
			return;
		if (errno != EBUSY)
			fail("unmount %s", target);
		if (i == 4) {
			if (umount2(target, UMOUNT_NOFOLLOW | MNT_DETACH) < 0 && errno != EINVAL)
				fail("lazy unmount %s", target);
			return;
		}
		usleep(20000U << i);
	}
}
