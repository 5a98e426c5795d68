/* What pack.c gives to container-files.c. */
#ifndef BERTH_PACK_H
#define BERTH_PACK_H
#include "tar-write.h"

struct packer {
	struct tar_writer tar;
	/* An overlay's upper folder. */
	bool overlay;
	/* Others may be changing it: what vanishes is left out, what becomes shorter is filled with zeros. */
	bool live;
	/* Of the entry that is being put, without the tar's prefix. */
	char path[PATH_MAX];
};

/* Everything in an open folder, which is the tar's top. */
void pack_contents(struct packer *p, int folder, size_t at);
/* One entry of an open folder, with all below it. */
void pack_entry(struct packer *p, int folder, const char *name, size_t at);
/* An open folder's own entry, as the tar's prefix, and everything in it. */
void pack_top(struct packer *p, int folder);
/* One descriptor stays open for each level. */
void pack_allow_descriptors(void);

#endif
