/*
 * test_dispute.c - what a dispute takes of a payment, in whatever order and however often it is
 * told of; what a notification says of one; and which documents could be anybody's word
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "core/connector/compiled.h"
#include "core/notification/read_dispute.h"
#include "core/notification/kept_ids.h"
#include "core/notification/read_notification.h"
#include "core/payment/dispute_rules.h"
#include "quotes.h"

#define LENGTH(array) ((int) (sizeof(array) / sizeof((array)[0])))
#define BIT PGW_DISPUTE_BIT
#define EUR(n) \
	{ \
		true, n, "EUR" \
	}

/* ---- what it takes ---- */

static int64_t
tell(PgwDispute *d, PgwDisputeStep step, const PgwSaidMoney *amount, bool *is_new)
{
	PgwSaidDispute said = {.steps = BIT(step), .amount = *amount};
	PgwDisputeChange change;

	*is_new = pgw_dispute_take_step(d, step, &said, "EUR", &change);
	return change.taken;
}

/* Every order of these steps, each told twice or not: the end is the same, and so is the sum. */
static void
walk(const PgwDisputeStep *steps, const PgwSaidMoney *amounts, int n, unsigned left,
	 const PgwDispute *before, int64_t taken, int64_t wanted)
{
	if (left == 0)
	{
		assert_int_equal(pgw_dispute_takes(before), wanted);
		assert_int_equal(taken, wanted);
	}
	for (int i = 0; i < n; i++)
	{
		PgwDispute d = *before;
		int64_t now;
		bool is_new;

		if ((left & (1u << i)) == 0)
			continue;
		now = taken + tell(&d, steps[i], &amounts[i], &is_new);
		assert_true(is_new);
		assert_true(pgw_dispute_takes(&d) >= 0);
		walk(steps, amounts, n, left & ~(1u << i), &d, now, wanted);
		now += tell(&d, steps[i], &amounts[i], &is_new);
		assert_false(is_new);
		walk(steps, amounts, n, left & ~(1u << i), &d, now, wanted);
	}
}

static void
every_order(void **state)
{
	static const PgwDisputeStep won[] = {PGW_DISPUTE_INQUIRY, PGW_DISPUTE_OPENED,
										 PGW_DISPUTE_WITHDRAWN, PGW_DISPUTE_REINSTATED,
										 PGW_DISPUTE_WON};
	static const PgwDisputeStep again[] = {PGW_DISPUTE_WITHDRAWN, PGW_DISPUTE_REINSTATED,
										   PGW_DISPUTE_WITHDRAWN_AGAIN, PGW_DISPUTE_LOST};
	const PgwSaidMoney all[] = {EUR(1000), EUR(1000), EUR(1000), EUR(1000), EUR(1000)};
	const PgwSaidMoney part[] = {EUR(1000), EUR(1000), EUR(1000), EUR(400), EUR(0)};
	const PgwDispute nothing = {0};

	(void) state;
	walk(won, all, LENGTH(won), (1u << LENGTH(won)) - 1, &nothing, 0, 0);
	walk(won, part, LENGTH(won), (1u << LENGTH(won)) - 1, &nothing, 0, 600);
	walk(won, all, LENGTH(won), 0x13, &nothing, 0, 0); /* an inquiry, opened, won: nothing moved */
	walk(again, all, LENGTH(again), (1u << LENGTH(again)) - 1, &nothing, 0, 1000);
}

static void
status(void **state)
{
	static const struct
	{
		unsigned steps;
		const char *status;
	} rows[] = {
		{BIT(PGW_DISPUTE_INQUIRY), "inquiry"},
		{BIT(PGW_DISPUTE_INQUIRY) | BIT(PGW_DISPUTE_CLOSED), "closed"},
		{BIT(PGW_DISPUTE_INQUIRY) | BIT(PGW_DISPUTE_OPENED), "open"},
		{BIT(PGW_DISPUTE_WITHDRAWN), "open"},
		{BIT(PGW_DISPUTE_WITHDRAWN) | BIT(PGW_DISPUTE_LOST), "lost"},
		{BIT(PGW_DISPUTE_WITHDRAWN) | BIT(PGW_DISPUTE_REINSTATED) | BIT(PGW_DISPUTE_WON), "won"},
		{BIT(PGW_DISPUTE_WON) | BIT(PGW_DISPUTE_WITHDRAWN_AGAIN), "open"},
		{BIT(PGW_DISPUTE_WON) | BIT(PGW_DISPUTE_WITHDRAWN_AGAIN) | BIT(PGW_DISPUTE_LOST), "lost"},
		{BIT(PGW_DISPUTE_WON) | BIT(PGW_DISPUTE_WITHDRAWN_AGAIN) |
			 BIT(PGW_DISPUTE_REINSTATED_AGAIN),
		 "won"},
	};

	(void) state;
	for (int i = 0; i < LENGTH(rows); i++)
	{
		PgwDispute d = {.steps = rows[i].steps};

		assert_string_equal(pgw_dispute_status(&d), rows[i].status);
	}
	for (int i = 0; i < PGW_NDISPUTE_STEPS; i++)
		assert_int_equal(pgw_dispute_step_parse(pgw_dispute_step_name((PgwDisputeStep) i)), i);
	assert_int_equal(pgw_dispute_step_parse("paid"), -1);
}

/* In another currency than the payment's nothing is made up. */
static void
currencies(void **state)
{
	static const struct
	{
		PgwSaidMoney amount;
		PgwSaidMoney moved;
		bool backwards;
		int64_t taken; /* -1: unclear */
	} rows[] = {
		{EUR(1000), {false, 0, ""}, false, 1000},
		{{true, 1100, "USD"}, {false, 0, ""}, false, -1},
		{{true, 1100, "USD"}, EUR(990), false, 990},
		{EUR(1000), {true, 1100, "USD"}, false, 1000},
		{EUR(1000), EUR(400), false, 400},
		{EUR(1000), EUR(1000), true, -1},
		{{false, 0, ""}, {false, 0, ""}, false, -1},
		{{true, INT64_MAX, "EUR"}, {false, 0, ""}, false, -1},
	};

	(void) state;
	for (int i = 0; i < LENGTH(rows); i++)
	{
		PgwSaidDispute said = {.steps = BIT(PGW_DISPUTE_WITHDRAWN),
							   .amount = rows[i].amount,
							   .moved = rows[i].moved,
							   .moved_backwards = rows[i].backwards};
		PgwDisputeChange change;
		PgwDispute d = {0};

		assert_true(pgw_dispute_take_step(&d, PGW_DISPUTE_WITHDRAWN, &said, "EUR", &change));
		if (change.taken != (rows[i].taken < 0 ? 0 : rows[i].taken) ||
			change.unclear != (rows[i].taken < 0) || d.unclear != change.unclear)
			fail_msg("row %d: %d", i, (int) change.taken);
	}
}

/* What came back in another currency may be a part: it does not count. */
static void
part_of_it(void **state)
{
	static const struct
	{
		PgwSaidMoney moved;
		int64_t taken; /* of the payment, in the end */
		bool unclear;
	} rows[] = {
		{{false, 0, ""}, 0, false},
		{EUR(1000), 0, false},
		{EUR(400), 600, false},
		{{true, 1100, "USD"}, 1000, true},
	};

	(void) state;
	for (int i = 0; i < LENGTH(rows); i++)
	{
		PgwSaidDispute said = {
			.steps = BIT(PGW_DISPUTE_REINSTATED), .amount = EUR(1000), .moved = rows[i].moved};
		PgwDispute d = {.steps = BIT(PGW_DISPUTE_WITHDRAWN), .withdrawn = 1000};
		PgwDisputeChange change;

		assert_true(pgw_dispute_take_step(&d, PGW_DISPUTE_REINSTATED, &said, "EUR", &change));
		assert_int_equal(pgw_dispute_takes(&d), rows[i].taken);
		assert_int_equal(d.unclear, rows[i].unclear);
	}
}

static void
contradictions(void **state)
{
	PgwSaidDispute said = {.steps = BIT(PGW_DISPUTE_WITHDRAWN), .amount = EUR(1000)};
	PgwDispute d = {.steps = BIT(PGW_DISPUTE_WITHDRAWN), .withdrawn = 1000};

	(void) state;
	assert_false(pgw_dispute_contradicts(&d, &said, "EUR"));
	said.amount.amount = 900;
	assert_true(pgw_dispute_contradicts(&d, &said, "EUR"));
	assert_false(pgw_dispute_contradicts(&d, &said, "USD"));
	said.steps = BIT(PGW_DISPUTE_LOST);
	assert_false(pgw_dispute_contradicts(&d, &said, "EUR"));
	said.steps = BIT(PGW_DISPUTE_REINSTATED);
	d.steps |= BIT(PGW_DISPUTE_REINSTATED);
	assert_true(pgw_dispute_contradicts(&d, &said, "EUR"));
	d.reinstated = 900;
	assert_false(pgw_dispute_contradicts(&d, &said, "EUR"));
	/* beside a step that is new; and nothing new contradicts what it is the first to say */
	said.steps = BIT(PGW_DISPUTE_WITHDRAWN) | BIT(PGW_DISPUTE_LOST);
	assert_true(pgw_dispute_contradicts(&d, &said, "EUR"));
	said.steps = BIT(PGW_DISPUTE_WITHDRAWN) | BIT(PGW_DISPUTE_OPENED);
	d = (PgwDispute){.steps = BIT(PGW_DISPUTE_OPENED)};
	assert_false(pgw_dispute_contradicts(&d, &said, "EUR"));
}

/* Taken, and nobody can tell how much: that may be all. */
static void
unknown_amounts(void **state)
{
	static const struct
	{
		PgwDispute d;
		bool unknown;
	} rows[] = {
		{{.steps = BIT(PGW_DISPUTE_WITHDRAWN), .unclear = true}, true},
		{{.steps = BIT(PGW_DISPUTE_WITHDRAWN) | BIT(PGW_DISPUTE_LOST), .unclear = true}, true},
		{{.steps = BIT(PGW_DISPUTE_WITHDRAWN) | BIT(PGW_DISPUTE_WITHDRAWN_AGAIN),
		  .withdrawn = 400,
		  .unclear = true},
		 true},
		{{.steps = BIT(PGW_DISPUTE_WITHDRAWN), .withdrawn = 400}, false},
		/* what has come back, and not how much: all that was taken counts as taken */
		{{.steps = BIT(PGW_DISPUTE_WITHDRAWN) | BIT(PGW_DISPUTE_REINSTATED),
		  .withdrawn = 400,
		  .unclear = true},
		 false},
		{{.steps = BIT(PGW_DISPUTE_REINSTATED), .unclear = true}, false},
		{{.steps = BIT(PGW_DISPUTE_OPENED)}, false},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		if (pgw_dispute_takes_unknown(&rows[i].d) != rows[i].unknown)
			fail_msg("row %zu", i);
	}
}

/* ---- documents ---- */

#define SIGNED "'signature': {'scheme': 'hmac_body', 'header': 'X', 'as': 'hex'}, 'identity': '/id'"
#define FIELDS "'fields': {'reference': '/ref', 'amount': '/a', 'currency': '/c'}"
#define OF_CHARGE "'fields': {'bank_reference': '/ch', 'amount': '/d/a', 'currency': '/d/c'}"
#define RULES \
	"'rules': [{'when': {'/t': 'opened'}, 'is': 'opened'}, {'when': {'/t': 'taken'}, 'is':" \
	" ['opened', 'withdrawn']}, {'when': {'/t': 'back'}, 'is': ['reinstated', 'won']}]"

static PgwConnector *
compile(const char *notifications, PgwConnectorError *err)
{
	static char document[4096];

	snprintf(document, sizeof(document),
			 "{'v': 2, 'capabilities': {'tokens': true}, 'not_ids': ['0'], 'operations':"
			 " {'charge': {'method': 'POST', 'path': '/c', 'encoding': 'json', 'body': {'t':"
			 " '{{token}}', 'r': '{{transaction_ref}}'}, 'answer': {'rules': [{'status': 200,"
			 " 'outcome': 'approved'}]}}, 'lookup_charge': {'method': 'GET', 'path':"
			 " '/c?r={{original_ref}}', 'answer': {'rules': [{'status': 200, 'outcome':"
			 " 'approved'}], 'fields': {'reference': '/r'}}}}, 'notifications': {%s}}",
			 notifications);
	memset(err, 0, sizeof(*err));
	with_quotes(document);
	return pgw_connector_compile(document, strlen(document), err);
}

#define SIGNED_FIELDS(more) \
	"'signature': {'scheme': 'hmac_fields', 'at': '/s', 'fields': ['/id', '/t', '/ch', '/d/a', '/d/c'" more \
	"], 'separator': ':', 'as': 'hex'}, 'identity': ['/id', '/t']"

static void
documents(void **state)
{
	static const struct
	{
		const char *document;
		const char *pointer; /* NULL: good */
		const char *message;
	} rows[] = {
		{SIGNED ", " FIELDS ", 'disputes': {'id': '/d/id', " OF_CHARGE ", " RULES "}", NULL, NULL},
		{SIGNED_FIELDS(", '/d/id'") ", " FIELDS ", 'disputes': {'id': '/d/id', " OF_CHARGE
									", " RULES "}",
		 NULL, NULL},
		{SIGNED_FIELDS("") ", " FIELDS ", 'disputes': {'id': '/d/id', " OF_CHARGE ", " RULES "}",
		 "/notifications/disputes/id", "does not cover"},
		{SIGNED_FIELDS(", '/d/id'") ", " FIELDS ", 'disputes': {'id': '/d/id', 'deadline': '/d/by',"
									" " OF_CHARGE ", " RULES "}",
		 "/notifications/disputes/deadline", "does not cover"},
		{SIGNED_FIELDS(", '/d/id'") ", " FIELDS ", 'disputes': {'id': '/d/id', 'fields':"
									" {'bank_reference': '/other'}, 'rules': [{'when': {'/t':"
									" 'opened'}, 'is': 'opened'}]}",
		 "/notifications/disputes/fields/bank_reference", "does not cover"},
		{SIGNED_FIELDS(", '/d/id'") ", " FIELDS ", 'disputes': {'id': '/d/id', " OF_CHARGE
									", 'withdrawn': {'amount': '/m', 'currency': '/d/c'}, " RULES
									"}",
		 "/notifications/disputes/withdrawn/amount", "does not cover"},
		{SIGNED_FIELDS(", '/d/id'") ", " FIELDS ", 'disputes': {'id': '/d/id', " OF_CHARGE
									", 'rules': [{'when': {'/kind': 'x'}, 'is': 'opened'}]}",
		 "/notifications/disputes/rules/0/when", "does not cover"},
		{"'signature': {'scheme': 'basic_auth'}, 'identity': '/id', " FIELDS
		 ", 'disputes': {'id': '/d/id', " OF_CHARGE ", " RULES "}",
		 "/notifications/disputes", "content is signed"},
		{"'signature': {'scheme': 'none'}, " FIELDS ", 'disputes': {'id': '/d/id', " OF_CHARGE
		 ", " RULES "}",
		 "/notifications/disputes", "content is signed"},
		{SIGNED ", " FIELDS ", 'disputes': {'id': '/d/id', 'fields': {'bank_reference': '/ch'},"
				" " RULES "}",
		 "/notifications/disputes/rules/1/is/1", "nothing says how much"},
		{SIGNED ", " FIELDS ", 'disputes': {'id': '/d/id', 'fields': {'amount': '/a', 'currency':"
				" '/c'}, " RULES "}",
		 "/notifications/disputes/fields", "which payment"},
		{SIGNED ", " FIELDS ", 'disputes': {" OF_CHARGE ", " RULES "}",
		 "/notifications/disputes/id", "missing"},
		{SIGNED ", " FIELDS ", 'disputes': {'id': '/d/id', " OF_CHARGE ", 'rules': [{'when': {'/t':"
				" {'exists': true}}, 'is': 'opened'}]}",
		 "/notifications/disputes/rules/0/when", "compares nothing"},
		{SIGNED ", " FIELDS ", 'disputes': {'id': '/d/id', " OF_CHARGE ", 'rules': [{'when': {'/t':"
				" 'x'}, 'is': 'paid'}]}",
		 "/notifications/disputes/rules/0/is", "must be inquiry"},
	};

	(void) state;
	for (int i = 0; i < LENGTH(rows); i++)
	{
		PgwConnectorError err;
		PgwConnector *c = compile(rows[i].document, &err);

		if (rows[i].pointer == NULL)
		{
			if (c == NULL || !pgw_connector_has_disputes(c))
				fail_msg("row %d: %s: %s", i, err.pointer, err.message);
		}
		else if (c != NULL || strcmp(err.pointer, rows[i].pointer) != 0 ||
				 strstr(err.message, rows[i].message) == NULL)
			fail_msg("row %d: %s: %s", i, c != NULL ? "compiles" : err.pointer, err.message);
		pgw_connector_free(c);
	}
}

/* ---- reading ---- */

static void
read_body(const char *body, PgwNotification *out)
{
	static char text[1024];
	PgwConnectorError err;
	PgwConnector *c =
		compile(SIGNED ", 'type': '/t', " FIELDS ", 'disputes': {'id': '/d/id', " OF_CHARGE
					   ", 'withdrawn': {'amount': '/b/0/a', 'currency': '/b/0/c', 'fee': '/b/0/f'},"
					   " 'reinstated': {'amount': '/b/1/a', 'currency': '/b/1/c'}, 'deadline':"
					   " '/d/by', 'reason': '/d/why', " RULES "}",
				&err);
	PgwArrived a = {.body = text};

	if (c == NULL)
		fail_msg("%s: %s", err.pointer, err.message);
	snprintf(text, sizeof(text), "%s", body);
	with_quotes(text);
	a.len = strlen(text);
	pgw_notification_read(c, &a, true, out);
	pgw_connector_free(c);
}

static void
reading(void **state)
{
	PgwNotification n;

	(void) state;
	read_body("{'id': 'e1', 't': 'taken', 'ch': 'ch_1', 'ref': 'r', 'a': 5, 'c': 'EUR', 'd': {'id':"
			  " 'dp_1', 'a': 1000, 'c': 'eur', 'by': 1893456000, 'why': 'fraudulent'}, 'b': [{'a':"
			  " -1100, 'c': 'usd', 'f': 1500}]}",
			  &n);
	assert_int_equal(n.dispute.steps, BIT(PGW_DISPUTE_OPENED) | BIT(PGW_DISPUTE_WITHDRAWN));
	assert_string_equal(n.dispute.id, "dp_1");
	assert_string_equal(n.bank_reference, "ch_1");
	assert_string_equal(n.reference, ""); /* what says whose dispute it is stands with it */
	assert_true(n.dispute.amount.there && n.dispute.amount.amount == 1000);
	assert_string_equal(n.dispute.amount.currency, "EUR");
	assert_true(n.dispute.moved.there && n.dispute.moved.amount == 1100);
	assert_string_equal(n.dispute.moved.currency, "USD");
	assert_false(n.dispute.moved_backwards);
	assert_true(n.dispute.fee.there && n.dispute.fee.amount == 1500);
	assert_int_equal(n.dispute.deadline, 1893456000);
	assert_string_equal(n.dispute.reason, "fraudulent");
	/* and is compared with nothing that was asked for */
	assert_int_equal(pgw_notification_compare_amount(&n, 5, "EUR"), PGW_SAID_NOTHING);

	/* what should have come back was taken */
	read_body("{'t': 'back', 'ch': '0', 'd': {'id': 7, 'a': '1000', 'c': 'EUR', 'by':"
			  " '2030-01-01T01:30:00.25+01:30'}, 'b': [{}, {'a': -1100, 'c': 'USD'}]}",
			  &n);
	assert_int_equal(n.dispute.steps, BIT(PGW_DISPUTE_REINSTATED) | BIT(PGW_DISPUTE_WON));
	assert_string_equal(n.dispute.id, "7");
	assert_string_equal(n.bank_reference, ""); /* one of not_ids */
	assert_true(n.dispute.moved_backwards);
	assert_int_equal(n.dispute.deadline, 1893456000);

	/* an id that may be a card's number is read, and not kept */
	read_body("{'t': 'opened', 'd': {'id': '4111111111111111', 'a': -5, 'c': 'EUR', 'by': 'soon'}}",
			  &n);
	assert_int_equal(n.dispute.steps, BIT(PGW_DISPUTE_OPENED));
	assert_string_equal(n.dispute.id, "4111111111111111");
	pgw_notification_keep_ids(&n, "4242");
	assert_string_equal(n.dispute.id, "4111111111111111");
	pgw_notification_keep_ids(&n, "1111");
	assert_string_equal(n.dispute.id, "");
	assert_false(n.dispute.amount.there);
	assert_int_equal(n.dispute.deadline, 0);

	/* nor is what the bank writes where it has none one: two of them would be the same dispute */
	read_body("{'t': 'opened', 'ch': ' ', 'd': {'id': 0, 'a': 5, 'c': 'EUR'}}", &n);
	assert_int_equal(n.dispute.steps, BIT(PGW_DISPUTE_OPENED));
	assert_string_equal(n.dispute.id, "");
	assert_string_equal(n.bank_reference, "");
	read_body("{'t': 'opened', 'ch': 'c', 'd': {'id': ' ', 'a': 5, 'c': 'EUR'}}", &n);
	assert_string_equal(n.dispute.id, "");
	assert_string_equal(n.bank_reference, "c");

	read_body("{'t': 'paid', 'ref': 'r', 'a': 5, 'c': 'EUR', 'd': {'id': 'dp_1'}}", &n);
	assert_int_equal(n.dispute.steps, 0);
	assert_string_equal(n.reference, "r");
	assert_int_equal(pgw_notification_compare_amount(&n, 5, "EUR"), PGW_SAID_EQUAL);
}

static void
times(void **state)
{
	static const struct
	{
		const char *text;
		int64_t t;
	} rows[] = {
		{"2030-01-01T00:00:00Z", 1893456000},
		{"2030-01-01T00:00:00.123456Z", 1893456000},
		{"2030-01-01T02:00:00+02:00", 1893456000},
		{"2029-12-31T22:30:00-0130", 1893456000},
		{"2030-01-01", 0},
		{"2030-01-01T00:00:00", 0},
		{"2030-13-01T00:00:00Z", 0},
		{"2030-01-01T25:00:00Z", 0},
		{"2030-01-01T00:00:00+25:00", 0},
		{"2030-01-01T00:00:00+1", 0},
		{"2030/01/01T00:00:00Z", 0},
		{"", 0},
	};

	(void) state;
	for (int i = 0; i < LENGTH(rows); i++)
	{
		if (pgw_iso_time_read(rows[i].text) != rows[i].t)
			fail_msg("%s: %lld", rows[i].text, (long long) pgw_iso_time_read(rows[i].text));
	}
}

/* What has come back is said, and cannot be read: it may be a part, as in another currency. */
static void
unreadable_part(void **state)
{
	static const char *const moved[] = {
		"{'a': 400, 'c': 'USD'}",                  /* to compare with */
		"{'a': 400, 'c': 'CLF'}",                  /* a currency that pgw does not know */
		"{'a': 400.5, 'c': 'EUR'}",                /* no whole number */
		"{'a': '-400', 'c': 'EUR'}", "{'a': 400}", /* of no currency */
	};

	(void) state;
	for (int i = 0; i < LENGTH(moved); i++)
	{
		char body[512];
		PgwNotification n;
		PgwDispute d = {.steps = BIT(PGW_DISPUTE_WITHDRAWN), .withdrawn = 1000};
		PgwDisputeChange change;

		snprintf(body, sizeof(body),
				 "{'t': 'back', 'ch': 'c', 'd': {'id': 'd', 'a': 1000, 'c': 'EUR'}, 'b': [{}, %s]}",
				 moved[i]);
		read_body(body, &n);
		assert_true(pgw_dispute_take_step(&d, PGW_DISPUTE_REINSTATED, &n.dispute, "EUR", &change));
		assert_int_equal(pgw_dispute_takes(&d), 1000);
		assert_true(d.unclear);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_order),    cmocka_unit_test(status),
		cmocka_unit_test(currencies),     cmocka_unit_test(part_of_it),
		cmocka_unit_test(contradictions), cmocka_unit_test(unknown_amounts),
		cmocka_unit_test(documents),      cmocka_unit_test(unreadable_part),
		cmocka_unit_test(reading),        cmocka_unit_test(times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
