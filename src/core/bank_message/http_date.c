/*
 * http_date.c - dates in headers, and what they say of the bank's clock
 *
 * Owns nothing.
 */
#include "core/bank_message/http_date.h"

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

bool
pgw_clock_ahead(const char *date, int64_t now_s, int64_t took_ms, int64_t *ahead_s)
{
	int64_t theirs = pgw_http_date_read(date);
	int64_t explained = took_ms / 1000 + 1;

	if (theirs < 0)
		return false;
	*ahead_s = theirs - now_s;
	if (*ahead_s > explained)
		*ahead_s -= explained;
	else if (*ahead_s < -explained)
		*ahead_s += explained;
	else
		*ahead_s = 0;
	return true;
}
