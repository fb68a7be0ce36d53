/*
 * operation_rules.h - a capture, void or refund at the bank: what to ask next, and what the bank's
 * answer means
 *
 * Pure decisions, as in charge_rules.h; for the operations that a caller asked for, and for the
 * capture that follows the commit of an on_commit payment. (Giving back what no payment names is
 * compensation_rules.h.)
 */
#ifndef PGW_CORE_PAYMENT_OPERATION_RULES_H
#define PGW_CORE_PAYMENT_OPERATION_RULES_H

#include "core/connector/capabilities.h"
#include "core/payment/charge_rules.h"
#include "core/payment/payment_amounts.h"

/* Why it is in review: the bank's answer has the id of another capture, void or refund. */
#define PGW_ID_OF_ANOTHER_OPERATION "id_of_another_operation"

extern PgwBankOp pgw_operation_op(PgwKind kind);

/*
 * What of the charge has to change for it: a void that refunds what was captured has to undo that,
 * too, and what shows it is another matter.
 */
extern PgwBankOp pgw_operation_effect(PgwBankOp operation, bool of_refund);

typedef enum PgwOperationStep
{
	PGW_OPERATION_SEND = 0, /* with its key */
	PGW_OPERATION_LOOKUP_REFUND,
	PGW_OPERATION_LOOKUP_CHARGE,
	PGW_OPERATION_REVIEW /* no way (left) to find out */
} PgwOperationStep;

typedef struct PgwOperationFacts
{
	PgwBankOp operation; /* capture, void or refund; of_refund: void or reverse */
	bool of_refund;      /* a whole refund, done by what undoes the charge */
	bool unsent;         /* nothing was sent with its key yet */
	bool resend_allowed; /* a look-up has just allowed sending */
	/* the bank refused the last request: a look-up tells what that means */
	bool refused;
	bool answered; /* the last request was answered, with an error or what is not understood */
	bool pending;  /* the bank said last that it is on its way */
	/* the look-up that was just made did not say what became of the request */
	bool lookup_inconclusive;
	int64_t key_age_s; /* since the first use of its key */
	/* since the first request of this doubt: asking again must not put the deadline off */
	int64_t doubt_age_s;
	/*
	 * since it was asked for, or could be done: each new key begins another doubt, but the time for
	 * all of them is one deadline
	 */
	int64_t tried_age_s;
	/*
	 * how long the bank is asked about an outcome that it does not tell (a month while it says
	 * pending); 0: without end
	 */
	int64_t deadline_s;
} PgwOperationFacts;

/* For one that is in doubt. *reason: a word for event_data when it is REVIEW. */
extern PgwOperationStep pgw_operation_step(const PgwCapabilities *caps,
										   const PgwOperationFacts *facts, const char **reason);

typedef enum PgwOperationNext
{
	PGW_OPERATION_DONE = 0,
	PGW_OPERATION_REFUSED, /* finally; nothing was done */
	PGW_OPERATION_AGAIN,   /* later, with the same key: that request did nothing */
	/* a refund, with a new key: by another operation, or after a time */
	PGW_OPERATION_OTHERWISE,
	/* a look-up shows that nothing was done, and it is still wanted */
	PGW_OPERATION_AT_ONCE,
	PGW_OPERATION_FIND_OUT, /* in doubt, or pending */
	PGW_OPERATION_STOP,     /* manual review */
	PGW_OPERATION_ACCEPTED  /* the bank has taken the order: accepted_rules.h */
} PgwOperationNext;

typedef struct PgwOperationInput
{
	PgwBankOp op;        /* what was asked: the operation, or a look-up */
	PgwBankOp operation; /* as in PgwOperationFacts */
	bool of_refund;
	bool whole;           /* a refund of all that was charged, and the only one */
	int ruled_out;        /* PGW_RULED_OUT: what the bank refused for the charge's state */
	int64_t charge_age_s; /* since it was charged, at least */
	/* by a caller; else it is the capture after the commit, whose payment fails with it */
	bool asked_for;
	bool in_doubt; /* its key had been sent before this question */
	/* error_code of the refusal that is being looked up; NULL: none */
	const char *refusal;
	/* its last request was answered, but with nothing that could be understood */
	bool answered;
	bool pending; /* the bank said last that it is on its way */
	PgwTransport transport;
	const PgwAnswer *answer; /* with ANSWERED */
	bool names_other;        /* ... and the id in it is another operation's */
	const PgwCapabilities *caps;
	bool not_found_counts; /* look-up: the bank would show it by now */
	bool key_is_spent;     /* pgw_operation_new_key(): sent again it would have another key */
	int64_t amount;        /* asked for */
	const char *currency;
	int64_t before;  /* captured, or refunded, without it */
	int64_t others;  /* refunds besides it that are under way or in doubt */
	int64_t charged; /* authorized, and what of that is captured, as pgw knows */
	int64_t taken;
} PgwOperationInput;

typedef struct PgwOperationDecision
{
	PgwOperationNext next;
	PgwBankOp operation; /* OTHERWISE: from now on */
	int ruled_out;
	int64_t wait_s;            /* ... but not for so long */
	const PgwErrorInfo *error; /* NULL: none */
	const char *reason;        /* a word for event_data, or NULL */
	bool refused;              /* FIND_OUT: because this request was refused */
	bool pending;              /* FIND_OUT: the bank says that it is on its way */
	/* FIND_OUT: the look-up was answered, but with nothing that tells */
	bool lookup_inconclusive;
	bool same;              /* FIND_OUT: pending, as before; no event is worth it */
	bool expired;           /* the authorization has lapsed */
	bool excess;            /* DONE: and the bank has given back more than that */
	bool names_other;       /* STOP: the id in the answer must not be kept */
	const PgwAnswer *shown; /* as in PgwDecision */
	int64_t asked_amount;
	const char *asked_currency;
} PgwOperationDecision;

extern void pgw_operation_result(const PgwOperationInput *in, PgwOperationDecision *d);

/*
 * A look-up that counts shows that nothing was done: may it go on with a new key?  When the bank
 * has forgotten the old one; or when it answers under the old one, again and again, with an error
 * that it has stored.  Never after a request without an answer, which may still be on its way.
 */
extern bool pgw_operation_new_key(const PgwCapabilities *caps, PgwBankOp operation,
								  int64_t key_age_s, bool answered, int attempts);

#endif
