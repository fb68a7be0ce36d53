/*
 * echoed_card.h - what a bank may repeat of what it was sent
 */
#ifndef PGW_BANK_CALL_ECHOED_CARD_H
#define PGW_BANK_CALL_ECHOED_CARD_H

#include "postgres.h"

#include "bank_call/call.h"
#include "core/bank_message/judge_answer.h"
#include "core/card/card_text.h"
#include "exchange/slots.h"

/* What must not be kept of an answer: now, and when the card is not known any more. */
typedef struct PgwEchoSought
{
	PgwSought now;
	PgwSought later;
} PgwEchoSought;

extern void pgw_echo_keep(PgwCall *call, const PgwSlotRequest *r); /* with the rendering */
extern void pgw_echo_forget(PgwCall *call);                        /* wipes */
/*
 * Fills in what the question says of the card.  echo points into call and its bank, question into
 * echo.
 */
extern void pgw_echo_sought(const PgwCall *call, PgwEchoSought *echo, PgwQuestion *question);
extern void pgw_echo_tell(const PgwCall *call); /* something was left out: an alert */

#endif
