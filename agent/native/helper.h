/*
 * berth-helper: what Node cannot do, or cannot do safely, as verbs of one small static program.
 *
 *   serve      one per agent: runs programs, mounts, namespaces, removal, unpacking, exec sessions on request (serve.c)
 *   supervise  one per container: outlives the agent, holds stdio, writes the log, records the exit (supervise.c)
 *   unpack     a layer tar from stdin into a folder (unpack.c)
 *   tend       the small parent of `berth up` (tend.c)
 *   pause      waits for ever and reaps: PID 1 of a pod that shares its process namespace (pause.c)
 *
 * A verb that runs as a job of `serve` answers by its exit code (0, or an errno), its stdout (the answer) and its stderr
 * (one line of text for people). Every file descriptor that a verb opens is close-on-exec unless a comment says otherwise.
 */
#ifndef BERTH_HELPER_H
#define BERTH_HELPER_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* bytes.c: buffers, whole reads and writes, failing */
struct bytes {
	char *data;
	size_t size, capacity;
};
void bytes_append(struct bytes *b, const void *data, size_t size);
void bytes_print(struct bytes *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Forgets the first `size` bytes. */
void bytes_drop(struct bytes *b, size_t size);
void bytes_free(struct bytes *b);
void *must_alloc(size_t size);
/* Bytes read: `size`, or less at the end of the file; -1 on error. */
ssize_t read_full(int fd, void *data, size_t size);
int write_full(int fd, const void *data, size_t size);
/* The whole file, with a NUL behind it; -1 and errno on error. At most `limit` bytes. */
int read_file(int folder, const char *path, struct bytes *out, size_t limit);
/* One write of a short text to an existing file (proc, sys). */
int write_text(const char *path, const char *text);
/* Replaces a file atomically; with `durable` it is on disk when this returns. */
int replace_file(const char *path, const void *data, size_t size, bool durable);
/* Prints the text and strerror(errno) on stderr and exits with errno. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same with a given errno and without strerror. */
_Noreturn void refuse(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));
uint32_t get_u32(const void *p);
void put_u32(void *p, uint32_t v);
int64_t monotonic_ms(void);
/* Wall time in ns. */
int64_t wall_ns(void);

/* process.c: descriptors, sockets, /proc */
void close_from(int lowest);
int set_nonblocking(int fd);
/* Unix stream socket; paths above the 108-byte limit go through the folder's descriptor. -1 and errno on error. */
int connect_unix(const char *path);
int listen_unix(const char *name, int backlog);
/* openat2(2): flags of RESOLVE_ below. -1 and errno on error. */
int open_resolved(int folder, const char *path, int flags, mode_t mode, uint64_t resolve);
#define RESOLVE_SAME_MOUNT 0x01 /* RESOLVE_NO_XDEV */
#define RESOLVE_PLAIN_LINKS 0x02 /* RESOLVE_NO_MAGICLINKS */
#define RESOLVE_NO_LINKS 0x04 /* RESOLVE_NO_SYMLINKS */
#define RESOLVE_AS_ROOT 0x10 /* RESOLVE_IN_ROOT */
bool is_mount_root(const char *path);
struct process_stat {
	char state;
	pid_t parent;
	unsigned flags;
	unsigned long long start_ticks;
};
#define PROCESS_FORK_NO_EXEC 0x40 /* PF_FORKNOEXEC of include/linux/sched.h */
/* False when there is no such process. */
bool read_process(pid_t pid, struct process_stat *out);
/* Default handlers and an empty mask, for a child that will exec. */
void reset_signals(void);

/* namespaces.c: whether a namespace is pinned there; entering it (fails the verb). */
bool is_pinned(const char *path);
void enter_pinned(const char *path, int flag);

/* user-namespace.c: detached copies of mounts, -1 and errno on error; with the ids of a user namespace; and put somewhere. */
int cloned_tree(const char *path, bool recursive);
int idmapped_tree(const char *path, bool recursive, int userns);
int attach_tree(int tree, const char *target);
/* Onto what an open descriptor names, which nobody can put something else in the place of. */
int attach_tree_at(int tree, int target);
/* Read-only, with all that is mounted below it or alone. */
bool protect_tree(int tree, bool recursive);
bool forbid_devices(int tree, bool recursive);

/* Request fields as `serve` reads them: NUL-terminated each. */
struct fields {
	char **at;
	size_t *sizes;
	size_t count;
};
const char *field_text(const struct fields *f, size_t index);
long long field_number(const struct fields *f, size_t index);

/* Verbs that `serve` runs in a forked child. They return only on success. */
void verb_run(const struct fields *f);
void verb_overlay(const struct fields *f);
void verb_bind(const struct fields *f);
void verb_tmpfs(const struct fields *f);
void verb_unmount(const struct fields *f);
void verb_pin(const struct fields *f);
void verb_unpin(const struct fields *f);
void verb_remove(const struct fields *f);
void verb_unpack(const struct fields *f);
void verb_unpack_blob(const struct fields *f);
void verb_session(const struct fields *f);
void verb_own(const struct fields *f);
void verb_pause(const struct fields *f);
void verb_dial(const struct fields *f);
void verb_pack(const struct fields *f);
void verb_resolve(const struct fields *f);
void verb_pin_user(const struct fields *f);
void verb_overlay_mapped(const struct fields *f);
void verb_read_files(const struct fields *f);
void verb_read_tree(const struct fields *f);
void verb_write_tree(const struct fields *f);
void verb_prober(const struct fields *f);

int serve_main(void);
int supervise_main(int argc, char **argv);
int tend_main(int argc, char **argv);
int pause_main(void);
/* remove.c: removes name below an open folder, whatever it is; gone is fine. */
void remove_at(int folder, const char *name);

/* tar.c: one entry of an archive, extensions applied. Texts live until the next entry. */
struct tar_entry {
	char type; /* '0' file, '1' hard link, '2' symbolic link, '3' char, '4' block, '5' folder, '6' fifo */
	struct bytes name, link; /* NUL-terminated */
	unsigned mode;
	int64_t uid, gid, size, mtime;
	long mtime_ns;
	int64_t device_major, device_minor;
	/* u32 name size, name, NUL, u32 value size, value … */
	struct bytes xattrs;
};
struct tar {
	struct layer_source *source;
	const char *buffer;
	size_t at, filled;
	struct tar_entry entry;
	struct bytes extension, long_name, long_link;
	bool has_size;
};
struct layer_source;
void tar_open(struct tar *t, struct layer_source *source);
/* False at the end. The data of the entry before must have been read. */
bool tar_next(struct tar *t);
/* Up to `limit` bytes of the archive, without a copy; at least 1 or the archive is cut short and this fails. */
size_t tar_data(struct tar *t, size_t limit, const char **data);
/* Passes over the padding behind `size` bytes of data. */
void tar_pad(struct tar *t, int64_t size);

/* Unpacks the tar that `input` gives below `root`; answers on stdout. */
void unpack(const char *root, int input, int64_t bytes_max, int64_t entries_max);

#endif
