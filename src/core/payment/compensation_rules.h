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

/* An operation that the bank has refused for the state that the charge is in. */
#define PGW_RULED_OUT(op) (1 << (op))

typedef struct PgwToGiveBack
{
	bool captured;
	bool amount_in_doubt;
	bool part;     /* the rest was given back before */
	int ruled_out; /* PGW_RULED_OUT of some: REVERSE, REFUND, VOID */
} PgwToGiveBack;

/*
 * How to give back: as a whole (reverse) where the bank can; else void what is not captured, refund
 * what is; by our reference (cancel) where the amount at the bank is in doubt or nothing else can.
 * PGW_NOPS: the bank offers no way.
 */
extern PgwBankOp pgw_compensation_operation(const PgwCapabilities *caps, const PgwToGiveBack *what);

/*
 * Would it, done and not known to be, be done twice by the next refund?  (A void or cancellation
 * leaves nothing that a further one could take.)
 */
extern bool pgw_compensation_pays_back(PgwBankOp operation);

/*
 * Is a look-up's yes waited for where nobody says from when on its no counts?  Of a cancellation
 * the second yes of its own is.
 */
extern bool pgw_compensation_is_shown_done(PgwBankOp operation);

typedef enum PgwCompensationStep
{
	PGW_COMPENSATE_SEND = 0, /* the operation, with its key */
	PGW_COMPENSATE_LOOKUP_REFUND,
	PGW_COMPENSATE_LOOKUP_CHARGE,
	PGW_COMPENSATE_WAIT,  /* cancel_wait_s */
	PGW_COMPENSATE_REVIEW /* no way (left) to find out */
} PgwCompensationStep;

typedef struct PgwCompensationFacts
{
	PgwBankOp operation; /* void, refund, cancel or reverse */
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
	/* it waits until the charge is settled: not overdue before; 0: it does not */
	int64_t waits_s;
	/* a cancellation would come too early by so much: pgw_capabilities_cancel_wait_s() */
	int64_t cancel_wait_s;
	bool cancelled; /* one was confirmed, and does not count yet */
} PgwCompensationFacts;

/*
 * Is it time for a person?  begun_age_s: since the give-back began.  What the bank refuses is
 * looked up for deadline_s at most; what has never reached the bank is tried for a month.
 */
extern bool pgw_compensation_overdue(const PgwCompensationFacts *facts, int64_t begun_age_s);

extern PgwCompensationStep pgw_compensation_step(const PgwCapabilities *caps,
												 const PgwCompensationFacts *facts);

/*
 * Is what is sent now sent with a new key?  When there is none; and where a look-up has shown that
 * nothing was done under the old one, when that is of no use any more: pgw_operation_new_key().  (A
 * cancellation once more has always another one.)  tries: so far, with whatever key.
 */
extern bool pgw_compensation_new_key(const PgwCapabilities *caps, const PgwCompensationFacts *facts,
									 int tries);

typedef enum PgwCompensationNext
{
	PGW_COMPENSATION_DONE = 0, /* given back */
	PGW_COMPENSATION_AGAIN,    /* later, with the same key: that one did nothing */
	PGW_COMPENSATION_ANEW,     /* later, with a new key: the old one is used up */
	PGW_COMPENSATION_FIND_OUT, /* in doubt, or pending */
	PGW_COMPENSATION_STOP,     /* manual review */
	PGW_COMPENSATION_ACCEPTED  /* the bank has taken the order: accepted_rules.h */
} PgwCompensationNext;

typedef struct PgwCompensationInput
{
	PgwBankOp op;         /* what was asked: the operation, or a look-up */
	PgwBankOp operation;  /* void, refund, cancel or reverse */
	bool captured;        /* the charge, as far as is known without a look-up */
	int ruled_out;        /* so far */
	int64_t charge_age_s; /* since the charge, or its capture, ended */
	bool in_doubt;        /* the key had been sent before this question */
	PgwTransport transport;
	const PgwAnswer *answer;
	bool names_other; /* the id in it is another operation's */
	const PgwCapabilities *caps;
	int keys_used; /* keys used so far */
	int max_keys;
	/* look-up: the bank would know by now of the last request with this key */
	bool not_found_counts;
	bool key_is_spent; /* pgw_operation_new_key(): sent again it would have another key */
	bool pending;      /* the bank said last that it is on its way */
	bool accepted;     /* it has accepted the order, and is asked what became of it */
	/* a cancellation's yes does not count yet: pgw_capabilities_cancel_counts() */
	bool cancelled_too_early;
	int64_t amount;       /* asked for, in a refund; 0: not to be compared */
	const char *currency; /* with it */
	int64_t charged;      /* as the caller asked for it */
	int64_t held;         /* what the bank was seen to hold of it, else the same */
} PgwCompensationInput;

typedef struct PgwCompensationDecision
{
	PgwDecision decision; /* events, state, error */
	PgwCompensationNext next;
	PgwBankOp operation; /* for the next try */
	int ruled_out;       /* from now on */
	/* ANEW: but not for so long, when the charge will be settled; 0: as usual */
	int64_t wait_s;
	/* FIND_OUT: cancelled, which does not count yet, and is repeated */
	bool cancelled_once;
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
