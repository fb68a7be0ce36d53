/*
 * header_text.h - the headers of an answer as a person has them: lines as curl -i shows them, or a
 * JSON object
 */
#ifndef PGW_CORE_BANK_MESSAGE_HEADER_TEXT_H
#define PGW_CORE_BANK_MESSAGE_HEADER_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/buf.h"

/*
 * Append them to lines, "Name: value\n" each; a status line and blank lines are left out.  What is
 * wrong with the text, which is not repeated; NULL: nothing.
 */
extern const char *pgw_header_text_read(const char *text, PgwBuf *lines);

/* The first header of this name, in any case, without blanks around it; false: it is not there. */
extern bool pgw_header_text_find(const PgwBuf *lines, const char *name, char *value, size_t size);

#endif
