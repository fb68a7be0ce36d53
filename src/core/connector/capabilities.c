/*
 * capabilities.c - what a bank's capabilities answer of keys and look-ups
 *
 * Invariants:
 *     - A key counts as remembered only while the bank surely remembers it.
 *     - "Not found" counts only where the connector says that the look-up is consistent, and only
 *       after that time.
 *     - Only what a look-up names can tell: an amount that is not there is no zero.
 */
#include "core/connector/capabilities.h"

#include "core/base/mutant.h"

/*
 * The bank's clock and ours differ, and a request takes a while: what is nearly over counts as
 * over.
 */
#define KEY_MARGIN_S 60

bool
pgw_capabilities_key_remembered(const PgwCapabilities *caps, int64_t key_age_s)
{
	return caps->idempotency && key_age_s < caps->key_lifetime_s - KEY_MARGIN_S;
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
		default:
			return true;
	}
}

bool
pgw_capabilities_lookup_counts(const PgwCapabilities *caps, PgwBankOp operation)
{
	return caps->lookup_consistent_after_s >= 0 &&
		   (pgw_capabilities_lookup_tells(caps, operation) ||
			(operation == PGW_OP_REFUND && caps->lookup_refund));
}
