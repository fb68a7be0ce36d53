/*
 * card_calls.h - calls with card data in a text that nobody has analyzed
 */
#ifndef PGW_CARD_GUARD_CARD_CALLS_H
#define PGW_CARD_GUARD_CARD_CALLS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Where the text names one of pgw's functions that pay, or one that is handed what a bank was sent
 * or says, as a word of its own; NULL: nowhere.
 */
extern const char *pgw_find_call(const char *text, size_t len);

/*
 * Does a call in the text give number, CVV or holder as a literal, as far as can be told?  A value
 * that has a name (a column, a variable) may be a literal further up in the same statement:
 * names_count says that any literal in the text stands for it, then.
 */
extern bool pgw_call_has_literal(const char *text, size_t len, bool names_count);

#endif
