/*
 * recovery_notes.c - what a connector's capabilities mean when an answer is lost, in sentences
 *
 * For people who have to decide whether a bank will do.  What really happens is decided by
 * core/payment (unknown_outcome_rules.c, compensation_rules.c, operation_rules.c): the sentences
 * follow those rules, and a change there is a change here.
 */
#include "core/connector/recovery_notes.h"

typedef struct Notes
{
	PgwRecoveryNote *list;
	int n;
} Notes;

static void
put(Notes *notes, const char *about, bool costs_a_person, const char *sentence)
{
	notes->list[notes->n++] = (PgwRecoveryNote){about, costs_a_person, sentence};
}

/* A look-up that works without the id that a lost answer would have brought. */
static bool
finds_by_our_reference(const PgwCapabilities *caps)
{
	return caps->lookup && !caps->lookup_needs_id;
}

static void
note_charge(Notes *notes, const PgwConnector *c, const PgwCapabilities *caps)
{
	PgwBankOp op = pgw_connector_has(c, PGW_OP_CHARGE) ? PGW_OP_CHARGE : PGW_OP_AUTHORIZE;
	bool repeatable = caps->keys[op].honoured;
	bool counts = finds_by_our_reference(caps) && caps->lookup_consistent_after_s >= 0;

	if (counts)
		put(notes, "lost charge", false,
			"A lost answer to a charge is found out by lookup_charge; \"not found\" counts after lookup_consistent_after_seconds.");
	else if (finds_by_our_reference(caps) && repeatable)
		put(notes, "lost charge", true,
			"A lost answer to a charge is looked up, and repeated with its key where the look-up says nothing; a card, which was not kept, cannot be repeated and ends in review, because \"not found\" never counts without lookup_consistent_after_seconds.");
	else if (finds_by_our_reference(caps))
		put(notes, "lost charge", true,
			"A lost answer to a charge is found by lookup_charge if the bank has it; else it ends in review, because \"not found\" never counts without lookup_consistent_after_seconds, and there is no key to repeat it under.");
	else if (repeatable)
		put(notes, "lost charge", true,
			"A lost answer to a charge by token is found out by repeating it with its key, as long as the bank remembers that; one by card ends in review, because the card is not kept and there is no look-up by our reference.");
	else
		put(notes, "lost charge", true,
			"A lost answer to a charge ends in review, because there is neither idempotency nor a look-up by our reference.");
	if (repeatable && !counts && pgw_connector_uses(c, op, "customer."))
		put(notes, "lost charge with customer", true,
			"A charge that was told something of options.customer is not repeated with its key, because that is not kept: what a look-up does not find ends in review.");
}

static void
note_operation(Notes *notes, const PgwCapabilities *caps, PgwBankOp op, const char *about,
			   const char *looked_up, const char *repeated, const char *reviewed)
{
	bool counts = pgw_capabilities_lookup_counts(caps, op);

	put(notes, about, !counts, counts ? looked_up : caps->keys[op].honoured ? repeated : reviewed);
}

static void
note_operations(Notes *notes, const PgwConnector *c, const PgwCapabilities *caps)
{
	if (pgw_connector_has(c, PGW_OP_CAPTURE))
		note_operation(
			notes, caps, PGW_OP_CAPTURE, "lost capture",
			"A lost answer to a capture is found out by lookup_charge, which names captured.",
			"A lost answer to a capture is repeated with its key as long as the bank remembers that, and ends in review after it, because no look-up names captured with lookup_consistent_after_seconds.",
			"A lost answer to a capture ends in review, because no look-up names captured with lookup_consistent_after_seconds, and there is no idempotency.");
	if (pgw_connector_has(c, PGW_OP_VOID))
		note_operation(
			notes, caps, PGW_OP_VOID, "lost void",
			"A lost answer to a void is found out by lookup_charge, which names voided.",
			"A lost answer to a void is repeated with its key as long as the bank remembers that, and ends in review after it, because no look-up names voided with lookup_consistent_after_seconds.",
			"A lost answer to a void ends in review, because no look-up names voided with lookup_consistent_after_seconds, and there is no idempotency.");
	if (pgw_connector_has(c, PGW_OP_REFUND))
		note_operation(
			notes, caps, PGW_OP_REFUND, "lost refund",
			"A lost answer to a refund is found out by lookup_refund, or by lookup_charge, which names captured and refunded.",
			"A lost answer to a refund is repeated with its key as long as the bank remembers that, and ends in review after it, because no look-up that counts shows refunds.",
			"A lost answer to a refund ends in review, because no look-up that counts shows refunds, and there is no idempotency.");
}

/*
 * As pgw_compensation_operation() (core/payment) chooses; what it only tries does not count here.
 */
static void
note_give_back(Notes *notes, const PgwCapabilities *caps)
{
	bool captured = caps->can_refund || caps->can_cancel || caps->can_reverse;
	bool authorized =
		!caps->separate_capture || caps->can_void || caps->can_cancel || caps->can_reverse;

	if (captured && authorized)
		put(notes, "rollback", false,
			"What a caller has rolled back is given back by reverse, refund, void or cancel, as it stands.");
	else if (captured)
		put(notes, "rollback", true,
			"An authorization that a caller has rolled back can end in review, because there is neither void nor cancel.");
	else if (caps->can_void)
		put(notes, "rollback", true,
			"A captured charge that a caller has rolled back can end in review, because there is neither refund nor cancel.");
	else
		put(notes, "rollback", true,
			"What a caller has rolled back ends in review, because there is neither refund nor void nor cancel.");
}

int
pgw_recovery_notes(const PgwConnector *c, PgwRecoveryNote *list)
{
	const PgwCapabilities *caps = pgw_connector_capabilities(c);
	PgwCapabilities of_lost; /* the id would have come with the answer */
	Notes notes = {.list = list};

	pgw_capabilities_without_own_id(caps, &of_lost);
	note_charge(&notes, c, caps);
	note_operations(&notes, c, &of_lost);
	note_give_back(&notes, caps);
	return notes.n;
}
