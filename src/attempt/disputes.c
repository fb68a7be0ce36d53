/*
 * disputes.c - what banks have said of disputes of a charge
 *
 * Carries out core/payment/dispute_rules.c: what signed notifications have said, oldest first,
 * becomes rows of pgw.disputes, events of the charge's attempt and the payment's disputed_amount.
 * Nobody is asked: banks' look-ups of charges do not show disputes.
 *
 * Orderings that matter
 *     - The endpoint's row is committed before the bank is answered; the worker only reads it here.
 *       So a worker or server that is killed at any point finds it again.
 *     - That it was used is in the commit of what it did, and so is all of that: dispute, events
 * and payment never differ.
 *     - The payments row is locked before the disputes are read, and changed with them: whoever
 * asks for a refund waits for that row, and counts what a dispute has taken.
 *     - Locks: the attempt's row, then the payments row, then the notifications', then the
 *       disputes'.  None is waited for: a purge takes them in another order.
 */
#include "postgres.h"

#include "attempt/disputes.h"
#include "core/base/mutant.h"
#include "outcome/event_members.h"
#include "store/told_disputes.h"
#include "store/events.h"
#include "store/outcome_message.h"

static bool
is_named_by(const PgwPayment *p, const PgwAttempt *attempt)
{
	return memcmp(&p->transaction_id, &attempt->transaction_id, sizeof(pg_uuid_t)) == 0;
}

/* Would anything happen? */
static bool
adds_a_step(const PgwDispute *d, const PgwSaidDispute *said)
{
	return (said->steps & ~d->steps) != 0;
}

static void
add_money(PgwEventMembers *m, const char *name, const char *currency_name,
		  const PgwSaidMoney *money)
{
	if (!money->there)
		return;
	pgw_event_members_add_number(m, name, money->amount);
	pgw_event_members_add_string(m, currency_name, money->currency);
}

static void
write_event(PgwAttempt *attempt, PgwDisputeStep which, const PgwSaidDispute *said,
			const PgwDisputeRow *row, const PgwDisputeChange *change)
{
	PgwEventMembers m = {.n = 0};
	PgwEvent event = {.type = pgw_dispute_event(which), .from = PGW_COMPLETED, .to = PGW_COMPLETED};
	bool moves = pgw_dispute_step_takes(which) || pgw_dispute_step_returns(which);

	pgw_event_members_add_string(&m, "dispute", said->id);
	pgw_event_members_add_string(&m, "step", pgw_dispute_step_name(which));
	pgw_event_members_add_string(&m, "dispute_status", pgw_dispute_status(&row->state));
	if (moves)
		pgw_event_members_add_number(&m, "taken", change->taken);
	if (change->unclear)
		pgw_event_members_add(
			&m, (PgwEventMember){.name = "unclear", .kind = PGW_MEMBER_BOOLEAN, .number = true});
	add_money(&m, "said_amount", "said_currency", &said->amount);
	if (moves)
		add_money(&m, "moved_amount", "moved_currency", &said->moved);
	if (moves)
		add_money(&m, "fee_amount", "fee_currency", &said->fee);
	pgw_event_members_add_string(&m, "dispute_reason", said->reason);
	if (said->deadline != 0)
		pgw_event_members_add_number(&m, "deadline", said->deadline);
	pgw_event_members_into(&m, &event);
	pgw_store_advance(attempt, false, &event, 1);
}

/* What people are told: the last of what happened here that matters most. */
static void
note_alert(PgwStep *step, PgwDisputeStep which, const PgwDisputeChange *change)
{
	if (change->unclear)
		step->dispute_unclear = true;
	else if (pgw_dispute_event(which) == PGW_EV_DISPUTE_CLOSED)
		step->dispute_closed = true;
	else
		step->dispute_opened = true;
}

/* Returns what becomes of the notification; *used: there was something new in it. */
static const char *
record(PgwAttempt *attempt, PgwStep *step, const PgwPayment *p, const PgwBank *bank,
	   const PgwToldDispute *told, bool *used)
{
	PgwDisputeRow row = {.account = bank->account,
						 .bank = told->bank,
						 .merchant = p->merchant,
						 .livemode = attempt->livemode,
						 .payment_id = p->payment_id,
						 .transaction_id = attempt->transaction_id,
						 .currency = p->currency};
	bool contradicts;

	if (told->said.id[0] == '\0' || !pgw_store_dispute(told->said.id, &row))
		return "unclear";
	/* by what was known before */
	contradicts = pgw_dispute_contradicts(&row.state, &told->said, p->currency);
	if (!adds_a_step(&row.state, &told->said) && !PGW_MUTATED(DISPUTE_ONCE))
		return contradicts ? "unclear" : "agrees";
	for (int i = 0; i < PGW_NDISPUTE_STEPS; i++)
	{
		PgwDisputeChange change;

		if ((told->said.steps & PGW_DISPUTE_BIT(i)) == 0 ||
			!pgw_dispute_take_step(&row.state, (PgwDisputeStep) i, &told->said, p->currency,
								   &change))
			continue;
		write_event(attempt, (PgwDisputeStep) i, &told->said, &row, &change);
		note_alert(step, (PgwDisputeStep) i, &change);
	}
	pgw_store_put_dispute(&row, &told->said);
	*used = true;
	return contradicts ? "unclear" : "used";
}

void
pgw_step_disputes(PgwAttempt *attempt, PgwStep *step)
{
	PgwToldDispute *told;
	PgwPayment p;
	PgwBank *bank;
	bool unreadable;
	bool busy = false;
	bool used = false;
	int n;

	Assert(attempt->place.held && attempt->status == PGW_COMPLETED &&
		   attempt->kind == PGW_KIND_PAYMENT);
	bank = pgw_config_bank_of(attempt->bank, attempt->bank_version, &unreadable);
	/*
	 * a bank that nobody can read just now, and a payments row that somebody has, are tried again
	 * in ten seconds: worker/housekeeping.c
	 */
	if (bank == NULL || !pgw_store_any_told_dispute(&attempt->transaction_id) ||
		!pgw_store_lock_payment(&attempt->payment_id, false, &p, &busy) ||
		!is_named_by(&p, attempt))
		return;
	n = pgw_store_told_disputes(&attempt->transaction_id, &told);
	for (int i = 0; i < n; i++)
	{
		const char *becomes = record(attempt, step, &p, bank, &told[i], &used);

		pgw_store_told_dispute_is(&told[i].notification_id, becomes);
	}
	if (!used)
		return;
	p.disputed_amount = pgw_store_disputed(&p.payment_id);
	pgw_store_update_payment(&p);
	pgw_store_notify(&p.payment_id, PGW_KIND_PAYMENT, "dispute");
}
