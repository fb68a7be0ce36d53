/*
 * test_secret.c - which file may hold a key, what a key looks like, and when a bank has refused it
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "core/bank_message/key_refused.h"
#include "core/files/key_file_rules.h"

static void
test_files(void **state)
{
	static const struct
	{
		bool regular;
		bool ours;
		bool roots;
		unsigned int mode;
		PgwSecretFault fault;
	} cases[] = {
		{true, true, false, 0600, PGW_SECRET_FINE},
		{true, true, false, 0400, PGW_SECRET_FINE},
		{true, true, false, 0700, PGW_SECRET_FINE},
		{true, true, false, 0640, PGW_SECRET_OPEN_TO_OTHERS},
		{true, true, false, 0604, PGW_SECRET_OPEN_TO_OTHERS},
		/* root's, as Kubernetes and certificate tools leave it */
		{true, false, true, 0600, PGW_SECRET_FINE},
		{true, false, true, 0640, PGW_SECRET_FINE},
		{true, false, true, 0440, PGW_SECRET_FINE},
		{true, false, true, 0660, PGW_SECRET_OPEN_TO_OTHERS},
		{true, false, true, 0650, PGW_SECRET_OPEN_TO_OTHERS},
		{true, false, true, 0644, PGW_SECRET_OPEN_TO_OTHERS},
		/* we are root ourselves */
		{true, true, true, 0640, PGW_SECRET_FINE},
		{true, false, false, 0600, PGW_SECRET_OTHER_OWNER},
		{false, true, false, 0600, PGW_SECRET_NOT_REGULAR},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(
			pgw_secret_check_file(cases[i].regular, cases[i].ours, cases[i].roots, cases[i].mode),
			cases[i].fault);
}

static void
check(const char *bytes, size_t len, PgwSecretFault fault, size_t key_len)
{
	size_t got = 99;

	assert_int_equal(pgw_secret_check_content(bytes, len, &got), fault);
	assert_int_equal(got, key_len);
}

static void
test_contents(void **state)
{
	static char longest[PGW_SECRET_MAX + 1];

	(void) state;
	check("sk_live_1", 9, PGW_SECRET_FINE, 9);
	check("sk_live_1\n", 10, PGW_SECRET_FINE, 9);
	check("sk_live_1\r\n", 11, PGW_SECRET_FINE, 9);
	check("user:pass word~!", 16, PGW_SECRET_FINE, 16);
	check("", 0, PGW_SECRET_EMPTY, 0);
	check("\n\r\n", 3, PGW_SECRET_EMPTY, 0);
	check(" sk", 3, PGW_SECRET_BLANKS, 0);
	check("sk \n", 4, PGW_SECRET_BLANKS, 0);
	check("\tsk", 3, PGW_SECRET_BLANKS, 0);
	check("   ", 3, PGW_SECRET_BLANKS, 0);
	check("s\tk", 3, PGW_SECRET_UNPRINTABLE, 0);
	check("\xEF\xBB\xBFsk", 5, PGW_SECRET_BYTE_ORDER_MARK, 0);
	check("\xFF\xFEs\0k\0", 6, PGW_SECRET_BYTE_ORDER_MARK, 0);
	check("\xFE\xFF\0s\0k", 6, PGW_SECRET_BYTE_ORDER_MARK, 0);
	check("s\0k", 3, PGW_SECRET_UNPRINTABLE, 0);
	check("sk\x7f", 3, PGW_SECRET_UNPRINTABLE, 0);
	check("sk\x1b[0m", 6, PGW_SECRET_UNPRINTABLE, 0);
	check("sk\xC2\xA0", 4, PGW_SECRET_UNPRINTABLE, 0);     /* no-break space */
	check("\xE2\x80\x8Bsk", 5, PGW_SECRET_UNPRINTABLE, 0); /* zero-width space */
	check("one\ntwo\n", 8, PGW_SECRET_SEVERAL_LINES, 0);
	memset(longest, 'k', sizeof(longest));
	check(longest, PGW_SECRET_MAX, PGW_SECRET_FINE, PGW_SECRET_MAX);
	check(longest, PGW_SECRET_MAX + 1, PGW_SECRET_TOO_LONG, 0);
}

/* What a file of name=value lines says: "name|value" of each, or the fault. */
static void
named(const char *bytes, size_t len, PgwSecretFault fault, const char *const *expected)
{
	static char text[PGW_SECRET_MAX + 2];
	PgwSecretValues values;
	int n = 0;

	memcpy(text, bytes, len);
	memset(text + len, 'x', sizeof(text) - len);
	if (pgw_secret_split(text, len, &values) != fault)
		fail_msg("%s", bytes);
	for (; expected != NULL && expected[n] != NULL; n++)
	{
		char shown[200];

		if (n >= values.n)
			fail_msg("%s: %d values", bytes, values.n);
		snprintf(shown, sizeof(shown), "%s|%s", values.values[n].name, values.values[n].text);
		assert_string_equal(shown, expected[n]);
	}
	assert_int_equal(values.n, n);
}

#define NAMED(bytes, fault, ...) \
	named(bytes, sizeof(bytes) - 1, fault, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static void
test_named(void **state)
{
	static char many[400];
	static char long_name[80];

	(void) state;
	NAMED("user=merchant1\nkey=sk_live_1\n", PGW_SECRET_FINE, "user|merchant1", "key|sk_live_1");
	NAMED("a=1\r\nb-2_C=2\r\n\r\n", PGW_SECRET_FINE, "a|1", "b-2_C|2");
	NAMED("a=1", PGW_SECRET_FINE, "a|1");
	/* "=", "#", quotes and blanks inside belong to the value */
	NAMED("key=c2VjcmV0PT0==\nq=\"x # y\"", PGW_SECRET_FINE, "key|c2VjcmV0PT0==", "q|\"x # y\"");
	NAMED("# the sandbox's = \xC3\xA4\n\na=1\n#b=2\n", PGW_SECRET_FINE, "a|1");

	NAMED("", PGW_SECRET_EMPTY);
	NAMED("\n# nothing\n\r\n", PGW_SECRET_EMPTY);
	NAMED("sk_live_1\n", PGW_SECRET_NO_NAMES);
	NAMED("sk_live_1\na=1\n", PGW_SECRET_NO_NAMES);
	NAMED("a=1\n   \n", PGW_SECRET_NO_NAMES);
	NAMED("a=\nb=1\n", PGW_SECRET_EMPTY_VALUE);
	NAMED("=1\n", PGW_SECRET_BAD_NAME);
	NAMED("a =1\n", PGW_SECRET_BAD_NAME);
	NAMED(" a=1\n", PGW_SECRET_BAD_NAME);
	NAMED("a.b=1\n", PGW_SECRET_BAD_NAME);
	NAMED("\xC3\xA4=1\n", PGW_SECRET_BAD_NAME);
	NAMED("a\0=1\n", PGW_SECRET_BAD_NAME);
	NAMED("a= 1\n", PGW_SECRET_BLANKS);
	NAMED("a=1 \r\n", PGW_SECRET_BLANKS);
	NAMED("a=1\rb=2\n", PGW_SECRET_SEVERAL_LINES); /* a line end of old */
	NAMED("a=1\t2\n", PGW_SECRET_UNPRINTABLE);
	NAMED("a=\xC2\xA0", PGW_SECRET_UNPRINTABLE);
	NAMED("a=1\0\n", PGW_SECRET_UNPRINTABLE);
	NAMED("a=1\nb=2\na=3\n", PGW_SECRET_NAME_TWICE);
	NAMED("\xEF\xBB\xBF"
		  "a=1\n",
		  PGW_SECRET_BYTE_ORDER_MARK);
	memset(long_name, 'n', 64);
	strcpy(long_name + 64, "=1");
	named(long_name, 66, PGW_SECRET_BAD_NAME, NULL);
	for (int i = 0; i <= PGW_SECRET_VALUES; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many), "n%d=v\n", i);
	named(many, strlen(many), PGW_SECRET_TOO_MANY, NULL);
}

static void
test_named_size(void **state)
{
	static char longest[PGW_SECRET_MAX + 1];

	(void) state;
	memset(longest, '#', sizeof(longest));
	memcpy(longest + PGW_SECRET_MAX - 4, "\na=1", 4);
	named(longest, PGW_SECRET_MAX, PGW_SECRET_FINE, (const char *const[]){"a|1", NULL});
	named(longest, PGW_SECRET_MAX + 1, PGW_SECRET_TOO_LONG, NULL);
}

static void
test_by_name(void **state)
{
	static const PgwSecretValues two = {2, {{"a", "1"}, {"b", "2"}}};
	static const PgwSecretValues one = {1, {{"", "1"}}};

	(void) state;
	assert_string_equal(pgw_secret_value(&two, "b"), "2");
	assert_null(pgw_secret_value(&two, "c"));
	assert_null(pgw_secret_value(&two, ""));
	assert_string_equal(pgw_secret_value(&one, ""), "1");
	assert_null(pgw_secret_value(NULL, "a"));
}

static void
test_texts(void **state)
{
	(void) state;
	assert_null(pgw_secret_fault_text(PGW_SECRET_FINE));
	for (int i = PGW_SECRET_FINE + 1; i < PGW_NSECRET_FAULTS; i++)
		assert_non_null(pgw_secret_fault_text((PgwSecretFault) i));
	assert_null(pgw_secret_fault_text(PGW_NSECRET_FAULTS));
}

static void
test_refused(void **state)
{
	static const struct
	{
		PgwBankOp op;
		long status;
		PgwOutcome outcome;
		const char *code;
		bool refused;
		PgwOutcome becomes;
		const char *code_becomes;
	} cases[] = {
		{PGW_OP_CHARGE, 401, PGW_OUT_REJECTED, "", true, PGW_OUT_REJECTED,
		 "bank_credentials_rejected"},
		{PGW_OP_AUTHORIZE, 401, PGW_OUT_REJECTED, "bank_rejected_request", true, PGW_OUT_REJECTED,
		 "bank_credentials_rejected"},
		{PGW_OP_CHARGE, 403, PGW_OUT_REJECTED, "", true, PGW_OUT_REJECTED,
		 "bank_credentials_rejected"},
		/* the connector knows better */
		{PGW_OP_CHARGE, 403, PGW_OUT_REJECTED, "bank_rejected_request", false, PGW_OUT_REJECTED,
		 "bank_rejected_request"},
		{PGW_OP_CHARGE, 400, PGW_OUT_REJECTED, "bank_credentials_rejected", true, PGW_OUT_REJECTED,
		 "bank_credentials_rejected"},
		{PGW_OP_CHARGE, 403, PGW_OUT_DECLINED, "suspected_fraud", false, PGW_OUT_DECLINED,
		 "suspected_fraud"},
		/* not understood: told, and as unknown as before */
		{PGW_OP_CHARGE, 401, PGW_OUT_UNKNOWN, "", true, PGW_OUT_UNKNOWN, ""},
		{PGW_OP_CHARGE, 500, PGW_OUT_UNKNOWN, "", false, PGW_OUT_UNKNOWN, ""},
		{PGW_OP_CHARGE, 422, PGW_OUT_REJECTED, "", false, PGW_OUT_REJECTED, ""},
		/* what follows a charge is put off, not refused */
		{PGW_OP_REFUND, 401, PGW_OUT_REJECTED, "", true, PGW_OUT_NOT_PROCESSED,
		 "bank_credentials_rejected"},
		{PGW_OP_VOID, 403, PGW_OUT_REJECTED, "", true, PGW_OUT_NOT_PROCESSED,
		 "bank_credentials_rejected"},
		{PGW_OP_CAPTURE, 401, PGW_OUT_REJECTED, "", true, PGW_OUT_NOT_PROCESSED,
		 "bank_credentials_rejected"},
		{PGW_OP_CANCEL, 401, PGW_OUT_REJECTED, "", true, PGW_OUT_NOT_PROCESSED,
		 "bank_credentials_rejected"},
		{PGW_OP_LOOKUP_CHARGE, 401, PGW_OUT_REJECTED, "", true, PGW_OUT_NOT_PROCESSED,
		 "bank_credentials_rejected"},
		{PGW_OP_CAPTURE, 422, PGW_OUT_REJECTED, "", false, PGW_OUT_REJECTED, ""},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		PgwAnswer a;

		memset(&a, 0, sizeof(a));
		a.outcome = cases[i].outcome;
		snprintf(a.error_code, sizeof(a.error_code), "%s", cases[i].code);
		assert_int_equal(pgw_secret_refused(cases[i].op, cases[i].status, &a), cases[i].refused);
		assert_int_equal(a.outcome, cases[i].becomes);
		assert_string_equal(a.error_code, cases[i].code_becomes);
	}
}

/* A value in each line, whatever stands in it. */
static void
test_list(void **state)
{
	char text[] = "whsec_b2xk==\r\n# the next one\n\nwhsec_bmV3\nshop:pass word=1\n";
	char blank[] = "one\n two\n";
	char many[40];
	PgwSecretValues values;

	(void) state;
	assert_int_equal(pgw_secret_list(text, sizeof(text) - 1, &values), PGW_SECRET_FINE);
	assert_int_equal(values.n, 3);
	assert_string_equal(values.values[0].text, "whsec_b2xk==");
	assert_string_equal(values.values[1].text, "whsec_bmV3");
	assert_string_equal(values.values[2].text, "shop:pass word=1");
	assert_int_equal(pgw_secret_list(blank, sizeof(blank) - 1, &values), PGW_SECRET_BLANKS);
	assert_int_equal(values.n, 0);
	assert_int_equal(pgw_secret_list(text, 0, &values), PGW_SECRET_EMPTY);
	for (size_t i = 0; i < sizeof(many); i++)
		many[i] = i % 2 == 0 ? 'k' : '\n';
	assert_int_equal(pgw_secret_list(many, 2 * PGW_SECRET_VALUES, &values), PGW_SECRET_FINE);
	for (size_t i = 0; i < sizeof(many); i++)
		many[i] = i % 2 == 0 ? 'k' : '\n';
	assert_int_equal(pgw_secret_list(many, 2 * PGW_SECRET_VALUES + 2, &values),
					 PGW_SECRET_TOO_MANY);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),   cmocka_unit_test(test_contents),
		cmocka_unit_test(test_named),   cmocka_unit_test(test_named_size),
		cmocka_unit_test(test_by_name), cmocka_unit_test(test_texts),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
