/*
 * charge_id.c - the bank's id of a charge: whose it is, and what cannot be asked without one
 *
 * Owns the rule that an answer belongs to its question, as far as ids tell: within one bank account
 * (pgw.banks.account) a charge's id belongs to one attempt.  All functions have the attempt's row
 * locked.
 *
 * Orderings that matter
 *     - The claim on an id is written in the transaction that records the answer: an attempt
 *       never says BankApproved with an id that it has not claimed.
 *     - The id of a no is kept with an attempt that has Failed, and not claimed.  Before anything
 *       is asked of the bank with an attempt's id, it is looked whether it is the attempt's own.
 *     - Two answers with the same id in one batch: the second one sees the first one's claim, as
 *       both are this transaction's.
 */
#include "postgres.h"

#include "attempt/charge_id.h"
#include "attempt/operation_id.h"
#include "bank_call/call.h"
#include "core/base/mutant.h"
#include "core/payment/compensation_rules.h"
#include "core/payment/unknown_outcome_rules.h"
#include "exchange/log_rate.h"
#include "store/bank_references.h"
#include "store/tables.h"

static bool
needs(const PgwBank *bank, PgwBankOp op)
{
	return pgw_connector_needs_bank_reference(bank->connector, op);
}

void
pgw_charge_id_capabilities(const PgwBank *bank, const char *bank_reference, PgwCapabilities *out)
{
	*out = *pgw_connector_capabilities(bank->connector);
	if (bank_reference != NULL)
	{
		/* by its id it is looked up in another way, which may lag less behind */
		if (out->lookup_by_id_consistent_after_s >= 0)
			out->lookup_consistent_after_s = out->lookup_by_id_consistent_after_s;
		return;
	}
	out->lookup = out->lookup && !needs(bank, PGW_OP_LOOKUP_CHARGE);
	out->lookup_refund = out->lookup_refund && !needs(bank, PGW_OP_LOOKUP_REFUND);
	out->can_void = out->can_void && !needs(bank, PGW_OP_VOID);
	out->can_refund = out->can_refund && !needs(bank, PGW_OP_REFUND);
	out->can_cancel = out->can_cancel && !needs(bank, PGW_OP_CANCEL);
	out->can_reverse = out->can_reverse && !needs(bank, PGW_OP_REVERSE);
}

const char *
pgw_charge_id_claimed_by(const PgwBank *bank, const PgwAttempt *attempt)
{
	if (attempt->bank_reference == NULL || PGW_MUTATED(UNCLAIMED_ID) ||
		pgw_store_reference_owner(bank->account, attempt->bank_reference,
								  &attempt->transaction_id) == PGW_OWNER_SELF)
		return attempt->bank_reference;
	return NULL;
}

/* The id that the answer names, also one that must not be kept: for comparing.  "": none. */
static const char *
named_by(const PgwAnswer *answer)
{
	return answer->bank_reference[0] != '\0' ? answer->bank_reference : answer->compared_reference;
}

/* false: somebody is writing just now whose it is. */
static bool
whose(PgwCall *call, PgwAttempt *attempt, bool *names_other_charge)
{
	const char *id = named_by(&call->answer);
	PgwOwner owner = PGW_OWNER_NONE;
	uint64 more;

	switch (pgw_charge_id_claimed(call->op, call->transport, &call->answer))
	{
		case PGW_CHARGE_ID_CLAIM_NOTHING:
			break;
		case PGW_CHARGE_ID_CLAIM_LOOK:
			owner = pgw_store_reference_owner(call->bank->account, id, &attempt->transaction_id);
			break;
		case PGW_CHARGE_ID_CLAIM_TAKE:
			owner =
				pgw_store_claim_reference(call->bank->account, id, &attempt->transaction_id, false);
			if (owner == PGW_OWNER_SELF)
				attempt->bank_reference = pstrdup(id);
			/*
			 * What took the money of another payment's charge is not what took this one's.  Of an
			 * authorization nothing is taken yet: a capture that is named belongs to whoever asks
			 * for it.
			 */
			if (owner == PGW_OWNER_SELF && attempt->capture != PGW_CAPTURE_MANUAL)
				owner = pgw_operation_id_claim_capture(call, attempt);
			break;
	}
	*names_other_charge = owner == PGW_OWNER_OTHER;
	if (*names_other_charge && pgw_log_due("another payment's charge", call->bank->name, &more))
		ereport(
			WARNING,
			(errmsg(
				 "pgw: the bank's answer names a charge of another payment, and is not believed"),
			 pgw_call_errdetail(
				 call, psprintf("account \"%s\", %s", call->bank->account, pgw_op_name(call->op))),
			 pgw_log_more(more)));
	return owner != PGW_OWNER_BUSY;
}

/* Now, or once a look-up by our reference has brought the id that it needs. */
static bool
can_undo(const PgwBank *bank, const PgwAttempt *attempt, const PgwCapabilities *for_it)
{
	if (pgw_unknown_outcome_undo(for_it) != PGW_NOPS)
		return true;
	return attempt->bank_reference == NULL && for_it->lookup &&
		   pgw_unknown_outcome_undo(pgw_connector_capabilities(bank->connector)) != PGW_NOPS;
}

/* What was taken, and not as asked for, is given back by an amount. */
static bool
only_refund(const PgwCapabilities *caps, const PgwAnswer *answer)
{
	PgwToGiveBack what = {.captured = true, .amount_in_doubt = true, .part = answer->refunded > 0};

	return pgw_compensation_operation(caps, &what) == PGW_OP_REFUND;
}

bool
pgw_charge_id_claim(PgwCall *call, PgwAttempt *attempt, PgwChargeInput *in)
{
	PgwCapabilities caps;

	/* one that a no has named is this charge's only if this answer names it, too */
	if (pgw_charge_id_claimed_by(call->bank, attempt) == NULL)
		attempt->bank_reference = NULL;
	if (!whose(call, attempt, &in->names_other_charge))
		return false;
	pgw_charge_id_capabilities(call->bank, attempt->bank_reference, &caps);
	in->can_lookup = caps.lookup;
	in->can_cancel = caps.can_cancel;
	in->only_refund = only_refund(&caps, &call->answer);
	in->can_undo = can_undo(call->bank, attempt, &caps);
	in->named = attempt->bank_reference != NULL;
	in->approved_before = pgw_charge_id_is_missing(attempt);
	in->lacks_reference = attempt->bank_reference == NULL &&
						  (needs(call->bank, PGW_OP_CAPTURE) || needs(call->bank, PGW_OP_VOID) ||
						   needs(call->bank, PGW_OP_REFUND) || needs(call->bank, PGW_OP_REVERSE));
	return true;
}

bool
pgw_charge_id_is_missing(const PgwAttempt *attempt)
{
	return attempt->bank_reference == NULL && attempt->error_code != NULL &&
		   strcmp(attempt->error_code, PGW_APPROVAL_INCOMPLETE) == 0;
}

bool
pgw_charge_id_is_others(const PgwBank *bank, const PgwAttempt *attempt, const char *named)
{
	const char *charge = attempt->bank_reference;
	pg_uuid_t whose = attempt->transaction_id;
	PgwPayment p;

	/* an operation's own id is not the charge's: that is the attempt's which the payment names */
	if (attempt->kind != PGW_KIND_PAYMENT)
	{
		if (!pgw_store_payment_by_id(&attempt->payment_id, &p))
			elog(ERROR, "the payment of an operation is not there");
		charge = p.bank_reference;
		whose = p.transaction_id;
	}
	if (charge != NULL && !PGW_MUTATED(SUBJECT_UNNAMED))
		return strcmp(charge, named) != 0;
	return pgw_store_reference_owner(bank->account, named, &whose) == PGW_OWNER_OTHER;
}

void
pgw_charge_id_check_subject(PgwCall *call, const PgwAttempt *attempt)
{
	uint64 more;
	const char *named = named_by(&call->answer);

	if (call->op != PGW_OP_LOOKUP_CHARGE || call->transport != PGW_TRANSPORT_ANSWERED ||
		named[0] == '\0' || !pgw_charge_id_is_others(call->bank, attempt, named))
		return;
	if (pgw_log_due("another payment's charge", call->bank->name, &more))
		ereport(WARNING, (errmsg("pgw: a look-up has shown another charge, and is not believed"),
						  pgw_call_errdetail(call, NULL), pgw_log_more(more)));
	call->answer.outcome = PGW_OUT_UNKNOWN;
}
