/*
 * User namespaces of pods (KEP-127): root inside is an id of the pod's own range outside.
 *
 * pin-user  makes the namespace with its map and pins it as folder/user, then makes and pins the others *inside* it: a namespace
 *           belongs to the user namespace it was made in, and only then may the pod's root configure it. What is pinned is kept.
 * idmapped_tree  a detached copy of a mount on which ids of the file system are those inside the namespace: mount_setattr(2) of
 *           Linux 5.12; which file systems can: fs_flags FS_ALLOW_IDMAP of the kernel.
 */
#include "helper.h"
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* include/uapi/linux/mount.h; one number on all architectures since 5.2 */
enum { SYS_OPEN_TREE = 428, SYS_MOVE_MOUNT = 429, SYS_MOUNT_SETATTR = 442 };
enum { TREE_CLONE = 1, TREE_CLOEXEC = O_CLOEXEC, TREE_RECURSIVE = 0x8000, MOVE_FROM_EMPTY = 4, MOVE_TO_EMPTY = 0x40 };
struct mount_attributes {
	uint64_t set, clear, propagation, userns;
};
#define ATTRIBUTE_READ_ONLY 0x00000001
#define ATTRIBUTE_NO_DEVICES 0x00000004
#define ATTRIBUTE_IDMAP 0x00100000

static const struct {
	const char *name;
	int flag;
} kinds[] = {{"net", CLONE_NEWNET}, {"ipc", CLONE_NEWIPC}, {"uts", CLONE_NEWUTS}};
enum { KINDS = sizeof kinds / sizeof *kinds };

static bool set_attributes(int tree, int flags, struct mount_attributes a)
{
	return syscall(SYS_MOUNT_SETATTR, tree, "", AT_EMPTY_PATH | flags, &a, sizeof a) == 0;
}

bool protect_tree(int tree, bool recursive)
{
	return set_attributes(tree, recursive ? TREE_RECURSIVE : 0, (struct mount_attributes){.set = ATTRIBUTE_READ_ONLY});
}

int cloned_tree(const char *path, bool recursive)
{
	return (int)syscall(SYS_OPEN_TREE, AT_FDCWD, path, (recursive ? TREE_RECURSIVE : 0) | TREE_CLONE | TREE_CLOEXEC);
}

int idmapped_tree(const char *path, bool recursive, int userns)
{
	int tree = cloned_tree(path, recursive);
	if (tree < 0)
		return -1;
	/* Where one mounted below cannot (proc, say), that one keeps its ids, as with runc's `idmap`. */
	struct mount_attributes a = {.set = ATTRIBUTE_IDMAP, .userns = (uint64_t)userns};
	if ((recursive && set_attributes(tree, TREE_RECURSIVE, a)) || set_attributes(tree, 0, a))
		return tree;
	int error = errno;
	close(tree);
	errno = error;
	return -1;
}

int attach_tree(int tree, const char *target)
{
	return (int)syscall(SYS_MOVE_MOUNT, tree, "", AT_FDCWD, target, MOVE_FROM_EMPTY);
}

int attach_tree_at(int tree, int target)
{
	return (int)syscall(SYS_MOVE_MOUNT, tree, "", target, "", MOVE_FROM_EMPTY | MOVE_TO_EMPTY);
}

bool forbid_devices(int tree, bool recursive)
{
	return set_attributes(tree, recursive ? TREE_RECURSIVE : 0, (struct mount_attributes){.set = ATTRIBUTE_NO_DEVICES});
}

static void pin_path(char path[4096], const char *folder, const char *name)
{
	if (snprintf(path, 4096, "%s/%s", folder, name) >= 4096)
		refuse(ENAMETOOLONG, "user namespace: %s is too long", folder);
}

static void unpin_stale(const char *path)
{
	while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		;
}

static void pin_of(pid_t pid, const char *folder, const char *name)
{
	char path[4096], source[64];
	pin_path(path, folder, name);
	snprintf(source, sizeof source, "/proc/%d/ns/%s", (int)pid, name);
	int fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		fail("user namespace: %s", path);
	close(fd);
	if (mount(source, path, NULL, MS_BIND, NULL) < 0)
		fail("user namespace: pin %s", path);
}

/* `inside` is the process in the namespace. */
static void write_map(pid_t inside, const char *file, long long first, long long count)
{
	char path[64], text[64];
	snprintf(path, sizeof path, "/proc/%d/%s", (int)inside, file);
	snprintf(text, sizeof text, "0 %lld %lld", first, count);
	if (write_text(path, text) < 0)
		fail("user namespace: %s %s", file, text);
}

static void check_map(pid_t inside, const char *file, long long first, long long count)
{
	char path[64];
	struct bytes text = {0};
	long long from, to, size;
	snprintf(path, sizeof path, "/proc/%d/%s", (int)inside, file);
	if (read_file(AT_FDCWD, path, &text, 4096) < 0)
		fail("user namespace: %s", path);
	if (sscanf(text.data, "%lld %lld %lld", &from, &to, &size) != 3 || from != 0 || to != first || size != count)
		refuse(EEXIST, "user namespace: another range is pinned than %lld+%lld", first, count);
	bytes_free(&text);
}

/* In the child: says N when it is in the user namespace, waits, makes the others, says R, waits for the end of `go`. */
static _Noreturn void hold(const char *user, int make, int go, int say)
{
	char byte;
	if (*user)
		enter_pinned(user, CLONE_NEWUSER);
	else if (unshare(CLONE_NEWUSER) < 0)
		fail("user namespace: unshare");
	if (write_full(say, "N", 1) < 0 || read_full(go, &byte, 1) != 1)
		_exit(ECANCELED);
	if (make && unshare(make) < 0)
		fail("user namespace: unshare inside");
	if (write_full(say, "R", 1) < 0)
		_exit(ECANCELED);
	while (read_full(go, &byte, 1) == 1)
		;
	_exit(0);
}

static void expect(int say, pid_t child)
{
	char word;
	if (read_full(say, &word, 1) == 1)
		return;
	int status = 0;
	waitpid(child, &status, 0);
	_exit(WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : EIO);
}

/* Fields: folder, comma-separated kinds, first id outside, count of ids. */
void verb_pin_user(const struct fields *f)
{
	const char *folder = field_text(f, 0), *wanted = field_text(f, 1);
	long long first = field_number(f, 2), count = field_number(f, 3);
	char user[4096], path[4096];
	int go[2], say[2], make = 0;
	if (first < 1 || count < 1 || first + count > UINT32_MAX)
		refuse(EINVAL, "user namespace: %lld+%lld is no range of ids", first, count);
	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		fail("user namespace: %s", folder);
	pin_path(user, folder, "user");
	bool known = is_pinned(user);
	for (int i = 0; i < KINDS; i++) {
		if (!strstr(wanted, kinds[i].name))
			continue;
		pin_path(path, folder, kinds[i].name);
		/* One that was made before its user namespace belongs to another. */
		if (!known)
			unpin_stale(path);
		if (!is_pinned(path))
			make |= kinds[i].flag;
	}
	if (pipe2(go, O_CLOEXEC) < 0 || pipe2(say, O_CLOEXEC) < 0)
		fail("user namespace: pipe");
	pid_t child = fork();
	if (child < 0)
		fail("user namespace: fork");
	if (child == 0) {
		close(go[1]);
		close(say[0]);
		hold(known ? user : "", make, go[0], say[1]);
	}
	close(go[0]);
	close(say[1]);
	expect(say[0], child);
	if (known) {
		check_map(child, "uid_map", first, count);
	} else {
		write_map(child, "gid_map", first, count);
		write_map(child, "uid_map", first, count);
		pin_of(child, folder, "user");
	}
	if (write_full(go[1], "G", 1) < 0)
		fail("user namespace: go");
	expect(say[0], child);
	for (int i = 0; i < KINDS; i++)
		if (make & kinds[i].flag)
			pin_of(child, folder, kinds[i].name);
	close(go[1]);
	waitpid(child, NULL, 0);
}
