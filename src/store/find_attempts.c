/*
 * find_attempts.c - what the worker asks of the tables as a whole, and look-ups beside the two main
 * ones
 *
 * Owns: the kept plans (text only: they are made anew when the extension is dropped and created
 * again).
 * Locks: those of plain statements, which the worker takes beforehand, without waiting.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "core/base/uuid7.h"
#include "database/notify.h"
#include "database/relations.h"
#include "database/table_locks.h"
#include "store/tables_internal.h"

static char *
copy_of(HeapTuple row, TupleDesc desc, int column, MemoryContext context)
{
	char *value = SPI_getvalue(row, desc, column);

	return value == NULL ? NULL : MemoryContextStrdup(context, value);
}

int
pgw_store_bank_states(PgwBankState **out)
{
	MemoryContext context = CurrentMemoryContext;
	int n;

	pgw_table_need("bank_states", AccessShareLock);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	PushActiveSnapshot(GetTransactionSnapshot());
	if (SPI_execute(
			"SELECT bank, operation_group, state, failures, openings, opened_at, cooldown_from FROM pgw.bank_states",
			true, 0) != SPI_OK_SELECT)
		elog(ERROR, "the banks' states could not be read");
	n = (int) SPI_processed;
	*out = MemoryContextAllocZero(context, Max(n, 1) * sizeof(PgwBankState));
	for (int i = 0; i < n; i++)
	{
		PgwBankState *s = &(*out)[i];
		HeapTuple row = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		bool isnull;

		s->bank = copy_of(row, desc, 1, context);
		s->operation_group = copy_of(row, desc, 2, context);
		s->state = copy_of(row, desc, 3, context);
		s->failures = DatumGetInt32(SPI_getbinval(row, desc, 4, &isnull));
		s->openings = DatumGetInt32(SPI_getbinval(row, desc, 5, &isnull));
		s->opened_at = DatumGetTimestampTz(SPI_getbinval(row, desc, 6, &isnull));
		if (isnull)
			s->opened_at = 0;
		s->cooldown_from = DatumGetTimestampTz(SPI_getbinval(row, desc, 7, &isnull));
		if (isnull)
			s->cooldown_from = 0;
	}
	PopActiveSnapshot();
	SPI_finish();
	return n;
}

void
pgw_store_save_bank_state(const PgwBankState *s)
{
	Oid types[7] = {TEXTOID, TEXTOID, TEXTOID, INT4OID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum args[7] = {CStringGetTextDatum(s->bank),         CStringGetTextDatum(s->operation_group),
					 CStringGetTextDatum(s->state),        Int32GetDatum(s->failures),
					 Int32GetDatum(s->openings),           TimestampTzGetDatum(s->opened_at),
					 TimestampTzGetDatum(s->cooldown_from)};
	char nulls[8] = "       ";

	if (s->opened_at == 0)
		nulls[5] = 'n';
	if (s->cooldown_from == 0)
		nulls[6] = 'n';
	pgw_table_need("bank_states", RowExclusiveLock);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	PushActiveSnapshot(GetTransactionSnapshot());
	if (SPI_execute_with_args(
			"INSERT INTO pgw.bank_states AS s (bank, operation_group, state, failures, openings, opened_at, cooldown_from)"
			" VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (bank, operation_group) DO UPDATE SET state = EXCLUDED.state,"
			" failures = EXCLUDED.failures, openings = EXCLUDED.openings, opened_at = EXCLUDED.opened_at,"
			" cooldown_from = EXCLUDED.cooldown_from, changed_at = clock_timestamp()",
			7, types, args, nulls, false, 0) < 0)
		elog(ERROR, "a bank's state could not be saved");
	PopActiveSnapshot();
	SPI_finish();
}

void
pgw_store_forget_bank_states(TimestampTz before)
{
	Oid types[1] = {TIMESTAMPTZOID};
	Datum args[1] = {TimestampTzGetDatum(before)};

	pgw_table_need("bank_states", RowExclusiveLock);
	pgw_table_need("banks", AccessShareLock);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	PushActiveSnapshot(GetTransactionSnapshot());
	if (SPI_execute_with_args(
			"DELETE FROM pgw.bank_states s WHERE s.changed_at < $1 AND NOT EXISTS (SELECT FROM pgw.banks b WHERE b.name = s.bank)",
			1, types, args, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "the states of former banks could not be forgotten");
	PopActiveSnapshot();
	SPI_finish();
}

/*
 * Every role of the database can listen, whatever it may read: so nobody's id, merchant or bank is
 * in it.  Who may look finds the rest with get_payment().
 */
void
pgw_store_notify(const pg_uuid_t *payment_id, PgwKind kind, const char *outcome)
{
	char id[37];
	char *payload;

	pgw_uuid_to_text(payment_id->data, id);
	payload = psprintf("{\"payment_id\": \"%s\", \"kind\": \"%s\", \"outcome\": \"%s\"}", id,
					   pgw_kind_name(kind), outcome);
	pgw_notify("pgw_payments", payload);
	pfree(payload);
}

void
pgw_store_notify_payment(const PgwPayment *p)
{
	if (p->status != PGW_PAY_PENDING)
		pgw_store_notify(&p->payment_id, PGW_KIND_PAYMENT, pgw_payment_status_name(p->status));
}

bool
pgw_store_merchant(const char *name, bool *enabled)
{
	static PgwIndexByColumns by_name = {.columns = {"merchant"}, .n = 1, .unique = true};
	Oid relid = pgw_relation("merchants");
	Oid index = pgw_relation_index(relid, &by_name);
	AttrNumber att = get_attnum(relid, "enabled");
	Datum key = CStringGetTextDatum(name);
	PgwRel r;
	bool found;

	if (!OidIsValid(index))
		elog(ERROR, "table pgw.merchants has no unique index on (merchant)");
	pgw_row_open_read(&r, relid);
	found = pgw_row_find(&r, index, &key, 1, PGW_FIND_THOROUGH, NULL, NULL) == PGW_FIND_ROW;
	*enabled = found;
	if (found && att != InvalidAttrNumber)
	{
		bool isnull;
		Datum d = slot_getattr(r.found, att, &isnull);

		*enabled = !isnull && DatumGetBool(d);
	}
	pgw_row_close(&r);
	return found;
}

typedef struct Search
{
	PgwKind kind;
	bool prefer_live;
	PgwAttempt *out;
	bool found;
} Search;

static bool
is_live(const PgwAttempt *attempt)
{
	return attempt->taken_by_worker && attempt->status != PGW_FAILED &&
		   attempt->status != PGW_REFUNDED;
}

/* Ids grow with time: the greatest is the newest. Of two versions of one row the later counts. */
static void
keep_best(PgwRel *r, void *arg)
{
	Search *s = arg;
	PgwAttempt attempt;
	int newer;

	pgw_store_read(r, PGW_TABLE_TRANSACTIONS, &attempt);
	if (attempt.kind != s->kind || (s->prefer_live && !attempt.taken_by_worker))
		return;
	newer =
		s->found ? memcmp(attempt.transaction_id.data, s->out->transaction_id.data, UUID_LEN) : 1;
	if (newer == 0)
		newer = attempt.step_order >= s->out->step_order ? 1 : -1;
	else if (s->found && s->prefer_live && is_live(&attempt) != is_live(s->out))
		newer = is_live(&attempt) ? 1 : -1;
	if (newer > 0)
		*s->out = attempt;
	s->found = true;
}

static bool
search_request(Search *s, const char *client_request_id, const char *merchant)
{
	static PgwIndexByColumns by_request = {.columns = {"client_request_id", "merchant"}, .n = 2};
	Oid relid = pgw_relation("payment_transactions");
	Oid index = pgw_relation_index(relid, &by_request);
	Datum keys[2] = {CStringGetTextDatum(client_request_id), CStringGetTextDatum(merchant)};
	PgwRel r;

	if (!OidIsValid(index))
		elog(ERROR, "table pgw.payment_transactions has no index on (client_request_id, merchant)");
	pgw_store_open(&r, PGW_TABLE_TRANSACTIONS, false, false);
	pgw_row_each(&r, index, keys, 2, keep_best, s);
	pgw_row_close(&r);
	return s->found;
}

bool
pgw_store_attempt_by_request(PgwKind kind, const char *client_request_id, const char *merchant,
							 PgwAttempt *out)
{
	Search s = {.kind = kind, .out = out};

	return search_request(&s, client_request_id, merchant);
}

bool
pgw_store_earlier_attempt(const char *client_request_id, const char *merchant, PgwAttempt *out)
{
	Search s = {.kind = PGW_KIND_PAYMENT, .prefer_live = true, .out = out};

	return search_request(&s, client_request_id, merchant);
}

typedef struct AttemptList
{
	PgwAttempt *rows;
	int n;
	int cap;
} AttemptList;

static void
collect_attempt(PgwRel *r, void *arg)
{
	AttemptList *list = arg;

	if (list->n == list->cap)
	{
		list->cap = list->cap == 0 ? 4 : list->cap * 2;
		list->rows = list->rows == NULL ? palloc(list->cap * sizeof(PgwAttempt))
										: repalloc(list->rows, list->cap * sizeof(PgwAttempt));
	}
	pgw_store_read(r, PGW_TABLE_TRANSACTIONS, &list->rows[list->n++]);
}

static int
compare_attempts(const void *a, const void *b)
{
	return memcmp(((const PgwAttempt *) a)->transaction_id.data,
				  ((const PgwAttempt *) b)->transaction_id.data, UUID_LEN);
}

int
pgw_store_attempts(const pg_uuid_t *payment_id, PgwAttempt **out)
{
	static PgwIndexByColumns by_payment = {.columns = {"payment_id"}, .n = 1};
	Oid relid = pgw_relation("payment_transactions");
	Oid index = pgw_relation_index(relid, &by_payment);
	Datum key = UUIDPGetDatum(payment_id);
	AttemptList list = {0};
	PgwRel r;
	int kept = 0;

	if (!OidIsValid(index))
		elog(ERROR, "table pgw.payment_transactions has no index on payment_id");
	pgw_store_open(&r, PGW_TABLE_TRANSACTIONS, false, false);
	pgw_row_each(&r, index, &key, 1, collect_attempt, &list);
	pgw_row_close(&r);
	if (list.n > 1)
		qsort(list.rows, list.n, sizeof(PgwAttempt), compare_attempts);

	/*
	 * A scan with a dirty snapshot can meet an old and a new version of one row: the one with more
	 * steps counts.
	 */
	for (int i = 0; i < list.n; i++)
	{
		if (kept > 0 && memcmp(list.rows[kept - 1].transaction_id.data,
							   list.rows[i].transaction_id.data, UUID_LEN) == 0)
		{
			if (list.rows[i].step_order > list.rows[kept - 1].step_order)
				list.rows[kept - 1] = list.rows[i];
		}
		else
			list.rows[kept++] = list.rows[i];
	}
	*out = list.rows;
	return kept;
}
