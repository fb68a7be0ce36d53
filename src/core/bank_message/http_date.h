/*
 * http_date.h - dates in headers, and what they say of the bank's clock
 */
#ifndef PGW_CORE_BANK_MESSAGE_HTTP_DATE_H
#define PGW_CORE_BANK_MESSAGE_HTTP_DATE_H

#include <stdbool.h>
#include <stdint.h>

/* From so many seconds on two clocks differ by more than banks forgive in signatures. */
#define PGW_CLOCK_SKEW_LIMIT_S 30

/*
 * HTTP's form of a date (RFC 9110, 5.6.7: IMF-fixdate), in seconds since 1970; -1: no such, or from
 * before 1970.
 */
extern int64_t pgw_http_date_read(const char *s);

/*
 * By how many seconds the clock of who wrote this Date (RFC 9110, 6.6.1) is ahead of ours for sure:
 * it was written between our question and its answer, which came now_s seconds after 1970 and took
 * took_ms, and says whole seconds only.  Negative: it is behind; 0 where the difference may be
 * explained by that.  False: there is no Date that can be read.
 */
extern bool pgw_clock_ahead(const char *date, int64_t now_s, int64_t took_ms, int64_t *ahead_s);

#endif
