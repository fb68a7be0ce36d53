/*
 * why_paused.c - why the worker of a database begins nothing new, and what a person can do about it
 *
 * Owns nothing.  The worker finds the reason (restore/pause.c) and leaves it in its entry, where
 * the callers' backends read it.
 */
#include "postgres.h"

#include "exchange/why_paused.h"

bool
pgw_pause_refuses(PgwPause pause)
{
	return pause != PGW_PAUSE_NONE && pause != PGW_PAUSE_NOT_HOME;
}

const char *
pgw_pause_hint(PgwPause pause)
{
	switch (pause)
	{
		case PGW_PAUSE_RESTORED:
			return "This database was restored or copied. Once it is sure that the original makes no more payments: "
				   "SELECT pgw.resume_after_restore(). See docs/restore.md.";
		case PGW_PAUSE_VERSION:
			return "The library that the server runs does not serve the version of the extension in this database: "
				   "SELECT advice FROM pgw.version(). See docs/upgrade.md.";
		case PGW_PAUSE_MODE:
			return "Set pgw.worker_mode to \"on\" and reload the configuration.";
		case PGW_PAUSE_NOT_HOME:
			return "No slot of pgw.shard_slots is at home under the name that this server was started with (pgw.shard_name). See docs/scaling.md.";
		case PGW_PAUSE_DRAINING:
			return "No new charge is begun here, and what is under way is finished. To take payments again set pgw.worker_mode to \"on\" and reload the configuration.";
		case PGW_PAUSE_NONE:
		case PGW_PAUSE_UNKNOWN:
			break;
	}
	return "The pause is over: call again.";
}
