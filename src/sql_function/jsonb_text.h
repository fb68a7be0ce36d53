/*
 * jsonb_text.h - a jsonb as text, of which nothing is left but the text itself
 */
#ifndef PGW_SQL_FUNCTION_JSONB_TEXT_H
#define PGW_SQL_FUNCTION_JSONB_TEXT_H

#include "postgres.h"
#include "utils/jsonb.h"

/* In the current memory context; size: about so long. */
extern char *pgw_jsonb_text(JsonbContainer *container, Size size);

#endif
