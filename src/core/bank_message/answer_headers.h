/*
 * answer_headers.h - the headers of an answer that its connector reads
 */
#ifndef PGW_CORE_BANK_MESSAGE_ANSWER_HEADERS_H
#define PGW_CORE_BANK_MESSAGE_ANSWER_HEADERS_H

#include <stdbool.h>

#include "core/base/buf.h"
#include "core/connector/compiled.h"
#include "core/json/json_read.h"

/* Each as a JSON string; without a value: it is not there. */
typedef struct PgwAnswerHeaders
{
	PgwJson values[PGW_MAX_ANSWER_HEADERS];
	PgwBuf json;
} PgwAnswerHeaders;

/*
 * Those of which wanted has the bit, out of lines "Name: value\n"; NULL: there are none.  False:
 * one of them cannot be read, or says two things, so the answer says nothing.
 */
extern bool pgw_answer_headers_read(const PgwConnector *c, unsigned wanted, const char *lines,
									PgwAnswerHeaders *headers);
extern void pgw_answer_headers_end(PgwAnswerHeaders *headers);

#endif
