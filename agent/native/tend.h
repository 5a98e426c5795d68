/* What tend.c and tend-files.c share: the processes as configured and as they run. See tend.c. */
#ifndef BERTH_TEND_H
#define BERTH_TEND_H
#include "helper.h"

enum { PROCESSES_MAX = 64, ARGUMENTS_MAX = 256 };

struct process {
	const char *name, *cwd, *log;
	char *argv[ARGUMENTS_MAX + 1], *env[ARGUMENTS_MAX + 1];
	int argc, env_count, log_files, stop_ms;
	long long log_bytes;
	pid_t pid; /* 0: not running */
	unsigned long long start_ticks;
	int pidfd; /* of an adopted one, which is not our child; else -1 */
	int64_t up_since_ms, next_start_ms, kill_at_ms, started_wall_ms;
	int backoff_ms, last_status;
	long long restarts;
	bool asked_to_end, has_ended, restart_now;
};

extern struct process processes[PROCESSES_MAX];
extern int process_count;
extern const char *socket_path, *state_path;

/* tend-files.c */
void read_tend_config(const char *path);
struct process *find_process(const char *name);
/* What an earlier instance left running is taken over. */
void read_state(void);
void write_state(void);
/* When the log has grown over its limit. */
void rotate_log(struct process *p);

#endif
