/*
 * extension.h - the extension as an object of the database: is it there, and whose is it?
 */
#ifndef PGW_DATABASE_EXTENSION_H
#define PGW_DATABASE_EXTENSION_H

#include "postgres.h"

/*
 * The extension's row as this transaction sees it; false: there is none.  Either may be NULL; the
 * version is in the current memory context.
 */
extern bool pgw_extension_look(Oid *oid, char **version);

/*
 * Is the extension there? false: no. Locks the extension object conditionally; *busy: someone drops
 * or alters it right now.
 */
extern bool pgw_extension_lock(bool *busy);

/*
 * The owner of the tables: the extension's owner, and after a REASSIGN OWNED the one who can write
 * them.
 */
extern Oid pgw_extension_owner(void);

#endif
