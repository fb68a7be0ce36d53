/*
 * tables.h - payments and attempts, typed: found, locked, inserted, updated
 *
 * Single-row changes go straight through the executor (row.h), without MVCC reads: rows are found
 * with a dirty snapshot and changed as they stand now, so the caller's isolation level does not
 * matter and SSI sees no read.  Statements over many rows (the worker's queue, partitions) are SPI
 * and run in the worker only.  All functions need a transaction; errors are raised.
 */
#ifndef PGW_STORE_TABLES_H
#define PGW_STORE_TABLES_H

#include "postgres.h"
#include "access/transam.h"
#include "storage/itemptr.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "core/pacing/fair_turns.h"
#include "core/payment/payment_amounts.h"
#include "core/request/actor.h"
#include "core/request/validate.h"
#include "core/state/state_machine.h"
#include "database/find_row.h"

/* Where a row lies, and whether this transaction has locked or written it. */
typedef struct PgwRowLocation
{
	ItemPointerData tid;
	bool held;
	/*
	 * held in the sense that it may be written, but not locked yet: nobody had it when it was read.
	 * Its first update, or pgw_store_hold_attempt(), is the lock, and finds out whether it is still
	 * as it was read.
	 */
	bool unlocked;
	/* ... it was not: nothing is written, and it has to be read again (only when waits) */
	bool overtaken;
	bool waits; /* ... for who is about to change it; else that is an error, 55P03 */
} PgwRowLocation;

/* One row of pgw.payments. char * NULL = SQL NULL; palloc'd in the caller's context when read. */
typedef struct PgwPayment
{
	pg_uuid_t payment_id;
	char *client_request_id;
	char *merchant;
	pg_uuid_t transaction_id; /* the attempt that this row names */
	PgwPaymentStatus status;
	PgwCaptureMode capture;
	bool livemode; /* false: no money moves, its bank is one for tests */
	int64 amount;
	char *currency;
	int64 authorized_amount;
	int64 captured_amount;
	int64 capture_pending_amount; /* by a capture that the bank has accepted, and may still fail */
	/* claimed by the capture or void that is under way or in doubt */
	int64 reserved_amount;
	int64 refunded_amount;
	int64 refund_pending_amount;
	/* without pgw, as the bank reports it; 0 = NULL */
	int64 bank_captured_amount;
	int64 bank_refunded_amount;
	int64 disputed_amount; /* what disputes have taken; 0 = NULL */
	char *bank;
	char *bank_reference;
	char *authorization_code;
	char *card_last4;
	char *card_brand;
	char *reference;
	char *metadata; /* JSON text */
	TimestampTz created_at;
	TimestampTz updated_at;
	PgwRowLocation place;
} PgwPayment;

/* One request to the bank that can move money, with its repetitions. */
typedef struct PgwBankRequest
{
	/* our reference and idempotency key at the bank; NULL: the next one gets a new key */
	char *key;
	/* first use of the key; 0 = NULL: not sent, or the bank did nothing with it */
	TimestampTz key_used_at;
	/* when the last one ended, or was last seen under way; 0 = NULL */
	TimestampTz asked_at;
} PgwBankRequest;

/* what the first event of a refund says, where also what a dispute has taken is to be paid */
#define PGW_DESPITE_DISPUTE "despite_dispute"

/* of an attempt that pgw has not made, and the bank shows */
#define PGW_ORIGIN_BANK "bank"

/* One row of pgw.payment_transactions. */
typedef struct PgwAttempt
{
	pg_uuid_t transaction_id;
	pg_uuid_t payment_id;
	char *client_request_id;
	char *merchant;
	PgwKind kind;
	PgwState status;
	int step_order; /* number of events so far */
	/* accepted by submit_payment: the worker writes everything after the commit */
	bool submitted;
	/* the role that called submit_payment(); NULL: nobody did, or it was an operation */
	char *submitted_by;
	/* the one attempt of its id that is at work or was kept; set by the worker when it begins */
	bool live;
	/* it was Failed or Refunded at some time: set, and live taken away, by pgw_store_advance() */
	bool given_up;
	bool adopted; /* payment_id is that of a retry which has taken it over */
	int64 amount;
	char *currency;
	PgwCaptureMode capture;
	bool livemode; /* as its payment's */
	char *token;
	char *card_last4;
	char *card_brand;
	int card_expiry_month; /* 0 = NULL */
	int card_expiry_year;
	char *bank;
	/* of pgw.bank_versions: where its requests go; 0 = NULL: nothing was sent yet */
	int bank_version;
	char *bank_requested;
	char *reference;
	char *bank_fields; /* JSON text */
	/* columns bank_*: the charge, or the capture, void or refund that the attempt is for */
	PgwBankRequest own_request;
	char *bank_reference;
	char *authorization_code;
	/* as the bank names it, when it is not what was asked for; 0 = NULL */
	int64 approved_amount;
	char *approved_currency;
	/*
	 * "void", "refund", "cancel", "reverse": how the charge is given back; NULL: not yet chosen.
	 * Kind refund: how it is done, if not by a refund
	 */
	char *refund_operation;
	/* columns refund_*: the give-back */
	PgwBankRequest refund_request;
	char *refund_reference; /* the bank's id of it */
	/*
	 * the bank said last that what follows the charge is on its way: a capture, void or refund, or
	 * the give-back, which never begins before a capture has ended
	 */
	bool pending_at_bank;
	/*
	 * when the bank has accepted the order of what follows the charge, which it may still fail; 0 =
	 * NULL: it has not, or it is known what became of that
	 */
	TimestampTz accepted_at;
	bool unconfirmed; /* ... it has ended as done, without the bank's word */
	/*
	 * the bank has confirmed a cancellation for the first time, and does not say that it stops what
	 * is still on its way; 0 = NULL
	 */
	TimestampTz cancelled_at;
	int refund_keys_used; /* by the give-back, so far */
	/* PGW_RULED_OUT: what the bank refused for the state that the charge is in */
	int refund_ruled_out;
	/* columns capture_*: the capture that follows the commit */
	PgwBankRequest capture_request;
	/* kind payment: the bank's id of what took the money, where it is not the charge's */
	char *capture_reference;
	/* restored: the original may have gone to another bank with it */
	bool maybe_at_another_bank;
	/* the bank has answered the charge, or later its give-back, with an error of its own */
	bool error_answered;
	/*
	 * an answer repeated the card in a way that cannot be seen without it: no text of a later one
	 * is kept
	 */
	bool card_echoed;
	bool
		customer_sent; /* the request held what is kept nowhere of the customer: options.customer */
	/* kind capture: the rest of the authorization is given up */
	bool final_capture;
	char *reason;                 /* kind refund: what the caller said */
	char *origin;                 /* PGW_ORIGIN_BANK: pgw has not made it; NULL: pgw has */
	FullTransactionId caller_xid; /* Invalid = NULL */
	FullTransactionId caller_subxid;
	int64 system_identifier;
	Oid database_oid;
	/* when the worker first saw that the caller is gone; 0 = NULL */
	TimestampTz abandoned_at;
	int requests_sent;
	int step_tries;            /* tries of the present step, for the back-off */
	TimestampTz next_step_at;  /* 0 = NULL: nothing due (in flight or finished) */
	TimestampTz put_off_since; /* its next request cannot be made since then; 0 = NULL */
	char *put_off_reason;      /* an error_code */
	/* Failed because the bank did not know it: looked up again until then; 0 = NULL */
	TimestampTz watch_until;
	TimestampTz expires_at; /* 0 = NULL */
	char *error_class;
	char *error_code;
	char *error_message;
	int http_status; /* 0 = NULL */
	bool retryable;
	pg_uuid_t correlation_id;
	TimestampTz created_at;
	TimestampTz updated_at;
	PgwRowLocation place;
	/* no column: who asks for it; its first event tells, or its takeover.  NULL: not known here */
	const PgwActor *actor;
	bool despite_dispute; /* no column: kind refund, and its first event tells */
	/* no column: its row of pgw.open_work is the worker's, who may be inserting it (open_work.c) */
	bool by_caller;
	bool listed;      /* ... it has its row there, or none, as it is to be */
	bool without_row; /* ... by its columns as they are stored it has none there */
	bool times_moved; /* by whoever locked it (clock_set_back.h), and not written yet */
	/* no columns: what the attempt's events so far have said (event_data.c) */
	char *told_bank;
	int told_requests_sent;
} PgwAttempt;

/*
 * The latest committed version, or this transaction's own. Returns false if there is no such row.
 */
extern bool pgw_store_payment_by_id(const pg_uuid_t *payment_id, PgwPayment *out);

/*
 * Is there such a row? One quick look, which may miss a row that is being updated: only for what
 * the claim decides afterwards.
 */
extern PgwFind pgw_store_payment_probe(const char *client_request_id, const char *merchant,
									   PgwPayment *out);
extern bool pgw_store_payment_by_request(const char *client_request_id, const char *merchant,
										 PgwPayment *out);
extern bool pgw_store_attempt_by_id(const pg_uuid_t *transaction_id, PgwAttempt *out);

/* The amounts and status of a payments row for core/payment/payment_amounts.h, and back. */
extern void pgw_store_get_amounts(const PgwPayment *p, PgwPaymentAmounts *s);
extern void pgw_store_set_amounts(PgwPayment *p, const PgwPaymentAmounts *s);

/*
 * Lock the row for update and read it as it then stands; wait=false: *busy when someone holds it,
 * and nothing is read.
 */
extern bool pgw_store_lock_attempt(const pg_uuid_t *transaction_id, bool wait, PgwAttempt *out,
								   bool *busy);
/*
 * The same, where it is known at what place the row lay at some time: looked at there first, and
 * taken from there only if it is this row's latest version.
 */
extern bool pgw_store_lock_attempt_at(const pg_uuid_t *transaction_id, const ItemPointerData *place,
									  bool wait, PgwAttempt *out, bool *busy);
/*
 * The same, but a row that nobody has is not locked: PgwRowLocation says what then holds.  For who
 * writes it next, with the status that it has read, and writes nothing else before that which could
 * not be rolled back with it.
 */
extern bool pgw_store_take_attempt_at(const pg_uuid_t *transaction_id, const ItemPointerData *place,
									  bool wait, PgwAttempt *out, bool *busy);
/*
 * What was taken and not written is locked, if it is still as it was read; false: it was
 * overtaken.
 */
extern bool pgw_store_hold_attempt(PgwAttempt *attempt);
extern bool pgw_store_lock_payment(const pg_uuid_t *payment_id, bool wait, PgwPayment *out,
								   bool *busy);
/*
 * The same, without waiting, and a row that nobody has is not locked: for who writes it next, or
 * nothing that follows from it.
 */
extern bool pgw_store_take_payment(const pg_uuid_t *payment_id, PgwPayment *out, bool *busy);

extern void pgw_store_insert_attempt(PgwAttempt *attempt);
/*
 * The row alone, by its id; sets updated_at.  For what is no step of the attempt: its status and
 * step_order have not changed.  Every step goes through pgw_store_advance().
 */
extern void pgw_store_update_attempt(PgwAttempt *attempt);
/*
 * For who has locked the row, and may not have written it: it has its row of open_work, or none, as
 * it is to be.
 */
extern void pgw_store_relist(PgwAttempt *attempt);
extern void pgw_store_update_payment(PgwPayment *p); /* by payment_id; sets updated_at */

/* For another try: what is known of the last one does not hold for it. The row is not written. */
extern void pgw_store_forget_refund_request(PgwAttempt *attempt);

/* ERROR when pgw's own columns or keys are not as CREATE EXTENSION has made them. */
extern void pgw_store_check(void);

#endif
