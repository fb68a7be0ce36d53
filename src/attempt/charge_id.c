/*
 * charge_id.c - the bank's id of a charge: whose it is, and what cannot be asked without one
 *
 * Owns the rule that an answer belongs to its question, as far as ids tell: within one bank account (pgw.banks.account) a charge's id belongs to one
 * attempt.  All functions have the attempt's row locked.
 *
 * Orderings that matter
 *	- The claim on an id is written in the transaction that records the answer: an attempt never says BankApproved with an id that it has not claimed.
 *	- Two answers with the same id in one batch: the second one sees the first one's claim, as both are this transaction's.
 */
#include "postgres.h"

#include "bank_call/call.h"

static bool
needs(const PgwBank *bank, PgwOp op)
{
	return pgw_connector_needs_bank_reference(bank->connector, op);
}

void
pgw_reference_capabilities(const PgwBank *bank, const char *bank_reference, PgwCapabilities *out)
{
	*out = *pgw_connector_capabilities(bank->connector);
	if (bank_reference != NULL)
		return;
	out->lookup = out->lookup && !needs(bank, PGW_OP_LOOKUP_CHARGE);
	out->lookup_refund = out->lookup_refund && !needs(bank, PGW_OP_LOOKUP_REFUND);
	out->can_void = out->can_void && !needs(bank, PGW_OP_VOID);
	out->can_refund = out->can_refund && !needs(bank, PGW_OP_REFUND);
	out->can_cancel = out->can_cancel && !needs(bank, PGW_OP_CANCEL);
}

/* false: somebody is writing just now whose it is. */
static bool
whose(PgwCall *call, PgwTransaction *t, bool *foreign)
{
	const char *id = call->answer.bank_reference;
	PgwOwner	owner = PGW_OWNER_NONE;

	switch (pgw_flow_claim(call->op, call->transport, &call->answer))
	{
		case PGW_FLOW_CLAIM_NOTHING:
			break;
		case PGW_FLOW_CLAIM_LOOK:
			owner = pgw_store_reference_owner(call->bank->account, id, &t->transaction_id);
			break;
		case PGW_FLOW_CLAIM_TAKE:
			owner = pgw_store_claim_reference(call->bank->account, id, &t->transaction_id, false);
			if (owner == PGW_OWNER_SELF)
				t->bank_reference = pstrdup(id);
			break;
	}
	*foreign = owner == PGW_OWNER_OTHER;
	if (*foreign)
		ereport(WARNING, (errmsg("pgw: the bank's answer names a charge of another payment, and is not believed"),
						  errdetail("correlation id %s, bank \"%s\", account \"%s\", %s", call->correlation, call->bank->name, call->bank->account,
									pgw_op_name(call->op))));
	return owner != PGW_OWNER_BUSY;
}

bool
pgw_reference_settle(PgwCall *call, PgwTransaction *t, PgwFlowInput *in)
{
	PgwCapabilities caps;

	if (!whose(call, t, &in->foreign))
		return false;
	pgw_reference_capabilities(call->bank, t->bank_reference, &caps);
	in->can_lookup = caps.lookup;
	in->can_cancel = caps.can_cancel;
	in->approved_before = pgw_reference_is_missing(t);
	in->lacks_reference = t->bank_reference == NULL &&
		(needs(call->bank, PGW_OP_CAPTURE) || needs(call->bank, PGW_OP_VOID) || needs(call->bank, PGW_OP_REFUND));
	return true;
}

bool
pgw_reference_is_missing(const PgwTransaction *t)
{
	return t->bank_reference == NULL && t->error_code != NULL && strcmp(t->error_code, PGW_FLOW_INCOMPLETE) == 0;
}

/* Of what comes after the charge: an id that the attempt's own charge does not have, and another attempt's has. */
void
pgw_reference_check_subject(PgwCall *call, const PgwTransaction *t)
{
	const char *named = call->answer.bank_reference;
	PgwPayment	p;

	if (call->op != PGW_OP_LOOKUP_CHARGE || call->transport != PGW_TRANSPORT_ANSWERED || named[0] == '\0' ||
		(t->bank_reference != NULL && strcmp(t->bank_reference, named) == 0))
		return;

	/* an operation's own id is not the charge's, which is the attempt's that the payments row names */
	if (t->kind != PGW_KIND_PAYMENT && pgw_store_payment_by_id(&t->payment_id, &p))
	{
		if (pgw_store_reference_owner(call->bank->account, named, &p.transaction_id) != PGW_OWNER_OTHER)
			return;
	}
	else if (pgw_store_reference_owner(call->bank->account, named, &t->transaction_id) != PGW_OWNER_OTHER)
		return;
	ereport(WARNING, (errmsg("pgw: a look-up has shown another payment's charge, and is not believed"),
					  errdetail("correlation id %s, bank \"%s\"", call->correlation, call->bank->name)));
	call->answer.outcome = PGW_OUT_UNKNOWN;
}
