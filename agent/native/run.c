/* run: another program, to its end. Fields: folder, network namespace, unused, stdin bytes (fed by serve), argc, argv…, env… */
#include "helper.h"
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

extern char **environ;

void verb_run(const struct fields *f)
{
	const char *folder = field_text(f, 0), *netns = field_text(f, 1);
	long long argc = field_number(f, 4);
	if (argc < 1 || (size_t)argc > f->count - 5)
		refuse(EINVAL, "run: no program");
	char **argv = must_alloc(((size_t)argc + 1) * sizeof *argv);
	size_t env_count = f->count - 5 - (size_t)argc;
	char **env = must_alloc((env_count + 1) * sizeof *env);
	for (size_t i = 0; i < (size_t)argc; i++)
		argv[i] = (char *)field_text(f, 5 + i);
	for (size_t i = 0; i < env_count; i++)
		env[i] = (char *)field_text(f, 5 + (size_t)argc + i);
	if (*netns) {
		int fd = open(netns, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
			fail("run: network namespace %s", netns);
		close(fd);
	}
	if (*folder && chdir(folder) < 0)
		fail("run: folder %s", folder);
	environ = env;
	execvp(argv[0], argv);
	/* As shells do. */
	int error = errno;
	write_full(2, argv[0], strlen(argv[0]));
	refuse(error == ENOENT ? 127 : 126, ": %s", strerror(error));
}
