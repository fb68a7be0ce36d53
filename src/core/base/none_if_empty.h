/*
 * none_if_empty.h - an empty text in memory of fixed size stands for none
 */
#ifndef PGW_CORE_BASE_NONE_IF_EMPTY_H
#define PGW_CORE_BASE_NONE_IF_EMPTY_H

#include <stddef.h>

static inline const char *
pgw_none_if_empty(const char *text)
{
	return text[0] != '\0' ? text : NULL;
}

#endif
