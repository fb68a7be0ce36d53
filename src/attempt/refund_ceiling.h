/*
 * refund_ceiling.h - does a dispute leave a refund what it would pay, when it is about to be sent?
 */
#ifndef PGW_ATTEMPT_REFUND_CEILING_H
#define PGW_ATTEMPT_REFUND_CEILING_H

#include "postgres.h"

#include "store/tables.h"

typedef enum PgwRefundCeiling
{
	PGW_CEILING_FITS = 0,
	PGW_CEILING_UNRECORDED, /* the bank has told of a dispute that is not recorded yet */
	PGW_CEILING_EXCEEDED    /* it would pay what a dispute has taken, and nobody wants that */
} PgwRefundCeiling;

/* Of a refund of this payment that nothing was done of. */
extern PgwRefundCeiling pgw_refund_ceiling(const PgwAttempt *refund, const PgwPayment *p);

#endif
