/* Parts of `supervise`: the log, the attached clients, calls of the OCI runtime. See supervise.c. */
#ifndef BERTH_SUPERVISE_H
#define BERTH_SUPERVISE_H
#include "helper.h"
#include <poll.h>

enum { ARGUMENTS_MAX = 16, STAGED_MAX = 512 };

/* See stage.c. */
struct staged {
	const char *path;
	bool idmapped, read_only, recursive_read_only;
};

/* The file `config` in the container's folder: key=value records, NUL behind each. */
struct config {
	const char *id;
	const char *runtime;
	const char *runtime_arguments[ARGUMENTS_MAX]; /* `argument`, repeated: before the command of the runtime */
	int runtime_argument_count;
	bool private_cgroups; /* run the runtime where every v1 controller is mounted at /sys/fs/cgroup */
	const char *log; /* "": none is written */
	long long log_bytes_max; /* 0: never rotated */
	int log_files_max;	 /* the current one included */
	bool tty, has_stdin, stdin_once;
	const char *oom_file;	/* memory.oom_control (v1) or memory.events (v2) of the container's cgroup, or "" */
	const char *procs_file; /* a cgroup.procs of the container's cgroup, or "" */
	const char *user_namespace; /* where the pod's is pinned; NULL: the host's. With it: */
	const char *root;
	long long owner; /* id of its root outside: whose the ends of pipes are, so that /dev/stdout can be opened */
	struct staged staged[STAGED_MAX]; /* `mount`, repeated: letters of the three above (i, r, R), a colon, the path */
	int staged_count;
};

/* runtime.c */
/* Reads `path` in the current folder; fails when it is not there or not understood. */
void read_config(const char *path, struct config *out);
/*
 * Starts `runtime arguments… --log LOG --log-format json command…` with stdio {in, out, err} (-1 = /dev/null) and returns
 * its pid. command ends with NULL; log is a name in the current folder. SIGCHLD must be blocked.
 */
pid_t start_runtime(const struct config *c, const char *log, const char *const *command, const int stdio[3]);
extern const int no_stdio[3];
/* Makes a pipe end the container's; -1 is fine. */
void give_to_container(const struct config *c, int fd);
/* A descriptor that the runtime's processes hold as well, or -1. */
extern int runtime_lock;
/* The oom_score_adj that this process began with, when it lowered its own. */
extern char inherited_oom_score[16];
/*
 * Before the end: what the runtime left as our children, up to 200 ms. A zombie that is handed on to the host's init keeps
 * its process namespace, and so the container's own end, waiting until that init finds the time.
 */
void reap_all(void);
/* JSON {status, log, output}: why a call failed. Reads the two descriptors until they are empty. */
void describe_failure(struct bytes *out, int status, const char *log, const int outputs[2]);
/* The pid that the runtime wrote into a file; 0 when there is none. */
pid_t read_pid_file(const char *name);
/* Waits, up to a time limit in ms, then kills. The wait status. */
int wait_runtime(pid_t pid, int timeout_ms);
/* Listens at `console` in the current folder; then the pty master that the runtime sent, or -1. */
int open_console(const char *name);
int accept_console(int listener, const char *name);
/* Waits until the process runs a program of its own; false when it ended before that. */
bool wait_for_exec(pid_t pid);
long long count_oom_kills(const char *file);
void kill_cgroup(const char *procs_file, int signal);

/* stage.c */
/* In the child that becomes the runtime. */
void stage_mounts(const struct config *c);

/* folder.c */
/* The lock, within a time limit; -1 and errno. */
int take_lock(int timeout_ms);
/* With the container's cgroup whoever holds it loses the reason to; with NULL the answer of a living supervisor ends the verb. */
int insist_on_lock(const char *procs_file);
void reserve_exit(void);
/* Durable; false when it could not be written. */
bool write_exit(const struct bytes *record);
/* A file's path where the bundle really lies: in memory, as what holds an environment must. */
void beside_bundle(char *path, size_t size, const char *name);

/* log.c */
struct line {
	size_t size;
	bool open; /* a P record has been written and its F not yet */
	char data[16384];
};
struct log {
	int fd;
	const char *path;
	long long size, bytes_max;
	int files_max;
	struct line lines[2]; /* stdout, stderr */
	size_t pending;
	char buffer[32768];
};
void log_open(struct log *l, const char *path, long long bytes_max, int files_max);
/* stream: 0 stdout, 1 stderr */
void log_write(struct log *l, int stream, const char *data, size_t size);
/* Writes what is left of an unfinished line. */
void log_end(struct log *l);

/* clients.c */
struct input {
	int fd; /* the container's stdin or the pty master, -1 when closed */
	bool tty, once, ending;
	bool waits; /* the container is not there yet: what clients have for it stays with them */
	struct bytes pending;
};
enum { CLIENTS_MAX = 64 };
/* Returns the number of entries filled in; `after_poll` takes them back. */
int clients_before_poll(struct pollfd *polls, struct input *input);
void clients_after_poll(const struct pollfd *polls, struct input *input);
void clients_listen(const char *name);
/* To every attached client: type 'O' or 'R'. */
void clients_output(char type, const char *data, size_t size);
/* How long the container's output is still to wait for a client that is behind; -1 = not at all. Asked for before each wait. */
int clients_hold_ms(void);
/* To every client: the exit record. */
void clients_exit(const char *record, size_t size);
/* Nothing more will come for those that are attached: whoever has read all is told. */
void clients_end(void);
/* Gives queued frames a last chance: each client for as long as it takes some in `timeout_ms`, all together 5 s. */
void clients_flush(int timeout_ms);
/* The container is there: `input` no longer waits. */
void clients_resume(struct input *input);
/* What clients may ask for; set by supervise.c. */
extern void (*clients_on_kill)(int signal, bool all);
extern struct bytes clients_status;

/* hold.c */
/*
 * Connects to the agent, says the token, and serves clients that attach until the agent says `G`; then whoever had attached
 * by that moment is seen to. Ends this process, with nothing left, when the agent or the reader of `report` goes away.
 */
void hold_start(const char *agent, const char *token, int report, struct input *input);

#endif
