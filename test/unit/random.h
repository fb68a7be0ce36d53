/*
 * random.h - xorshift: the same numbers from the same seed, on every machine
 *
 * Owns: the seed, one for each test program; it must not be 0.
 */
#ifndef PGW_TEST_RANDOM_H
#define PGW_TEST_RANDOM_H

#include <stdint.h>

static uint64_t seed;

static inline uint64_t
next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* 0 to n - 1 */
static inline int
any(int n)
{
	return (int) ((next_random() >> 16) % (uint64_t) n);
}

#endif
