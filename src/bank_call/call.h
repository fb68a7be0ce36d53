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
	PgwBatchItem item; /* first; on one list at a time, none while HTTP runs */
	int slot;          /* the caller's, or -1: nobody waits (any more) */
	bool submitted;
	bool indexed;       /* in the index by transaction_id */
	PgwLanePlace place; /* waits for its bank, or takes room there */
	bool in_transfer;   /* handed to HTTP, not done */
	void *transfer;     /* while in transfer: for pgw_http_disown() */
	/* a request: not served before this process has read the configuration that many times */
	uint64 config_reads;
	/* a further try for a caller on the waiters' list: not sent if nobody waits any more */
	bool awaited;
	bool withdrawn; /* nobody wanted it any more when it was to be sent */
	pg_uuid_t transaction_id;
	/* 32 hex digits: our reference at the bank, and its idempotency key */
	char reference[33];
	/* our reference of the charge that it is about; reference, when it is the charge */
	char original[33];
	char bank_reference[256]; /* the bank's id of that charge, as far as known */
	char correlation[37];
	PgwBank *bank; /* held; NULL before admission */
	PgwBankOp op;
	char currency[4];
	int iso_exponent;
	/*
	 * "capture" or "operation": a step after the charge; NULL: the charge's own, or its give-back
	 */
	const char *after;
	/* an earlier request of this attempt, or of this give-back, may have been taken */
	bool in_doubt;
	char bank_name[64]; /* of the permit */
	bool has_permit;    /* permit is to be reported */
	PgwBreakerPermit permit;
	TimestampTz deadline; /* of the caller's wait; 0: none, or nobody waits */
	/* a request that goes to another bank than was chosen for it; "" otherwise */
	char switched_from[64];
	/* the bank is left alone just now: recorded as failed, nothing is sent */
	bool refused;
	PgwRendered *rendered; /* NULL once sent */
	/* of the request, until its transfer is over; NULL: a token, or not known any more */
	PgwCallCard *card;
	char card_last4[5];    /* of the charge that it is about; "": not known */
	XLogRecPtr intent_end; /* of the commit without which it must not be sent */
	PgwTransport transport;
	PgwAnswer answer;
	bool credentials_rejected; /* by the bank */
	long http_status;          /* 0: none */
	/* never sent for want of something of ours, a socket: not the bank's failure */
	bool our_fault;
	/* result batches that failed; before its intent is recorded: errors on its way there */
	int failures;
	/* its intent could not be written because of a lock; 0: it could */
	TimestampTz locked_since;
	bool row_was_busy;      /* set by apply: a row was busy */
	TimestampTz busy_since; /* row_was_busy, again and again */
	/* of its attempt, until this call could be made; 0: it was not put off */
	TimestampTz put_off_since;
	bool skipped; /* set by apply: the caller is gone, and nothing was written */
	/* set by apply: an earlier attempt answers; nothing is sent for this one */
	bool takeover;
	/* set by apply: ... as soon as its outcome is known */
	bool wait_for_outcome;
	bool alert;   /* set by apply: the attempt has failed, or needs a person */
	bool differs; /* set by apply: the bank shows more than pgw has asked for */
	/* set by apply: visit the attempt again after the commit */
	bool has_next_step;
	/* set by apply: ... and a look-up has just allowed sending */
	bool resend_allowed;
	/* set by apply: ... and a look-up did not say what became of the request */
	bool lookup_inconclusive;
	TimestampTz not_before; /* of its result */
	PgwSlotAnswer reply;
	instr_time began; /* handed to HTTP */
	uint64 serial;    /* grows from call to call */
	dlist_node all;   /* list of calls that are out */
} PgwCall;

/* In one flushed transaction, and at one turn: then answers and waiting callers have theirs. */
#define PGW_LOOKS_AT_ONCE 200

/* An attempt whose row is busy is looked at again after 1, 2 ... this many times 50 ms. */
#define PGW_BUSY_MAX 20

/*
 * An entry of the worker's queue: an attempt to visit. What is to be done with it is decided by its
 * row alone.
 */
typedef struct PgwWorkItem
{
	PgwBatchItem item; /* first */
	pg_uuid_t transaction_id;
	bool notify;         /* the caller has committed: tell the listeners */
	bool resend_allowed; /* a look-up has just allowed sending */
	/* a look-up has just been answered, but did not say what became of the request */
	bool lookup_inconclusive;
	int times_busy; /* times in a row that a row was locked */
	TimestampTz busy_since;
	int failures; /* times that its transaction failed, in a row */
	TimestampTz not_before;

	/* waits for its bank, or has been given room for one call there */
	PgwLanePlace place;
	/* as looked at, or as waiting for room: see pgw_due_dequeued() */
	bool counted;

	/* set by apply */
	char parked_for[64]; /* this bank has no room; "" otherwise */
	PgwLane lane;        /* ... for it in this lane */
	uint32 merchant;
	bool must_stay;     /* ... and nothing in the tables would bring it here again */
	bool try_later;     /* a row was busy */
	bool next_step_now; /* the next step can follow at once */
	PgwState status;    /* after the commit; PGW_STATE_NONE: not looked at */
	bool alert;         /* it has failed, or needs a person, since this look */
	/*
	 * try_later: not because a row is locked, but because of an earlier attempt, or because its
	 * bank cannot be read just now
	 */
	bool blocked;
	/* its watch is over, and the bank could not be asked in the end */
	bool unwatched;
	char correlation[37]; /* of the row, when it was locked */
	char bank[NAMEDATALEN];
	pg_uuid_t other_attempt; /* another attempt to look at, or all zero */
	PgwCall *call;           /* to be sent after the commit */
} PgwWorkItem;

/* --- send_calls.c --- */
extern PgwCall *pgw_call_new(const pg_uuid_t *transaction_id, const pg_uuid_t *correlation_id,
							 bool submitted);
/* a call of this attempt exists, in whatever stage */
extern bool pgw_call_under_way(const pg_uuid_t *transaction_id);
extern void pgw_call_free(PgwCall *call); /* drops the bank, wipes */

/*
 * Call it in committed(): the call is sent as soon as the transaction that has just committed is
 * flushed.
 */
extern void pgw_call_ready(PgwCall *call);

/*
 * Ask for permission to call the bank; it is reported with the call's end. Returns false and sets
 * *when, the earliest time to ask again, if the call is not allowed now.
 */
extern bool pgw_call_allowed(PgwCall *call, const char *bank, bool retry, TimestampTz *when);

/* back to the state before its rendering, without a permit; allocates nothing */
extern void pgw_call_unrender(PgwCall *call);
/* give back an unused permit; allocates nothing */
extern void pgw_call_return_permit(PgwCall *call);

extern const char *pgw_call_new_key(void); /* 32 hex digits */

/*
 * Hold the bank and render; false with *error_code (error_codes.h) and err: nothing held. Sets the
 * references in *params that are NULL to the call's own.
 */
extern bool pgw_call_render(PgwCall *call, PgwBank *bank, PgwCallParams *params,
							const char **error_code, PgwConnectorError *err);
extern void pgw_calls_forget_in(dlist_head *items);

/* --- take_requests.c --- */
/* items of these ops, and of pgw_result_ops, are PgwCalls */
extern const PgwBatchItemOps pgw_request_ops;
extern void pgw_requests_init(void);
/* those that need no room any more, or never did */
extern void pgw_requests_collect(dlist_head *items);
extern void pgw_requests_admit(PgwBatchItem *item, dlist_head *items); /* its bank has room */
extern TimestampTz pgw_requests_next_due(void);                        /* 0: none */
extern void pgw_requests_forget(void);

/* --- adoption.c --- */

/*
 * Inside the transaction that would record this request: is there an earlier attempt under its id
 * that answers instead?  Then it is taken over, or call->reply says why not.  true: nothing of this
 * request is recorded or sent.
 */
extern bool pgw_adopt_for_request(PgwCall *call, const PgwSlotRequest *r);

/*
 * The same for a submitted attempt (locked) whose turn has come; workitem->try_later,
 * workitem->other_attempt.
 */
extern bool pgw_adopt_for_submitted(PgwAttempt *attempt, PgwWorkItem *workitem);

/* --- waiting_callers.c --- */
extern void pgw_waiters_init(void);
/* false: out of memory */
extern bool pgw_waiters_add(const pg_uuid_t *transaction_id, int slot, TimestampTz deadline);

/* Does somebody wait until then at least? */
extern bool pgw_waiters_until(const pg_uuid_t *transaction_id, TimestampTz when);

/*
 * Answer those who wait for this attempt, which is in this committed state. Returns true if
 * somebody was answered.
 */
extern bool pgw_waiters_answer(const pg_uuid_t *transaction_id, PgwState status);
extern void pgw_waiters_sweep(void); /* free the slots of those who left */
extern void pgw_waiters_forget(void);

/* --- write_results.c: calls whose transfer is over --- */
extern const PgwBatchItemOps pgw_result_ops;
extern void pgw_results_init(void);
/* its transport and answer are set: write the result */
extern void pgw_results_add(PgwCall *call);
extern void pgw_results_collect(TimestampTz now, dlist_head *awaited, dlist_head *others);
extern bool pgw_results_pending(void);
extern TimestampTz pgw_results_next_due(void); /* 0: none */
extern void pgw_results_forget(void);

/* --- charge_id.c: the bank's id of a charge --- */

/* What the bank can do for a charge of this id (NULL: it is not known). */
extern void pgw_charge_id_capabilities(const PgwBank *bank, const char *bank_reference,
									   PgwCapabilities *out);

/*
 * The answer to a charge, its replay or look-up: claims the id that it names, and fills in what
 * pgw_charge_result() asks of ids.  false: busy, later.  In the transaction that records the
 * answer.
 */
extern bool pgw_charge_id_claim(PgwCall *call, PgwAttempt *attempt, PgwChargeInput *in);

/* BankUnknown: the bank has said yes, and not which charge. */
extern bool pgw_charge_id_is_missing(const PgwAttempt *attempt);

/*
 * A look-up of what comes after the charge: one that shows another payment's charge becomes an
 * answer that was not understood.
 */
extern void pgw_charge_id_check_subject(PgwCall *call, const PgwAttempt *attempt);

/* --- echoed_card.c: what an answer repeats of its request --- */
extern void pgw_echo_keep(PgwCall *call, const PgwSlotRequest *r); /* with the rendering */
extern void pgw_echo_forget(PgwCall *call);                        /* wipes */
/* points into call and its bank */
extern void pgw_echo_sought(const PgwCall *call, PgwSought *sought);
extern void pgw_echo_tell(const PgwCall *call); /* something was left out: an alert */

/* --- due_attempts.c --- */
extern void pgw_due_init(void);
/* items that were not visited yet; *looks: how many more may be visited in this turn */
extern void pgw_due_collect(dlist_head *items, int *looks);
extern void pgw_due_admit(PgwBatchItem *item, dlist_head *items); /* its bank has room */
extern void pgw_due_none_admitted(void); /* whatever still waits in a lane waits for room */
extern void pgw_due_add_step(const pg_uuid_t *transaction_id, bool resend_allowed,
							 bool lookup_inconclusive);

/* Set only the time of the next visit (0: never). This is no step, so it writes no event. */
extern void pgw_step_reschedule(PgwAttempt *attempt, TimestampTz when);

/* --- put_off.c: the next request cannot be made now --- */

/*
 * Visit the attempt again then. If its request has been impossible for too long, end it instead:
 * Failed where the bank never took anything, else manual review. why: an error_code.
 */
extern void pgw_put_off(PgwAttempt *attempt, PgwWorkItem *workitem, const char *why,
						TimestampTz when);

/*
 * The same where the next visit has no time of its own (workitem->try_later). Returns true if the
 * attempt has ended.
 */
extern bool pgw_put_off_blocked(PgwAttempt *attempt, PgwWorkItem *workitem, const char *why);

/*
 * The request was made, and the bank did nothing for it: treat the attempt as if the request could
 * not have been made. pgw_put_off_ended(): has that lasted too long? It is asked before the next
 * request.
 */
extern void pgw_put_off_goes_on(const PgwCall *call, PgwAttempt *attempt, const char *why);
extern bool pgw_put_off_ended(PgwAttempt *attempt, PgwWorkItem *workitem);
/* a request is made, or an answer has come; the row is the caller's to write */
extern void pgw_put_off_over(PgwAttempt *attempt);
extern void pgw_put_off_tell(const PgwWorkItem *workitem); /* after the commit: unwatched */

/*
 * The attempt's bank, for a call of it: may_charge: as it is now, for an intent that is to be
 * written; else the version that its intent names. NULL: workitem->parked_for is set, or the
 * attempt is put off with a WARNING, because the bank is not there, not enabled (may_charge only)
 * or not usable.
 */
extern PgwBank *pgw_step_bank(PgwAttempt *attempt, PgwWorkItem *workitem, bool may_charge);

/*
 * workitem->call := this operation, rendered; false: put off with a WARNING. params: what the
 * operation needs besides the references.
 */
extern bool pgw_step_call(PgwAttempt *attempt, PgwWorkItem *workitem, PgwBank *bank, PgwBankOp op,
						  const char *reference, PgwCallParams *params);

/*
 * What an alert says of the attempt, kept until the commit; and the alert: it has failed, or needs
 * a person.
 */
extern void pgw_attempt_alert_note(const PgwAttempt *attempt, char *correlation, char *bank);
extern void pgw_attempt_alert(const pg_uuid_t *transaction_id, PgwState status,
							  const char *correlation, const char *bank);

/* What is to be written for it has failed this many times in a row, or more. */
#define PGW_FAILING_ALERT 5
/* A row that is to be written has been locked since then: people are told when that is long. */
extern void pgw_attempt_alert_busy(TimestampTz *since, const pg_uuid_t *transaction_id,
								   const char *correlation, const char *bank);
extern void pgw_attempt_alert_differs(const pg_uuid_t *transaction_id, const PgwAnswer *shown,
									  const char *correlation, const char *bank);
extern void pgw_attempt_alert_failing(const pg_uuid_t *transaction_id, const char *correlation,
									  const char *bank);

/* --- unsent_charge.c --- */
/* Created, not yet taken by the worker */
extern void pgw_step_charge_submitted(PgwAttempt *attempt, PgwWorkItem *workitem);
/* Created, taken, and a retry is planned */
extern void pgw_step_charge_retry(PgwAttempt *attempt, PgwWorkItem *workitem);
/* Created: no bank has taken it */
extern void pgw_step_charge_give_up(PgwAttempt *attempt, PgwWorkItem *workitem, const char *reason);

/*
 * A charge that provably never left, or that the bank says it did nothing for: plan another try,
 * here or at the next bank. false: none, it has failed.
 */
extern bool pgw_step_charge_plan_retry(PgwCall *call, PgwAttempt *attempt, PgwDecision *d);

/* --- unknown_outcome.c --- */
/* Created, taken, and no call of it is under way */
extern void pgw_step_charge_lost(PgwAttempt *attempt, PgwWorkItem *workitem);
/* the deadline begins again where nobody was there to ask */
extern void pgw_step_extend_deadline(PgwAttempt *attempt, TimestampTz since);
/* BankUnknown */
extern void pgw_step_unknown_outcome(PgwAttempt *attempt, PgwWorkItem *workitem);
/* Failed, and looked up again in case the charge turns up */
extern void pgw_step_charge_failed(PgwAttempt *attempt, PgwWorkItem *workitem);
/* a charge, its replay or look-up: Created, BankUnknown */
extern void pgw_answer_charge(PgwCall *call, PgwAttempt *attempt);
extern void pgw_answer_late_charge(PgwCall *call, PgwAttempt *attempt); /* Failed */

/* --- compensation.c --- */
/* BankApproved, and no payments row names it */
extern void pgw_step_rolled_back(PgwAttempt *attempt, PgwWorkItem *workitem);
extern void pgw_step_compensation(PgwAttempt *attempt, PgwWorkItem *workitem); /* Refunding */
extern void pgw_answer_compensation(PgwCall *call, PgwAttempt *attempt);       /* Refunding */

/* --- requested_operation.c: capture, void, refund --- */
extern void pgw_step_operation(PgwAttempt *attempt, PgwWorkItem *workitem);
/* Created: nothing was done */
extern void pgw_step_operation_give_up(PgwAttempt *attempt, PgwWorkItem *workitem,
									   const char *reason);
extern void pgw_answer_operation(PgwCall *call, PgwAttempt *attempt);

/* What the capture after the commit shares with them. */
/* NULL: the outcome is not known for another reason */
extern const char *pgw_step_operation_refusal(const PgwAttempt *attempt);
/* the last request was answered with nothing of use */
extern bool pgw_step_operation_answered(const PgwAttempt *attempt);
/*
 * A look-up did not say what became of the operation: would the same request under the same key say
 * it? Then it is sent at once.
 */
extern bool pgw_step_operation_key_tells(const PgwCall *call, const PgwAttempt *attempt,
										 const PgwOperationDecision *r, TimestampTz key_used_at);
extern TimestampTz pgw_step_operation_next_look(const PgwCall *call, const PgwAttempt *attempt);
extern bool pgw_step_operation_call(PgwAttempt *attempt, PgwWorkItem *workitem, PgwBank *bank,
									PgwBankOp op, const char *reference, const PgwPayment *p);
extern void pgw_step_operation_facts(PgwAttempt *attempt, const PgwWorkItem *workitem,
									 PgwBankOp operation, TimestampTz key_used_at,
									 PgwOperationFacts *facts);
extern void pgw_step_operation_input(const PgwCall *call, const PgwAttempt *attempt,
									 const PgwPayment *p, PgwBankOp operation,
									 PgwOperationInput *in);

/*
 * The event with the charge's attempt; its payments row is locked and the caller's to write. false:
 * busy.
 */
extern bool pgw_step_operation_note_expiry(const PgwPayment *p);

/* --- capture_on_commit.c: after the commit of an on_commit payment --- */
extern void pgw_step_capture(PgwAttempt *attempt, PgwWorkItem *workitem); /* Saved */
extern void pgw_answer_capture(PgwCall *call, PgwAttempt *attempt);

/* --- watch_after_end.c: after the end --- */
/* NULL: not known yet; the row is the caller's to write */
extern void pgw_step_watch_refund_begin(PgwAttempt *attempt, const PgwCapabilities *caps);
/* a refund that is Completed, or a payment Refunded by one */
extern void pgw_step_watch_refund(PgwAttempt *attempt, PgwWorkItem *workitem);
extern void pgw_answer_watched_refund(PgwCall *call, PgwAttempt *attempt);
/* a payment that is Completed */
extern void pgw_step_watch_authorization(PgwAttempt *attempt, PgwWorkItem *workitem);
/* the bank cannot be asked */
extern void pgw_step_watch_authorization_give_up(PgwAttempt *attempt, PgwWorkItem *workitem);
extern void pgw_answer_watched_authorization(PgwCall *call, PgwAttempt *attempt);

/*
 * Choose how to give back, with a new key; the row is the caller's to write. false: the bank offers
 * no way.
 */
extern bool pgw_step_compensation_prepare(PgwAttempt *attempt, const PgwCapabilities *caps,
										  bool amount_in_doubt, const PgwAnswer *shown);

#endif
