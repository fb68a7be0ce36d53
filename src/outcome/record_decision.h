/*
 * record_decision.h - what a decision of core/payment/charge_rules.h becomes in the tables, and the caller's fate
 */
#ifndef PGW_OUTCOME_RECORD_DECISION_H
#define PGW_OUTCOME_RECORD_DECISION_H

#include "postgres.h"

#include "core/payment/charge_rules.h"
#include "core/request/same_request.h"
#include "store/tables.h"

/*
 * Write a decision: events and attempt, and the payments row if the decision says so.  t is locked; so is *p when the decision has a
 * payment (else it may be NULL).  answer: the bank's, or NULL.  next_attempt_at of *t is the caller's to set before.
 */
extern void pgw_vote_record(PgwTransaction *t, PgwPayment *p, const PgwFlowDecision *d, const char *operation,
							const PgwAnswer *answer);

/* The same for an attempt that is not in the table yet. */
extern void pgw_vote_record_new(PgwTransaction *t, const PgwFlowDecision *d, const char *operation);

typedef enum PgwVote
{
	PGW_VOTE_NOTHING = 0,		/* nothing (left) to do for this attempt */
	PGW_VOTE_SAVED,				/* its payments row now holds the result */
	PGW_VOTE_UNDECIDED,			/* the caller's transaction still runs or is prepared */
	PGW_VOTE_ROLLED_BACK,		/* no payments row votes for it: the charge is to be given back */
	PGW_VOTE_BUSY,				/* the payments row is locked by someone: later */
	PGW_VOTE_FOREIGN			/* recorded in another cluster or database: its xids mean nothing here */
} PgwVote;

/*
 * Write what the caller could not: the result of an approved attempt, or for any later state what its payments row has to say of it.  t is
 * locked by this transaction, which has READ COMMITTED snapshots.
 */
extern PgwVote pgw_vote_finish(PgwTransaction *t);

/* Is the caller gone without its row?  Nothing is written or locked. */
extern bool pgw_vote_rolled_back(const PgwTransaction *t);

/* Recorded in another cluster or database (a restored dump, a copy): not to be worked on before pgw.resume_after_restore(). */
extern bool pgw_vote_is_foreign(const PgwTransaction *t);

/*
 * When pgw_watch_authorization() has to look at the authorization that has just been saved: when it lapses, as the connector says; at once where its bank
 * cannot be read just now.  0: the connector does not say, or it is not for pgw to watch.  Waits for no lock.
 */
extern TimestampTz pgw_vote_authorization_end(const PgwTransaction *t);

/* What of a recorded attempt is compared with a new request under its id. */
extern void pgw_vote_identity(const PgwTransaction *t, PgwIdentity *out);

#endif
