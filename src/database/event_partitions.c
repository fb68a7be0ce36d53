/*
 * event_partitions.c - the partitions of pgw.transaction_events: where an event lies, and those of
 * the months to come
 *
 * The server itself routes each event that is written (event_rows.c).  But the locks of what will
 * be written are taken beforehand, and events are read without a snapshot; so pgw has to find an
 * event's partition, too, and does by the parent's bounds.
 *
 * Owns: what is remembered of the partitions' bounds.
 * Locks: AccessShareLock on the parent where it has to be looked for; RowExclusiveLock on the one
 * partition that is written.  What makes partitions takes the locks of its statements beforehand,
 * without waiting.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/uuid.h"

#include "base/new_id.h"
#include "database/event_partitions.h"
#include "database/relation_changes.h"
#include "database/relations.h"
#include "database/statements.h"
#include "database/table_locks.h"

/* ---- where an event lies ---- */

/* Ids from low (inclusive) to high (exclusive) lie in this partition. */
typedef struct PgwPartition
{
	Oid parent; /* InvalidOid: void */
	Oid relid;
	bool no_low;
	bool no_high;
	pg_uuid_t low;
	pg_uuid_t high;
} PgwPartition;

#define MAX_PARTITIONS 8

static PgwPartition partitions[MAX_PARTITIONS];
static int next_partition = 0;

/* Attached, detached, altered: what is remembered of it is void then. */
static void
forget_table(Oid relid)
{
	for (int i = 0; i < MAX_PARTITIONS; i++)
	{
		if (relid == InvalidOid || relid == partitions[i].parent || relid == partitions[i].relid)
			partitions[i].parent = InvalidOid;
	}
}

static int
compare_ids(const pg_uuid_t *a, const pg_uuid_t *b)
{
	return memcmp(a->data, b->data, UUID_LEN);
}

static bool
lies_in(const PgwPartition *p, Oid parent, const pg_uuid_t *id)
{
	return p->parent == parent && (p->no_low || compare_ids(&p->low, id) <= 0) &&
		   (p->no_high || compare_ids(id, &p->high) < 0);
}

/* The bound at this place; false: there is none on that side. */
static bool
get_bound(PartitionBoundInfo bounds, int i, pg_uuid_t *out)
{
	if (i < 0 || i >= bounds->ndatums || bounds->kind[i][0] != PARTITION_RANGE_DATUM_VALUE)
		return false;
	*out = *DatumGetUUIDP(bounds->datums[i][0]);
	return true;
}

/*
 * By the parent's bounds, as PostgreSQL routes a row: a table that only has a partition's name gets
 * no event.
 */
static void
route(Relation parent, const pg_uuid_t *id, PgwPartition *p)
{
	PartitionKey key = RelationGetPartitionKey(parent);
	PartitionDesc desc = RelationGetPartitionDesc(parent, true);
	PartitionBoundInfo bounds = desc->boundinfo;
	Datum value = UUIDPGetDatum(id);
	bool equal;
	int offset;
	int index = -1;

	if (key == NULL || key->strategy != PARTITION_STRATEGY_RANGE || key->partnatts != 1 ||
		key->parttypid[0] != UUIDOID)
		elog(ERROR, "table pgw.transaction_events is not partitioned by ranges of transaction_id");
	memset(p, 0, sizeof(*p));
	p->parent = RelationGetRelid(parent);
	p->no_low = p->no_high = true;
	if (desc->nparts > 0)
	{
		offset = partition_range_datum_bsearch(key->partsupfunc, key->partcollation, bounds, 1,
											   &value, &equal);
		p->no_low = !get_bound(bounds, offset, &p->low);
		p->no_high = !get_bound(bounds, offset + 1, &p->high);
		index = bounds->indexes[offset + 1];
		if (index < 0)
			index = bounds->default_index;
	}
	if (index < 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg("pgw.transaction_events has no partition for events of now"),
			 errhint(
				 "Attach pgw.transaction_events_default again as its default partition, or call pgw.ensure_event_partitions().")));
	p->relid = desc->oids[index];
	if (!desc->is_leaf[index])
		elog(ERROR, "partition %u of pgw.transaction_events is itself partitioned", p->relid);
}

Oid
pgw_event_partition(const pg_uuid_t *transaction_id)
{
	Oid parent = pgw_relation("transaction_events");
	PgwPartition fresh;
	Relation rel;

	for (int i = 0; i < MAX_PARTITIONS; i++)
	{
		if (lies_in(&partitions[i], parent, transaction_id))
			return partitions[i].relid;
	}
	pgw_tell_of_relation_changes(forget_table);
	pgw_table_lock(parent, AccessShareLock);
	rel = table_open(parent, NoLock);
	route(rel, transaction_id, &fresh);
	table_close(rel, NoLock);
	/* only now: what came before can have processed invalidations */
	partitions[next_partition] = fresh;
	next_partition = (next_partition + 1) % MAX_PARTITIONS;
	return fresh.relid;
}

Oid
pgw_event_partition_lock(const pg_uuid_t *transaction_id)
{
	for (;;)
	{
		Oid relid = pgw_event_partition(transaction_id);

		pgw_table_lock(relid, RowExclusiveLock);
		/* whether it had been detached before, the lock has told us */
		if (pgw_event_partition(transaction_id) == relid)
			return relid;
	}
}

Oid
pgw_event_partition_now(void)
{
	pg_uuid_t id;

	pgw_new_id(&id);
	return pgw_event_partition(&id);
}

/* ---- the months to come ---- */

/* Is a partition to be made, while the default one is larger than so many bytes? */
static bool
is_too_large(int ahead, int64 largest)
{
	Oid relid = pgw_relation_or_none("transaction_events_default");
	Oid types[3] = {OIDOID, INT8OID, INT4OID};
	Datum args[3] = {ObjectIdGetDatum(relid), Int64GetDatum(largest), Int32GetDatum(ahead)};
	bool isnull;

	if (!OidIsValid(relid))
		return false;
	pgw_table_lock(relid, AccessShareLock);
	if (SPI_execute_with_args(
			"SELECT pg_relation_size($1) > $2 AND EXISTS (SELECT FROM generate_series(0, $3) i"
			" WHERE to_regclass('pgw.transaction_events_y' || to_char(date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC')"
			" + make_interval(months => i), 'YYYY\"m\"MM')) IS NULL)",
			3, types, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "the default partition of events could not be looked at");
	return DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull)) &&
		   !isnull;
}

/*
 * Only once there are records, or a bank of somebody's own: a dump that is being restored brings
 * its partitions, before either of them.
 */
static bool
are_due(void)
{
	bool isnull;

	if (SPI_execute("SELECT EXISTS (SELECT FROM pgw.banks WHERE name <> 'test')"
					" OR EXISTS (SELECT FROM pgw.payments)",
					true, 0) != SPI_OK_SELECT)
		elog(ERROR, "the banks could not be looked at");
	return DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

bool
pgw_event_partitions_ensure(int ahead, int64 largest)
{
	Oid types[1] = {INT4OID};
	Datum args[1] = {Int32GetDatum(ahead)};
	bool fine = true;
	bool due;

	pgw_table_need("banks", AccessShareLock);
	pgw_table_need("payments", AccessShareLock);
	pgw_table_need("transaction_events", ShareUpdateExclusiveLock);
	pgw_statements_begin();
	due = are_due();
	if (due)
		fine = !is_too_large(ahead, largest);
	if (due && fine &&
		SPI_execute_with_args("SELECT pgw.ensure_event_partitions($1)", 1, types, args, NULL, false,
							  0) < 0)
		elog(ERROR, "the creation of event partitions failed");
	pgw_statements_end();
	return fine;
}
