/*
 * charge_rules.h - from a bank's answer to events, state, payment and what callers are told
 *
 * Pure decisions: nothing is read, written or sent here.  The worker (queue/send_calls.c, outcome/record_decision.c) carries them out.
 */
#ifndef PGW_CORE_PAYMENT_CHARGE_RULES_H
#define PGW_CORE_PAYMENT_CHARGE_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/error_codes.h"
#include "core/connector/connector.h"
#include "core/request/validate.h"
#include "core/state/state_machine.h"

typedef enum PgwTransport
{
	PGW_TRANSPORT_ANSWERED = 0, /* *answer holds what the bank said */
	PGW_TRANSPORT_NEVER_SENT,	/* provably not one byte left */
	PGW_TRANSPORT_MAYBE_SENT	/* anything else */
} PgwTransport;

/* What the payments row becomes, where the worker is the one to write it. */
typedef enum PgwFlowPayment
{
	PGW_FLOW_PAY_NONE = 0,		/* stays as it is */
	PGW_FLOW_PAY_AUTHORIZED,
	PGW_FLOW_PAY_CAPTURED,
	PGW_FLOW_PAY_DECLINED,
	PGW_FLOW_PAY_FAILED,
	PGW_FLOW_PAY_IN_REVIEW
} PgwFlowPayment;

typedef struct PgwFlowInput
{
	PgwKind		kind;
	PgwState	state;			/* as the attempt's locked row says: Created or BankUnknown */
	PgwOp		op;				/* what the bank was asked: the charge or authorization itself, or its look-up */
	bool		in_doubt;		/* an earlier request of this attempt may have charged; what this one was told proves nothing of that */
	bool		not_found_counts;	/* look-up: the bank would know the charge by now if there were one */
	PgwCaptureMode capture;
	bool		submitted;		/* the worker writes the payments row ... */
	bool		payment_locked; /* ... and holds its lock; if not, an approval stops at BankApproved */
	int64_t		amount;			/* what was asked for */
	const char *currency;
	PgwTransport transport;
	const PgwAnswer *answer;	/* with ANSWERED */
	bool		foreign;		/* the charge that the answer names is another attempt's: see pgw_flow_claim() */
	bool		lacks_reference;	/* neither this answer nor an earlier one names an id, and what may follow needs one */
	bool		approved_before;	/* the bank has said yes already, without one */
	bool		can_lookup;		/* by our reference, for a charge whose id at the bank is not known */
	bool		can_cancel;
} PgwFlowInput;

typedef struct PgwFlowEvent
{
	PgwEventType type;
	PgwState	from;
	PgwState	to;
} PgwFlowEvent;

#define PGW_FLOW_MAX_EVENTS 6

typedef struct PgwFlowDecision
{
	int			nevents;
	PgwFlowEvent events[PGW_FLOW_MAX_EVENTS];
	PgwState	state;			/* after the last event */
	PgwFlowPayment payment;
	int64_t		authorized_amount;	/* with AUTHORIZED and CAPTURED */
	int64_t		captured_amount;
	int64_t		reserved_amount;	/* for the capture that follows the commit */
	bool		save_later;		/* approved, but the payments row was busy */
	bool		not_found;		/* Failed, because the bank does not know it: to be looked up again, in case it turns up late */
	const PgwErrorInfo *error;	/* class, code, status, retryable, message; NULL: none */
	bool		keep_error;		/* error is NULL, and what the attempt's row says of errors stays */
	const char *reason;			/* a word for event_data that tells the operator more than the code, or NULL */
	const char *from_bank;		/* with BankSwitched: the bank that it was at */
	bool		foreign;		/* the answer is another charge's: nothing of it is kept with the attempt */
	const PgwAnswer *shown;		/* the bank's amounts are not what was asked for: event_data has both; NULL: nothing to tell */
	int64_t		asked_amount;	/* with it */
	const char *asked_currency;
} PgwFlowDecision;

/* What the id that an answer gives to the charge is worth. */
typedef enum PgwFlowClaim
{
	PGW_FLOW_CLAIM_NOTHING = 0, /* none, or of something that says nothing of a charge */
	PGW_FLOW_CLAIM_LOOK,		/* no charge stands, but the answer must not be about another one's */
	PGW_FLOW_CLAIM_TAKE			/* from now on it is this attempt's, or another one has it */
} PgwFlowClaim;

/* op: the charge or authorization itself, or its look-up. */
extern PgwFlowClaim pgw_flow_claim(PgwOp op, PgwTransport transport, const PgwAnswer *answer);

/* error_code of an attempt that the bank has approved without an id that what follows needs. */
#define PGW_FLOW_INCOMPLETE "approval_incomplete"

/* The operation that asks for the money. A submitted on_commit payment is past its commit: one charge does it. */
extern PgwOp pgw_flow_operation(PgwCaptureMode capture, bool submitted);

/* The outcome of a call that asked for the money, or of a look-up of it. */
extern void pgw_flow_result(const PgwFlowInput *in, PgwFlowDecision *d);

/* The worker that made the call is gone: it may have reached the bank. */
extern void pgw_flow_lost(PgwFlowDecision *d);

/* No bank that could take it is called just now: recorded, never sent. */
extern void pgw_flow_refused(PgwFlowDecision *d);

/* Never left, or not processed: another try is planned; switched: at another bank. */
extern void pgw_flow_retry(const PgwFlowDecision *failed, bool switched, PgwFlowDecision *d);

/* BankUnknown: approved without an id, and nobody can name one: cancelled by our own reference. */
extern void pgw_flow_cancel(PgwFlowDecision *d);

/* No way (left) to find out, or impossible to save. */
extern void pgw_flow_review(PgwState from, const char *error_code, const char *reason, PgwFlowDecision *d);

/* The same for the payments row of an attempt in any other state; NONE: it stays as it is. */
extern PgwFlowPayment pgw_flow_settled_payment(PgwState state, const char *error_code);

/* Failed, and a charge turns up late that is another payment's, or that the bank does not name. */
extern void pgw_flow_late_review(const char *error_code, const char *reason, PgwFlowDecision *d);

/* A retry takes the attempt over from a caller that is gone. */
extern void pgw_flow_adopt(PgwState state, PgwFlowDecision *d);

/* The submitted attempt whose payments row votes for an earlier attempt now. */
extern void pgw_flow_superseded(PgwFlowDecision *d);

/* Add an event to a decision: from the state that it has reached. */
extern void pgw_flow_event(PgwFlowDecision *d, PgwEventType type, PgwState to);

/* What the bank shows is not what was asked for: to be written down. */
extern void pgw_flow_differs(PgwFlowDecision *d, int64_t asked, const char *currency, const PgwAnswer *a);

/* Add events that stand together on the one edge from the present state. */
extern void pgw_flow_edge(PgwFlowDecision *d, PgwState to, int n, const PgwEventType *types);

/* An approved attempt whose payments row is locked and votes for it: write the result. */
extern void pgw_flow_save(PgwCaptureMode capture, bool submitted, int64_t amount, PgwFlowDecision *d);

/* A submitted attempt that was not sent before it expired. */
extern void pgw_flow_expired(PgwFlowDecision *d);

/* The payments row of an attempt that is Failed with this error_code (may be NULL). */
extern PgwFlowPayment pgw_flow_failed_payment(const char *error_code);

#endif
