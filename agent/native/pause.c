/*
 * The process namespace that the containers of a pod share (shareProcessNamespace): it lives as long as its PID 1, which is
 * this helper's `pause`, and is pinned on folder/pid so that runtimes can enter it and a later agent finds it.
 *
 * PID 1 is seen, and with CAP_SYS_PTRACE entered, by every container of the pod. So it has nothing of the host's: the pod's
 * own namespaces, an empty read-only root, no capability, no open file, and a program that is a sealed copy in memory (the
 * helper's own file could be opened through /proc/1/exe and be written once the process has ended: CVE-2019-5736).
 * Source: kubernetes build/pause/linux/pause.c (reaps, runs as 65535), KEP-495.
 */
#include "helper.h"
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAUSE_ID = 65535 };

static const char *const namespaces[] = {"net", "ipc", "uts"};

/* Reaps orphans until SIGKILL from outside: what comes from inside the namespace does not end it. */
int pause_main(void)
{
	sigset_t all, child;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_NAME, "pause");
	for (;;) {
		int number = 0;
		sigwait(&child, &number);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
}

/* Whether processes can still be made in it: ENOMEM once its PID 1 has ended (pid_namespaces(7)). */
static bool is_alive(const char *path)
{
	pid_t pid = fork();
	if (pid < 0)
		fail("pause: fork");
	if (pid == 0) {
		enter_pinned(path, CLONE_NEWPID);
		pid_t inside = fork();
		if (inside > 0)
			waitpid(inside, NULL, 0);
		_exit(inside < 0);
	}
	int status = 0;
	waitpid(pid, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int sealed_copy(void)
{
	int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int copy = memfd_create("pause", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct stat s;
	if (self < 0 || copy < 0 || fstat(self, &s) < 0)
		fail("pause: copy");
	for (off_t at = 0; at < s.st_size;)
		if (sendfile(copy, self, &at, (size_t)(s.st_size - at)) <= 0)
			fail("pause: copy");
	if (fcntl(copy, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		fail("pause: seal");
	close(self);
	return copy;
}

static void empty_root(const char *folder)
{
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", folder, "tmpfs", flags, "mode=0555,nr_inodes=2,nr_blocks=1") < 0 || chdir(folder) < 0)
		fail("pause: root");
	if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0 ||
	    mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL) < 0)
		fail("pause: pivot_root");
}

static void drop_privileges(void)
{
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	for (int cap = 0; prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0; cap++)
		;
	if (setgroups(0, NULL) < 0 || setresgid(PAUSE_ID, PAUSE_ID, PAUSE_ID) < 0 || setresuid(PAUSE_ID, PAUSE_ID, PAUSE_ID) < 0)
		fail("pause: user");
}

/* PID 1 of the new namespace: says R on `status` when it is ready, becomes `pause` when it reads a byte from `go`. */
static _Noreturn void become_pause(const struct fields *f, int go, int status)
{
	const char *folder = field_text(f, 0);
	char path[4096], byte;
	setsid();
	for (size_t i = 1; i < f->count; i++)
		if (write_text(field_text(f, i), "0") < 0)
			fail("pause: %s", field_text(f, i));
	int program = sealed_copy();
	for (size_t i = 0; i < sizeof namespaces / sizeof *namespaces; i++) {
		static const int flags[] = {CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS};
		if (snprintf(path, sizeof path, "%s/%s", folder, namespaces[i]) < (int)sizeof path && is_pinned(path))
			enter_pinned(path, flags[i]);
	}
	if (unshare(CLONE_NEWNS) < 0)
		fail("pause: unshare");
	/* Kernels before 4.6 have none. */
	if (unshare(CLONE_NEWCGROUP) < 0 && errno != EINVAL)
		fail("pause: unshare");
	empty_root(folder);
	drop_privileges();
	if (write_full(status, "R", 1) < 0 || read_full(go, &byte, 1) != 1)
		_exit(ECANCELED);
	char *const argv[] = {"/pause", "pause", NULL}, *const environment[] = {NULL};
	for (int fd = 0; fd < 3; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	syscall(SYS_execveat, program, "", argv, environment, AT_EMPTY_PATH);
	write_full(status, "X", 1);
	fail("pause: exec");
}

static void pin(const char *path, pid_t pid)
{
	char source[64];
	snprintf(source, sizeof source, "/proc/%d/ns/pid", (int)pid);
	int fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		fail("pause: %s", path);
	close(fd);
	if (mount(source, path, NULL, MS_BIND, NULL) < 0)
		fail("pause: pin %s", path);
}

static _Noreturn void give_up(pid_t pid)
{
	int status = 0;
	waitpid(pid, &status, 0);
	_exit(WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : EIO);
}

/* fork(2) into a process namespace of its own, which belongs to the user namespace pinned at `user`, if one is. */
static pid_t fork_inside(const char *user)
{
	int said[2];
	pid_t pid = -1;
	if (!is_pinned(user))
		return unshare(CLONE_NEWPID) < 0 ? -1 : fork();
	if (pipe2(said, O_CLOEXEC) < 0)
		return -1;
	pid_t between = fork();
	if (between == 0) {
		enter_pinned(user, CLONE_NEWUSER);
		if (unshare(CLONE_NEWPID) < 0)
			fail("pause: unshare");
		pid = fork();
		if (pid == 0)
			return 0;
		write_full(said[1], &pid, sizeof pid);
		_exit(pid < 0);
	}
	close(said[1]);
	if (between > 0 && read_full(said[0], &pid, sizeof pid) != sizeof pid)
		give_up(between);
	close(said[0]);
	return pid;
}

/* Fields: folder of the pod's pins, cgroup.procs files that the process is to be in… A living one is kept. */
void verb_pause(const struct fields *f)
{
	const char *folder = field_text(f, 0);
	char path[4096], user[4096], word;
	int go[2], status[2], lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (snprintf(path, sizeof path, "%s/pid", folder) >= (int)sizeof path ||
	    snprintf(user, sizeof user, "%s/user", folder) >= (int)sizeof user)
		refuse(ENAMETOOLONG, "pause: %s is too long", folder);
	/* Containers of a pod may start side by side. */
	if (lock < 0 || flock(lock, LOCK_EX) < 0)
		fail("pause: %s", folder);
	if (is_pinned(path)) {
		if (is_alive(path))
			return;
		while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
			;
	}
	/* It and its child: among the last to be killed when memory is short, where that may be asked for. */
	write_text("/proc/self/oom_score_adj", "-998");
	if (pipe2(go, O_CLOEXEC) < 0 || pipe2(status, O_CLOEXEC) < 0)
		fail("pause: set-up");
	pid_t pid = fork_inside(user);
	if (pid < 0)
		fail("pause: fork");
	if (pid == 0) {
		close(go[1]);
		close(status[0]);
		become_pause(f, go[0], status[1]);
	}
	close(go[0]);
	close(status[1]);
	/* Should this job be killed, before the pin or behind it, the other reads the end of `go` and ends. */
	if (read_full(status[0], &word, 1) != 1)
		give_up(pid);
	pin(path, pid);
	if (write_full(go[1], "G", 1) < 0 || read_full(status[0], &word, 1) != 0) {
		umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
		give_up(pid);
	}
}
