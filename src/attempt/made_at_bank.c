/*
 * made_at_bank.c - captures, refunds and voids that pgw has not made, and the bank shows
 *
 * Carries out core/payment/reported_by_bank.c: each is an attempt of origin 'bank', which begins
 * and ends in the commit that changes the payments row.  All functions have the row of the charge's
 * attempt locked.
 *
 * Orderings that matter
 *     - What is recorded is decided under the payments row's lock, and written in the same commit:
 *       whoever asks for a refund waits for that row, and counts what was recorded.
 *     - A look-up is asked only when nothing of pgw's own is open, and its answer counts only if
 *       that is still so.
 *     - A notification is seen in the commit that records what it led to, so that a worker which
 *       ends before that is followed by one that asks again; and the same total adds nothing.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"

#include "attempt/charge_id.h"
#include "attempt/made_at_bank.h"
#include "attempt/told_at_bank.h"
#include "base/clock.h"
#include "base/new_id.h"
#include "base/schedule.h"
#include "core/base/mutant.h"
#include "core/base/shard_slot.h"
#include "core/base/uuid7.h"
#include "core/payment/reported_by_bank.h"
#include "outcome/event_members.h"
#include "store/bank_references.h"
#include "store/changes_at_bank.h"
#include "store/events.h"
#include "store/find_attempts.h"
#include "store/outcome_message.h"
#include "store/tables.h"

/* A look-up that may lag behind so long is waited for before the bank is asked the first time. */
#define WAITED_FOR_S 60
/* ... and for so long where it is never said */
#define UNSAID_LAG_S 3600

/* For how long a look-up of this charge may not show what was done. */
static int64
lag_s(const PgwAttempt *attempt, const PgwBank *bank)
{
	PgwCapabilities caps;

	pgw_charge_id_capabilities(bank, attempt->bank_reference, &caps);
	return caps.lookup_consistent_after_s >= 0 ? caps.lookup_consistent_after_s : UNSAID_LAG_S;
}

static bool
is_named_by(const PgwPayment *p, const PgwAttempt *attempt)
{
	return memcmp(&p->transaction_id, &attempt->transaction_id, sizeof(pg_uuid_t)) == 0;
}

/* ---------------------------------------------------------------- the look-up */

bool
pgw_step_made_at_bank(PgwAttempt *attempt, PgwStep *step)
{
	TimestampTz now = pgw_now();
	TimestampTz latest;
	PgwCallParams params;
	PgwPayment p;
	PgwBank *bank;
	bool unreadable;
	int64 lag;

	Assert(attempt->place.held && attempt->status == PGW_COMPLETED &&
		   attempt->kind == PGW_KIND_PAYMENT);
	if (!pgw_store_change_is_due(&attempt->transaction_id, now, &latest))
		return false;
	bank = pgw_config_bank_of(attempt->bank, attempt->bank_version, &unreadable);
	if (bank != NULL && bank->connector != NULL && pgw_connector_has_evidence(bank->connector))
	{
		pgw_step_told_at_bank(attempt, step, bank);
		return true;
	}
	step->at_rest = true;
	bank = pgw_step_bank(attempt, step, false);
	if (bank == NULL || !pgw_store_payment_by_id(&attempt->payment_id, &p))
		return true;
	lag = lag_s(attempt, bank);
	if (!is_named_by(&p, attempt) || !pgw_report_may_matter(p.status))
		pgw_store_change_seen(&attempt->transaction_id, now);
	else if (lag > 0 && lag <= WAITED_FOR_S && pgw_schedule_age_s(latest) <= lag)
		pgw_store_change_later(&attempt->transaction_id, now,
							   TimestampTzPlusMilliseconds(latest, (lag + 1) * 1000));
	else
	{
		/* whatever becomes of the call, it is not made again at once */
		pgw_store_change_later(&attempt->transaction_id, now, 0);
		/* what is open may be what the bank shows: its own end comes first */
		if (p.refund_pending_amount + p.reserved_amount + p.capture_pending_amount > 0 &&
			!PGW_MUTATED(REPORTED_WHILE_OPEN))
			return true;
		pgw_step_params_about_charge(attempt, &params);
		if (pgw_step_call(attempt, step, bank, PGW_OP_LOOKUP_CHARGE, attempt->own_request.key,
						  &params))
			step->call->at_rest_since = now;
	}
	return true;
}

/* ---------------------------------------------------------------- what it shows */

static void
describe(const PgwAttempt *charge, const PgwPayment *p, PgwKind kind, int64 amount, PgwAttempt *a)
{
	char key[33];

	memset(a, 0, sizeof(*a));
	pgw_new_id_in_slot(&a->transaction_id, pgw_shard_slot_of_id(p->payment_id.data));
	pgw_new_id(&a->correlation_id);
	pgw_uuid_to_hex32(a->transaction_id.data, key);
	a->payment_id = p->payment_id;
	/* of a form that nobody else's has by accident, and once and for all its own */
	a->client_request_id = psprintf("bank:%s", key);
	a->merchant = p->merchant;
	a->kind = kind;
	a->origin = PGW_ORIGIN_BANK;
	a->submitted = true;
	a->live = true;
	a->amount = amount;
	a->currency = p->currency;
	a->capture = p->capture;
	a->card_last4 = p->card_last4;
	a->card_brand = p->card_brand;
	a->bank = p->bank;
	a->livemode = charge->livemode;
	a->bank_version = charge->bank_version;
	a->reference = p->reference;
	a->own_request.key = pstrdup(key);
	a->system_identifier = (int64) GetSystemIdentifier();
	a->database_oid = MyDatabaseId;
	a->created_at = GetCurrentTimestamp();
}

/* The totals that the bank has shown; of one that is taken back, what it stood at. */
static void
reported(const PgwAttempt *a, const PgwAnswer *shown, PgwState from, PgwState to,
		 PgwEventMembers *m, PgwEvent *event)
{
	m->n = 0;
	m->names_payment = m->has_digest = false;
	pgw_event_members_add_number(m, "amount", a->amount);
	if (shown->captured >= 0)
		pgw_event_members_add_number(m, "bank_captured", shown->captured);
	if (shown->refunded >= 0)
		pgw_event_members_add_number(m, "bank_refunded", shown->refunded);
	pgw_event_members_add_string(m, "bank_reference", a->bank_reference);
	*event = (PgwEvent){
		.type = PGW_EV_BANK_REPORTED, .from = from, .to = to, .operation = pgw_kind_name(a->kind)};
	pgw_event_members_into(m, event);
}

/* Where the bank has named it, it is that one's for good. */
static void
claim(const PgwBank *bank, PgwAttempt *a, const char *id)
{
	if (id[0] == '\0')
		return;
	if (pgw_store_claim_operation_reference(bank->account, pgw_kind_name(a->kind), id,
											&a->transaction_id) != PGW_OWNER_SELF)
		ereport(ERROR, (errcode(ERRCODE_LOCK_NOT_AVAILABLE),
						errmsg("pgw: the id of what was done at the bank is being claimed")));
	a->bank_reference = pstrdup(id);
}

void
pgw_made_at_bank_record(const PgwAttempt *charge, const PgwBank *bank, const PgwPayment *p,
						PgwKind kind, int64 amount, const PgwAnswer *shown)
{
	PgwEventMembers started;
	PgwEventMembers said;
	PgwAttempt a;
	PgwEvent events[3] = {{.type = PGW_EV_TRANSACTION_STARTED,
						   .from = PGW_STATE_NONE,
						   .to = PGW_CREATED,
						   .operation = pgw_kind_name(kind)},
						  {0},
						  {.type = PGW_EV_TRANSACTION_COMPLETED,
						   .from = PGW_BANK_APPROVED,
						   .to = PGW_COMPLETED,
						   .operation = pgw_kind_name(kind)}};

	describe(charge, p, kind, amount, &a);
	claim(bank, &a, shown->bank_reference);
	pgw_event_members_started(&started, &a);
	pgw_event_members_into(&started, &events[0]);
	reported(&a, shown, PGW_CREATED, PGW_BANK_APPROVED, &said, &events[1]);
	pgw_store_advance(&a, true, events, 3);
	pgw_store_notify(&p->payment_id, kind, "completed");
}

void
pgw_made_at_bank_take_back(const PgwPayment *p, const pg_uuid_t *transaction_id,
						   const PgwAnswer *shown)
{
	PgwEventMembers said;
	PgwEvent event;
	PgwAttempt a;
	bool busy = false;

	/* what was written before is undone: it is taken again in another transaction */
	if (!pgw_store_lock_attempt(transaction_id, false, &a, &busy))
		ereport(ERROR, (errcode(ERRCODE_LOCK_NOT_AVAILABLE),
						errmsg("pgw: a row of a transaction that the bank has made is locked")));
	reported(&a, shown, PGW_COMPLETED, PGW_FAILED, &said, &event);
	pgw_store_advance(&a, false, &event, 1);
	pgw_store_notify(&p->payment_id, PGW_KIND_REFUND, "reversed");
}

/* The newest first, each as a whole; of the last one what is too much is recorded anew. */
static void
take_back(const PgwAttempt *charge, const PgwBank *bank, const PgwPayment *p, int64 amount,
		  const PgwAnswer *shown)
{
	PgwAttempt *attempts;
	int n = pgw_store_attempts(&p->payment_id, &attempts);

	for (int i = n - 1; i >= 0 && amount > 0; i--)
	{
		if (attempts[i].origin == NULL || attempts[i].kind != PGW_KIND_REFUND ||
			attempts[i].status != PGW_COMPLETED)
			continue;
		pgw_made_at_bank_take_back(p, &attempts[i].transaction_id, shown);
		amount -= attempts[i].amount;
	}
	if (amount < 0)
		pgw_made_at_bank_record(charge, bank, p, PGW_KIND_REFUND, -amount, shown);
}

static void
apply(PgwCall *call, const PgwAttempt *charge, PgwPayment *p, const PgwReport *r)
{
	PgwPaymentAmounts s;
	PgwAnswer shown = call->answer;

	shown.bank_reference[0] = '\0'; /* the charge's: totals name no operation */
	pgw_store_get_amounts(p, &s);
	if (r->taken_back > 0)
		take_back(charge, call->bank, p, r->taken_back, &shown);
	if (r->captured > 0)
	{
		pgw_made_at_bank_record(charge, call->bank, p, PGW_KIND_CAPTURE, r->captured, &shown);
		pgw_payment_bank_captured(r->captured, &s);
	}
	if (r->refunded > 0)
		pgw_made_at_bank_record(charge, call->bank, p, PGW_KIND_REFUND, r->refunded, &shown);
	if (r->refunded != r->taken_back)
		pgw_payment_bank_refunded(r->refunded - r->taken_back, &s);
	if (r->voided)
	{
		pgw_made_at_bank_record(charge, call->bank, p, PGW_KIND_VOID, p->authorized_amount, &shown);
		pgw_payment_bank_voided(&s);
	}
	pgw_store_set_amounts(p, &s);
	pgw_store_update_payment(p);
	call->made_at_bank = true;
}

static bool
changes_something(const PgwReport *r)
{
	return r->captured > 0 || r->refunded > 0 || r->taken_back > 0 || r->voided;
}

void
pgw_answer_made_at_bank(PgwCall *call, PgwAttempt *attempt)
{
	PgwPaymentAmounts s;
	PgwReportInput in = {.s = &s, .currency = attempt->currency, .answer = &call->answer};
	PgwReport r = {.told = false};
	PgwPayment p;
	int64 lag = lag_s(attempt, call->bank);
	TimestampTz shown_by = TimestampTzPlusMilliseconds(call->at_rest_since, -lag * 1000);
	bool busy = false;

	Assert(attempt->place.held && attempt->status == PGW_COMPLETED &&
		   attempt->kind == PGW_KIND_PAYMENT);
	if (!pgw_store_lock_payment(&attempt->payment_id, false, &p, &busy))
	{
		call->row_was_busy = busy;
		return;
	}
	if (call->transport == PGW_TRANSPORT_ANSWERED && is_named_by(&p, attempt))
	{
		pgw_store_get_amounts(&p, &s);
		in.shows_all = p.updated_at < shown_by;
		pgw_report_read(&in, &r);
	}
	if (changes_something(&r))
		apply(call, attempt, &p, &r);
	if (r.told && !r.again)
		pgw_store_change_seen(&attempt->transaction_id, shown_by);
	call->unexplained = r.unexplained;
}
