/*
 * store_queue.c - what the worker asks of the tables as a whole, and look-ups beside the two main ones
 *
 * Owns: the kept plans (text only: they are made anew when the extension is dropped and created again).
 * Locks: those of plain SELECTs; the extension object conditionally, so that the worker never stands in the way of DROP EXTENSION.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/genam.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/uuid.h"

#include "core/uuid7.h"
#include "infra/store_internal.h"

int
pgw_store_due(TimestampTz now, pg_uuid_t *ids, int max)
{
	static SPIPlanPtr plan = NULL;
	Datum		args[2] = {TimestampTzGetDatum(now), Int32GetDatum(max)};
	int			n = 0;

	if (max <= 0)
		return 0;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (plan == NULL)
	{
		Oid			types[2] = {TIMESTAMPTZOID, INT4OID};
		SPIPlanPtr	fresh = SPI_prepare("SELECT transaction_id FROM pgw.payment_transactions"
										" WHERE next_attempt_at IS NOT NULL AND next_attempt_at <= $1"
										" AND status IN ('Created', 'BankApproved', 'Saved', 'Refunding', 'BankUnknown')"
										" ORDER BY next_attempt_at LIMIT $2", 2, types);

		if (fresh == NULL || SPI_keepplan(fresh) != 0)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		plan = fresh;
	}
	PushActiveSnapshot(GetTransactionSnapshot());
	if (SPI_execute_plan(plan, args, NULL, true, max) != SPI_OK_SELECT)
		elog(ERROR, "the look for due attempts failed");
	for (uint64 i = 0; i < SPI_processed && n < max; i++)
	{
		bool		isnull;
		Datum		d = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);

		memcpy(&ids[n++], DatumGetUUIDP(d), UUID_LEN);
	}
	PopActiveSnapshot();
	SPI_finish();
	return n;
}

void
pgw_store_ensure_partitions(int ahead)
{
	Oid			types[1] = {INT4OID};
	Datum		args[1] = {Int32GetDatum(ahead)};

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	PushActiveSnapshot(GetTransactionSnapshot());
	if (SPI_execute_with_args("SELECT pgw.ensure_event_partitions($1)", 1, types, args, NULL, false, 0) < 0)
		elog(ERROR, "the creation of event partitions failed");
	PopActiveSnapshot();
	SPI_finish();
}

void
pgw_store_notify_payment(const PgwPayment *p)
{
	StringInfoData s;
	char		id[37];

	pgw_uuid_to_text(p->payment_id.data, id);
	initStringInfo(&s);
	appendStringInfo(&s, "{\"payment_id\": \"%s\", \"client_request_id\": ", id);
	escape_json(&s, p->client_request_id);
	appendStringInfoString(&s, ", \"merchant\": ");
	escape_json(&s, p->merchant);
	appendStringInfo(&s, ", \"status\": \"%s\"}", pgw_payment_status_name(p->status));
	Async_Notify("pgw_payments", s.data);
	pfree(s.data);
}

bool
pgw_store_lock_extension(bool *busy)
{
	Oid			oid = get_extension_oid("pgw", true);
	LOCKTAG		tag;

	*busy = false;
	if (!OidIsValid(oid))
		return false;

	/* DROP and ALTER EXTENSION hold AccessExclusiveLock on the object; waiting for them could close a cycle nobody detects. */
	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ExtensionRelationId, oid, 0);
	if (LockAcquire(&tag, AccessShareLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
	{
		*busy = true;
		return true;
	}

	/* It may have gone between the look and the lock. */
	AcceptInvalidationMessages();
	InvalidateCatalogSnapshot();
	if (get_extension_oid("pgw", true) == oid)
		return true;
	LockRelease(&tag, AccessShareLock, false);
	return false;
}

Oid
pgw_store_owner(void)
{
	/* The owner of the tables: the extension's owner, and after a REASSIGN OWNED the one who can write them. */
	Oid			relid = pgw_store_relid("payments");
	HeapTuple	tup = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tup))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tup))->relowner;
	ReleaseSysCache(tup);
	return owner;
}

bool
pgw_store_merchant(const char *name, bool *enabled)
{
	static const char *const columns[] = {"merchant"};
	Oid			relid = pgw_store_relid("merchants");
	Oid			index = pgw_store_index(relid, columns, 1, true);
	AttrNumber	att = get_attnum(relid, "enabled");
	Datum		key = CStringGetTextDatum(name);
	PgwRel		r;
	bool		found;

	if (!OidIsValid(index))
		elog(ERROR, "table pgw.merchants has no unique index on (merchant)");
	pgw_row_open_read(&r, relid);
	found = pgw_row_find(&r, index, &key, 1, PGW_FIND_THOROUGH, NULL, NULL) == PGW_FIND_ROW;
	*enabled = found;
	if (found && att != InvalidAttrNumber)
	{
		bool		isnull;
		Datum		d = slot_getattr(r.found, att, &isnull);

		*enabled = !isnull && DatumGetBool(d);
	}
	pgw_row_close(&r);
	return found;
}

typedef struct Newest
{
	PgwKind		kind;
	PgwTransaction *out;
	bool		found;
} Newest;

/* Ids grow with time: the greatest is the newest. */
static void
keep_newest(PgwRel *r, void *arg)
{
	Newest	   *n = arg;
	PgwTransaction t;

	pgw_store_read(r, PGW_TABLE_TRANSACTIONS, &t);
	if (t.kind == n->kind && (!n->found || memcmp(t.transaction_id.data, n->out->transaction_id.data, UUID_LEN) >= 0))
	{
		*n->out = t;
		n->found = true;
	}
}

bool
pgw_store_transaction_by_request(PgwKind kind, const char *client_request_id, const char *merchant, PgwTransaction *out)
{
	static const char *const columns[] = {"client_request_id", "merchant"};
	Oid			relid = pgw_store_relid("payment_transactions");
	Oid			index = pgw_store_index(relid, columns, 2, false);
	Datum		keys[2] = {CStringGetTextDatum(client_request_id), CStringGetTextDatum(merchant)};
	Newest		n = {.kind = kind, .out = out};
	PgwRel		r;

	if (!OidIsValid(index))
		elog(ERROR, "table pgw.payment_transactions has no index on (client_request_id, merchant)");
	pgw_store_open(&r, PGW_TABLE_TRANSACTIONS, false, false);
	pgw_row_each(&r, index, keys, 2, keep_newest, &n);
	pgw_row_close(&r);
	return n.found;
}

typedef struct AttemptList
{
	PgwTransaction *rows;
	int			n;
	int			cap;
} AttemptList;

static void
collect_attempt(PgwRel *r, void *arg)
{
	AttemptList *list = arg;

	if (list->n == list->cap)
	{
		list->cap = list->cap == 0 ? 4 : list->cap * 2;
		list->rows = list->rows == NULL ? palloc(list->cap * sizeof(PgwTransaction)) : repalloc(list->rows, list->cap * sizeof(PgwTransaction));
	}
	pgw_store_read(r, PGW_TABLE_TRANSACTIONS, &list->rows[list->n++]);
}

static int
compare_attempts(const void *a, const void *b)
{
	return memcmp(((const PgwTransaction *) a)->transaction_id.data, ((const PgwTransaction *) b)->transaction_id.data, UUID_LEN);
}

int
pgw_store_attempts(const pg_uuid_t *payment_id, PgwTransaction **out)
{
	static const char *const columns[] = {"payment_id"};
	Oid			relid = pgw_store_relid("payment_transactions");
	Oid			index = pgw_store_index(relid, columns, 1, false);
	Datum		key = UUIDPGetDatum(payment_id);
	AttemptList list = {0};
	PgwRel		r;
	int			kept = 0;

	if (!OidIsValid(index))
		elog(ERROR, "table pgw.payment_transactions has no index on payment_id");
	pgw_store_open(&r, PGW_TABLE_TRANSACTIONS, false, false);
	pgw_row_each(&r, index, &key, 1, collect_attempt, &list);
	pgw_row_close(&r);
	if (list.n > 1)
		qsort(list.rows, list.n, sizeof(PgwTransaction), compare_attempts);

	/* A scan with a dirty snapshot can meet an old and a new version of one row: the one with more steps counts. */
	for (int i = 0; i < list.n; i++)
	{
		if (kept > 0 && memcmp(list.rows[kept - 1].transaction_id.data, list.rows[i].transaction_id.data, UUID_LEN) == 0)
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
