/*
 * unpack: a layer tar into a folder that becomes one lower folder of an overlay mount.
 *
 * The archive is hostile. No name is ever resolved outside the folder: each parent is opened by openat2 with
 * RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV (an absolute link or ".." leads back inside, as it will in the
 * container), and the last component is only created, linked or removed by *at calls that do not follow links.
 *
 * Whiteouts become overlayfs' own form: `.wh.NAME` a character device 0:0, `.wh..wh..opq` the xattr
 * trusted.overlay.opaque. They hide lower layers only, never entries of this layer, whichever comes first.
 * (opencontainers/image-spec layer.md; kernel Documentation/filesystems/overlayfs.rst)
 *
 * Order per entry: data, owner, mode (chown clears set-uid), xattrs (chown clears security.capability), times; the times
 * of folders last. The folder should be empty at the start. Nothing is synced: the caller syncs once for all layers of an
 * image. Answer: "ENTRIES BYTES\n".
 */
#include "unpack.h"
#include "layer-source.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* REMEMBERED_MAX: bytes of names kept until the end, some hundred thousand folders. */
enum { ENTRIES_MAX = 10000000, REMEMBERED_MAX = 64 << 20, WRITE_EARLY = 64 << 10 };
#define BYTES_MAX ((int64_t)1 << 42)

/* Whatever has the name goes away; a folder goes with all below it. */
static void make_room(int folder, const char *name)
{
	if (unlinkat(folder, name, 0) == 0 || errno == ENOENT)
		return;
	remove_at(folder, name);
}

static void set_xattrs(const struct tar_entry *e, int folder, const char *name)
{
	const char *p = e->xattrs.data;
	for (const char *end = p + e->xattrs.size; p < end;) {
		const char *key = p + 4;
		p += 4 + get_u32(p) + 1;
		size_t size = get_u32(p);
		const char *value = p + 4;
		p += 4 + size;
		/* overlayfs' own attributes would let an image redirect to other folders. */
		if (!strncmp(key, "trusted.overlay.", 16) || !strncmp(key, "user.overlay.", 13))
			continue;
		if (set_xattr(folder, name, key, value, size) < 0 && errno != ENOTSUP &&
		    !(errno == EPERM && (e->type != '0' && e->type != '5')))
			fail("unpack: attribute %s of %s", key, name);
	}
}

static void check_owner(const struct tar_entry *e)
{
	if (e->uid < 0 || e->gid < 0 || e->uid >= UINT32_MAX || e->gid >= UINT32_MAX)
		refuse(EPROTO, "unpack: entry %s has an owner out of range", e->name.data);
}

static void set_owner_and_mode(const struct tar_entry *e, int folder, const char *name)
{
	check_owner(e);
	if (fchownat(folder, name, (uid_t)e->uid, (gid_t)e->gid, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0)
		fail("unpack: owner of %s", e->name.data);
	/* fchmodat has no NOFOLLOW before Linux 6.6; nobody else writes here, and the name is not a link. */
	if (e->type != '2' && fchmodat(folder, *name ? name : ".", e->mode, 0) < 0)
		fail("unpack: mode of %s", e->name.data);
	set_xattrs(e, folder, name);
}

static void set_times(int folder, const char *name, int64_t mtime, long mtime_ns)
{
	struct timespec t[2] = {{.tv_sec = mtime, .tv_nsec = mtime_ns}, {.tv_sec = mtime, .tv_nsec = mtime_ns}};
	if (utimensat(folder, *name ? name : ".", t, AT_SYMLINK_NOFOLLOW) < 0 && errno != ENOENT && errno != EINVAL)
		fail("unpack: times of %s", name);
}

static void remember(struct later **list, const char *name, const struct tar_entry *e, const char *target)
{
	static size_t remembered;
	size_t size = sizeof(struct later) + strlen(name) + 1;
	remembered += size + (target ? strlen(target) + 1 : 0);
	if (remembered > REMEMBERED_MAX)
		refuse(EFBIG, "unpack: the archive has too many folders and links");
	struct later *l = must_alloc(size);
	strcpy(l->name, name);
	l->mtime = e->mtime;
	l->mtime_ns = e->mtime_ns;
	l->target = target ? strdup(target) : NULL;
	l->next = *list;
	*list = l;
}

/* Where the entry is in the root. */
static void place(const struct unpacker *u, char path[PATH_MAX], const char *name)
{
	clean(path, name);
	size_t below = strlen(u->below), size = strlen(path);
	if (!below || !size)
		return;
	if (below + size + 2 > PATH_MAX)
		refuse(ENAMETOOLONG, "unpack: %.200s… is longer than %d bytes", name, PATH_MAX);
	memmove(path + below + 1, path, size + 1);
	memcpy(path, u->below, below);
	path[below] = '/';
}

/* Docker's words. */
static void check_kind(const struct unpacker *u, const char *path, int folder, const char *name)
{
	struct stat s;
	if (!u->keeps_kinds || fstatat(folder, name, &s, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (S_ISDIR(s.st_mode) && u->tar.entry.type != '5')
		refuse(EEXIST, "cannot overwrite directory \"/%s\" with non-directory \"/%s\"", path, u->below);
	if (!S_ISDIR(s.st_mode) && u->tar.entry.type == '5')
		refuse(EEXIST, "cannot overwrite non-directory \"/%s\" with directory \"/%s\"", path, u->below);
}

static void unpack_folder(struct unpacker *u, const char *path, int folder, const char *name)
{
	struct stat s;
	if (*name && !(fstatat(folder, name, &s, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(s.st_mode))) {
		if (!is_whiteout(folder, name))
			make_room(folder, name);
		make_folder(folder, name);
	}
	set_owner_and_mode(&u->tar.entry, folder, name);
	remember(&u->folders, path, &u->tar.entry, NULL);
}

/* With its mode from the start where nobody else sees it (a layer on its way); in a container's root only for its owner. */
static int create_file(const struct unpacker *u, int folder, const char *name)
{
	const struct tar_entry *e = &u->tar.entry;
	mode_t mode = u->plain || e->mode & 07000 ? 0600 : e->mode;
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, fd = openat(folder, name, flags, mode);
	if (fd < 0 && errno == EEXIST) {
		make_room(folder, name);
		fd = openat(folder, name, flags, mode);
	}
	if (fd < 0)
		fail("unpack: file %s", e->name.data);
	return fd;
}

/* By the descriptor, and only what is not so yet: each change is a transaction. A change of owner may clear set-uid. */
static void complete_file(const struct tar_entry *e, int fd, int folder, const char *name)
{
	struct stat s;
	check_owner(e);
	if (fstat(fd, &s) < 0)
		fail("unpack: %s", e->name.data);
	bool owned = s.st_uid == (uid_t)e->uid && s.st_gid == (gid_t)e->gid;
	if (!owned && fchown(fd, (uid_t)e->uid, (gid_t)e->gid) < 0)
		fail("unpack: owner of %s", e->name.data);
	if ((!owned || (s.st_mode & 07777) != e->mode) && fchmod(fd, e->mode) < 0)
		fail("unpack: mode of %s", e->name.data);
	set_xattrs(e, folder, name);
	struct timespec t[2] = {{.tv_sec = e->mtime, .tv_nsec = e->mtime_ns}, {.tv_sec = e->mtime, .tv_nsec = e->mtime_ns}};
	if (futimens(fd, t) < 0 && errno != EINVAL)
		fail("unpack: times of %s", name);
}

static void unpack_file(struct unpacker *u, int folder, const char *name)
{
	int64_t size = u->tar.entry.size;
	int fd = create_file(u, folder, name);
	for (int64_t left = size; left > 0;) {
		const char *data;
		size_t n = tar_data(&u->tar, left > 1 << 20 ? 1 << 20 : (size_t)left, &data);
		if (write_full(fd, data, n) < 0)
			fail("unpack: write %s", u->tar.entry.name.data);
		left -= (int64_t)n;
	}
	complete_file(&u->tar.entry, fd, folder, name);
	/* On its way to the disk while the next ones are made, so that the sync at the end has little left to do. */
	if (size >= WRITE_EARLY)
		sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	close(fd);
	tar_pad(&u->tar, size);
}

/* False when the target is not there (yet). The target itself is not followed: a hard link may be to a link. */
static bool make_link(struct unpacker *u, const char *path, const char *target)
{
	char clean_target[PATH_MAX];
	place(u, clean_target, target);
	const char *slash = strrchr(clean_target, '/'), *target_name = slash ? slash + 1 : clean_target, *name;
	if (!*target_name)
		refuse(EPROTO, "unpack: %s is a hard link to the root", path);
	char target_folder[PATH_MAX] = "";
	if (slash)
		memcpy(target_folder, clean_target, (size_t)(slash - clean_target));
	int from = open_folder(u, target_folder);
	struct stat s, t;
	if (from < 0 || fstatat(from, target_name, &s, AT_SYMLINK_NOFOLLOW) < 0) {
		if (from >= 0)
			close(from);
		return false;
	}
	if (S_ISDIR(s.st_mode))
		refuse(EPROTO, "unpack: %s is a hard link to a folder", path);
	int folder = parent_of(u, path, &name);
	/* A link to itself keeps what is there. */
	bool same = fstatat(folder, name, &t, AT_SYMLINK_NOFOLLOW) == 0 && t.st_dev == s.st_dev && t.st_ino == s.st_ino;
	if (!same) {
		make_room(folder, name);
		if (linkat(from, target_name, folder, name, 0) < 0)
			fail("unpack: hard link %s", path);
	}
	close(from);
	return true;
}

static void unpack_special(struct unpacker *u, int folder, const char *name)
{
	struct tar_entry *e = &u->tar.entry;
	int result;
	if (e->type == '2') {
		result = symlinkat(e->link.data, folder, name);
	} else {
		mode_t type = e->type == '3' ? S_IFCHR : e->type == '4' ? S_IFBLK : S_IFIFO;
		if (e->device_major < 0 || e->device_major > 0xfff || e->device_minor < 0 || e->device_minor > 0xfffff)
			refuse(EPROTO, "unpack: entry %s has a bad device number", e->name.data);
		dev_t device = e->type == '6' ? 0 : makedev((unsigned)e->device_major, (unsigned)e->device_minor);
		/* To overlayfs that device is a whiteout: an image may not write one by this door. */
		if (e->type == '3' && device == makedev(0, 0))
			refuse(EPROTO, "unpack: entry %s is character device 0:0", e->name.data);
		result = mknodat(folder, name, type | 0600, device);
	}
	if (result < 0)
		fail("unpack: entry %s", e->name.data);
}

/* True when the entry was a whiteout or another aufs marker. */
static bool take_whiteout(int folder, const char *name)
{
	if (strncmp(name, ".wh.", 4))
		return false;
	if (!strcmp(name, ".wh..wh..opq")) {
		set_opaque(folder, "");
		return true;
	}
	/* .wh..wh.plnk, .wh..wh.aufs, .wh..wh.orph: left over by aufs. */
	if (!strncmp(name, ".wh..wh.", 8))
		return true;
	const char *hidden = name + 4;
	if (!*hidden || !strcmp(hidden, ".") || !strcmp(hidden, ".."))
		refuse(EPROTO, "unpack: bad whiteout %s", name);
	struct stat s;
	if (fstatat(folder, hidden, &s, AT_SYMLINK_NOFOLLOW) == 0) {
		/* An entry of this layer: a folder then shows nothing of the layers below, anything else hides them anyway. */
		if (S_ISDIR(s.st_mode))
			set_opaque(folder, hidden);
		return true;
	}
	if (mknodat(folder, hidden, S_IFCHR, makedev(0, 0)) < 0)
		fail("unpack: whiteout %s", name);
	return true;
}

static void skip_data(struct unpacker *u)
{
	const char *data;
	for (int64_t left = u->tar.entry.size; left > 0;)
		left -= (int64_t)tar_data(&u->tar, left > 1 << 20 ? 1 << 20 : (size_t)left, &data);
	tar_pad(&u->tar, u->tar.entry.size);
}

static void unpack_entry(struct unpacker *u)
{
	struct tar_entry *e = &u->tar.entry;
	char path[PATH_MAX];
	const char *name;
	place(u, path, e->name.data);
	u->bytes += e->size;
	if (++u->entries > u->entries_max && u->entries_max < ENTRIES_MAX)
		refuse(ENOSPC, "unpack: No space left on device: the layer has more than the %lld entries that are free",
		       (long long)u->entries_max);
	if (u->entries > ENTRIES_MAX || u->bytes > BYTES_MAX)
		refuse(EFBIG, "unpack: the archive is too large");
	if (!*path && e->type != '5')
		refuse(EPROTO, "unpack: an entry has no name");
	if (!*path && u->plain)
		return;
	if (u->uid >= 0) {
		e->uid = u->uid;
		e->gid = u->gid;
	}
	int folder = *path ? parent_of(u, path, &name) : (name = path, u->root);
	check_kind(u, path, folder, name);
	if (!u->plain && take_whiteout(folder, name)) {
		skip_data(u);
		return;
	}
	if (e->type == '5') {
		unpack_folder(u, path, folder, name);
		return;
	}
	if (e->type == '1') {
		if (!make_link(u, path, e->link.data))
			remember(&u->links, path, e, e->link.data);
		return;
	}
	if (e->type == '0') {
		unpack_file(u, folder, name);
		return;
	}
	make_room(folder, name);
	unpack_special(u, folder, name);
	set_owner_and_mode(e, folder, name);
	set_times(folder, name, e->mtime, e->mtime_ns);
}

static struct later *in_order(struct later *list)
{
	struct later *out = NULL;
	for (struct later *next; list; list = next) {
		next = list->next;
		list->next = out;
		out = list;
	}
	return out;
}

/* Links, then the times of folders, both in the order of the archive: the last entry of a folder counts. */
static void complete(struct unpacker *u)
{
	for (struct later *l = in_order(u->links); l; l = l->next)
		if (!make_link(u, l->name, l->target))
			refuse(EPROTO, "unpack: %s is a hard link to %s, which is not in this layer", l->name, l->target);
	for (struct later *l = in_order(u->folders); l; l = l->next) {
		const char *slash = strrchr(l->name, '/');
		char above[PATH_MAX] = "";
		if (slash)
			memcpy(above, l->name, (size_t)(slash - l->name));
		int fd = open_folder(u, above);
		if (fd < 0)
			continue; /* Replaced by a later entry. */
		set_times(fd, slash ? slash + 1 : l->name, l->mtime, l->mtime_ns);
		close(fd);
	}
}

void unpack_source(struct unpacker *u, struct layer_source *source)
{
	u->parent = -1;
	umask(0);
	tar_open(&u->tar, source);
	while (tar_next(&u->tar))
		unpack_entry(u);
	complete(u);
}

static void unpack_all(struct unpacker *u, const char *root, struct layer_source *source)
{
	u->resolve = RESOLVE_SAME_MOUNT;
	u->uid = -1;
	u->root = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (u->root < 0)
		fail("unpack: %s", root);
	unpack_source(u, source);
}

void unpack(const char *root, int input, int64_t bytes_max, int64_t entries_max)
{
	static struct unpacker u;
	u.entries_max = entries_max < ENTRIES_MAX ? entries_max : ENTRIES_MAX;
	unpack_all(&u, root, source_of_stream(input, bytes_max));
	dprintf(1, "%lld %lld\n", (long long)u.entries, (long long)u.bytes);
}

/* Fields: root, socket of the agent that gives the archive, token to open with, bytes that may be used, entries that may be made. */
void verb_unpack(const struct fields *f)
{
	int fd = connect_unix(field_text(f, 1));
	if (fd < 0)
		fail("unpack: connect");
	const char *token = field_text(f, 2);
	if (write_full(fd, token, strlen(token)) < 0)
		fail("unpack: connect");
	unpack(field_text(f, 0), fd, field_number(f, 3), field_number(f, 4));
}

/*
 * Fields: root, path of the blob, bytes that may be used, entries that may be made. Answer: "ENTRIES BYTES DIGEST\n".
 */
void verb_unpack_blob(const struct fields *f)
{
	static struct unpacker u;
	long long entries = field_number(f, 3);
	u.entries_max = entries < ENTRIES_MAX ? entries : ENTRIES_MAX;
	struct layer_source *source = source_of_blob(field_text(f, 1), field_number(f, 2));
	unpack_all(&u, field_text(f, 0), source);
	char digest[65];
	source_digest(source, digest);
	dprintf(1, "%lld %lld %s\n", (long long)u.entries, (long long)u.bytes, digest);
}
