/*
 * events.c - the events of an attempt, and the one place where an attempt changes
 *
 * What stands in event_data is in event_data.c.
 *
 * Owns: the description of the partition that is read.
 * Locks: those of event_rows.c, event_partitions.c and row.c.
 * Invariants: an attempt's status and step_order change only together with its events, along legal
 * edges; steps run 1..n.  What has been Failed or Refunded is not the live attempt of its id again.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"
#include "utils/xid8.h"

#include "base/error_detail.h"
#include "base/json_writer.h"
#include "base/new_id.h"
#include "core/base/uuid7.h"
#include "database/column_values.h"
#include "database/event_partitions.h"
#include "database/event_rows.h"
#include "database/find_row.h"
#include "database/relations.h"
#include "database/row.h"
#include "database/table_description.h"
#include "store/event_data.h"
#include "store/events.h"
#include "store/events_internal.h"
#include "store/tables.h"

PgwAdvancedHook pgw_store_advanced_hook = NULL;

enum
{
	EV_EVENT_ID,
	EV_TRANSACTION_ID,
	EV_OCCURRED_AT,
	EV_TXID,
	EV_EVENT_TYPE,
	EV_STEP_ORDER,
	EV_FROM_STATUS,
	EV_TO_STATUS,
	EV_PAYMENT_ID,
	EV_CORRELATION_ID,
	EV_BANK_VERSION,
	EV_DIGEST,
	EV_EVENT_DATA,
	EV_ERROR_DETAILS,
	EV_NCOLUMNS
};

static const PgwWantedColumn event_columns[EV_NCOLUMNS] = {
	[EV_EVENT_ID] = {"event_id", UUIDOID},
	[EV_TRANSACTION_ID] = {"transaction_id", UUIDOID},
	[EV_OCCURRED_AT] = {"occurred_at", TIMESTAMPTZOID},
	[EV_TXID] = {"txid", XID8OID},
	[EV_EVENT_TYPE] = {"event_type", InvalidOid},
	[EV_STEP_ORDER] = {"step_order", INT4OID},
	[EV_FROM_STATUS] = {"from_status", InvalidOid},
	[EV_TO_STATUS] = {"to_status", InvalidOid},
	[EV_PAYMENT_ID] = {"payment_id", UUIDOID},
	[EV_CORRELATION_ID] = {"correlation_id", UUIDOID},
	[EV_BANK_VERSION] = {"bank_version", INT4OID},
	[EV_DIGEST] = {"digest", BYTEAOID},
	[EV_EVENT_DATA] = {"event_data", JSONBOID},
	[EV_ERROR_DETAILS] = {"error_details", TEXTOID}};

/* Of the partition that was last read: nearly always that of this month. */
static PgwTableDescription description;

static const PgwTableDescription *
describe(Oid relid)
{
	static const PgwWantedTable wanted = {.what = "a partition of pgw.transaction_events",
										  .columns = event_columns,
										  .ncolumns = EV_NCOLUMNS};

	if (description.of.relid != relid)
		pgw_table_describe(&description, relid, &wanted);
	return &description;
}

/* ---- an event as a row ---- */

void
pgw_store_check_events(void)
{
	(void) describe(pgw_event_partition_now());
}

static PgwNewEvent
new_event(const PgwAttempt *attempt, const PgwEvent *event)
{
	PgwNewEvent row = {
		.transaction_id = attempt->transaction_id,
		/* Clock time; readers order by step, never by it. */
		.occurred_at = GetCurrentTimestamp(),
		.txid = GetTopFullTransactionId(),
		.event_type = pgw_event_name(event->type),
		.step_order = attempt->step_order,
		.from_status = pgw_state_name(event->from),
		.to_status = pgw_state_name(event->to),
		.facts = pgw_event_facts(attempt, event),
		.event_data = pgw_event_data(attempt, event),
		.error_details = event->error_details,
	};

	pgw_new_id(&row.event_id);
	return row;
}

/* Their steps follow on those of the attempt. */
static PgwNewEvent *
make_events(PgwAttempt *attempt, const PgwEvent *events, int n)
{
	PgwNewEvent *rows = palloc(n * sizeof(PgwNewEvent));

	for (int i = 0; i < n; i++)
	{
		attempt->step_order++;
		rows[i] = new_event(attempt, &events[i]);
		pgw_event_data_told(attempt);
	}
	return rows;
}

void
pgw_store_write_events(PgwAttempt *attempt, const PgwEvent *events, int n)
{
	PgwNewEvent *rows = make_events(attempt, events, n);

	pgw_event_rows_write(rows, n);
	pfree(rows);
}

static char *
internal_error_of(const PgwAttempt *attempt)
{
	PgwJsonWriter w;
	char id[37];

	pgw_uuid_to_text(attempt->transaction_id.data, id);
	pgw_json_begin(&w);
	pgw_json_put_string(&w, "transaction_id", id);
	return pgw_error_detail("internal_error", w.text.data);
}

/* What the bank reports is no step of what pgw makes; nor does pgw step with what it has not made.
 */
static bool
is_of_origin(const PgwAttempt *attempt, PgwEventType type)
{
	if (attempt->origin == NULL)
		return type != PGW_EV_BANK_REPORTED;
	return type == PGW_EV_BANK_REPORTED || type == PGW_EV_TRANSACTION_STARTED ||
		   type == PGW_EV_TRANSACTION_COMPLETED;
}

void
pgw_store_advance(PgwAttempt *attempt, bool insert, const PgwEvent *events, int n)
{
	PgwState before = insert ? PGW_STATE_NONE : attempt->status;
	PgwState state = before;
	PgwNewEvent *rows;

	/* Every edge is checked before anything is written. */
	if (n <= 0)
		elog(ERROR, "an attempt cannot change without an event");
	for (int i = 0; i < n; i++)
	{
		/*
		 * A group of events may stand on one edge: each names from and to of the edge, the first
		 * from the present state.
		 */
		bool same_edge =
			i > 0 && events[i].from == events[i - 1].from && events[i].to == events[i - 1].to;

		if ((events[i].from != state && !same_edge) || !is_of_origin(attempt, events[i].type) ||
			!pgw_event_legal(attempt->kind, events[i].from, events[i].to, events[i].type))
		{
			char id[37];
			const char *from = pgw_state_name(events[i].from);

			pgw_uuid_to_text(attempt->transaction_id.data, id);
			ereport(ERROR, (errcode(MAKE_SQLSTATE('P', 'W', '5', '0', '0')),
							errmsg("illegal step of attempt %s: %s from %s to %s", id,
								   pgw_event_name(events[i].type), from != NULL ? from : "nothing",
								   pgw_state_name(events[i].to)),
							errdetail_internal("%s", internal_error_of(attempt))));
		}
		state = events[i].to;
	}

	rows = make_events(attempt, events, n);
	attempt->status = state;
	if (state != before)
	{
		attempt->put_off_since = 0; /* what could not be asked for is another step's now */
		attempt->put_off_reason = NULL;
	}
	if (state == PGW_FAILED || state == PGW_REFUNDED)
	{
		/* another attempt may have its id; it keeps out of the way whatever turns up late */
		attempt->live = false;
		attempt->given_up = true;
	}
	/* The row first: an attempt that was read without a lock may be found to be overtaken there. */
	if (insert)
		pgw_store_insert_attempt(attempt);
	else
		pgw_store_update_attempt(attempt);
	if (attempt->place.overtaken)
		return;
	pgw_event_rows_write(rows, n);
	pfree(rows);
	if (pgw_store_advanced_hook != NULL)
		pgw_store_advanced_hook(attempt, before, events, n);
}

/* ---- reading ---- */

typedef struct EventList
{
	PgwEventRow *rows;
	int n;
	int cap;
} EventList;

static Datum
get(PgwRel *r, int column, bool *isnull)
{
	return slot_getattr(r->found, describe(RelationGetRelid(r->rel))->attnums[column], isnull);
}

static PgwState
get_status(PgwRel *r, int column)
{
	bool isnull;
	Datum d = get(r, column, &isnull);
	Oid type = describe(RelationGetRelid(r->rel))->types[column];

	return isnull ? PGW_STATE_NONE : pgw_state_parse(pgw_row_to_string(type, d));
}

static bool
get_uuid(PgwRel *r, int column, pg_uuid_t *out)
{
	bool isnull;
	Datum d = get(r, column, &isnull);

	if (!isnull)
		memcpy(out, DatumGetUUIDP(d), UUID_LEN);
	return !isnull;
}

static void
get_facts(PgwRel *r, PgwEventFacts *f)
{
	bool isnull;
	Datum d;

	f->has_payment_id = get_uuid(r, EV_PAYMENT_ID, &f->payment_id);
	f->has_correlation_id = get_uuid(r, EV_CORRELATION_ID, &f->correlation_id);
	d = get(r, EV_BANK_VERSION, &isnull);
	f->bank_version = isnull ? 0 : DatumGetInt32(d);
	d = get(r, EV_DIGEST, &isnull);
	if (!isnull)
	{
		bytea *digest = DatumGetByteaPP(d);

		f->has_digest = VARSIZE_ANY_EXHDR(digest) == PGW_EVENT_DIGEST_LEN;
		if (f->has_digest)
			memcpy(f->digest, VARDATA_ANY(digest), PGW_EVENT_DIGEST_LEN);
	}
}

static void
collect_event(PgwRel *r, void *arg)
{
	EventList *list = arg;
	Oid relid = RelationGetRelid(r->rel);
	PgwEventRow *e;
	bool isnull;
	Datum d;

	if (list->n == list->cap)
	{
		list->cap = list->cap == 0 ? 16 : list->cap * 2;
		list->rows = list->rows == NULL ? palloc(list->cap * sizeof(PgwEventRow))
										: repalloc(list->rows, list->cap * sizeof(PgwEventRow));
	}
	e = &list->rows[list->n++];
	memset(e, 0, sizeof(*e));
	d = get(r, EV_EVENT_ID, &isnull);
	memcpy(&e->event_id, DatumGetUUIDP(d), UUID_LEN);
	d = get(r, EV_TRANSACTION_ID, &isnull);
	memcpy(&e->transaction_id, DatumGetUUIDP(d), UUID_LEN);
	e->occurred_at = DatumGetTimestampTz(get(r, EV_OCCURRED_AT, &isnull));
	e->txid = DatumGetFullTransactionId(get(r, EV_TXID, &isnull));
	d = get(r, EV_EVENT_TYPE, &isnull);
	e->event_type = pgw_row_to_string(describe(relid)->types[EV_EVENT_TYPE], d);
	e->step_order = DatumGetInt32(get(r, EV_STEP_ORDER, &isnull));
	e->from = get_status(r, EV_FROM_STATUS);
	e->to = get_status(r, EV_TO_STATUS);
	get_facts(r, &e->facts);
	d = get(r, EV_EVENT_DATA, &isnull);
	if (!isnull)
		e->event_data = DatumGetJsonbPCopy(d);
	d = get(r, EV_ERROR_DETAILS, &isnull);
	if (!isnull)
		e->error_details = TextDatumGetCString(d);
}

static int
compare_steps(const void *a, const void *b)
{
	int x = ((const PgwEventRow *) a)->step_order;
	int y = ((const PgwEventRow *) b)->step_order;

	return (x > y) - (x < y);
}

int
pgw_store_events(const pg_uuid_t *transaction_id, PgwEventRow **out)
{
	static PgwIndexByColumns by_attempt = {.columns = {"transaction_id"}, .n = 1};
	EventList list = {0};
	PgwRel r;
	Oid relid = pgw_event_partition(transaction_id);
	Datum key = UUIDPGetDatum(transaction_id);
	Oid index = pgw_relation_index(relid, &by_attempt);

	if (!OidIsValid(index))
		elog(ERROR, "table pgw.transaction_events has no index on transaction_id");
	pgw_row_open_read(&r, relid);
	pgw_row_each(&r, index, &key, 1, collect_event, &list);
	pgw_row_close(&r);
	if (list.n > 1)
		qsort(list.rows, list.n, sizeof(PgwEventRow), compare_steps);
	*out = list.rows;
	return list.n;
}
