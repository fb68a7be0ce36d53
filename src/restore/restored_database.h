/*
 * restored_database.h - is this database a copy, whose original may work on the same payments?
 */
#ifndef PGW_RESTORE_RESTORED_DATABASE_H
#define PGW_RESTORE_RESTORED_DATABASE_H

#include "postgres.h"

/*
 * A mark m in pgw.restore_pending that still counts: nobody has resumed since. Where we are: two
 * parameters.
 */
#define PGW_RESTORED_MARK_COUNTS(m, system_identifier, database_oid) \
	"(" m \
	".incident_id IS NULL OR NOT EXISTS (SELECT FROM pgw.resumptions q WHERE q.system_identifier = " system_identifier \
	" AND q.database_oid = " database_oid " AND q.incident_id = " m ".incident_id))"

/*
 * If the data directory may be a copy and this database has not been told of that yet: a mark in
 * its tables, or a record that it has no payments to decide about.  In a transaction that may
 * write; durable with it.
 */
extern void pgw_restored_notice(void);

/* Would pgw_restored_notice() leave a mark? Reads only. */
extern bool pgw_restored_is_unnoticed(void);

/* By the extension's script: what is created now is no copy. */
extern void pgw_restored_created(void);

/*
 * Are there attempts here that were recorded elsewhere, or came out of a dump, and nobody has
 * resumed since?  In a transaction; looks with a snapshot of its own.
 */
extern bool pgw_is_restored(void);

#endif
