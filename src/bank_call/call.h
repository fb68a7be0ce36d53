/*
 * call.h - one call of a bank, from the intent to its result's commit
 */
#ifndef PGW_BANK_CALL_CALL_H
#define PGW_BANK_CALL_CALL_H

#include "postgres.h"
#include "access/xlogdefs.h"
#include "datatype/timestamp.h"
#include "lib/ilist.h"
#include "portability/instr_time.h"
#include "utils/uuid.h"

#include "bank/bank_config.h"
#include "bank/call_permission.h"
#include "bank_call/bank_lanes.h"
#include "core/bank_message/list_pages.h"
#include "core/bank_message/judge_answer.h"
#include "core/bank_message/render_request.h"
#include "core/request/trace_context.h"
#include "database/batch.h"
#include "exchange/slots.h"
#include "store/tables.h"

typedef struct PgwCallCard PgwCallCard; /* echoed_card.c */

/* One bank call, from the intent to its result's commit. At most one per attempt. */
typedef struct PgwCall
{
	PgwBatchItem item; /* first; on one list at a time, none while HTTP runs */
	int slot;          /* the caller's, or -1: nobody waits (any more) */
	uint64 trial;      /* of pgw.try_bank(): nothing is recorded of it; 0: none */
	/* the notification that the bank is asked for, of queue/ask_banks.c; NULL: another call */
	struct PgwAsk *ask;
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
	pg_uuid_t payment_id; /* that it was of when the call began; all zero: a ping, or a trial */
	/* 32 hex digits: our reference at the bank, and its idempotency key */
	char reference[33];
	/* our reference of the charge that it is about; reference, when it is the charge */
	char original[33];
	char bank_reference[256];      /* the bank's id of that charge, as far as known */
	char operation_reference[256]; /* ... of the refund that is looked up, as the request has it */
	char correlation[37];
	PgwBank *bank; /* held; NULL before admission */
	PgwBankOp op;
	char currency[4];
	int iso_exponent;
	/* when the request was first sent under its key, as the request says; of a new one: now */
	TimestampTz said_at;
	/*
	 * "capture" or "operation": a step after the charge; NULL: the charge's own, or its give-back
	 */
	const char *after;
	/* an earlier request of this attempt, or of this give-back, may have been taken */
	bool in_doubt;
	bool first_with_key; /* a capture, void or refund: no request before it had this key */
	/*
	 * a repetition that was decided on because the bank remembers its key: it must not leave once
	 * the bank may have forgotten it (queue/send_after_flush.c)
	 */
	bool relies_on_key;
	/*
	 * a look-up on a notification's word: it can say what became of the request, never that there
	 * was none, and changes no plan
	 */
	bool notified;
	/*
	 * a look-up of what was done at the bank without pgw, for which nothing of pgw's own was open
	 * at that time; 0: another call
	 */
	TimestampTz at_rest_since;
	/*
	 * nothing was asked: answer is what the bank has said by itself, in that notification, while
	 * the attempt was in this state
	 */
	bool evidence;
	pg_uuid_t evidence_id;
	PgwState evidence_state;
	char bank_name[64]; /* of the permit */
	bool has_permit;    /* permit is to be reported */
	PgwBreakerPermit permit;
	TimestampTz deadline; /* of the caller's wait; 0: none, or nobody waits */
	/* a submitted charge: it must not leave from then on, as nobody wants it any more; 0: no end */
	TimestampTz expires_at;
	/* a request that goes to another bank than was chosen for it; "" otherwise */
	char switched_from[64];
	/* the bank is left alone just now: recorded as failed, nothing is sent */
	bool refused;
	PgwRendered *rendered; /* NULL once sent, but where a further page may be asked for */
	PgwPages *pages;       /* of a list, from the second on; NULL: none */
	size_t first_path_len; /* of the first page's request */
	/* of the request, until its transfer is over; NULL: a token, or not known any more */
	PgwCallCard *card;
	/* the key that it was sent with, which may have changed by now; held, NULL: none, or judged */
	PgwSecret *secret;
	char card_last4[5]; /* of the charge that it is about; "": not known */
	/* an earlier answer about that charge repeated the card: its attempt's row says so */
	bool card_echoed;
	bool customer_sent; /* the request holds what is kept nowhere of the customer */
	/* it gives back a charge that was made in the other mode than its bank's */
	bool charged_in_other_mode;
	XLogRecPtr intent_end; /* of the commit without which it must not be sent */
	PgwTransport transport;
	PgwAnswer answer;
	bool
		names_other_operation; /* the id in the answer is that of another capture, void or refund */
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
	bool not_home; /* ... or the payment's slot is not at home here any more */
	bool skipped;  /* set by apply: the caller is gone, and nothing was written */
	/* set by apply: an earlier attempt answers; nothing is sent for this one */
	bool takeover;
	/* set by apply: ... as soon as its outcome is known */
	bool wait_for_outcome;
	bool alert;        /* set by apply: the attempt has failed, or needs a person */
	bool token_owed;   /* a look-up that took nothing from the retry budget */
	bool failed_later; /* set by apply: the bank has failed what it had accepted */
	bool differs;      /* set by apply: the bank shows more than pgw has asked for */
	/* set by apply: it shows what pgw has not made, which was recorded; or less than pgw has made
	 */
	bool made_at_bank;
	bool unexplained;
	/* set by apply: visit the attempt again after the commit */
	bool has_next_step;
	/* set by apply: ... and a look-up has just allowed sending */
	bool resend_allowed;
	/* set by apply: ... and a look-up did not say what became of the request */
	bool lookup_inconclusive;
	TimestampTz not_before; /* of its result */
	/* where its attempt's row was written last; a hint, and not valid where that is not known */
	ItemPointerData row_place;
	PgwSlotAnswer reply;
	instr_time began; /* handed to HTTP */
	uint64 serial;    /* grows from call to call */
	dlist_node all;   /* list of calls that are out */
} PgwCall;

extern void pgw_calls_init(void);
/* payment_id: NULL for what is of no payment */
extern PgwCall *pgw_call_new(const pg_uuid_t *transaction_id, const pg_uuid_t *payment_id,
							 const pg_uuid_t *correlation_id, bool submitted);
/* In ereport(): DETAIL of a line of the log about a call; rest: NULL: nothing more. */
extern int pgw_call_errdetail(const PgwCall *call, const char *rest);
/* a call of this attempt exists, in whatever stage */
extern bool pgw_call_under_way(const pg_uuid_t *transaction_id);
extern void pgw_call_free(PgwCall *call); /* drops the bank, wipes */

/*
 * Ask for permission to call the bank; it is reported with the call's end. Returns false and sets
 * *when, the earliest time to ask again, if the call is not allowed now.
 */
extern bool pgw_call_allowed(PgwCall *call, const char *bank, PgwRetryKind kind, TimestampTz *when);

extern const char *pgw_call_new_key(void); /* 32 hex digits */

/* Of a rendered call: does its bank surely remember the key now, as old as it is? */
extern bool pgw_call_key_remembered(const PgwCall *call);

/*
 * Hold the bank and render; false with *error_code (error_codes.h) and err: nothing held. Sets the
 * references in *params that are NULL to the call's own.
 */
extern bool pgw_call_render(PgwCall *call, PgwBank *bank, PgwCallParams *params,
							const char **error_code, PgwConnectorError *err);
/*
 * Of a request that is to be rendered: the trace that its attempt is part of, as the attempt's
 * bank_fields keep it.  *trace must live until then.
 */
extern void pgw_call_trace(PgwCallParams *params, const char *bank_fields, PgwTrace *trace);

/* back to the state before its rendering, without a permit; allocates nothing */
extern void pgw_call_unrender(PgwCall *call);
/* wipe the rendered request: libcurl has its copy, or it is not sent */
extern void pgw_call_forget_request(PgwCall *call);
extern void pgw_call_forget_pages(PgwCall *call);

/*
 * Its answer has been judged: is it a page of a list of which the next one is to be asked for? Then
 * the request is made, and is to be sent; else its answer is what all pages say.
 */
extern bool pgw_call_next_page(PgwCall *call);

/* How long its transfer may take: all pages have the time of one request. */
extern int pgw_call_timeout_ms(const PgwCall *call);

/*
 * The end of a call that is not sent: its caller, if there is one, gets this error, and its slot
 * becomes free.
 */
extern void pgw_call_answer_error(PgwCall *call, const char *code, const char *detail);

/* Tell the breaker, the metrics and, if need be, people what the call's end says of its bank. */
extern void pgw_call_report(PgwCall *call);

/*
 * For pgw.run_recovery(): the last call made so far, and whether all up to it that no caller waits
 * for are over, results included.
 */
extern uint64 pgw_calls_serial(void);
extern bool pgw_calls_over(uint64 serial);

/* Of a list of calls: pgw_exchange_fail_all() has answered their callers. */
extern void pgw_calls_forget_slots(dlist_head *calls);

/* "capture_sent", "operation_answered"; of other calls: otherwise. The name of a debug point. */
extern const char *pgw_call_debug_name(const PgwCall *call, const char *what,
									   const char *otherwise);

#endif
