/*
 * operation_id.c - the bank's own id of what follows a charge: of its capture, of a refund
 *
 * It stands in bank_reference of an attempt at a capture, void or refund (outcome/record_decision.c
 * writes it there); of what a payment's own attempt does after its charge, in capture_reference and
 * refund_reference.  All functions have the attempt's row locked.
 *
 * Invariants
 *     - An id is that of the request whose key the row has.  A request under a new key has another
 *       one: by the old one, what became of the old request would be taken for its outcome.
 *     - Within one bank account an id belongs to one attempt (pgw.operation_references), whichever
 *       answer names it.  A bank that takes a refund for another one, which it has made, answers
 *       with that one's id, and this one was never made.  The claim is written in the transaction
 *       that records the answer.
 *     - Captures, voids and refunds are claimed apart, as there are banks that number each kind for
 *       itself.  What a reversal makes is a void or a refund, nobody knows which: it lays claim to
 *       both names.
 *     - An id that is the charge's own, or that of the capture which is refunded, tells nothing of
 *       the operation and belongs to none.
 */
#include "postgres.h"

#include "attempt/operation_id.h"
#include "core/base/mutant.h"
#include "core/payment/charge_rules.h"
#include "exchange/log_rate.h"
#include "store/bank_references.h"
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
	return pgw_charge_is_captured(charge->capture, charge->submitted) ? charge->bank_reference
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

/* ---------------------------------------------------------------- whose it is */

static bool
is(const char *id, const char *other)
{
	return other != NULL && strcmp(id, other) == 0;
}

/* Of the charge's payment, as it is known now; p: of an operation that was asked for. */
static bool
is_of_charge(const char *id, const PgwAttempt *attempt, const PgwPayment *p)
{
	return is(id, attempt->kind == PGW_KIND_PAYMENT ? attempt->bank_reference : p->bank_reference);
}

/* Asked only of one that somebody has: that costs another look. */
static bool
is_of_capture(const char *id, const PgwAttempt *attempt, const PgwPayment *p)
{
	return is(id, attempt->kind == PGW_KIND_PAYMENT ? pgw_operation_id_of_own_capture(attempt)
													: pgw_operation_id_of_capture(p));
}

static PgwOwner
claim(const PgwCall *call, const PgwAttempt *attempt, PgwBankOp operation, const char *id)
{
	return pgw_store_claim_operation_reference(call->bank->account, pgw_op_name(operation), id,
											   &attempt->transaction_id);
}

/* What the bank has made with this request may be called so. */
static PgwOwner
claim_made(const PgwCall *call, const PgwAttempt *attempt, const char *id)
{
	PgwOwner owner;

	if (call->op == PGW_OP_LOOKUP_REFUND)
		return claim(call, attempt, PGW_OP_REFUND, id);
	if (call->op != PGW_OP_REVERSE || PGW_MUTATED(REVERSAL_APART))
		return claim(call, attempt, call->op, id);
	owner = claim(call, attempt, PGW_OP_REFUND, id);
	return owner == PGW_OWNER_SELF ? claim(call, attempt, PGW_OP_VOID, id) : owner;
}

static void
tell(const PgwCall *call)
{
	uint64 more;

	if (pgw_log_due("another operation", call->bank->name, &more))
		ereport(WARNING,
				(errmsg("pgw: the bank's answer names another capture, void or refund, and is not "
						"believed"),
				 pgw_call_errdetail(call, psprintf("account \"%s\", %s", call->bank->account,
												   pgw_op_name(call->op))),
				 pgw_log_more(more)));
}

static void
get_payment(const PgwAttempt *attempt, PgwPayment *p)
{
	if (attempt->kind != PGW_KIND_PAYMENT && !pgw_store_payment_by_id(&attempt->payment_id, p))
		elog(ERROR, "the payment of an operation is not there");
}

PgwOwner
pgw_operation_id_claim_capture(const PgwCall *call, const PgwAttempt *attempt)
{
	const char *id = call->answer.capture_reference;
	PgwPayment p;
	PgwOwner owner;

	get_payment(attempt, &p);
	if (id[0] == '\0' || is_of_charge(id, attempt, &p) || PGW_MUTATED(CAPTURE_UNCLAIMED))
		return PGW_OWNER_SELF;
	owner = claim(call, attempt, PGW_OP_CAPTURE, id);
	if (owner == PGW_OWNER_OTHER)
		tell(call);
	return owner;
}

/* ---------------------------------------------------------------- what is kept of it */

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

	if (!speaks_of_it(call) || call->names_other_operation)
		return;
	if (call->op == PGW_OP_REFUND && of_payment && a->bank_reference[0] != '\0')
		attempt->refund_reference = pstrdup(a->bank_reference);
	else if (call->op == PGW_OP_CAPTURE && of_payment && a->bank_reference[0] != '\0')
		attempt->capture_reference = pstrdup(a->bank_reference);
	/* a capture whose answer was lost, or that answers with the charge's document */
	if (a->capture_reference[0] == '\0' ||
		(call->op != PGW_OP_CAPTURE && call->op != PGW_OP_LOOKUP_CHARGE))
		return;
	/* a look-up of a refund or void shows the charge with its capture, which is not theirs */
	if (!of_payment && attempt->kind != PGW_KIND_CAPTURE)
		return;
	/* of several that a charge may have, it shows the one whose id it is */
	if (call->op == PGW_OP_LOOKUP_CHARGE &&
		pgw_operation_id_claim_capture(call, attempt) != PGW_OWNER_SELF)
		return;
	if (of_payment)
		attempt->capture_reference = pstrdup(a->capture_reference);
	else
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

/* ---------------------------------------------------------------- does it answer? */

/*
 * Does the answer say of an operation that it is done, or under way?  That of a no is nobody's, but
 * for a look-up's: it shows one that there is.
 */
static bool
says_whose(const PgwCall *call)
{
	PgwOutcome outcome = call->answer.outcome;

	return call->transport == PGW_TRANSPORT_ANSWERED &&
		   (outcome == PGW_OUT_APPROVED || outcome == PGW_OUT_ACCEPTED ||
			outcome == PGW_OUT_PENDING ||
			(outcome == PGW_OUT_DECLINED && call->op == PGW_OP_LOOKUP_REFUND));
}

/* Is the answer about what follows the charge, and one that ends it or begins to? */
static bool
is_about_operation(const PgwCall *call, const PgwAttempt *attempt)
{
	if (attempt->kind == PGW_KIND_PAYMENT)
	{
		if (attempt->status != PGW_SAVED && attempt->status != PGW_REFUNDING)
			return false;
	}
	else if (attempt->status == PGW_COMPLETED || attempt->status == PGW_FAILED)
		return false;
	switch (call->op)
	{
		case PGW_OP_CAPTURE:
		case PGW_OP_VOID:
		case PGW_OP_REFUND:
		case PGW_OP_REVERSE:
		case PGW_OP_LOOKUP_REFUND:
			return true;
		default:
			return false;
	}
}

/* The id that it is made under; what is the charge's, or that of what is refunded, says nothing. */
static PgwOwner
whose(const PgwCall *call, const PgwAttempt *attempt)
{
	const char *id = call->answer.bank_reference;
	PgwPayment p;
	PgwOwner owner;

	get_payment(attempt, &p);
	if (id[0] == '\0' || is_of_charge(id, attempt, &p))
		return PGW_OWNER_SELF;
	owner = claim_made(call, attempt, id);
	if (owner == PGW_OWNER_OTHER &&
		(call->op == PGW_OP_REFUND || call->op == PGW_OP_LOOKUP_REFUND) &&
		is_of_capture(id, attempt, &p))
		return PGW_OWNER_SELF;
	if (owner == PGW_OWNER_OTHER)
		tell(call);
	return owner;
}

bool
pgw_operation_id_claim(PgwCall *call, const PgwAttempt *attempt)
{
	PgwOwner owner;

	call->names_other_operation = false;
	if (!says_whose(call) || !is_about_operation(call, attempt))
		return true;
	owner = whose(call, attempt);
	if (owner == PGW_OWNER_SELF && call->op == PGW_OP_CAPTURE)
		owner = pgw_operation_id_claim_capture(call, attempt);
	if (owner != PGW_OWNER_OTHER)
		return owner != PGW_OWNER_BUSY;
	if (call->op != PGW_OP_LOOKUP_REFUND)
		call->names_other_operation = true;
	else if (!PGW_MUTATED(OPERATION_OWNER))
	{
		call->answer.outcome = PGW_OUT_UNKNOWN;
		call->answer.other_reference = true;
	}
	return true;
}
