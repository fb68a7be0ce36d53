/*
 * pause.h - whether the worker may begin anything new
 */
#ifndef PGW_RESTORE_PAUSE_H
#define PGW_RESTORE_PAUSE_H

#include "postgres.h"

#include "exchange/why_paused.h"

extern void pgw_pause_init(void); /* _PG_init: the setting */

/*
 * A mark m in pgw.restore_pending that still counts: nobody has resumed since. Where we are: two
 * parameters.
 */
#define PGW_PAUSE_MARK_COUNTS(m, system_identifier, database_oid) \
	"(" m \
	".incident_id IS NULL OR NOT EXISTS (SELECT FROM pgw.resumptions q WHERE q.system_identifier = " system_identifier \
	" AND q.database_oid = " database_oid " AND q.incident_id = " m ".incident_id))"

/*
 * If the data directory may be a copy and this database has not been told of that yet: a mark in
 * its tables, or a record that it has no payments to decide about.  In a transaction that may
 * write; durable with it.
 */
extern void pgw_pause_notice(void);

/* Would pgw_pause_notice() leave a mark? Reads only. */
extern bool pgw_pause_is_unnoticed(void);

/* By the extension's script: what is created now is no copy. */
extern void pgw_pause_created(void);

/*
 * Are there attempts here that were recorded elsewhere, or came out of a dump, and nobody has
 * resumed since?  In a transaction; looks with a snapshot of its own.
 */
extern bool pgw_pause_is_restored(void);

/* --- worker --- */

/*
 * Look again. In a transaction: after a scan, in the same one, so that nothing is worked on which
 * came with a restore.
 */
extern void pgw_pause_check(void);

/*
 * NONE: go on.  DRAINING: attempts that are under way go on, but no request is taken and no
 * submitted charge is sent.  Otherwise no request is taken and no attempt begun; results of calls
 * that are out are written.
 */
extern PgwPause pgw_pause(void);

/* Does the worker go on with attempts that are under way? */
extern bool pgw_pause_works(void);

/* Does it only finish what is under way, and begin nothing new? */
extern bool pgw_pause_drains(void);

/* Log a change and tell the backends; outside of transactions. */
extern void pgw_pause_tell(void);

#endif
