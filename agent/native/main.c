#include "helper.h"
#include <stdio.h>
#include <string.h>

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
		unpack(argv[2], 0, INT64_MAX, INT64_MAX);
		return 0;
	}
	if (!strcmp(verb, "pause") && argc == 2)
		return pause_main();
	dprintf(2, "usage: berth-helper serve | supervise FOLDER | unpack ROOT | tend CONFIG | pause\n");
	return 2;
}
