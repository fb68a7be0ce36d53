/*
 * secret_values.h - the values of a bank's secret file: one without a name, or several with names
 *
 * The texts are the owner's, who keeps them in memory that is wiped; here they are only pointed at.
 */
#ifndef PGW_CORE_BASE_SECRET_VALUES_H
#define PGW_CORE_BASE_SECRET_VALUES_H

#include <stdbool.h>
#include <stddef.h>

/* More names in one file are refused. */
#define PGW_SECRET_VALUES 16

typedef struct PgwSecretValue
{
	const char *name; /* "": the one value of a file without names */
	const char *text;
} PgwSecretValue;

typedef struct PgwSecretValues
{
	int n;
	PgwSecretValue values[PGW_SECRET_VALUES];
} PgwSecretValues;

/* Letters, digits, "_" and "-", 1 to 63 of them: as after the point of a placeholder. */
extern bool pgw_secret_name_good(const char *name, size_t len);

/* NULL: none of that name, or no values at all. */
extern const char *pgw_secret_value(const PgwSecretValues *secrets, const char *name);

#endif
