/*
 * why_paused.h - why the worker of a database begins nothing new, and what a person can do about it
 */
#ifndef PGW_EXCHANGE_WHY_PAUSED_H
#define PGW_EXCHANGE_WHY_PAUSED_H

#include "postgres.h"

typedef enum PgwPause
{
	PGW_PAUSE_NONE = 0,
	PGW_PAUSE_MODE, /* pgw.worker_mode = paused */
	/* pgw.worker_mode = draining: what is under way is finished, no new charge is begun */
	PGW_PAUSE_DRAINING,
	/* the rows are another database's: until pgw.resume_after_restore() */
	PGW_PAUSE_RESTORED,
	/* the library does not serve the script's version: until ALTER EXTENSION UPDATE or a restart */
	PGW_PAUSE_VERSION,
	/* pgw.shard_slots has no slot that is at home under this name */
	PGW_PAUSE_NOT_HOME,
	PGW_PAUSE_UNKNOWN /* a worker that has not looked yet */
} PgwPause;

/*
 * Is a caller refused while it is so?  Not because no slot was at home: he has found his at home,
 * which is newer than what the worker has found.  It looks again for him.
 */
extern bool pgw_pause_refuses(PgwPause pause);

/* What a person can do about it. */
extern const char *pgw_pause_hint(PgwPause pause);

#endif
