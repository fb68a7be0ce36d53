/*
 * receive_notification.c - pgw.receive_notification(): what a bank has sent to an endpoint of the
 * application
 *
 * Owns nothing that lasts.  The row is written in the caller's transaction, so the bank is answered
 * after its commit only, and repeats what was rolled back.  Nothing is decided here: after the
 * commit the worker asks the bank (attempt/unknown_outcome.c), or, where that can be asked nothing,
 * takes a signed notification as its answer (attempt/evidence.c), and records what is said of
 * disputes (attempt/disputes.c).  Of what anybody may have sent,
 * a hint, there is no row, whatever it names, so that nobody can fill the table.
 *
 * Order that matters: size, then signature, then the first look at a table of payments, so that
 * whoever only knows the endpoint costs a read of the file and an HMAC, and no lock.  Nothing may
 * raise while the secret is in memory.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/detoast.h"
#include "access/htup_details.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "bank/bank_config.h"
#include "base/clock.h"
#include "base/debug_points.h"
#include "base/new_id.h"
#include "client_api/bounded_call.h"
#include "core/base/mutant.h"
#include "core/notification/given_headers.h"
#include "core/notification/notification_verdict.h"
#include "database/table_locks.h"
#include "exchange/commit_signal.h"
#include "exchange/log_rate.h"
#include "notified/match_notification.h"
#include "notified/unknown_payment.h"
#include "observe/metrics.h"
#include "sql_function/arguments.h"
#include "sql_function/check_access.h"
#include "sql_function/owner.h"
#include "sql_function/raise_error.h"
#include "sql_function/require_version.h"
#include "store/told_disputes.h"
#include "store/tables.h"

PG_FUNCTION_INFO_V1(pgw_receive_notification_1_0);


typedef struct Received
{
	char *bank;
	char *headers;
	Datum body; /* not yet read: it may be of any size */
	char *url;
	TimestampTz at;
	int n; /* so many notifications are in the body */
	PgwJudged *judged;
	PgwNotificationVerdict answer; /* to all of them */
	/* what becomes of one, in turn: of the last one in the end */
	PgwNotificationVerdict verdict;
	PgwProof proof;
	PgwNotification said;
	pg_uuid_t notification_id;
	PgwMatch match;
} Received;

static void
get_arguments(FunctionCallInfo fcinfo, Received *r)
{
	bool isnull;
	Datum d;
	TimestampTz now = GetCurrentTimestamp();

	memset(r, 0, sizeof(*r));
	r->bank = pgw_arg_text(fcinfo, "bank");
	if (r->bank == NULL)
		pgw_raise_fault("bank", "required", NULL);
	r->body = pgw_arg(fcinfo, "body", &isnull);
	if (isnull)
		pgw_raise_fault("body", "required", NULL);
	r->headers = pgw_arg_json(fcinfo, "headers");
	if (r->headers == NULL)
		r->headers = pstrdup("{}");
	r->url = pgw_arg_text(fcinfo, "url");
	d = pgw_arg(fcinfo, "received_at", &isnull);
	/* of a queue in front whose clock is ahead of ours: nothing has come later than now */
	r->at = isnull ? now : Min(DatumGetTimestampTz(d), now);
}

/* ---------------------------------------------------------------- is it the bank's? */

static void
tell_of_file(const PgwBank *bank, const char *file, PgwSecretFault fault)
{
	uint64 more;

	/* anybody can cause it */
	if (!pgw_log_due("notification secret", bank->name, &more))
		return;
	ereport(LOG, (errmsg("pgw: the notifications of bank \"%s\" cannot be checked: %s", bank->name,
						 pgw_secret_fault_text(fault)),
				  errdetail("File \"%s\" in pgw.secrets_dir.", file), pgw_log_more(more)));
}

static void
judge_by_secret(Received *r, const PgwBank *bank, const PgwArrived *arrived)
{
	PgwSecretSeen seen;
	PgwSecretFault fault;
	PgwSecretFault login_fault = PGW_SECRET_FINE;
	PgwSecret *login = NULL;
	PgwSecret *secret =
		pgw_secret_read(bank->notification_secret, PGW_SECRET_FORM_LIST, &seen, &fault);

	if (bank->notification_login != NULL)
		login =
			pgw_secret_read(bank->notification_login, PGW_SECRET_FORM_LIST, &seen, &login_fault);
	/* without one it is said that there is none */
	if (login_fault != PGW_SECRET_FINE)
		r->judged[0].verdict = PGW_NOTIFICATION_NO_SECRET;
	else
		r->n = pgw_notification_judge(bank->connector, arrived, pgw_secret_values(secret),
									  pgw_secret_values(login), bank->livemode, r->judged);
	pgw_secret_free(login);
	pgw_secret_free(secret);
	if (r->judged[0].verdict != PGW_NOTIFICATION_NO_SECRET)
		return;
	if (login_fault != PGW_SECRET_FINE)
		tell_of_file(bank, bank->notification_login, login_fault);
	else if (secret == NULL)
		tell_of_file(bank, bank->notification_secret, fault);
}

static void
judge(Received *r, const PgwBank *bank, const PgwArrived *arrived)
{
	if (pgw_notification_needs_secret(bank->connector))
		judge_by_secret(r, bank, arrived);
	else
		r->n =
			pgw_notification_judge(bank->connector, arrived, NULL, NULL, bank->livemode, r->judged);
}

/* The bank that it comes from; NULL: the answer is there already. */
static const PgwBank *
find_bank(Received *r)
{
	const PgwBank *bank;

	pgw_config_refresh(false);
	bank = pgw_config_bank(r->bank);
	if (bank == NULL)
		r->answer = PGW_NOTIFICATION_UNKNOWN_BANK;
	else if (bank->connector == NULL || !pgw_notification_expected(bank->connector) ||
			 (bank->notification_secret == NULL && pgw_notification_needs_secret(bank->connector)))
		r->answer = PGW_NOTIFICATION_NOT_EXPECTED;
	else
		return bank;
	return NULL;
}

static void
look_at(Received *r, const PgwBank *bank)
{
	PgwGivenHeaders *headers = palloc(sizeof(PgwGivenHeaders));
	PgwArrived arrived = {.url = r->url, .received_at = pgw_unix_seconds(r->at)};
	bytea *body;

	r->judged = palloc0(sizeof(PgwJudged) * PGW_NOTIFICATION_MAX_ITEMS);
	r->n = 1;
	r->judged[0].verdict = PGW_NOTIFICATION_TOO_LARGE;
	if (toast_raw_datum_size(r->body) - VARHDRSZ > PGW_NOTIFICATION_MAX_BYTES)
		return;
	body = DatumGetByteaPP(r->body);
	arrived.body = VARDATA_ANY(body);
	arrived.len = VARSIZE_ANY_EXHDR(body);
	r->judged[0].verdict = PGW_NOTIFICATION_NOT_SIGNED;
	if (pgw_given_headers_read(r->headers, strlen(r->headers), headers))
	{
		arrived.headers = headers->list;
		arrived.nheaders = headers->n;
		judge(r, bank, &arrived);
	}
	pgw_given_headers_end(headers);
}

/* ---------------------------------------------------------------- the signal */

/*
 * After the commit.  The id that a hint names is anybody's: only what pgw itself has of a charge is
 * asked about then.
 */
static void
have_it_asked(const Received *r)
{
	if (r->match.request_key != NULL || r->match.change ||
		(r->match.dispute && r->match.has_payment))
		pgw_commit_signal_add_notified(&r->match.transaction_id, "");
	for (int i = 0; i < r->match.nin_doubt; i++)
		pgw_commit_signal_add_notified(&r->match.in_doubt[i].transaction_id,
									   r->match.in_doubt[i].kind == PGW_KIND_PAYMENT &&
											   r->verdict != PGW_NOTIFICATION_HINT
										   ? r->said.bank_reference
										   : "");
}

/* ---------------------------------------------------------------- its row */

static Datum
text_or_null(const char *text, char *isnull)
{
	*isnull = text[0] == '\0' ? 'n' : ' ';
	return text[0] == '\0' ? (Datum) 0 : CStringGetTextDatum(text);
}

/* One that does not name its dispute cannot be told from another: a person has to look. */
static const char *
becomes_of_dispute(const Received *r)
{
	if (!r->match.dispute)
		return "";
	return r->said.dispute.id[0] != '\0' ? "waiting" : "unclear";
}

/* false: it has its row already. */
static bool
insert(Received *r, const PgwBank *bank)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {UUIDOID,        TEXTOID, BOOLOID,        TEXTOID, TEXTOID, TEXTOID, TEXTOID,
				   TEXTOID,        TEXTOID, TEXTOID,        UUIDOID, TEXTOID, INT8OID, TEXTOID,
				   TIMESTAMPTZOID, UUIDOID, TEXTOID,        TEXTOID, TEXTOID, TEXTOID, TEXTOID,
				   TEXTOID,        INT4OID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID};
	/* it is matched later, with what it says; one that names nothing never could be */
	bool waits = !r->match.has_payment &&
				 (r->said.reference[0] != '\0' || r->said.bank_reference[0] != '\0' ||
				  (r->match.dispute && r->said.dispute.id[0] != '\0'));
	/* without a payment only that it cannot be read is known */
	const char *amounts = pgw_said_amount_name(
		waits && r->said.amount_unreadable ? PGW_SAID_UNREADABLE : r->match.amounts);
	Datum values[lengthof(types)];
	char nulls[] = "                           "; /* one for each */
	bool is_word = r->match.request_key != NULL || (waits && r->said.is_evidence);
	bool inserted;

	values[0] = UUIDPGetDatum(&r->notification_id);
	values[1] = CStringGetTextDatum(bank->name);
	values[2] = BoolGetDatum(bank->livemode);
	values[3] = text_or_null(r->said.identity, &nulls[3]);
	values[4] = CStringGetTextDatum(r->said.digest);
	values[5] = text_or_null(r->said.event_id, &nulls[5]);
	values[6] = text_or_null(r->said.type, &nulls[6]);
	values[7] = text_or_null(r->said.time, &nulls[7]);
	values[8] = text_or_null(r->said.bank_reference, &nulls[8]);
	values[9] = text_or_null(r->said.reference, &nulls[9]);
	values[10] = UUIDPGetDatum(&r->match.payment_id);
	nulls[10] = r->match.has_payment ? ' ' : 'n';
	values[11] = CStringGetTextDatum(r->match.outcome);
	values[12] = Int64GetDatum(r->said.amount);
	nulls[12] = r->said.has_amount ? ' ' : 'n';
	values[13] = text_or_null(r->said.currency, &nulls[13]);
	values[14] = TimestampTzGetDatum(r->at);
	values[15] = UUIDPGetDatum(&r->match.transaction_id);
	nulls[15] = r->match.has_payment ? ' ' : 'n';
	values[16] = text_or_null(amounts != NULL ? amounts : "", &nulls[16]);
	values[17] = text_or_null(is_word ? pgw_op_name(r->said.about) : "", &nulls[17]);
	values[18] = text_or_null(is_word ? pgw_outcome_name(r->said.says) : "", &nulls[18]);
	values[19] = text_or_null(!waits && is_word ? r->match.request_key : "", &nulls[19]);
	values[20] = text_or_null(!waits && is_word ? "waiting" : "", &nulls[20]);
	values[21] = text_or_null(r->match.change ? "waiting" : "", &nulls[21]);
	values[22] = Int32GetDatum((int32) r->said.changes);
	nulls[22] = waits && r->said.changes != 0 ? ' ' : 'n';
	values[23] = TimestampTzGetDatum(pgw_unknown_payment_first(pgw_now()));
	nulls[23] = waits && !PGW_MUTATED(UNKNOWN_FORGOTTEN) ? ' ' : 'n';
	values[24] = text_or_null(becomes_of_dispute(r), &nulls[24]);
	values[25] = text_or_null(r->match.dispute ? pgw_store_said_dispute_text(&r->said.dispute) : "",
							  &nulls[25]);
	values[26] =
		text_or_null(r->proof != PGW_PROVED_BY_NOTHING ? pgw_proof_name(r->proof) : "", &nulls[26]);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (plan == NULL)
	{
		/* as the owner, with the search_path of whoever calls: names are the server's own */
		plan = SPI_prepare(
			"INSERT INTO pgw.notifications (notification_id, bank, livemode, identity, digest,"
			" event_id, event_type, bank_time, bank_reference, reference, payment_id, outcome,"
			" amount, currency, received_at, transaction_id, amounts, about, says, request_key,"
			" evidence, change, may_change, next_match_at, dispute, dispute_says, proof)"
			" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,"
			" $18, $19, $20, $21, $22, $23, $24, $25, $26::pg_catalog.jsonb, $27)"
			" ON CONFLICT ON CONSTRAINT notifications_once DO NOTHING",
			lengthof(types), types);
		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare the INSERT of a notification");
	}
	if (SPI_execute_plan(plan, values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not record a notification");
	inserted = SPI_processed == 1;
	SPI_finish();

	/*
	 * The bank is answered after COMMIT and does not send it again: a crash must not forget what
	 * it was told we have, whatever the session has in synchronous_commit.
	 */
	if (inserted && !PGW_MUTATED(NOTIFICATION_UNFLUSHED))
		ForceSyncCommit();
	return inserted;
}

/* ---------------------------------------------------------------- what becomes of it */

/* One of them: all that the last one has left in *r but what came in is forgotten. */
static void
take_one(Received *r, const PgwBank *bank, const PgwJudged *judged, const pg_uuid_t *id)
{
	r->notification_id = *id;
	r->verdict = judged->verdict;
	r->proof = judged->proof;
	r->said = judged->said;
	memset(&r->match, 0, sizeof(r->match));
	if (r->verdict == PGW_NOTIFICATION_ACCEPTED || r->verdict == PGW_NOTIFICATION_HINT)
	{
		pgw_tables_lock(pgw_bounded_call_deadline());
		pgw_match_notification(&r->said, r->verdict == PGW_NOTIFICATION_HINT, bank, &r->match);
		if (r->verdict == PGW_NOTIFICATION_HINT || insert(r, bank))
			have_it_asked(r);
		else
			r->verdict = PGW_NOTIFICATION_REPEATED;
	}
	pgw_metrics_notification(bank->name, bank->livemode, r->verdict);
}

/*
 * In the order of their identities, whatever the order in the body: two bodies that hold the same
 * ones wait for each other's rows, and never in a circle.  Their ids are given in the body's order,
 * in which they are evidence.
 */
static void
take(Received *r, const PgwBank *bank)
{
	pg_uuid_t ids[PGW_NOTIFICATION_MAX_ITEMS];
	int order[PGW_NOTIFICATION_MAX_ITEMS];

	for (int i = 0; i < r->n; i++)
		pgw_new_id(&ids[i]);
	pgw_notification_order(r->judged, r->n, order);
	for (int i = 0; i < r->n; i++)
	{
		take_one(r, bank, &r->judged[order[i]], &ids[order[i]]);
		r->answer = i == 0 ? r->verdict : pgw_notification_worse(r->answer, r->verdict);
	}
}

/* Of several in one body it says no more than how they are answered. */
static Datum
result_datum(FunctionCallInfo fcinfo, const Received *r)
{
	bool taken = r->answer == PGW_NOTIFICATION_ACCEPTED && r->n == 1;
	bool known = taken || (r->answer == PGW_NOTIFICATION_REPEATED && r->n == 1);
	TupleDesc desc;
	Datum values[5];
	bool nulls[5] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE ||
		desc->natts != lengthof(values))
		elog(ERROR, "unexpected result type of pgw.receive_notification()");
	values[0] = Int32GetDatum(pgw_notification_http_status(r->answer));
	values[1] = CStringGetTextDatum(pgw_notification_verdict_name(r->answer));
	values[2] = UUIDPGetDatum(&r->notification_id);
	nulls[2] = !taken;
	values[3] = CStringGetTextDatum(r->said.event_id);
	nulls[3] = !known || r->said.event_id[0] == '\0';
	values[4] = CStringGetTextDatum(r->said.type);
	nulls[4] = !known || r->said.type[0] == '\0';
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

static Datum
receive_notification(PG_FUNCTION_ARGS)
{
	const char *function = "pgw.receive_notification()";
	const PgwBank *bank;
	Received r;
	Oid caller;
	int sec_context;

	PreventCommandIfReadOnly(function);
	PreventCommandDuringRecovery(function);
	PreventCommandIfParallelMode(function);
	get_arguments(fcinfo, &r);
	pgw_require(GetUserId(), "client", NULL);
	pgw_require_version();
	pgw_become_owner(&caller, &sec_context);
	bank = find_bank(&r);
	if (bank != NULL)
	{
		look_at(&r, bank);
		take(&r, bank);
	}
	pgw_become_caller(caller, sec_context);
	return result_datum(fcinfo, &r);
}

Datum
pgw_receive_notification_1_0(PG_FUNCTION_ARGS)
{
	return pgw_bounded_call(fcinfo, true, receive_notification);
}
