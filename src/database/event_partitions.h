/*
 * event_partitions.h - the partitions of pgw.transaction_events: where an event lies, and those of
 * the months to come
 */
#ifndef PGW_DATABASE_EVENT_PARTITIONS_H
#define PGW_DATABASE_EVENT_PARTITIONS_H

#include "postgres.h"
#include "utils/uuid.h"

/* Where the events of an attempt lie; not locked. */
extern Oid pgw_event_partition(const pg_uuid_t *transaction_id);
/* of one that begins now */
extern Oid pgw_event_partition_now(void);
/* Locked for writing: it cannot be detached before the transaction ends. */
extern Oid pgw_event_partition_lock(const pg_uuid_t *transaction_id);

/*
 * Monthly event partitions: make sure this month's and the next `ahead` exist (worker only).
 * false: one is missing, and is not made, because the server would look through all of the default
 * partition for rows of its month, which has more than `largest` bytes.
 */
extern bool pgw_event_partitions_ensure(int ahead, int64 largest);

#endif
