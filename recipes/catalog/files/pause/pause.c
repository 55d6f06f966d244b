/*
 * The process that holds a pod's namespaces open. It does nothing until it is
 * told to end. Where the containers of a pod share its process namespace it is
 * their init, and collects the processes that lost their parent.
 */
#define _POSIX_C_SOURCE 200809L

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef VERSION
#error "VERSION is not defined: compile with -DVERSION=\"...\""
#endif

enum { ENDED = 0, WRONG_ARGUMENT = 2, CANNOT_WAIT = 3 };

static void say(int fd, const char *text)
{
	/* Nobody may be listening, and nothing follows from it. */
	if (write(fd, text, strlen(text)) < 0)
		return;
}

static void collect(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

/*
 * Signals are blocked and taken one by one, so no handler runs in between. A
 * blocked signal reaches even process 1, for which the kernel drops those that
 * have no handler.
 */
static int hold(void)
{
	sigset_t awaited;
	int signal;

	sigemptyset(&awaited);
	sigaddset(&awaited, SIGINT);
	sigaddset(&awaited, SIGTERM);
	sigaddset(&awaited, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &awaited, NULL) != 0)
		return CANNOT_WAIT;
	collect();
	while (sigwait(&awaited, &signal) == 0) {
		if (signal == SIGCHLD) {
			collect();
			continue;
		}
		say(STDERR_FILENO, signal == SIGINT ? "pause: ending on SIGINT\n" : "pause: ending on SIGTERM\n");
		return ENDED;
	}
	return CANNOT_WAIT;
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		if (strcmp(argv[1], "-v") != 0) {
			say(STDERR_FILENO, "pause: usage: pause [-v]\n");
			return WRONG_ARGUMENT;
		}
		say(STDOUT_FILENO, "pause " VERSION "\n");
		return ENDED;
	}
	if (getpid() != 1)
		say(STDERR_FILENO, "pause: warning: this is not process 1: it will not get the processes that lose their parent\n");
	return hold();
}
