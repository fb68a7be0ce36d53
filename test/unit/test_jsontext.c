/*
 * test_jsontext.c - reading a JSON text as it stands: what is accepted, what is not, and what the
 * accessors find in it
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json/json_text.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

static char *exact = NULL;

/* In memory that ends where the text does: nothing may be read beyond it. */
static PgwJsonVerdict
read_text(const char *text, size_t len, int nesting, PgwJson *v)
{
	free(exact);
	exact = malloc(len > 0 ? len : 1);
	memcpy(exact, text, len);
	return pgw_json_read(exact, len, nesting, v);
}

static PgwJsonVerdict
verdict(const char *text)
{
	PgwJson v;
	PgwJsonVerdict result = read_text(text, strlen(text), 8, &v);

	assert_int_equal(v.text != NULL, result == PGW_JSON_GOOD);
	return result;
}

static void
accepted(void **state)
{
	static const char *const texts[] = {
		"0",
		"-0",
		"17",
		"-1.5e-3",
		"1E+3",
		"0.0",
		"true",
		"false",
		"null",
		"\"\"",
		"[]",
		"{}",
		" [ ] ",
		"\t{\r\n}\n",
		"[1,2]",
		"[[],{}]",
		"{\"\":1}",
		"{\"a\":{\"a\":{\"a\":[]}}}",
		"[{\"a\":1},{\"a\":1}]",
		"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u0000\"",
		"\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\x7F\"",
		"\"\\ud83d\\uDE00\"",
		"\"\xED\x9F\xBF\xEE\x80\x80\xF4\x8F\xBF\xBF\"",
		"\xEF\xBB\xBF {}",
		"\"\xEF\xBB\xBF\"",
		"[[[[[[[[1]]]]]]]]",
		"{\"a\":1,\"A\":1,\"a \":1,\"aa\":1}",
	};

	(void) state;
	for (size_t i = 0; i < LENGTH(texts); i++)
	{
		if (verdict(texts[i]) != PGW_JSON_GOOD)
			fail_msg("refused: %s", texts[i]);
	}
}

static void
refused(void **state)
{
	static const char *const texts[] = {
		"",
		" ",
		"\xEF\xBB\xBF",
		"\xEF\xBB",
		"{",
		"[",
		"}",
		"\"",
		"\"a",
		"\"\\",
		"\"\\\"",
		"\"\\u12",
		"\"\\u12g4\"",
		"\"\\x\"",
		"\"\\u\"",
		"{}{}",
		"[] 1",
		"1 2",
		"{\"a\"}",
		"{\"a\":}",
		"{\"a\":1,}",
		"{a:1}",
		"{\"a\" 1}",
		"{,}",
		"[1,]",
		"[,1]",
		"[1 2]",
		"[1}",
		"{\"a\":1]",
		"tru",
		"truee",
		"nul",
		"True",
		"NaN",
		"Infinity",
		"-",
		"+1",
		"01",
		"-01",
		"1.",
		".5",
		"1e",
		"1e+",
		"0x1",
		"1_0",
		"'a'",
		"\"a\nb\"",
		"\"a\tb\"",
		"\"\x01\"",
		"\"\xFF\"",
		"\"\xC3\"",
		"\"\xC0\x80\"",
		"\"\xE0\x80\x80\"",
		"\"\xED\xA0\x80\"",
		"\"\xF0\x80\x80\x80\"",
		"\"\xF4\x90\x80\x80\"",
		"\"\xF5\x80\x80\x80\"",
		"\"\x80\"",
		"\"\xE2\x82",
		"\"\\ud83d\"",
		"\"\\ud83d\\n\"",
		"\"\\ud83dx\"",
		"\"\\ud83d\\ud83d\"",
		"\"\\ude00\"",
		"\"\\ud83d\\u0041\"",
		"\"\\ud83d\\ude0\"",
		"/*c*/1",
		"1//",
		"{}\v",
		"\f{}",
		"\xEF\xBB\xBF\xEF\xBB\xBF{}",
		"{\"a\":1 \"b\":2}",
		"{1:2}",
		"{null:1}",
	};

	(void) state;
	for (size_t i = 0; i < LENGTH(texts); i++)
	{
		if (verdict(texts[i]) != PGW_JSON_INVALID)
			fail_msg("not invalid: %s", texts[i]);
	}
	assert_int_equal(verdict("[[[[[[[[[1]]]]]]]]]"), PGW_JSON_TOO_DEEP);
	assert_int_equal(verdict("{\"a\":[{\"a\":[{\"a\":[{\"a\":[{\"a\":1}]}]}]}]}"),
					 PGW_JSON_TOO_DEEP);
}

static void
ambiguous(void **state)
{
	static const char *const texts[] = {
		"{\"a\":1,\"a\":1}",
		"{\"a\":1,\"b\":2,\"a\":3}",
		"[{},{\"x\":{\"a\":1,\"a\":2}}]",
		"{\"a\":{\"b\":1,\"c\":{}},\"a\":0}",
		"{\"\":1,\"\":2}",
		"{\"a\":1,\"\\u0061\":2}",
		"{\"\xC3\xA9\":1,\"\\u00E9\":2}",
		"{\"\\ud83d\\ude00\":1,\"\xF0\x9F\x98\x80\":2}",
		"{\"/\":1,\"\\/\":2}",
	};
	char many[40000] = "{";
	size_t len = 1;

	(void) state;
	for (size_t i = 0; i < LENGTH(texts); i++)
	{
		if (verdict(texts[i]) != PGW_JSON_AMBIGUOUS)
			fail_msg("not ambiguous: %s", texts[i]);
	}
	/* more names than are kept at hand */
	for (int i = 0; i < 2000; i++)
		len += (size_t) snprintf(many + len, sizeof(many) - len, "\"n%d\":%d,", i, i);
	snprintf(many + len, sizeof(many) - len, "\"n2000\":0}");
	assert_int_equal(verdict(many), PGW_JSON_GOOD);
	snprintf(many + len, sizeof(many) - len, "\"n1\":0}");
	assert_int_equal(verdict(many), PGW_JSON_AMBIGUOUS);
}

/* Cut anywhere, no text is one any more. */
static void
cut(void **state)
{
	static const char text[] = "{\"a\":[1.5e3,{\"b\":\"\\ud83d\\ude00\xC3\xA9\"},null],\"c\":true}";
	PgwJson v;

	(void) state;
	for (size_t len = 0; len < sizeof(text) - 1; len++)
		assert_int_equal(read_text(text, len, 8, &v), PGW_JSON_INVALID);
	assert_int_equal(read_text(text, sizeof(text) - 1, 8, &v), PGW_JSON_GOOD);
}

static void
found(void **state)
{
	static const char text[] =
		" {\"s\\u0041\" : \"q\\\"]},\\\\\" , \"n\":[ -12 ,\t[1,[2],{\"x\":3}],\"\",null , true],\"o\":{\"d\":{\"s\":1}},\"e\":{},\"z\":false }";
	PgwJson doc;
	PgwJson v;
	PgwJson w;
	char buf[16];
	int64_t n;

	(void) state;
	assert_int_equal(read_text(text, sizeof(text) - 1, 8, &doc), PGW_JSON_GOOD);
	assert_int_equal(pgw_json_type(&doc), PGW_JSON_OBJECT);
	assert_true(pgw_json_member(&doc, "sA", &v));
	assert_int_equal(pgw_json_type(&v), PGW_JSON_STRING);
	assert_int_equal(pgw_json_text(&v, buf, sizeof(buf)), 6);
	assert_memory_equal(buf, "q\"]},\\", 6);
	assert_int_equal(pgw_json_text(&v, buf, 2), 6); /* how long it is, whatever the room */
	assert_false(pgw_json_member(&doc, "s", &v));
	assert_false(pgw_json_member(&doc, "sAx", &v));
	assert_false(pgw_json_member(&doc, "", &v));
	assert_false(pgw_json_member(&doc, "x", &v));
	assert_true(pgw_json_member(&doc, "n", &v));
	assert_false(pgw_json_member(&v, "x", &w));
	assert_true(pgw_json_element(&v, 0, &w));
	assert_true(pgw_json_integer(&w, 0, &n));
	assert_int_equal(n, -12);
	assert_int_equal(pgw_json_text(&w, buf, sizeof(buf)), 3);
	assert_true(pgw_json_element(&v, 1, &w));
	assert_int_equal(pgw_json_type(&w), PGW_JSON_ARRAY);
	assert_true(pgw_json_element(&w, 2, &w));
	assert_true(pgw_json_member(&w, "x", &w));
	assert_memory_equal(w.text, "3", w.len);
	assert_true(pgw_json_element(&v, 2, &w));
	assert_int_equal(pgw_json_text(&w, buf, sizeof(buf)), 0);
	assert_true(pgw_json_element(&v, 3, &w));
	assert_int_equal(pgw_json_type(&w), PGW_JSON_NULL);
	assert_true(pgw_json_element(&v, 4, &w));
	assert_true(pgw_json_is_true(&w));
	assert_false(pgw_json_element(&v, 5, &w));
	assert_true(pgw_json_member(&doc, "o", &v) && pgw_json_member(&v, "d", &v) &&
				pgw_json_member(&v, "s", &v));
	assert_true(pgw_json_member(&doc, "e", &v));
	assert_false(pgw_json_member(&v, "s", &w) || pgw_json_element(&v, 0, &w));
	assert_true(pgw_json_member(&doc, "z", &v));
	assert_int_equal(pgw_json_type(&v), PGW_JSON_BOOLEAN);
	assert_false(pgw_json_is_true(&v) || pgw_json_integer(&v, 0, &n));
	v = (PgwJson){NULL, 0};
	assert_int_equal(pgw_json_type(&v), PGW_JSON_NONE);
	assert_false(pgw_json_member(&v, "a", &w) || pgw_json_element(&v, 0, &w) ||
				 pgw_json_integer(&v, 0, &n) || pgw_json_is_true(&v));
	assert_int_equal(pgw_json_text(&v, buf, sizeof(buf)), 0);
}

/* Found once, or looked for each time: the same. */
static void
members(void **state)
{
	PgwJsonMembers m;
	PgwJson doc;
	PgwJson v;
	int64_t n;

	(void) state;
	for (int count = 0; count < PGW_JSON_MEMBERS_AT_HAND + 4; count++)
	{
		char text[1024] = "{";
		char name[16];
		size_t len = 1;

		for (int i = 0; i < count; i++)
			len += (size_t) snprintf(text + len, sizeof(text) - len, "%s\"\\u006e%d\":%d",
									 i > 0 ? "," : "", i, i);
		len += (size_t) snprintf(text + len, sizeof(text) - len, "}");
		assert_int_equal(read_text(text, len, 8, &doc), PGW_JSON_GOOD);
		pgw_json_members(&doc, &m);
		for (int i = 0; i < count; i++)
		{
			snprintf(name, sizeof(name), "n%d", i);
			assert_true(pgw_json_find(&m, name, &v) && pgw_json_integer(&v, 0, &n));
			assert_int_equal(n, i);
		}
		snprintf(name, sizeof(name), "n%d", count);
		assert_false(pgw_json_find(&m, name, &v) || pgw_json_find(&m, "", &v) ||
					 pgw_json_find(&m, "\\u006e0", &v));
	}
	assert_int_equal(read_text("[1]", 3, 8, &doc), PGW_JSON_GOOD);
	pgw_json_members(&doc, &m);
	assert_false(pgw_json_find(&m, "0", &v));
	doc = (PgwJson){NULL, 0};
	pgw_json_members(&doc, &m);
	assert_false(pgw_json_find(&m, "0", &v));
}

static void
integers(void **state)
{
	static const struct
	{
		const char *text;
		int scale;
		bool good;
		int64_t value;
	} cases[] = {
		{"0", 0, true, 0},
		{"-0", 0, true, 0},
		{"0.000", 0, true, 0},
		{"0e5", 3, true, 0},
		{"7", 0, true, 7},
		{"-7", 0, true, -7},
		{"5000.0", 0, true, 5000},
		{"5E+3", 0, true, 5000},
		{"5e3", 0, true, 5000},
		{"50000e-1", 0, true, 5000},
		{"0.005e6", 0, true, 5000},
		{"5000.5", 0, false, 0},
		{"5e-1", 0, false, 0},
		{"0.1", 0, false, 0},
		{"12.34", 2, true, 1234},
		{"12.340", 2, true, 1234},
		{"12.345", 2, false, 0},
		{"12", 2, true, 1200},
		{"1.2e1", 2, true, 1200},
		{"100", 0, true, 100},
		{"1000000007", 0, true, 1000000007},
		{"1001.001", 3, true, 1001001},
		{"9223372036854775807", 0, true, INT64_MAX},
		{"-9223372036854775808", 0, true, INT64_MIN},
		{"9223372036854775808", 0, false, 0},
		{"922337203685477580.70", 1, true, INT64_MAX},
		{"9223372036854775807", 1, false, 0},
		{"10000000000000000000", 0, false, 0},
		{"1000000000000000000", 0, true, INT64_C(1000000000000000000)},
		{"1e18", 0, true, INT64_C(1000000000000000000)},
		{"1e19", 0, false, 0},
		{"1e999999999999", 0, false, 0},
		{"1e-999999999999", 0, false, 0},
		{"10e-1", 0, true, 1},
		{"100000000000000000000000e-22", 0, true, 10},
		{"\"5\"", 0, false, 0},
		{"null", 0, false, 0},
		{"[5]", 0, false, 0},
	};

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwJson v;
		int64_t value = 0;
		bool good;

		assert_int_equal(read_text(cases[i].text, strlen(cases[i].text), 8, &v), PGW_JSON_GOOD);
		good = pgw_json_integer(&v, cases[i].scale, &value);
		if (good != cases[i].good || (good && value != cases[i].value))
			fail_msg("%s by %d: %d %lld", cases[i].text, cases[i].scale, good, (long long) value);
	}
}

static int
teardown(void **state)
{
	(void) state;
	free(exact);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepted), cmocka_unit_test(refused), cmocka_unit_test(ambiguous),
		cmocka_unit_test(cut),      cmocka_unit_test(found),   cmocka_unit_test(members),
		cmocka_unit_test(integers),
	};

	return cmocka_run_group_tests_name("jsontext", tests, NULL, teardown);
}
