/*
 * resume_after_restore.c - pgw.resume_after_restore(): somebody has decided that this copy of a
 * database is the one that goes on
 *
 * Owns nothing that lasts.  Takes over what is unfinished: from here on it is this database's.  The
 * callers' xids are forgotten, because they were another database's, or lie before a dump: whether
 * a caller kept its payment is then told by the payments row alone, and an approval without one
 * goes to review.  The original may have gone on after the dump, so whatever it could have sent
 * since counts as sent, and the worker asks the bank before it sends anything.
 *
 * Locks: pgw.resumptions against another resumption; the attempts' rows, as any update.
 * The worker hears of it by the trigger on pgw.resumptions, when this transaction has committed.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "base/clock.h"
#include "base/json_writer.h"
#include "core/connector/bank_op.h"
#include "core/payment/charge_rules.h"
#include "operator_api/operator_note.h"
#include "restore/copied_cluster.h"
#include "restore/restored_database.h"
#include "sql_function/arguments.h"
#include "sql_function/calling_actor.h"
#include "sql_function/check_access.h"
#include "sql_function/owner.h"
#include "sql_function/raise_error.h"
#include "sql_function/require_version.h"
#include "store/events.h"
#include "store/tables.h"

#define MAX_NOTE_CHARS 1000

/*
 * An attempt t that was recorded elsewhere, or that a dump or a copy of the cluster has brought
 * back.  A caller that still runs was in no dump, and one that is prepared in a copy is decided by
 * whoever ends it.  What was submitted since then is left alone; for what was not, the xids are no
 * evidence any more.
 */
#define RESTORED \
	"(t.system_identifier <> $1 OR t.database_oid <> $2" \
	" OR (EXISTS (SELECT FROM pgw.restore_pending r WHERE NOT t.submitted OR t.created_at < r.noticed_at)" \
	" AND (t.caller_xid IS NULL OR pg_visible_in_snapshot(t.caller_xid, pg_current_snapshot()))))"

PG_FUNCTION_INFO_V1(pgw_resume_after_restore_1_0);

static void
check_arguments(FunctionCallInfo fcinfo, const char *note, PgwCallerSays *says)
{
	char *faults = note != NULL ? pgw_note_faults(NULL, note, MAX_NOTE_CHARS) : NULL;

	faults = pgw_operator_options(faults, fcinfo, says);
	if (faults != NULL)
		pgw_raise_faults(pgw_json_array_of(faults));
}

static void
run(const char *sql, int nargs, Oid *types, Datum *args, const char *nulls, int expected)
{
	int rc = SPI_execute_with_args(sql, nargs, types, args, nulls, false, 0);

	if (rc != expected)
		elog(ERROR, "resuming failed: %s", SPI_result_code_string(rc));
}

static uint64
update(const char *sql)
{
	Oid types[2] = {INT8OID, OIDOID};
	Datum args[2] = {Int64GetDatum((int64) GetSystemIdentifier()), ObjectIdGetDatum(MyDatabaseId)};

	run(sql, 2, types, args, NULL, SPI_OK_UPDATE);
	return SPI_processed;
}

/*
 * A submitted charge with a token that no bank was named for goes to the next bank when the first
 * does nothing.  That may have happened in the original since: then what the first one does not
 * know is no charge that was not made.
 */
#define MAYBE_AT_ANOTHER_BANK \
	"(t.kind = 'payment' AND t.submitted AND t.status = 'Created' AND t.bank_requested IS NULL AND t.token IS NOT NULL AND EXISTS (" \
	"SELECT FROM pgw.banks a JOIN pgw.banks b ON a.token_scope = b.token_scope AND a.name <> b.name WHERE a.name = t.bank))"

/*
 * What was submitted and not yet sent, apart from what goes to an earlier attempt with the same id
 * (adoption.c).
 */
static int
find_unsent(pg_uuid_t **ids)
{
	Oid types[2] = {INT8OID, OIDOID};
	Datum args[2] = {Int64GetDatum((int64) GetSystemIdentifier()), ObjectIdGetDatum(MyDatabaseId)};
	int n;

	run("SELECT t.transaction_id FROM pgw.payment_transactions t WHERE t.status = 'Created' AND NOT t.live AND " RESTORED
		" AND NOT EXISTS (SELECT FROM pgw.payment_transactions e WHERE e.client_request_id = t.client_request_id AND e.merchant = t.merchant"
		" AND e.kind = t.kind AND e.live)",
		2, types, args, NULL, SPI_OK_SELECT);
	n = (int) SPI_processed;
	*ids = palloc(Max(n, 1) * sizeof(pg_uuid_t));
	for (int i = 0; i < n; i++)
	{
		bool isnull;

		(*ids)[i] =
			*DatumGetUUIDP(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
	}
	return n;
}

/*
 * The original may have sent it since.  So it counts as sent, and the worker finds out: it asks the
 * bank first, and sends it only with the same key while the bank remembers that, which may have
 * been used as soon as it was there.  What has expired is not sent.
 */
static void
count_as_sent(const pg_uuid_t *id)
{
	static const PgwEventMember reason = {
		.name = "reason", .kind = PGW_MEMBER_STRING, .text = "restored"};
	PgwAttempt attempt;
	PgwEvent event = {.type = PGW_EV_BANK_PROCESSING_STARTED,
					  .from = PGW_CREATED,
					  .to = PGW_CREATED,
					  .members = &reason,
					  .nmembers = 1};

	if (!pgw_store_lock_attempt(id, true, &attempt, NULL) || attempt.status != PGW_CREATED ||
		attempt.live)
		return;
	attempt.live = true;
	attempt.next_step_at = 0;
	attempt.own_request.key_used_at =
		pgw_has_expired(attempt.expires_at, GetCurrentTimestamp()) ? 0 : attempt.created_at;
	event.operation = attempt.kind == PGW_KIND_PAYMENT
						  ? pgw_op_name(pgw_charge_operation(attempt.capture, attempt.submitted))
						  : pgw_kind_name(attempt.kind);
	pgw_store_advance(&attempt, false, &event, 1);
}

/* Returns the number of those that are not finished. */
static uint64
take_over(void)
{
	pg_uuid_t *unsent;
	int nunsent = find_unsent(&unsent);
	uint64 taken_over;

	/*
	 * The bank may have been asked until just now: "not found" does not count too early, and the
	 * deadline for asking begins again.
	 */
	taken_over = update(
		"UPDATE pgw.payment_transactions t SET system_identifier = $1, database_oid = $2, caller_xid = NULL, caller_subxid = NULL,"
		" bank_asked_at = CASE WHEN live AND status = 'Created' OR status = 'BankUnknown' THEN now() ELSE bank_asked_at END,"
		/* captured since, for all that is known here: so it is looked up first */
		" capture_key = CASE WHEN status = 'Saved' AND kind = 'payment' THEN coalesce(capture_key, replace(gen_random_uuid()::text, '-', ''))"
		" ELSE capture_key END,"
		" capture_key_used_at = CASE WHEN status = 'Saved' AND kind = 'payment' THEN coalesce(capture_key_used_at, updated_at)"
		" ELSE capture_key_used_at END,"
		" capture_asked_at = CASE WHEN status = 'Saved' AND kind = 'payment' THEN now() ELSE capture_asked_at END,"
		" refund_key_used_at = CASE WHEN refund_key IS NOT NULL THEN coalesce(refund_key_used_at, updated_at) END,"
		/*
		 * taken and nothing planned: as after a lost worker it may have reached the
		 * bank, also where another try was planned
		 */
		" next_step_at = CASE WHEN status = 'RequiresManualReview' THEN next_step_at WHEN status = 'Created' AND live THEN NULL ELSE now() END,"
		" put_off_since = NULL, put_off_reason = NULL, cancelled_at = NULL,"
		" maybe_at_another_bank = maybe_at_another_bank OR " MAYBE_AT_ANOTHER_BANK ","
		" updated_at = clock_timestamp()"
		" WHERE (t.status NOT IN ('Completed', 'Failed', 'Refunded') OR t.next_step_at IS NOT NULL) AND " RESTORED);
	for (int i = 0; i < nunsent; i++)
	{
		CHECK_FOR_INTERRUPTS();
		count_as_sent(&unsent[i]);
	}

	/* Finished, but a retry may still come upon it: a decline is answered again. */
	(void) update(
		"UPDATE pgw.payment_transactions SET system_identifier = $1, database_oid = $2, caller_xid = NULL, caller_subxid = NULL"
		" WHERE status IN ('Failed', 'Refunded') AND (system_identifier <> $1 OR database_oid <> $2)");
	return taken_over;
}

/* A mark that came after its resumption says nothing about what was made since. */
static void
forget_old_marks(void)
{
	Oid types[2] = {INT8OID, OIDOID};
	Datum args[2] = {Int64GetDatum((int64) GetSystemIdentifier()), ObjectIdGetDatum(MyDatabaseId)};

	run("DELETE FROM pgw.restore_pending p WHERE NOT " PGW_RESTORED_MARK_COUNTS("p", "$1", "$2"), 2,
		types, args, NULL, SPI_OK_DELETE);
}

static void
record(const PgwActor *actor, uint64 taken_over, const char *note)
{
	const PgwCopy *copy = pgw_copy();
	bool incident = copy != NULL && copy->reason != PGW_COPY_NONE;
	Oid types[6] = {INT8OID, OIDOID, TEXTOID, INT8OID, TEXTOID, UUIDOID};
	Datum args[6] = {Int64GetDatum((int64) GetSystemIdentifier()),
					 ObjectIdGetDatum(MyDatabaseId),
					 CStringGetTextDatum(pgw_actor_json(actor)),
					 Int64GetDatum((int64) taken_over),
					 note != NULL ? CStringGetTextDatum(note) : (Datum) 0,
					 incident ? UUIDPGetDatum(&copy->incident) : (Datum) 0};
	char nulls[7] = "      ";

	nulls[4] = note != NULL ? ' ' : 'n';
	nulls[5] = incident ? ' ' : 'n';

	run("DELETE FROM pgw.restore_pending", 0, NULL, NULL, NULL, SPI_OK_DELETE);
	run("INSERT INTO pgw.resumptions (system_identifier, database_oid, actor, taken_over, note, incident_id) VALUES ($1, $2, $3::jsonb, $4, $5, $6)",
		6, types, args, nulls, SPI_OK_INSERT);
}

Datum
pgw_resume_after_restore_1_0(PG_FUNCTION_ARGS)
{
	char *note = pgw_arg_text(fcinfo, "note");
	PgwCallerSays says;
	PgwActor actor;
	uint64 taken_over;
	Oid caller;
	int sec_context;

	PreventCommandIfReadOnly("pgw.resume_after_restore()");
	PreventCommandDuringRecovery("pgw.resume_after_restore()");
	pgw_require_of_all_merchants(GetUserId(), "operator", "pgw.resume_after_restore()");
	pgw_require_version();
	check_arguments(fcinfo, note, &says);
	pgw_actor_calling(&actor, GetUserId(), &says, NULL);

	pgw_become_owner(&caller, &sec_context);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	run("LOCK TABLE pgw.resumptions IN SHARE ROW EXCLUSIVE MODE", 0, NULL, NULL, NULL,
		SPI_OK_UTILITY);
	pgw_restored_notice(); /* the worker may not have looked yet */
	if (!pgw_is_restored())
		pgw_raise(
			"operation_not_allowed", pgw_detail(NULL, "reason", "not restored"),
			"This database is not paused after a restore or a copy. If the worker is paused, see pgw.worker_mode.");
	forget_old_marks();
	taken_over = take_over();
	record(&actor, taken_over, note);
	SPI_finish();
	pgw_become_caller(caller, sec_context);
	PG_RETURN_INT64((int64) taken_over);
}
