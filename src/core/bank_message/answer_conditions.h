/*
 * answer_conditions.h - does it stand in an answer?
 */
#ifndef PGW_CORE_BANK_MESSAGE_ANSWER_CONDITIONS_H
#define PGW_CORE_BANK_MESSAGE_ANSWER_CONDITIONS_H

#include "core/bank_message/answer_body.h"
#include "core/bank_message/judge_answer.h"

extern bool pgw_answer_is_one_of(const PgwScalar *values, int n, const PgwQuestion *q,
								 const PgwJson *v);

/* All of them; true for none. */
extern bool pgw_answer_conditions_hold(const PgwCondition *conditions, int n, const PgwQuestion *q,
									   const PgwAnswerBody *body);

/*
 * Is there something at each place that they ask about, and did the question name what it is
 * compared with?  Without it, that they do not hold says nothing.  A condition that asks whether
 * something is there can always be answered.
 */
extern bool pgw_answer_conditions_can_be_told(const PgwCondition *conditions, int n,
											  const PgwQuestion *q, const PgwAnswerBody *body);

/*
 * That they do not hold is sure: one that can be told says so.  One that compares with our
 * reference says it only of what does not hold that reference anywhere else.
 */
extern bool pgw_answer_conditions_rule_out(const PgwCondition *conditions, int n,
										   const PgwQuestion *q, const PgwAnswerBody *body);

/*
 * They do not hold, and one of them could not be otherwise of what they are about: whether
 * something is there, a reference that is another's, a false where true is wanted.  A text that
 * nobody has named may mean anything.
 */
extern bool pgw_answer_conditions_exclude(const PgwCondition *conditions, int n,
										  const PgwQuestion *q, const PgwAnswerBody *body);

#endif
