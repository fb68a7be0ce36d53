/*
 * review_rules.h - what an operator may do with an attempt in manual review
 *
 * The grid is data: for each kind and state that a review can come from, what each action does, or
 * why it is refused.  It drives pgw.resolve_review() and the view pgw.manual_reviews;
 * docs/manual-review.md shows the same rows, and a unit test compares the two.
 */
#ifndef PGW_CORE_PAYMENT_REVIEW_RULES_H
#define PGW_CORE_PAYMENT_REVIEW_RULES_H

#include "core/state/state_machine.h"

typedef enum PgwReviewAction
{
	PGW_REVIEW_RETRY = 0,
	PGW_REVIEW_MARK_CHARGED,
	PGW_REVIEW_MARK_NOT_CHARGED,
	PGW_REVIEW_MARK_REFUNDED,
	PGW_REVIEW_REFUND,
	PGW_NREVIEW_ACTIONS
} PgwReviewAction;

typedef struct PgwReviewCell
{
	PgwState to;         /* PGW_STATE_NONE: refused */
	const char *refusal; /* why, and what to do instead; NULL: allowed */
} PgwReviewCell;

typedef struct PgwReviewRow
{
	PgwKind kind;
	PgwState from; /* where the review came from */
	PgwReviewCell cells[PGW_NREVIEW_ACTIONS];
} PgwReviewRow;

extern const PgwReviewRow *pgw_review_rows(size_t *n);

/* NULL: no review comes from there. */
extern const PgwReviewCell *pgw_review_cell(PgwKind kind, PgwState from, PgwReviewAction action);

/* Does it need evidence.bank_reference? */
extern bool pgw_review_needs_reference(PgwReviewAction action);

/*
 * The last request to give the charge back was refused, says the review's reason: its key provably
 * did nothing, and the next try may have a new one.  Whatever else the reason is, the key may have
 * done something.
 */
extern bool pgw_review_key_did_nothing(const char *reason);

extern const char *pgw_review_action_name(PgwReviewAction action);
extern int pgw_review_action_parse(const char *name); /* -1 */

#endif
