/*
 * flow.h - from a bank's answer to events, state, payment and what callers are told
 *
 * Pure decisions: nothing is read, written or sent here.  The worker (infra/calls.c, infra/vote.c) carries them out.
 */
#ifndef PGW_CORE_FLOW_H
#define PGW_CORE_FLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "core/connector.h"
#include "core/errors.h"
#include "core/state.h"
#include "core/validate.h"

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
	PGW_FLOW_PAY_FAILED
} PgwFlowPayment;

typedef struct PgwFlowInput
{
	PgwKind		kind;
	PgwState	state;			/* as the attempt's locked row says: Created or BankUnknown */
	PgwCaptureMode capture;
	bool		submitted;		/* the worker writes the payments row ... */
	bool		payment_locked; /* ... and holds its lock; if not, an approval stops at BankApproved */
	int64_t		amount;			/* what was asked for */
	const char *currency;
	PgwTransport transport;
	const PgwAnswer *answer;	/* with ANSWERED */
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
	bool		save_later;		/* approved, but the payments row was busy */
	const PgwErrorInfo *error;	/* class, code, status, retryable, message; NULL: none */
	const char *reason;			/* a word for event_data that tells the operator more than the code, or NULL */
} PgwFlowDecision;

/* The operation that asks for the money. A submitted on_commit payment is past its commit: one charge does it. */
extern PgwOp pgw_flow_operation(PgwCaptureMode capture, bool submitted);

/* The outcome of a call that asked for the money. */
extern void pgw_flow_result(const PgwFlowInput *in, PgwFlowDecision *d);

/* An approved attempt whose payments row is locked and votes for it: write the result. */
extern void pgw_flow_save(PgwCaptureMode capture, bool submitted, int64_t amount, PgwFlowDecision *d);

/* A submitted attempt that was not sent before it expired. */
extern void pgw_flow_expired(PgwFlowDecision *d);

/* The payments row of an attempt that is Failed with this error_code (may be NULL). */
extern PgwFlowPayment pgw_flow_failed_payment(const char *error_code);

#endif
