/*
 * refund_ceiling.c - does a dispute leave a refund what it would pay, when it is about to be sent?
 *
 * A refund that was asked for can wait: its bank is left alone, its charge is not settled, the
 * worker is paused.  A dispute that comes meanwhile takes the money by itself, and the refund would
 * pay it to the same card holder once more.
 *
 * Owns nothing.
 *
 * Orderings that matter
 *     - What the bank has told of disputes is recorded before its refunds leave: the worker does
 *       both, so between this look and the request nothing can be recorded.
 *     - Only what provably was not done is held back: one in doubt may have been paid already.
 */
#include "postgres.h"

#include "utils/jsonb.h"

#include "attempt/refund_ceiling.h"
#include "core/base/mutant.h"
#include "store/events.h"
#include "store/told_disputes.h"

/* As its caller said: the first event has it, and nothing else has. */
static bool
is_wanted_all_the_same(const PgwAttempt *refund)
{
	PgwEventRow *events;
	int n = pgw_store_events(&refund->transaction_id, &events);
	JsonbValue v;

	return n > 0 && events[0].event_data != NULL &&
		   getKeyJsonValueFromContainer(&events[0].event_data->root, PGW_DESPITE_DISPUTE,
										strlen(PGW_DESPITE_DISPUTE), &v) != NULL &&
		   v.type == jbvBool && v.val.boolean;
}

PgwRefundCeiling
pgw_refund_ceiling(const PgwAttempt *refund, const PgwPayment *p)
{
	PgwPaymentAmounts s;

	if (pgw_store_any_told_dispute(&p->transaction_id) && !PGW_MUTATED(TOLD_DISPUTE))
		return PGW_CEILING_UNRECORDED;
	pgw_store_get_amounts(p, &s);
	if (!pgw_payment_refund_is_disputed(&s) && !pgw_store_dispute_takes_unknown(&p->payment_id))
		return PGW_CEILING_FITS;
	return is_wanted_all_the_same(refund) ? PGW_CEILING_FITS : PGW_CEILING_EXCEEDED;
}
