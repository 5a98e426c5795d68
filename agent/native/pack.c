/*
 * pack: a folder as a tar, the reverse of unpack.c: what a build step has written becomes a layer.
 *
 * Equal folders give equal bytes: entries of a folder are sorted by their bytes, owners have numbers and no names, times are
 * whole seconds (and none is later than the given one), pax records stand where ustar has no room and nowhere else.
 * Of an overlay's upper folder, character device 0:0 becomes `.wh.NAME`, trusted.overlay.opaque `.wh..wh..opq`, before what
 * they do not hide (opencontainers/image-spec layer.md). Sockets are left out. Nothing is followed; nobody else writes there.
 */
#include "pack.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { LINK_BUCKETS = 1 << 14, LINKS_MAX = 1 << 20, NAMES_MAX = 1 << 22, XATTRS_MAX = 64 << 10 };

struct link_seen {
	struct link_seen *next;
	dev_t device;
	ino_t inode;
	char path[];
};

static struct link_seen *links[LINK_BUCKETS];
static size_t link_count;

/* Of a tree that changes meanwhile, whatever is gone or has become something else was never there. */
static bool has_vanished(const struct packer *p)
{
	return p->live && (errno == ENOENT || errno == ELOOP || errno == ENOTDIR || errno == ENXIO || errno == EACCES || errno == ESTALE);
}

/* A whiteout or an opaque mark: an empty file of root. */
static void put_mark(struct packer *p, size_t at, const char *name)
{
	struct stat s = {.st_mode = S_IFREG};
	struct bytes none = {0};
	static char path[PATH_MAX + NAME_MAX + 8];
	snprintf(path, sizeof path, "%.*s%s%s", (int)at, p->path, at ? "/" : "", name);
	tar_put_header(&p->tar, path, '0', &s, "", &none);
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What of a file's attributes an image holds, sorted. */
static void pax_xattrs(int fd, const char *path, bool live, struct bytes *pax)
{
	static char names[XATTRS_MAX], value[XATTRS_MAX], key[300], *sorted[1024];
	ssize_t size = flistxattr(fd, names, sizeof names);
	if (size < 0 && errno != ENOTSUP && !(live && errno == ERANGE))
		fail("pack: attributes of %s", path);
	size_t count = 0;
	for (char *at = names; size > 0 && at < names + size && count < 1024; at += strlen(at) + 1)
		if ((!strncmp(at, "user.", 5) && strncmp(at, "user.overlay.", 13)) || !strcmp(at, "security.capability"))
			sorted[count++] = at;
	qsort(sorted, count, sizeof *sorted, by_bytes);
	for (size_t i = 0; i < count; i++) {
		ssize_t n = fgetxattr(fd, sorted[i], value, sizeof value);
		if (n < 0 && live && (errno == ENODATA || errno == ERANGE))
			continue;
		if (n < 0)
			fail("pack: attribute %s of %s", sorted[i], path);
		snprintf(key, sizeof key, "SCHILY.xattr.%s", sorted[i]);
		pax_record(pax, key, value, (size_t)n);
	}
}

/* The path under which this file was put before, or NULL; then it is remembered. */
static const char *seen_before(struct packer *p, const struct stat *s)
{
	struct link_seen **bucket = &links[(s->st_ino ^ s->st_dev) % LINK_BUCKETS];
	for (struct link_seen *l = *bucket; l; l = l->next)
		if (l->device == s->st_dev && l->inode == s->st_ino)
			return l->path;
	/* Further ones are told as files of their own. */
	if (link_count++ >= LINKS_MAX)
		return NULL;
	struct link_seen *l = must_alloc(sizeof *l + strlen(p->path) + 1);
	l->device = s->st_dev;
	l->inode = s->st_ino;
	strcpy(l->path, p->path);
	l->next = *bucket;
	*bucket = l;
	return NULL;
}

static void pack_file(struct packer *p, int folder, const char *name, struct stat *s)
{
	struct bytes pax = {0};
	const char *first = s->st_nlink > 1 ? seen_before(p, s) : NULL;
	if (first) {
		tar_put_header(&p->tar, p->path, '1', s, first, &pax);
		return;
	}
	int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && has_vanished(p))
		return;
	if (fd < 0 || fstat(fd, s) < 0)
		fail("pack: %s", p->path);
	if (!S_ISREG(s->st_mode)) {
		close(fd);
		if (!p->live)
			refuse(EPROTO, "pack: %s has changed while it was read", p->path);
		return;
	}
	pax_xattrs(fd, p->path, p->live, &pax);
	tar_put_header(&p->tar, p->path, '0', s, "", &pax);
	for (int64_t left = s->st_size; left > 0;) {
		size_t room = TAR_OUT_SIZE - p->tar.filled;
		ssize_t n = read(fd, p->tar.buffer + p->tar.filled, left < (int64_t)room ? (size_t)left : room);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			fail("pack: %s", p->path);
		if (n == 0 && !p->live)
			refuse(EPROTO, "pack: %s has become shorter while it was read", p->path);
		if (n == 0) {
			n = left < (int64_t)room ? (ssize_t)left : (ssize_t)room;
			memset(p->tar.buffer + p->tar.filled, 0, (size_t)n);
		}
		p->tar.filled += (size_t)n;
		left -= n;
		if (p->tar.filled == TAR_OUT_SIZE)
			tar_flush(&p->tar);
	}
	tar_put_padding(&p->tar, s->st_size);
	close(fd);
}

static void pack_link(struct packer *p, int folder, const char *name, const struct stat *s)
{
	struct bytes pax = {0};
	char target[PATH_MAX];
	ssize_t n = readlinkat(folder, name, target, sizeof target - 1);
	if (n < 0 && (has_vanished(p) || (p->live && errno == EINVAL)))
		return;
	if (n < 0)
		fail("pack: %s", p->path);
	target[n] = 0;
	tar_put_header(&p->tar, p->path, '2', s, target, &pax);
}

static bool overlay_says(int fd, const char *path, const char *key, char *value, size_t size)
{
	ssize_t n = fgetxattr(fd, key, value, size);
	if (n < 0 && errno != ENODATA && errno != ENOTSUP && errno != ERANGE)
		fail("pack: attribute %s of %s", key, path);
	return n > 0;
}

static void pack_folder(struct packer *p, int parent, const char *name, const struct stat *s, size_t at)
{
	struct bytes pax = {0};
	static char path[PATH_MAX + 2]; /* Not on the stack: folders are as deep as a path is long. */
	char value[8];
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && has_vanished(p))
		return;
	if (fd < 0)
		fail("pack: %s", p->path);
	pax_xattrs(fd, p->path, p->live, &pax);
	snprintf(path, sizeof path, "%s/", p->path);
	tar_put_header(&p->tar, path, '5', s, "", &pax);
	if (p->overlay) {
		if (overlay_says(fd, p->path, "trusted.overlay.redirect", value, sizeof value))
			refuse(EPROTO, "pack: %s was moved by the overlay, which must be mounted with redirect_dir=off", p->path);
		if (overlay_says(fd, p->path, "trusted.overlay.opaque", value, sizeof value) && value[0] == 'y')
			put_mark(p, at, ".wh..wh..opq");
	}
	pack_contents(p, fd, at);
	close(fd);
}

void pack_entry(struct packer *p, int folder, const char *name, size_t at)
{
	struct stat s;
	struct bytes pax = {0};
	size_t size = strlen(name), end = at + (at ? 1 : 0) + size;
	if (end >= PATH_MAX)
		refuse(ENAMETOOLONG, "pack: a path below %.200s is longer than %d bytes", p->path, PATH_MAX);
	if (!strncmp(name, ".wh.", 4) && (p->overlay || !p->live))
		refuse(EINVAL, "pack: %.*s/%s: names that begin with .wh. cannot be kept in an image", (int)at, p->path, name);
	if (fstatat(folder, name, &s, AT_SYMLINK_NOFOLLOW) < 0) {
		if (has_vanished(p))
			return;
		fail("pack: %s in %s", name, p->path);
	}
	if (at)
		p->path[at] = '/';
	memcpy(p->path + end - size, name, size + 1);
	if (S_ISREG(s.st_mode))
		pack_file(p, folder, name, &s);
	else if (S_ISDIR(s.st_mode))
		pack_folder(p, folder, name, &s, end);
	else if (S_ISLNK(s.st_mode))
		pack_link(p, folder, name, &s);
	else if (!S_ISSOCK(s.st_mode))
		tar_put_header(&p->tar, p->path, S_ISCHR(s.st_mode) ? '3' : S_ISBLK(s.st_mode) ? '4' : '6', &s, "", &pax);
	p->path[at] = 0;
}

static bool is_hidden(int folder, const char *name)
{
	struct stat s;
	return fstatat(folder, name, &s, AT_SYMLINK_NOFOLLOW) == 0 && S_ISCHR(s.st_mode) && s.st_rdev == makedev(0, 0);
}

/* `at`: length of p->path, which is this folder. Marks first. */
void pack_contents(struct packer *p, int fd, size_t at)
{
	DIR *d = fdopendir(dup(fd));
	char **names = NULL;
	size_t count = 0, capacity = 0;
	if (!d)
		fail("pack: %s", p->path);
	for (struct dirent *e; (errno = 0, e = readdir(d));) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (count == NAMES_MAX)
			refuse(E2BIG, "pack: %s holds more than %d names", p->path, NAMES_MAX);
		if (count == capacity && !(names = realloc(names, (capacity = capacity ? capacity * 2 : 64) * sizeof *names)))
			refuse(ENOMEM, "out of memory");
		if (!(names[count++] = strdup(e->d_name)))
			refuse(ENOMEM, "out of memory");
	}
	if (errno)
		fail("pack: %s", p->path);
	closedir(d);
	if (count)
		qsort(names, count, sizeof *names, by_bytes);
	for (size_t i = 0; i < count; i++)
		if (p->overlay && is_hidden(fd, names[i])) {
			char mark[NAME_MAX + 8];
			snprintf(mark, sizeof mark, ".wh.%s", names[i]);
			put_mark(p, at, mark);
			names[i][0] = 0;
		}
	for (size_t i = 0; i < count; i++) {
		if (names[i][0])
			pack_entry(p, fd, names[i], at);
		free(names[i]);
	}
	free(names);
}

void pack_top(struct packer *p, int folder)
{
	struct stat s;
	struct bytes pax = {0};
	if (fstat(folder, &s) < 0)
		fail("pack");
	pax_xattrs(folder, p->tar.prefix, p->live, &pax);
	tar_put_header(&p->tar, "", '5', &s, "", &pax);
	pack_contents(p, folder, 0);
}

void pack_allow_descriptors(void)
{
	struct rlimit l;
	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
}

/*
 * Fields: folder, file to make, 1 for an overlay's upper folder, latest mtime in s or -1, 1 when others may be changing it. Not
 * synced; after a failure the caller removes the file. Answer: "ENTRIES BYTES DIGEST\n", of the tar.
 */
void verb_pack(const struct fields *f)
{
	static struct packer p;
	const char *root = field_text(f, 0), *target = field_text(f, 1);
	p.overlay = field_number(f, 2) != 0;
	p.live = field_number(f, 4) != 0;
	p.tar.latest = field_number(f, 3);
	p.tar.prefix = "";
	p.tar.hashed = true;
	pack_allow_descriptors();
	int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		fail("pack: %s", root);
	p.tar.out = open(target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (p.tar.out < 0)
		fail("pack: %s", target);
	sha256_open(&p.tar.hash);
	pack_contents(&p, fd, 0);
	tar_end(&p.tar);
	char digest[65];
	sha256_hex(&p.tar.hash, digest);
	dprintf(1, "%lld %lld %s\n", (long long)p.tar.entries, (long long)p.tar.bytes, digest);
}
