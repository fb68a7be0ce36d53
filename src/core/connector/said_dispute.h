/*
 * said_dispute.h - what a bank says of a dispute: the steps that one can take, and what a
 * notification tells of them
 */
#ifndef PGW_CORE_CONNECTOR_SAID_DISPUTE_H
#define PGW_CORE_CONNECTOR_SAID_DISPUTE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The steps of a dispute, in the order in which they happen.  Each of them happens once: a bank
 * that takes money a second time, or gives it back a second time, says so by a step of its own.
 */
typedef enum PgwDisputeStep
{
	PGW_DISPUTE_INQUIRY = 0, /* somebody asks about the charge: nothing is taken */
	PGW_DISPUTE_OPENED,
	PGW_DISPUTE_WITHDRAWN,
	PGW_DISPUTE_REINSTATED,
	PGW_DISPUTE_WITHDRAWN_AGAIN,
	PGW_DISPUTE_REINSTATED_AGAIN,
	PGW_DISPUTE_WON, /* by the merchant */
	PGW_DISPUTE_LOST,
	PGW_DISPUTE_CLOSED, /* neither: given up, or an inquiry that nothing followed on */
	PGW_NDISPUTE_STEPS
} PgwDisputeStep;

#define PGW_DISPUTE_BIT(step) (1u << (step))

extern const char *pgw_dispute_step_name(PgwDisputeStep step);
extern int pgw_dispute_step_parse(const char *name); /* -1 */

/* Does money move with it? */
extern bool pgw_dispute_step_takes(PgwDisputeStep step);
extern bool pgw_dispute_step_returns(PgwDisputeStep step);

/* An amount in minor units, as the bank has it. */
typedef struct PgwSaidMoney
{
	bool there; /* one that can be read */
	int64_t amount;
	char currency[4];
} PgwSaidMoney;

/* What one notification says. */
typedef struct PgwSaidDispute
{
	unsigned steps;        /* PGW_DISPUTE_BIT of each; 0: it is about no dispute */
	char id[256];          /* the bank's, of the dispute; empty: it cannot be told from others */
	PgwSaidMoney amount;   /* that is disputed, in the currency of the charge, mostly */
	PgwSaidMoney moved;    /* in the merchant's account at the bank */
	PgwSaidMoney fee;      /* ... for the dispute */
	bool moved_unreadable; /* an amount of it is there that cannot be read: moved is not */
	bool moved_backwards;  /* ... where it should have been taken it was given, or the reverse */
	int64_t deadline;      /* until when it may be answered, Unix seconds; 0: not said */
	char reason[64];       /* the bank's word for it */
} PgwSaidDispute;

#endif
