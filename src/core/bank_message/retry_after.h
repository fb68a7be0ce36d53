/*
 * retry_after.h - how long who was called asks us to wait before the next request
 */
#ifndef PGW_CORE_BANK_MESSAGE_RETRY_AFTER_H
#define PGW_CORE_BANK_MESSAGE_RETRY_AFTER_H

#include <stdint.h>

/* What a bank's Retry-After may ask for at most: it must not park a payment for ever. */
#define PGW_RETRY_AFTER_MAX_S 3600

/*
 * The header's text (NULL: it is not there) in seconds from now, most_s at most; -1: not said, or
 * not readable (RFC 9110, 10.2.3).
 */
extern int pgw_retry_after_read(const char *s, int most_s);

#endif
