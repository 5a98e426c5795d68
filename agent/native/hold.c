/*
 * hold: the time in which a supervisor is there, with its socket, but its container is not yet. Who attaches in it sees the
 * first byte (docker run attaches before it starts). The agent opens it by `supervise FOLDER hold SOCKET TOKEN`: this side
 * connects to the agent's socket, as exec sessions do, and that connection is the hold: a byte G ends it, its own end or
 * that of the job that waits for the start ends this supervisor, which has made nothing yet but `sock` and `lock`.
 */
#include "supervise.h"
#include <string.h>
#include <unistd.h>

static _Noreturn void give_up(void)
{
	unlink("sock");
	refuse(ECANCELED, "supervise: the agent has given up the start");
}

void hold_start(const char *agent, const char *token, int report, struct input *input)
{
	struct pollfd polls[CLIENTS_MAX + 8];
	int fd = connect_unix(agent);
	if (fd < 0 || write_full(fd, token, strlen(token)) < 0)
		give_up();
	/* After the word those that connected and attached before it are still taken in: they are all there by then. */
	for (bool goes = false;;) {
		/* The report is only written to: what is told of it is that nobody reads it any more. */
		polls[0] = (struct pollfd){.fd = report};
		polls[1] = (struct pollfd){.fd = goes ? -1 : fd, .events = POLLIN};
		int n = 2 + clients_before_poll(polls + 2, input);
		int ready = poll(polls, (nfds_t)n, goes ? 0 : -1);
		if (ready < 0 && errno != EINTR)
			give_up();
		if (goes && ready == 0)
			break;
		if (ready <= 0)
			continue;
		char word = 0;
		if (polls[0].revents || (polls[1].revents && (read(fd, &word, 1) != 1 || word != 'G')))
			give_up();
		goes |= polls[1].revents != 0;
		clients_after_poll(polls + 2, input);
	}
	close(fd);
}
