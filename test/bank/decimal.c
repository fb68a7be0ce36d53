/*-------------------------------------------------------------------------
 *
 * decimal.c
 *		Amounts as decimal text, for the dialects that have them so.
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <string.h>

#include "bank.h"

/* How many decimal digits a currency has. */
int
decimal_digits(const char *currency)
{
	static const char *const none[] = {"JPY", "KRW", "VND", "CLP", "ISK",
									   "PYG", "UGX", "XAF", "XOF", "XPF"};
	static const char *const three[] = {"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"};

	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		if (strcmp(currency, none[i]) == 0)
			return 0;
	for (size_t i = 0; i < sizeof(three) / sizeof(three[0]); i++)
		if (strcmp(currency, three[i]) == 0)
			return 3;
	return 2;
}

/* "12.34" to minor units; -1 = wrong. */
int64_t
decimal_amount(const char *s, int digits)
{
	int64_t amount = 0;
	int seen = -1;

	if (!isdigit((unsigned char) s[0]) || strlen(s) > 13)
		return -1;
	for (; *s != '\0'; s++)
	{
		if (*s == '.' && seen < 0)
			seen = 0;
		else if (!isdigit((unsigned char) *s))
			return -1;
		else
		{
			amount = amount * 10 + (*s - '0');
			if (seen >= 0)
				seen++;
		}
	}
	if (seen < 0)
		seen = 0;
	if (seen > digits)
		return -1;
	for (; seen < digits; seen++)
		amount *= 10;
	return amount > 0 ? amount : -1;
}

void
put_decimal(Buf *b, int64_t amount, int digits)
{
	int64_t unit = digits == 3 ? 1000 : digits == 2 ? 100 : 1;

	if (digits == 0)
		buf_printf(b, "%lld", (long long) amount);
	else
		buf_printf(b, "%lld.%0*lld", (long long) (amount / unit), digits,
				   (long long) (amount % unit));
}
