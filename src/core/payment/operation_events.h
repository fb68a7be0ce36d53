/*
 * operation_events.h - what was decided of a capture, void or refund, as a step of its attempt
 */
#ifndef PGW_CORE_PAYMENT_OPERATION_EVENTS_H
#define PGW_CORE_PAYMENT_OPERATION_EVENTS_H

#include "core/payment/operation_rules.h"

/*
 * The decision as a step of an attempt of kind capture, void or refund that is Created or
 * BankUnknown. payment_locked: an approval is saved at once.
 */
extern void pgw_operation_decision(const PgwOperationDecision *r, PgwState state,
								   bool payment_locked, PgwDecision *d);

/* The same for the capture after the commit: a payment that is Saved. */
extern void pgw_operation_capture_decision(const PgwOperationDecision *r, PgwDecision *d);

/* An approved one whose payments row is locked now; accepted: the bank may still fail it. */
extern void pgw_operation_save(bool accepted, PgwDecision *d);

/*
 * A refund that was done, or a charge that was given back, which the bank has taken back. from:
 * Completed or Refunded.
 */
extern void pgw_operation_reversed(PgwState from, PgwDecision *d);

/* The same of a capture that is Completed. */
extern void pgw_operation_capture_reversed(PgwDecision *d);

#endif
