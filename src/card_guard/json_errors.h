/*
 * json_errors.h - what the server says of a text that it cannot read as JSON: without the text
 */
#ifndef PGW_CARD_GUARD_JSON_ERRORS_H
#define PGW_CARD_GUARD_JSON_ERRORS_H

#include "postgres.h"

/* On its way to the log and to the client; any other line stays as it is. */
extern void pgw_json_errors_guard(ErrorData *line);

#endif
