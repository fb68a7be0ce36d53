/*
 * log_guard.h - keeps card numbers out of lines that the server itself writes
 */
#ifndef PGW_CARD_GUARD_LOG_GUARD_H
#define PGW_CARD_GUARD_LOG_GUARD_H

#include <stddef.h>

extern void pgw_log_guard_init(void);

/*
 * From now on, lines of this session that hold a card number are cut, whether they name the
 * function or not.
 */
extern void pgw_log_guard_watch(void);

/* Does the text name pgw.process_payment()? */
extern bool pgw_log_guard_mentions(const char *text, size_t len);

#endif
