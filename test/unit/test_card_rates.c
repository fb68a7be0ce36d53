/*
 * test_card_rates.c - how often an ordinary id is taken for a card number, shape by shape
 *
 * Prints TAP: a shape is "ok" when no more of its random ids are refused than docs/security.md
 * says.  PGW_RATES sets how many of each (make card-rates: 100,000); the default is for everyday.
 * The ids of a run are always the same ones.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/card/card_text.h"

static uint64_t state = UINT64_C(0x9E3779B97F4A7C15);

static uint64_t
random64(void)
{
	uint64_t z = (state += UINT64_C(0x9E3779B97F4A7C15)); /* splitmix64 */

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

static uint64_t
below(uint64_t n)
{
	return random64() % n;
}

#define DIGITS "0123456789"
#define HEX "0123456789abcdef"
#define BASE32 "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
#define BASE62 "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define BASE64 "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
#define BASE64URL "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

static char *
some(char *p, const char *alphabet, int n)
{
	for (size_t size = strlen(alphabet); n > 0; n--)
		*p++ = alphabet[below(size)];
	*p = '\0';
	return p;
}

/* 2020 to 2037 */
static uint64_t
some_time(void)
{
	return UINT64_C(1577836800) + below(UINT64_C(540000000));
}

static char *
uuid(char *p, char version, bool dashes)
{
	char hex[40];

	some(hex, HEX, 32);
	if (version == '7')
	{
		char ms[16];

		snprintf(ms, sizeof(ms), "%012llx",
				 (unsigned long long) (some_time() * 1000 + below(1000)));
		memcpy(hex, ms, 12);
	}
	hex[12] = version;
	hex[16] = "89ab"[below(4)];
	return p + sprintf(p, dashes ? "%.8s-%.4s-%.4s-%.4s-%.12s" : "%.8s%.4s%.4s%.4s%.12s", hex,
					   hex + 8, hex + 12, hex + 16, hex + 20);
}

static void
make_uuid4(char *p, int n)
{
	(void) n;
	uuid(p, '4', true);
}
static void
make_uuid7(char *p, int n)
{
	(void) n;
	uuid(p, '7', true);
}
static void
make_uuid_plain(char *p, int n)
{
	(void) n;
	uuid(p, '4', false);
}
static void
make_hex(char *p, int n)
{
	some(p, HEX, n);
}
static void
make_base62(char *p, int n)
{
	some(p, BASE62, n);
}
static void
make_nanoid(char *p, int n)
{
	some(p, BASE64URL, n);
}
static void
make_stripe(char *p, int n)
{
	some(p + sprintf(p, "pi_"), BASE62, n);
}

static void
make_decimal(char *p, int n)
{
	*p = (char) ('1' + below(9));
	some(p + 1, DIGITS, n - 1);
}

static void
make_ulid(char *p, int n)
{
	uint64_t ms = some_time() * 1000 + below(1000);

	(void) n;
	for (int i = 9; i >= 0; i--, ms /= 32)
		p[i] = BASE32[ms % 32];
	some(p + 10, BASE32, 16);
}

static void
make_objectid(char *p, int n)
{
	(void) n;
	some(p + sprintf(p, "%08llx", (unsigned long long) some_time()), HEX, 16);
}

static void
make_time(char *p, int n)
{
	p += sprintf(p, "%llu", (unsigned long long) some_time());
	some(p, DIGITS, n - 10);
}

static void
make_iso_time(char *p, int n)
{
	time_t t = (time_t) some_time();
	struct tm tm;

	gmtime_r(&t, &tm);
	p += strftime(p, 40,
				  n == 1   ? "%Y-%m-%dT%H:%M:%S"
				  : n == 2 ? "%Y-%m-%d %H:%M:%S"
						   : "%d.%m.%Y %H:%M:%S",
				  &tm);
	sprintf(p, ".%06d", (int) below(1000000));
}

/* Milliseconds since the service's epoch, shifted by 22 */
static void
make_snowflake(char *p, int n)
{
	uint64_t epoch = n == 1 ? UINT64_C(1288834974) : UINT64_C(1420070400);

	sprintf(p, "%llu",
			(unsigned long long) ((((some_time() - epoch) * 1000 + below(1000)) << 22) |
								  below(1 << 22)));
}

static void
make_phone(char *p, int n)
{
	static const char *const codes[] = {"1",  "44", "49", "33", "34", "39", "31",  "43",  "41",
										"48", "55", "52", "91", "86", "81", "380", "351", "420"};
	const char *code = codes[below(sizeof(codes) / sizeof(codes[0]))];

	p += sprintf(p, "+%s", code);
	if (n == 1)
		some(p, DIGITS, 10 - (int) strlen(code) + (int) below(4)); /* 10 to 13 in all */
	else
		sprintf(p, " %03d %04d %03d", (int) below(1000), (int) below(10000), (int) below(1000));
}

static void
make_iban(char *p, int n)
{
	static const struct
	{
		const char *country;
		int letters; /* in front */
		int digits;
	} kinds[] = {{"DE", 0, 18}, {"FR", 0, 23}, {"NL", 4, 10}, {"GB", 4, 14}, {"BE", 0, 12},
				 {"ES", 0, 20}, {"AT", 0, 16}, {"PL", 0, 24}, {"DK", 0, 14}, {"SE", 0, 20}};
	int kind = (int) below(sizeof(kinds) / sizeof(kinds[0]));
	char plain[40];
	char *q = some(plain + 4, "ABCDEFGHIJKLMNOPQRSTUVWXYZ", kinds[kind].letters);
	unsigned sum = 0;
	const char *country = kinds[kind].country;

	some(q, DIGITS, kinds[kind].digits);
	for (q = plain + 4; *q != '\0'; q++)
		sum = (*q >= 'A' ? sum * 100 + (unsigned) (*q - 'A') + 10
						 : sum * 10 + (unsigned) (*q - '0')) %
			  97;
	for (int i = 0; i < 2; i++)
		sum = (sum * 100 + (unsigned) (country[i] - 'A') + 10) % 97;
	sprintf(q = p, "%s%02u", country, 98 - sum * 100 % 97);
	memcpy(plain, p, 4);
	for (int i = 0; plain[i] != '\0'; i++)
	{
		if (n == 2 && i > 0 && i % 4 == 0)
			*q++ = ' ';
		*q++ = plain[i];
	}
	*q = '\0';
}

/* n digits, the last one GS1's check digit */
static void
make_gtin(char *p, int n)
{
	int sum = 0;

	some(p, DIGITS, n - 1);
	for (int i = 0; i < n - 1; i++)
		sum += (p[n - 2 - i] - '0') * (i % 2 == 0 ? 3 : 1);
	sprintf(p + n - 1, "%d", (10 - sum % 10) % 10);
}

static void
make_base64(char *p, int n)
{
	p = some(p, BASE64, n * 4 / 3);
	sprintf(p, "%s", n % 3 == 1 ? "==" : n % 3 == 2 ? "=" : "");
}

static char *
encode(char *p, const char *text)
{
	for (size_t len = strlen(text); len > 0;)
	{
		uint32_t bits = 0;
		size_t used = len < 3 ? len : 3;

		for (size_t i = 0; i < used; i++)
			bits |= (uint32_t) (unsigned char) text[i] << (16 - 8 * i);
		for (size_t i = 0; i <= used; i++)
			*p++ = BASE64URL[bits >> (18 - 6 * i) & 63];
		text += used;
		len -= used;
	}
	*p = '\0';
	return p;
}

static void
make_jwt(char *p, int n)
{
	char payload[300];
	char id[40];
	uint64_t now = some_time();

	(void) n;
	uuid(id, '4', true);
	snprintf(payload, sizeof(payload),
			 "{\"sub\":\"%llu\",\"jti\":\"%s\",\"iat\":%llu,\"exp\":%llu,\"aud\":\"shop\"}",
			 (unsigned long long) below(UINT64_C(10000000000)), id, (unsigned long long) now,
			 (unsigned long long) now + 3600);
	p = encode(p, "{\"alg\":\"HS256\",\"typ\":\"JWT\"}");
	*p++ = '.';
	p = encode(p, payload);
	*p++ = '.';
	some(p, BASE64URL, 43);
}

static void
make_order(char *p, int n)
{
	int year = 2020 + (int) below(17);

	switch (n)
	{
		case 1:
			sprintf(p, "%03d-%07d-%07d", (int) below(1000), (int) below(10000000),
					(int) below(10000000));
			break;
		case 2:
			sprintf(p, "%d%02d%02d-%06d", year, 1 + (int) below(12), 1 + (int) below(28),
					(int) below(1000000));
			break;
		case 3:
			sprintf(p, "INV-%d-%06d", year, (int) below(1000000));
			break;
		default:
			sprintf(p, "%d.%d.%d.%d:%d", 1 + (int) below(254), (int) below(256), (int) below(256),
					(int) below(256), (int) below(65536));
	}
}

static void
make_json(char *p, int n)
{
	char id[40];

	uuid(id, '4', true);
	if (n == 1)
		sprintf(p, "{\"order_id\": %d, \"customer_id\": \"%d\"}", 10000000 + (int) below(90000000),
				10000000 + (int) below(90000000));
	else if (n == 2)
		sprintf(
			p,
			"{\"cart\": \"%s\", \"items\": [{\"sku\": \"A%d\", \"qty\": %d, \"price\": %d}, {\"sku\": \"B%d\", \"qty\": %d, \"price\": %d}], \"ip\": \"%d.%d.%d.%d\", \"zip\": \"%05d\"}",
			id, (int) below(100000), 1 + (int) below(9), (int) below(10000), (int) below(100000),
			1 + (int) below(9), (int) below(10000), (int) below(256), (int) below(256),
			(int) below(256), (int) below(256), (int) below(100000));
	else if (n == 3)
		sprintf(p, "{\"lat\": %d.%014d, \"lon\": %d.%014d}", (int) below(90),
				(int) below(1000000000), (int) below(180), (int) below(1000000000));
	else
		sprintf(p,
				n == 4 ? "{\"prices\": [%d, %d, %d, %d]}"
					   : "{\"pins\": [\"%d\", \"%d\", \"%d\", \"%d\"]}",
				1000 + (int) below(9000), 1000 + (int) below(9000), 1000 + (int) below(9000),
				1000 + (int) below(9000));
}

static void
make_small(char *p, int n)
{
	if (n == 1)
		sprintf(p, "%d", 100 + (int) below(900));
	else
		sprintf(p, "{\"room\": \"%d\", \"qty\": %d, \"note\": \"seat %d\"}", 100 + (int) below(900),
				100 + (int) below(900), 100 + (int) below(900));
}

/* limit: so many in 100,000 may be refused, as the docs say; the test allows for chance */
static const struct
{
	const char *name;
	void (*make)(char *p, int n);
	int n;
	double limit;
} shapes[] = {
	{"UUID v4", make_uuid4, 0, 0},
	{"UUID v7", make_uuid7, 0, 0},
	{"UUID v4 without hyphens", make_uuid_plain, 0, 0},
	{"ULID", make_ulid, 0, 0},
	{"KSUID", make_base62, 27, 0},
	{"nanoid", make_nanoid, 21, 0},
	{"pi_ and 24 letters and digits", make_stripe, 24, 0},
	{"MongoDB ObjectId", make_objectid, 24, 0},
	{"16 hexadecimal digits", make_hex, 16, 3},
	{"MD5", make_hex, 32, 0},
	{"SHA-1", make_hex, 40, 0},
	{"SHA-256", make_hex, 64, 0},
	{"SHA-512", make_hex, 128, 0},
	{"base64 of 16 bytes", make_base64, 16, 0},
	{"base64 of 32 bytes", make_base64, 32, 0},
	{"base64 of 256 bytes", make_base64, 256, 0},
	{"JWT", make_jwt, 0, 0},
	{"8 decimal digits", make_decimal, 8, 0},
	{"9 decimal digits", make_decimal, 9, 0},
	{"10 decimal digits", make_decimal, 10, 0},
	{"11 decimal digits", make_decimal, 11, 0},
	{"12 decimal digits", make_decimal, 12, 0},
	{"13 decimal digits", make_decimal, 13, 0},
	{"14 decimal digits", make_decimal, 14, 460},
	{"15 decimal digits", make_decimal, 15, 260},
	{"16 decimal digits", make_decimal, 16, 3400},
	{"17 decimal digits", make_decimal, 17, 800},
	{"18 decimal digits", make_decimal, 18, 800},
	{"19 decimal digits", make_decimal, 19, 2300},
	{"20 decimal digits", make_decimal, 20, 0},
	{"time in milliseconds", make_time, 13, 0},
	{"time in microseconds", make_time, 16, 0},
	{"time in nanoseconds", make_time, 19, 0},
	{"2026-11-26T10:15:00.123456", make_iso_time, 1, 0},
	{"2026-11-26 10:15:00.123456", make_iso_time, 2, 0},
	{"26.11.2026 10:15:00.123456", make_iso_time, 3, 0},
	{"snowflake, epoch 2010", make_snowflake, 1, 0},
	{"snowflake, epoch 2015", make_snowflake, 2, 100},
	{"phone number, E.164", make_phone, 1, 0},
	{"phone number in groups", make_phone, 2, 0},
	{"IBAN", make_iban, 1, 0},
	{"IBAN in groups", make_iban, 2, 0},
	{"EAN-8", make_gtin, 8, 0},
	{"UPC-A", make_gtin, 12, 0},
	{"EAN-13", make_gtin, 13, 0},
	{"GTIN-14", make_gtin, 14, 460},
	{"SSCC", make_gtin, 18, 800},
	{"123-1234567-1234567", make_order, 1, 650},
	{"20261126-123456", make_order, 2, 0},
	{"INV-2026-123456", make_order, 3, 0},
	{"IPv4 address and port", make_order, 4, 0},
	{"JSON, two ids of 8 digits", make_json, 1, 0},
	{"JSON, a cart", make_json, 2, 0},
	{"JSON, coordinates", make_json, 3, 0},
	{"JSON, four numbers of 4 digits", make_json, 4, 0},
	{"JSON, four neighbouring texts of 4 digits", make_json, 5, 3400},
	{"reference of 3 digits, of a call with CVV", make_small, 1, 120},
	{"JSON, a text of 3 digits, of a call with CVV", make_small, 2, 120},
};

#define BATCH 1000 /* numbers of ids are rounded up to this */

int
main(void)
{
	static const PgwSought own = {.card_number = "4532015112830366", .card_cvv = "737"};
	const char *wanted = getenv("PGW_RATES");
	int count = wanted != NULL && atoi(wanted) > 0 ? atoi(wanted) : 2000;
	int nshapes = (int) (sizeof(shapes) / sizeof(shapes[0]));
	int bad = 0;

	printf("1..%d\n", nshapes);
	for (int s = 0; s < nshapes; s++)
	{
		static char ids[BATCH][1024];
		int refused = 0;
		double expected = shapes[s].limit * count / 100000;
		double allowed = expected;
		double spent = 0;
		double per_call;
		bool ok;

		/* four standard deviations of chance on top; where the docs say never, never */
		if (expected > 0)
		{
			double root = 1;

			for (int i = 0; i < 40; i++)
				root = (root + expected / root) / 2;
			allowed = expected + 4 * root + 1;
		}
		for (int done = 0; done < count; done += BATCH)
		{
			clock_t begun;

			for (int i = 0; i < BATCH; i++)
				shapes[s].make(ids[i], shapes[s].n);
			begun = clock();
			for (int i = 0; i < BATCH; i++)
			{
				const char *id = ids[i];
				PgwFound found = id[0] == '{'
									 ? pgw_card_in_json(&own, id, strlen(id))
									 : pgw_card_in_text(&own, PGW_TEXT_VALUE, id, strlen(id));

				refused += found != PGW_FOUND_NOTHING;
				if (found != PGW_FOUND_NOTHING && expected == 0)
					printf("# %s\n", id);
			}
			spent += (double) (clock() - begun) / CLOCKS_PER_SEC * 1e9;
		}
		per_call = spent / count;
		ok = refused <= allowed;
		bad += !ok;
		printf("%sok %d - %s: %d of %d taken for card data, %.0f ns each\n", ok ? "" : "not ",
			   s + 1, shapes[s].name, refused, count, per_call);
	}
	return bad > 0;
}
