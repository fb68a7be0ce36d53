/*
 * copied_cluster.h - what the postmaster found out about its data directory before anything was
 * recovered
 */
#ifndef PGW_RESTORE_COPIED_CLUSTER_H
#define PGW_RESTORE_COPIED_CLUSTER_H

#include "postgres.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "core/files/copy_rules.h"

typedef struct PgwCopy
{
	PgwCopyReason reason; /* of the last incident; NONE: there was none */
	pg_uuid_t incident;
	TimestampTz since;
	/* pgw.state could not be written: the next start finds out anew */
	bool unwritten;
	bool instance_ignored; /* pgw.instance stands in a file of the data directory */
	char instance[PGW_INSTANCE_MAX + 1];
} PgwCopy;

/*
 * _PG_init: the setting, and shared memory.  The postmaster judges when it creates that, and writes
 * pgw.state.
 */
extern void pgw_copy_init(void);

/*
 * Unchanged from the server's start to its end. NULL: not preloaded, or not started by a
 * postmaster.
 */
extern const PgwCopy *pgw_copy(void);

#endif
