/*
 * try_bank.c - pgw.try_bank(): is a bank there, does it take our key, whose certificate does it
 * show, is its clock ours, and what will a lost answer cost there?
 *
 * Owns nothing, writes nothing.  No backend calls a bank: the worker does (queue/try_banks.c), and
 * moves no money.  The wait is bounded, and whoever is cancelled or terminated leaves nothing
 * behind.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/json_writer.h"
#include "base/clock.h"
#include "core/bank_message/render_request.h"
#include "core/bank_message/http_date.h"
#include "core/connector/recovery_notes.h"
#include "exchange/bank_trial.h"
#include "exchange/worker_entries.h"
#include "operator_api/tool_arguments.h"
#include "sql_function/arguments.h"
#include "sql_function/check_access.h"
#include "sql_function/raise_error.h"
#include "sql_function/require_version.h"
#include "sql_function/require_worker.h"
#include "sql_function/result_set.h"

PG_FUNCTION_INFO_V1(pgw_try_bank_1_0);

#define LONGEST_WAIT_MS 60000
#define POLL_MS 20

typedef struct Findings
{
	Tuplestorestate *store;
	TupleDesc desc;
} Findings;

/* details: JSON, or NULL. */
static void
put(Findings *f, const char *check, const char *status, const char *message, const char *details)
{
	Datum values[4] = {CStringGetTextDatum(check), CStringGetTextDatum(status),
					   CStringGetTextDatum(message)};
	bool nulls[4] = {false, false, false, details == NULL};

	if (details != NULL)
		values[3] = DirectFunctionCall1(jsonb_in, CStringGetDatum(details));
	tuplestore_putvalues(f->store, f->desc, values, nulls);
}

/* ---------------------------------------------------------------- the call */

/* A worker that is paused calls nobody, and is not waited for. */
static void
require_working(void)
{
	pgw_require_worker();
	if (pgw_exchange_paused(MyDatabaseId) != PGW_PAUSE_NONE)
		pgw_raise("worker_paused", NULL, NULL);
}

/* false: the time is up. */
static bool
wait_for_report(uint64 ticket, TimestampTz deadline, PgwTrialReport *report)
{
	while (!pgw_trial_fetch(ticket, report))
	{
		if (GetCurrentTimestamp() >= deadline)
			return false;
		require_working();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, POLL_MS,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	return true;
}

/* Whoever leaves early, also by a termination, leaves its place to others. */
static void
leave(int code, Datum ticket)
{
	pgw_trial_forget(DatumGetUInt64(ticket));
}

static bool
ask_worker(const PgwBank *bank, TimestampTz deadline, PgwTrialReport *report)
{
	uint64 ticket;
	bool reported;

	require_working();
	ticket = pgw_trial_ask(bank->name);
	if (ticket == 0)
		pgw_raise("worker_busy", NULL, "Other banks are being tried; try again in a moment.");
	PG_ENSURE_ERROR_CLEANUP(leave, UInt64GetDatum(ticket));
	{
		reported = wait_for_report(ticket, deadline, report);
	}
	PG_END_ENSURE_ERROR_CLEANUP(leave, UInt64GetDatum(ticket));
	if (!reported)
		pgw_trial_forget(ticket);
	return reported;
}

/* ---------------------------------------------------------------- what it says */

static char *
details_of_call(const PgwTrialReport *r)
{
	PgwJsonWriter w;

	pgw_json_begin(&w);
	pgw_json_begin_object(&w, NULL);
	pgw_json_put_string(&w, "operation", r->operation);
	if (r->http_status != 0)
		pgw_json_put_int(&w, "http_status", r->http_status);
	if (r->transport == PGW_TRANSPORT_ANSWERED)
		pgw_json_put_string(&w, "outcome", pgw_outcome_name((PgwOutcome) r->outcome));
	if (r->trouble[0] != '\0')
		pgw_json_put_string(&w, "trouble", r->trouble);
	pgw_json_put_int(&w, "took_ms", r->took_ms);
	pgw_json_end_object(&w);
	return w.text.data;
}

/* Was nothing said, because the answer is about something else or not understood? */
static void
put_credentials(Findings *f, const PgwTrialReport *r)
{
	bool ping = strcmp(r->operation, "ping") == 0;
	const char *details = details_of_call(r);

	if (r->key_refused)
		put(f, "credentials", "error",
			"The bank refuses our key: mend the file that the bank's row names in secret.",
			details);
	else if (r->other_mode)
		put(f, "credentials", "error",
			"The bank answers in the other mode than its row's livemode: the key or the address is that of the other one.",
			details);
	else if (ping && r->outcome == PGW_OUT_APPROVED)
		put(f, "credentials", "ok", "The bank takes our key.", details);
	else if (!ping && r->outcome == PGW_OUT_NOT_FOUND)
		put(f, "credentials", "ok",
			"The bank takes our key, and says of a reference that no charge has that it does not know it.",
			details);
	else if (!ping && r->outcome == PGW_OUT_APPROVED)
		put(f, "credentials", "error",
			"The bank shows a charge for a reference that no charge has: its look-ups cannot be believed.",
			details);
	else
		put(f, "credentials", "warning",
			"The answer does not say whether the key is good: see which rule it meets with pgw.judge_answer().",
			details);
}

static void
put_clock(Findings *f, const PgwTrialReport *r)
{
	int64 ahead;
	bool differs;
	PgwJsonWriter w;

	if (!pgw_clock_ahead(r->date, r->answered_at_s, r->took_ms, &ahead))
	{
		put(f, "clock", "skipped", "The answer has no Date that could be read.", NULL);
		return;
	}
	pgw_json_begin(&w);
	pgw_json_begin_object(&w, NULL);
	pgw_json_put_int(&w, "bank_ahead_seconds", ahead);
	pgw_json_end_object(&w);
	differs = ahead > PGW_CLOCK_SKEW_LIMIT_S || ahead < -PGW_CLOCK_SKEW_LIMIT_S;
	put(f, "clock", differs ? "warning" : "ok",
		differs
			? "The bank's clock and this server's differ: signatures with a time would be refused, and \"not found\" is waited for by ours. Set this server's by NTP."
			: "The bank's clock is this server's.",
		w.text.data);
}

static void
put_tls(Findings *f, const PgwBank *bank, const PgwTrialReport *r)
{
	bool tls = strncmp(bank->base_url, "https:", 6) == 0;
	bool not_trusted =
		strstr(r->trouble, "ertificate") != NULL || strstr(r->trouble, "TLS") != NULL;

	if (!tls)
		put(f, "tls", "skipped", "The address is not https: it does not leave this server.", NULL);
	else if (not_trusted)
		put(f, "tls", "error",
			psprintf(
				"%s: the chain must lead to an authority of the system's, or of settings.ca_file.",
				r->trouble),
			NULL);
	else if (r->transport == PGW_TRANSPORT_ANSWERED)
		put(f, "tls", "ok", "TLS 1.2 or newer, and the certificate is good for this address.",
			r->certificates[0] != '\0' ? r->certificates : NULL);
	else
		put(f, "tls", "skipped", "No connection stood.", NULL);
}

static void
put_report(Findings *f, const PgwBank *bank, const PgwTrialReport *r)
{
	if (r->error_code[0] != '\0')
	{
		put(f, "reach", "error",
			psprintf("The bank was not asked (%s)%s%s", r->error_code,
					 r->detail[0] != '\0' ? ": " : ".", r->detail),
			NULL);
		return;
	}
	put(f, "reach", r->transport == PGW_TRANSPORT_ANSWERED ? "ok" : "error",
		r->transport == PGW_TRANSPORT_ANSWERED
			? "The bank answers."
			: psprintf("The bank does not answer: %s.", r->trouble),
		details_of_call(r));
	put_tls(f, bank, r);
	if (r->transport != PGW_TRANSPORT_ANSWERED)
		return;
	put_credentials(f, r);
	put_clock(f, r);
}

/* ---------------------------------------------------------------- without a call */

/*
 * The document, and the row that uses it: a charge would be sent, and the look-up of its lost
 * answer not, for want of a setting.
 */
static void
put_document(Findings *f, const PgwBank *bank)
{
	PgwConnectorError *warnings = palloc(PGW_MAX_CONNECTOR_WARNINGS * sizeof(PgwConnectorError));
	int n = pgw_connector_warnings(bank->connector, warnings, PGW_MAX_CONNECTOR_WARNINGS);
	PgwBankOp op;
	char name[80];

	if (pgw_connector_lacks_setting(bank->connector, bank->settings, &op, name, sizeof(name)))
		put(f, "connector", "error",
			psprintf(
				"%s cannot be sent: its path needs %s, and the bank's row has no such member in settings.",
				pgw_op_name(op), name),
			NULL);
	else
		put(f, "connector", n > 0 ? "warning" : "ok",
			n > 0
				? psprintf(
					  "The document can be used, with %d warnings: pgw.check_connector() has them.",
					  n)
				: "The document can be used, without a warning.",
			NULL);
}

static void
put_connector(Findings *f, const PgwBank *bank)
{
	PgwRecoveryNote notes[PGW_MAX_RECOVERY_NOTES];
	int n;

	put_document(f, bank);
	n = pgw_recovery_notes(bank->connector, notes);
	for (int i = 0; i < n; i++)
		put(f, notes[i].about, notes[i].costs_a_person ? "warning" : "ok", notes[i].sentence, NULL);
}

static PgwBank *
find_bank(FunctionCallInfo fcinfo, int64 *timeout_ms)
{
	char *faults = NULL;
	PgwBank *bank = pgw_tool_bank(pgw_arg_text(fcinfo, "bank"), &faults);
	bool isnull;
	Datum d = pgw_arg(fcinfo, "timeout", &isnull);

	*timeout_ms = isnull ? 0 : pgw_interval_ms(d);
	if (*timeout_ms <= 0 || *timeout_ms > LONGEST_WAIT_MS)
		faults = pgw_arg_fault(faults, "timeout", "out_of_range",
							   "must be more than nothing, and at most a minute");
	if (faults != NULL)
		pgw_raise_invalid("the bank cannot be tried", pgw_json_array_of(faults),
						  "Correct the arguments that DETAIL names. Nothing was sent.");
	return bank;
}

/* pgw.try_bank(bank, timeout): check_name, status, message, details. */
Datum
pgw_try_bank_1_0(PG_FUNCTION_ARGS)
{
	Findings f;
	PgwTrialReport report;
	PgwBank *bank;
	int64 timeout_ms;

	pgw_require(GetUserId(), "operator", NULL);
	f.store = pgw_result_set(fcinfo, &f.desc);
	pgw_require_version();
	pgw_config_refresh(false);
	bank = find_bank(fcinfo, &timeout_ms);
	pgw_config_hold(bank);
	PG_TRY();
	{
		if (ask_worker(bank, pgw_deadline(timeout_ms), &report))
			put_report(&f, bank, &report);
		else
			put(&f, "reach", "error", "No answer came within the time of this call.", NULL);
		put_connector(&f, bank);
	}
	PG_FINALLY();
	{
		pgw_config_drop(bank);
	}
	PG_END_TRY();
	return (Datum) 0;
}
