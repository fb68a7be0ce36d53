/*
 * error_detail.h - DETAIL of the errors that pgw raises, but for PW400 (docs/errors.md)
 */
#ifndef PGW_BASE_ERROR_DETAIL_H
#define PGW_BASE_ERROR_DETAIL_H

/*
 * A JSON object that begins as a row of payment_result would say it: code, class, http_status,
 * retryable.  members: what follows, JSON text without braces, or NULL.  A code that is not in the
 * list is an internal error.  palloc'd.
 */
extern char *pgw_error_detail(const char *error_code, const char *members);

#endif
