/*
 * receive_notification.c - pgw.receive_notification(): what a bank has sent to an endpoint of the
 * application
 *
 * Owns nothing that lasts.  The row is written in the caller's transaction, so the bank is answered
 * after its commit only, and repeats what was rolled back.  Nothing is decided here: after the
 * commit the worker asks the bank (attempt/unknown_outcome.c), or, where that can be asked nothing,
 * takes a signed notification as its answer (attempt/evidence.c), and records what is said of
 * disputes (attempt/disputes.c).  Of what anybody may have sent, a hint, there is no row, whatever
 * it names, so that nobody can fill the table; of what the bank is asked for (queue/ask_banks.c)
 * only so many.
 *
 * Order that matters: size, then signature, then the first look at a table of payments, so that
 * whoever only knows the endpoint costs a read of the file and an HMAC, and no lock.  Nothing may
 * raise while the secret is in memory.
 */
#define _DEFAULT_SOURCE /* explicit_bzero */
#include "postgres.h"

#include <string.h>

#include "access/detoast.h"
#include "access/htup_details.h"
#include "access/xlog.h"
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
#include "core/notification/kept_ids.h"
#include "core/notification/notification_verdict.h"
#include "database/table_locks.h"
#include "exchange/ask_first.h"
#include "exchange/commit_signal.h"
#include "exchange/log_rate.h"
#include "notified/match_notification.h"
#include "notified/notification_row.h"
#include "notified/unconfirmed.h"
#include "observe/metrics.h"
#include "sql_function/arguments.h"
#include "sql_function/check_access.h"
#include "sql_function/owner.h"
#include "sql_function/raise_error.h"
#include "sql_function/require_version.h"
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
	if (!isnull && TIMESTAMP_IS_NOBEGIN(DatumGetTimestampTz(d)))
		pgw_raise_fault("received_at", "out_of_range", "must be a time");
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

/* After the commit. */
static void
have_it_asked(const Received *r)
{
	int most = r->match.nin_doubt + 1;
	PgwMatched *of = palloc(most * sizeof(PgwMatched));
	int n =
		pgw_match_follow_ups(&r->match, &r->said, r->verdict == PGW_NOTIFICATION_HINT, of, most);

	for (int i = 0; i < n; i++)
		pgw_commit_signal_add_notified(&of[i].transaction_id, of[i].bank_reference);
	pfree(of);
}

/* ---------------------------------------------------------------- what becomes of it */

static bool
insert(const Received *r, const PgwBank *bank, TimestampTz ask_at)
{
	PgwNotificationRow row = {.notification_id = r->notification_id,
							  .bank = bank,
							  .said = &r->said,
							  .match = &r->match,
							  .proof = r->proof,
							  .received_at = r->at,
							  .ask_at = ask_at};

	return pgw_notification_insert(&row);
}

/*
 * Nothing of it is kept, and the bank is to send it again; until then it is asked for.  What it has
 * said it sends is taken whoever else waits.
 */
static void
ask_first(Received *r, const PgwBank *bank)
{
	PgwAskFirst what = {.received_at = r->at};

	if (pgw_unconfirmed_came_again(bank->name, r->said.identity) != PGW_AGAIN_BUSY)
	{
		r->verdict = PGW_NOTIFICATION_REPEATED;
		return;
	}
	strlcpy(what.bank, bank->name, sizeof(what.bank));
	strlcpy(what.event_id, r->said.event_id, sizeof(what.event_id));
	strlcpy(what.identity, r->said.identity, sizeof(what.identity));
	if (!PGW_MUTATED(ASKED_FIRST_FORGOTTEN))
		pgw_exchange_ask_first(MyDatabaseId, &what);
	explicit_bzero(&what, sizeof(what));
}

/*
 * Anybody may have sent it, and nobody is to fill the table: so many wait at most.  The others the
 * bank sends again.
 */
static void
take_unconfirmed(Received *r, const PgwBank *bank)
{
	PgwCameAgain again;

	pgw_tables_lock(pgw_bounded_call_deadline());
	r->match.outcome = "unconfirmed";
	if (r->verdict == PGW_NOTIFICATION_ASKED_FIRST)
		ask_first(r, bank);
	else if (pgw_unconfirmed_full(bank->name))
	{
		r->verdict = PGW_NOTIFICATION_TOO_MANY;
		ask_first(r, bank);
	}
	else if (!insert(r, bank, pgw_now()))
	{
		again = pgw_unconfirmed_came_again(bank->name, r->said.identity);
		r->verdict =
			again == PGW_AGAIN_BUSY ? PGW_NOTIFICATION_TOO_MANY : PGW_NOTIFICATION_REPEATED;
	}
}

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
		pgw_notification_keep_ids(&r->said, r->match.card_last4);
		if (r->verdict == PGW_NOTIFICATION_HINT || insert(r, bank, 0))
			have_it_asked(r);
		else
			r->verdict = PGW_NOTIFICATION_REPEATED;
	}
	else if (r->verdict == PGW_NOTIFICATION_TO_CONFIRM ||
			 r->verdict == PGW_NOTIFICATION_ASKED_FIRST)
		take_unconfirmed(r, bank);
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
	bool taken =
		(r->answer == PGW_NOTIFICATION_ACCEPTED || r->answer == PGW_NOTIFICATION_TO_CONFIRM) &&
		r->n == 1;
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
