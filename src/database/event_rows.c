/*
 * event_rows.c - rows of pgw.transaction_events, written by INSERT statements
 *
 * Through SPI, by plans that are kept: the server finds each row's partition, checks its
 * constraints and fires its triggers.  A statement writes as many rows as there are.  They come as
 * a transition table does, a tuplestore that the statement knows by name: so one plan serves for
 * any number of rows, and nothing is prepared for each value.  It reads no table, so it has no
 * part in any serialization conflict.  Its snapshot is the one that is active; a new one would be
 * taken for nothing.  In the worker all events of a batch go in one statement, at its end
 * (batch.c).
 *
 * What is no plain INSERT is noticed: a trigger or rule that leaves a row out, or a trigger that
 * changes one of pgw's columns (foreign_code.h).  Only then are the rows asked for again
 * (RETURNING).
 *
 * Owns: the kept plans; what is remembered of the code of others on a partition; the rows that are
 * collected, which end with their transaction.
 * Locks: RowExclusiveLock on the parent and on the partition of each row, in this order, which is
 * the callers' (table_locks.c); taken here, before the statement would, so that the worker waits
 * for none of them.  The parent's lock keeps the partition from being detached.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/xid8.h"

#include "core/base/mutant.h"
#include "database/column_values.h"
#include "database/event_partitions.h"
#include "database/event_rows.h"
#include "database/foreign_code.h"
#include "database/late_events.h"
#include "database/relation_changes.h"
#include "database/relations.h"
#include "database/row.h"
#include "database/table_description.h"
#include "database/table_locks.h"

/* The columns that are written. */
enum
{
	EVENT_ID,
	TRANSACTION_ID,
	OCCURRED_AT,
	TXID,
	EVENT_TYPE,
	STEP_ORDER,
	FROM_STATUS,
	TO_STATUS,
	PAYMENT_ID,
	CORRELATION_ID,
	VERSION_OF_BANK,
	DIGEST,
	EVENT_DATA,
	ERROR_DETAILS,
	NCOLUMNS
};

static const PgwWantedColumn columns[NCOLUMNS] = {[EVENT_ID] = {"event_id", UUIDOID},
												  [TRANSACTION_ID] = {"transaction_id", UUIDOID},
												  [OCCURRED_AT] = {"occurred_at", TIMESTAMPTZOID},
												  [TXID] = {"txid", XID8OID},
												  [EVENT_TYPE] = {"event_type", InvalidOid},
												  [STEP_ORDER] = {"step_order", INT4OID},
												  [FROM_STATUS] = {"from_status", InvalidOid},
												  [TO_STATUS] = {"to_status", InvalidOid},
												  [PAYMENT_ID] = {"payment_id", UUIDOID},
												  [CORRELATION_ID] = {"correlation_id", UUIDOID},
												  [VERSION_OF_BANK] = {"bank_version", INT4OID},
												  [DIGEST] = {"digest", BYTEAOID},
												  [EVENT_DATA] = {"event_data", JSONBOID},
												  [ERROR_DETAILS] = {"error_details", TEXTOID}};

/* As the statement calls the rows that it is to write.  It is no table's name: a table may have it.
 */
static char new_rows[] = "new_events";

#define ROOM_KILOBYTES (1024 * 1024)

static PgwTableDescription parent; /* and the types of its columns */

/* ---- the plans ---- */

/* Of one table: another CREATE EXTENSION makes other types. */
static struct
{
	Oid relid;
	SPIPlanPtr insert; /* NULL: not made yet */
	SPIPlanPtr returning;
} plans;

static void
free_plan(SPIPlanPtr *plan)
{
	if (*plan != NULL)
		(void) SPI_freeplan(*plan);
	*plan = NULL;
}

/* Locked by the caller. */
static void
describe_parent(Oid relid)
{
	static const PgwWantedTable wanted = {
		.what = "table pgw.transaction_events", .columns = columns, .ncolumns = NCOLUMNS};

	if (parent.of.relid != relid)
		pgw_table_describe(&parent, relid, &wanted);
	if (plans.relid == relid)
		return;
	free_plan(&plans.insert);
	free_plan(&plans.returning);
	plans.relid = relid;
}

static void
append_columns(StringInfo s)
{
	for (int c = 0; c < NCOLUMNS; c++)
		appendStringInfo(s, "%s%s", c > 0 ? ", " : "", columns[c].name);
}

/* The rows are known to SPI by their name already: the statement is parsed with them. */
static SPIPlanPtr
make_plan(bool returning)
{
	StringInfoData s;
	SPIPlanPtr plan;

	initStringInfo(&s);
	appendStringInfoString(&s, "INSERT INTO pgw.transaction_events (");
	append_columns(&s);
	appendStringInfoString(&s, ") SELECT ");
	append_columns(&s);
	appendStringInfo(&s, " FROM %s", new_rows);
	if (returning)
	{
		appendStringInfoString(&s, " RETURNING ");
		append_columns(&s);
	}
	plan = SPI_prepare(s.data, 0, NULL);
	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "the INSERT of events could not be prepared: %s",
			 SPI_result_code_string(SPI_result));
	pfree(s.data);
	return plan;
}

static SPIPlanPtr
plan_for(bool returning)
{
	SPIPlanPtr *plan = returning ? &plans.returning : &plans.insert;

	if (*plan == NULL)
		*plan = make_plan(returning);
	return *plan;
}

/* ---- code of others ---- */

typedef struct Foreign
{
	Oid relid;       /* a partition; InvalidOid: void */
	bool runs;       /* a row that is written runs code of others */
	bool may_change; /* which can change it, or leave it out */
} Foreign;

#define MAX_PARTITIONS 8

static Foreign foreign[MAX_PARTITIONS];
static int next_foreign = 0;

static void
forget_partition(Oid relid)
{
	for (int i = 0; i < MAX_PARTITIONS; i++)
	{
		if (relid == InvalidOid || relid == foreign[i].relid)
			foreign[i].relid = InvalidOid;
	}
}

static Foreign
code_on(Oid relid)
{
	Foreign f = {.relid = relid};
	PgwRel r;

	for (int i = 0; i < MAX_PARTITIONS; i++)
	{
		if (foreign[i].relid == relid)
			return foreign[i];
	}
	pgw_tell_of_relation_changes(forget_partition);
	pgw_row_open_write(&r, relid, NULL, false);
	f.runs = r.runs_foreign_code;
	f.may_change = pgw_foreign_may_change(r.rel, CMD_INSERT);
	pgw_row_close(&r);
	/* only now: what came before can have processed invalidations */
	foreign[next_foreign] = f;
	next_foreign = (next_foreign + 1) % MAX_PARTITIONS;
	return f;
}

/* ---- a statement ---- */

typedef struct Statement
{
	const PgwNewEvent *rows;
	int n;
	Oid partition; /* of the last row */
	bool runs_foreign_code;
	bool may_change;
} Statement;

/* A row in the layout of the parent, others' columns NULL: those are not read. */
typedef struct Row
{
	Datum *values;
	bool *nulls;
} Row;

static Row
make_row(int natts)
{
	Row row = {palloc0(natts * sizeof(Datum)), palloc(natts * sizeof(bool))};

	memset(row.nulls, true, natts * sizeof(bool));
	return row;
}

static void
put(Row *row, int column, Datum value, bool isnull)
{
	int i = parent.attnums[column] - 1;

	row->values[i] = value;
	row->nulls[i] = isnull;
}

static void
put_name(Row *row, int column, const char *name)
{
	put(row, column, name != NULL ? pgw_row_from_string(parent.types[column], name) : (Datum) 0,
		name == NULL);
}

static Datum
digest_datum(const unsigned char *digest)
{
	bytea *value = palloc(VARHDRSZ + PGW_EVENT_DIGEST_LEN);

	SET_VARSIZE(value, VARHDRSZ + PGW_EVENT_DIGEST_LEN);
	memcpy(VARDATA(value), digest, PGW_EVENT_DIGEST_LEN);
	return PointerGetDatum(value);
}

static void
put_facts(Row *row, const PgwEventFacts *f)
{
	put(row, PAYMENT_ID, UUIDPGetDatum(&f->payment_id), !f->has_payment_id);
	put(row, CORRELATION_ID, UUIDPGetDatum(&f->correlation_id), !f->has_correlation_id);
	put(row, VERSION_OF_BANK, Int32GetDatum(f->bank_version), f->bank_version == 0);
	put(row, DIGEST, f->has_digest ? digest_datum(f->digest) : (Datum) 0, !f->has_digest);
}

static void
put_event(Row *row, const PgwNewEvent *e)
{
	put(row, EVENT_ID, UUIDPGetDatum(&e->event_id), false);
	put(row, TRANSACTION_ID, UUIDPGetDatum(&e->transaction_id), false);
	put(row, OCCURRED_AT, TimestampTzGetDatum(e->occurred_at), false);
	put(row, TXID, FullTransactionIdGetDatum(e->txid), false);
	put_name(row, EVENT_TYPE, e->event_type);
	/* the domain's own check is for values of other types */
	Assert(e->step_order >= 1);
	put(row, STEP_ORDER, Int32GetDatum(e->step_order), false);
	put_name(row, FROM_STATUS, e->from_status);
	put_name(row, TO_STATUS, e->to_status);
	put_facts(row, &e->facts);
	put(row, EVENT_DATA, JsonbPGetDatum(e->event_data), e->event_data == NULL);
	put(row, ERROR_DETAILS,
		e->error_details != NULL ? CStringGetTextDatum(e->error_details) : (Datum) 0,
		e->error_details == NULL);
}

/* Their locks, after the parent's, and what the rows will meet in their partitions. */
static void
lock_partitions(Statement *s)
{
	const PgwNewEvent *rows = s->rows;

	for (int i = 0; i < s->n; i++)
	{
		Foreign f;

		/* nearly always all rows have one partition: that of this month */
		if (i > 0 && pgw_event_partition(&rows[i].transaction_id) == s->partition)
			continue;
		s->partition = pgw_event_partition_lock(&rows[i].transaction_id);
		f = code_on(s->partition);
		s->runs_foreign_code |= f.runs;
		s->may_change |= f.may_change;
	}
}

/* What was returned must be what was written. */
static void
compare(const Statement *s, Relation partition)
{
	TupleDesc desc = SPI_tuptable->tupdesc;
	Row row = make_row(MaxHeapAttributeNumber);

	for (int i = 0; i < s->n; i++)
	{
		put_event(&row, &s->rows[i]);
		for (int c = 0; c < NCOLUMNS; c++)
		{
			Form_pg_attribute att = TupleDescAttr(desc, c);
			int at = parent.attnums[c] - 1;
			bool is_null;
			Datum is = SPI_getbinval(SPI_tuptable->vals[i], desc, c + 1, &is_null);

			if (row.nulls[at] != is_null ||
				(!is_null && !datum_image_eq(row.values[at], is, att->attbyval, att->attlen)))
				pgw_foreign_raise_changed(partition, CMD_INSERT, columns[c].name);
		}
	}
}

static void
check_result(const Statement *s, int code)
{
	Relation partition;

	if ((code == SPI_OK_INSERT && SPI_processed == (uint64) s->n) || PGW_MUTATED(EVENT_LEFT_OUT))
		return;
	partition = table_open(s->partition, NoLock);
	if (SPI_processed != (uint64) s->n)
		pgw_foreign_raise_left_out(partition, CMD_INSERT);
	if (code != SPI_OK_INSERT_RETURNING)
		elog(ERROR, "unexpected result of the INSERT of events: %s", SPI_result_code_string(code));
	compare(s, partition);
	table_close(partition, NoLock);
}

/* In memory, whatever work_mem is: there they are already, and what is being paid leaves no file.
 */
static Tuplestorestate *
store_rows(const Statement *s, TupleDesc desc)
{
	Tuplestorestate *store = tuplestore_begin_heap(false, false, ROOM_KILOBYTES);
	Row row = make_row(desc->natts);

	for (int i = 0; i < s->n; i++)
	{
		put_event(&row, &s->rows[i]);
		tuplestore_putvalues(store, desc, row.values, row.nulls);
	}
	return store;
}

static void
execute(Statement *s, Relation table)
{
	EphemeralNamedRelationData rows = {.md = {.name = new_rows,
											  .reliddesc = RelationGetRelid(table),
											  .enrtype = ENR_NAMED_TUPLESTORE,
											  .enrtuples = s->n},
									   .reldata = store_rows(s, RelationGetDescr(table))};
	int code;

	if (SPI_connect() != SPI_OK_CONNECT || SPI_register_relation(&rows) != SPI_OK_REL_REGISTER)
		elog(ERROR, "the rows of new events could not be made known to SPI");
	code = SPI_execute_snapshot(plan_for(s->may_change), NULL, NULL, GetActiveSnapshot(),
								InvalidSnapshot, false, true, 0);
	check_result(s, code);
	SPI_finish();
	tuplestore_end(rows.reldata);
}

static void
write_now(const PgwNewEvent *rows, int n)
{
	Oid relid = pgw_relation("transaction_events");
	Statement s = {.rows = rows, .n = n};
	bool pushed = !ActiveSnapshotSet();
	Relation table;
	int guard;

	pgw_table_lock(relid, RowExclusiveLock);
	describe_parent(relid);
	lock_partitions(&s);
	table = table_open(relid, NoLock);
	/* a rule on the parent takes part as in any statement */
	s.runs_foreign_code |= table->rd_rules != NULL;

	if (pushed)
		PushActiveSnapshot(GetTransactionSnapshot());
	guard = pgw_foreign_begin(s.runs_foreign_code);
	execute(&s, table);
	pgw_foreign_end(guard);
	pgw_late_events_write(rows, n);
	if (pushed)
		PopActiveSnapshot();
	table_close(table, NoLock);
}

/* ---- all of a batch together ---- */

#define FIRST_ROOM 64

static MemoryContext collecting = NULL; /* NULL: rows are written at once */
static PgwNewEvent *collected;
static int ncollected;
static int room;

void
pgw_event_rows_collect(MemoryContext context)
{
	collecting = context;
	collected = NULL;
	ncollected = room = 0;
}

void
pgw_event_rows_forget(void)
{
	collecting = NULL; /* the rows went with their transaction */
}

void
pgw_event_rows_write_collected(void)
{
	int n = ncollected;

	Assert(collecting != NULL);
	pgw_event_rows_forget();
	if (n > 0)
		write_now(collected, n);
}

/* What the caller has may be gone by the end of the batch. */
static void
keep(const PgwNewEvent *row)
{
	MemoryContext old = MemoryContextSwitchTo(collecting);
	PgwNewEvent *e;

	if (ncollected == room)
	{
		room = room == 0 ? FIRST_ROOM : room * 2;
		collected = collected == NULL ? palloc(room * sizeof(PgwNewEvent))
									  : repalloc(collected, room * sizeof(PgwNewEvent));
	}
	e = &collected[ncollected++];
	*e = *row;
	if (row->event_data != NULL)
	{
		e->event_data = palloc(VARSIZE(row->event_data));
		memcpy(e->event_data, row->event_data, VARSIZE(row->event_data));
	}
	if (row->error_details != NULL)
		e->error_details = pstrdup(row->error_details);
	MemoryContextSwitchTo(old);
}

void
pgw_event_rows_write(const PgwNewEvent *rows, int n)
{
	if (collecting == NULL)
		write_now(rows, n);
	else
	{
		for (int i = 0; i < n; i++)
			keep(&rows[i]);
	}
}
