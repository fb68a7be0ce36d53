/*
 * try_banks.c - the calls that pgw.try_bank() asks for, in the worker
 *
 * A trial moves no money: it is the connector's ping or, where there is none, a look-up of a
 * reference that no charge has.  Nothing is written, so nothing has to be durable before it leaves.
 * It is a call of the bank like any other for the bank's sake: it goes by the circuit breaker and
 * counts there, takes room among the bank's calls, and no two of them come within a second.
 *
 * Owns: when the last trial was sent, and what HTTP tells of one until its call is over.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "bank/bank_config.h"
#include "bank/call_permission.h"
#include "base/clock.h"
#include "base/new_id.h"
#include "exchange/bank_trial.h"
#include "queue/send_after_flush.h"
#include "queue/try_banks.h"

#define GAP_MS 1000
#define LOOK_MS \
	50 /* at those that wait for the configuration, or for another database's worker \
		*/

static TimestampTz last_sent = 0;

/* What HTTP has told of the call that is over next. */
static struct
{
	uint64 ticket;
	PgwTrialReport report;
} noted;

static bool
is_time(void)
{
	return pgw_is_due(TimestampTzPlusMilliseconds(last_sent, GAP_MS), pgw_now(), GAP_MS);
}

TimestampTz
pgw_trials_next_at(void)
{
	return pgw_trial_waits() ? Max(TimestampTzPlusMilliseconds(last_sent, GAP_MS),
								   TimestampTzPlusMilliseconds(pgw_now(), LOOK_MS))
							 : 0;
}

static void
not_made(uint64 ticket, const char *error_code, const char *detail)
{
	PgwTrialReport report = {.error_code = ""};

	strlcpy(report.error_code, error_code, sizeof(report.error_code));
	strlcpy(report.detail, detail, sizeof(report.detail));
	pgw_trial_report(ticket, &report);
}

/* What can be asked without moving money; PGW_NOPS: nothing. */
static PgwBankOp
question_for(const PgwConnector *connector)
{
	if (pgw_connector_has(connector, PGW_OP_PING))
		return PGW_OP_PING;
	if (pgw_connector_has(connector, PGW_OP_LOOKUP_CHARGE) &&
		!pgw_connector_capabilities(connector)->lookup_needs_id)
		return PGW_OP_LOOKUP_CHARGE;
	return PGW_NOPS;
}

/* At the circuit breaker a ping stands in for a charge: see pgw_bank_report(). */
static bool
is_allowed(PgwCall *call, const PgwBank *bank)
{
	PgwBankOp op = call->op;
	TimestampTz when;
	bool allowed;

	call->op = op == PGW_OP_PING ? PGW_OP_CHARGE : op;
	allowed = pgw_call_allowed(call, bank->name, PGW_FIRST_TRY, &when);
	call->op = op;
	return allowed;
}

/* The call's own reference is new, so no charge has it. */
static void
ask(PgwCall *call, PgwBank *bank)
{
	PgwCallParams params;
	PgwConnectorError err;
	const char *code;
	uint64 ticket = call->trial;

	memset(&params, 0, sizeof(params));
	params.currency =
		bank->currencies != NULL && bank->currencies[0] != NULL ? bank->currencies[0] : "EUR";
	if (!is_allowed(call, bank))
		not_made(
			ticket, "bank_unavailable",
			"the bank is left alone just now, because its last calls have failed: see pgw.health()");
	else if (!pgw_lanes_room(bank->name, PGW_LANE_LOOKUP, true))
		not_made(ticket, "worker_busy", "the bank has as many calls as it may have at a time");
	else if (!pgw_call_render(call, bank, &params, &code, &err))
		not_made(ticket, code, err.message);
	else
	{
		last_sent = pgw_now();
		pgw_call_ready(call);
		return;
	}
	/* not sent, and not the bank's doing: its permit is given back */
	call->transport = PGW_TRANSPORT_NEVER_SENT;
	call->our_fault = true;
	pgw_call_report(call);
	pgw_call_free(call);
}

static void
send_one(uint64 ticket, const char *name)
{
	PgwBank *bank = pgw_config_bank(name);
	PgwBankOp op =
		bank != NULL && bank->connector != NULL ? question_for(bank->connector) : PGW_NOPS;
	pg_uuid_t id;
	PgwCall *call;

	if (bank == NULL || bank->connector == NULL)
	{
		not_made(ticket, bank == NULL ? "unknown_bank" : "connector_invalid", "");
		return;
	}
	if (op == PGW_NOPS)
	{
		not_made(
			ticket, "bank_operation_not_supported",
			"the connector has neither \"ping\" nor a look-up by our own reference, so nothing can be asked without moving money");
		return;
	}
	pgw_new_id(&id);
	call = pgw_call_new(&id, NULL, &id, false);
	call->op = op;
	call->trial = ticket;
	PG_TRY();
	{
		ask(call, bank);
	}
	PG_CATCH();
	{
		pgw_call_free(call);
		not_made(ticket, "internal_error", "see the server's log");
		PG_RE_THROW();
	}
	PG_END_TRY();
}

void
pgw_trials_send(void)
{
	char bank[64];
	bool config_changing;
	uint64 number = pgw_config_number(&config_changing);
	uint64 ticket;

	if (!pgw_trial_waits() || !is_time())
		return;
	ticket = pgw_trial_take(number, bank);
	if (ticket != 0)
		send_one(ticket, bank);
	else
		/* whoever asked has seen a newer configuration; or it is another database's trial */
		pgw_config_reread();
}

void
pgw_trial_note(const PgwCall *call, const PgwHttpDone *done)
{
	memset(&noted, 0, sizeof(noted));
	noted.ticket = call->trial;
	strlcpy(noted.report.trouble, done->error != NULL ? done->error : "",
			sizeof(noted.report.trouble));
	strlcpy(noted.report.date, done->date != NULL ? done->date : "", sizeof(noted.report.date));
	/* half a document is none */
	if (done->certificates != NULL &&
		strlen(done->certificates) < sizeof(noted.report.certificates))
		strlcpy(noted.report.certificates, done->certificates, sizeof(noted.report.certificates));
}

void
pgw_trial_over(PgwCall *call)
{
	PgwTrialReport *report = &noted.report;
	instr_time took;

	if (noted.ticket != call->trial)
	{
		memset(&noted, 0, sizeof(noted));
		strlcpy(report->trouble, "the call was given up", sizeof(report->trouble));
	}
	noted.ticket = 0;
	INSTR_TIME_SET_CURRENT(took);
	INSTR_TIME_SUBTRACT(took, call->began);
	report->took_ms = (int64) INSTR_TIME_GET_MILLISEC(took);
	strlcpy(report->operation, pgw_op_name(call->op), sizeof(report->operation));
	report->transport = call->transport;
	report->http_status = (int) call->http_status;
	report->outcome = call->answer.outcome;
	report->key_refused = call->credentials_rejected;
	report->other_mode = call->answer.other_mode;
	report->answered_at_s = pgw_unix_seconds(GetCurrentTimestamp());
	pgw_trial_report(call->trial, report);
	pgw_call_free(call);
}
