/*
 * container-files: cp and export of a container's root, which its processes may be changing at this moment, and which may be built
 * to lead out of it.
 *
 * The job goes into a mount namespace of its own, puts the container's volumes where they belong (so that a stopped container
 * shows them too; their places are opened below the root by openat2 and mounted onto by descriptor), forbids devices everywhere,
 * and makes that its root: from then on no name means anything outside of it, whatever is swapped for a link meanwhile. Nothing
 * of the namespace outlives the job. Source: moby daemon/containerfs_linux.go (what is seen).
 */
#include "helper.h"
#include "layer-source.h"
#include "pack.h"
#include "unpack.h"
#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { MOUNT_FIELDS = 3, LIST_PIECE = 64 << 10 };
#define INSIDE (RESOLVE_AS_ROOT | RESOLVE_PLAIN_LINKS)

/* The place of a mount, made where it is missing. */
static int open_place(int root, const char *target, bool is_folder)
{
	int flags = O_PATH | O_CLOEXEC | (is_folder ? O_DIRECTORY : 0);
	int fd = open_resolved(root, target, flags, 0, INSIDE);
	if (fd >= 0 || errno != ENOENT)
		return fd;
	static struct unpacker u;
	char path[PATH_MAX];
	const char *name;
	u.root = root;
	u.parent = -1;
	clean(path, target);
	int folder = parent_of(&u, path, &name);
	if (is_folder) {
		if (mkdirat(folder, name, 0755) < 0 && errno != EEXIST)
			return -1;
	} else {
		int file = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
		if (file < 0 && errno != EEXIST)
			return -1;
		if (file >= 0)
			close(file);
	}
	return open_resolved(root, target, flags, 0, INSIDE);
}

/* Fields from `at`: source, target, "ro" or "rw", for each mount, in the order in which they lie on each other. */
static void mount_all(int root, const struct fields *f, size_t at)
{
	for (; at + MOUNT_FIELDS <= f->count; at += MOUNT_FIELDS) {
		const char *source = field_text(f, at), *target = field_text(f, at + 1);
		struct stat s;
		int tree = cloned_tree(source, true);
		/* A source that is gone shows what is below it, as an empty mount would show nothing. */
		if (tree < 0 && errno == ENOENT)
			continue;
		if (tree < 0 || fstat(tree, &s) < 0)
			fail("files: mount %s", source);
		if (!forbid_devices(tree, true))
			fail("files: devices of %s", source);
		if (!strcmp(field_text(f, at + 2), "ro") && !protect_tree(tree, true))
			fail("files: protect %s", source);
		int place = open_place(root, target, S_ISDIR(s.st_mode));
		if (place < 0)
			fail("files: place of %s", target);
		if (attach_tree_at(tree, place) < 0)
			fail("files: mount at %s", target);
		close(place);
		close(tree);
	}
}

/* Fields from `at`: root, "ro" or "rw", mounts. The root's descriptor, which is also this process's root. */
static int enter_root(const struct fields *f, size_t at)
{
	const char *path = field_text(f, at);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		fail("files: a mount namespace");
	int tree = cloned_tree(path, true);
	if (tree < 0 || !forbid_devices(tree, true) || attach_tree(tree, path) < 0)
		fail("files: %s", path);
	int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		fail("files: %s", path);
	mount_all(root, f, at + 2);
	if (!strcmp(field_text(f, at + 1), "ro") && !protect_tree(tree, false))
		fail("files: protect %s", path);
	close(tree);
	if (fchdir(root) < 0 || chroot(".") < 0)
		fail("files: enter %s", path);
	return root;
}

/* The last name of a clean path; "." behind a slash or for what ends in "/.", "/" for the root, as Go's filepath.Base. */
static void base_of(const char *path, char out[PATH_MAX])
{
	size_t end = strlen(path);
	while (end > 1 && path[end - 1] == '/')
		end--;
	size_t begin = end;
	while (begin > 0 && path[begin - 1] != '/')
		begin--;
	snprintf(out, PATH_MAX, "%.*s", (int)(end - begin), path + begin);
	if (!*out)
		strcpy(out, "/");
}

static bool names_a_folder(const char *path)
{
	size_t n = strlen(path);
	return n == 0 || path[n - 1] == '/' || (n >= 2 && !strcmp(path + n - 2, "/.")) || !strcmp(path, ".");
}

/* Where a link leads in the root, as far as there is something. */
static void target_of(const char *path, char out[PATH_MAX])
{
	char text[PATH_MAX], joined[2 * PATH_MAX];
	if (realpath(path, out))
		return;
	ssize_t n = readlink(path, text, sizeof text - 1);
	if (n < 0)
		fail("files: %s", path);
	text[n] = 0;
	const char *slash = strrchr(path, '/');
	snprintf(joined, sizeof joined, "%.*s/%s", *text == '/' ? 0 : slash ? (int)(slash - path) : 0, path, text);
	clean(out, joined);
	memmove(out + 1, out, strlen(out) + 1);
	*out = '/';
}

/* "MODE SIZE MTIME NS LINK": what the path names. */
static void describe(const struct stat *s, const char *path, struct bytes *out)
{
	char link[PATH_MAX] = "";
	if (S_ISLNK(s->st_mode))
		target_of(path, link);
	bytes_print(out, "%u %lld %lld %ld %s", (unsigned)s->st_mode, (long long)s->st_size, (long long)s->st_mtim.tv_sec, (long)s->st_mtim.tv_nsec, link);
}

static int open_named(int root, const char *path)
{
	int flags = O_PATH | O_CLOEXEC | (names_a_folder(path) ? O_DIRECTORY : O_NOFOLLOW);
	int fd = open_resolved(root, *path ? path : "/", flags, 0, INSIDE);
	if (fd < 0 && errno == EXDEV)
		errno = ENOENT;
	if (fd < 0)
		fail("%s", path);
	return fd;
}

static void send_tree(int root, int fd, const struct stat *s, const char *path, int out)
{
	static struct packer p = {.live = true, .tar.latest = -1};
	static char prefix[PATH_MAX + 2];
	char base[PATH_MAX];
	base_of(path, base);
	p.tar.out = out;
	p.tar.prefix = "";
	pack_allow_descriptors();
	if (S_ISDIR(s->st_mode)) {
		snprintf(prefix, sizeof prefix, "%s%s", base, strcmp(base, "/") ? "/" : "");
		p.tar.prefix = prefix;
		int folder = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (folder < 0)
			fail("%s", path);
		pack_top(&p, folder);
	} else {
		const char *slash = strrchr(path, '/');
		char above[PATH_MAX];
		snprintf(above, sizeof above, "%.*s", slash ? (int)(slash - path) : 0, path);
		int folder = open_resolved(root, *above ? above : "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0, INSIDE);
		if (folder < 0)
			fail("%s", path);
		pack_entry(&p, folder, base, 0);
	}
	tar_end(&p.tar);
}

static void export_root(int root, int out)
{
	static struct packer p = {.live = true, .tar.latest = -1, .tar.prefix = ""};
	p.tar.out = out;
	pack_allow_descriptors();
	int folder = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		fail("export");
	pack_contents(&p, folder, 0);
	tar_end(&p.tar);
}

/* Records "TYPE PATH NUL": w removed below, o a folder that hides what is below it, d folder, e empty file, f another. */
static void list_upper(int folder, struct bytes *path, int out, struct bytes *told)
{
	char value[8];
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		fail("changes: %s", path->data);
	for (struct dirent *e; (errno = 0, e = readdir(d));) {
		struct stat s;
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (fstatat(fd, e->d_name, &s, AT_SYMLINK_NOFOLLOW) < 0) {
			if (errno == ENOENT)
				continue;
			fail("changes: %s/%s", path->data, e->d_name);
		}
		size_t before = path->size;
		bytes_print(path, "/%s", e->d_name);
		if (path->size >= PATH_MAX)
			refuse(ENAMETOOLONG, "changes: a path of the container is longer than %d bytes", PATH_MAX);
		int below = S_ISDIR(s.st_mode) ? openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
		bool opaque = below >= 0 && fgetxattr(below, "trusted.overlay.opaque", value, sizeof value) > 0 && *value == 'y';
		bool removed = S_ISCHR(s.st_mode) && s.st_rdev == makedev(0, 0);
		bool empty = S_ISREG(s.st_mode) && s.st_size == 0;
		bytes_append(told, removed ? "w" : opaque ? "o" : below >= 0 ? "d" : empty ? "e" : "f", 1);
		bytes_append(told, path->data, path->size + 1);
		if (told->size > LIST_PIECE) {
			if (write_full(out, told->data, told->size) < 0)
				fail("changes: write");
			told->size = 0;
		}
		if (below >= 0) {
			list_upper(below, path, out, told);
			close(below);
		}
		path->size = before;
		path->data[before] = 0;
	}
	if (errno)
		fail("changes: %s", path->data);
	closedir(d);
}

/* Of the files of one folder: "NAME NUL KEY NUL VALUE IN HEX NUL" for each attribute that an image holds. */
static void tell_xattrs(int folder)
{
	static char keys[64 << 10], value[64 << 10];
	struct bytes told = {0};
	struct stat s;
	DIR *d = fchdir(folder) < 0 ? NULL : opendir(".");
	if (!d)
		fail("xattrs");
	for (struct dirent *e; (errno = 0, e = readdir(d));) {
		if (fstatat(folder, e->d_name, &s, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(s.st_mode))
			continue;
		ssize_t size = llistxattr(e->d_name, keys, sizeof keys);
		for (char *key = keys; size > 0 && key < keys + size; key += strlen(key) + 1) {
			if (strcmp(key, "security.capability") && (strncmp(key, "user.", 5) || !strncmp(key, "user.overlay.", 13)))
				continue;
			ssize_t n = lgetxattr(e->d_name, key, value, sizeof value);
			if (n < 0)
				fail("xattrs: %s of %s", key, e->d_name);
			bytes_append(&told, e->d_name, strlen(e->d_name) + 1);
			bytes_append(&told, key, strlen(key) + 1);
			for (ssize_t i = 0; i < n; i++)
				bytes_print(&told, "%02x", (unsigned char)value[i]);
			bytes_append(&told, "", 1);
		}
	}
	if (errno || (told.size && write_full(1, told.data, told.size) < 0))
		fail("xattrs");
	closedir(d);
}

static int open_stream(const char *socket, const char *token)
{
	int fd = connect_unix(socket);
	if (fd < 0 || write_full(fd, token, strlen(token)) < 0)
		fail("files: connect");
	return fd;
}

/*
 * Fields: "stat", "tar", "export", "list" or "xattrs", path, the agent's socket, token, root, "ro" or "rw", mounts. Answer of stat: its words on
 * stdout. Of tar, by the socket: u32 size, these words, the archive. Of export the archive alone.
 * Of list the path is an overlay's upper folder on the host. Of xattrs it is a folder of a root that nobody uses; by stdout.
 */
void verb_read_tree(const struct fields *f)
{
	const char *what = field_text(f, 0), *path = field_text(f, 1);
	struct bytes told = {0};
	char size[4];
	struct stat s;
	if (!strcmp(what, "xattrs")) {
		int top = open(field_text(f, 4), O_PATH | O_DIRECTORY | O_CLOEXEC);
		int folder = top < 0 ? -1 : open_resolved(top, *path ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, INSIDE);
		if (folder < 0)
			fail("xattrs: %s", path);
		tell_xattrs(folder);
		return;
	}
	int out = strcmp(what, "stat") ? open_stream(field_text(f, 2), field_text(f, 3)) : 1;
	if (!strcmp(what, "list")) {
		struct bytes at = {0};
		bytes_print(&at, "%s", "");
		pack_allow_descriptors();
		int folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (folder < 0)
			fail("%s", path);
		list_upper(folder, &at, out, &told);
		if (write_full(out, told.data, told.size) < 0)
			fail("changes: write");
		return;
	}
	int root = enter_root(f, 4);
	if (!strcmp(what, "export")) {
		export_root(root, out);
		return;
	}
	int fd = open_named(root, path);
	if (fstat(fd, &s) < 0)
		fail("%s", path);
	describe(&s, path, &told);
	put_u32(size, (uint32_t)told.size);
	if ((out != 1 && write_full(out, size, 4) < 0) || write_full(out, told.data, told.size) < 0)
		fail("files: write");
	if (out != 1)
		send_tree(root, fd, &s, path, out);
}

/* Where the path leads in the root, all links followed: a clean path. */
static void open_destination(int root, const char *path, char out[PATH_MAX])
{
	struct stat s;
	struct statvfs v;
	char real[PATH_MAX];
	int fd = open_resolved(root, *path ? path : "/", O_PATH | O_CLOEXEC, 0, INSIDE);
	if (fd < 0 || fstat(fd, &s) < 0 || fstatvfs(fd, &v) < 0)
		fail("%s", path);
	if (!S_ISDIR(s.st_mode))
		refuse(ENOTDIR, "extraction point is not a directory");
	if (!realpath(*path ? path : "/", real))
		fail("%s", path);
	clean(out, real);
	if (v.f_flag & ST_RDONLY) {
		int same = open_resolved(root, *out ? out : ".", O_PATH | O_CLOEXEC, 0, INSIDE | RESOLVE_SAME_MOUNT);
		refuse(EROFS, same >= 0 ? "container rootfs is marked read-only" : "mounted volume is marked read-only");
	}
	close(fd);
}

/*
 * Fields: path, the agent's socket, token, 1 to keep the kinds of what is there, uid and gid of all or -1, root, "ro" or "rw", mounts.
 * One byte goes to the agent when the destination is there and may be written; then the archive comes. Answer: "ENTRIES BYTES\n".
 */
void verb_write_tree(const struct fields *f)
{
	static struct unpacker u = {.plain = true, .entries_max = INT64_MAX};
	u.keeps_kinds = field_number(f, 3) != 0;
	u.uid = field_number(f, 4);
	u.gid = field_number(f, 5);
	int in = open_stream(field_text(f, 1), field_text(f, 2));
	u.root = enter_root(f, 6);
	open_destination(u.root, field_text(f, 0), u.below);
	if (write_full(in, "S", 1) < 0)
		fail("files: connect");
	unpack_source(&u, source_of_stream(in, INT64_MAX));
	dprintf(1, "%lld %lld\n", (long long)u.entries, (long long)u.bytes);
}
