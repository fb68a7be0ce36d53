/*
 * purge_test_data.c - pgw.purge_test_data(): test payments, their events, the test bank's ledger
 * and the notifications of test banks go, and nothing else
 *
 * Owns nothing.  Records are never deleted (table_rules/record_rules.c); what moved no money is the
 * one exception, and this the one place that may do it.
 *
 * Invariants
 *     - Only rows whose livemode is false, and what belongs to them.  The trigger that lets a row
 *       go looks at that, too.
 *     - What is open stays: an attempt that is not over, or whose caller has not ended, and a
 * payment with such an attempt.  So a payment never goes without its attempts: one that is left
 * alone would look as a charge without a payment, and nobody could use its id again.
 *
 * Locks: those of plain DELETEs.  A row that somebody has locked is waited for and looked at again.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "sql_function/purging.h"
#include "sql_function/require_version.h"

PG_FUNCTION_INFO_V1(pgw_purge_test_data_1_0);

/*
 * By this statement's snapshot, which is what says whether a payment is seen: whoever ends after it
 * may have one.  Other transactions that run meanwhile are nobody's callers here.  A caller of
 * another cluster was in no dump, and its xid says nothing here.
 */
#define CALLER_HAS_ENDED \
	"(t.caller_xid IS NULL OR t.system_identifier <> $1" \
	" OR pg_visible_in_snapshot(t.caller_xid, pg_current_snapshot()))"

/*
 * The worker may still look at these now and then: whether a refund is taken back, an authorization
 * expires.  Nobody will miss that.
 */
#define OVER \
	"t.status IN ('Completed', 'Failed', 'Refunded', 'RequiresManualReview') AND " CALLER_HAS_ENDED

/* The first column of a statement's one row; its number of rows in *n, which is the second. */
static Datum
run(const char *sql, Oid type, Datum arg, int64 *n)
{
	bool isnull;
	Datum ids;

	if (SPI_execute_with_args(sql, 1, &type, &arg, NULL, false, 0) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "test data could not be purged");
	*n = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	ids = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	return ids;
}

/*
 * Payments of which every attempt is over; what a client does with one meanwhile keeps it.  An
 * attempt's livemode never changes, so nobody makes a real payment one for tests.
 */
static int64
purge_payments(void)
{
	int64 n;

	(void) run(
		"WITH d AS (DELETE FROM pgw.payments p WHERE NOT p.livemode AND p.status <> 'pending'"
		" AND p.reserved_amount = 0 AND p.capture_pending_amount = 0 AND p.refund_pending_amount = 0"
		" AND EXISTS (SELECT FROM pgw.payment_transactions t"
		" WHERE t.transaction_id = p.transaction_id AND NOT t.livemode)"
		" AND NOT EXISTS (SELECT FROM pgw.payment_transactions t"
		" WHERE t.payment_id = p.payment_id AND (t.livemode OR NOT (" OVER ")))"
		" RETURNING payment_id) SELECT NULL::int, count(*) FROM d",
		INT8OID, Int64GetDatum((int64) GetSystemIdentifier()), &n);
	return n;
}

/*
 * Attempts that no payment has, or has any more.  One whose caller has not ended may yet get its
 * payment.  (This statement sees what has been committed since that of the payments: a caller that
 * has ended since has its payment there.)
 */
static Datum
purge_attempts(int64 *n)
{
	return run("WITH d AS (DELETE FROM pgw.payment_transactions t WHERE NOT t.livemode AND " OVER
			   " AND NOT EXISTS (SELECT FROM pgw.payments p WHERE p.payment_id = t.payment_id"
			   " OR p.transaction_id = t.transaction_id)"
			   " RETURNING transaction_id)"
			   " SELECT coalesce(array_agg(transaction_id), '{}'), count(*) FROM d",
			   INT8OID, Int64GetDatum((int64) GetSystemIdentifier()), n);
}

static int64
purge_of(const char *sql, Datum ids)
{
	int64 n;

	(void) run(sql, UUIDARRAYOID, ids, &n);
	return n;
}

static void
purge(int64 *purged)
{
	Datum ids;

	purged[0] = purge_payments();
	ids = purge_attempts(&purged[1]);
	purged[2] =
		purge_of("WITH d AS (DELETE FROM pgw.transaction_events WHERE transaction_id = ANY ($1)"
				 " RETURNING 1) SELECT NULL::int, count(*) FROM d",
				 ids);
	(void) purge_of("WITH w AS (DELETE FROM pgw.open_work WHERE transaction_id = ANY ($1)),"
					" r AS (DELETE FROM pgw.bank_references WHERE transaction_id = ANY ($1)),"
					" d AS (DELETE FROM pgw.disputes WHERE transaction_id = ANY ($1)),"
					" o AS (DELETE FROM pgw.operation_references WHERE transaction_id = ANY ($1)),"
					" v AS (DELETE FROM pgw.review_proposals WHERE transaction_id = ANY ($1)),"
					" a AS (DELETE FROM pgw.alert_state WHERE transaction_id = ANY ($1))"
					" SELECT NULL::int, 0::bigint",
					ids);
	/* what no attempt is left for, by whose reference it was charged */
	purged[3] =
		purge_of("WITH gone AS (SELECT l.id FROM pgw.test_bank_ledger l"
				 " JOIN (SELECT replace(i::text, '-', '') AS r FROM unnest($1) i) i"
				 " ON i.r IN (l.reference, l.idempotency_key)),"
				 " d AS (DELETE FROM pgw.test_bank_ledger l WHERE l.id IN (SELECT id FROM gone)"
				 " OR l.charge_id IN (SELECT id FROM gone) RETURNING 1)"
				 " SELECT NULL::int, count(*) FROM d",
				 ids);
	/* whatever they are about: one that comes again is a hint again */
	purged[4] = purge_of("WITH d AS (DELETE FROM pgw.notifications WHERE NOT livemode RETURNING 1)"
						 " SELECT NULL::int, count(*) FROM d",
						 ids);
}

Datum
pgw_purge_test_data_1_0(PG_FUNCTION_ARGS)
{
	int64 purged[5] = {0};
	Datum values[5];
	bool nulls[5] = {false};
	TupleDesc desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE ||
		desc->natts != lengthof(values))
		elog(ERROR, "unexpected result type of pgw.purge_test_data()");
	pgw_require_version();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	pgw_purging_test_data = true;
	PG_TRY();
	{
		purge(purged);
	}
	PG_FINALLY();
	{
		pgw_purging_test_data = false;
	}
	PG_END_TRY();
	SPI_finish();
	for (int i = 0; i < lengthof(values); i++)
		values[i] = Int64GetDatum(purged[i]);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}
