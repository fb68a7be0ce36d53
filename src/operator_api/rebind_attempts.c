/*
 * rebind_attempts.c - pgw.rebind_attempts(): an operator says that the ledger of one version of a
 * bank answers at another version now
 *
 * A bank has moved its address, or has another contract's name for its key, and keeps its books:
 * then what was asked at the old address is followed up at the new one.  pgw cannot know that; a
 * wrong word here sends a replay to a ledger that does not hold the charge.
 *
 * Owns: pgw.bank_rebinds, one row for each word, never changed.  No attempt is written: the worker
 * follows the rows in their order (bank_versions.c), so it holds for open attempts, for payments of
 * long ago, and for what is recorded under the old version while this commits.
 *
 * Locks: SHARE ROW EXCLUSIVE on pgw.bank_rebinds, against another one who says something; readers
 * are not hindered.
 * Invariants: both versions are of one bank, and of the same books: the account is the
 * same, its mode cannot change, and our references are written alike; the old one is not that by
 * which the bank takes new attempts; neither goes by another one already, so there is one answer
 * whatever the order in which rows are read.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "bank/bank_config.h"
#include "base/json_writer.h"
#include "core/base/mutant.h"
#include "operator_api/operator_note.h"
#include "operator_api/resolve_review.h"
#include "sql_function/calling_actor.h"
#include "sql_function/check_access.h"
#include "sql_function/arguments.h"
#include "sql_function/owner.h"
#include "sql_function/raise_error.h"
#include "sql_function/require_version.h"
#include "store/open_work.h"

#define MAX_NOTE_CHARS 2000

PG_FUNCTION_INFO_V1(pgw_rebind_attempts_1_0);

typedef struct Order
{
	int from;
	int to;
	char *note;
	PgwCallerSays says;
} Order;

static void
get_order(FunctionCallInfo fcinfo, Order *order)
{
	char *faults = NULL;
	bool no_from;
	bool no_to;
	Datum from = pgw_arg(fcinfo, "from_version", &no_from);
	Datum to = pgw_arg(fcinfo, "to_version", &no_to);

	order->note = pgw_arg_text(fcinfo, "note");
	if (no_from)
		faults = pgw_arg_fault(faults, "from_version", "required", NULL);
	if (no_to)
		faults = pgw_arg_fault(faults, "to_version", "required", NULL);
	if (order->note == NULL || pgw_note_is_blank(order->note))
		faults = pgw_arg_fault(faults, "note", "required", "must say why it is the same ledger");
	else
		faults = pgw_note_faults(faults, order->note, MAX_NOTE_CHARS);
	faults = pgw_operator_options(faults, fcinfo, &order->says);
	if (faults != NULL)
		pgw_raise_faults(pgw_json_array_of(faults));
	order->from = DatumGetInt32(from);
	order->to = DatumGetInt32(to);
}

static void
refuse(const Order *order, const char *hint)
{
	PgwJsonWriter w;

	pgw_json_begin(&w);
	pgw_json_put_int(&w, "from_version", order->from);
	pgw_json_put_int(&w, "to_version", order->to);
	pgw_raise("operation_not_allowed", w.text.data, hint);
}

static const PgwBank *
version(const Order *order, int number)
{
	const PgwBank *bank;
	int goes_by;

	if (number < 1)
		refuse(order,
			   psprintf("There is no version %d: see pgw.health(), check bank_versions.", number));
	goes_by = pgw_config_goes_by(number);
	if (goes_by != number)
		refuse(order, psprintf("Attempts of version %d go by version %d already: name that one.",
							   number, goes_by));
	bank = pgw_config_version(number, NULL);
	if (bank == NULL)
		refuse(order,
			   psprintf("There is no version %d: see pgw.health(), check bank_versions.", number));
	/* what it makes of our references cannot be compared */
	if (bank->connector == NULL)
		refuse(
			order,
			psprintf(
				"The connector of version %d cannot be used by this library: pgw.check_connector() of its definition in pgw.bank_versions says why. What is open there is decided by pgw.resolve_review().",
				number));
	return bank;
}

/*
 * Books in which what was charged at the old version can be found by the requests of the new one.
 * Where it cannot, the ledger would say truthfully that there is no such charge, and be believed.
 */
static void
check_same_ledger(const Order *order, const PgwBank *from, const PgwBank *to)
{
	if (strcmp(to->name, from->name) != 0)
		refuse(order, "The two versions are not of one bank.");
	if (strcmp(to->account, from->account) != 0)
		refuse(order, "The two versions have different accounts, so they are not one ledger.");
	if (!pgw_connector_same_references(from->connector, to->connector) &&
		!PGW_MUTATED(REBIND_REFERENCES))
		refuse(
			order,
			"The connectors of the two versions make different texts of our references (\"references\"), so what was charged by the one is not found by the other: give the bank's row a connector with the old ones, and name the version that comes of it.");
}

static void
check(const Order *order)
{
	const PgwBank *from;
	const PgwBank *now;

	pgw_config_refresh(false);
	if (order->from == order->to)
		refuse(order, "The two versions are the same.");
	/* both stay valid until some thirty others were asked for */
	from = version(order, order->from);
	check_same_ledger(order, from, version(order, order->to));
	now = pgw_config_bank(from->name);
	if (now != NULL && now->version == order->from)
		refuse(
			order,
			psprintf(
				"Version %d is that by which the bank takes new attempts: change its row in pgw.banks first.",
				order->from));
}

/* ---------------------------------------------------------------- rows */

static Datum
ask(const char *sql, int nargs, Oid *types, Datum *args, int expected)
{
	bool isnull;
	int rc = SPI_execute_with_args(sql, nargs, types, args, NULL, false, 0);

	if (rc != expected)
		elog(ERROR, "rebinding attempts failed: %s", SPI_result_code_string(rc));
	return rc == SPI_OK_UTILITY
			   ? (Datum) 0
			   : SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
}

/* Unfinished attempts, also of versions that go by this one by earlier words. */
static int64
concerned(const Order *order)
{
	Oid types[1] = {INT4ARRAYOID};
	int n;
	int *versions = pgw_config_versions_going_by(order->from, &n);
	Datum *elements = palloc(n * sizeof(Datum));
	Datum args[1];

	for (int i = 0; i < n; i++)
		elements[i] = Int32GetDatum(versions[i]);
	args[0] =
		PointerGetDatum(construct_array(elements, n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
	return DatumGetInt64(ask("SELECT count(*) FROM " PGW_OPEN_ATTEMPTS
							 " WHERE status NOT IN ('Completed', 'Failed', 'Refunded')"
							 " AND bank_version = ANY ($1)",
							 1, types, args, SPI_OK_SELECT));
}

/* A second role confirms what a first one has proposed, and nobody has decided since. */
static bool
is_proposed(const Order *order, const char *session)
{
	Oid types[3] = {INT4OID, INT4OID, TEXTOID};
	Datum args[3] = {Int32GetDatum(order->from), Int32GetDatum(order->to),
					 CStringGetTextDatum(session)};

	return DatumGetBool(ask(
		"SELECT EXISTS (SELECT FROM pgw.bank_rebinds p WHERE NOT p.effective AND p.from_version = $1 AND p.to_version = $2"
		" AND p.actor->>'session_user' <> $3 AND NOT EXISTS (SELECT FROM pgw.bank_rebinds d WHERE d.effective AND d.rebind > p.rebind"
		" AND (d.from_version IN ($1, $2) OR d.to_version IN ($1, $2))))",
		3, types, args, SPI_OK_SELECT));
}

static void
record(const Order *order, bool effective, int64 attempts, const PgwActor *actor)
{
	Oid types[6] = {INT4OID, INT4OID, BOOLOID, INT8OID, TEXTOID, TEXTOID};
	Datum args[6] = {Int32GetDatum(order->from),       Int32GetDatum(order->to),
					 BoolGetDatum(effective),          Int64GetDatum(attempts),
					 CStringGetTextDatum(order->note), CStringGetTextDatum(pgw_actor_json(actor))};

	(void) ask(
		"INSERT INTO pgw.bank_rebinds (rebind, from_version, to_version, effective, attempts, note, actor)"
		" SELECT coalesce(max(rebind), 0) + 1, $1, $2, $3, $4, $5, $6::jsonb FROM pgw.bank_rebinds RETURNING rebind",
		6, types, args, SPI_OK_INSERT_RETURNING);
}

Datum
pgw_rebind_attempts_1_0(PG_FUNCTION_ARGS)
{
	PgwActor actor;
	Order order;
	int64 attempts;
	bool effective;
	Oid caller;
	int sec_context;

	PreventCommandIfReadOnly("pgw.rebind_attempts()");
	PreventCommandDuringRecovery("pgw.rebind_attempts()");
	PreventCommandIfParallelMode("pgw.rebind_attempts()");
	pgw_require_of_all_merchants(GetUserId(), "operator", "pgw.rebind_attempts()");
	pgw_require_version();
	get_order(fcinfo, &order);
	pgw_actor_calling(&actor, GetUserId(), &order.says, NULL);
	pgw_become_owner(&caller, &sec_context);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	(void) ask("LOCK TABLE pgw.bank_rebinds IN SHARE ROW EXCLUSIVE MODE", 0, NULL, NULL,
			   SPI_OK_UTILITY);
	check(&order);
	attempts = concerned(&order);
	effective = !pgw_four_eyes() || is_proposed(&order, actor.session_user);
	record(&order, effective, attempts, &actor);
	SPI_finish();
	ForceSyncCommit();
	pgw_become_caller(caller, sec_context);
	if (effective)
		PG_RETURN_INT64(attempts);
	ereport(
		NOTICE,
		(errmsg("rebinding version %d to %d is proposed, nothing has changed yet", order.from,
				order.to),
		 errhint(
			 "It takes effect when a session of another role calls pgw.rebind_attempts() with the same versions.")));
	PG_RETURN_NULL();
}
