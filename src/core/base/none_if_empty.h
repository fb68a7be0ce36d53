/*
 * none_if_empty.h - an empty text in memory of fixed size stands for none, an empty JSON object too
 */
#ifndef PGW_CORE_BASE_NONE_IF_EMPTY_H
#define PGW_CORE_BASE_NONE_IF_EMPTY_H

#include <stddef.h>
#include <string.h>

static inline const char *
pgw_none_if_empty(const char *text)
{
	return text[0] != '\0' ? text : NULL;
}

/* text: as jsonb is written, so there is one form of it. */
static inline const char *
pgw_none_if_no_members(const char *text)
{
	return strcmp(text, "{}") != 0 ? text : NULL;
}

#endif
