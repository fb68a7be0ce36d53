/*
 * version.h - which version this library is, and for which version of the extension's script
 *
 * Between a new library and the ALTER EXTENSION UPDATE that follows it, the two differ.  A library
 * serves exactly one version of the script: what it reads and writes is what that script has made.
 */
#ifndef PGW_CORE_BASE_VERSION_H
#define PGW_CORE_BASE_VERSION_H

#define PGW_LIBRARY_VERSION "1.0.0"

/*
 * default_version of pgw.control, which test/check-versions.sh compares.  A test builds a library
 * for another one.
 */
#ifndef PGW_SCRIPT_VERSION
#define PGW_SCRIPT_VERSION "1.0"
#endif

/*
 * Below 0: a is older than b; 0: the same; above 0: newer.  Numbers are compared as numbers, so
 * that 1.10 comes after 1.9; what is no number, as text.
 */
extern int pgw_version_compare(const char *a, const char *b);

#endif
