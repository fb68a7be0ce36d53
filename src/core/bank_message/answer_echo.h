/*
 * answer_echo.h - what an answer repeats of the request's card and of our key is left out of it
 */
#ifndef PGW_CORE_BANK_MESSAGE_ANSWER_ECHO_H
#define PGW_CORE_BANK_MESSAGE_ANSWER_ECHO_H

#include "core/bank_message/answer_body.h"
#include "core/bank_message/judge_answer.h"

/*
 * Of an answer whose fields have been taken out of the body.  unchecked: the bank takes cards whose
 * numbers have no check digit.
 */
extern void pgw_answer_leave_out_echo(const PgwQuestion *q, const PgwAnswerSpec *spec,
									  bool unchecked, const PgwAnswerBody *body, PgwAnswer *a);

#endif
