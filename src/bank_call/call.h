/*
 * call.h - what the files around a bank call share
 *
 *	queue/
 *		take_requests.c			what callers ask: intents, takeovers
 *		due_attempts.c			what is found in the tables, one attempt at a time
 *		send_calls.c			the call itself, over HTTP
 *		write_results.c			answers into the tables
 *	bank_call/
 *		bank_lanes.c			who waits for its bank, and each bank's share of the connections
 *		waiting_callers.c		callers of attempts in doubt
 *		echoed_card.c			what an answer repeats of its request
 *	attempt/
 *		unsent_charge.c			not sent yet: submitted, or to be tried again
 *		unknown_outcome.c		in doubt: look-up, replay, late success
 *		compensation.c			rolled back: void, refund
 *		capture_on_commit.c		saved, and to be captured now
 *		requested_operation.c	capture, void, refund on request
 *		watch_after_end.c		what has ended, and may change at the bank
 *		charge_id.c				whose a charge's id is
 */
#ifndef PGW_BANK_CALL_CALL_H
#define PGW_BANK_CALL_CALL_H

#include "access/xlogdefs.h"
#include "portability/instr_time.h"

#include "bank/bank_config.h"
#include "bank/call_permission.h"
#include "bank_call/bank_lanes.h"
#include "core/connector/connector.h"
#include "core/payment/charge_rules.h"
#include "core/payment/operation_rules.h"
#include "database/batch.h"
#include "exchange/exchange.h"
#include "outcome/record_decision.h"
#include "queue/queue.h"
#include "store/tables.h"

typedef struct PgwCallCard PgwCallCard; /* echoed_card.c */

/* One bank call, from the intent to its result's commit. At most one per attempt. */
typedef struct PgwCall
{
	PgwItem		item;			/* first; on one list at a time, none while HTTP runs */
	int			slot;			/* the caller's, or -1: nobody waits (any more) */
	bool		submitted;
	bool		listed;			/* in the index by transaction_id */
	PgwLanePlace place;			/* waits for its bank, or takes room there */
	bool		out;			/* handed to HTTP, not done */
	void	   *exchange;		/* with out: for pgw_http_disown() */
	uint64		config_reads;	/* a request: not before the configuration was read so often in this process */
	bool		awaited;		/* another try, for a caller on the waiters' list: not sent once there is none */
	bool		withdrawn;		/* nobody wanted it any more when it was to be sent */
	pg_uuid_t	transaction_id;
	char		reference[33];	/* 32 hex digits: our reference at the bank, and its idempotency key */
	char		original[33];	/* our reference of the charge that it is about; reference, when it is the charge */
	char		bank_reference[256];	/* the bank's id of that charge, as far as known */
	char		correlation[37];
	PgwBank    *bank;			/* held; NULL before admission */
	PgwOp		op;
	char		currency[4];
	int			iso_exponent;
	const char *after;			/* "capture" or "operation": a step after the charge; NULL: the charge's own, or its give-back */
	bool		in_doubt;		/* an earlier request of this attempt, or of this give-back, may have been taken */
	char		bank_name[64];	/* of the pass */
	bool		has_pass;		/* pass is to be reported */
	PgwBreakerPass pass;
	TimestampTz deadline;		/* of the caller's wait; 0: none, or nobody waits */
	char		switched_from[64];	/* a request that goes to another bank than was chosen for it; "" otherwise */
	bool		refused;		/* the bank is left alone just now: recorded as failed, nothing is sent */
	PgwRendered *rendered;		/* NULL once sent */
	PgwCallCard *card;			/* of the request, until its exchange is over; NULL: a token, or not known any more */
	char		card_last4[5];	/* of the charge that it is about; "": not known */
	XLogRecPtr	intent_end;		/* of the commit without which it must not be sent */
	PgwTransport transport;
	PgwAnswer	answer;
	bool		key_refused;	/* by the bank */
	long		http_status;	/* 0: none */
	bool		our_fault;		/* never sent for want of something of ours, a socket: not the bank's failure */
	int			failures;		/* result batches that failed; before its intent is recorded: errors on its way there */
	TimestampTz locked_since;	/* its intent could not be written because of a lock; 0: it could */
	bool		later;			/* set by apply: a row was busy */
	TimestampTz busy_since;		/* later, again and again */
	TimestampTz put_off_since;	/* of its attempt, until this call could be made; 0: it was not put off */
	bool		skipped;		/* set by apply: the caller is gone, nothing was written */
	bool		takeover;		/* set by apply: an earlier attempt answers; nothing is sent for this one */
	bool		wait;			/* set by apply: ... once its outcome is known */
	bool		alert;			/* set by apply: the attempt has failed, or needs a person */
	bool		differs;		/* set by apply: the bank shows more than pgw has asked for */
	bool		look;			/* set by apply: the attempt has a next step */
	bool		looked;			/* set by apply: ... which is to send */
	bool		untold;			/* set by apply: ... without what a look-up should have told */
	TimestampTz not_before;		/* of its result */
	PgwSlotAnswer reply;
	instr_time	began;			/* handed to HTTP */
	uint64		serial;			/* grows from call to call */
	dlist_node	all;			/* list of calls that are out */
} PgwCall;

/* In one flushed transaction, and at one turn: then answers and waiting callers have theirs. */
#define PGW_LOOKS_AT_ONCE 200

/* An attempt whose row is busy is looked at again after 1, 2 ... this many times 50 ms. */
#define PGW_BUSY_MAX 20

/* One look at an attempt: what is to be done is decided by its row alone. */
typedef struct PgwAttempt
{
	PgwItem		item;			/* first */
	pg_uuid_t	transaction_id;
	bool		notify;			/* the caller has committed: tell the listeners */
	bool		looked;			/* a look-up has just said: send */
	bool		untold;			/* a look-up has just been answered, but did not tell */
	int			busy;			/* times that a row was locked */
	TimestampTz busy_since;
	int			failures;		/* times that its transaction failed, in a row */
	TimestampTz not_before;

	PgwLanePlace place;			/* waits for its bank, or has been given room for one call there */
	bool		counted;		/* as looked at, or as waiting for room: see pgw_calls_looked() */

	/* set by apply */
	char		parked_for[64]; /* this bank has no room; "" otherwise */
	PgwLane		lane;			/* ... for it in this lane */
	uint32		merchant;
	bool		must_stay;		/* ... and nothing in the tables would bring it here again */
	bool		later;			/* a row was busy */
	bool		again;			/* the next step can follow at once */
	PgwState	status;			/* after the commit; PGW_STATE_NONE: not looked at */
	bool		alert;			/* it has failed, or needs a person, since this look */
	bool		blocked;		/* later: not for a row's sake, but an earlier attempt's, or because its bank cannot be read just now */
	bool		unwatched;		/* its watch is over, and the bank could not be asked in the end */
	char		correlation[37];	/* of the row, when it was locked */
	char		bank[NAMEDATALEN];
	pg_uuid_t	other;			/* another attempt to look at, or all zero */
	PgwCall    *call;			/* to be sent after the commit */
} PgwAttempt;

/* --- send_calls.c --- */
extern PgwCall *pgw_call_new(const pg_uuid_t *transaction_id, const pg_uuid_t *correlation_id, bool submitted);
extern bool pgw_call_under_way(const pg_uuid_t *transaction_id);	/* a call of this attempt exists, in whatever stage */
extern void pgw_call_free(PgwCall *call);	/* drops the bank, wipes */

/* In committed(): to be sent as soon as the transaction that has just committed is flushed. */
extern void pgw_call_ready(PgwCall *call);

/* Leave to call the bank, to be reported with the call's end. false: not before *when. */
extern bool pgw_call_allowed(PgwCall *call, const char *bank, bool retry, TimestampTz *when);

extern void pgw_call_unrender(PgwCall *call);	/* as before its rendering, and without a pass; needs no memory */
extern void pgw_call_return_pass(PgwCall *call);	/* it is not used; needs no memory */

extern const char *pgw_call_new_key(void);	/* 32 hex digits */

/* Hold the bank and render; false with *error_code (error_codes.h) and err: nothing held. Sets the references in *params that are NULL to the call's own. */
extern bool pgw_call_render(PgwCall *call, PgwBank *bank, PgwCallParams *params, const char **error_code, PgwConnectorError *err);
extern void pgw_calls_forget_in(dlist_head *items);

/* --- take_requests.c --- */
extern const PgwItemOps pgw_request_ops;	/* items of these ops, and of pgw_result_ops, are PgwCalls */
extern void pgw_requests_init(void);
extern void pgw_requests_collect(dlist_head *items);	/* those that need no room any more, or none at all */
extern void pgw_requests_admit(PgwItem *item, dlist_head *items);	/* its bank has room */
extern TimestampTz pgw_requests_next_due(void); /* 0: none */
extern void pgw_requests_forget(void);

/* --- adoption.c --- */

/*
 * Inside the transaction that would record this request: is there an earlier attempt under its id that answers instead?  Then it is taken over, or
 * call->reply says why not.  true: nothing of this request is recorded or sent.
 */
extern bool pgw_adopt_for_request(PgwCall *call, const PgwSlotRequest *r);

/* The same for a submitted attempt (locked) whose turn has come; a->later, a->other. */
extern bool pgw_adopt_for_submitted(PgwTransaction *t, PgwAttempt *a);

/* --- waiting_callers.c --- */
extern void pgw_waiters_init(void);
extern bool pgw_waiters_add(const pg_uuid_t *transaction_id, int slot, TimestampTz deadline);	/* false: out of memory */

/* Does somebody wait until then at least? */
extern bool pgw_waiters_until(const pg_uuid_t *transaction_id, TimestampTz when);

/* The attempt is in this state, committed. true: somebody who waits has been told. */
extern bool pgw_waiters_answer(const pg_uuid_t *transaction_id, PgwState status);
extern void pgw_waiters_sweep(void);	/* free the slots of those who left */
extern void pgw_waiters_forget(void);

/* --- write_results.c: calls whose exchange is over --- */
extern const PgwItemOps pgw_result_ops;
extern void pgw_results_init(void);
extern void pgw_call_result(PgwCall *call); /* transport and answer are set: write them */
extern void pgw_results_collect(TimestampTz now, dlist_head *awaited, dlist_head *others);
extern bool pgw_results_pending(void);
extern TimestampTz pgw_results_next_due(void);	/* 0: none */
extern void pgw_results_forget(void);

/* --- charge_id.c: the bank's id of a charge --- */

/* What the bank can do for a charge of this id (NULL: it is not known). */
extern void pgw_reference_capabilities(const PgwBank *bank, const char *bank_reference, PgwCapabilities *out);

/*
 * The answer to a charge, its replay or look-up: claims the id that it names, and fills in what pgw_flow_result() asks of ids.  false: busy, later.  In the
 * transaction that records the answer.
 */
extern bool pgw_reference_settle(PgwCall *call, PgwTransaction *t, PgwFlowInput *in);

/* BankUnknown: the bank has said yes, and not which charge. */
extern bool pgw_reference_is_missing(const PgwTransaction *t);

/* A look-up of what comes after the charge: one that shows another payment's charge becomes an answer that was not understood. */
extern void pgw_reference_check_subject(PgwCall *call, const PgwTransaction *t);

/* --- echoed_card.c: what an answer repeats of its request --- */
extern void pgw_echo_keep(PgwCall *call, const PgwSlotRequest *r);	/* with the rendering */
extern void pgw_echo_forget(PgwCall *call); /* wipes */
extern void pgw_echo_sought(const PgwCall *call, PgwSought *sought);	/* points into call and its bank */
extern void pgw_echo_tell(const PgwCall *call);	/* something was left out: an alert */

/* --- due_attempts.c --- */
extern void pgw_attempts_init(void);
extern void pgw_attempts_collect(dlist_head *items, int *looks);	/* those that nobody has looked at; so many looks are left in this turn */
extern void pgw_attempts_admit(PgwItem *item, dlist_head *items);	/* its bank has room */
extern void pgw_attempts_none_admitted(void);	/* who waits now waits for room */
extern void pgw_attempts_look(const pg_uuid_t *transaction_id, bool looked, bool untold);

/* No step, so no event: only when to look again (0: never). */
extern void pgw_attempts_put_off(PgwTransaction *t, TimestampTz when);

/* --- put_off.c: the next request cannot be made now --- */

/* Look again then; or, if that has been so for too long, the end: Failed where nothing was ever taken, else review. why: an error_code. */
extern void pgw_put_off(PgwTransaction *t, PgwAttempt *a, const char *why, TimestampTz when);

/* The same for what is looked at again without a time (a->later). true: it has ended. */
extern bool pgw_put_off_blocked(PgwTransaction *t, PgwAttempt *a, const char *why);

/* The request was made, and nothing was done for it: as if it could not have been made. And the end of that, before the next one. */
extern void pgw_put_off_goes_on(const PgwCall *call, PgwTransaction *t, const char *why);
extern bool pgw_put_off_ended(PgwTransaction *t, PgwAttempt *a);
extern void pgw_put_off_over(PgwTransaction *t);	/* a request is made, or an answer has come; the row is the caller's to write */
extern void pgw_put_off_tell(const PgwAttempt *a);	/* after the commit: unwatched */

/*
 * The attempt's bank, for a call of it: may_charge: as it is now, for an intent that is to be written; else the version that its intent names.
 * NULL: a->parked_for is set, or the attempt is put off with a WARNING, because the bank is not there, not enabled (may_charge only) or not usable.
 */
extern PgwBank *pgw_attempts_bank(PgwTransaction *t, PgwAttempt *a, bool may_charge);

/* a->call := this operation, rendered; false: put off with a WARNING. params: what the operation needs besides the references. */
extern bool pgw_attempts_call(PgwTransaction *t, PgwAttempt *a, PgwBank *bank, PgwOp op, const char *reference, PgwCallParams *params);

/* What an alert says of the attempt, kept until the commit; and the alert: it has failed, or needs a person. */
extern void pgw_calls_note(const PgwTransaction *t, char *correlation, char *bank);
extern void pgw_calls_alert(const pg_uuid_t *transaction_id, PgwState status, const char *correlation, const char *bank);

/* What is to be written for it has failed this many times in a row, or more. */
#define PGW_FAILING_ALERT 5
/* A row that is to be written has been locked since then: people are told when that is long. */
extern void pgw_calls_alert_busy(TimestampTz *since, const pg_uuid_t *transaction_id, const char *correlation, const char *bank);
extern void pgw_calls_alert_differs(const pg_uuid_t *transaction_id, const PgwAnswer *shown, const char *correlation, const char *bank);
extern void pgw_calls_alert_failing(const pg_uuid_t *transaction_id, const char *correlation, const char *bank);

/* --- unsent_charge.c --- */
extern void pgw_charges_submitted(PgwTransaction *t, PgwAttempt *a);	/* Created, not taken */
extern void pgw_charges_again(PgwTransaction *t, PgwAttempt *a);	/* Created, taken, and a retry is planned */
extern void pgw_charges_give_up(PgwTransaction *t, PgwAttempt *a, const char *reason);	/* Created: no bank has taken it */

/* A charge that provably never left, or that the bank says it did nothing for: plan another try, here or at the next bank. false: none, it has failed. */
extern bool pgw_charges_plan_retry(PgwCall *call, PgwTransaction *t, PgwFlowDecision *d);

/* --- unknown_outcome.c --- */
extern void pgw_resolve_lost(PgwTransaction *t, PgwAttempt *a);	/* Created, taken, and no call of it is under way */
extern void pgw_resolve_ask_again(PgwTransaction *t, TimestampTz since);	/* the deadline begins again where nobody was there to ask */
extern void pgw_resolve_work(PgwTransaction *t, PgwAttempt *a);	/* BankUnknown */
extern void pgw_resolve_failed(PgwTransaction *t, PgwAttempt *a);	/* Failed, and looked up again in case the charge turns up */
extern void pgw_resolve_result(PgwCall *call, PgwTransaction *t);	/* a charge, its replay or look-up: Created, BankUnknown */
extern void pgw_resolve_late_result(PgwCall *call, PgwTransaction *t);	/* Failed */

/* --- compensation.c --- */
extern void pgw_compensate_rolled_back(PgwTransaction *t, PgwAttempt *a);	/* BankApproved, and no row votes for it */
extern void pgw_compensate_work(PgwTransaction *t, PgwAttempt *a);	/* Refunding */
extern void pgw_compensate_result(PgwCall *call, PgwTransaction *t);	/* Refunding */

/* --- requested_operation.c: capture, void, refund --- */
extern void pgw_operations_work(PgwTransaction *t, PgwAttempt *a);
extern void pgw_operations_give_up(PgwTransaction *t, PgwAttempt *a, const char *reason);	/* Created: nothing was done */
extern void pgw_operations_result(PgwCall *call, PgwTransaction *t);

/* What the capture after the commit shares with them. */
extern const char *pgw_operation_refusal(const PgwTransaction *t);	/* NULL: the outcome is not known for another reason */
extern bool pgw_operation_answered(const PgwTransaction *t);	/* the last request was answered with nothing of use */
/* What a look-up did not tell, would the same request under the same key?  Then it is sent at once. */
extern bool pgw_operation_key_tells(const PgwCall *call, const PgwTransaction *t, const PgwOperationDecision *r, TimestampTz key_used_at);
extern TimestampTz pgw_operation_next_look(const PgwCall *call, const PgwTransaction *t);
extern bool pgw_operation_call(PgwTransaction *t, PgwAttempt *a, PgwBank *bank, PgwOp op, const char *reference, const PgwPayment *p);
extern void pgw_operation_facts(PgwTransaction *t, const PgwAttempt *a, PgwOp operation, TimestampTz key_used_at, PgwOperationFacts *facts);
extern void pgw_operation_input(const PgwCall *call, const PgwTransaction *t, const PgwPayment *p, PgwOp operation, PgwOperationInput *in);

/* The event with the charge's attempt; its payments row is locked and the caller's to write. false: busy. */
extern bool pgw_operation_note_expiry(const PgwPayment *p);

/* --- capture_on_commit.c: after the commit of an on_commit payment --- */
extern void pgw_capture_work(PgwTransaction *t, PgwAttempt *a); /* Saved */
extern void pgw_capture_result(PgwCall *call, PgwTransaction *t);

/* --- watch_after_end.c: after the end --- */
extern void pgw_watch_refund_begin(PgwTransaction *t, const PgwCapabilities *caps); /* NULL: not known yet; the row is the caller's to write */
extern void pgw_watch_refund(PgwTransaction *t, PgwAttempt *a); /* a refund that is Completed, or a payment Refunded by one */
extern void pgw_watch_refund_result(PgwCall *call, PgwTransaction *t);
extern void pgw_watch_authorization(PgwTransaction *t, PgwAttempt *a);	/* a payment that is Completed */
extern void pgw_watch_authorization_give_up(PgwTransaction *t, PgwAttempt *a);	/* the bank cannot be asked */
extern void pgw_watch_authorization_result(PgwCall *call, PgwTransaction *t);

/* Choose how to give back, with a new key; the row is the caller's to write. false: the bank offers no way. */
extern bool pgw_compensate_prepare(PgwTransaction *t, const PgwCapabilities *caps, bool amount_in_doubt, const PgwAnswer *shown);

#endif
