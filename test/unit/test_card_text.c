/*
 * test_card_text.c - card data in texts and JSON: each disguise is found, what is something else is
 * not
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "cmocka_names.h"
#include "core/card/card_decode.h"
#include "core/card/card_text.h"

#define OWN "4532015112830366"

static const PgwSought own = {.card_number = OWN, .card_cvv = "737"};

static PgwFound
text(const PgwSought *sought, PgwTextKind kind, const char *s)
{
	return pgw_card_in_text(sought, kind, s, strlen(s));
}

static PgwFound
json(const PgwSought *sought, const char *s)
{
	return pgw_card_in_json(sought, s, strlen(s));
}

#define EACH(list) for (size_t i = 0; i < sizeof(list) / sizeof((list)[0]); i++)

/* Anybody's number. */
static void
look_alikes(void **unused)
{
	static const char *const yes[] = {
		"4111111111111111",
		"x4111111111111111y",
		"pay 4111 1111 1111 1111 now",
		"4111-1111-1111-1111",
		"378282246310005",
		"3782 822463 10005",
		"4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
		"order 12: 5555555555554444",
		"4111 1111 1111 1111 12/30",
		"4111 1111 1111 1111 123",
		"2026-11-23 4111 1111 1111 1111",
		"4111111111111111 123",
		"4111111111111112, 4111111111111111",
		"550e8400-e29b-41d4-a716-446655440000 4111111111111111",
		"4111111111111111cafe",
		"30569309025904",
		"{\"n\":4111111111111111}",
		"DE89 3704 0044 0532 0130 00 4111111111111111",
		/* separators */
		"4111.1111.1111.1111",
		"4111/1111/1111/1111",
		"4111\t1111\t1111\t1111",
		"4111\r\n1111\r\n1111\r\n1111",
		"4111 - 1111 - 1111 - 1111",
		"4111_1111_1111_1111",
		"4111  1111  1111  1111",
		"4111--1111-1111-1111",
		"4111,1111;1111|1111",
		"4111. 1111/ 1111-1111",
		/* U+00A0, U+202F, U+3000 */
		"4111\xC2\xA0"
		"1111\xE2\x80\xAF"
		"1111\xE3\x80\x80"
		"1111",
		/* hyphen, em dash, minus */
		"4111\xE2\x80\x90"
		"1111\xE2\x80\x94"
		"1111\xE2\x88\x92"
		"1111",
		/* U+058A, U+1806, U+FE63 */
		"4111\xD6\x8A"
		"1111\xE1\xA0\x86"
		"1111\xEF\xB9\xA3"
		"1111",
		"4\xE2\x80\x8B"
		"1\xE2\x80\x8B"
		"1\xE2\x80\x8B"
		"1111111111111", /* zero width */
		"4111\xC2\xAD"
		"1111\xEF\xBB\xBF"
		"1111\xE2\x81\xA0\xE2\x81\xA0\xE2\x81\xA0\xE2\x81\xA0"
		"1111",
		/* digits */
		"\xEF\xBC\x94\xEF\xBC\x91\xEF\xBC\x91\xEF\xBC\x91\xEF\xBC\x91\xEF\xBC\x91\xEF\xBC\x91\xEF\xBC\x91\xEF\xBC\x91\xEF\xBC\x91\xEF\xBC\x91\xEF\xBC\x91"
		"\xEF\xBC\x91\xEF\xBC\x91\xEF\xBC\x91\xEF\xBC\x91",
		"\xD9\xA4"
		"111111111111111",
		"\xF0\x9D\x9F\x92"
		"111111111111111",
		"\xE2\x91\xA3"
		"111111111111111",
		/* on keycaps */
		"4\xEF\xB8\x8F\xE2\x83\xA3"
		"1\xEF\xB8\x8F\xE2\x83\xA3"
		"11111111111111",
		/* encodings */
		"%34111111111111111",
		"%34%31%31%31%31%31%31%31%31%31%31%31%31%31%31%31",
		"4111%201111%201111%201111",
		"4111+1111+1111+1111",
		"=34=31=31=31=31=31=31=31=31=31=31=31=31=31=31=31",
		"&#52;111111111111111",
		"&#x34;111111111111111",
		"4111&nbsp;1111&ndash;1111&#32;1111",
		"\\u0034111111111111111",
		"\\x34111111111111111",
		"\\ud835\\udfd2111111111111111",
		"NDExMTExMTExMTExMTExMQ==",
		"NDExMTExMTExMTExMTExMQ",
		"Basic NDExMTExMTExMTExMTExMTo=",
		"tok_NDExMTExMTExMTExMTExMQ",
		"eHg0MTExMTExMTExMTExMTEx",
		"NDEx\nMTEx\nMTEx\nMTEx\nMTEx\nMQ==",
		"TkRFeE1URXhNVEV4TVRFeE1URXhNUT09", /* twice */
		"34313131313131313131313131313131",
		"0x34 0x31 0x31 0x31 0x31 0x31 0x31 0x31 0x31 0x31 0x31 0x31 0x31 0x31 0x31 0x31",
		"34:31:31:31:31:31:31:31:31:31:31:31:31:31:31:31",
		"\\x34\\x31\\x31\\x31\\x31\\x31\\x31\\x31\\x31\\x31\\x31\\x31\\x31\\x31\\x31\\x31",
	};
	static const char *const no[] = {
		"",
		"4111111111111112",
		"41111111111111111111",
		"411111111111",
		"9999999999999995",
		"order 20261123-0001",
		"1732360000000",
		"4111 .. : 1111 .. : 1111 .. : 1111",
		"4111a1111b1111c1111",
		/* lengths that nobody has: phone numbers, EAN codes */
		"4222222222222",
		"+49 151 23456785",
		"4006381333931",
		"5012345678900",
		/* machine-made identifiers with a look-alike inside */
		"41111111-1111-1111-a716-446655440000",
		"a4111111-1111-1111-1000-aaaaaaaaaaaa",
		"a4111111111111111bcdefabcdefabcd",
		"4111111111111111AAAAAAAAAAAAAAAAAAAAAAAA",
		"DE16 4306 0967 0000 0000 00",
		"BE39 1031 2345 6719",
		/* pieces of a list of small numbers */
		"9 4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 9",
		"2026-11-23 10:15:00.123456",
		"192.168.100.200:5432",
		"411.111-1111111-11.11 7",
		"1234567-3056930-9025904",
		"41.111.111.111:11111",
	};

	(void) unused;
	EACH(yes)
	{
		if (text(NULL, PGW_TEXT_ID, yes[i]) != PGW_FOUND_LOOK_ALIKE)
			fail_msg("not found: %s", yes[i]);
	}
	EACH(no)
	{
		if (text(NULL, PGW_TEXT_ID, no[i]) != PGW_FOUND_NOTHING)
			fail_msg("found: %s", no[i]);
	}
	assert_true(pgw_text_has_card_number("41111111111111119", 16)); /* not beyond its length */
	assert_true(pgw_text_has_card_number("a\0"
										 "4111111111111111",
										 18));
	assert_true(pgw_text_has_card_number("4\0"
										 "1\0"
										 "1\0"
										 "1\0"
										 "1\0"
										 "1\0"
										 "1\0"
										 "1\0"
										 "1\0"
										 "1\0"
										 "1\0"
										 "1\0"
										 "1\0"
										 "1\0"
										 "1\0"
										 "1\0",
										 32));
}

/* This call's own. */
static void
own_number(void **unused)
{
	static const char *const yes[] = {
		OWN,
		"6630382115102354",
		"99" OWN "99",
		"4532 0151 1283 0366",
		"4a5b3c2d0e1f5g1h1i2j8k3l0m3n6o6",
		"45320151-1283-0366-a716-446655440000",
		"6630-3821/1510.2354",
		"0.4532015112830366",
		"4532015112830366e0",
		"card 4532, then 0151; 1283 and 0366.",
		"NDUzMjAxNTExMjgzMDM2Ng",
		"NjYzMDM4MjExNTEwMjM1NA==",
		"34353332303135313132383330333636",
		"34353332-3031-3531-3132-383330333636",
		"\\064\\065\\063\\062\\060\\061\\065\\061\\061\\062\\070\\063\\060\\063\\066\\066",
		"\\357\\274\\224532015112830366", /* U+FF14, byte by byte */
		"%5C064532015112830366",
	};
	static const PgwSought other = {.card_number = "5012345678"},
						   bad = {.card_number = "45320151128303x6"},
						   visa13 = {.card_number = "4222222222222"},
						   maestro12 = {.card_number = "5018 0000-0009"};

	(void) unused;
	EACH(yes)
	{
		if (text(&own, PGW_TEXT_ID, yes[i]) != PGW_FOUND_NUMBER)
			fail_msg("not found: %s", yes[i]);
	}
	assert_int_equal(text(&own, PGW_TEXT_ID, "453201511283036"), PGW_FOUND_NOTHING);
	/* too short for one */
	assert_int_equal(text(&other, PGW_TEXT_ID, "5012345678"), PGW_FOUND_NOTHING);
	assert_int_equal(text(&bad, PGW_TEXT_ID, "45320151128303x6"), PGW_FOUND_NOTHING);
	assert_int_equal(text(&visa13, PGW_TEXT_ID, "4222222222222"), PGW_FOUND_NUMBER);
	assert_int_equal(text(&maestro12, PGW_TEXT_ID, "501800000009"), PGW_FOUND_NUMBER);
}

/* A part of it, where parts count; not what a masked number shows. */
static void
part_of_own_number(void **unused)
{
	static const char *const yes[] = {
		OWN,
		"453201511283036", /* all but one */
		"532015112830366",
		"ch-45320151128-x",
		"01511283036",
		"12830366 20 4532 0151 128",
		"66303821151",
		"\\064532015\\06112\\070",
		"NDUzMjAxNTExMjg=",
		"3435333230313531313238",
	};
	static const char *const no[] = {
		"4532015112",       "453201******0366",      "4532 01xx xxxx 0366",
		"45320151****0366", "0151128303 0151128303", "45320151129",
	};
	static const PgwSought parts = {.card_number = OWN, .parts = true, .last4 = "0366"},
						   maestro12 = {.card_number = "5018 0000-0009", .parts = true},
						   other = {.card_number = "50123456789", .parts = true};

	(void) unused;
	EACH(yes)
	{
		if (text(&parts, PGW_TEXT_ID, yes[i]) != PGW_FOUND_NUMBER)
			fail_msg("not found: %s", yes[i]);
		if (i > 0 && text(&own, PGW_TEXT_ID, yes[i]) != PGW_FOUND_NOTHING)
			fail_msg("found where only the whole counts: %s", yes[i]);
	}
	EACH(no)
	{
		if (text(&parts, PGW_TEXT_ID, no[i]) != PGW_FOUND_NOTHING)
			fail_msg("found: %s", no[i]);
	}
	assert_int_equal(text(&maestro12, PGW_TEXT_ID, "01800000009"), PGW_FOUND_NUMBER);
	/* too short for a card number */
	assert_int_equal(text(&other, PGW_TEXT_ID, "50123456789"), PGW_FOUND_NOTHING);
}

/* In every script that has digits. */
static void
all_digits(void **unused)
{
	int scripts = 0;

	(void) unused;
	for (int32_t zero = 0x80; zero < 0x20000; zero++)
	{
		char number[80];
		size_t n = 0;
		bool row = true;

		for (int d = 0; row && d < 10; d++)
			row = pgw_unicode_digit(zero + d) == d;
		if (!row || pgw_unicode_digit(zero - 1) == 9)
			continue;
		scripts++;
		for (const char *p = OWN; *p != '\0'; p++)
		{
			int32_t cp = zero + *p - '0';

			if (cp >= 0x10000)
				number[n++] = (char) (0xF0 | cp >> 18);
			if (cp >= 0x800)
				number[n++] = (char) (cp >= 0x10000 ? 0x80 | (cp >> 12 & 0x3F) : 0xE0 | cp >> 12);
			number[n++] = (char) (cp >= 0x800 ? 0x80 | (cp >> 6 & 0x3F) : 0xC0 | cp >> 6);
			number[n++] = (char) (0x80 | (cp & 0x3F));
		}
		if (pgw_card_in_text(NULL, PGW_TEXT_ID, number, n) != PGW_FOUND_LOOK_ALIKE ||
			pgw_card_in_text(&own, PGW_TEXT_ID, number, n) != PGW_FOUND_NUMBER)
			fail_msg("digits from U+%04X", (unsigned) zero);
	}
	assert_int_in_range(scripts, 64, 90);
	assert_int_equal(pgw_unicode_digit(0x667), 7);
	assert_int_equal(pgw_unicode_digit(0xFF10), 0);
	assert_int_equal(pgw_unicode_digit(0x1D7FF), 9);
	assert_int_equal(pgw_unicode_digit(0x1FBF9), 9);
	assert_int_equal(pgw_unicode_digit(0xB9), 1);
	assert_int_equal(pgw_unicode_digit('a'), -1);
	assert_int_equal(pgw_unicode_digit(0x4E00), -1);
	assert_int_equal(pgw_unicode_digit(-1), -1);
}

static void
security_code(void **unused)
{
	static const char *const yes[] = {
		"737",
		" 737 ",
		"\xEF\xBC\x97\xEF\xBC\x93\xEF\xBC\x97",
		"cvv: 737",
		"CVV=737",
		"cvc2 737",
		"the security code is 737",
		"security_code=737",
		"737 (CVV)",
		"cvv%3D737",
		("Pr\xC3\xBC"
		 "fziffer 737"),
		"{\"cvv\": \"737\"}",
		"cvv737",
	};
	static const char *const no[] = {"7370",     "a 737 b", "B737",       "cvv 738",
									 "cvv 7370", "CVV ok",  "order 737-1"};
	/* the whole value is an encoding of it, or of a word for it and it */
	static const char *const encoded[] = {
		"7 3 7",
		"7-3-7",
		"NzM3",
		"TnpNMw==",
		"TnpNMw",
		"VG5wTk13PT0=",
		"Y3Z2PTczNw==",
		"373337",
		"37 33 37",
		"0x37 0x33 0x37",
		"4e7a4d33",
		"637676203d20373337",
		"\\67\\63\\67",
		"\\067\\063\\067",
		"%37%33%37",
		"NzM3Cg==",
		"%4E%7A%4D%33",
		"=37=33=37",
		"&#55;&#51;&#55;",
		" NzM3 ",
		"{\"x\":\"NzM3\"}",
		"[\"\\u0037 3 7\"]",
	};
	static const char *const not_encoded[] = {"73-7",
											  "7.37",
											  "7 3 7 1",
											  "7 3",
											  "NzM3x",
											  "id NzM3",
											  "3733370",
											  "0373337",
											  "a373337b",
											  "37x3337",
											  "{\"x\":373337}",
											  "NzM4",
											  "16373337",
											  "2027-03-23 18:25:09.373337",
											  "20373337",
											  "3720332037",
											  "",
											  "= ="};
	static const char *const members[] = {
		"{\"x\":\"737\"}",
		"{\"cvv\":737}",
		"{\"cardCvv\":\"code 737\"}",
		"[\"737\"]",
		"{\"a\":{\"security_code\":737}}",
		"{\"x\":\"cvv 737\"}",
		("{\"Pr\xC3\xBC"
		 "fziffer\":737}"),
	};
	static const char *const none[] = {"{\"x\":737}",
									   "{\"qty\":737,\"cvv\":\"ok\"}",
									   "{\"737\":1}",
									   "{\"cvv\":null,\"n\":737}",
									   "{\"x\":\"Boeing 737\"}",
									   "{\"cvv\":7370}"};

	(void) unused;
	EACH(yes)
	{
		if (text(&own, PGW_TEXT_VALUE, yes[i]) != PGW_FOUND_CVV)
			fail_msg("not found: %s", yes[i]);
	}
	EACH(no)
	{
		if (text(&own, PGW_TEXT_VALUE, no[i]) != PGW_FOUND_NOTHING)
			fail_msg("found: %s", no[i]);
	}
	EACH(encoded)
	{
		if ((encoded[i][0] == '{' || encoded[i][0] == '['
				 ? json(&own, encoded[i])
				 : text(&own, PGW_TEXT_VALUE, encoded[i])) != PGW_FOUND_CVV)
			fail_msg("not found: %s", encoded[i]);
	}
	EACH(not_encoded)
	{
		if ((not_encoded[i][0] == '{'
				 ? json(&own, not_encoded[i])
				 : text(&own, PGW_TEXT_VALUE, not_encoded[i])) != PGW_FOUND_NOTHING)
			fail_msg("found: %s", not_encoded[i]);
	}
	assert_int_equal(text(&own, PGW_TEXT_ID, "373337"), PGW_FOUND_NOTHING);
	assert_int_equal(text(&own, PGW_TEXT_ID, "737"), PGW_FOUND_NOTHING);
	assert_int_equal(text(&own, PGW_TEXT_ID, "cvv-737"), PGW_FOUND_CVV);
	EACH(members)
	{
		if (json(&own, members[i]) != PGW_FOUND_CVV)
			fail_msg("not found: %s", members[i]);
	}
	EACH(none)
	{
		if (json(&own, none[i]) != PGW_FOUND_NOTHING)
			fail_msg("found: %s", none[i]);
	}
}

static void
words(void **unused)
{
	static const PgwSought sought = {.words = {"sk_live_Ab12-cd", "M\xC3\xBC"
																  "ller, Jo"}},
						   small = {.words = {"abc-d", "x"}};
	static const char *const yes[] = {
		"key sk_live_Ab12-cd!",
		"SK_LIVE_AB12-CD",
		"sk%5Flive%5FAb12-cd",
		"c2tfbGl2ZV9BYjEyLWNk",
		"Basic c2tfbGl2ZV9BYjEyLWNkOg==",
		"dXNlcjpza19saXZlX0FiMTItY2Q=",
		"736b5f6c6976655f416231322d6364",
		"sk\\u005flive_Ab12-cd",
		"s k _ l i v e _ A b 1 2 - c d",
		("for m\xC3\xBC"
		 "ller jo"),
		"M%C3%BCller+Jo",
	};

	(void) unused;
	EACH(yes)
	{
		if (text(&sought, PGW_TEXT_VALUE, yes[i]) != PGW_FOUND_WORD)
			fail_msg("not found: %s", yes[i]);
	}
	assert_int_equal(text(&sought, PGW_TEXT_VALUE, "sk_live_Ab12-c"), PGW_FOUND_NOTHING);
	assert_int_equal(text(&small, PGW_TEXT_VALUE, "abc-d x"), PGW_FOUND_NOTHING);
}

static void
last_four(void **unused)
{
	static const PgwSought known = {.last4 = "1111"}, unknown = {.last4 = ""};

	(void) unused;
	assert_int_equal(text(&known, PGW_TEXT_ID, "id-4111111111111111"), PGW_FOUND_LOOK_ALIKE);
	assert_int_equal(text(&known, PGW_TEXT_ID, "id-5555555555554444"), PGW_FOUND_NOTHING);
	assert_int_equal(text(&unknown, PGW_TEXT_ID, "id-5555555555554444"), PGW_FOUND_NOTHING);
	assert_int_equal(json(&unknown, "[\"4111\",\"1111\",\"1111\",\"1111\"]"), PGW_FOUND_NOTHING);
}

static void
json_texts(void **unused)
{
	static const char *const yes[] = {
		"{\"a\":\"4111 1111 1111 1111\"}",
		"{\"4111111111111111\":1}",
		"{\"a\":{\"b\":[[\"x\",\"4111-1111-1111-1111\"]]}}",
		"{\"a\":4111111111111111}",
		"{\"a\":-4111111111111111.25}",
		"{\"a\":4.111111111111111e15}",
		"{\"a\":4111111111111111E0}",
		"{\"a\":41111111111111110e-1}",
		"{\"a\":\"\\u0034\\u0031\\u0031\\u0031 1111 1111 1111\"}",
		"{\"a\":\"4111\\t1111\\n1111\\r1111\"}",
		"{\"a\":\"{\\\"b\\\":\\\"4111111111111111\\\"}\"}",
		"[\"4111\",\"1111\",\"1111\",\"1111\"]",
		"{\"a\":\"4111\",\"b\":\"1111\",\"c\":\"1111\",\"d\":\"1111\"}",
		"{\"a\":\"3782\",\"b\":\"822463\",\"c\":\"10005\",\"d\":\"x\"}",
		"{\"p\":[\"4111\",\"1111\",\"1111\",\"1111\"],\"exp\":\"1230\"}",
		"[\"4\",\"1\",\"1\",\"1\",\"1\",\"1\",\"1\",\"1\",\"1\",\"1\",\"1\",\"1\",\"1\",\"1\",\"1\",\"1\"]",
		("[\"4111 \",\" 1111\",\"1111-\",\"\xE2\x80\x8B"
		 "1111\"]"),
		"{\"a\":\"4111111111111111",
	};
	static const char *const no[] = {
		"{}",
		"[]",
		"",
		"{\"a\":0.4111111111111111}",
		"{\"a\":4.1111111111111111}",
		"{\"a\":41111111111111111111}",
		"[41111111,11111111]",
		"[\"41111111\",\"11111111\"]",
		"[1,4111,x",
		"[4111,1111,1111,1111]",
		"[\"4111\",\"1111\",\"1111\",1111]",
		"[\"4111\",\"1111\",\"1111\",\"1111\",\"1111\",\"1111\",\"1111\"]",
		"{\"a\":4111,\"b\":1111,\"c\":\"x\",\"d\":1111,\"e\":1111}",
		"{\"a\":1e400}",
		"[4,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]",
		"\\",
		"\"\\",
		"{\"a\":true,\"b\":null}",
	};
	static const char *const split[] = {
		"[\"45320151\",\"12830366\"]",
		"{\"a\":\"453201511283036\",\"b\":\"6\"}",
		"[4532015,1,12830366]",
		"{\"1a\":\"4532\",\"2b\":\"0151\",\"3c\":\"1283\",\"4d\":\"0366\"}",
		"{\"4532\":1,\"0151\":2,\"1283\":3,\"0366\":4}",
		"{\"4532\":\"0151\",\"1283\":\"0366\"}",
		"[\"6630\",{\"x\":\"3821\"},[\"1510\"],2354]",
		"[45.32,0.1511,28,30366]",
		"[\"4x5\",\"3y2\",\"\\u0030151128303\",\"66\"]",
	};

	(void) unused;
	EACH(yes)
	{
		if (json(NULL, yes[i]) != PGW_FOUND_LOOK_ALIKE)
			fail_msg("not found: %s", yes[i]);
	}
	EACH(no)
	{
		if (json(NULL, no[i]) != PGW_FOUND_NOTHING)
			fail_msg("found: %s", no[i]);
	}
	EACH(split)
	{
		if (json(&own, split[i]) != PGW_FOUND_NUMBER)
			fail_msg("not found: %s", split[i]);
	}
}

/* Random UUIDs are ids that callers use: none may be refused. */
static void
uuids_pass(void **unused)
{
	uint64_t x = UINT64_C(0x9E3779B97F4A7C15);

	(void) unused;
	for (int i = 0; i < 500000; i++)
	{
		char id[40];
		uint64_t half[2];

		for (int h = 0; h < 2; h++)
		{
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			half[h] = x;
		}
		snprintf(id, sizeof(id), "%08x-%04x-4%03x-8%03x-%012llx", (unsigned) (half[0] >> 32),
				 (unsigned) (half[0] >> 16) & 0xFFFF, (unsigned) half[0] & 0xFFF,
				 (unsigned) (half[1] >> 48) & 0xFFF,
				 (unsigned long long) (half[1] & UINT64_C(0xFFFFFFFFFFFF)));
		if (pgw_text_has_card_number(id, strlen(id)))
			fail_msg("%s", id);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(look_alikes),        cmocka_unit_test(own_number),
		cmocka_unit_test(part_of_own_number), cmocka_unit_test(all_digits),
		cmocka_unit_test(security_code),      cmocka_unit_test(words),
		cmocka_unit_test(last_four),          cmocka_unit_test(json_texts),
		cmocka_unit_test(uuids_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
