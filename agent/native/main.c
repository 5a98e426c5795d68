#include "helper.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* PID 1 of a shared process namespace: reaps orphans until it is told to end. */
static int pause_main(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (;;) {
		int number = 0;
		if (sigwait(&set, &number) == 0 && number != SIGCHLD)
			return 0;
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";
	if (!strcmp(verb, "serve") && argc == 2)
		return serve_main();
	if (!strcmp(verb, "supervise"))
		return supervise_main(argc - 2, argv + 2);
	if (!strcmp(verb, "tend"))
		return tend_main(argc - 2, argv + 2);
	if (!strcmp(verb, "unpack") && argc == 3) {
		unpack(argv[2], 0);
		return 0;
	}
	if (!strcmp(verb, "pause") && argc == 2)
		return pause_main();
	dprintf(2, "usage: berth-helper serve | supervise FOLDER | unpack ROOT | tend CONFIG | pause\n");
	return 2;
}
