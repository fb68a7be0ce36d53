/*
 * echo_memory.h - what an answer repeats, and would not be seen to repeat in a later one
 */
#ifndef PGW_CORE_BANK_MESSAGE_ECHO_MEMORY_H
#define PGW_CORE_BANK_MESSAGE_ECHO_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#include "core/card/card_text.h"

typedef struct PgwEchoMemory
{
	bool needed;      /* something is known now that will not be known later */
	PgwSought number; /* this call's own, and no other */
	PgwSought gone;   /* what is not known later at all: security code, holder, an old key */
	PgwSought any;    /* number and gone at once: almost every text has neither */
	PgwSought later;  /* by which texts of later answers are judged */
} PgwEchoMemory;

/* The strings stay the caller's.  last4: of the card; NULL or empty: not known. */
extern void pgw_echo_memory_begin(PgwEchoMemory *m, const PgwSought *now, const PgwSought *later,
								  const char *last4);

/* The same without holders and keys. */
extern PgwEchoMemory pgw_echo_memory_without_words(const PgwEchoMemory *m);

/* In one text: something that must be remembered. */
extern bool pgw_echo_memory_in_text(const PgwEchoMemory *m, PgwTextKind kind, const char *text,
									size_t len);

/* The same in each name, string and number of a JSON text. */
extern bool pgw_echo_memory_in_json(const PgwEchoMemory *m, PgwTextKind kind, const char *json,
									size_t len);

#endif
