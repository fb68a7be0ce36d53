/*
 * step.h - what one step of an attempt is told, what it leaves to be done after its commit, and
 * what the steps share
 */
#ifndef PGW_ATTEMPT_STEP_H
#define PGW_ATTEMPT_STEP_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "utils/uuid.h"

#include "bank_call/bank_lanes.h"
#include "bank_call/call.h"
#include "exchange/signal_ring.h"
#include "store/tables.h"

/*
 * One step: the worker visits the attempt, whose row it has locked. Which step that is, is decided
 * by the row alone (dispatch.c).
 */
typedef struct PgwStep
{
	/* ---- told by the visitor ---- */

	bool resend_allowed; /* a look-up has just allowed sending */
	/* a look-up has just been answered, but did not say what became of the request */
	bool lookup_inconclusive;
	bool token_owed; /* ... and took nothing from the retry budget */
	/*
	 * a notification says that something became of it: it may be looked up before its time, and
	 * nothing else may be done before that
	 */
	bool bank_spoke;
	char said_reference[PGW_HINT_SIZE]; /* ... with this id of the charge; "": with none */
	/* room at the bank that was given to this visit; the call that is made takes it */
	PgwLanePlace place;

	/* ---- set by the step; true of the database once its transaction is committed ---- */

	PgwCall *call;      /* to be sent after the commit */
	bool next_step_now; /* the next step can follow at once */
	/*
	 * To be visited at that time although next_step_at, which is past, does not say so; 0: as
	 * next_step_at says.
	 */
	TimestampTz wake_at;
	pg_uuid_t other_attempt; /* another attempt to visit, or all zero */
	bool other_was_told;     /* ... for what a notification says of it */
	/* the watch over what the bank may do later is over, and the bank could not be asked */
	bool unwatched;
	bool at_rest; /* the call asks what was done at the bank without pgw: nothing waits for it */
	bool made_at_bank; /* what was done there without pgw was told, and is recorded */
	bool contradicted; /* the bank says by itself that it has ended otherwise */
	/* of a dispute: one was opened, or has taken or given back; was closed; says too little */
	bool dispute_opened;
	bool dispute_closed;
	bool dispute_unclear;

	char parked_for[64]; /* this bank has no room; "" otherwise */
	PgwLane lane;        /* ... for it in this lane */
	uint32 merchant;
	bool must_stay; /* ... and nothing in the tables would bring it here again */

	bool try_later; /* nothing was done: a row was busy */
	/*
	 * try_later: not because a row is locked, but because of an earlier attempt, or because its
	 * bank cannot be read just now
	 */
	bool blocked;
	bool takes_long; /* ... and that will not be over in a moment */
} PgwStep;

/* Set only the time of the next visit (0: never). This is no step, so it writes no event. */
extern void pgw_step_reschedule(PgwAttempt *attempt, TimestampTz when);

/* The next step so many seconds from now. */
extern void pgw_step_wait(PgwAttempt *attempt, int64 seconds);

/*
 * Cancelled, and a charge that is still on its way may come after that: the next step, which
 * cancels it once more, comes as soon as that would be seen.
 */
extern void pgw_step_cancel_again(PgwAttempt *attempt, const PgwCapabilities *caps);

/* How long ago the bank confirmed a cancellation that does not count yet; -1: it has not. */
extern int64 pgw_step_cancelled_age_s(const PgwAttempt *attempt);

/*
 * The attempt's bank, for a call of it: may_charge: as it is now, for an intent that is to be
 * written; else the version that its intent names. NULL: step->parked_for is set, or the
 * attempt is put off with a WARNING, because the bank is not there, not enabled (may_charge only)
 * or not usable.
 */
extern PgwBank *pgw_step_bank(PgwAttempt *attempt, PgwStep *step, bool may_charge);

/*
 * step->call := this operation, rendered; false: put off with a WARNING. params: what the
 * operation needs besides the references.
 */
extern bool pgw_step_call(PgwAttempt *attempt, PgwStep *step, PgwBank *bank, PgwBankOp op,
						  const char *reference, PgwCallParams *params);

/*
 * Can its request be made once more as it was?  Not with a card, a token that is an object, or
 * what was told of the customer: they are kept nowhere.
 */
extern bool pgw_step_can_repeat(const PgwAttempt *attempt);

/* The same for the charge or authorization as it was asked for, with this key. */
extern bool pgw_step_charge_call(PgwAttempt *attempt, PgwStep *step, PgwBank *bank,
								 const char *key);

/* What a request after the charge says of it, where the charge is the attempt's own. */
extern void pgw_step_params_about_charge(const PgwAttempt *attempt, PgwCallParams *params);

/*
 * A worker begins, and no other sends any more: whatever one before it has sent has left by now.
 */
extern void pgw_step_worker_begins(void);

/*
 * When the bank had that request at the latest, from which it is counted whether a look-up would
 * show it; 0: there was none.  The row has the time of its intent until the call has ended; but it
 * may have left much later, when a standby was waited for (exchange/fencing_delay.c), by a worker
 * that ended before it could write more.  So what another worker may have sent counts from the
 * beginning of this one.
 */
extern TimestampTz pgw_step_asked_at(const PgwBankRequest *request);

/*
 * Since when it is not known what the bank did with it, which is what pgw.unknown_deadline counts
 * from.
 */
extern TimestampTz pgw_step_doubt_since(const PgwBankRequest *request);

/*
 * The attempt's own request is in doubt from now on: a key that was first used so long ago that its
 * time is over (for requests that did nothing, or before a restore) gets another deadline.
 */
extern void pgw_step_doubt_begins(PgwAttempt *attempt);

/*
 * Created, taken, and no call of it is under way: the worker that had sent it, or was about to, has
 * ended. Its outcome is in doubt.
 */
extern void pgw_step_lost(PgwAttempt *attempt, PgwStep *step, const char *operation);

/*
 * A person has to decide. code: an error_code; next_step_at: when its payments row is to be
 * written; 0: it is, or need not be.
 */
extern void pgw_step_review(PgwAttempt *attempt, const char *code, const char *reason,
							const char *operation, TimestampTz next_step_at);

/* The time for which it is watched after its end is over: nothing more is due then. */
extern bool pgw_step_watch_is_over(PgwAttempt *attempt, PgwStep *step);
/* ... or the bank has no way to be asked. */
extern void pgw_step_end_watch(PgwAttempt *attempt);

/* It is not its time: what is done now is done on a notification's word. */
extern bool pgw_step_is_early(const PgwAttempt *attempt, const PgwStep *step);

/*
 * The answer to a look-up that was made on a notification's word: a no that may be older than what
 * the notification tells of is none.  asked_at: of the request that it is about.
 */
extern void pgw_step_weigh_notified(PgwCall *call, TimestampTz asked_at);

/* What the bank has answered to the call, for PgwDecision.said; NULL: nothing. */
static inline const PgwAnswer *
pgw_step_said(const PgwCall *call)
{
	return call->transport == PGW_TRANSPORT_ANSWERED ? &call->answer : NULL;
}

/* When the charge, or the capture after the commit, was last asked for. */
static inline TimestampTz
pgw_step_charged_at(const PgwAttempt *payment)
{
	return Max(payment->own_request.asked_at, payment->capture_request.asked_at);
}

#endif
