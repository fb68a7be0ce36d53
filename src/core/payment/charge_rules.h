/*
 * charge_rules.h - from a bank's answer to events, state, payment and what callers are told
 *
 * Pure decisions: nothing is read, written or sent here.  The worker (attempt/,
 * outcome/record_decision.c) carries them out.
 */
#ifndef PGW_CORE_PAYMENT_CHARGE_RULES_H
#define PGW_CORE_PAYMENT_CHARGE_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "core/bank_message/judge_answer.h"
#include "core/base/error_codes.h"
#include "core/connector/bank_op.h"
#include "core/request/validate.h"
#include "core/state/state_machine.h"

/* What the payments row becomes, where the worker is the one to write it. */
typedef enum PgwPaymentChange
{
	PGW_PAYMENT_UNCHANGED = 0, /* stays as it is */
	PGW_PAYMENT_BECOMES_AUTHORIZED,
	PGW_PAYMENT_BECOMES_CAPTURED,
	PGW_PAYMENT_BECOMES_DECLINED,
	PGW_PAYMENT_BECOMES_FAILED,
	PGW_PAYMENT_BECOMES_IN_REVIEW
} PgwPaymentChange;

typedef struct PgwChargeInput
{
	PgwKind kind;
	PgwState state; /* as the attempt's locked row says: Created or BankUnknown */
	/* what the bank was asked: the charge or authorization itself, its look-up, or its undoing */
	PgwBankOp op;
	/*
	 * an earlier request of this attempt may have charged; what this one was told proves nothing of
	 * that
	 */
	bool in_doubt;
	/*
	 * ... not even a decline: the bank forgets what was no success, so this was another try, or may
	 * be what a look-up shows: pgw_unknown_outcome_tried_anew()
	 */
	bool tried_anew;
	/* look-up: the bank would know the charge by now if there were one */
	bool not_found_counts;
	PgwCaptureMode capture;
	bool submitted; /* the worker writes the payments row ... */
	/* ... and holds its lock; if not, an approval stops at BankApproved */
	bool payment_locked;
	int64_t amount; /* what was asked for */
	const char *currency;
	PgwTransport transport;
	const PgwAnswer *answer; /* with ANSWERED */
	/* the charge that the answer names is another attempt's: see pgw_charge_id_claimed() */
	bool names_other_charge;
	/* neither this answer nor an earlier one names an id, and what may follow needs one */
	bool lacks_reference;
	/* an answer that said that something is there has named it: the bank knew the charge */
	bool named;
	bool approved_before; /* the bank has said yes already, without one */
	/* by our reference, for a charge whose id at the bank is not known */
	bool can_lookup;
	bool can_cancel;
	/* nothing undoes it but a refund, which has to name an amount */
	bool only_refund;
	/* what waits for the card holder can be undone: PGW_UNKNOWN_OUTCOME_UNDO */
	bool can_undo;
	/* a cancellation's yes does not count yet: pgw_capabilities_cancel_counts() */
	bool cancelled_too_early;
	bool being_undone;   /* ... and that is under way: see pgw_charge_is_being_undone() */
	bool pending_before; /* the bank has said last that it has not decided yet:
							pgw_charge_is_pending() */
} PgwChargeInput;

typedef struct PgwDecisionEvent
{
	PgwEventType type;
	PgwState from;
	PgwState to;
} PgwDecisionEvent;

#define PGW_DECISION_MAX_EVENTS 6

typedef struct PgwDecision
{
	int nevents;
	PgwDecisionEvent events[PGW_DECISION_MAX_EVENTS];
	PgwState state; /* after the last event */
	PgwPaymentChange payment;
	int64_t authorized_amount; /* with AUTHORIZED and CAPTURED */
	int64_t captured_amount;
	int64_t reserved_amount; /* for the capture that follows the commit */
	bool save_later;         /* approved, but the payments row was busy */
	/* Failed, because the bank does not know it: to be looked up again, in case it turns up late */
	bool not_found;
	const PgwErrorInfo *error; /* class, code, status, retryable, message; NULL: none */
	/* error is NULL, and what the attempt's row says of errors stays */
	bool keep_error;
	/* a word for event_data that tells the operator more than the code, or NULL */
	const char *reason;
	const char *from_bank; /* with BankSwitched: the bank that it was at */
	/* the bank has confirmed a cancellation that does not count yet: it is repeated */
	bool cancelled_once;
	/* the answer is another charge's: nothing of it is kept with the attempt */
	bool names_other_charge;
	/*
	 * what the bank said, for event_data: its HTTP status and its own code.  NULL: as the answer
	 * that the decision is recorded with
	 */
	const PgwAnswer *said;
	/* the bank's amounts are not what was asked for: event_data has both; NULL: nothing to tell */
	const PgwAnswer *shown;
	int64_t asked_amount; /* with it */
	const char *asked_currency;
} PgwDecision;

/* What the id that an answer gives to the charge is worth. */
typedef enum PgwChargeIdClaim
{
	PGW_CHARGE_ID_CLAIM_NOTHING = 0, /* none, or of something that says nothing of a charge */
	/*
	 * no charge stands, or the id must not be kept; but the answer must not be about another one's
	 */
	PGW_CHARGE_ID_CLAIM_LOOK,
	PGW_CHARGE_ID_CLAIM_TAKE /* from now on it is this attempt's, or another one has it */
} PgwChargeIdClaim;

/* op: the charge or authorization itself, its look-up, or its cancellation. */
extern PgwChargeIdClaim pgw_charge_id_claimed(PgwBankOp op, PgwTransport transport,
											  const PgwAnswer *answer);

/* In event_data: the bank has cancelled it, and may finish a charge that is on its way after that.
 */
#define PGW_CANCELLED_ONCE "cancelled_once"

/* error_code of an attempt that the bank has approved without an id that what follows needs. */
#define PGW_APPROVAL_INCOMPLETE "approval_incomplete"
/* ... whose bank has said last that it has not decided yet */
#define PGW_CHARGE_PENDING "bank_pending"

/*
 * The operation that asks for the money. A submitted on_commit payment is past its commit: one
 * charge does it.
 */
extern PgwBankOp pgw_charge_operation(PgwCaptureMode capture, bool submitted);

/* Does that operation take the money, and not only hold it? */
extern bool pgw_charge_is_captured(PgwCaptureMode capture, bool submitted);

/* The outcome of a call that asked for the money, or of a look-up of it. */
extern void pgw_charge_result(const PgwChargeInput *in, PgwDecision *d);

/*
 * Does an attempt with this state and error_code wait for its undoing, as the card holder would
 * have to act and nobody lets him?
 */
extern bool pgw_charge_is_being_undone(PgwState state, const char *error_code);

/* Is it a charge that its bank has not decided yet, as it has said last? */
extern bool pgw_charge_is_pending(PgwKind kind, PgwState state, const char *error_code);

/* In doubt, the request goes out once more; why it is in doubt stays. */
extern void pgw_charge_replay(PgwDecision *d);

/* The worker that made the call is gone: it may have reached the bank. */
extern void pgw_charge_lost(PgwDecision *d);

/*
 * No bank that could take it may be called just now: the attempt is recorded as failed, and nothing
 * is sent.
 */
extern void pgw_charge_refused(PgwDecision *d);

/*
 * The request never left, or the bank did not process it: plan another try; switched: at another
 * bank.
 */
extern void pgw_charge_retry(const PgwDecision *failed, bool switched, PgwDecision *d);

/* BankUnknown: approved without an id, and nobody can name one: cancelled by our own reference. */
extern void pgw_charge_cancel(PgwDecision *d);

/*
 * Into manual review: there is no way (left) to find out the outcome, or the result cannot be
 * saved.
 */
extern void pgw_charge_review(PgwState from, const char *error_code, const char *reason,
							  PgwDecision *d);

/* What the payments row of an attempt in this state becomes; NONE: it stays as it is. */
extern PgwPaymentChange pgw_charge_payment_of_state(PgwState state, const char *error_code);

/* Failed, and a charge turns up late that is another payment's, or that the bank does not name. */
extern void pgw_charge_late_review(const char *error_code, const char *reason, PgwDecision *d);

/* A retry takes the attempt over from a caller that is gone. */
extern void pgw_charge_adopt(PgwState state, PgwDecision *d);

/* End a submitted attempt: its payments row now belongs to an earlier attempt. */
extern void pgw_charge_superseded(PgwDecision *d);

/* Add an event to a decision: from the state that it has reached. */
extern void pgw_decision_add_event(PgwDecision *d, PgwEventType type, PgwState to);

/* What the bank shows is not what was asked for: to be written down. */
extern void pgw_decision_note_difference(PgwDecision *d, int64_t asked, const char *currency,
										 const PgwAnswer *a);

/* Add events that stand together on the one edge from the present state. */
extern void pgw_decision_add_edge(PgwDecision *d, PgwState to, int n, const PgwEventType *types);

/* An approved attempt whose payments row is locked and names it: write the result. */
extern void pgw_charge_save(PgwCaptureMode capture, bool submitted, int64_t amount, PgwDecision *d);

/* A submitted attempt that was not sent before it expired. */
extern void pgw_charge_expired(PgwDecision *d);

#endif
