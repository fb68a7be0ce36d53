/*
 * log_redaction.h - keeps card data out of lines that the server itself writes
 */
#ifndef PGW_CARD_GUARD_LOG_REDACTION_H
#define PGW_CARD_GUARD_LOG_REDACTION_H

#include <stdbool.h>

extern void pgw_log_redaction_init(void);

/*
 * This session pays with a card: until the end of the message from its client and of its
 * transaction, lines that hold a card number are cut, whether they name the function or not.
 */
extern void pgw_log_redaction_watch(void);

/*
 * Is pgw in this database?  In a transaction; what is found is kept for the lines of the log until
 * schemas change, and cheap to ask again.
 */
extern bool pgw_log_redaction_learn_database(void);

#endif
