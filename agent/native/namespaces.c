/*
 * Pods have no pause container: their network, IPC and UTS namespaces live by bind mounts of /proc/self/ns/X on
 * folder/{net,ipc,uts}. pin creates the missing ones, enters those that exist, and then (again) brings the loopback up,
 * sets the host name and writes the sysctls, so that a pin that was interrupted is completed by repeating it.
 */
#include "helper.h"
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define NSFS_MAGIC 0x6e736673

static const struct {
	const char *name;
	int flag;
} kinds[] = {{"net", CLONE_NEWNET}, {"ipc", CLONE_NEWIPC}, {"uts", CLONE_NEWUTS}};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void pin_path(char path[4096], const char *folder, const char *name)
{
	if (snprintf(path, 4096, "%s/%s", folder, name) >= 4096)
		refuse(ENAMETOOLONG, "namespaces: %s is too long", folder);
}

bool is_pinned(const char *path)
{
	struct statfs fs;
	return statfs(path, &fs) == 0 && fs.f_type == NSFS_MAGIC;
}

void enter_pinned(const char *path, int flag)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, flag) < 0)
		fail("namespaces: enter %s", path);
	close(fd);
}

static void loopback_up(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq r = {.ifr_name = "lo"};
	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &r) < 0)
		fail("namespaces: loopback");
	r.ifr_flags |= IFF_UP | IFF_RUNNING;
	if (ioctl(fd, SIOCSIFFLAGS, &r) < 0)
		fail("namespaces: loopback up");
	close(fd);
}

/*
 * Whether a file below /proc/sys is of the namespaces of these kinds. All others are the host's, and whoever wrote them
 * (kernel.core_pattern, say) would be root there. What is below net shows the network namespace of who looks.
 * (Source: ipc/ipc_sysctl.c, ipc/mq_sysctl.c, net/sysctl_net.c of the kernel)
 */
static bool is_of_namespaces(const char *name, int have)
{
	static const char *const ipc[] = {"kernel/shmmax", "kernel/shmall", "kernel/shmmni", "kernel/shm_rmid_forced",
					  "kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem"};
	if (!strncmp(name, "net/", 4))
		return have & CLONE_NEWNET;
	if (!strncmp(name, "fs/mqueue/", 10))
		return have & CLONE_NEWIPC;
	for (size_t i = 0; i < sizeof ipc / sizeof *ipc; i++)
		if (!strcmp(name, ipc[i]))
			return have & CLONE_NEWIPC;
	return !strcmp(name, "kernel/domainname") && (have & CLONE_NEWUTS);
}

/* By a process in the user namespace that is pinned at `user`, if one is. */
static int write_inside(const char *user, const char *path, const char *text)
{
	if (!is_pinned(user))
		return write_text(path, text);
	pid_t pid = fork();
	if (pid == 0) {
		enter_pinned(user, CLONE_NEWUSER);
		_exit(write_text(path, text) < 0 ? errno : 0);
	}
	int status = 0;
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -1;
	errno = WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
	return errno ? -1 : 0;
}

/* name=value, with dots or slashes between the parts of the name; a component may not be "..". */
static void write_sysctl(const char *assignment, int have, const char *user)
{
	char path[512] = "/proc/sys/";
	const char *equals = strchr(assignment, '=');
	size_t at = strlen(path);
	if (!equals || equals == assignment || (size_t)(equals - assignment) > sizeof path - at - 1)
		refuse(EINVAL, "namespaces: bad sysctl %s", assignment);
	bool slashes = memchr(assignment, '/', (size_t)(equals - assignment)) != NULL;
	for (const char *p = assignment; p < equals; p++)
		path[at++] = !slashes && *p == '.' ? '/' : *p;
	path[at] = 0;
	if (strstr(path, "/../") || strstr(path, "//"))
		refuse(EINVAL, "namespaces: bad sysctl %s", assignment);
	if (!is_of_namespaces(path + strlen("/proc/sys/"), have))
		refuse(EINVAL, "namespaces: sysctl %.*s is the host's, not the pod's: it may not be set by a pod",
		       (int)(equals - assignment), assignment);
	/* Group ids are those of who writes. */
	bool has_ids = !strcmp(path, "/proc/sys/net/ipv4/ping_group_range");
	if ((has_ids ? write_inside(user, path, equals + 1) : write_text(path, equals + 1)) < 0)
		fail("namespaces: sysctl %s", assignment);
}

/* Fields: folder, comma-separated kinds, host name or "", sysctls as name=value… */
void verb_pin(const struct fields *f)
{
	const char *folder = field_text(f, 0), *wanted = field_text(f, 1), *hostname = field_text(f, 2);
	char path[4096];
	int create = 0, have = 0;
	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		fail("namespaces: %s", folder);
	for (int i = 0; i < KINDS; i++) {
		if (!strstr(wanted, kinds[i].name))
			continue;
		have |= kinds[i].flag;
		pin_path(path, folder, kinds[i].name);
		if (!is_pinned(path)) {
			create |= kinds[i].flag;
			continue;
		}
		enter_pinned(path, kinds[i].flag);
	}
	if (create && unshare(create) < 0)
		fail("namespaces: unshare");
	if (have & CLONE_NEWNET)
		loopback_up();
	if ((have & CLONE_NEWUTS) && *hostname && sethostname(hostname, strlen(hostname)) < 0)
		fail("namespaces: host name %s", hostname);
	char user[4096];
	pin_path(user, folder, "user");
	for (size_t i = 3; i < f->count; i++)
		write_sysctl(field_text(f, i), have, user);
	for (int i = 0; i < KINDS; i++) {
		if (!(create & kinds[i].flag))
			continue;
		char self[32];
		snprintf(self, sizeof self, "/proc/self/ns/%s", kinds[i].name);
		pin_path(path, folder, kinds[i].name);
		int fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0)
			fail("namespaces: %s", path);
		close(fd);
		if (mount(self, path, NULL, MS_BIND, NULL) < 0)
			fail("namespaces: pin %s", path);
	}
}

static void unpin_one(const char *folder, const char *name)
{
	char path[4096];
	pin_path(path, folder, name);
	while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		;
	if (errno != EINVAL && errno != ENOENT)
		fail("namespaces: unpin %s", path);
	if (unlink(path) < 0 && errno != ENOENT)
		fail("namespaces: remove %s", path);
}

/* Fields: folder. */
void verb_unpin(const struct fields *f)
{
	const char *folder = field_text(f, 0);
	for (int i = 0; i < KINDS; i++)
		unpin_one(folder, kinds[i].name);
	/* Of pause.c; its process ends with the pod's cgroup. */
	unpin_one(folder, "pid");
	/* Of user-namespace.c; the last, since the others belong to it. */
	unpin_one(folder, "user");
	if (rmdir(folder) < 0 && errno != ENOENT && errno != ENOTEMPTY)
		fail("namespaces: remove %s", folder);
}
