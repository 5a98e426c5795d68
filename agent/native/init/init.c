/*
 * The first process of a container with --init: runs the program, hands signals on to it, reaps orphans, and ends with its
 * status. Everything stays in one small static program that is bound read-only at /sbin/docker-init.
 * Source: what tini does for Docker (moby daemon/oci_linux.go, WithCommonOptions): `docker-init -- PROGRAM ARGUMENT…`.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void run(char **argv, const sigset_t *before)
{
	/* Its own group, at the terminal where there is one, so that ^C reaches it. */
	setpgid(0, 0);
	if (isatty(0)) {
		signal(SIGTTOU, SIG_IGN);
		tcsetpgrp(0, getpgrp());
		signal(SIGTTOU, SIG_DFL);
	}
	sigprocmask(SIG_SETMASK, before, NULL);
	execvp(argv[0], argv);
	int why = errno;
	dprintf(2, "[FATAL tini] exec %s failed: %s\n", argv[0], strerror(why));
	_exit(why == ENOENT ? 127 : 126);
}

/* The program's exit status as an init's own, once it has ended; -1 before. */
static int reap(pid_t program)
{
	int status, result = -1;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
		if (pid != program)
			continue;
		if (WIFEXITED(status))
			result = WEXITSTATUS(status);
		else if (WIFSIGNALED(status))
			result = 128 + WTERMSIG(status);
	}
	return result;
}

int main(int argc, char **argv)
{
	int first = argc > 1 && !strcmp(argv[1], "--") ? 2 : 1;
	if (first >= argc) {
		dprintf(2, "usage: docker-init -- PROGRAM ARGUMENT...\n");
		return 1;
	}
	sigset_t all, before;
	sigfillset(&all);
	/* What the kernel sends for a mistake of this program must not wait. */
	const int own[] = {SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGABRT, SIGTRAP, SIGSYS, SIGTTIN, SIGTTOU};
	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		sigdelset(&all, own[i]);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid_t program = fork();
	if (program < 0) {
		perror("docker-init: fork");
		return 1;
	}
	if (program == 0)
		run(argv + first, &before);
	for (;;) {
		int number = 0;
		if (sigwait(&all, &number) != 0)
			continue;
		if (number != SIGCHLD)
			kill(program, number);
		int status = reap(program);
		if (status >= 0)
			return status;
	}
}
