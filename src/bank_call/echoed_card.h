/*
 * echoed_card.h - what a bank may repeat of what it was sent
 */
#ifndef PGW_BANK_CALL_ECHOED_CARD_H
#define PGW_BANK_CALL_ECHOED_CARD_H

#include "postgres.h"

#include "bank_call/call.h"
#include "core/card/card_text.h"
#include "exchange/slots.h"

extern void pgw_echo_keep(PgwCall *call, const PgwSlotRequest *r); /* with the rendering */
extern void pgw_echo_forget(PgwCall *call);                        /* wipes */
/* points into call and its bank */
extern void pgw_echo_sought(const PgwCall *call, PgwSought *sought);
extern void pgw_echo_tell(const PgwCall *call); /* something was left out: an alert */

#endif
