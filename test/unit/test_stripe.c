/*
 * test_stripe.c - the connector for Stripe: its requests, what it makes of Stripe's answers, and
 * what of the language stands there alone: a look-up by the charge's id, totals, sources
 *
 * Answers are written with ' for ".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/bank_message/judge_answer.h"
#include "core/bank_message/render_request.h"
#include "documents.h"
#include "quotes.h"

#define OURS "0123456789abcdef0123456789abcdef"
#define CHARGE_REF "ffffffffffffffffffffffffffffffff"
#define ID "pi_1PgafyB7WZ01zgkWSjxsAJo3"

static PgwConnector *stripe;
static PgwConnectorError err;
static PgwAnswer answer;

static int
setup(void **state)
{
	(void) state;
	stripe = compile(read_document("src/connectors/stripe.json"));
	return 0;
}

static int
teardown(void **state)
{
	(void) state;
	pgw_connector_free(stripe);
	return 0;
}

static const char *
rendered(PgwBankOp op, const char *id, int64_t amount, const char *currency, int iso_exponent)
{
	static const PgwSecretValues secrets = {1, {{"", "sk_test"}}};
	static char text[8192];
	PgwCallParams p = {.has_amount = true,
					   .amount = amount,
					   .currency = currency,
					   .iso_exponent = iso_exponent,
					   .token = "pm_card_visa",
					   .transaction_ref = OURS,
					   .original_ref = CHARGE_REF,
					   .bank_reference = id,
					   .idempotency_key = "key",
					   .merchant = "m1",
					   .secrets = &secrets};
	PgwRendered r;

	pgw_rendered_init(&r);
	if (!pgw_connector_render(stripe, op, &p, &r, &err))
		snprintf(text, sizeof(text), "%s", err.message);
	else
		snprintf(text, sizeof(text), "%s %s %s", r.method, r.path.data,
				 r.has_body ? r.body.data : "");
	pgw_rendered_free(&r);
	return text;
}

static PgwOutcome
judge(PgwBankOp op, const char *id, long status, const char *text)
{
	static char body[8192];
	PgwQuestion question = {.op = op,
							.transaction_ref = OURS,
							.original_ref = CHARGE_REF,
							.bank_reference = id,
							.currency = "EUR",
							.iso_exponent = 2};

	snprintf(body, sizeof(body), "%s", text);
	with_quotes(body);
	pgw_connector_judge(stripe, &question,
						&(PgwGivenAnswer){.status = status, .body = body, .len = strlen(body)},
						&answer);
	return answer.outcome;
}

#define INTENT(ref, status, received, charge) \
	"{'id':'" ID \
	"','object':'payment_intent','amount':2000,'currency':'eur','livemode':false,'status':'" status \
	"','amount_received':" received ",'metadata':{'pgw_ref':'" ref "'},'latest_charge':" charge \
	"}"
#define PAID(captured, refunded) \
	"{'id':'ch_1','amount':2000,'amount_captured':" captured ",'amount_refunded':" refunded \
	",'payment_method_details':{'card':{'brand':'visa','last4':'4242','authorization_code':'A1'}}}"
#define DECLINED(code, decline) \
	"{'error':{'type':'card_error','code':'" code "','decline_code':'" decline \
	"','payment_intent':" INTENT(OURS, "requires_payment_method", "0", "null") "}}"

static void
test_requests(void **state)
{
	(void) state;
	assert_string_equal(
		rendered(PGW_OP_CHARGE, NULL, 2000, "EUR", 2),
		"POST /v1/payment_intents amount=2000&currency=eur&payment_method=pm_card_visa&confirm=true&capture_method=automatic"
		"&error_on_requires_action=true&automatic_payment_methods%5Benabled%5D=true&automatic_payment_methods%5Ballow_redirects%5D=never"
		"&metadata%5Bpgw_ref%5D=" OURS "&metadata%5Bmerchant%5D=m1&expand%5B%5D=latest_charge");
	assert_non_null(
		strstr(rendered(PGW_OP_AUTHORIZE, NULL, 2000, "EUR", 2), "capture_method=manual"));
	assert_string_equal(rendered(PGW_OP_CAPTURE, ID, 700, "EUR", 2),
						"POST /v1/payment_intents/" ID
						"/capture amount_to_capture=700&expand%5B%5D=latest_charge");
	assert_string_equal(rendered(PGW_OP_REFUND, ID, 500, "EUR", 2),
						"POST /v1/refunds payment_intent=" ID
						"&amount=500&metadata%5Bpgw_ref%5D=" OURS);
	/* Stripe's units: where they are not those of ISO 4217 */
	assert_non_null(
		strstr(rendered(PGW_OP_CHARGE, NULL, 500, "JPY", 0), "amount=500&currency=jpy"));
	assert_non_null(strstr(rendered(PGW_OP_CHARGE, NULL, 5, "ISK", 0), "amount=500&currency=isk"));
	assert_non_null(strstr(rendered(PGW_OP_CHARGE, NULL, 5, "UGX", 0), "amount=500&currency=ugx"));
	assert_non_null(strstr(rendered(PGW_OP_CHARGE, NULL, 500, "MGA", 2), "amount=5&currency=mga"));
}

/* By the charge's id where it is known, else by our reference. */
static void
test_look_ups(void **state)
{
	(void) state;
	assert_string_equal(
		rendered(PGW_OP_LOOKUP_CHARGE, NULL, 0, "EUR", 2),
		"GET /v1/payment_intents/search?query=metadata%5B%27pgw_ref%27%5D%3A%27" CHARGE_REF
		"%27&limit=100&expand%5B%5D=data.latest_charge ");
	assert_string_equal(rendered(PGW_OP_LOOKUP_CHARGE, ID, 0, "EUR", 2),
						"GET /v1/payment_intents/" ID "?expand%5B%5D=latest_charge ");
	assert_int_equal(judge(PGW_OP_LOOKUP_CHARGE, NULL, 200,
						   "{'object':'search_result','has_more':false,'data':[" INTENT(
							   CHARGE_REF, "succeeded", "2000", PAID("2000", "0")) "]}"),
					 PGW_OUT_APPROVED);
	assert_string_equal(answer.bank_reference, ID);
	assert_int_equal(judge(PGW_OP_LOOKUP_CHARGE, NULL, 200,
						   "{'object':'search_result','has_more':false,'data':[]}"),
					 PGW_OUT_NOT_FOUND);
	assert_int_equal(judge(PGW_OP_LOOKUP_CHARGE, NULL, 200,
						   "{'object':'search_result','has_more':true,'data':[]}"),
					 PGW_OUT_UNKNOWN);
	/* the same documents, where the id was asked for */
	assert_int_equal(judge(PGW_OP_LOOKUP_CHARGE, ID, 200,
						   INTENT(CHARGE_REF, "succeeded", "2000", PAID("2000", "0"))),
					 PGW_OUT_APPROVED);
	assert_int_equal(
		judge(PGW_OP_LOOKUP_CHARGE, ID, 200, INTENT(OURS, "succeeded", "2000", PAID("2000", "0"))),
		PGW_OUT_UNKNOWN);
	assert_true(answer.other_reference);
	assert_int_equal(judge(PGW_OP_LOOKUP_CHARGE, ID, 200,
						   "{'object':'search_result','has_more':false,'data':[]}"),
					 PGW_OUT_UNKNOWN);
	assert_int_equal(judge(PGW_OP_LOOKUP_CHARGE, ID, 404,
						   "{'error':{'code':'resource_missing','type':'invalid_request_error'}}"),
					 PGW_OUT_NOT_FOUND);
	assert_int_equal(pgw_connector_capabilities(stripe)->lookup_by_id_consistent_after_s, 2);
}

static void
test_charges(void **state)
{
	(void) state;
	/* another request had this key: whatever it did, a person must look */
	assert_int_equal(judge(PGW_OP_CHARGE, NULL, 400, "{'error':{'type':'idempotency_error'}}"),
					 PGW_OUT_UNKNOWN);
	assert_int_equal(answer.key_word, PGW_KEY_MISMATCH);
	assert_int_equal(
		judge(PGW_OP_CHARGE, NULL, 200, INTENT(OURS, "succeeded", "2000", PAID("2000", "0"))),
		PGW_OUT_APPROVED);
	assert_string_equal(answer.card_last4, "4242");
	assert_string_equal(answer.authorization_code, "A1");
	assert_true(answer.captured == 2000 && answer.refunded == 0 && !answer.voided);
	assert_int_equal(
		judge(PGW_OP_AUTHORIZE, NULL, 200, INTENT(OURS, "requires_capture", "0", PAID("0", "0"))),
		PGW_OUT_APPROVED);
	assert_true(answer.captured == 0 && answer.refunded == 0);
	assert_int_equal(judge(PGW_OP_CHARGE, NULL, 200, INTENT(OURS, "processing", "0", "null")),
					 PGW_OUT_PENDING);
	assert_int_equal(judge(PGW_OP_CHARGE, NULL, 200, INTENT(OURS, "requires_action", "0", "null")),
					 PGW_OUT_REQUIRES_ACTION);
	assert_int_equal(
		judge(PGW_OP_CHARGE, NULL, 402, DECLINED("card_declined", "insufficient_funds")),
		PGW_OUT_DECLINED);
	assert_string_equal(answer.error_code, "insufficient_funds");
	assert_int_equal(judge(PGW_OP_CHARGE, NULL, 402, DECLINED("card_declined", "never_heard_of")),
					 PGW_OUT_DECLINED);
	assert_string_equal(answer.error_code, "declined");
	assert_string_equal(answer.bank_code, "never_heard_of");
	assert_int_equal(judge(PGW_OP_CHARGE, NULL, 402,
						   "{'error':{'type':'card_error','code':'requires_action_not_handled'}}"),
					 PGW_OUT_DECLINED);
	assert_string_equal(answer.error_code, "authentication_required");
	assert_int_equal(judge(PGW_OP_CHARGE, NULL, 400, "{'error':{'type':'idempotency_error'}}"),
					 PGW_OUT_UNKNOWN);
	assert_int_equal(
		judge(PGW_OP_CHARGE, NULL, 409,
			  "{'error':{'code':'idempotency_key_in_use','type':'invalid_request_error'}}"),
		PGW_OUT_UNKNOWN);
	assert_int_equal(judge(PGW_OP_CHARGE, NULL, 400,
						   "{'error':{'code':'parameter_unknown','type':'invalid_request_error'}}"),
					 PGW_OUT_REJECTED);
	assert_int_equal(judge(PGW_OP_CHARGE, NULL, 429,
						   "{'error':{'code':'rate_limit','type':'invalid_request_error'}}"),
					 PGW_OUT_NOT_PROCESSED);
	assert_int_equal(judge(PGW_OP_CHARGE, NULL, 429, "<html>"), PGW_OUT_UNKNOWN);
	assert_int_equal(judge(PGW_OP_CHARGE, NULL, 500, "{'error':{'type':'api_error'}}"),
					 PGW_OUT_UNKNOWN);
}

/* What a partial capture releases stands among what Stripe calls refunded, and was never taken. */
static void
test_totals(void **state)
{
	(void) state;
	assert_int_equal(
		judge(PGW_OP_CAPTURE, ID, 200, INTENT(CHARGE_REF, "succeeded", "700", PAID("700", "1300"))),
		PGW_OUT_APPROVED);
	assert_true(answer.captured == 700 && answer.refunded == 0 && !answer.charge_state_unreadable);
	judge(PGW_OP_LOOKUP_CHARGE, ID, 200,
		  INTENT(CHARGE_REF, "succeeded", "700", PAID("700", "1500")));
	assert_int_equal(answer.refunded, 200);
	/* it would be less than nothing, or is not all there */
	judge(PGW_OP_LOOKUP_CHARGE, ID, 200, INTENT(CHARGE_REF, "succeeded", "700", PAID("700", "0")));
	assert_true(answer.refunded == -1 && answer.charge_state_unreadable);
	judge(PGW_OP_LOOKUP_CHARGE, ID, 200,
		  INTENT(CHARGE_REF, "succeeded", "2000", "{'amount_refunded':0,'amount_captured':2000}"));
	assert_true(answer.refunded == -1 && answer.charge_state_unreadable);
	judge(PGW_OP_LOOKUP_CHARGE, ID, 200, INTENT(CHARGE_REF, "canceled", "0", PAID("0", "2000")));
	assert_true(answer.voided && answer.captured == 0 && answer.refunded == 0);
}

static void
test_later_steps(void **state)
{
	(void) state;
	assert_int_equal(
		judge(PGW_OP_VOID, ID, 200, INTENT(CHARGE_REF, "canceled", "0", PAID("0", "2000"))),
		PGW_OUT_APPROVED);
	assert_int_equal(
		judge(
			PGW_OP_VOID, ID, 400,
			"{'error':{'code':'payment_intent_unexpected_state','type':'invalid_request_error','payment_intent':{'status':'canceled'}}}"),
		PGW_OUT_APPROVED);
	assert_int_equal(
		judge(
			PGW_OP_VOID, ID, 400,
			"{'error':{'code':'payment_intent_unexpected_state','type':'invalid_request_error','payment_intent':{'status':'succeeded'}}}"),
		PGW_OUT_DECLINED);
	assert_int_equal(
		judge(
			PGW_OP_REFUND, ID, 200,
			"{'id':'re_1','status':'succeeded','amount':500,'currency':'eur','payment_intent':'" ID
			"','metadata':{'pgw_ref':'" OURS "'}}"),
		PGW_OUT_APPROVED);
	assert_int_equal(
		judge(
			PGW_OP_REFUND, ID, 200,
			"{'id':'re_1','status':'succeeded','amount':500,'currency':'eur','payment_intent':'pi_other','metadata':{'pgw_ref':'" OURS
			"'}}"),
		PGW_OUT_UNKNOWN);
	assert_int_equal(
		judge(PGW_OP_LOOKUP_REFUND, ID, 200,
			  "{'data':[{'status':'failed','amount':1,'currency':'eur','metadata':{}},"
			  "{'status':'pending','amount':500,'currency':'eur','metadata':{'pgw_ref':'" OURS
			  "'}}],'has_more':false}"),
		PGW_OUT_PENDING);
	assert_int_equal(judge(PGW_OP_LOOKUP_REFUND, ID, 200, "{'data':[],'has_more':false}"),
					 PGW_OUT_NOT_FOUND);
}

/* The document with one text in the place of another does not compile. */
static PgwConnector *
changed(const char *from, const char *to)
{
	static char other[sizeof(document) + 1024];
	char *at = strstr(document, from);

	assert_non_null(at);
	snprintf(other, sizeof(other), "%.*s%s%s", (int) (at - document), document, to,
			 at + strlen(from));
	return pgw_connector_compile(other, strlen(other), &err);
}

static void
refused(const char *from, const char *to, const char *pointer, const char *says)
{
	PgwConnector *c = changed(from, to);

	if (c != NULL)
		fail_msg("compiles with %s", to);
	if (strcmp(err.pointer, pointer) != 0 || strstr(err.message, says) == NULL)
		fail_msg("%s: %s\ninstead of %s: %s", err.pointer, err.message, pointer, says);
}

static void
test_refused_documents(void **state)
{
	(void) state;
	refused("\"source\": \"balance\"", "\"source\": \"hearsay\"", "/operations/ping/source",
			"sources");
	refused("\"source\": \"balance\"", "\"source\": [1]", "/operations/ping/source", "sources");
	refused("\"sources\": {", "\"sources\": {\"x\": 5,", "/sources/x", "must be a string");
	refused("\"path\": \"/v1/payment_intents/{{bank_reference}}?",
			"\"path\": \"/v1/payment_intents/{{original_ref}}?", "/operations/lookup_by_id",
			"bank_reference");
	refused("\"less\": [\"/latest_charge/amount\"]", "\"less\": []",
			"/operations/charge/answer/fields/refunded/0/less", "array of JSON pointers");
	refused("\"lookup_by_id\": {", "\"lookup_charges\": {", "/operations/lookup_charges",
			"lookup_by_id");
}

/* "not found" where the charge's id is known: not before the list of its refunds is up to date. */
static void
counts_after(const char *to, int64_t by_id)
{
	PgwConnector *c = changed("\"lookup_refund_consistent_after_seconds\": 2,", to);

	assert_non_null(c);
	assert_int_equal(pgw_connector_capabilities(c)->lookup_consistent_after_s, 3600);
	assert_int_equal(pgw_connector_capabilities(c)->lookup_by_id_consistent_after_s, by_id);
	pgw_connector_free(c);
}

static void
test_times(void **state)
{
	(void) state;
	counts_after("\"lookup_refund_consistent_after_seconds\": 1,", 2);
	counts_after("\"lookup_refund_consistent_after_seconds\": 30,", 30);
	counts_after("", 3600); /* as the search, where it is not said */
	refused("\"lookup_by_id_consistent_after_seconds\": 2,", "",
			"/capabilities/lookup_refund_consistent_after_seconds", "lookup_by_id");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),    cmocka_unit_test(test_look_ups),
		cmocka_unit_test(test_charges),     cmocka_unit_test(test_totals),
		cmocka_unit_test(test_later_steps), cmocka_unit_test(test_refused_documents),
		cmocka_unit_test(test_times),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
