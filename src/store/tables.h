/*
 * tables.h - the tables, typed: every access to pgw's tables goes through here
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
#include "core/request/validate.h"
#include "core/state/state_machine.h"
#include "database/row.h"

/* Where a row lies, and whether this transaction has locked or written it. */
typedef struct PgwRowLocation
{
	ItemPointerData tid;
	bool held;
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
	int64 amount;
	char *currency;
	int64 authorized_amount;
	int64 captured_amount;
	/* claimed by the capture or void that is under way or in doubt */
	int64 reserved_amount;
	int64 refunded_amount;
	int64 refund_pending_amount;
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
	/* the worker has taken it over: it counts for the one-live-attempt index */
	bool taken_by_worker;
	int64 amount;
	char *currency;
	PgwCaptureMode capture;
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
	char *bank_fields;            /* JSON text */
	char *bank_key;               /* idempotency key at the bank */
	TimestampTz bank_key_used_at; /* first use; 0 = NULL */
	/* when the last request that can charge ended, or was last seen under way; 0 = NULL */
	TimestampTz bank_asked_at;
	char *bank_reference;
	char *authorization_code;
	/* as the bank names it, when it is not what was asked for; 0 = NULL */
	int64 approved_amount;
	char *approved_currency;
	/* "void", "refund", "cancel": how the charge is given back; NULL: not yet chosen */
	char *refund_operation;
	/* reference and key of the give-back at the bank; NULL: the next one gets a new one */
	char *refund_key;
	TimestampTz refund_key_used_at; /* first use; 0 = NULL: announced, not sent */
	/* when the last request of the give-back ended, or was last seen under way; 0 = NULL */
	TimestampTz refund_asked_at;
	/* the bank said last that the step after the charge is on its way */
	bool pending_at_bank;
	int refund_keys_used; /* keys used so far */
	/* reference and key of the capture that follows the commit; NULL: not sent */
	char *capture_key;
	TimestampTz capture_key_used_at; /* first use */
	/* restored: the original may have gone to another bank with it */
	bool maybe_at_another_bank;
	/* the bank has answered a request under bank_key with an error of its own (5xx) */
	bool error_answered;
	/* kind capture: the rest of the authorization is given up */
	bool final_capture;
	char *reason;                 /* kind refund: what the caller said */
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
} PgwAttempt;

typedef struct PgwEvent
{
	PgwEventType type;
	PgwState from; /* PGW_STATE_NONE for the first */
	PgwState to;
	const char *operation;     /* "charge" ...; NULL */
	const char *extra;         /* further members as JSON text without braces, or NULL */
	const char *error_details; /* sanitized, or NULL */
} PgwEvent;

typedef enum PgwClaim
{
	PGW_CLAIM_INSERTED, /* the row is mine now */
	PGW_CLAIM_EXISTS    /* *existing is filled: committed, or written by my own transaction */
} PgwClaim;

/*
 * Claim the id with its payments row.  Dirty probe; in progress elsewhere: XactLockTableWait
 * (deadlock detector, lock_timeout, cancel), bounded by deadline (0: none) -> PW409; then a
 * speculative insert, again from the start on a conflict.  Never raises 40001. probed:
 * pgw_store_payment_probe() has just found nothing.
 */
extern PgwClaim pgw_store_claim(PgwPayment *row, bool probed, TimestampTz deadline,
								PgwPayment *existing);

/*
 * Claim the id of an operation on a payment with its row, which is inserted as Created with its
 * first event.  The caller holds the lock of the payments row; a caller with the same id on another
 * payment is waited for, as in pgw_store_claim().
 */
extern PgwClaim pgw_store_claim_operation(PgwAttempt *attempt, const PgwEvent *started,
										  PgwAttempt *existing);

/* The operation of this kind under this id: committed or own. */
extern bool pgw_store_operation(PgwKind kind, const char *client_request_id, const char *merchant,
								PgwAttempt *out);

/*
 * The latest committed version, or this transaction's own. Returns false if there is no such row.
 */
extern bool pgw_store_payment_by_id(const pg_uuid_t *payment_id, PgwPayment *out);
/*
 * The payment that is recorded under this id, with its attempt, read without waiting and without a
 * lock that stays (look_without_lock.c).  false: there is none, it is not committed yet, or
 * somebody has locked a table: nothing is known, and no lock is held that was not before.
 */
extern bool pgw_store_look(const char *client_request_id, const char *merchant, PgwPayment *p,
						   PgwAttempt *attempt);
/*
 * Is there such a row? One quick look, which may miss a row that is being updated: only for what
 * the claim decides afterwards.
 */
extern PgwFind pgw_store_payment_probe(const char *client_request_id, const char *merchant,
									   PgwPayment *out);
extern bool pgw_store_payment_by_request(const char *client_request_id, const char *merchant,
										 PgwPayment *out);
extern bool pgw_store_attempt_by_id(const pg_uuid_t *transaction_id, PgwAttempt *out);

/* The newest attempt of that kind under the id, whatever its state; committed or own. */
extern bool pgw_store_attempt_by_request(PgwKind kind, const char *client_request_id,
										 const char *merchant, PgwAttempt *out);

/*
 * The attempt that a new request under this id meets: the live one, else the newest; none that
 * still waits to be sent.
 */
extern bool pgw_store_earlier_attempt(const char *client_request_id, const char *merchant,
									  PgwAttempt *out);

/*
 * count_waiting.c: how many submitted payments of this merchant, or of this role, wait to be sent;
 * at most `most`.
 */
extern uint32 pgw_store_count_submitted(const char *merchant, const char *role, uint32 most);

/* false: no such merchant. */
extern bool pgw_store_merchant(const char *name, bool *enabled);

/* One row of pgw.transaction_events as stored; for payment_history. */
typedef struct PgwEventRow
{
	pg_uuid_t event_id;
	pg_uuid_t transaction_id;
	char *event_type;
	TimestampTz occurred_at;
	char *event_data; /* JSON text */
	char *error_details;
	int step_order;
	FullTransactionId txid;
} PgwEventRow;

/*
 * Attempts of a payment, oldest first, and the events of an attempt in order: committed or own;
 * arrays are palloc'd.
 */
extern int pgw_store_attempts(const pg_uuid_t *payment_id, PgwAttempt **out);
extern int pgw_store_events(const pg_uuid_t *transaction_id, PgwEventRow **out);

extern char *pgw_store_json_string(const char *s); /* quoted and escaped */

/* The amounts and status of a payments row for core/payment/payment_amounts.h, and back. */
extern void pgw_store_get_amounts(const PgwPayment *p, PgwPaymentAmounts *s);
extern void pgw_store_set_amounts(PgwPayment *p, const PgwPaymentAmounts *s);

/*
 * Lock the row for update and read it as it then stands; wait=false: *busy when someone holds it,
 * and nothing is read.
 */
extern bool pgw_store_lock_attempt(const pg_uuid_t *transaction_id, bool wait, PgwAttempt *out,
								   bool *busy);
extern bool pgw_store_lock_payment(const pg_uuid_t *payment_id, bool wait, PgwPayment *out,
								   bool *busy);

extern void pgw_store_insert_attempt(PgwAttempt *attempt);
/*
 * The row alone, by its id; sets updated_at.  For what is no step of the attempt: its status and
 * step_order have not changed.  Every step goes through pgw_store_advance().
 */
extern void pgw_store_update_attempt(PgwAttempt *attempt);
extern void pgw_store_update_payment(PgwPayment *p); /* by payment_id; sets updated_at */

/*
 * The one place where an attempt changes: writes its events (step_order attempt->step_order+1 ...;
 * checks every edge with state_machine.h) and then the row (status = last event's to, step_order,
 * updated_at and all mutable columns of *attempt).  insert: the row is new.
 */
extern void pgw_store_advance(PgwAttempt *attempt, bool insert, const PgwEvent *events, int n);

/*
 * find_due.c, worker: what is due, bank by bank.  Each function returns how many it has found, at
 * most max.
 */
typedef struct PgwDue
{
	pg_uuid_t transaction_id;
	uint32 merchant; /* pgw_turns_key(); 0: not asked for */
} PgwDue;

/* The first bank after that one, by name, of which something waits or is due. false: none. */
extern bool pgw_store_next_bank(const char *after, char *bank, Size size);

/*
 * What has begun: of each state as many as its lane has places. *cut: there may be more; *next:
 * when another becomes due, 0: none is known to.
 */
extern int pgw_store_begun(const char *bank, const int places[PGW_NLANES], TimestampTz now,
						   PgwDue *due, int max, bool *cut, TimestampTz *next);

/*
 * What has not begun and is due between these times: of each of the next merchants after that one
 * by name, `most` of them, so many.  *merchants: how many there were; last: the name of the last
 * one that was looked at; *first: the time of the oldest that was found, 0: none.
 */
extern int pgw_store_waiting(const char *bank, PgwKind kind, const char *after, int most, int each,
							 TimestampTz from, TimestampTz now, PgwDue *due, int max,
							 int *merchants, char *last, Size size, bool *cut, TimestampTz *first);

/* What has not been sent and is not to be sent any more; *next as above. */
extern int pgw_store_expired(TimestampTz now, PgwDue *due, int max, TimestampTz *next);

/*
 * What is open with nothing due: in flight, or left by a worker or a caller that is gone. In order
 * of the ids, after this one.
 */
extern int pgw_store_left(const pg_uuid_t *after, PgwDue *due, int max);

/*
 * clock_set_back.c, worker: times of a clock that was ahead are taken back, of so many attempts at
 * most; returns of how many.
 */
extern uint64 pgw_store_take_back_times(TimestampTz now, int most);

/* One row of pgw.bank_states: a circuit breaker as it was when the worker ended. */
typedef struct PgwBankState
{
	const char *bank;
	const char *operation_group;
	const char *state;
	int failures;
	int openings;
	TimestampTz opened_at; /* 0 = NULL */
	TimestampTz cooldown_from;
} PgwBankState;
extern int pgw_store_bank_states(PgwBankState **out);
extern void pgw_store_save_bank_state(const PgwBankState *s);
/* of what is no bank's name now, and has not changed since then */
extern void pgw_store_forget_bank_states(TimestampTz before);

/* One row of pgw.review_proposals: what one operator asks another to confirm. */
typedef struct PgwProposal
{
	int proposal;   /* 1..n per attempt */
	int step_order; /* of the attempt when it was made */
	char *action;
	char *note;
	char *evidence;  /* JSON text */
	Oid proposed_by; /* the session's role */
	char *proposer;  /* its name then */
} PgwProposal;

/* The attempt's row is locked by the caller.  false: there is none. */
extern bool pgw_store_newest_proposal(const pg_uuid_t *transaction_id, PgwProposal *out);
extern void pgw_store_add_proposal(const pg_uuid_t *transaction_id, const PgwProposal *p);

/* bank_references.c: whose is the charge that a bank calls so? */
typedef enum PgwOwner
{
	PGW_OWNER_NONE, /* nobody's yet */
	PGW_OWNER_SELF,
	PGW_OWNER_OTHER,
	PGW_OWNER_BUSY /* somebody is writing that just now */
} PgwOwner;
extern PgwOwner pgw_store_reference_owner(const char *account, const char *bank_reference,
										  const pg_uuid_t *transaction_id);

/*
 * Like pgw_store_reference_owner(), but claims the id for this attempt if nobody has it. Never
 * returns NONE. wait: waits instead of returning BUSY; only in a caller's own backend.
 */
extern PgwOwner pgw_store_claim_reference(const char *account, const char *bank_reference,
										  const pg_uuid_t *transaction_id, bool wait);

/*
 * alert_state.c: count an alert; true: nobody was told since then, tell them now. Empty strings:
 * none.
 */
extern bool pgw_store_count_alert(const char *kind, const char *subject, const char *bank,
								  const char *transaction_id, const char *message, int count,
								  TimestampTz now, TimestampTz told_before);

/*
 * Attempts that have been in a state for too long, oldest first, at most 250 of each state; in the
 * current memory context.
 */
typedef struct PgwAgedAttempt
{
	pg_uuid_t transaction_id;
	pg_uuid_t correlation_id;
	PgwState status;
	char *bank;
	TimestampTz since;
} PgwAgedAttempt;
extern int pgw_store_aged_attempts(TimestampTz in_doubt, TimestampTz refunding,
								   TimestampTz undecided, TimestampTz review, PgwAgedAttempt **out);

/* ERROR when pgw's own columns or keys are not as CREATE EXTENSION has made them. */
extern void pgw_store_check(void);

/*
 * NOTIFY pgw_payments with {"payment_id", "kind", "outcome"}, once for each outcome (worker only).
 * Of an operation: completed, failed, in_review or reversed; of a payment: its status, and nothing
 * while that is pending.
 */
extern void pgw_store_notify(const pg_uuid_t *payment_id, PgwKind kind, const char *outcome);
extern void pgw_store_notify_payment(const PgwPayment *p);

#endif
