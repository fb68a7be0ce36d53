/*
 * given_headers.h - the headers of a request, as an application hands them over
 */
#ifndef PGW_CORE_NOTIFICATION_GIVEN_HEADERS_H
#define PGW_CORE_NOTIFICATION_GIVEN_HEADERS_H

#include <stdbool.h>

#include "core/base/buf.h"
#include "core/notification/verify_signature.h"

typedef struct PgwGivenHeaders
{
	int n;
	PgwGivenHeader list[PGW_NOTIFICATION_MAX_HEADERS];
	PgwBuf text; /* what the list points to */
} PgwGivenHeaders;

/*
 * A JSON object of names and values, a value being a text or an array of texts (a header that came
 * several times); others are left out.  false: no such object, or more headers than there may be.
 * End it in either case.
 */
extern bool pgw_given_headers_read(const char *json, size_t len, PgwGivenHeaders *headers);
extern void pgw_given_headers_end(PgwGivenHeaders *headers); /* wipes: one may be a password */

#endif
