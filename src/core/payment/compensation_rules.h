/*
 * compensation_rules.h - giving a charge back whose caller rolled back: what to ask the bank next,
 * and what its answer means
 *
 * Pure decisions, as in charge_rules.h.  The worker (attempt/compensation.c) carries them out.
 */
#ifndef PGW_CORE_PAYMENT_COMPENSATION_RULES_H
#define PGW_CORE_PAYMENT_COMPENSATION_RULES_H

#include "core/payment/charge_rules.h"

/*
 * From BankApproved (the caller rolled back), or Failed (a charge turned up late): the events up to
 * RefundStarted, on one edge.  (An unacceptable approval begins it in pgw_charge_result().)
 */
extern void pgw_compensation_begin(PgwState from, PgwDecision *d);

/*
 * How to give back: void what is not captured, refund what is; by our reference (cancel) where the
 * amount at the bank is in doubt or nothing else can.  PGW_NOPS: the bank offers no way.
 */
extern PgwBankOp pgw_compensation_operation(const PgwCapabilities *caps, bool captured,
											bool amount_in_doubt);

typedef enum PgwCompensationStep
{
	PGW_COMPENSATE_SEND = 0, /* the operation, with its key */
	PGW_COMPENSATE_LOOKUP_REFUND,
	PGW_COMPENSATE_LOOKUP_CHARGE,
	PGW_COMPENSATE_REVIEW /* no way (left) to find out */
} PgwCompensationStep;

typedef struct PgwCompensationFacts
{
	PgwBankOp operation; /* void, refund or cancel */
	bool key;            /* it has a key: announced, or sent */
	bool used;           /* the key was sent: in doubt, or pending at the bank */
	bool resend_allowed; /* a look-up has just allowed sending */
	/* the look-up that was just made did not say what became of the request */
	bool lookup_inconclusive;
	bool error_answered; /* the last request with it was answered with an error */
	int64_t key_age_s;   /* since its first use */
	bool pending;        /* the bank said last that it is on its way */
	/*
	 * how long the bank is asked about an outcome that it does not tell (a month while it says
	 * pending); 0: without end
	 */
	int64_t deadline_s;
} PgwCompensationFacts;

/*
 * Is it time for a person?  begun_age_s: since the give-back began.  What the bank refuses is
 * looked up for deadline_s at most; what has never reached the bank is tried for a month.
 */
extern bool pgw_compensation_overdue(const PgwCompensationFacts *facts, int64_t begun_age_s);

extern PgwCompensationStep pgw_compensation_step(const PgwCapabilities *caps,
												 const PgwCompensationFacts *facts);

typedef enum PgwCompensationNext
{
	PGW_COMPENSATION_DONE = 0, /* given back */
	PGW_COMPENSATION_AGAIN,    /* later, with the same key: that one did nothing */
	PGW_COMPENSATION_ANEW,     /* later, with a new key: the old one is used up */
	PGW_COMPENSATION_FIND_OUT, /* in doubt, or pending */
	PGW_COMPENSATION_STOP      /* manual review */
} PgwCompensationNext;

typedef struct PgwCompensationInput
{
	PgwBankOp op;        /* what was asked: the operation, or a look-up */
	PgwBankOp operation; /* void, refund or cancel */
	bool in_doubt;       /* the key had been sent before this question */
	PgwTransport transport;
	const PgwAnswer *answer;
	const PgwCapabilities *caps;
	int keys_used; /* keys used so far */
	int max_keys;
	/* look-up: the bank would know by now of the last request with this key */
	bool not_found_counts;
	bool pending;         /* the bank said last that it is on its way */
	int64_t amount;       /* asked for, in a refund; 0: not to be compared */
	const char *currency; /* with it */
	int64_t charged;      /* as the caller asked for it */
} PgwCompensationInput;

typedef struct PgwCompensationDecision
{
	PgwDecision decision; /* events, state, error */
	PgwCompensationNext next;
	PgwBankOp operation; /* for the next try */
	/* DONE: and the bank shows that more was given back than that */
	bool excess;
	/* a look-up was answered, but with nothing that tells */
	bool lookup_inconclusive;
	/* a look-up has just answered: no need to wait, and no event of its own */
	bool at_once;
	int64_t amount; /* left to refund, as looked up; 0: not said */
} PgwCompensationDecision;

extern void pgw_compensation_result(const PgwCompensationInput *in, PgwCompensationDecision *d);

#endif
