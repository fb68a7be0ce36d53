/*
 * require_version.h - what cannot be had while library and script differ
 */
#ifndef PGW_SQL_FUNCTION_REQUIRE_VERSION_H
#define PGW_SQL_FUNCTION_REQUIRE_VERSION_H

/*
 * PW500 version_mismatch when the library does not serve the extension's version in this database.
 * For every function that writes: what the tables are, only the script knows, and what is to be
 * written only the library.
 */
extern void pgw_require_version(void);

#endif
