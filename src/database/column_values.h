/*
 * column_values.h - values of columns as text, whatever type somebody has given to the column
 */
#ifndef PGW_DATABASE_COLUMN_VALUES_H
#define PGW_DATABASE_COLUMN_VALUES_H

#include "postgres.h"

/* Text form of a value to and from a column of any type; enums by label. */
extern Datum pgw_row_from_string(Oid type, const char *value);
extern char *pgw_row_to_string(Oid type, Datum value);

#endif
