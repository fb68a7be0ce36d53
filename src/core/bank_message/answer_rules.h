/*
 * answer_rules.h - which of a connector's rules an answer fits, and why not the others
 */
#ifndef PGW_CORE_BANK_MESSAGE_ANSWER_RULES_H
#define PGW_CORE_BANK_MESSAGE_ANSWER_RULES_H

#include "core/bank_message/answer_body.h"
#include "core/bank_message/judge_answer.h"

/* The first that fits; -1: none does.  Each one before it is told to why (NULL: nobody asks). */
extern int pgw_answer_first_rule(const PgwAnswerSpec *spec, const PgwQuestion *q, long status,
								 const PgwAnswerBody *body, PgwWhy *why);

#endif
