/* See tar-write.c. */
#ifndef BERTH_TAR_WRITE_H
#define BERTH_TAR_WRITE_H
#include "helper.h"
#include "sha256.h"
#include <limits.h>
#include <sys/stat.h>

enum { TAR_OUT_SIZE = 256 << 10 };

struct tar_writer {
	int out;
	/* mtime in s that none is later than; -1 = as it is */
	long long latest;
	/* Before every name and the targets of hard links; never NULL. */
	const char *prefix;
	bool hashed;
	size_t filled;
	int64_t entries, bytes;
	struct sha256 hash;
	char buffer[TAR_OUT_SIZE];
};

void tar_put(struct tar_writer *p, const void *data, size_t size);
void tar_put_padding(struct tar_writer *p, int64_t size);
void tar_flush(struct tar_writer *p);
void pax_record(struct bytes *pax, const char *key, const void *value, size_t size);
/* `pax` holds the attributes already; it is freed. A folder's name ends in a slash. */
void tar_put_header(struct tar_writer *p, const char *name, char type, const struct stat *s, const char *link, struct bytes *pax);
/* The end mark; all is written. */
void tar_end(struct tar_writer *p);

#endif
