/*
 * capabilities.h - what a bank can do, and what that answers of keys and look-ups
 *
 * Pure: the ages that are asked about are passed in.
 */
#ifndef PGW_CORE_CONNECTOR_CAPABILITIES_H
#define PGW_CORE_CONNECTOR_CAPABILITIES_H

#include <stdbool.h>
#include <stdint.h>

#include "core/connector/bank_op.h"

/* What the bank makes of the key of one operation. */
typedef struct PgwKeyRule
{
	bool honoured; /* in a header or the body: a request that comes again is done once */
	/* ... this long after its first use */
	int64_t lifetime_s;
	bool repeats_errors; /* answers of all kinds are stored: an error may be said again for ever */
	/*
	 * only successes are stored: what was answered with an error is done anew when it comes again,
	 * although it may have been done
	 */
	bool forgets_errors;
} PgwKeyRule;

typedef struct PgwCapabilities
{
	PgwKeyRule keys[PGW_NOPS];
	bool lookup; /* lookup_charge present */
	bool lookup_refund;
	/* it asks by the refund's own id: nothing is found out of one whose answer was lost */
	bool lookup_refund_needs_id;
	/* ... and that is so of this one: pgw_capabilities_without_own_id() */
	bool own_id_missing;
	/* lookup_charge asks by the bank's id alone: nothing is found out of a charge without one */
	bool lookup_needs_id;
	/* lookup_charge names them; absent or unreadable in one answer is still possible */
	bool lookup_shows_captured;
	bool lookup_shows_refunded;
	bool lookup_shows_voided;
	/* "not found" counts this long after the request ended; -1: never */
	int64_t lookup_consistent_after_s;
	/*
	 * ... where the charge's id is known: then it is looked up by that, and its refunds by
	 * lookup_refund, whichever of the two takes longer; -1: as without an id
	 */
	int64_t lookup_by_id_consistent_after_s;
	bool cards;              /* takes raw card numbers */
	bool unchecked_unionpay; /* ... of UnionPay also those that fail their check digit */
	bool tokens;
	bool token_objects;    /* ... and such that are JSON objects, by their parts */
	bool separate_capture; /* authorize + capture present */
	bool partial_capture;
	bool no_partial_approval; /* an approval is of all that was asked for, says the bank's manual */
	bool multiple_captures;
	bool can_void;
	bool can_refund;
	bool partial_refund;
	bool can_cancel;
	/*
	 * a cancellation's success says nothing of a charge that is still on its way: it is sent no
	 * sooner than cancel_after_s after that, and believed when it has succeeded twice, so far apart
	 */
	bool cancels_twice;
	int64_t cancel_after_s;
	bool can_reverse;
	/* a rule of the operation says "accepted": what is ordered is not shown until it is done */
	bool accepts[PGW_NOPS];
	/* its signed notifications are its word on this operation, as it can be asked nothing */
	bool tells[PGW_NOPS];
	bool changes_refunds; /* ... and that what was refunded of a charge has changed */
	/*
	 * a charge may be pending for so long, where that is longer than any other doubt lasts; 0: it
	 * is not
	 */
	int64_t pending_deadline_s;
	/*
	 * what the bank has accepted, and can never be asked about, counts as done so long after that;
	 * 0: there is nothing of the kind
	 */
	int64_t accepted_final_after_s;
	int64_t settles_after_s;          /* a captured charge is settled by then; 0: not said */
	int64_t authorization_lifetime_s; /* 0: not said */
} PgwCapabilities;

/*
 * What is left of them for an operation whose own id the bank has not named: its answer was lost,
 * or it has not been sent.
 */
extern void pgw_capabilities_without_own_id(const PgwCapabilities *caps, PgwCapabilities *out);

/* Does the bank surely still know a key that it first saw so long ago, for this operation? */
extern bool pgw_capabilities_key_remembered(const PgwCapabilities *caps, PgwBankOp op,
											int64_t key_age_s);

/*
 * Is a request that is in doubt done once when it is sent again?  error_answered: the last one
 * was answered with an error, or with something that could not be understood.
 */
extern bool pgw_capabilities_can_repeat(const PgwCapabilities *caps, PgwBankOp op,
										int64_t key_age_s, bool error_answered);

/* Does "not found" count by now?  asked_age_s: since the last request that could have made it. */
extern bool pgw_capabilities_not_found_counts(const PgwCapabilities *caps, int64_t asked_age_s);

/*
 * Does a look-up at this bank tell whether a capture, void or refund was done, and does "not done"
 * count?  Only what lookup_charge names can tell: an amount that is not there is no zero.
 */
extern bool pgw_capabilities_lookup_counts(const PgwCapabilities *caps, PgwBankOp operation);

/* ... tell that it was done, at least: is it of any use to look the charge up? */
extern bool pgw_capabilities_lookup_tells(const PgwCapabilities *caps, PgwBankOp operation);

/* ... or the refund: is there any look-up that shows it, by now or later? */
extern bool pgw_capabilities_shows(const PgwCapabilities *caps, PgwBankOp operation);

/*
 * Is a request that is in doubt not repeated for being looked up in vain?  The lost answer may have
 * been an error that the bank has forgotten, and money would move twice: a look-up that counts will
 * tell.  effect: what the operation comes to, a reversal if it undoes a charge as a whole.
 */
extern bool pgw_capabilities_waits_for_lookup(const PgwCapabilities *caps, PgwBankOp operation,
											  PgwBankOp effect);

/*
 * Can a request that nobody has the answer to be with the bank, though a look-up of the charge,
 * however late, shows nothing of it?  Where the bank only accepts such orders; asked of what would
 * cost money if it were done twice.
 */
extern bool pgw_capabilities_may_hold_order(const PgwCapabilities *caps, PgwBankOp operation);

/*
 * Is what the charge shows of this operation no proof that it is done?  Where the bank may only
 * have accepted the order, and ends it under an id that it has not named: of orders that are open,
 * and fail later, a charge's sum often says the same as of those that are done.
 */
extern bool pgw_capabilities_shown_may_fail(const PgwCapabilities *caps, PgwBankOp operation);

/*
 * Does what the bank has refunded go down again, perhaps, and it has a way to say so?  Then a
 * second refund can hide behind a first that was taken back: the charge shows as much as before.
 */
extern bool pgw_capabilities_takes_refunds_back(const PgwCapabilities *caps);

/* How long a cancellation has to wait yet.  age_s: since what it has to come after. */
extern int64_t pgw_capabilities_cancel_wait_s(const PgwCapabilities *caps, int64_t age_s);

/*
 * Does a cancellation's success count?  before_s: how long ago the first one succeeded; -1: this is
 * the first.
 */
extern bool pgw_capabilities_cancel_counts(const PgwCapabilities *caps, int64_t before_s);

#endif
