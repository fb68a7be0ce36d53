/*
 * version.c - which of two versions is the newer one
 *
 * Owns nothing.
 */
#include <string.h>

#include "core/base/version.h"

static int
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The numbers at which both begin; both are moved behind them. */
static int
compare_numbers(const char **a, const char **b)
{
	size_t na;
	size_t nb;
	int order;

	*a += strspn(*a, "0");
	*b += strspn(*b, "0");
	na = strspn(*a, "0123456789");
	nb = strspn(*b, "0123456789");
	/* without leading zeros the longer one is the greater one, whatever its length */
	order = na != nb ? (na > nb ? 1 : -1) : strncmp(*a, *b, na);
	*a += na;
	*b += nb;
	return order;
}

int
pgw_version_compare(const char *a, const char *b)
{
	while (*a != '\0' && *b != '\0')
	{
		int order;

		if (is_digit(*a) && is_digit(*b))
			order = compare_numbers(&a, &b);
		else
			order = (unsigned char) *a++ - (unsigned char) *b++;
		if (order != 0)
			return order;
	}
	return (*a != '\0') - (*b != '\0');
}
