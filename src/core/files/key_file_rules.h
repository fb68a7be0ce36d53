/*
 * key_file_rules.h - what makes a file's content a key, and which file may hold one
 *
 * Pure: who reads the file hands in what stat() says and what it holds.  Texts name neither path
 * nor content.
 */
#ifndef PGW_CORE_FILES_KEY_FILE_RULES_H
#define PGW_CORE_FILES_KEY_FILE_RULES_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/secret_values.h"

/* Longer ones are refused. */
#define PGW_SECRET_MAX 4095

/* The faults of the worker's own reading, as health() shows them. */
typedef enum PgwSecretFault
{
	PGW_SECRET_FINE = 0,
	PGW_SECRET_NO_NAME,
	PGW_SECRET_NO_FILE,
	PGW_SECRET_OUTSIDE,
	PGW_SECRET_CANNOT_OPEN,
	PGW_SECRET_NOT_REGULAR,
	PGW_SECRET_OTHER_OWNER,
	PGW_SECRET_OPEN_TO_OTHERS,
	PGW_SECRET_EMPTY,
	PGW_SECRET_TOO_LONG,
	PGW_SECRET_BYTE_ORDER_MARK,
	PGW_SECRET_BLANKS,
	PGW_SECRET_SEVERAL_LINES,
	PGW_SECRET_UNPRINTABLE,
	PGW_SECRET_NO_MEMORY,
	PGW_SECRET_NO_NAMES, /* a line that is not name=value */
	PGW_SECRET_BAD_NAME,
	PGW_SECRET_NAME_TWICE,
	PGW_SECRET_EMPTY_VALUE,
	PGW_SECRET_TOO_MANY,
	PGW_SECRET_NAME_MISSING, /* what the connector asks for */
	PGW_NSECRET_FAULTS
} PgwSecretFault;

/* What is wrong, and what to do; PGW_SECRET_FINE: NULL. */
extern const char *pgw_secret_fault_text(PgwSecretFault fault);

/*
 * May a file with these permission bits hold a key?  As PostgreSQL has it for its own TLS key:
 * owned by us (0600 or less), or by root (0640 or less).
 */
extern PgwSecretFault pgw_secret_check_file(bool regular, bool ours, bool roots, unsigned int mode);

/*
 * A key is printable ASCII without blanks around it; line ends after it are no part of it.
 * *key_len: without them.  What is around a key was most often put there by an editor or by
 * copying, and the bank would refuse it with a reason that leads nowhere.
 */
extern PgwSecretFault pgw_secret_check_content(const char *bytes, size_t len, size_t *key_len);

/*
 * The same for a file of name=value lines, which a connector with {{secret.NAME}} reads.  text has
 * room for a NUL behind len; it is cut into the values in its place, so that no copy of a key is
 * made.  Lines that are empty or begin with "#" do not count; a value goes on to the end of its
 * line, further "=" included.
 */
extern PgwSecretFault pgw_secret_split(char *text, size_t len, PgwSecretValues *values);

/* The same for a file of which each line is a value, without a name: any of them may be the one. */
extern PgwSecretFault pgw_secret_list(char *text, size_t len, PgwSecretValues *values);

#endif
