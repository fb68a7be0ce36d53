/*
 * retry_after.c - how long who was called asks us to wait before the next request
 *
 * Invariants: never negative but for "not said", and never more than most_s; what
 * cannot be read counts as not said.
 */
#include "core/bank_message/retry_after.h"
#include "core/bank_message/http_date.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

static int
seconds_until(const char *s, int most_s)
{
	int64_t then = pgw_http_date_read(s);
	int64_t now = (int64_t) time(NULL);

	if (then < 0)
		return -1;
	if (then <= now)
		return 0;
	return then - now > most_s ? most_s : (int) (then - now);
}

int
pgw_retry_after_read(const char *s, int most_s)
{
	int seconds = 0;

	if (s == NULL)
		return -1;
	while (*s == ' ' || *s == '\t')
		s++;
	if (*s < '0' || *s > '9')
		return seconds_until(s, most_s);
	for (; *s >= '0' && *s <= '9'; s++)
	{
		if (seconds <= most_s)
			seconds = seconds * 10 + (*s - '0');
	}
	while (*s == ' ' || *s == '\t')
		s++;
	if (*s != '\0')
		return -1;
	return seconds > most_s ? most_s : seconds;
}
