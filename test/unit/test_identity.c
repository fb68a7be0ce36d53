/*
 * test_identity.c - which fields make two requests different, and how they are named; the text
 * whose digest is kept differs exactly then
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/request/same_request.h"

static const PgwIdentity by_token = {.amount = 1250,
									 .currency = "EUR",
									 .token = "tok_1",
									 .bank = "north",
									 .capture = PGW_CAPTURE_IMMEDIATE,
									 .reference = "order 1"};

static const PgwIdentity by_card = {.amount = 1250,
									.currency = "EUR",
									.card_last4 = "1111",
									.card_expiry_month = 12,
									.card_expiry_year = 2031,
									.capture = PGW_CAPTURE_IMMEDIATE};

static bool
same_text(const PgwIdentity *a, const PgwIdentity *b)
{
	PgwBuf x;
	PgwBuf y;
	bool same;

	pgw_buf_init(&x, 0);
	pgw_buf_init(&y, 0);
	pgw_identity_text(a, &x);
	pgw_identity_text(b, &y);
	assert_false(x.failed || y.failed);
	same = strcmp(x.data, y.data) == 0;
	pgw_buf_free(&x);
	pgw_buf_free(&y);
	return same;
}

/* want: the differing fields' names, as the error shows them; either way round. */
static void
expect(const PgwIdentity *a, const PgwIdentity *b, int n, const char *want)
{
	assert_int_equal(same_text(a, b), n == 0);
	for (int turned = 0; turned < 2; turned++)
	{
		PgwBuf names;

		pgw_buf_init(&names, 0);
		assert_int_equal(
			turned ? pgw_identity_differ(b, a, &names) : pgw_identity_differ(a, b, &names), n);
		assert_false(names.failed);
		assert_string_equal(names.len > 0 ? names.data : "", want);
		pgw_buf_free(&names);
	}
}

static void
same(void **state)
{
	PgwIdentity copy = by_token;
	char token[] = "tok_1";

	expect(&by_token, &by_token, 0, "");
	expect(&by_card, &by_card, 0, "");

	copy.token = token; /* the text counts, not where it lies */
	expect(&by_token, &copy, 0, "");
}

static void
each_field(void **state)
{
	PgwIdentity other;

#define ONE(base, member, value, name) \
	do \
	{ \
		other = base; \
		other.member = value; \
		expect(&base, &other, 1, name); \
	} while (0)

	ONE(by_token, amount, 1251, "\"amount\"");
	ONE(by_token, amount, INT64_MAX, "\"amount\"");
	ONE(by_token, currency, "USD", "\"currency\"");
	ONE(by_token, token, "tok_2", "\"token\"");
	ONE(by_token, token, "TOK_1", "\"token\"");
	ONE(by_token, token, NULL, "\"token\"");
	ONE(by_token, bank, "south", "\"bank\"");
	ONE(by_token, bank, NULL, "\"bank\"");
	ONE(by_token, capture, PGW_CAPTURE_MANUAL, "\"capture\"");
	ONE(by_token, capture, PGW_CAPTURE_ON_COMMIT, "\"capture\"");
	ONE(by_token, reference, "order 2", "\"reference\"");
	ONE(by_token, reference, "order 1 ", "\"reference\"");
	ONE(by_token, reference, NULL, "\"reference\"");
	ONE(by_token, livemode, true, "\"livemode\"");
	ONE(by_card, card_last4, "1881", "\"card_number\"");
	ONE(by_card, card_expiry_month, 11, "\"card_expiry_month\"");
	ONE(by_card, card_expiry_year, 2032, "\"card_expiry_year\"");
	ONE(by_card, card_expiry_year, 32, "\"card_expiry_year\"");
	ONE(by_card, bank, "north", "\"bank\"");
#undef ONE
}

static void
none_is_empty(void **state)
{
	PgwIdentity none = by_card;
	PgwIdentity empty = by_card;

	none.token = none.bank = none.reference = NULL;
	empty.token = empty.bank = empty.reference = "";
	expect(&none, &empty, 0, "");

	none = by_token;
	empty = by_token;
	empty.card_last4 = "";
	expect(&none, &empty, 0, "");
}

static void
two_digit_years(void **state)
{
	PgwIdentity two = by_card;

	two.card_expiry_year = 31;
	expect(&by_card, &two, 0, "");
}

/*
 * Every difference is named, in the order of the arguments, as a list that a JSON array can hold.
 */
static void
many(void **state)
{
	PgwIdentity other = {.amount = 1,
						 .currency = "JPY",
						 .token = "t",
						 .card_last4 = "0005",
						 .card_expiry_month = 1,
						 .card_expiry_year = 2040,
						 .bank = "b",
						 .capture = PGW_CAPTURE_MANUAL,
						 .reference = "r"};
	PgwBuf names;

	expect(
		&by_card, &other, 9,
		"\"amount\", \"currency\", \"token\", \"card_number\", \"card_expiry_month\", \"card_expiry_year\", "
		"\"bank\", \"capture\", \"reference\"");
	expect(
		&by_token, &by_card, 6,
		"\"token\", \"card_number\", \"card_expiry_month\", \"card_expiry_year\", \"bank\", \"reference\"");

	/* after what the buffer holds already */
	other = by_token;
	other.currency = "USD";
	other.reference = "";
	pgw_buf_init(&names, 0);
	pgw_buf_puts(&names, "[");
	assert_int_equal(pgw_identity_differ(&by_token, &other, &names), 2);
	assert_string_equal(names.data, "[\"currency\", \"reference\"");
	pgw_buf_free(&names);
}

/* A text moved from one field into the next is another text. */
static void
text(void **state)
{
	PgwIdentity moved = by_token;
	PgwBuf b;

	moved.token = NULL;
	moved.card_last4 = "tok_1";
	assert_false(same_text(&by_token, &moved));

	pgw_buf_init(&b, 0);
	pgw_identity_text(&by_token, &b);
	assert_string_equal(b.data, "1250\nEUR\ntok_1\n\n0\n0\nnorth\nimmediate\norder 1\n0");
	pgw_buf_reset(&b);
	pgw_identity_text(&by_card, &b);
	assert_string_equal(b.data, "1250\nEUR\n\n1111\n12\n31\n\nimmediate\n\n0");
	pgw_buf_reset(&b);
	pgw_operation_identity_text("019b76da-a800-7000-9000-000000000001", 400, false, NULL, &b);
	assert_string_equal(b.data, "019b76da-a800-7000-9000-000000000001\n400\n0\n");
	pgw_buf_reset(&b);
	pgw_operation_identity_text("p", 1, true, "broken", &b);
	assert_string_equal(b.data, "p\n1\n1\nbroken");
	pgw_buf_reset(&b);
	pgw_operation_identity_text("p", INT64_MIN, true, "", &b);
	assert_string_equal(b.data, "p\n-9223372036854775808\n1\n");
	pgw_buf_reset(&b);
	pgw_operation_identity_text("p", INT64_MAX, true, "", &b);
	assert_string_equal(b.data, "p\n9223372036854775807\n1\n");
	pgw_buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same),          cmocka_unit_test(each_field),
		cmocka_unit_test(none_is_empty), cmocka_unit_test(two_digit_years),
		cmocka_unit_test(many),          cmocka_unit_test(text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
