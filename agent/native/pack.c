/*
 * pack: a folder as a tar, the reverse of unpack.c: what a build step has written becomes a layer.
 *
 * Equal folders give equal bytes: entries of a folder are sorted by their bytes, owners have numbers and no names, times are
 * whole seconds (and none is later than the given one), pax records stand where ustar has no room and nowhere else.
 * Of an overlay's upper folder, character device 0:0 becomes `.wh.NAME`, trusted.overlay.opaque `.wh..wh..opq`, before what
 * they do not hide (opencontainers/image-spec layer.md). Sockets are left out. Nothing is followed; nobody else writes there.
 */
#include "helper.h"
#include "sha256.h"
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { BLOCK = 512, OUT_SIZE = 256 << 10, LINK_BUCKETS = 1 << 14, XATTRS_MAX = 64 << 10 };
#define OCTAL_7 07777777LL
#define OCTAL_11 077777777777LL

struct link_seen {
	struct link_seen *next;
	dev_t device;
	ino_t inode;
	char path[];
};

struct packer {
	int out;
	bool overlay;
	long long latest; /* mtime in s; -1 = as it is */
	char path[PATH_MAX];
	size_t filled;
	int64_t entries, bytes;
	struct sha256 hash;
	struct link_seen *links[LINK_BUCKETS];
	char buffer[OUT_SIZE];
};

static void flush(struct packer *p)
{
	sha256_add(&p->hash, p->buffer, p->filled);
	if (write_full(p->out, p->buffer, p->filled) < 0)
		fail("pack: write");
	p->bytes += (int64_t)p->filled;
	p->filled = 0;
}

static void put(struct packer *p, const void *data, size_t size)
{
	for (const char *from = data; size > 0;) {
		size_t n = OUT_SIZE - p->filled < size ? OUT_SIZE - p->filled : size;
		memcpy(p->buffer + p->filled, from, n);
		p->filled += n;
		from += n;
		size -= n;
		if (p->filled == OUT_SIZE)
			flush(p);
	}
}

static void put_padding(struct packer *p, int64_t size)
{
	static const char zeros[BLOCK];
	put(p, zeros, (size_t)((BLOCK - size % BLOCK) % BLOCK));
}

static void pax_record(struct bytes *pax, const char *key, const void *value, size_t size)
{
	/* The length counts its own digits. */
	size_t rest = strlen(key) + size + 3, length = rest + 1;
	for (size_t digits = 1; ; digits++) {
		char text[24];
		length = rest + digits;
		if ((size_t)snprintf(text, sizeof text, "%zu", length) == digits)
			break;
	}
	bytes_print(pax, "%zu %s=", length, key);
	bytes_append(pax, value, size);
	bytes_append(pax, "\n", 1);
}

static void pax_number(struct bytes *pax, const char *key, long long value)
{
	char text[24];
	pax_record(pax, key, text, (size_t)snprintf(text, sizeof text, "%lld", value));
}

/* 0 where a pax record holds the number. */
static void octal(char *field, int width, long long value, long long max)
{
	snprintf(field, (size_t)width, "%0*llo", width - 1, value < 0 || value > max ? 0LL : value);
}

static void put_block(struct packer *p, char block[BLOCK])
{
	memcpy(block + 257, "ustar\00000", 8);
	memset(block + 148, ' ', 8);
	unsigned sum = 0;
	for (int i = 0; i < BLOCK; i++)
		sum += (unsigned char)block[i];
	snprintf(block + 148, 8, "%06o", sum);
	block[155] = ' ';
	put(p, block, BLOCK);
}

static void put_pax(struct packer *p, const struct bytes *pax)
{
	char block[BLOCK] = "PaxHeaders.0";
	octal(block + 100, 8, 0644, OCTAL_7);
	octal(block + 108, 8, 0, OCTAL_7);
	octal(block + 116, 8, 0, OCTAL_7);
	octal(block + 124, 12, (long long)pax->size, OCTAL_11);
	octal(block + 136, 12, 0, OCTAL_11);
	block[156] = 'x';
	put_block(p, block);
	put(p, pax->data, pax->size);
	put_padding(p, (int64_t)pax->size);
}

static void put_name(char *field, struct bytes *pax, const char *key, const char *name)
{
	size_t size = strlen(name);
	if (size > 100)
		pax_record(pax, key, name, size);
	memcpy(field, name, size > 100 ? 100 : size);
}

/* `pax` holds the attributes already; it is freed. */
static void put_header(struct packer *p, const char *name, char type, const struct stat *s, const char *link, struct bytes *pax)
{
	char block[BLOCK] = {0};
	long long size = type == '0' ? (long long)s->st_size : 0, mtime = s->st_mtim.tv_sec;
	if (p->latest >= 0 && mtime > p->latest)
		mtime = p->latest;
	put_name(block, pax, "path", name);
	put_name(block + 157, pax, "linkpath", link);
	if (size > OCTAL_11)
		pax_number(pax, "size", size);
	if (s->st_uid > OCTAL_7)
		pax_number(pax, "uid", s->st_uid);
	if (s->st_gid > OCTAL_7)
		pax_number(pax, "gid", s->st_gid);
	if (mtime < 0 || mtime > OCTAL_11)
		pax_number(pax, "mtime", mtime);
	octal(block + 100, 8, s->st_mode & 07777, OCTAL_7);
	octal(block + 108, 8, s->st_uid, OCTAL_7);
	octal(block + 116, 8, s->st_gid, OCTAL_7);
	octal(block + 124, 12, size, OCTAL_11);
	octal(block + 136, 12, mtime, OCTAL_11);
	block[156] = type;
	octal(block + 329, 8, type == '3' || type == '4' ? major(s->st_rdev) : 0, OCTAL_7);
	octal(block + 337, 8, type == '3' || type == '4' ? minor(s->st_rdev) : 0, OCTAL_7);
	if (pax->size)
		put_pax(p, pax);
	put_block(p, block);
	bytes_free(pax);
	p->entries++;
}

/* A whiteout or an opaque mark: an empty file of root. */
static void put_mark(struct packer *p, size_t at, const char *name)
{
	struct stat s = {.st_mode = S_IFREG};
	struct bytes none = {0};
	static char path[PATH_MAX + NAME_MAX + 8];
	snprintf(path, sizeof path, "%.*s%s%s", (int)at, p->path, at ? "/" : "", name);
	put_header(p, path, '0', &s, "", &none);
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What of a file's attributes an image holds, sorted. */
static void pax_xattrs(int fd, const char *path, struct bytes *pax)
{
	static char names[XATTRS_MAX], value[XATTRS_MAX], key[300], *sorted[1024];
	ssize_t size = flistxattr(fd, names, sizeof names);
	if (size < 0 && errno != ENOTSUP)
		fail("pack: attributes of %s", path);
	size_t count = 0;
	for (char *at = names; size > 0 && at < names + size && count < 1024; at += strlen(at) + 1)
		if ((!strncmp(at, "user.", 5) && strncmp(at, "user.overlay.", 13)) || !strcmp(at, "security.capability"))
			sorted[count++] = at;
	qsort(sorted, count, sizeof *sorted, by_bytes);
	for (size_t i = 0; i < count; i++) {
		ssize_t n = fgetxattr(fd, sorted[i], value, sizeof value);
		if (n < 0)
			fail("pack: attribute %s of %s", sorted[i], path);
		snprintf(key, sizeof key, "SCHILY.xattr.%s", sorted[i]);
		pax_record(pax, key, value, (size_t)n);
	}
}

/* The path under which this file was put before, or NULL; then it is remembered. */
static const char *seen_before(struct packer *p, const struct stat *s)
{
	struct link_seen **bucket = &p->links[(s->st_ino ^ s->st_dev) % LINK_BUCKETS];
	for (struct link_seen *l = *bucket; l; l = l->next)
		if (l->device == s->st_dev && l->inode == s->st_ino)
			return l->path;
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
		put_header(p, p->path, '1', s, first, &pax);
		return;
	}
	int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, s) < 0)
		fail("pack: %s", p->path);
	pax_xattrs(fd, p->path, &pax);
	put_header(p, p->path, '0', s, "", &pax);
	for (int64_t left = s->st_size; left > 0;) {
		size_t room = OUT_SIZE - p->filled;
		ssize_t n = read(fd, p->buffer + p->filled, left < (int64_t)room ? (size_t)left : room);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			fail("pack: %s", p->path);
		if (n == 0)
			refuse(EPROTO, "pack: %s has become shorter while it was read", p->path);
		p->filled += (size_t)n;
		left -= n;
		if (p->filled == OUT_SIZE)
			flush(p);
	}
	put_padding(p, s->st_size);
	close(fd);
}

static void pack_link(struct packer *p, int folder, const char *name, const struct stat *s)
{
	struct bytes pax = {0};
	char target[PATH_MAX];
	ssize_t n = readlinkat(folder, name, target, sizeof target - 1);
	if (n < 0)
		fail("pack: %s", p->path);
	target[n] = 0;
	put_header(p, p->path, '2', s, target, &pax);
}

static bool overlay_says(int fd, const char *path, const char *key, char *value, size_t size)
{
	ssize_t n = fgetxattr(fd, key, value, size);
	if (n < 0 && errno != ENODATA && errno != ENOTSUP && errno != ERANGE)
		fail("pack: attribute %s of %s", key, path);
	return n > 0;
}

static void pack_contents(struct packer *p, int fd, size_t at);

static void pack_folder(struct packer *p, int parent, const char *name, const struct stat *s, size_t at)
{
	struct bytes pax = {0};
	static char path[PATH_MAX + 2]; /* Not on the stack: folders are as deep as a path is long. */
	char value[8];
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		fail("pack: %s", p->path);
	pax_xattrs(fd, p->path, &pax);
	snprintf(path, sizeof path, "%s/", p->path);
	put_header(p, path, '5', s, "", &pax);
	if (p->overlay) {
		if (overlay_says(fd, p->path, "trusted.overlay.redirect", value, sizeof value))
			refuse(EPROTO, "pack: %s was moved by the overlay, which must be mounted with redirect_dir=off", p->path);
		if (overlay_says(fd, p->path, "trusted.overlay.opaque", value, sizeof value) && value[0] == 'y')
			put_mark(p, at, ".wh..wh..opq");
	}
	pack_contents(p, fd, at);
	close(fd);
}

static void pack_entry(struct packer *p, int folder, const char *name, size_t at)
{
	struct stat s;
	struct bytes pax = {0};
	size_t size = strlen(name), end = at + (at ? 1 : 0) + size;
	if (end >= PATH_MAX)
		refuse(ENAMETOOLONG, "pack: a path below %.200s is longer than %d bytes", p->path, PATH_MAX);
	if (!strncmp(name, ".wh.", 4))
		refuse(EINVAL, "pack: %.*s/%s: names that begin with .wh. cannot be kept in an image", (int)at, p->path, name);
	if (fstatat(folder, name, &s, AT_SYMLINK_NOFOLLOW) < 0)
		fail("pack: %s in %s", name, p->path);
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
		put_header(p, p->path, S_ISCHR(s.st_mode) ? '3' : S_ISBLK(s.st_mode) ? '4' : '6', &s, "", &pax);
	p->path[at] = 0;
}

static bool is_hidden(int folder, const char *name)
{
	struct stat s;
	return fstatat(folder, name, &s, AT_SYMLINK_NOFOLLOW) == 0 && S_ISCHR(s.st_mode) && s.st_rdev == makedev(0, 0);
}

/* `at`: length of p->path, which is this folder. Marks first. */
static void pack_contents(struct packer *p, int fd, size_t at)
{
	DIR *d = fdopendir(dup(fd));
	char **names = NULL;
	size_t count = 0, capacity = 0;
	if (!d)
		fail("pack: %s", p->path);
	for (struct dirent *e; (errno = 0, e = readdir(d));) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
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

/* One descriptor stays open for each level. */
static void allow_descriptors(void)
{
	struct rlimit l;
	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
}

/*
 * Fields: folder, file to make, 1 for an overlay's upper folder, latest mtime in s or -1. Not synced; after a failure the
 * caller removes the file. Answer: "ENTRIES BYTES DIGEST\n", of the tar.
 */
void verb_pack(const struct fields *f)
{
	static struct packer p;
	static const char end[2 * BLOCK];
	const char *root = field_text(f, 0), *target = field_text(f, 1);
	p.overlay = field_number(f, 2) != 0;
	p.latest = field_number(f, 3);
	allow_descriptors();
	int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		fail("pack: %s", root);
	p.out = open(target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (p.out < 0)
		fail("pack: %s", target);
	sha256_open(&p.hash);
	pack_contents(&p, fd, 0);
	put(&p, end, sizeof end);
	flush(&p);
	char digest[65];
	sha256_hex(&p.hash, digest);
	dprintf(1, "%lld %lld %s\n", (long long)p.entries, (long long)p.bytes, digest);
}
