/*
 * record_decision.c - what a decision of core/payment/charge_rules.h becomes in the tables
 *
 * Owns: the saving that follows when the caller itself could not do it (its wait ran out, or the
 * payments row was busy when the answer came).  Whether the caller has committed is found out in
 * caller_committed.c.
 *
 * Locks: the attempt's row, then the payments row, both without waiting; a client's lock makes us
 * come back. Why nothing is saved twice: the state is read under the row lock, and saving leaves
 * BankApproved in the same commit.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "bank/bank_config.h"
#include "base/clock.h"
#include "base/debug_points.h"
#include "core/base/mutant.h"
#include "outcome/caller_committed.h"
#include "outcome/event_members.h"
#include "outcome/record_decision.h"
#include "store/events.h"
#include "store/outcome_message.h"
#include "store/tables.h"

/* ---------------------------------------------------------------- writing a decision */


/* What is null was named, and could not be read. */
static void
add_amount(PgwEventMembers *f, const char *name, bool there, bool readable, int64 amount)
{
	if (!there)
		return;
	if (readable)
		pgw_event_members_add_number(f, name, amount);
	else
		pgw_event_members_add(
			f, (PgwEventMember){.name = name, .kind = PGW_MEMBER_STRING, .text = NULL});
}

/*
 * What was asked for, and what the bank shows instead: the person who clears it up with the bank
 * needs both.
 */
static void
add_difference(PgwEventMembers *f, PgwEventType type, const PgwDecision *d)
{
	const PgwAnswer *a = d->shown;

	if (a == NULL ||
		(type != PGW_EV_BANK_OUTCOME_UNACCEPTABLE && type != PGW_EV_MANUAL_REVIEW_REQUIRED &&
		 type != PGW_EV_REFUND_COMPLETED && type != PGW_EV_BANK_PROCESSING_COMPLETED))
		return;
	add_amount(f, "asked_amount", true, true, d->asked_amount);
	pgw_event_members_add_string(f, "asked_currency", d->asked_currency);
	add_amount(f, "bank_amount", a->has_amount || a->amount_unreadable, !a->amount_unreadable,
			   a->amount);
	pgw_event_members_add_string(f, "bank_currency", a->currency);
	add_amount(f, "bank_captured", a->captured >= 0, true, a->captured);
	add_amount(f, "bank_refunded", a->refunded >= 0, true, a->refunded);
}

/*
 * In which words the bank has said what is no plain yes: the one place where a refusal of any kind
 * (a decline, a capture, void, refund or give-back that is refused, a look-up that says no) gets
 * its HTTP status and the bank's own code.  Nothing else of the answer's text goes into an event.
 */
static void
add_said(PgwEventMembers *f, const PgwDecision *d, const PgwAnswer *a)
{
	const PgwAnswer *said = d->said != NULL ? d->said : a;

	if (said == NULL || said->http_status == 0 ||
		(said->outcome == PGW_OUT_APPROVED && d->error == NULL) || PGW_MUTATED(REFUSAL_TOLD))
		return;
	pgw_event_members_add_number(f, "bank_status", said->http_status);
	pgw_event_members_add_string(f, "bank_code", said->bank_code);
}

/* Members of event_data that tell what the bank said, and what came of it. */
static void
event_extra(PgwEventType type, const PgwAttempt *attempt, const PgwDecision *d, const PgwAnswer *a,
			PgwEventMembers *f)
{
	f->n = 0;
	f->names_payment = f->has_digest = false;
	if (type == PGW_EV_TRANSACTION_STARTED)
		pgw_event_members_started(f, attempt);
	else if (type == PGW_EV_BANK_PROCESSING_COMPLETED && a != NULL)
	{
		pgw_event_members_add_string(f, "bank_reference", a->bank_reference);
		pgw_event_members_add_string(f, "authorization_code", a->authorization_code);
	}
	else if (type == PGW_EV_TRANSACTION_ADOPTED)
		pgw_event_members_adopted(f, attempt);
	else if (type != PGW_EV_PAYMENT_DATA_SAVE_STARTED) /* the approval before it has said it */
	{
		if (d->error != NULL)
			pgw_event_members_add_string(f, "error_code", d->error->code);
		pgw_event_members_add_string(f, "reason", d->reason);
		if (type == PGW_EV_BANK_SWITCHED)
			pgw_event_members_add_string(f, "from_bank", d->from_bank);
		add_said(f, d, a);
		if (a != NULL)
			pgw_event_members_add_string(f, "bank_reference", a->bank_reference);
	}
	add_difference(f, type, d);
}

static char *
from_bank(const char *value)
{
	return value[0] == '\0' ? NULL : pstrdup(value);
}

/* Does it say anything of a charge, or of the operation, that the id could be of? */
static bool
names_something(const PgwAnswer *a)
{
	return a->outcome == PGW_OUT_APPROVED || a->outcome == PGW_OUT_PENDING ||
		   a->outcome == PGW_OUT_ACCEPTED || a->outcome == PGW_OUT_REQUIRES_ACTION ||
		   a->outcome == PGW_OUT_DECLINED;
}

/*
 * A charge's id is the attempt's when it has been claimed (attempt/charge_id.c), and only then is
 * anything asked of the bank with it.  The id of a no is kept for people to read, of an attempt
 * that has Failed and has no other: it may be another payment's.
 */
static bool
keeps_id(const PgwAttempt *attempt, const PgwDecision *d)
{
	return attempt->kind != PGW_KIND_PAYMENT || PGW_MUTATED(UNCLAIMED_ID) ||
		   (d->state == PGW_FAILED && attempt->bank_reference == NULL);
}

static void
note_answer(PgwAttempt *attempt, const PgwDecision *d, const PgwAnswer *a)
{
	char *value;

	if (names_something(a) && keeps_id(attempt, d) &&
		(value = from_bank(a->bank_reference)) != NULL)
		attempt->bank_reference = value;
	if (names_something(a) && attempt->kind == PGW_KIND_PAYMENT &&
		(value = from_bank(a->capture_reference)) != NULL)
		attempt->capture_reference = value;
	if ((value = from_bank(a->authorization_code)) != NULL)
		attempt->authorization_code = value;
	if (attempt->card_last4 == NULL && (value = from_bank(a->card_last4)) != NULL)
		attempt->card_last4 = value;
	if (attempt->card_brand == NULL && (value = from_bank(a->card_brand)) != NULL)
		attempt->card_brand = value;
}

void
pgw_record_error(PgwAttempt *attempt, const PgwErrorInfo *e)
{
	attempt->error_class = e != NULL ? pstrdup(pgw_error_class_name(e->class)) : NULL;
	attempt->error_code = e != NULL ? pstrdup(e->code) : NULL;
	attempt->error_message = e != NULL ? pstrdup(e->message) : NULL;
	attempt->http_status = e != NULL ? e->http_status : 0;
	attempt->retryable = e != NULL && e->retryable;
}

void
pgw_record_bank_fields(PgwPayment *p, const PgwAttempt *attempt)
{
	p->bank = attempt->bank;
	p->livemode = attempt->livemode;
	p->bank_reference = attempt->bank_reference;
	p->authorization_code = attempt->authorization_code;
	p->card_last4 = attempt->card_last4;
	p->card_brand = attempt->card_brand;
}

/* false: it stays what it is. */
static bool
change_status(PgwPayment *p, PgwPaymentChange change)
{
	switch (change)
	{
		case PGW_PAYMENT_UNCHANGED:
			return false;
		case PGW_PAYMENT_BECOMES_AUTHORIZED:
			p->status = PGW_PAY_AUTHORIZED;
			break;
		case PGW_PAYMENT_BECOMES_CAPTURED:
			p->status = PGW_PAY_CAPTURED;
			break;
		case PGW_PAYMENT_BECOMES_DECLINED:
			p->status = PGW_PAY_DECLINED;
			break;
		case PGW_PAYMENT_BECOMES_FAILED:
			p->status = PGW_PAY_FAILED;
			break;
		case PGW_PAYMENT_BECOMES_IN_REVIEW:
			p->status = PGW_PAY_IN_REVIEW;
			break;
	}
	return true;
}

bool
pgw_record_status(PgwPayment *p, const PgwAttempt *attempt)
{
	return change_status(p, pgw_charge_payment_of_state(attempt->status, attempt->error_code));
}

static void
write_payment(PgwPayment *p, const PgwAttempt *attempt, const PgwDecision *d)
{
	Assert(memcmp(&p->payment_id, &attempt->payment_id, sizeof(pg_uuid_t)) == 0);
	if (!change_status(p, d->payment))
		return;
	p->authorized_amount = d->authorized_amount;
	p->captured_amount = d->captured_amount;
	p->capture_pending_amount = 0;
	p->reserved_amount = d->reserved_amount;
	pgw_record_bank_fields(p, attempt);
	pgw_store_update_payment(p);
	pgw_store_notify_payment(p);
}

static void
record(PgwAttempt *attempt, bool insert, const PgwDecision *d, const char *operation,
	   const PgwAnswer *answer)
{
	PgwEvent events[PGW_DECISION_MAX_EVENTS];
	PgwEventMembers further[PGW_DECISION_MAX_EVENTS];

	memset(events, 0, sizeof(events));
	for (int i = 0; i < d->nevents; i++)
	{
		events[i].type = d->events[i].type;
		events[i].from = d->events[i].from;
		events[i].to = d->events[i].to;
		events[i].operation = operation;
		event_extra(d->events[i].type, attempt, d, answer, &further[i]);
		pgw_event_members_into(&further[i], &events[i]);
		events[i].error_details = d->error != NULL ? d->error->message : NULL;
	}
	/* the answer to a refund names the refund, not the charge */
	if (answer != NULL && attempt->status != PGW_REFUNDING && !d->names_other_charge)
		note_answer(attempt, d, answer);
	if (!d->keep_error)
		pgw_record_error(attempt, d->error);
	pgw_store_advance(attempt, insert, events, d->nevents);
}

void
pgw_record_decision(PgwAttempt *attempt, PgwPayment *p, const PgwDecision *d, const char *operation,
					const PgwAnswer *answer)
{
	record(attempt, false, d, operation, answer);
	if (p != NULL)
		write_payment(p, attempt, d);
}

void
pgw_record_new_attempt(PgwAttempt *attempt, const PgwDecision *d, const char *operation)
{
	record(attempt, true, d, operation, NULL);
}

/* ---------------------------------------------------------------- in the caller's place */

TimestampTz
pgw_record_authorization_end(const PgwAttempt *attempt)
{
	PgwBank *bank;
	bool unreadable;
	int64 lifetime;

	if (attempt->capture != PGW_CAPTURE_MANUAL)
		return 0;

	/*
	 * A bank that cannot be read just now says nothing of its authorizations' life: looked at
	 * again, at once and until it can (watch_after_end.c).
	 */
	bank = pgw_config_bank_of(attempt->bank, attempt->bank_version, &unreadable);
	if (bank == NULL || bank->connector == NULL)
		return PGW_MUTATED(UNREADABLE_BANK) ? 0 : pgw_now();
	lifetime = pgw_connector_capabilities(bank->connector)->authorization_lifetime_s;
	return lifetime > 0 ? TimestampTzPlusMilliseconds(pgw_now(), lifetime * 1000) : 0;
}

static PgwRecordResult
save(PgwAttempt *attempt, PgwPayment *p)
{
	PgwDecision d;

	if (attempt->status == PGW_BANK_APPROVED)
	{
		pgw_charge_save(attempt->capture, attempt->submitted, attempt->amount, &d);
		attempt->next_step_at = pgw_record_authorization_end(attempt);
		pgw_record_decision(attempt, p, &d,
							pgw_op_name(pgw_charge_operation(attempt->capture, attempt->submitted)),
							NULL);
		return PGW_RECORD_SAVED;
	}
	memset(&d, 0, sizeof(d)); /* its events are written, only the payments row lacks it */
	d.payment = pgw_charge_payment_of_state(attempt->status, attempt->error_code);
	if (d.payment == PGW_PAYMENT_UNCHANGED)
		return PGW_RECORD_NOTHING_LEFT;
	write_payment(p, attempt, &d);
	return PGW_RECORD_SAVED;
}

/*
 * May the worker still write this payments row?  in_review ends with the review; authorized ends
 * where the capture that was to follow the commit cannot be had.  Any other status is final; the
 * worker must not change it.
 */
static bool
awaits_result(const PgwPayment *p, const PgwAttempt *attempt)
{
	switch (p->status)
	{
		case PGW_PAY_PENDING:
			return true;
		case PGW_PAY_IN_REVIEW:
			return attempt->status != PGW_REQUIRES_MANUAL_REVIEW;
		case PGW_PAY_AUTHORIZED:
			return attempt->status == PGW_REFUNDING || attempt->status == PGW_REFUNDED;
		default:
			return false;
	}
}

PgwRecordResult
pgw_record_for_caller(PgwAttempt *attempt)
{
	PgwPayment p;
	bool busy = false;
	bool missing = false;

	/* a snapshot of the whole transaction would not show what the caller has just committed */
	Assert(IsTransactionState() && !IsolationUsesXactSnapshot());
	if (pgw_attempt_of_other_database(attempt))
		return PGW_RECORD_OTHER_DATABASE;
	if (PGW_MUTATED(XID_BEFORE_ROW))
	{
		missing = !pgw_payment_names_attempt(attempt, &p);
		PGW_DEBUG_POINT("caller_decision");
	}
	switch (pgw_caller_state(attempt))
	{
		case PGW_CALLER_UNDECIDED:
			return PGW_RECORD_UNDECIDED;
		case PGW_CALLER_ROLLED_BACK:
			return PGW_RECORD_ROLLED_BACK;
		case PGW_CALLER_OVER:
			break;
	}
	if (!PGW_MUTATED(XID_BEFORE_ROW))
		PGW_DEBUG_POINT("caller_decision");
	if (missing || !pgw_payment_names_attempt(attempt, &p))
		return PGW_RECORD_ROLLED_BACK;
	if (!awaits_result(&p, attempt))
	{
		/* the row is final: what was approved is not for this payment any more */
		return attempt->status == PGW_BANK_APPROVED ? PGW_RECORD_ROLLED_BACK
													: PGW_RECORD_NOTHING_LEFT;
	}
	if (!pgw_store_lock_payment(&attempt->payment_id, false, &p, &busy) ||
		!awaits_result(&p, attempt))
		return PGW_RECORD_ROW_BUSY; /* somebody changes it: look again when that is over */
	return save(attempt, &p);
}
