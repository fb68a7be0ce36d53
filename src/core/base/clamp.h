/*
 * clamp.h - a number brought into its range
 */
#ifndef PGW_CORE_BASE_CLAMP_H
#define PGW_CORE_BASE_CLAMP_H

#include <stdint.h>

static inline int64_t
pgw_clamp(int64_t value, int64_t least, int64_t most)
{
	return value < least ? least : value > most ? most : value;
}

#endif
