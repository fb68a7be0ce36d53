/*
 * mutant.c - which safeguard a build with -DPGW_MUTANTS lacks; no other build has anything of this
 *
 * It is known before anything else of the library runs, and a server's processes inherit it.
 */
#include "core/base/mutant.h"

#ifdef PGW_MUTANTS
#include <stdlib.h>

int pgw_mutant = NO_MUTANT;

__attribute__((constructor)) static void
read_mutant(void)
{
	const char *number = getenv("PGW_MUTANT");

	if (number != NULL)
		pgw_mutant = atoi(number);
}
#endif
