/*
 * operation_id.c - the bank's own id of what follows a charge: of its capture, of a refund
 *
 * It stands in bank_reference of an attempt at a capture, void or refund (outcome/record_decision.c
 * writes it there); of what a payment's own attempt does after its charge, in capture_reference and
 * refund_reference.  All functions have the attempt's row locked.
 *
 * Invariant: an id is that of the request whose key the row has.  A request under a new key has
 * another one: by the old one, what became of the old request would be taken for its outcome.
 */
#include "postgres.h"

#include "attempt/operation_id.h"
#include "core/payment/charge_rules.h"
#include "store/capture_reference.h"

const char *
pgw_operation_id_of_refund(const PgwAttempt *attempt)
{
	return attempt->kind == PGW_KIND_PAYMENT ? attempt->refund_reference : attempt->bank_reference;
}

const char *
pgw_operation_id_of_own_capture(const PgwAttempt *charge)
{
	if (charge->capture_reference != NULL)
		return charge->capture_reference;
	return pgw_charge_operation(charge->capture, charge->submitted) == PGW_OP_CHARGE
			   ? charge->bank_reference
			   : NULL;
}

const char *
pgw_operation_id_of_capture(const PgwPayment *p)
{
	PgwAttempt charge;

	if (p->capture == PGW_CAPTURE_MANUAL)
		return pgw_store_capture_reference(&p->payment_id);
	if (!pgw_store_attempt_by_id(&p->transaction_id, &charge))
		elog(ERROR, "the attempt that a payment names is not there");
	return pgw_operation_id_of_own_capture(&charge);
}

void
pgw_operation_id_reduce(const PgwAttempt *attempt, PgwCapabilities *caps)
{
	PgwCapabilities all = *caps;

	if (pgw_operation_id_of_refund(attempt) == NULL)
		pgw_capabilities_without_own_id(&all, caps);
}

const PgwCapabilities *
pgw_operation_id_capabilities(const PgwBank *bank, const PgwAttempt *attempt)
{
	const PgwCapabilities *all = pgw_connector_capabilities(bank->connector);
	PgwCapabilities *left;

	if (!all->lookup_refund_needs_id || pgw_operation_id_of_refund(attempt) != NULL)
		return all;
	left = palloc(sizeof(PgwCapabilities));
	pgw_capabilities_without_own_id(all, left);
	return left;
}

/* Does the answer speak of an operation that there is? */
static bool
speaks_of_it(const PgwCall *call)
{
	PgwOutcome outcome = call->answer.outcome;

	return call->transport == PGW_TRANSPORT_ANSWERED &&
		   (outcome == PGW_OUT_APPROVED || outcome == PGW_OUT_ACCEPTED ||
			outcome == PGW_OUT_PENDING || outcome == PGW_OUT_DECLINED);
}

void
pgw_operation_id_note(const PgwCall *call, PgwAttempt *attempt)
{
	const PgwAnswer *a = &call->answer;
	bool of_payment = attempt->kind == PGW_KIND_PAYMENT;

	if (!speaks_of_it(call))
		return;
	if (call->op == PGW_OP_REFUND && of_payment && a->bank_reference[0] != '\0')
		attempt->refund_reference = pstrdup(a->bank_reference);
	else if (call->op == PGW_OP_CAPTURE && of_payment && a->bank_reference[0] != '\0')
		attempt->capture_reference = pstrdup(a->bank_reference);
	/* a capture whose answer was lost, or that answers with the charge's document */
	if (a->capture_reference[0] == '\0' ||
		(call->op != PGW_OP_CAPTURE && call->op != PGW_OP_LOOKUP_CHARGE))
		return;
	if (of_payment)
		attempt->capture_reference = pstrdup(a->capture_reference);
	else if (attempt->kind == PGW_KIND_CAPTURE)
		attempt->bank_reference = pstrdup(a->capture_reference);
}

void
pgw_operation_id_forget(PgwAttempt *attempt)
{
	if (attempt->kind == PGW_KIND_PAYMENT)
		attempt->capture_reference = NULL;
	else
		attempt->bank_reference = NULL;
}
