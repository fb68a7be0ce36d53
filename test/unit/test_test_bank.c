/*
 * test_test_bank.c - the bank inside the worker: its ledger's rules, keys and answers, and that
 * both test banks have the tokens of docs/bank-protocol.md
 */
#include "check_docs.h"

#include "core/json/json_text.h"
#include "core/test_bank/test_bank.h"

#define REFERENCE "0123456789abcdef0123456789abcdef"
#define CHARGE "ch_ghijklmnopabcdefghijklmnopabcdef"
#define ROOM 64

static PgwTestEntry rows[ROOM];
static PgwTestLedger ledger = {.entries = rows};
static PgwTestAnswer answer;
static char answers[ROOM][1024];
static int64_t now;

static int
start(void **state)
{
	(void) state;
	memset(rows, 0, sizeof(rows));
	ledger.n = 0;
	now = INT64_C(1790000000000);
	/* also called in the midst of a test */
	pgw_test_answer_free(&answer);
	pgw_test_answer_init(&answer);
	return 0;
}

static int
end(void **state)
{
	(void) state;
	pgw_test_answer_free(&answer);
	return 0;
}

/* One request, and what is left of it in the ledger as if it were a table. */
static int
ask(const char *method, const char *path, const char *key, const char *body)
{
	PgwTestRequest req = {.method = method,
						  .path = path,
						  .key = key,
						  .body = body,
						  .body_len = body != NULL ? strlen(body) : 0,
						  .now = now};
	PgwTestOrder order;

	pgw_test_answer_free(&answer);
	pgw_test_answer_init(&answer);
	if (!pgw_test_order_read(&order, &req, &answer))
		return answer.status;
	pgw_buf_init(&ledger.kept, 0);
	pgw_test_bank_decide(&order, &ledger, now, &answer);
	for (int i = 0; i < ledger.n; i++)
	{
		if (rows[i].answer != NULL && rows[i].is_new)
		{
			snprintf(answers[i], sizeof(answers[i]), "%s", rows[i].answer);
			rows[i].answer = answers[i];
		}
		rows[i].is_new = rows[i].changed = false;
	}
	pgw_buf_free(&ledger.kept);
	return answer.status;
}

static int
charge_as(const char *what, const char *token, const char *reference, const char *key)
{
	char body[512];

	snprintf(
		body, sizeof(body),
		"{\"amount\":1000,\"currency\":\"EUR\",\"reference\":\"%s\",\"source\":{\"token\":\"%s\"}}",
		reference, token);
	return ask("POST", what, key, body);
}

static int
charge(const char *token)
{
	return charge_as("/v1/charges", token, REFERENCE, "k");
}

static int
step(const char *what, const char *key, int amount)
{
	char path[128];
	char body[128];

	snprintf(path, sizeof(path), "/v1/charges/%s/%s", CHARGE, what);
	snprintf(body, sizeof(body), "{\"amount\":%d,\"currency\":\"EUR\",\"reference\":\"%s\"}",
			 amount, key);
	return ask("POST", path, key, body);
}

/* The answer says so at this place of its document. */
static void
says(const char *name, const char *want)
{
	PgwJson document;
	PgwJson value;
	char text[256];

	assert_int_equal(pgw_json_read(answer.body.data, answer.body.len, 16, &document),
					 PGW_JSON_GOOD);
	if (strchr(name, '/') != NULL)
	{
		char outer[64];

		snprintf(outer, sizeof(outer), "%.*s", (int) strcspn(name, "/"), name);
		assert_true(pgw_json_member(&document, outer, &value));
		document = value;
		name = strchr(name, '/') + 1;
	}
	assert_true(pgw_json_member(&document, name, &value));
	text[pgw_json_text(&value, text, sizeof(text) - 1)] = '\0';
	assert_string_equal(text, want);
}

static void
test_charge(void **state)
{
	(void) state;
	assert_int_equal(charge("tok_ok"), 201);
	says("status", "approved");
	says("id", CHARGE);
	says("captured", "1000");
	says("reference", REFERENCE);
	assert_int_equal(ledger.n, 1);
	assert_int_equal(ask("GET", "/v1/charges?reference=" REFERENCE, NULL, NULL), 200);
	says("id", CHARGE);
	assert_int_equal(ask("GET", "/v1/charges/" CHARGE, NULL, NULL), 200);
	assert_int_equal(ask("GET", "/v1/charges?reference=other", NULL, NULL), 404);
	assert_int_equal(ask("GET", "/v1/ping", NULL, NULL), 200);
	says("status", "ok");
}

static void
test_declines(void **state)
{
	static const char *const codes[] = {"insufficient_funds", "do_not_honor", "lost_card",
										"expired_card", "fraud"};

	(void) state;
	for (int i = 0; i < 5; i++)
	{
		char token[64];
		char reference[8];

		snprintf(token, sizeof(token), "tok_decline_%s", codes[i]);
		snprintf(reference, sizeof(reference), "r%d", i);
		assert_int_equal(charge_as("/v1/charges", token, reference, reference), 200);
		says("status", "declined");
		says("error/code", codes[i]);
	}
	assert_int_equal(charge("tok_auth_required"), 201);
	says("status", "requires_action");
	assert_int_equal(charge_as("/v1/charges", "tok_okay", "t", "t"), 400);
	assert_int_equal(charge_as("/v1/charges", "ok", "t", "t"), 400);
}

/* By its number, of which the last four digits are kept; and by its date. */
static void
test_cards(void **state)
{
	char body[512];
	const char *form =
		"{\"amount\":1000,\"currency\":\"EUR\",\"reference\":\"c%d\",\"source\":{\"card\":"
		"{\"number\":\"%s\",\"expiry_month\":12,\"expiry_year\":%d}}}";

	(void) state;
	snprintf(body, sizeof(body), form, 1, "5555555555554444", 2039);
	assert_int_equal(ask("POST", "/v1/charges", "c1", body), 201);
	says("card/last4", "4444");
	says("card/brand", "mastercard");
	for (size_t i = 0; i + 9 < sizeof(rows[0]); i++)
		assert_memory_not_equal((const char *) &rows[0] + i, "555555555", 9);
	snprintf(body, sizeof(body), form, 2, "4000000000009995", 2039);
	assert_int_equal(ask("POST", "/v1/charges", "c2", body), 200);
	says("error/code", "insufficient_funds");
	snprintf(body, sizeof(body), form, 3, "4242424242424242", 2020);
	assert_int_equal(ask("POST", "/v1/charges", "c3", body), 200);
	says("error/code", "expired_card");
	snprintf(body, sizeof(body), form, 4, "4242424242424241", 2039);
	assert_int_equal(ask("POST", "/v1/charges", "c4", body), 400);
}

static void
test_keys(void **state)
{
	char first[1024];

	(void) state;
	assert_int_equal(charge("tok_ok"), 201);
	snprintf(first, sizeof(first), "%s", answer.body.data);
	assert_int_equal(step("refunds", "r", 400), 201);
	assert_int_equal(charge("tok_ok"), 201);
	assert_string_equal(answer.body.data, first);
	assert_int_equal(charge_as("/v1/charges", "tok_ok", "another", "k"), 422);
	says("error/code", "idempotency_mismatch");
	assert_int_equal(charge_as("/v1/charges", "tok_ok", REFERENCE, "fresh"), 409);
	says("error/code", "reference_in_use");
	assert_int_equal(step("refunds", "r", 400), 201);
	assert_int_equal(rows[0].refunded, 400);
	/* a refusal is stored, too */
	assert_int_equal(step("refunds", "too much", 700), 400);
	assert_int_equal(step("refunds", "much", 700), 409);
	assert_int_equal(step("refunds", "much", 700), 409);
	says("error/code", "amount_too_large");
	assert_int_equal(ask("GET", "/v1/refunds?reference=much", NULL, NULL), 404);
}

static void
test_steps(void **state)
{
	(void) state;
	assert_int_equal(charge_as("/v1/authorizations", "tok_ok", REFERENCE, "k"), 201);
	says("captured", "0");
	assert_int_equal(step("refunds", "early", 10), 409);
	says("error/code", "not_captured");
	assert_int_equal(step("capture", "c", 600), 201);
	says("capture/status", "succeeded");
	says("captured", "600");
	assert_int_equal(step("capture", "c2", 500), 409);
	says("error/code", "amount_too_large");
	assert_int_equal(step("void", "v", 1), 409);
	says("error/code", "already_captured");
	assert_int_equal(step("refunds", "f", 600), 201);
	says("status", "succeeded");
	assert_int_equal(step("refunds", "g", 1), 409);
	says("error/code", "already_refunded");
	assert_int_equal(ask("POST", "/v1/charges/ch_nothing/void", "n", "{}"), 404);

	start(NULL);
	assert_int_equal(charge_as("/v1/authorizations", "tok_ok", REFERENCE, "k"), 201);
	assert_int_equal(step("void", "v", 1000), 200);
	says("voided", "");
	assert_true(rows[0].voided);
	assert_int_equal(step("capture", "c", 1000), 409);
	says("error/code", "already_voided");

	start(NULL);
	assert_int_equal(charge_as("/v1/authorizations", "tok_auth_expires_500", REFERENCE, "k"), 201);
	now += 500;
	assert_int_equal(step("capture", "c", 1000), 409);
	says("error/code", "authorization_expired");
}

static void
test_cancellations(void **state)
{
	const char *cancel = "{\"reference\":\"" REFERENCE "\"}";

	(void) state;
	assert_int_equal(ask("POST", "/v1/cancellations", "x", cancel), 200);
	says("result", "blocked");
	assert_int_equal(charge("tok_ok"), 409);
	says("error/code", "reference_cancelled");

	start(NULL);
	(void) charge("tok_ok");
	assert_int_equal(ask("POST", "/v1/cancellations", "x", cancel), 200);
	says("result", "refunded");
	says("charge/refunded", "1000");
	says("refund/status", "succeeded");
	assert_int_equal(ask("POST", "/v1/cancellations", "y", cancel), 200);
	says("result", "nothing_to_do");

	start(NULL);
	(void) charge_as("/v1/authorizations", "tok_ok", REFERENCE, "k");
	assert_int_equal(ask("POST", "/v1/cancellations", "x", cancel), 200);
	says("result", "voided");

	start(NULL);
	(void) charge("tok_auth_required");
	assert_int_equal(ask("POST", "/v1/cancellations", "x", cancel), 200);
	says("result", "stopped");
	assert_int_equal(rows[0].status, PGW_TEST_DECLINED);

	start(NULL);
	(void) charge("tok_refund_fail");
	assert_int_equal(ask("POST", "/v1/cancellations", "x", cancel), 409);
	says("error/code", "refund_refused");
}

/* What is pending is decided when its time has come. */
static void
test_time(void **state)
{
	(void) state;
	assert_int_equal(charge("tok_charge_pending_done_100"), 201);
	says("status", "pending");
	assert_int_equal(step("refunds", "r", 1), 409);
	now += 100;
	assert_int_equal(ask("GET", "/v1/charges?reference=" REFERENCE, NULL, NULL), 200);
	says("status", "approved");
	says("captured", "1000");

	start(NULL);
	(void) charge("tok_charge_pending_fail_100");
	now += 100;
	assert_int_equal(ask("GET", "/v1/charges?reference=" REFERENCE, NULL, NULL), 200);
	says("status", "declined");

	start(NULL);
	(void) charge("tok_refund_pending_fail_100");
	assert_int_equal(step("refunds", "r", 400), 201);
	says("status", "pending");
	assert_int_equal(rows[0].refunded, 400);
	now += 100;
	assert_int_equal(ask("GET", "/v1/refunds?reference=r", NULL, NULL), 200);
	says("status", "failed");
	says("error/code", "refund_refused");
	assert_int_equal(rows[0].refunded, 0);

	start(NULL);
	(void) charge("tok_refund_later_reversed_100");
	assert_int_equal(step("refunds", "r", 400), 201);
	says("status", "succeeded");
	now += 100;
	assert_int_equal(ask("GET", "/v1/refunds?reference=r", NULL, NULL), 200);
	says("error/code", "refund_reversed");

	start(NULL);
	(void) charge("tok_refund_fail_1");
	assert_int_equal(step("refunds", "r1", 400), 200);
	says("status", "failed");
	assert_int_equal(step("refunds", "r2", 400), 201);
	assert_int_equal(rows[0].refunded, 400);
}

/* Charged or not, by whether the fault comes before the work. */
static void
test_faults(void **state)
{
	static const struct
	{
		const char *token;
		PgwTestDelivery delivery;
		bool charged;
	} cases[] = {{"tok_timeout_before", PGW_TEST_SILENT, false},
				 {"tok_timeout_after", PGW_TEST_SILENT, true},
				 {"tok_reset_before", PGW_TEST_BROKEN, false},
				 {"tok_reset_after", PGW_TEST_BROKEN, true},
				 {"tok_close_headers", PGW_TEST_BROKEN, true},
				 {"tok_truncated", PGW_TEST_BROKEN, true},
				 {"tok_huge", PGW_TEST_TOO_LARGE, true},
				 {"tok_503", PGW_TEST_ANSWERED, false},
				 {"tok_429", PGW_TEST_ANSWERED, false},
				 {"tok_500_before", PGW_TEST_ANSWERED, false},
				 {"tok_500_after", PGW_TEST_ANSWERED, true},
				 {"tok_empty", PGW_TEST_ANSWERED, true},
				 {"tok_not_json", PGW_TEST_ANSWERED, true}};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		start(NULL);
		(void) charge(cases[i].token);
		assert_int_equal(answer.delivery, cases[i].delivery);
		assert_int_equal(ask("GET", "/v1/charges?reference=" REFERENCE, NULL, NULL),
						 cases[i].charged ? 200 : 404);
	}

	start(NULL);
	assert_int_equal(charge("tok_503_2"), 503);
	assert_int_equal(charge("tok_503_2"), 503);
	assert_int_equal(charge("tok_503_2"), 201);
	assert_int_equal(charge_as("/v1/charges", "tok_429", "busy", "b"), 429);
	assert_int_equal(answer.retry_after, 1);

	start(NULL);
	(void) charge("tok_wrong_amount");
	says("amount", "1100");
	assert_int_equal(rows[0].amount, 1000);
	start(NULL);
	(void) charge("tok_other_answer");
	says("reference", "another_payment");

	/* what follows the charge suffers by the charge's token */
	start(NULL);
	(void) charge("tok_refund_timeout_after");
	(void) step("refunds", "r", 400);
	assert_int_equal(answer.delivery, PGW_TEST_SILENT);
	assert_int_equal(rows[0].refunded, 400);
	/* the answer that was lost is there for the same key */
	assert_int_equal(step("refunds", "r", 400), 201);
	assert_int_equal(answer.delivery, PGW_TEST_ANSWERED);
	says("status", "succeeded");
}

static void
test_bad_requests(void **state)
{
	(void) state;
	assert_int_equal(ask("PUT", "/v1/charges", "k", "{}"), 405);
	assert_int_equal(ask("POST", "/v1/nothing", "k", "{}"), 404);
	assert_int_equal(ask("GET", "/v1/nothing", NULL, NULL), 404);
	assert_int_equal(ask("POST", "/v1/charges", "k", "no json"), 400);
	assert_int_equal(ask("POST", "/v1/charges", "k", "{}"), 400);
	assert_int_equal(ask("POST", "/v1/charges", "k", "{\"amount\":0}"), 400);
	assert_int_equal(ask("POST", "/v1/charges", "k", "{\"amount\":1.5}"), 400);
	assert_int_equal(ask("POST", "/v1/charges", "k e y", "{}"), 400);
	assert_int_equal(ask("GET", "/v1/charges?reference=a%20b", NULL, NULL), 400);
	assert_int_equal(ledger.n, 0);
}

/* Each name stands in the page's table. */
static void
test_tokens(void **state)
{
	static char page[65536];
	FILE *f = open_docs("docs/bank-protocol.md", "| name | effect | charged |");
	size_t len = fread(page, 1, sizeof(page) - 1, f);

	(void) state;
	page[len] = '\0';
	fclose(f);
	*strstr(page, "\n\n") = '\0';
	for (int i = 0; pgw_fault_name(i) != NULL; i++)
	{
		char name[64];
		char *place;

		snprintf(name, sizeof(name), "`%s", pgw_fault_name(i));
		place = strstr(page, name);
		if (place == NULL)
			fail_msg("docs/bank-protocol.md does not tell of %s", pgw_fault_name(i));
	}
	assert_null(pgw_token_of_card("4242424242424243"));
	assert_string_equal(pgw_token_of_card("4242424242424242"), "tok_ok");
	assert_string_equal(pgw_token_of_amount(9990013), "tok_timeout_after");
	assert_null(pgw_token_of_amount(9990099));
	assert_null(pgw_token_of_amount(1234));
}

int
main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, start, end)
	const struct CMUnitTest tests[] = {
		CASE(test_charge),       CASE(test_declines),      CASE(test_cards), CASE(test_keys),
		CASE(test_steps),        CASE(test_cancellations), CASE(test_time),  CASE(test_faults),
		CASE(test_bad_requests), CASE(test_tokens)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
