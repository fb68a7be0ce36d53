/*
 * start_name.c - a name that the server is started under, which no copy of its data directory has
 *
 * Owns nothing.  Invariant: a name that stands in a file of the data directory is no name: every
 * copy would have it.
 */
#include "postgres.h"

#include <unistd.h>

#include "miscadmin.h"
#include "utils/guc.h"

#include "base/compat.h"
#include "base/start_name.h"
#include "core/files/copy_rules.h"

static bool
check_name(char **value, void **extra, GucSource source)
{
	if (*value == NULL || pgw_instance_valid(*value))
		return true;
	GUC_check_errdetail("At most %d printable ASCII characters, without blanks and double quotes.",
						PGW_INSTANCE_MAX);
	return false;
}

void
pgw_start_name_define(PgwStartName *n, const char *what, const char *whence)
{
	const char *from_environment = getenv(n->variable);

	if (from_environment != NULL && !pgw_instance_valid(from_environment))
		ereport(
			FATAL,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value in the environment variable %s", n->variable),
			 errdetail("At most %d printable ASCII characters, without blanks and double quotes.",
					   PGW_INSTANCE_MAX)));
	DefineCustomStringVariable(n->setting, what, whence, &n->value,
							   from_environment != NULL ? from_environment : "", PGC_POSTMASTER, 0,
							   check_name, NULL, NULL);
}

/*
 * A file of the data directory is in every copy of it. What cannot be resolved is taken to be one.
 */
static bool
lies_in_data_directory(const char *path)
{
	char *file = realpath(path, NULL);
	char *directory = realpath(DataDir, NULL);
	size_t n = directory != NULL ? strlen(directory) : 0;
	bool inside = file == NULL || directory == NULL ||
				  (strncmp(file, directory, n) == 0 && (file[n] == '/' || n == 1));

	free(file);
	free(directory);
	return inside;
}

bool
pgw_start_name_read(const PgwStartName *n, char *out, Size size)
{
	const char *file = pgw_guc_sourcefile(n->setting);
	const char *from_environment = getenv(n->variable);

	strlcpy(out, n->value != NULL ? n->value : "", size);
	if (file == NULL || out[0] == '\0' || !lies_in_data_directory(file))
		return false;
	strlcpy(out, from_environment != NULL ? from_environment : "", size);
	ereport(
		WARNING,
		(errmsg("pgw: %s in file \"%s\" is ignored", n->setting, file),
		 errdetail("That file is part of the data directory, so every copy has it, too."),
		 errhint(
			 "Set it where no copy of the data directory takes it along: in the environment (%s), on the server's command line, "
			 "or in a configuration file elsewhere.",
			 n->variable)));
	return true;
}
