/*
 * gauges.h - what is under way, counted in the tables
 */
#ifndef PGW_OBSERVE_GAUGES_H
#define PGW_OBSERVE_GAUGES_H

#include "postgres.h"
#include "datatype/timestamp.h"

/* How many, and for how long the oldest of them. */
typedef struct PgwGauge
{
	int64 n;
	double age_s; /* 0: none */
} PgwGauge;

typedef struct PgwGauges
{
	PgwGauge queued; /* submitted, and not yet taken by the worker; since the call */
	/* BankUnknown, and the bank does not say that it has not decided yet; since the call */
	PgwGauge in_doubt;
	PgwGauge refunding; /* since the caller was seen to be gone, else since the call */
	/* of these, for longer than pgw.refund_stuck_after, though the bank has not even accepted it */
	PgwGauge stuck;
	PgwGauge pending;  /* BankUnknown, as the bank says that it has not decided; since the call */
	PgwGauge accepted; /* by the bank, which may still fail it; since then */
	PgwGauge reviews;  /* since ManualReviewRequired */
	/*
	 * approved for more than a minute, and the caller's transaction has not ended; since the
	 * approval
	 */
	PgwGauge undecided;
	PgwGauge put_off;           /* whose next request cannot be made; since then */
	PgwGauge of_other_database; /* open, and recorded in another cluster or database */
} PgwGauges;

/* Real money and tests apart: the index is livemode. */
typedef struct PgwGaugesByMode
{
	PgwGauges of[2];
} PgwGaugesByMode;

/*
 * Costs what is open, not what is stored (pgw.open_work, and what the mark has not passed yet;
 * one look at the events per review).  Connected to SPI, with an active snapshot, as the owner.
 */
extern void pgw_gauges_read(PgwGaugesByMode *out, TimestampTz now);

/* Of both together: how many, and the oldest one. */
extern void pgw_gauges_read_all(PgwGauges *out, TimestampTz now);

#endif
