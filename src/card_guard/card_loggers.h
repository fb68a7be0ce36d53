/*
 * card_loggers.h - who in this server would write card data somewhere
 */
#ifndef PGW_CARD_GUARD_CARD_LOGGERS_H
#define PGW_CARD_GUARD_CARD_LOGGERS_H

#include "postgres.h"

#include "nodes/pg_list.h"

/*
 * A setting of this session under which bound card data would be written, so that calls with a card
 * are refused; and what to do about it.  NULL: none.
 */
extern const char *pgw_loggers_refused(const char **hint);

/* What was in a hook when we put ours there; NULL: nothing.  While the library is loaded. */
extern void pgw_loggers_beneath(const char *hook, void *function);

/*
 * What pgw cannot judge, or can only cut out of the log afterwards, as JSON arrays of texts:
 * settings that are on; loaded libraries known to keep queries or parameters; unknown libraries in
 * a hook that sees queries ("hook: library").  NULL: none.  Needs SPI.
 */
extern char *pgw_loggers_settings(void);
extern char *pgw_loggers_libraries(void);
extern char *pgw_loggers_hooks(void);

/*
 * Functions of PL/pgSQL that call process_payment() and print parameters in an error
 * (#print_strict_params).
 */
extern char *pgw_loggers_functions(void);

#endif
