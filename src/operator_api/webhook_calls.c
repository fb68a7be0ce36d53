/*
 * webhook_calls.c - pgw.redeliver() and pgw.test_webhook(): one more message to an endpoint
 *
 * Owns nothing: a row of pgw.webhook_queue is all that the sender needs, which looks every second.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/new_id.h"
#include "database/statements.h"
#include "sql_function/check_access.h"
#include "sql_function/owner.h"
#include "sql_function/raise_error.h"
#include "sql_function/require_version.h"

PG_FUNCTION_INFO_V1(pgw_redeliver_1_0);
PG_FUNCTION_INFO_V1(pgw_test_webhook_1_0);

/* merchant NULL: what hears of every merchant's payments. */
static void
require_operator_of(Oid caller, const char *merchant)
{
	if (merchant != NULL)
		pgw_require(caller, "operator", merchant);
	else
		pgw_require_of_all_merchants(caller, "operator",
									 "an endpoint of webhooks that hears of all merchants");
}

/* The first value of the first row, in the context that was there before SPI; false: no row. */
static bool
query(const char *sql, int nargs, Oid *types, Datum *values, bool read_only, char **out)
{
	MemoryContext context = CurrentMemoryContext;
	char *text;
	bool found;

	pgw_statements_begin();
	if (SPI_execute_with_args(sql, nargs, types, values, NULL, read_only, 1) < 0)
		elog(ERROR, "a statement on pgw.webhook_queue failed");
	found = SPI_processed > 0;
	text = found ? SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1) : NULL;
	*out = text != NULL ? MemoryContextStrdup(context, text) : NULL;
	pgw_statements_end();
	return found;
}

static int64
new_row(const char *sql, int nargs, Oid *types, Datum *values, const char *field)
{
	char *row;

	if (!query(sql, nargs, types, values, false, &row))
		pgw_raise_fault(field, "unknown_value", "names no endpoint that is enabled");
	return pg_strtoint64(row);
}

/*
 * A row of its own: the old one says what became of it then.  It is due whatever waits of its
 * payment, as what it tells of is long over.
 */
Datum
pgw_redeliver_1_0(PG_FUNCTION_ARGS)
{
	Oid types[] = {INT8OID};
	Datum values[1];
	Oid caller = GetUserId();
	Oid saved;
	int sec_context;
	char *merchant;
	int64 row;

	pgw_require(caller, "operator", NULL);
	pgw_require_version();
	if (PG_ARGISNULL(0))
		pgw_raise_fault("delivery", "required", NULL);
	values[0] = PG_GETARG_DATUM(0);
	pgw_become_owner(&saved, &sec_context);
	if (!query("SELECT merchant FROM pgw.webhook_queue WHERE delivery = $1", 1, types, values, true,
			   &merchant))
		pgw_raise_fault("delivery", "unknown_value", "is no row of pgw.webhook_deliveries");
	require_operator_of(caller, merchant);
	row = new_row(
		"INSERT INTO pgw.webhook_queue (endpoint, payment_id, message_id, merchant, type, payload,"
		" status, next_attempt_at) SELECT q.endpoint, q.payment_id, q.message_id, q.merchant,"
		" q.type, q.payload, 'waiting', clock_timestamp() FROM pgw.webhook_queue q JOIN pgw.webhook_endpoints w"
		" ON w.endpoint = q.endpoint AND w.enabled AND (w.merchant IS NULL OR w.merchant = q.merchant)"
		" WHERE q.delivery = $1 RETURNING delivery",
		1, types, values, "delivery");
	pgw_become_caller(saved, sec_context);
	PG_RETURN_INT64(row);
}

Datum
pgw_test_webhook_1_0(PG_FUNCTION_ARGS)
{
	Oid types[] = {TEXTOID, UUIDOID};
	Datum values[2];
	pg_uuid_t id;
	Oid caller = GetUserId();
	Oid saved;
	int sec_context;
	char *merchant;
	int64 row;

	pgw_require(caller, "operator", NULL);
	pgw_require_version();
	if (PG_ARGISNULL(0))
		pgw_raise_fault("endpoint", "required", NULL);
	pgw_new_id(&id);
	values[0] = PG_GETARG_DATUM(0);
	values[1] = UUIDPGetDatum(&id);
	pgw_become_owner(&saved, &sec_context);
	if (query("SELECT merchant FROM pgw.webhook_endpoints WHERE endpoint = $1", 1, types, values,
			  true, &merchant))
		require_operator_of(caller, merchant);
	row = new_row(
		"INSERT INTO pgw.webhook_queue (endpoint, payment_id, message_id, merchant, type, payload, status,"
		" next_attempt_at) SELECT w.endpoint, $2, $2, w.merchant, 'webhook.test',"
		" jsonb_build_object('type', 'webhook.test', 'version', 1, 'timestamp',"
		" to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),"
		" 'data', jsonb_build_object('endpoint', w.endpoint))::text, 'waiting', clock_timestamp()"
		" FROM pgw.webhook_endpoints w WHERE w.endpoint = $1 AND w.enabled RETURNING delivery",
		2, types, values, "endpoint");
	pgw_become_caller(saved, sec_context);
	PG_RETURN_INT64(row);
}
