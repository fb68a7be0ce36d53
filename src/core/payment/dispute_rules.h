/*
 * dispute_rules.h - what a dispute takes of a payment
 *
 * Pure: rows are read, locked and written by others (attempt/disputes.c).
 */
#ifndef PGW_CORE_PAYMENT_DISPUTE_RULES_H
#define PGW_CORE_PAYMENT_DISPUTE_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "core/connector/said_dispute.h"
#include "core/state/state_machine.h"

/* How a dispute stands, by all that was said of it. */
typedef struct PgwDispute
{
	unsigned steps;     /* PGW_DISPUTE_BIT of each that it has taken */
	int64_t withdrawn;  /* in minor units of the payment's currency */
	int64_t reinstated; /* likewise */
	/* money was moved, and how much of the payment's currency it was nobody can tell */
	bool unclear;
} PgwDispute;

/* What the payment lacks by it: never below nothing, whatever came first. */
extern int64_t pgw_dispute_takes(const PgwDispute *d);

/*
 * It has taken something, and nobody can tell how much of the payment's currency: it counts
 * nothing, and may be all.
 */
extern bool pgw_dispute_takes_unknown(const PgwDispute *d);

/* "inquiry", "open", "won", "lost", "closed" */
extern const char *pgw_dispute_status(const PgwDispute *d);

/* What one step is, as an event of the payment. */
extern PgwEventType pgw_dispute_event(PgwDisputeStep step);

typedef struct PgwDisputeChange
{
	int64_t taken; /* more than before of the payment; less than zero: it has come back */
	bool unclear;  /* it moves money, and how much of the payment's currency cannot be told */
} PgwDisputeChange;

/*
 * One of the steps that are said, of a payment in this currency.  false: it was taken before, and
 * nothing changes.
 */
extern bool pgw_dispute_take_step(PgwDispute *d, PgwDisputeStep step, const PgwSaidDispute *said,
								  const char *currency, PgwDisputeChange *change);

/*
 * Is what is said of a step that was taken before, maybe beside new ones, another amount than
 * counted then?  Of a dispute that took several steps of the kind nobody can tell.
 */
extern bool pgw_dispute_contradicts(const PgwDispute *d, const PgwSaidDispute *said,
									const char *currency);

#endif
