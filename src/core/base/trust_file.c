/*
 * trust_file.c - may libcurl be handed this file of trusted certificates?
 *
 * libcurl opens and reads it in the process that serves all payments, between two of its turns: a
 * pipe's writer would be waited for as long as nobody comes, and a device be read until memory is
 * used up.
 *
 * Owns nothing.  What is put in its place after this look, and before libcurl's, is not seen: that
 * is no mistake, and whoever may do it can do worse.
 */
#include "core/base/trust_file.h"

#include <sys/stat.h>

#include "core/base/mutant.h"

#define LARGEST (16 * 1024 * 1024) /* the system's bundles have a quarter of a MB */

bool
pgw_trust_file_fits(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 &&
		   ((S_ISREG(st.st_mode) && st.st_size > 0 && st.st_size <= LARGEST) ||
			PGW_MUTATED(TRUST_FILE));
}
