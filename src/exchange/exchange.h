/*
 * exchange.h - shared memory between the callers' backends and the workers
 *
 * Owns: the slots by which process_payment hands a request (card included) to its database's
 * worker, one WorkerEntry per database, and each entry's ring of signals.  Plain data only: no
 * pointers, descriptors or handles.  One LWLock protects slot headers, entries and rings; a slot's
 * body belongs to the backend while CLAIMED, to the worker while TAKEN. Nothing depends on a signal
 * arriving: the recovery scan finds the same things later.
 */
#ifndef PGW_EXCHANGE_EXCHANGE_H
#define PGW_EXCHANGE_EXCHANGE_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "access/transam.h"
#include "utils/uuid.h"

#include "exchange/why_paused.h"

typedef enum PgwSlotState
{
	PGW_SLOT_FREE = 0,
	PGW_SLOT_CLAIMED, /* a backend is filling it */
	/* waits for the worker; a backend that leaves withdraws it: nothing happened */
	PGW_SLOT_REQUESTED,
	/* the worker has it; a backend that leaves only marks it abandoned */
	PGW_SLOT_TAKEN,
	PGW_SLOT_ANSWERED /* answer filled, the backend's to free */
} PgwSlotState;

/*
 * What the backend asks. Strings NUL terminated, "" = none. Lives in the slot's body: on pages of
 * its own, DONTDUMP, mlocked.
 */
typedef struct PgwSlotRequest
{
	pg_uuid_t payment_id;
	pg_uuid_t transaction_id; /* of the new attempt */
	pg_uuid_t correlation_id;
	FullTransactionId caller_xid;    /* top level */
	FullTransactionId caller_subxid; /* = caller_xid outside subtransactions */
	TimestampTz deadline;            /* of the caller's wait; 0: none */
	uint64 generation;               /* of the configuration that the caller could see */
	bool config_changing;            /* ... and perhaps a newer one */
	int64 amount;
	char currency[4];
	int capture; /* PgwCaptureMode */
	int card_expiry_month;
	int card_expiry_year;
	char client_request_id[1021];
	char merchant[64];
	char bank[64];           /* the bank chosen by the backend's rules */
	char bank_requested[64]; /* named by the caller, or "" */
	char reference[1021];
	char token[513];
	char card_number[20];
	char card_cvv[5];
	char card_holder[256];
	char card_last4[5];
	char card_brand[16];
	char bank_fields[4097];
} PgwSlotRequest;

typedef enum PgwAnswerKind
{
	PGW_ANSWER_OUTCOME = 0, /* the attempt's row says it; status tells which */
	PGW_ANSWER_ERROR,       /* nothing was sent, nothing charged: raise error_code */
	PGW_ANSWER_BLOCKED /* nothing was sent: an earlier attempt with this id is being given back; ask
						  again when that is over */
} PgwAnswerKind;

typedef struct PgwSlotAnswer
{
	PgwAnswerKind kind;
	/* the attempt that it tells of: an earlier one where that was taken over or is in the way */
	pg_uuid_t transaction_id;
	bool replayed; /* the outcome was recorded before this request */
	int status;    /* PgwState after the worker's commit */
	char error_code[64];
	char detail[256]; /* sanitized */
} PgwSlotAnswer;

typedef enum PgwSignalKind
{
	PGW_SIGNAL_SUBMITTED = 1, /* a submitted attempt is committed and due */
	PGW_SIGNAL_COMMITTED,     /* a caller that had its answer has committed */
	PGW_SIGNAL_ABORTED        /* a caller of that attempt has rolled back (also a subtransaction) */
} PgwSignalKind;

typedef struct PgwSignal
{
	PgwSignalKind kind;
	pg_uuid_t transaction_id;
	/* SUBMITTED only: where it has to wait, so that nobody has to look at the row for that */
	bool new_charge; /* else an operation on a payment */
	uint32 bank;     /* pgw_turns_key() of the names; 0: not known */
	uint32 merchant;
} PgwSignal;

extern int pgw_max_waiting;      /* GUC: slots */
extern int pgw_role_max_waiting; /* GUC: slots that one role's callers may hold at once */

extern void pgw_exchange_init(void);      /* _PG_init: shmem request/startup hooks, GUC */
extern bool pgw_exchange_available(void); /* preloaded? */

/* --- backend side --- */
/*
 * A worker serves this database or is about to: it is starting, coming back within seconds, or
 * standing aside for DROP/ALTER/CREATE DATABASE.
 */
extern bool pgw_exchange_worker_running(Oid dboid);

typedef enum PgwClaimSlot
{
	PGW_SLOT_CAN_CLAIM = 0,
	PGW_SLOT_NONE_FREE,
	PGW_SLOT_BANK_SHARE,     /* the bank's callers have their share of the slots */
	PGW_SLOT_MERCHANT_SHARE, /* ... or the merchant's */
	PGW_SLOT_ROLE_QUOTA      /* the role's callers have as many as pgw.role_max_waiting lets them */
} PgwClaimSlot;

/*
 * A free slot, CLAIMED, body zeroed; -1: none for this bank, merchant and role (*why).  role: whose
 * quota it counts for; InvalidOid: nobody's. only_bank: the database has no other.  A
 * before_shmem_exit callback and pgw_exchange_release_all() (called on abort) clean up.
 */
extern int pgw_exchange_claim(const char *bank, const char *merchant, Oid role, bool only_bank,
							  PgwClaimSlot *why);
extern PgwSlotRequest *pgw_exchange_request(int slot);
/* CLAIMED -> REQUESTED, wakes the worker */
extern void pgw_exchange_submit(int slot);

/*
 * Wait interruptibly for the answer, no longer than until deadline (0: no limit).  true: answered
 * (copied to *answer, slot freed).  false: time is up, and the request is withdrawn (*withdrawn:
 * nothing of it was or will be sent) or abandoned: it may be sent, or an earlier attempt is waited
 * for, and answer->transaction_id says which attempt tells the outcome.  It does so after an ERROR,
 * too, if there is one yet.
 */
extern bool pgw_exchange_wait(int slot, TimestampTz deadline, PgwSlotAnswer *answer,
							  bool *withdrawn);
/* this backend's slots: withdraw or abandon; wipes what it still owns */
extern void pgw_exchange_release_all(void);

/* Push signals for dboid's worker and wake it; a full ring sets the entry's rescan flag instead. */
extern void pgw_exchange_signal(Oid dboid, const PgwSignal *signals, int n);

/* --- worker side (own entry attached by pgw_exchange_attach) --- */
extern void pgw_exchange_told_to_end(void); /* SIGTERM; in its handler */
/*
 * register MyProc as MyDatabaseId's worker; false: there is one already, or it must step aside:
 * exit 0. Sets rescan.
 */
extern bool pgw_exchange_attach(void);
/* REQUESTED -> TAKEN of my database; in order of request */
extern int pgw_exchange_take(int *slots, int max);
/* TAKEN -> REQUESTED, in their place: nothing was done for them */
extern void pgw_exchange_give_back(const int *slots, int n);

/*
 * Has the caller gone? A false answer may be out of date at once: pgw_exchange_bind() and
 * pgw_exchange_answer() decide.
 */
extern bool pgw_exchange_abandoned(int slot);

/*
 * The intent of this attempt is committed: if the worker dies now, the caller is answered
 * BankUnknown.
 */
extern void pgw_exchange_mark_recorded(int slot, const pg_uuid_t *transaction_id);

/*
 * Call this when the request is recorded and about to be sent, or when its caller is to wait for an
 * earlier attempt. Returns true: a caller that leaves from now on leaves a pending payment behind.
 * Returns false: the caller has left already, and relies on nothing being sent.
 */
extern bool pgw_exchange_bind(int slot);
/* secrets handed over: wipe card fields of the body */
extern void pgw_exchange_wipe(int slot);

/*
 * TAKEN -> ANSWERED and wake; an abandoned slot is freed. false: it was abandoned, and nobody has
 * the answer.
 */
extern bool pgw_exchange_answer(int slot, const PgwSlotAnswer *answer);
extern int pgw_exchange_signals(PgwSignal *out, int max, bool *rescan); /* drain the ring */
/* every caller of my database that waits (REQUESTED or TAKEN) */
extern void pgw_exchange_fail_all(const char *error_code);

/*
 * --- configuration generation: bumped (after commit) by the triggers on pgw.banks and
 * pgw.connectors ---
 */
extern uint64 pgw_exchange_generation(void);
extern void pgw_exchange_bump_generation(void);

/*
 * Between the commit of a change and the bump, others can see the change already. So from before
 * the commit until after the bump (or the abort) the configuration counts as changing: what is read
 * meanwhile may be used once only.
 */
extern void pgw_exchange_begin_config_change(void);
extern void pgw_exchange_end_config_change(void);
extern bool pgw_exchange_config_is_changing(void);

/* --- launcher: see launcher.h; entries carry what it needs --- */
typedef enum PgwEntryWish
{
	PGW_WISH_RUN = 0,
	PGW_WISH_STEP_ASIDE /* DROP/ALTER/CREATE ... TEMPLATE DATABASE wants the database empty */
} PgwEntryWish;
extern PgwEntryWish pgw_exchange_wish(void); /* polled by the worker at every wake */

/*
 * DROP EXTENSION pgw is running here: pgw_exchange_fail_all("extension_dropped"), then no
 * transaction until this is false again.
 */
extern bool pgw_exchange_dropping(void);

/*
 * Why nothing new is begun. Callers that wait for the worker to take their request, and those to
 * come, get PW500 worker_paused.
 */
extern void pgw_exchange_set_paused(PgwPause pause); /* worker */
extern PgwPause pgw_exchange_paused(Oid dboid);      /* as its worker said last */

/* The worker found no extension in its database (attached or not) and is about to exit 0. */
extern void pgw_exchange_mark_no_extension(void);

/*
 * Have dboid's worker scan now (COMMIT PREPARED, pgw.run_recovery()). false: no worker is running.
 */
extern bool pgw_exchange_rescan(Oid dboid);

/* For pgw.health() and pgw.metrics. */
typedef struct PgwExchangeStatus
{
	bool preloaded;
	int launcher_pid; /* 0: none */
	int worker_pid;   /* 0: none */
	/*
	 * "none", "down", "starting", "running", "paused", "draining", "no extension", "stepping aside"
	 */
	const char *worker_state;
	TimestampTz worker_since; /* of that state; 0: none */
	int worker_failures;      /* ends in a row */
	int slots_total;
	int slots_used;      /* all databases */
	int slots_requested; /* this database: wait for the worker */
	int slots_taken;     /* this database: the bank is being called */
} PgwExchangeStatus;
extern void pgw_exchange_status(Oid dboid, PgwExchangeStatus *out);

/* Why dboid has no worker and what comes next, from what is known: a HINT (palloc'd). */
extern char *pgw_exchange_absence(Oid dboid);
extern int pgw_exchange_databases(Oid *out, int max); /* every database that has an entry */

#endif
