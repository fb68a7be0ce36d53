/*
 * retry_after.c - how long a bank asks us to wait before the next request
 *
 * Invariants: never negative but for "not said", and never more than PGW_RETRY_AFTER_MAX_S; what
 * cannot be read counts as not said.
 */
#include "core/bank_message/retry_after.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

static int
two_digits(const char *s)
{
	if (s[0] < '0' || s[0] > '9' || s[1] < '0' || s[1] > '9')
		return -1;
	return (s[0] - '0') * 10 + s[1] - '0';
}

/*
 * "Sun, 06 Nov 1994 08:49:37 GMT", the one form that servers may send; without strptime(), which
 * obeys the locale.
 */
int64_t
pgw_http_date_read(const char *s)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct tm tm = {0};
	const char *month = NULL;
	int century;
	int year;

	if (s == NULL || strlen(s) != 29 || s[3] != ',' || s[4] != ' ' || s[7] != ' ' || s[11] != ' ' ||
		s[16] != ' ' || s[19] != ':' || s[22] != ':' || strcmp(s + 25, " GMT") != 0)
		return -1;
	for (int i = 0; i < 12; i++)
	{
		if (memcmp(months + i * 3, s + 8, 3) == 0)
		{
			month = months + i * 3;
			tm.tm_mon = i;
		}
	}
	century = two_digits(s + 12);
	year = two_digits(s + 14);
	tm.tm_mday = two_digits(s + 5);
	tm.tm_hour = two_digits(s + 17);
	tm.tm_min = two_digits(s + 20);
	tm.tm_sec = two_digits(s + 23);
	if (month == NULL || century < 19 || year < 0 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
		tm.tm_hour < 0 || tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59 || tm.tm_sec < 0 ||
		tm.tm_sec > 60)
		return -1;
	tm.tm_year = century * 100 + year - 1900;
	return (int64_t) timegm(&tm);
}

static int
seconds_until(const char *s)
{
	int64_t then = pgw_http_date_read(s);
	int64_t now = (int64_t) time(NULL);

	if (then < 0)
		return -1;
	if (then <= now)
		return 0;
	return then - now > PGW_RETRY_AFTER_MAX_S ? PGW_RETRY_AFTER_MAX_S : (int) (then - now);
}

int
pgw_retry_after_read(const char *s)
{
	int seconds = 0;

	if (s == NULL)
		return -1;
	while (*s == ' ' || *s == '\t')
		s++;
	if (*s < '0' || *s > '9')
		return seconds_until(s);
	for (; *s >= '0' && *s <= '9'; s++)
	{
		if (seconds <= PGW_RETRY_AFTER_MAX_S)
			seconds = seconds * 10 + (*s - '0');
	}
	while (*s == ' ' || *s == '\t')
		s++;
	if (*s != '\0')
		return -1;
	return seconds > PGW_RETRY_AFTER_MAX_S ? PGW_RETRY_AFTER_MAX_S : seconds;
}
