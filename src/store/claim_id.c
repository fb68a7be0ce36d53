/*
 * claim_id.c - the claim on a request id: the row that holds it, inserted or found, without a
 * serialization failure
 *
 * Owns: nothing that lasts.
 * Locks: waits, in the caller's backend only, on the (sub)transaction that inserts the same id;
 * holds no other lock meanwhile than the table's.  The deadlock detector, lock_timeout and cancel
 * work as for any row. For a payment that row is the payments row, for a capture, void or refund
 * its own attempt.
 * Invariants: never waits on an own transaction; leaves either the caller's row, or nothing.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/error_detail.h"
#include "core/base/error_codes.h"
#include "database/column_values.h"
#include "database/find_row.h"
#include "database/relations.h"
#include "database/row.h"
#include "database/wait_limit.h"
#include "store/claim_id.h"
#include "store/events.h"
#include "store/events_internal.h"
#include "store/open_work.h"
#include "store/table_rows_internal.h"
#include "store/tables.h"

static void
raise_in_flight(void)
{
	const PgwErrorInfo *info = pgw_error_find("request_in_flight");

	ereport(ERROR, (errcode(MAKE_SQLSTATE('P', 'W', '4', '0', '9')), errmsg("%s", info->message),
					errdetail_internal("%s", pgw_error_detail(info->code, NULL)),
					errhint("Ask again with the same client_request_id."), errhidestmt(true),
					errhidecontext(true)));
}

/* Wait for the end of the other (sub)transaction, no longer than the deadline. */
static void
wait_for_xid(TransactionId xid, TimestampTz deadline)
{
	PgwWaitLimit limit;
	MemoryContext context = CurrentMemoryContext;

	if (deadline != 0 && GetCurrentTimestamp() >= deadline)
	{
		if (!pgw_conditional_xact_lock_table_wait(xid))
			raise_in_flight();
		return;
	}
	pgw_wait_limit_begin(&limit, deadline);
	PG_TRY();
	{
		XactLockTableWait(xid, NULL, NULL, XLTW_None);
	}
	PG_CATCH();
	{
		pgw_wait_limit_end(&limit);
		/* The wait's own end: the caller's business.  A deadlock, a cancel: as they are. */
		if (pgw_wait_limit_reached(&limit))
		{
			MemoryContextSwitchTo(context);
			FlushErrorState();
			raise_in_flight();
		}
		PG_RE_THROW();
	}
	PG_END_TRY();
	pgw_wait_limit_end(&limit);
}

/*
 * The index that holds the key.  Asked for anew each time that the table has just been opened, and
 * so locked: REINDEX CONCURRENTLY puts another into its place, and waits with the removal of the
 * old one for those who hold the lock.
 */
typedef Oid (*KeyIndex)(void);

static Oid
payment_key_index(void)
{
	return pgw_store_claim_index(pgw_relation("payments"));
}

static Oid
operation_key_index(void)
{
	static PgwIndexByColumns by_request = {.columns = {"client_request_id", "merchant", "kind"},
										   .n = 3,
										   .where = {"kind"},
										   .nwhere = 1,
										   .unique = true};
	Oid index = pgw_relation_index(pgw_relation("payment_transactions"), &by_request);

	if (!OidIsValid(index))
		elog(ERROR, "table pgw.payment_transactions has no unique index on"
					" (client_request_id, merchant, kind) where kind is no payment");
	return index;
}

/* Who has the key?  Waits for the end of whoever is inserting it, and looks again. */
static PgwFind
probe(PgwTable table, KeyIndex index, const Datum *keys, int nkeys, TimestampTz deadline,
	  void *existing)
{
	for (;;)
	{
		PgwRel r;
		TransactionId xid = InvalidTransactionId;
		uint32 token = 0;
		PgwFind found;

		CHECK_FOR_INTERRUPTS();
		pgw_store_open(&r, table, false, false);
		found = pgw_row_find(&r, index(), keys, nkeys, PGW_FIND_ONCE, &xid, &token);
		if (found == PGW_FIND_ROW)
			pgw_store_read(&r, table, existing);
		pgw_row_close(&r);
		if (found != PGW_FIND_IN_PROGRESS)
			return found;

		/* A dirty snapshot never reports an own xid here: own rows count as visible. */
		Assert(!TransactionIdIsCurrentTransactionId(xid));
		if (token != 0)
			SpeculativeInsertionWait(xid, token);
		else
			wait_for_xid(xid, deadline);
	}
}

/* existing: filled when somebody has the key, committed or in this transaction. */
static PgwClaim
claim(PgwTable table, KeyIndex index, const Datum *keys, int nkeys, const void *row,
	  PgwRowLocation *place, bool probed, TimestampTz deadline, void *existing)
{
	for (;;)
	{
		PgwRel r;
		bool inserted;

		/* Look first: an insert that conflicts leaves a dead row behind. */
		if (!probed && probe(table, index, keys, nkeys, deadline, existing) == PGW_FIND_ROW)
			return PGW_CLAIM_EXISTS;
		pgw_store_open(&r, table, true, true);
		pgw_store_fill(&r, table, row);
		inserted = pgw_row_insert_speculative(&r, index());
		*place = (PgwRowLocation){.tid = r.slot->tts_tid, .held = inserted};
		pgw_row_close(&r);
		if (inserted)
			return PGW_CLAIM_INSERTED;

		/* Somebody was faster.  Each round meets another one, so the deadline bounds them. */
		if (deadline != 0 && GetCurrentTimestamp() >= deadline)
			raise_in_flight();
		probed = false;
	}
}

PgwClaim
pgw_store_claim(PgwPayment *row, bool probed, TimestampTz deadline, PgwPayment *existing)
{
	Datum keys[2] = {CStringGetTextDatum(row->client_request_id),
					 CStringGetTextDatum(row->merchant)};

	row->updated_at = GetCurrentTimestamp();
	if (row->created_at == 0)
		row->created_at = row->updated_at;
	return claim(PGW_TABLE_PAYMENTS, payment_key_index, keys, 2, row, &row->place, probed, deadline,
				 existing);
}

static void
operation_key(PgwKind kind, const char *client_request_id, const char *merchant, Datum *keys)
{
	Oid relid = pgw_relation("payment_transactions");
	Oid type = get_atttype(relid, get_attnum(relid, "kind"));

	keys[0] = CStringGetTextDatum(client_request_id);
	keys[1] = CStringGetTextDatum(merchant);
	keys[2] = pgw_row_from_string(type, pgw_kind_name(kind));
}

bool
pgw_store_operation(PgwKind kind, const char *client_request_id, const char *merchant,
					PgwAttempt *out)
{
	Datum keys[3];
	PgwRel r;
	bool found;

	operation_key(kind, client_request_id, merchant, keys);
	pgw_store_open(&r, PGW_TABLE_TRANSACTIONS, false, false);
	found = pgw_row_find(&r, operation_key_index(), keys, 3, PGW_FIND_THOROUGH, NULL, NULL) ==
			PGW_FIND_ROW;
	if (found)
		pgw_store_read(&r, PGW_TABLE_TRANSACTIONS, out);
	pgw_row_close(&r);
	return found;
}

PgwClaim
pgw_store_claim_operation(PgwAttempt *attempt, const PgwEvent *started, TimestampTz deadline,
						  PgwAttempt *existing)
{
	Datum keys[3];

	operation_key(attempt->kind, attempt->client_request_id, attempt->merchant, keys);
	attempt->updated_at = attempt->created_at = GetCurrentTimestamp();
	attempt->status = started->to;
	attempt->step_order = 1;
	if (claim(PGW_TABLE_TRANSACTIONS, operation_key_index, keys, 3, attempt, &attempt->place, false,
			  deadline, existing) == PGW_CLAIM_EXISTS)
		return PGW_CLAIM_EXISTS;
	attempt->step_order = 0;
	pgw_store_write_events(attempt, started, 1);
	pgw_store_list_open_work(attempt, true);
	if (pgw_store_advanced_hook != NULL)
		pgw_store_advanced_hook(attempt, PGW_STATE_NONE, started, 1);
	return PGW_CLAIM_INSERTED;
}
