/*
 * watch_locks.c - the worker looks whether calls can have the tables that each of them needs
 *
 * A call that cannot even learn whether its role may pay ends in its own backend, and the worker,
 * which needs neither grants nor merchants, would see nothing of it: it would be ready, and nobody
 * could pay.  So it asks for what a call asks for, without waiting, and lets go at once.
 *
 * Owns nothing; what it sees is for lock_refusals.c.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/rel.h"
#include "utils/relcache.h"

#include "database/event_partitions.h"
#include "database/lock_refusals.h"
#include "database/relations.h"
#include "database/table_locks_internal.h"
#include "database/watch_locks.h"

static const char *const read_tables[] = {"access_grants", "merchants", "banks", "connectors",
										  "bank_versions"};
static const char *const written_tables[] = {
	"payments", "payment_transactions", "transaction_events", "open_work", "bank_references",
};

static bool
can_be_had(Oid relid, LOCKMODE mode)
{
	if (!ConditionalLockRelationOid(relid, mode))
		return false;
	UnlockRelationOid(relid, mode);
	return true;
}

/*
 * Its indexes are read with it.  AccessShareLock of what is written, too: what the worker has for
 * callers in flight it gets again in that mode, whoever queues.
 */
static bool
table_can_be_had(Oid relid, LOCKMODE mode)
{
	Relation rel;
	List *indexes;
	ListCell *lc;
	bool had = true;

	if (!can_be_had(relid, AccessShareLock) || !can_be_had(relid, mode) ||
		!ConditionalLockRelationOid(relid, AccessShareLock))
		return false;
	rel = RelationIdGetRelation(relid);
	if (RelationIsValid(rel))
	{
		indexes = RelationGetIndexList(rel);
		RelationClose(rel);
		foreach (lc, indexes)
			had = had && can_be_had(lfirst_oid(lc), AccessShareLock);
		list_free(indexes);
	}
	UnlockRelationOid(relid, AccessShareLock);
	return had;
}

static Oid
first_of(const char *const *tables, int n, LOCKMODE mode)
{
	for (int i = 0; i < n; i++)
	{
		Oid relid = pgw_relation_or_none(tables[i]);

		if (OidIsValid(relid) && !table_can_be_had(relid, mode))
			return relid;
	}
	return InvalidOid;
}

void
pgw_tables_watch(void *unused)
{
	PgwTablesStatus s;
	Oid relid = first_of(read_tables, lengthof(read_tables), AccessShareLock);
	Oid month = pgw_event_partition_now();

	if (!OidIsValid(relid))
		relid = first_of(written_tables, lengthof(written_tables), PGW_WRITE_LOCK);
	if (!OidIsValid(relid) && !table_can_be_had(month, PGW_WRITE_LOCK))
		relid = month;
	pgw_tables_note_kept_out(relid);
	pgw_tables_status(&s);
	if (OidIsValid(s.refused_table) && can_be_had(s.refused_table, PGW_WRITE_LOCK))
		pgw_tables_refusal_is_over();
}
