/*
 * extension_version.h - does this library serve the version of the extension that this database
 * has?
 */
#ifndef PGW_DATABASE_EXTENSION_VERSION_H
#define PGW_DATABASE_EXTENSION_VERSION_H

#include "postgres.h"

/* What this transaction sees; in the current memory context.  NULL: no extension here. */
extern char *pgw_script_version(void);

/* Does the library serve it?  NULL: there is nothing to serve, so nothing is wrong. */
extern bool pgw_serves_script(const char *script);

/*
 * The same of this database; *script is set where not.  What was served at the last look is not
 * looked at again until somebody has committed a change.  The worker and health() look by
 * themselves: they are woken before that is heard.
 */
extern bool pgw_serves_database(char **script);

/* By this transaction: no process relies on what it saw before. */
extern void pgw_version_has_changed(void);

/* What is to be done where it does not. */
extern char *pgw_version_advice(const char *script);

#endif
