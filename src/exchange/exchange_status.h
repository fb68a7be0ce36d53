/*
 * exchange_status.h - what the exchange tells people: pgw.health(), pgw.metrics, and why there is
 * no worker
 */
#ifndef PGW_EXCHANGE_EXCHANGE_STATUS_H
#define PGW_EXCHANGE_EXCHANGE_STATUS_H

#include "postgres.h"
#include "datatype/timestamp.h"

#include "exchange/why_paused.h"
#include "exchange/worker_progress.h"

/* For pgw.health() and pgw.metrics. */
typedef struct PgwExchangeStatus
{
	bool preloaded;
	int launcher_pid; /* 0: none */
	int worker_pid;   /* 0: none */
	/*
	 * "none", "down", "starting", "running", "paused", "draining", "no extension", "stepping aside"
	 */
	const char *worker_state;
	TimestampTz worker_since; /* of that state; 0: none */
	int worker_failures;      /* ends in a row */
	PgwPause paused;          /* as the worker said last */
	PgwProgress progress;     /* all zero: this database has no entry */
	/* it runs, and has made no turn for PGW_TURN_LATE_MS ... */
	bool worker_late;
	const char *waits_for;  /* ... because of this wait event; NULL: of none */
	bool waits_for_standby; /* ... which is the one for the synchronous standby */
	bool launcher_looked;   /* at pg_database, since the server's start */
	int slots_total;
	int slots_used;      /* all databases */
	int slots_requested; /* this database: wait for the worker */
	int slots_taken;     /* this database: the bank is being called */
} PgwExchangeStatus;
extern void pgw_exchange_status(Oid dboid, PgwExchangeStatus *out);

/* Why dboid has no worker and what comes next, from what is known: a HINT (palloc'd). */
extern char *pgw_exchange_absence(Oid dboid);
extern int pgw_exchange_databases(Oid *out, int max); /* every database that has an entry */

#endif
