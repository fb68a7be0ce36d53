/*
 * cards.h - refusals that keep card data out of logs and statistics
 */
#ifndef PGW_INTERFACE_CARDS_H
#define PGW_INTERFACE_CARDS_H

#include "core/validate.h"

extern void pgw_cards_init(void);

/* PW400 when a card argument is there and the server has written it, or would write it, somewhere. */
extern void pgw_cards_refuse(const PgwRequest *req);

/* A setting of this session under which the server would write bound parameters, and what to do about it. NULL: none. */
extern const char *pgw_cards_logging_setting(const char **hint);

#endif
