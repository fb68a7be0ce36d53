/*
 * debug_points.c - points at which a test build can be stopped, failed or killed
 *
 * Owns nothing of pgw's.  The folder PGW_DEBUG_DIR (the postmaster's environment, so every process
 * has it) holds what a test has armed:
 *
 *     name		written by the test; one word: stop, error or kill, and perhaps a number: at the
 * n-th time name.pid	written by the process that reached the point, whole at once: its pid
 *     name.hit	what `name` has become; a stopped process goes on when the test removes it
 *     name.flag	a fault that stays until the test removes it
 *
 * Invariants
 *     - The rename to name.hit is the claim: of several processes one acts, and each arming acts
 *       once.
 *     - name.pid is complete before the process stops, fails or dies.
 *     - A stopped process looks at no interrupt, holds what it holds, and ends with the
 *       postmaster.  So a point may stand anywhere, also in a critical section or while interrupts
 *       are held; only `error` needs a place that can throw.
 */
#include "postgres.h"

#include "base/debug_points.h"

#ifdef PGW_DEBUG_POINTS

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/pmsignal.h"

#define LOOK_AGAIN_US 2000

static void
tell_pid(const char *armed)
{
	char temporary[MAXPGPATH];
	char told[MAXPGPATH];
	FILE *f;

	snprintf(temporary, sizeof(temporary), "%s.tmp", armed);
	snprintf(told, sizeof(told), "%s.pid", armed);
	f = fopen(temporary, "w");
	if (f == NULL || fprintf(f, "%d\n", (int) getpid()) < 0 || fclose(f) != 0 ||
		rename(temporary, told) != 0)
		/* a test that waits for it must not hang */
		elog(PANIC, "debug point \"%s\": %m", armed);
}

/* Not yet. */
static void
count_down(const char *armed, const char *action, int left)
{
	char temporary[MAXPGPATH];
	FILE *f;

	snprintf(temporary, sizeof(temporary), "%s.tmp", armed);
	f = fopen(temporary, "w");
	if (f == NULL || fprintf(f, "%s %d\n", action, left) < 0 || fclose(f) != 0 ||
		rename(temporary, armed) != 0)
		elog(PANIC, "debug point \"%s\": %m", armed);
}

static void
stop_until_released(const char *hit)
{
	struct stat st;

	while (stat(hit, &st) == 0)
	{
		if (!PostmasterIsAlive())
			_exit(2);
		pg_usleep(LOOK_AGAIN_US);
	}
}

bool
pgw_debug_flag(const char *name)
{
	const char *dir = getenv("PGW_DEBUG_DIR");
	char path[MAXPGPATH];
	struct stat st;

	if (dir == NULL)
		return false;
	snprintf(path, sizeof(path), "%s/%s.flag", dir, name);
	return stat(path, &st) == 0;
}

void
pgw_debug_point(const char *name)
{
	const char *dir = getenv("PGW_DEBUG_DIR");
	char armed[MAXPGPATH];
	char hit[MAXPGPATH];
	char action[16] = "";
	FILE *f;
	int countdown = 1;

	if (dir == NULL)
		return;
	snprintf(armed, sizeof(armed), "%s/%s", dir, name);
	snprintf(hit, sizeof(hit), "%s.hit", armed);
	f = fopen(armed, "r");
	if (f == NULL)
		return;
	if (fscanf(f, "%15s %d", action, &countdown) < 1)
		action[0] = '\0';
	fclose(f);
	if (countdown > 1)
	{
		count_down(armed, action, countdown - 1);
		return;
	}
	if (rename(armed, hit) != 0)
		return; /* another process was faster */
	tell_pid(armed);

	if (strcmp(action, "stop") == 0)
		stop_until_released(hit);
	else if (strcmp(action, "error") == 0)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("pgw: debug point \"%s\"", name)));
	else if (strcmp(action, "kill") == 0)
		kill(getpid(), SIGKILL);
	else
		elog(PANIC, "debug point \"%s\": unknown action \"%s\"", name, action);
}

#endif
