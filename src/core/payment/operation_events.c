/*
 * operation_events.c - what was decided of a capture, void or refund, as a step of its attempt: the
 * events, and the states that they lead to
 *
 * Invariants:
 *     - Every event stands on an edge of state_machine.c (the unit test checks each).
 *     - An approval whose payments row is not locked stops at BankApproved.
 *     - What the bank has accepted, and may still fail, is Saved and no more.
 */
#include "core/payment/operation_events.h"

#include <string.h>

static void
begin(const PgwOperationDecision *r, PgwState state, PgwDecision *d)
{
	memset(d, 0, sizeof(*d));
	d->state = state;
	d->error = r->error;
	d->reason = r->reason;
	d->names_other_charge = r->names_other;
	if (r->shown != NULL)
		pgw_decision_note_difference(d, r->asked_amount, r->asked_currency, r->shown);
}

static void
saved(bool accepted, PgwDecision *d)
{
	pgw_decision_add_event(d, PGW_EV_PAYMENT_DATA_SAVE_COMPLETED, PGW_SAVED);
	if (accepted)
		pgw_decision_add_event(d, PGW_EV_BANK_ACCEPTED, PGW_SAVED);
	else
		pgw_decision_add_event(d, PGW_EV_TRANSACTION_COMPLETED, PGW_COMPLETED);
}

void
pgw_operation_decision(const PgwOperationDecision *r, PgwState state, bool payment_locked,
					   PgwDecision *d)
{
	static const PgwEventType failed[] = {PGW_EV_BANK_PROCESSING_FAILED, PGW_EV_TRANSACTION_FAILED};

	begin(r, state, d);
	switch (r->next)
	{
		case PGW_OPERATION_DONE:
		case PGW_OPERATION_ACCEPTED:
			pgw_decision_add_event(d, PGW_EV_BANK_PROCESSING_COMPLETED, PGW_BANK_APPROVED);
			pgw_decision_add_event(d, PGW_EV_PAYMENT_DATA_SAVE_STARTED, PGW_BANK_APPROVED);
			if (!payment_locked)
			{
				d->save_later = true;
				return;
			}
			saved(r->next == PGW_OPERATION_ACCEPTED, d);
			return;
		case PGW_OPERATION_REFUSED:
			pgw_decision_add_edge(d, PGW_FAILED, 2, failed);
			return;
		case PGW_OPERATION_AGAIN:
		case PGW_OPERATION_OTHERWISE:
			/*
			 * in doubt before, it stays in doubt: that this request did nothing says nothing of the
			 * first
			 */
			pgw_decision_add_event(
				d, state == PGW_CREATED ? PGW_EV_BANK_RETRY_SCHEDULED : PGW_EV_BANK_STATUS_CHECKED,
				state);
			return;
		case PGW_OPERATION_AT_ONCE:
		case PGW_OPERATION_FIND_OUT:
			if (r->same && state == PGW_BANK_UNKNOWN)
				/* nothing new: what the bank takes weeks for would leave thousands of events */
				return;
			if (state == PGW_BANK_UNKNOWN)
				pgw_decision_add_event(d, PGW_EV_BANK_STATUS_CHECKED, PGW_BANK_UNKNOWN);
			else
				pgw_decision_add_event(
					d, r->pending ? PGW_EV_BANK_PROCESSING_PENDING : PGW_EV_BANK_OUTCOME_UNKNOWN,
					PGW_BANK_UNKNOWN);
			return;
		case PGW_OPERATION_STOP:
			pgw_decision_add_event(d, PGW_EV_MANUAL_REVIEW_REQUIRED, PGW_REQUIRES_MANUAL_REVIEW);
			return;
	}
}

void
pgw_operation_capture_decision(const PgwOperationDecision *r, PgwDecision *d)
{
	static const PgwEventType completed[] = {PGW_EV_CAPTURE_COMPLETED,
											 PGW_EV_TRANSACTION_COMPLETED};
	static const PgwEventType give_back[] = {PGW_EV_COMPENSATION_STARTED, PGW_EV_REFUND_STARTED};

	begin(r, PGW_SAVED, d);
	switch (r->next)
	{
		case PGW_OPERATION_DONE:
			pgw_decision_add_edge(d, PGW_COMPLETED, 2, completed);
			return;
		case PGW_OPERATION_ACCEPTED:
			pgw_decision_add_event(d, PGW_EV_BANK_ACCEPTED, PGW_SAVED);
			return;
		case PGW_OPERATION_REFUSED:
			pgw_decision_add_event(d, PGW_EV_CAPTURE_FAILED, PGW_SAVED);
			pgw_decision_add_edge(d, PGW_REFUNDING, 2, give_back);
			return;
		case PGW_OPERATION_AGAIN:
		case PGW_OPERATION_OTHERWISE: /* only refunds do */
		case PGW_OPERATION_AT_ONCE:
		case PGW_OPERATION_FIND_OUT:
			if (!r->same)
				pgw_decision_add_event(d, PGW_EV_CAPTURE_RETRY_SCHEDULED, PGW_SAVED);
			return;
		case PGW_OPERATION_STOP:
			pgw_decision_add_event(d, PGW_EV_MANUAL_REVIEW_REQUIRED, PGW_REQUIRES_MANUAL_REVIEW);
			return;
	}
}

void
pgw_operation_save(bool accepted, PgwDecision *d)
{
	memset(d, 0, sizeof(*d));
	d->state = PGW_BANK_APPROVED;
	saved(accepted, d);
}

void
pgw_operation_reversed(PgwState from, PgwDecision *d)
{
	static const PgwEventType types[] = {PGW_EV_REFUND_REVERSED, PGW_EV_MANUAL_REVIEW_REQUIRED};

	memset(d, 0, sizeof(*d));
	d->state = from;
	pgw_decision_add_edge(d, PGW_REQUIRES_MANUAL_REVIEW, 2, types);
	d->error = pgw_error_find("refund_reversed");
	d->reason = "refund_reversed";
}

void
pgw_operation_capture_reversed(PgwDecision *d)
{
	static const PgwEventType types[] = {PGW_EV_CAPTURE_REVERSED, PGW_EV_MANUAL_REVIEW_REQUIRED};

	memset(d, 0, sizeof(*d));
	d->state = PGW_COMPLETED;
	pgw_decision_add_edge(d, PGW_REQUIRES_MANUAL_REVIEW, 2, types);
	d->error = pgw_error_find("capture_reversed");
	d->reason = "capture_reversed";
}
