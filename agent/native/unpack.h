/* What unpack.c and unpack-names.c share. See unpack.c. */
#ifndef BERTH_UNPACK_H
#define BERTH_UNPACK_H
#include "helper.h"
#include <limits.h>

/* Folders whose times are set at the end, and hard links whose target has not come yet. */
struct later {
	struct later *next;
	int64_t mtime;
	long mtime_ns;
	char *target;
	char name[];
};

struct unpacker {
	struct tar tar;
	int root;
	/* The parent opened last: entries of one folder follow each other. -1 = none. */
	int parent;
	char parent_name[PATH_MAX];
	struct later *folders, *links;
	int64_t entries, entries_max, bytes;
	/* Of `openat2` for folders; RESOLVE_SAME_MOUNT unless others mount below the root. */
	uint64_t resolve;
	/* Into a root that is in use (container-files.c): below this clean path, nothing is a whiteout, and the top keeps what it is. */
	bool plain;
	char below[PATH_MAX];
	/* A folder is not replaced by a file, nor a file by a folder. */
	bool keeps_kinds;
	/* Of all entries; -1 = as the archive says. */
	int64_t uid, gid;
};

/* Unpacks all of it; `root` is open. */
void unpack_source(struct unpacker *u, struct layer_source *source);

/* unpack-names.c */
/* A clean relative path: no leading '/', no "." or "..", no doubled '/'. "" is the root. */
void clean(char out[PATH_MAX], const char *path);
/* The folder of a clean path, nowhere but below the root; -1 and errno when it is not there. */
int open_folder(const struct unpacker *u, const char *path);
/* The parent folder of a clean path, made if it is missing; *name is its last component. Stays open until the next call. */
int parent_of(struct unpacker *u, const char *path, const char **name);
bool is_whiteout(int folder, const char *name);
/* Over a whiteout of this layer it becomes opaque. */
void make_folder(int folder, const char *name);
/* name "" is the folder itself. */
int set_xattr(int folder, const char *name, const char *key, const void *value, size_t size);
void set_opaque(int folder, const char *name);

#endif
