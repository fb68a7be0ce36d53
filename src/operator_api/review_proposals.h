/*
 * review_proposals.h - what one operator asks another to confirm: pgw.review_proposals
 */
#ifndef PGW_OPERATOR_API_REVIEW_PROPOSALS_H
#define PGW_OPERATOR_API_REVIEW_PROPOSALS_H

#include "postgres.h"
#include "utils/uuid.h"

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
	char *actor;     /* who that was, JSON text: calling_actor.h */
} PgwProposal;

/* The attempt's row is locked by the caller.  false: there is none. */
extern bool pgw_proposal_newest(const pg_uuid_t *transaction_id, PgwProposal *out);
extern void pgw_proposal_add(const pg_uuid_t *transaction_id, const PgwProposal *p);

#endif
