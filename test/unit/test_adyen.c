/*
 * test_adyen.c - the connector for Adyen: what it makes of the vendor's own examples, of errors,
 * and of what the vendor says by itself
 *
 * The examples are those of the simulator's file, which names where each was published.  The signed
 * items and their key are those of Adyen's library for Node.js (commit 3b84a18,
 * src/__tests__/hmacValidator.spec.ts).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include <cmocka.h>

#include "core/bank_message/judge_answer.h"
#include "core/connector/compiled.h"
#include "core/notification/notification_verdict.h"
#include "documents.h"

#define KEY "DFB1EB5485895CFA84146406857104ABB4CBCABDC8AAF103A624C8F6A3EAAB00"

static PgwConnector *adyen;
static json_object *published;

static int
setup(void **state)
{
	(void) state;
	adyen = compile(read_document("src/connectors/adyen.json"));
	published = json_tokener_parse(read_document("test/bank/dialects/adyen.json"));
	assert_non_null(published);
	return 0;
}

static int
teardown(void **state)
{
	(void) state;
	pgw_connector_free(adyen);
	json_object_put(published);
	return 0;
}

static const char *
example(const char *of, const char *name)
{
	json_object *v;

	assert_true(json_object_object_get_ex(published, of, &v));
	if (!json_object_object_get_ex(v, name, &v) || !json_object_object_get_ex(v, "document", &v))
		fail_msg("no example %s", name);
	return json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN);
}

/* What stands for our reference in the vendor's examples. */
static const char *
reference_of(PgwBankOp op)
{
	return op == PGW_OP_CHARGE      ? "string"
		   : op == PGW_OP_AUTHORIZE ? "Your order number"
									: "YOUR_UNIQUE_REFERENCE";
}

static PgwAnswer
judged(PgwBankOp op, long status, const char *body, const char *header)
{
	PgwQuestion question = {.op = op,
							.transaction_ref = reference_of(op),
							.original_ref = "string",
							.bank_reference = "993617894903480A",
							.currency = "EUR",
							.iso_exponent = 2};
	char kept[64];
	PgwAnswer answer;

	snprintf(kept, sizeof(kept), "transient-error: %s\n", header != NULL ? header : "");

	pgw_connector_judge(adyen, &question,
						&(PgwGivenAnswer){.status = status,
										  .body = body,
										  .len = strlen(body),
										  .headers = header != NULL ? kept : NULL},
						&answer);
	return answer;
}

static void
answers(void **state)
{
	static const struct
	{
		PgwBankOp op;
		long status;
		const char *example;
		PgwOutcome outcome;
		const char *bank_reference;
		int64_t amount;
	} cases[] = {
		{PGW_OP_CHARGE, 200, "authorised", PGW_OUT_APPROVED, "993617895204576J", 0},
		{PGW_OP_AUTHORIZE, 200, "redirect", PGW_OUT_REQUIRES_ACTION, "JLCMPCQ8HXSKGK82", 0},
		{PGW_OP_CAPTURE, 201, "capture", PGW_OUT_ACCEPTED, "", 2000},
		{PGW_OP_REFUND, 201, "refund", PGW_OUT_ACCEPTED, "", 2500},
		{PGW_OP_VOID, 201, "cancel", PGW_OUT_ACCEPTED, "", 0},
		{PGW_OP_REVERSE, 201, "reversal", PGW_OUT_ACCEPTED, "", 0},
		{PGW_OP_CHARGE, 401, "generic_401", PGW_OUT_REJECTED, "", 0},
		{PGW_OP_CHARGE, 422, "generic_422", PGW_OUT_REJECTED, "8816118280275544", 0},
		{PGW_OP_REFUND, 422, "generic_422", PGW_OUT_REJECTED, "", 0},
		{PGW_OP_CHARGE, 500, "generic_500", PGW_OUT_UNKNOWN, "8516091485743033", 0},
		/* a yes under another status, or of something else, is none */
		{PGW_OP_CHARGE, 202, "authorised", PGW_OUT_UNKNOWN, "993617895204576J", 0},
		{PGW_OP_CAPTURE, 200, "capture", PGW_OUT_UNKNOWN, "", 2000},
		{PGW_OP_REFUND, 201, "authorised", PGW_OUT_UNKNOWN, "", 0}};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		PgwAnswer a =
			judged(cases[i].op, cases[i].status, example("examples", cases[i].example), NULL);

		if (a.outcome != cases[i].outcome ||
			strcmp(a.bank_reference, cases[i].bank_reference) != 0 || a.amount != cases[i].amount)
			fail_msg("%s: %d %s %lld", cases[i].example, a.outcome, a.bank_reference,
					 (long long) a.amount);
	}
}

/* Of the request itself, and not of what it asks for. */
static void
not_of_the_payment(void **state)
{
	static const PgwBankOp ops[] = {PGW_OP_CHARGE, PGW_OP_AUTHORIZE, PGW_OP_CAPTURE,
									PGW_OP_VOID,   PGW_OP_REFUND,    PGW_OP_REVERSE};
	static const char busy[] =
		"{\"status\":422,\"errorCode\":\"704\",\"errorType\":\"validation\"}";
	static const char away[] = "{\"status\":503,\"errorCode\":\"703\"}";
	PgwAnswer a;

	(void) state;
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
	{
		/* under way, whatever else is said of it: another request with the key may be done */
		a = judged(ops[i], 422, busy, "true");
		assert_int_equal(a.outcome, PGW_OUT_UNKNOWN);
		assert_int_equal(a.key_word, PGW_KEY_IN_PROGRESS);
		assert_int_equal(judged(ops[i], 409, busy, NULL).key_word, PGW_KEY_IN_PROGRESS);
		assert_int_equal(judged(ops[i], 503, away, NULL).outcome, PGW_OUT_NOT_PROCESSED);
		assert_int_equal(judged(ops[i], 500, "{}", "true").outcome, PGW_OUT_NOT_PROCESSED);
		assert_int_equal(judged(ops[i], 500, "{}", "false").outcome, PGW_OUT_UNKNOWN);
		assert_int_equal(judged(ops[i], 503, "<html>", "true").outcome, PGW_OUT_UNKNOWN);
		assert_int_equal(judged(ops[i], 422, "{}", NULL).outcome, PGW_OUT_UNKNOWN);
		assert_int_equal(judged(ops[i], 429, "{}", NULL).outcome, PGW_OUT_UNKNOWN);
	}
}

/* What Adyen has published of each event, unsigned: about what it is, and done or not. */
static void
words(void **state)
{
	static const struct
	{
		const char *event;
		PgwBankOp about;
		PgwOutcome says;
		const char *charge;
		bool has_amount;
	} cases[] = {{"AUTHORISATION", PGW_OP_CHARGE, PGW_OUT_APPROVED, "QFQTPCQ8HXSKGK82", true},
				 {"CAPTURE", PGW_OP_CAPTURE, PGW_OUT_APPROVED, "9913140798220028", true},
				 {"CAPTURE_FAILED", PGW_OP_CAPTURE, PGW_OUT_DECLINED, "9913140798220028", true},
				 {"CANCELLATION", PGW_OP_VOID, PGW_OUT_APPROVED, "9913140798220028", true},
				 {"CANCEL_OR_REFUND", PGW_OP_REVERSE, PGW_OUT_APPROVED, "9913140798220028", true},
				 /* not successful: its amount says nothing */
				 {"REFUND", PGW_OP_REFUND, PGW_OUT_DECLINED, "9913140798220028", false},
				 {"REFUND_FAILED", PGW_OP_REFUND, PGW_OUT_DECLINED, "9913140798220028", true},
				 {"REFUNDED_REVERSED", PGW_OP_REFUND, PGW_OUT_DECLINED, "9913140798220028", true}};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		PgwNotification n;
		json_object *item =
			json_tokener_parse(strstr(example("notifications", cases[i].event), "[{") + 1);
		const char *text = json_object_to_json_string_ext(item, JSON_C_TO_STRING_PLAIN);
		PgwArrived a = {.body = text, .len = strlen(text)};

		pgw_notification_read(adyen, &a, false, &n);
		assert_true(n.readable);
		assert_true(n.is_evidence);
		assert_int_equal(n.about, cases[i].about);
		assert_int_equal(n.says, cases[i].says);
		assert_string_equal(n.bank_reference, cases[i].charge);
		assert_string_equal(n.reference, "YOUR_MERCHANT_REFERENCE");
		assert_string_equal(n.type, cases[i].event);
		assert_int_equal(n.has_amount, cases[i].has_amount);
		assert_int_equal(n.amount, cases[i].has_amount ? 1000 : 0);
		json_object_put(item);
	}
}

static PgwNotificationVerdict
verdict(const char *code, const char *success, const char *live, const char *signature,
		PgwNotification *said)
{
	static PgwJudged out[PGW_NOTIFICATION_MAX_ITEMS];
	PgwSecretValues secrets = {1, {{"", KEY}}};
	char body[1024];
	PgwArrived a = {.body = body};

	a.len = (size_t) snprintf(
		body, sizeof(body),
		"{\"live\":\"%s\",\"notificationItems\":[{\"NotificationRequestItem\":{\"pspReference\":"
		"\"pspReference\",\"originalReference\":\"originalReference\",\"merchantAccountCode\":"
		"\"merchantAccount\",\"merchantReference\":\"reference\",\"amount\":{\"currency\":\"EUR\","
		"\"value\":1000},\"eventCode\":\"%s\",\"success\":\"%s\",\"additionalData\":{"
		"\"hmacSignature\":\"%s\"}}}]}",
		live, code, success, signature);
	assert_int_equal(pgw_notification_judge(adyen, &a, &secrets, NULL, false, out), 1);
	*said = out[0].said;
	return out[0].verdict;
}

/* The signed items of Adyen's library, and what is made of them. */
static void
signatures(void **state)
{
	static const struct
	{
		const char *code;
		const char *signature;
	} signed_items[] = {{"EVENT", "ipnxGCaUZ4l8TUW75a71/ghd2Fe5ffvX0pV4TLTntIc="},
						{"REPORT_AVAILABLE", "ZNBPtI+oDyyRrLyD1XirkKnQgIAlFc07Vj27TeHsDRE="}};
	PgwNotification said;

	(void) state;
	for (size_t i = 0; i < 2; i++)
	{
		const char *code = signed_items[i].code;
		const char *signature = signed_items[i].signature;

		assert_int_equal(verdict(code, "true", "false", signature, &said),
						 PGW_NOTIFICATION_ACCEPTED);
		assert_false(said.is_evidence); /* of nothing that was asked for */
		assert_int_equal(verdict(code, "false", "false", signature, &said),
						 PGW_NOTIFICATION_WRONG_SIGNATURE);
		assert_int_equal(verdict("CAPTURE", "true", "false", signature, &said),
						 PGW_NOTIFICATION_WRONG_SIGNATURE);
		assert_int_equal(verdict(code, "true", "true", signature, &said),
						 PGW_NOTIFICATION_OTHER_MODE);
		assert_int_equal(verdict(code, "true", "false", "notValidSign", &said),
						 PGW_NOTIFICATION_WRONG_SIGNATURE);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),
		cmocka_unit_test(not_of_the_payment),
		cmocka_unit_test(words),
		cmocka_unit_test(signatures),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
