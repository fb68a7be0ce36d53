/*
 * error_detail.h - DETAIL of the errors that pgw raises, but for PW400 (docs/errors.md), and of
 * lines of the log
 */
#ifndef PGW_BASE_ERROR_DETAIL_H
#define PGW_BASE_ERROR_DETAIL_H

#include "postgres.h"
#include "utils/uuid.h"

/*
 * A JSON object that begins as a row of payment_result would say it: code, class, http_status,
 * retryable.  members: what follows, JSON text without braces, or NULL.  A code that is not in the
 * list is an internal error.  palloc'd.
 */
extern char *pgw_error_detail(const char *error_code, const char *members);

/*
 * In ereport(): DETAIL of a line of the log about an attempt, which programs read
 * (docs/monitoring.md, "Logs and traces").  transaction, payment, bank, rest: NULL: not told.
 */
extern int pgw_errdetail_attempt(const char *correlation, const pg_uuid_t *transaction,
								 const pg_uuid_t *payment, const char *bank, const char *rest);

#endif
