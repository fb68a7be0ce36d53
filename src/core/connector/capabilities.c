/*
 * capabilities.c - what a bank's capabilities answer of keys and look-ups
 *
 * Invariants:
 *     - A key counts as remembered only for an operation at which the bank honours it, and while
 *       the bank surely remembers it; and not once the bank has answered with an error that it
 *       forgets.
 *     - Where errors are forgotten, and a look-up counts, only its word allows a repetition.
 *     - "Not found" counts only where the connector says that the look-up is consistent, and only
 *       after that time.
 *     - A cancellation that does not stop what is still on its way counts the second time.
 *     - An order that a bank has accepted is not shown before it is done: that a charge does not
 *       show it is no leave to make it once more under another key.
 *     - Nor is it proof that such an order is done that a charge shows it, where the order has a
 *       look-up of its own.
 *     - Only what a look-up names can tell: an amount that is not there is no zero.
 */
#include "core/connector/capabilities.h"

#include "core/base/mutant.h"

/*
 * The bank's clock and ours differ, and a request takes a while: what is nearly over counts as
 * over.
 */
#define KEY_MARGIN_S 60

void
pgw_capabilities_without_own_id(const PgwCapabilities *caps, PgwCapabilities *out)
{
	*out = *caps;
	out->own_id_missing = caps->lookup_refund && caps->lookup_refund_needs_id;
	out->lookup_refund = caps->lookup_refund && !out->own_id_missing;
}

bool
pgw_capabilities_key_remembered(const PgwCapabilities *caps, PgwBankOp op, int64_t key_age_s)
{
	if (PGW_MUTATED(KEY_OF_ANOTHER))
		op = PGW_OP_CHARGE;
	return caps->keys[op].honoured && key_age_s < caps->keys[op].lifetime_s - KEY_MARGIN_S;
}

bool
pgw_capabilities_can_repeat(const PgwCapabilities *caps, PgwBankOp op, int64_t key_age_s,
							bool error_answered)
{
	return pgw_capabilities_key_remembered(caps, op, key_age_s) &&
		   !(error_answered && caps->keys[op].forgets_errors && !PGW_MUTATED(FORGOTTEN_ERROR));
}

bool
pgw_capabilities_not_found_counts(const PgwCapabilities *caps, int64_t asked_age_s)
{
	if (PGW_MUTATED(NOT_FOUND_AT_ONCE))
		return true;
	return caps->lookup_consistent_after_s >= 0 && asked_age_s >= caps->lookup_consistent_after_s;
}

bool
pgw_capabilities_lookup_tells(const PgwCapabilities *caps, PgwBankOp operation)
{
	if (!caps->lookup)
		return false;
	switch (operation)
	{
		case PGW_OP_CAPTURE:
			return caps->lookup_shows_captured;
		case PGW_OP_VOID:
			return caps->lookup_shows_voided;
		case PGW_OP_REFUND:
			return caps->lookup_shows_captured && caps->lookup_shows_refunded;
		case PGW_OP_REVERSE:
			/* the one way or the other, as the charge stood */
			return caps->lookup_shows_captured && caps->lookup_shows_refunded &&
				   caps->lookup_shows_voided;
		default:
			return true;
	}
}

bool
pgw_capabilities_shows(const PgwCapabilities *caps, PgwBankOp operation)
{
	return pgw_capabilities_lookup_tells(caps, operation) ||
		   (operation == PGW_OP_REFUND && caps->lookup_refund);
}

bool
pgw_capabilities_lookup_counts(const PgwCapabilities *caps, PgwBankOp operation)
{
	return caps->lookup_consistent_after_s >= 0 && pgw_capabilities_shows(caps, operation);
}

bool
pgw_capabilities_waits_for_lookup(const PgwCapabilities *caps, PgwBankOp operation,
								  PgwBankOp effect)
{
	/* what is released twice costs nobody anything */
	if (effect == PGW_OP_VOID || effect == PGW_OP_CANCEL || PGW_MUTATED(FORGOTTEN_NOT_SHOWN))
		return false;
	return caps->keys[operation].forgets_errors && pgw_capabilities_lookup_counts(caps, effect);
}

bool
pgw_capabilities_may_hold_order(const PgwCapabilities *caps, PgwBankOp operation)
{
	if (!caps->accepts[operation] || PGW_MUTATED(ORDER_NOT_SHOWN))
		return false;
	return operation == PGW_OP_REFUND || operation == PGW_OP_REVERSE ||
		   (operation == PGW_OP_CAPTURE && caps->multiple_captures);
}

bool
pgw_capabilities_shown_may_fail(const PgwCapabilities *caps, PgwBankOp operation)
{
	return operation == PGW_OP_REFUND && caps->own_id_missing && caps->accepts[operation] &&
		   !PGW_MUTATED(OPEN_ORDER_SHOWN);
}

bool
pgw_capabilities_takes_refunds_back(const PgwCapabilities *caps)
{
	return (caps->accepts[PGW_OP_REFUND] || caps->tells[PGW_OP_REFUND] || caps->changes_refunds) &&
		   !PGW_MUTATED(REFUND_TAKEN_BACK);
}

int64_t
pgw_capabilities_cancel_wait_s(const PgwCapabilities *caps, int64_t age_s)
{
	if (!caps->cancels_twice || age_s >= caps->cancel_after_s || PGW_MUTATED(CANCEL_ONCE))
		return 0;
	/* an age below 0 is that of a clock that was set back */
	return caps->cancel_after_s - (age_s > 0 ? age_s : 0);
}

bool
pgw_capabilities_cancel_counts(const PgwCapabilities *caps, int64_t before_s)
{
	if (!caps->cancels_twice || PGW_MUTATED(CANCEL_ONCE))
		return true;
	return before_s >= caps->cancel_after_s;
}
