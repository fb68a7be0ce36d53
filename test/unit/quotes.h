/*
 * quotes.h - documents and answers in tests are written with ' for ", which C would want escaped
 */
#ifndef PGW_TEST_QUOTES_H
#define PGW_TEST_QUOTES_H

#include <string.h>

static inline void
with_quotes(char *s)
{
	while ((s = strchr(s, '\'')) != NULL)
		*s = '"';
}

#endif
