/*
 * unknown_outcome_rules.h - an attempt whose outcome is not known: how to find out
 *
 * Pure decisions.  The worker (attempt/unknown_outcome.c) carries them out.
 */
#ifndef PGW_CORE_PAYMENT_UNKNOWN_OUTCOME_RULES_H
#define PGW_CORE_PAYMENT_UNKNOWN_OUTCOME_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "core/bank_message/judge_answer.h"
#include "core/connector/capabilities.h"

typedef enum PgwUnknownOutcomeStep
{
	PGW_UNKNOWN_OUTCOME_LOOKUP = 0, /* ask by our reference */
	PGW_UNKNOWN_OUTCOME_REPLAY,     /* the same request again, with the same key */
	/* approved, and nobody can say which charge that is: cancel it by our reference */
	PGW_UNKNOWN_OUTCOME_CANCEL,
	/* it waits for the card holder: pgw_unknown_outcome_undo() */
	PGW_UNKNOWN_OUTCOME_UNDO,
	PGW_UNKNOWN_OUTCOME_WAIT,  /* until it can be undone: pgw_unknown_outcome_wait_s() */
	PGW_UNKNOWN_OUTCOME_REVIEW /* no way (left) to find out */
} PgwUnknownOutcomeStep;

typedef struct PgwUnknownOutcomeFacts
{
	PgwBankOp operation; /* charge or authorize */
	bool has_token;      /* a card is gone with its slot */
	bool has_id;         /* the bank's, of the charge */
	/* a look-up has just said "not found", and that counts: sending again is allowed */
	bool resend_allowed;
	/* the bank has answered this key's request with an error */
	bool error_answered;
	/* a look-up was just answered with something else than this charge */
	bool lookup_inconclusive;
	/* the bank has it, and says that it is not decided yet */
	bool pending;
	/* the bank has said yes, without naming the charge: only that is to be found out */
	bool approved;
	bool undo;         /* it waits for the card holder, and is being undone */
	int tries;         /* so far, in this doubt */
	int64_t key_age_s; /* since the key's first use */
	/* since the first request of this doubt: asking again must not put the deadline off */
	int64_t doubt_age_s;
	int64_t deadline_s; /* how long to ask at most */
	/* since the last request that asked for the money ended */
	int64_t asked_age_s;
	/* the bank has confirmed a cancellation that does not count yet, so long ago; -1: it has not */
	int64_t cancelled_age_s;
} PgwUnknownOutcomeFacts;

/* Banks take up to two weeks for a refund; after a month something is wrong. */
#define PGW_PENDING_DEADLINE_S (30 * 24 * 60 * 60)

/*
 * Has nobody been able to say for so long what became of a capture, void, refund or give-back that
 * a person has to find out?  deadline_s: 0: never.  What the bank says is pending may take its
 * days.
 */
extern bool pgw_unknown_outcome_is_overdue(int64_t age_s, int64_t deadline_s, bool pending);

/*
 * Is this answer to a request of that operation an error which its key would bring again, or which
 * the bank forgets together with the key?  It is not if it only says that the first request is
 * still being worked on.
 */
extern bool pgw_unknown_outcome_is_error(const PgwCapabilities *caps, PgwBankOp op,
										 long http_status, const PgwAnswer *answer);

/*
 * May an answer to this question be about another try than the first, because the bank forgets what
 * was no success?  The operation itself, when it is repeated; and of what was sent more than once
 * also a look-up, which may show the other.  requests_sent counts requests that did nothing, too:
 * of those a person is asked once too often.
 */
extern bool pgw_unknown_outcome_tried_anew(const PgwCapabilities *caps, PgwBankOp operation,
										   PgwBankOp asked, int requests_sent);

/*
 * What undoes a charge that waits for the card holder: by our reference, else by what undoes it as
 * a whole, else a void.  PGW_NOPS: nothing can.
 */
extern PgwBankOp pgw_unknown_outcome_undo(const PgwCapabilities *caps);

/*
 * How long what undoes it has to wait, so that it comes after whatever may still be on its way, and
 * the second time so long after the first.  Not beyond the deadline.
 */
extern int64_t pgw_unknown_outcome_wait_s(const PgwCapabilities *caps,
										  const PgwUnknownOutcomeFacts *facts);

/* *reason: a word for event_data when it is REVIEW. */
extern PgwUnknownOutcomeStep pgw_unknown_outcome_step(const PgwCapabilities *caps,
													  const PgwUnknownOutcomeFacts *facts,
													  const char **reason);

/*
 * Is a replay safe, and can it tell anything: a bank that honours the key, a token, the key young
 * enough to be remembered, and not stored with an error that the bank would only repeat?
 */
extern bool pgw_unknown_outcome_can_replay(const PgwCapabilities *caps,
										   const PgwUnknownOutcomeFacts *facts);

/*
 * The answer to a look-up that was made before its time, on a notification's word: does it count?
 * A no may be older than what the notification tells of, as long as look-ups may lag behind.
 */
extern bool pgw_unknown_outcome_counts_early(const PgwCapabilities *caps, PgwOutcome outcome,
											 int64_t asked_age_s);

#endif
