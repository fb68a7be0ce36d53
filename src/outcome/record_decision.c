/*
 * record_decision.c - what a decision of core/payment/charge_rules.h becomes in the tables, and the caller's fate
 *
 * Owns the order of checks that decides whether a caller kept its payment, and the saving that follows when the caller itself
 * could not do it (its wait ran out, or the payments row was busy when the answer came).
 *
 * The order (contract section 6), each step only after the one before:
 *	1. the attempt's row is locked (by our caller, without waiting);
 *	2. the subtransaction aborted: rolled back, whatever the top level does;
 *	3. the top level is in progress, or prepared: undecided;
 *	4. only now look for a payments row that names this attempt.
 * Were 4 looked at before 3, a commit in between would read as "over, and no row": money given back for a committed payment.
 *
 * Locks: the attempt's row, then the payments row, both without waiting; a client's lock makes us come back.
 * Why nothing is saved twice: the state is read under the row lock, and saving leaves BankApproved in the same commit.
 */
#include "postgres.h"

#include "access/clog.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/procarray.h"
#include "utils/builtins.h"

#include "bank/bank_config.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/debug_points.h"
#include "core/base/buf.h"
#include "core/base/mutant.h"
#include "core/base/uuid7.h"
#include "outcome/record_decision.h"

/* ---------------------------------------------------------------- writing a decision */

static void
add_member(PgwBuf *b, const char *name, const char *value)
{
	if (value == NULL || value[0] == '\0')
		return;
	pgw_buf_printf(b, "%s\"%s\": ", b->len > 0 ? ", " : "", name);
	pgw_buf_json_string(b, value);
}

/* What is null was named, and could not be read. */
static void
add_amount(PgwBuf *b, const char *name, bool there, bool readable, int64 amount)
{
	if (!there)
		return;
	if (readable)
		pgw_buf_printf(b, "%s\"%s\": " INT64_FORMAT, b->len > 0 ? ", " : "", name, amount);
	else
		pgw_buf_printf(b, "%s\"%s\": null", b->len > 0 ? ", " : "", name);
}

/* What was asked for, and what the bank shows instead: the person who settles it with the bank needs both. */
static void
add_difference(PgwBuf *b, PgwEventType type, const PgwFlowDecision *d)
{
	const PgwAnswer *a = d->shown;

	if (a == NULL || (type != PGW_EV_BANK_OUTCOME_UNACCEPTABLE && type != PGW_EV_MANUAL_REVIEW_REQUIRED && type != PGW_EV_REFUND_COMPLETED &&
					  type != PGW_EV_BANK_PROCESSING_COMPLETED))
		return;
	add_amount(b, "asked_amount", true, true, d->asked_amount);
	add_member(b, "asked_currency", d->asked_currency);
	add_amount(b, "bank_amount", a->has_amount || a->amount_bad, !a->amount_bad, a->amount);
	add_member(b, "bank_currency", a->currency);
	add_amount(b, "bank_captured", a->captured >= 0, true, a->captured);
	add_amount(b, "bank_refunded", a->refunded >= 0, true, a->refunded);
}

/* Members of event_data that tell what the bank said, and what came of it. */
static char *
event_extra(PgwEventType type, const PgwTransaction *t, const PgwFlowDecision *d, const PgwAnswer *a)
{
	PgwBuf		b;
	char	   *extra = NULL;

	pgw_buf_init(&b, 4096);
	if (type == PGW_EV_BANK_PROCESSING_COMPLETED && a != NULL)
	{
		add_member(&b, "bank_reference", a->bank_reference);
		add_member(&b, "authorization_code", a->authorization_code);
	}
	else if (type == PGW_EV_TRANSACTION_ADOPTED)
	{
		char		id[37];

		pgw_uuid_to_text(t->payment_id.data, id);
		add_member(&b, "payment_id", id);
	}
	else
	{
		if (d->error != NULL)
			add_member(&b, "error_code", d->error->code);
		add_member(&b, "reason", d->reason);
		if (type == PGW_EV_BANK_SWITCHED)
			add_member(&b, "from_bank", d->from_bank);
		if (a != NULL)
		{
			add_member(&b, "bank_code", a->bank_code);
			add_member(&b, "bank_reference", a->bank_reference);
		}
	}
	add_difference(&b, type, d);
	if (!b.failed && b.len > 0)
		extra = pnstrdup(b.data, b.len);
	pgw_buf_free(&b);
	return extra;
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
	return a->outcome == PGW_OUT_APPROVED || a->outcome == PGW_OUT_PENDING || a->outcome == PGW_OUT_REQUIRES_ACTION ||
		a->outcome == PGW_OUT_DECLINED;
}

static void
note_answer(PgwTransaction *t, const PgwAnswer *a)
{
	char	   *value;

	if (names_something(a) && (value = from_bank(a->bank_reference)) != NULL)
		t->bank_reference = value;
	if ((value = from_bank(a->authorization_code)) != NULL)
		t->authorization_code = value;
	if (t->card_last4 == NULL && (value = from_bank(a->card_last4)) != NULL)
		t->card_last4 = value;
	if (t->card_brand == NULL && (value = from_bank(a->card_brand)) != NULL)
		t->card_brand = value;
}

static void
note_error(PgwTransaction *t, const PgwErrorInfo *e)
{
	t->error_class = e != NULL ? pstrdup(pgw_error_class_name(e->class)) : NULL;
	t->error_code = e != NULL ? pstrdup(e->code) : NULL;
	t->error_message = e != NULL ? pstrdup(e->message) : NULL;
	t->http_status = e != NULL ? e->http_status : 0;
	t->retryable = e != NULL && e->retryable;
}

static void
write_payment(PgwPayment *p, const PgwTransaction *t, const PgwFlowDecision *d)
{
	switch (d->payment)
	{
		case PGW_FLOW_PAY_NONE:
			return;
		case PGW_FLOW_PAY_AUTHORIZED:
			p->status = PGW_PAY_AUTHORIZED;
			break;
		case PGW_FLOW_PAY_CAPTURED:
			p->status = PGW_PAY_CAPTURED;
			break;
		case PGW_FLOW_PAY_DECLINED:
			p->status = PGW_PAY_DECLINED;
			break;
		case PGW_FLOW_PAY_FAILED:
			p->status = PGW_PAY_FAILED;
			break;
		case PGW_FLOW_PAY_IN_REVIEW:
			p->status = PGW_PAY_IN_REVIEW;
			break;
	}
	p->authorized_amount = d->authorized_amount;
	p->captured_amount = d->captured_amount;
	p->reserved_amount = d->reserved_amount;
	p->bank = t->bank;
	p->bank_reference = t->bank_reference;
	p->authorization_code = t->authorization_code;
	p->card_last4 = t->card_last4;
	p->card_brand = t->card_brand;
	pgw_store_update_payment(p);
	pgw_store_notify_payment(p);
}

static void
record(PgwTransaction *t, bool insert, const PgwFlowDecision *d, const char *operation, const PgwAnswer *answer)
{
	PgwEvent	events[PGW_FLOW_MAX_EVENTS];

	memset(events, 0, sizeof(events));
	for (int i = 0; i < d->nevents; i++)
	{
		events[i].type = d->events[i].type;
		events[i].from = d->events[i].from;
		events[i].to = d->events[i].to;
		events[i].operation = operation;
		events[i].extra = event_extra(d->events[i].type, t, d, answer);
		events[i].error_details = d->error != NULL ? d->error->message : NULL;
	}
	/* the answer to a refund names the refund, not the charge */
	if (answer != NULL && t->status != PGW_REFUNDING && !d->foreign)
		note_answer(t, answer);
	if (!d->keep_error)
		note_error(t, d->error);
	pgw_store_advance(t, insert, events, d->nevents);
}

void
pgw_vote_record(PgwTransaction *t, PgwPayment *p, const PgwFlowDecision *d, const char *operation, const PgwAnswer *answer)
{
	record(t, false, d, operation, answer);
	if (p != NULL)
		write_payment(p, t, d);
}

void
pgw_vote_record_new(PgwTransaction *t, const PgwFlowDecision *d, const char *operation)
{
	record(t, true, d, operation, NULL);
}

/* ---------------------------------------------------------------- the caller's fate */

typedef enum XidFate
{
	XID_IN_PROGRESS,
	XID_ABORTED,				/* also: crashed */
	XID_OVER					/* committed, or so long ago that the log has forgotten: the payments row tells */
} XidFate;

static XidFate
xid_fate(FullTransactionId fxid)
{
	TransactionId xid = XidFromFullTransactionId(fxid);
	FullTransactionId next = ReadNextFullTransactionId();
	XidFate		fate;

	if (!FullTransactionIdIsValid(fxid))
		return XID_OVER;
	if (!FullTransactionIdPrecedes(fxid, next))
		return XID_IN_PROGRESS; /* lies in the future: cannot be, and nothing may be concluded */

	/* In progress (prepared ones are) before did-commit: in the other order, one that ends in between looks like neither. */
	if (TransactionIdIsInProgress(xid) && U64FromFullTransactionId(next) - U64FromFullTransactionId(fxid) < UINT32_MAX / 2)
		return XID_IN_PROGRESS;

	/* The lock keeps the commit log from being cut off between the test and the look. */
	LWLockAcquire(XactTruncationLock, LW_SHARED);
	if (U64FromFullTransactionId(next) - U64FromFullTransactionId(fxid) >= UINT32_MAX / 2 ||
		TransactionIdPrecedes(xid, pgw_oldest_clog_xid()))
		fate = XID_OVER;
	else
		fate = TransactionIdDidCommit(xid) ? XID_OVER : XID_ABORTED;
	LWLockRelease(XactTruncationLock);
	return fate;
}

bool
pgw_vote_is_foreign(const PgwTransaction *t)
{
	if (PGW_MUTATED(RESTORED_PAUSE))
		return false;
	return t->system_identifier != (int64) GetSystemIdentifier() || t->database_oid != MyDatabaseId;
}

/* Did the caller's (sub)transaction end without its rows? UNDECIDED, ROLLED_BACK, or NOTHING: ask the payments row. */
static PgwVote
caller_fate(const PgwTransaction *t)
{
	XidFate		top;
	XidFate		sub;

	/*
	 * The subtransaction first: aborted under a top level that still runs or commits is rolled back all the same.  A subtransaction that was
	 * released is in progress until its top level ends.
	 */
	sub = PGW_MUTATED(SUBXID) ? XID_OVER : xid_fate(t->caller_subxid);
	if (sub == XID_ABORTED)
		return PGW_VOTE_ROLLED_BACK;
	top = xid_fate(t->caller_xid);
	if (sub == XID_IN_PROGRESS || top == XID_IN_PROGRESS)
		return PGW_VOTE_UNDECIDED;
	return top == XID_ABORTED ? PGW_VOTE_ROLLED_BACK : PGW_VOTE_NOTHING;
}

/* The payments row votes for this attempt.  The store reads the latest committed version: younger than any answer about an xid. */
static bool
has_row(const PgwTransaction *t, PgwPayment *p)
{
	return pgw_store_payment_by_id(&t->payment_id, p) && memcmp(&p->transaction_id, &t->transaction_id, sizeof(pg_uuid_t)) == 0;
}

bool
pgw_vote_rolled_back(const PgwTransaction *t)
{
	PgwPayment	p;
	PgwVote		fate = t->submitted ? PGW_VOTE_NOTHING : caller_fate(t);

	return fate == PGW_VOTE_ROLLED_BACK || (fate == PGW_VOTE_NOTHING && !has_row(t, &p));
}

void
pgw_vote_identity(const PgwTransaction *t, PgwIdentity *out)
{
	bool		card = t->token == NULL;

	out->amount = t->amount;
	out->currency = t->currency;
	out->token = t->token;
	out->card_last4 = card ? t->card_last4 : NULL;
	out->card_expiry_month = card ? t->card_expiry_month : 0;
	out->card_expiry_year = card ? t->card_expiry_year : 0;
	out->bank = t->bank_requested;
	out->capture = t->capture;
	out->reference = t->reference;
}

TimestampTz
pgw_vote_authorization_end(const PgwTransaction *t)
{
	PgwBank    *bank;
	bool		later;
	int64		lifetime;

	if (t->capture != PGW_CAPTURE_MANUAL)
		return 0;

	/* A bank that cannot be read just now says nothing of its authorizations' life: looked at again, at once and until it can (watch_after_end.c). */
	bank = pgw_config_bank_of(t->bank, t->bank_version, &later);
	if (bank == NULL || bank->connector == NULL)
		return PGW_MUTATED(UNREADABLE_BANK) ? 0 : pgw_now();
	lifetime = pgw_connector_capabilities(bank->connector)->authorization_lifetime_s;
	return lifetime > 0 ? TimestampTzPlusMilliseconds(pgw_now(), lifetime * 1000) : 0;
}

static PgwVote
save(PgwTransaction *t, PgwPayment *p)
{
	PgwFlowDecision d;

	if (t->status == PGW_BANK_APPROVED)
	{
		pgw_flow_save(t->capture, t->submitted, t->amount, &d);
		t->next_attempt_at = pgw_vote_authorization_end(t);
		pgw_vote_record(t, p, &d, pgw_op_name(pgw_flow_operation(t->capture, t->submitted)), NULL);
		return PGW_VOTE_SAVED;
	}
	memset(&d, 0, sizeof(d));	/* its events are written, only the payments row lacks it */
	d.payment = pgw_flow_settled_payment(t->status, t->error_code);
	if (d.payment == PGW_FLOW_PAY_NONE)
		return PGW_VOTE_NOTHING;
	write_payment(p, t, &d);
	return PGW_VOTE_SAVED;
}

/*
 * May the worker still write this payments row?  in_review ends with the review; authorized ends where the capture that was to follow the commit
 * cannot be had.  Any other state is a spent vote.
 */
static bool
awaits_result(const PgwPayment *p, const PgwTransaction *t)
{
	switch (p->status)
	{
		case PGW_PAY_PENDING:
			return true;
		case PGW_PAY_IN_REVIEW:
			return t->status != PGW_REQUIRES_MANUAL_REVIEW;
		case PGW_PAY_AUTHORIZED:
			return t->status == PGW_REFUNDING || t->status == PGW_REFUNDED;
		default:
			return false;
	}
}

PgwVote
pgw_vote_finish(PgwTransaction *t)
{
	PgwPayment	p;
	bool		busy = false;
	bool		missing = false;

	if (pgw_vote_is_foreign(t))
		return PGW_VOTE_FOREIGN;
	if (PGW_MUTATED(VOTE_ORDER))
	{
		missing = !has_row(t, &p);
		PGW_DEBUG_POINT("vote");
	}
	if (!t->submitted)
	{
		PgwVote		fate = caller_fate(t);

		if (fate != PGW_VOTE_NOTHING)
			return fate;
	}
	if (!PGW_MUTATED(VOTE_ORDER))
		PGW_DEBUG_POINT("vote");
	if (missing || !has_row(t, &p))
		return PGW_VOTE_ROLLED_BACK;
	if (!awaits_result(&p, t))
	{
		/* a spent vote: what was approved is not for this payment any more */
		return t->status == PGW_BANK_APPROVED ? PGW_VOTE_ROLLED_BACK : PGW_VOTE_NOTHING;
	}
	if (!pgw_store_lock_payment(&t->payment_id, false, &p, &busy) || !awaits_result(&p, t))
		return PGW_VOTE_BUSY;	/* somebody changes it: look again when that is over */
	return save(t, &p);
}
