/*
 * list_pages.h - a look-up's list of several pages: what they say together
 */
#ifndef PGW_CORE_BANK_MESSAGE_LIST_PAGES_H
#define PGW_CORE_BANK_MESSAGE_LIST_PAGES_H

#include <stdbool.h>
#include <stddef.h>

#include "core/bank_message/judge_answer.h"

#define PGW_MAX_PAGES 10

/* Zeroed at the beginning. */
typedef struct PgwPages
{
	int n; /* read so far */
	bool found;
	PgwAnswer answer;             /* ... on one of them */
	char cursor[PGW_CURSOR_SIZE]; /* of the next one */
	bool echoed;                  /* by any of them */
	bool card_echoed;
} PgwPages;

/*
 * One page more.  True: the next one is to be asked for, and *answer says nothing yet.  False:
 * *answer is what all of them say.
 */
extern bool pgw_pages_add(PgwPages *pages, PgwAnswer *answer);

/*
 * The path of the first page's request, which is so long, with where to go on.  False: it would be
 * too long.
 */
extern bool pgw_connector_next_page(const PgwConnector *c, PgwBankOp op, const char *bank_reference,
									const char *cursor, size_t first_len, PgwBuf *path);

/* Has its answer a list that is read page by page? */
extern bool pgw_connector_has_pages(const PgwConnector *c, PgwBankOp op,
									const char *bank_reference);

#endif
