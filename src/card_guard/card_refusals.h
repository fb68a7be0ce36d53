/*
 * card_refusals.h - refusals that keep card data out of logs and statistics
 */
#ifndef PGW_CARD_GUARD_CARD_REFUSALS_H
#define PGW_CARD_GUARD_CARD_REFUSALS_H

#include "core/request/validate.h"

extern void pgw_cards_init(void);

/* Setting pgw.reject_card_literals. */
extern bool pgw_cards_reject_literals(void);

/*
 * PW400 when a card argument is there and the server has written it, or would write it, somewhere.
 * Before any other error of the call.
 */
extern void pgw_cards_refuse(const PgwPaymentArgs *args);

/*
 * PW400 card_literal with these faults.  Neither the log nor the client nor pg_stat_activity is
 * shown the statement or its context.
 */
_Noreturn extern void pgw_cards_refuse_literal(const char *faults);

/*
 * PW400 card_parameters_logged for this field, when a setting of this session would write bound
 * parameters to the log.
 */
extern void pgw_cards_refuse_logging(const char *field);

#endif
