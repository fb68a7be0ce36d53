/*
 * accepted_rules.c - a capture, void, refund or give-back that the bank has accepted and may still
 * fail: how to find out, and what the bank's answer means
 *
 * Invariants:
 *     - Nothing is sent that could do it twice: look-ups only.
 *     - Done upon the bank's word; without it only where no look-up shows such an operation, and
 *       after the time that the connector names.  Of an order that has a look-up of its own, the
 *       charge's sum is not the bank's word.
 *     - Failed upon the bank's word on the order itself, which is no older than the order: that a
 *       look-up does not show it yet, or shows less, is no failure.
 *     - Every event stands on an edge of state_machine.c.
 */
#include "core/payment/accepted_rules.h"

#include <string.h>

#include "core/base/mutant.h"
#include "core/payment/unknown_outcome_rules.h"

PgwAcceptedStep
pgw_accepted_step(const PgwCapabilities *caps, const PgwAcceptedFacts *facts)
{
	/* the charge's word is no end of it: what cannot be asked about has that of the connector */
	bool ends_unasked =
		caps->accepted_final_after_s > 0 && pgw_capabilities_shown_may_fail(caps, facts->operation);
	bool overdue = pgw_unknown_outcome_is_overdue(facts->age_s, facts->deadline_s, true);

	if (!ends_unasked &&
		pgw_capabilities_shows(caps, pgw_operation_effect(facts->operation, facts->of_refund)))
	{
		if (overdue)
			return PGW_ACCEPTED_REVIEW;
		return facts->operation == PGW_OP_REFUND && caps->lookup_refund
				   ? PGW_ACCEPTED_LOOKUP_REFUND
				   : PGW_ACCEPTED_LOOKUP_CHARGE;
	}
	if (caps->accepted_final_after_s == 0)
		/* a refund that was made by a void, at a bank that shows voids but not refunds */
		return overdue ? PGW_ACCEPTED_REVIEW : PGW_ACCEPTED_WAIT;
	return facts->age_s >= caps->accepted_final_after_s || PGW_MUTATED(ACCEPTED_IS_DONE)
			   ? PGW_ACCEPTED_DONE
			   : PGW_ACCEPTED_WAIT;
}

int64_t
pgw_accepted_wait_s(const PgwCapabilities *caps, int64_t age_s)
{
	int64_t all =
		caps->accepted_final_after_s > 0 ? caps->accepted_final_after_s : PGW_PENDING_DEADLINE_S;

	/* over, and the deadline is put off, as after an outage: not at once, again and again */
	return age_s < all ? all - age_s : PGW_ACCEPTED_PAUSE_S;
}

bool
pgw_accepted_failed(PgwBankOp op, PgwTransport transport, const PgwAnswer *answer,
					const PgwCapabilities *caps, bool counts)
{
	if (transport != PGW_TRANSPORT_ANSWERED)
		return false;
	if (answer->outcome == PGW_OUT_NOT_FOUND && PGW_MUTATED(ACCEPTED_NOT_SHOWN))
		return true;
	if (!pgw_op_is_lookup(op))
		return answer->outcome == PGW_OUT_DECLINED;
	/* of the refund itself, where nothing is said of when it counts: it can be of nothing else */
	return op == PGW_OP_LOOKUP_REFUND && answer->outcome == PGW_OUT_DECLINED &&
		   (counts || caps->lookup_consistent_after_s < 0);
}

/* The charge is gone, or was undone otherwise: what the bank has accepted can never be done. */
static bool
is_impossible(const PgwOperationInput *in, const PgwOperationDecision *d)
{
	return in->op == PGW_OP_LOOKUP_CHARGE && d->next == PGW_OPERATION_REFUSED &&
		   in->not_found_counts;
}

void
pgw_accepted_result(const PgwOperationInput *in, PgwOperationDecision *d)
{
	PgwOperationInput as_pending = *in;
	const PgwErrorInfo *error;
	bool says_failed =
		pgw_accepted_failed(in->op, in->transport, in->answer, in->caps, in->not_found_counts);
	bool failed;

	as_pending.in_doubt = as_pending.pending = true;
	as_pending.answered = false;
	as_pending.refusal = NULL;
	pgw_operation_result(&as_pending, d);
	if (d->next == PGW_OPERATION_DONE || (d->next == PGW_OPERATION_STOP && !says_failed))
		return;
	failed = is_impossible(in, d) || says_failed;
	error = d->error;
	memset(d, 0, sizeof(*d));
	d->operation = in->operation;
	d->next = failed ? PGW_OPERATION_REFUSED : PGW_OPERATION_ACCEPTED;
	if (!failed)
		return;
	d->reason = PGW_ACCEPTED_FAILED;
	d->error = error != NULL ? error : pgw_error_find("outcome_unknown");
}

void
pgw_accepted_unconfirmed(PgwOperationDecision *d)
{
	memset(d, 0, sizeof(*d));
	d->next = PGW_OPERATION_DONE;
	d->reason = PGW_ACCEPTED_UNCONFIRMED;
}

/* Goods may have gone out for a capture: what it means that there is no money is for a person. */
static void
failed(PgwKind kind, PgwDecision *d)
{
	static const PgwEventType capture[] = {PGW_EV_CAPTURE_REVERSED, PGW_EV_MANUAL_REVIEW_REQUIRED};
	static const PgwEventType others[] = {PGW_EV_BANK_PROCESSING_FAILED, PGW_EV_TRANSACTION_FAILED};

	if (kind == PGW_KIND_CAPTURE || kind == PGW_KIND_PAYMENT)
		pgw_decision_add_edge(d, PGW_REQUIRES_MANUAL_REVIEW, 2, capture);
	else
		pgw_decision_add_edge(d, PGW_FAILED, 2, others);
}

void
pgw_accepted_decision(const PgwOperationDecision *r, PgwKind kind, PgwDecision *d)
{
	static const PgwEventType captured[] = {PGW_EV_CAPTURE_COMPLETED, PGW_EV_TRANSACTION_COMPLETED};

	memset(d, 0, sizeof(*d));
	d->state = PGW_SAVED;
	d->error = r->error;
	d->reason = r->reason;
	d->names_other_charge = r->names_other;
	if (r->shown != NULL)
		pgw_decision_note_difference(d, r->asked_amount, r->asked_currency, r->shown);
	switch (r->next)
	{
		case PGW_OPERATION_DONE:
			if (kind == PGW_KIND_PAYMENT)
				pgw_decision_add_edge(d, PGW_COMPLETED, 2, captured);
			else
				pgw_decision_add_event(d, PGW_EV_TRANSACTION_COMPLETED, PGW_COMPLETED);
			return;
		case PGW_OPERATION_REFUSED:
			failed(kind, d);
			return;
		case PGW_OPERATION_STOP:
			pgw_decision_add_event(d, PGW_EV_MANUAL_REVIEW_REQUIRED, PGW_REQUIRES_MANUAL_REVIEW);
			return;
		default:
			return; /* as before: what takes the bank days would leave thousands of events */
	}
}
