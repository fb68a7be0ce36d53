/*
 * test_square.c - a document that was written from docs/connectors.md for a bank that nobody here
 * has a connector for: what it makes of the vendor's published example answers
 *
 * The examples are Square's, verbatim (github.com/square/connect-api-specification, api.json,
 * release 2025-08-20); each says where it stands there.
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

#define OURS "0123456789abcdef0123456789abcdef"

/* /components/schemas/CreatePaymentResponse/example */
static const char created[] =
	"{\"payment\":{\"amount_money\":{\"amount\":1000,\"currency\":\"USD\"},\"app_fee_money\":{\"amount"
	"\":10,\"currency\":\"USD\"},\"application_details\":{\"application_id\":\"sq0ids-TcgftTEtKxJTR"
	"F1lCFJ9TA\",\"square_product\":\"ECOMMERCE_API\"},\"approved_money\":{\"amount\":1000,\"curren"
	"cy\":\"USD\"},\"card_details\":{\"auth_result_code\":\"vNEn2f\",\"avs_status\":\"AVS_ACCEPTED\",\""
	"card\":{\"bin\":\"411111\",\"card_brand\":\"VISA\",\"card_type\":\"DEBIT\",\"exp_month\":11,\"exp_ye"
	"ar\":2022,\"fingerprint\":\"sq-1-Hxim77tbdcbGejOejnoAklBVJed2YFLTmirfl8Q5XZzObTc8qY_U8Rk"
	"wzoNL8dCEcQ\",\"last_4\":\"1111\",\"prepaid_type\":\"NOT_PREPAID\"},\"card_payment_timeline\":{"
	"\"authorized_at\":\"2021-10-13T21:14:29.732Z\",\"captured_at\":\"2021-10-13T21:14:30.504Z\"}"
	",\"cvv_status\":\"CVV_ACCEPTED\",\"entry_method\":\"ON_FILE\",\"statement_description\":\"SQ *E"
	"XAMPLE TEST GOSQ.C\",\"status\":\"CAPTURED\"},\"created_at\":\"2021-10-13T21:14:29.577Z\",\"cu"
	"stomer_id\":\"W92WH6P11H4Z77CTET0RNTGFW8\",\"delay_action\":\"CANCEL\",\"delay_duration\":\"PT"
	"168H\",\"delayed_until\":\"2021-10-20T21:14:29.577Z\",\"id\":\"R2B3Z8WMVt3EAmzYWLZvz7Y69EbZY"
	"\",\"location_id\":\"L88917AVBK2S5\",\"note\":\"Brief Description\",\"order_id\":\"pRsjRTgFWATl7"
	"so6DxdKBJa7ssbZY\",\"receipt_number\":\"R2B3\",\"receipt_url\":\"https://squareup.com/receip"
	"t/preview/EXAMPLE_RECEIPT_ID\",\"reference_id\":\"123456\",\"risk_evaluation\":{\"created_at"
	"\":\"2021-10-13T21:14:30.423Z\",\"risk_level\":\"NORMAL\"},\"source_type\":\"CARD\",\"status\":\"C"
	"OMPLETED\",\"total_money\":{\"amount\":1000,\"currency\":\"USD\"},\"updated_at\":\"2021-10-13T21"
	":14:30.504Z\",\"version_token\":\"TPtNEOBOa6Qq6E3C3IjckSVOM6b3hMbfhjvTxHBQUsB6o\"}}";

/* /components/schemas/CompletePaymentResponse/example */
static const char completed[] =
	"{\"payment\":{\"amount_money\":{\"amount\":555,\"currency\":\"USD\"},\"application_details\":{\"a"
	"pplication_id\":\"sq0ids-Pw67AZAlLVB7hsRmwlJPuA\",\"square_product\":\"VIRTUAL_TERMINAL\"},"
	"\"approved_money\":{\"amount\":555,\"currency\":\"USD\"},\"card_details\":{\"auth_result_code\":"
	"\"2Nkw7q\",\"avs_status\":\"AVS_ACCEPTED\",\"card\":{\"bin\":\"411111\",\"card_brand\":\"VISA\",\"car"
	"d_type\":\"DEBIT\",\"exp_month\":11,\"exp_year\":2022,\"fingerprint\":\"sq-1-Hxim77tbdcbGejOej"
	"noAklBVJed2YFLTmirfl8Q5XZzObTc8qY_U8RkwzoNL8dCEcQ\",\"last_4\":\"1111\",\"prepaid_type\":\"N"
	"OT_PREPAID\"},\"card_payment_timeline\":{\"authorized_at\":\"2021-10-13T19:34:33.680Z\",\"ca"
	"ptured_at\":\"2021-10-13T19:34:34.340Z\"},\"cvv_status\":\"CVV_ACCEPTED\",\"entry_method\":\"K"
	"EYED\",\"statement_description\":\"SQ *EXAMPLE TEST GOSQ.C\",\"status\":\"CAPTURED\"},\"create"
	"d_at\":\"2021-10-13T19:34:33.524Z\",\"delay_action\":\"CANCEL\",\"delay_duration\":\"PT168H\",\""
	"delayed_until\":\"2021-10-20T19:34:33.524Z\",\"employee_id\":\"TMoK_ogh6rH1o4dV\",\"id\":\"bP9"
	"mAsEMYPUGjjGNaNO5ZDVyLhSZY\",\"location_id\":\"L88917AVBK2S5\",\"note\":\"Test Note\",\"order_"
	"id\":\"d7eKah653Z579f3gVtjlxpSlmUcZY\",\"processing_fee\":[{\"amount_money\":{\"amount\":34,\""
	"currency\":\"USD\"},\"effective_at\":\"2021-10-13T21:34:35.000Z\",\"type\":\"INITIAL\"}],\"recei"
	"pt_number\":\"bP9m\",\"receipt_url\":\"https://squareup.com/receipt/preview/bP9mAsEMYPUGjj"
	"GNaNO5ZDVyLhSZY\",\"source_type\":\"CARD\",\"status\":\"COMPLETED\",\"team_member_id\":\"TMoK_og"
	"h6rH1o4dV\",\"total_money\":{\"amount\":555,\"currency\":\"USD\"},\"updated_at\":\"2021-10-13T19"
	":34:34.339Z\",\"version_token\":\"56pRkL3slrzet2iQrTp9n0bdJVYTB9YEWdTNjQfZOPV6o\"}}";

/* /components/schemas/CancelPaymentResponse/example */
static const char canceled[] =
	"{\"payment\":{\"amount_money\":{\"amount\":1000,\"currency\":\"USD\"},\"application_details\":{\""
	"application_id\":\"sq0ids-TcgftTEtKxJTRF1lCFJ9TA\",\"square_product\":\"ECOMMERCE_API\"},\"a"
	"pproved_money\":{\"amount\":1000,\"currency\":\"USD\"},\"card_details\":{\"auth_result_code\":\""
	"68aLBM\",\"avs_status\":\"AVS_ACCEPTED\",\"card\":{\"bin\":\"411111\",\"card_brand\":\"VISA\",\"card"
	"_type\":\"DEBIT\",\"exp_month\":11,\"exp_year\":2022,\"fingerprint\":\"sq-1-Hxim77tbdcbGejOejn"
	"oAklBVJed2YFLTmirfl8Q5XZzObTc8qY_U8RkwzoNL8dCEcQ\",\"last_4\":\"1111\",\"prepaid_type\":\"NO"
	"T_PREPAID\"},\"card_payment_timeline\":{\"authorized_at\":\"2021-10-13T20:26:44.364Z\",\"voi"
	"ded_at\":\"2021-10-13T20:31:21.597Z\"},\"cvv_status\":\"CVV_ACCEPTED\",\"entry_method\":\"ON_F"
	"ILE\",\"statement_description\":\"SQ *EXAMPLE TEST GOSQ.C\",\"status\":\"VOIDED\"},\"created_a"
	"t\":\"2021-10-13T20:26:44.191Z\",\"customer_id\":\"W92WH6P11H4Z77CTET0RNTGFW8\",\"delay_acti"
	"on\":\"CANCEL\",\"delay_duration\":\"PT168H\",\"delayed_until\":\"2021-10-20T20:26:44.191Z\",\"i"
	"d\":\"1QjqpBVyrI9S4H9sTGDWU9JeiWdZY\",\"location_id\":\"L88917AVBK2S5\",\"note\":\"Example Not"
	"e\",\"order_id\":\"nUSN9TdxpiK3SrQg3wzmf6r8LP9YY\",\"risk_evaluation\":{\"created_at\":\"2021-"
	"10-13T20:26:45.271Z\",\"risk_level\":\"NORMAL\"},\"source_type\":\"CARD\",\"status\":\"CANCELED\""
	",\"tip_money\":{\"amount\":100,\"currency\":\"USD\"},\"total_money\":{\"amount\":1100,\"currency\""
	":\"USD\"},\"updated_at\":\"2021-10-13T20:31:21.597Z\",\"version_token\":\"N8AGYgEjCiY9Q57Jw7a"
	"VHEpBq8bzGCDCQMRX8Vs56N06o\"}}";

/* /components/schemas/GetPaymentResponse/example */
static const char shown[] =
	"{\"payment\":{\"amount_money\":{\"amount\":555,\"currency\":\"USD\"},\"application_details\":{\"a"
	"pplication_id\":\"sq0ids-Pw67AZAlLVB7hsRmwlJPuA\",\"square_product\":\"VIRTUAL_TERMINAL\"},"
	"\"approved_money\":{\"amount\":555,\"currency\":\"USD\"},\"card_details\":{\"auth_result_code\":"
	"\"2Nkw7q\",\"avs_status\":\"AVS_ACCEPTED\",\"card\":{\"bin\":\"411111\",\"card_brand\":\"VISA\",\"car"
	"d_type\":\"DEBIT\",\"exp_month\":11,\"exp_year\":2022,\"fingerprint\":\"sq-1-Hxim77tbdcbGejOej"
	"noAklBVJed2YFLTmirfl8Q5XZzObTc8qY_U8RkwzoNL8dCEcQ\",\"last_4\":\"1111\",\"prepaid_type\":\"N"
	"OT_PREPAID\"},\"card_payment_timeline\":{\"authorized_at\":\"2021-10-13T19:34:33.680Z\",\"ca"
	"ptured_at\":\"2021-10-13T19:34:34.340Z\"},\"cvv_status\":\"CVV_ACCEPTED\",\"entry_method\":\"K"
	"EYED\",\"statement_description\":\"SQ *EXAMPLE TEST GOSQ.C\",\"status\":\"CAPTURED\"},\"create"
	"d_at\":\"2021-10-13T19:34:33.524Z\",\"delay_action\":\"CANCEL\",\"delay_duration\":\"PT168H\",\""
	"delayed_until\":\"2021-10-20T19:34:33.524Z\",\"employee_id\":\"TMoK_ogh6rH1o4dV\",\"id\":\"bP9"
	"mAsEMYPUGjjGNaNO5ZDVyLhSZY\",\"location_id\":\"L88917AVBK2S5\",\"note\":\"Test Note\",\"order_"
	"id\":\"d7eKah653Z579f3gVtjlxpSlmUcZY\",\"processing_fee\":[{\"amount_money\":{\"amount\":34,\""
	"currency\":\"USD\"},\"effective_at\":\"2021-10-13T21:34:35.000Z\",\"type\":\"INITIAL\"}],\"recei"
	"pt_number\":\"bP9m\",\"receipt_url\":\"https://squareup.com/receipt/preview/bP9mAsEMYPUGjj"
	"GNaNO5ZDVyLhSZY\",\"source_type\":\"CARD\",\"status\":\"COMPLETED\",\"team_member_id\":\"TMoK_og"
	"h6rH1o4dV\",\"total_money\":{\"amount\":555,\"currency\":\"USD\"},\"updated_at\":\"2021-10-13T19"
	":34:34.339Z\",\"version_token\":\"56pRkL3slrzet2iQrTp9n0bdJVYTB9YEWdTNjQfZOPV6o\"}}";

/* /components/schemas/RefundPaymentResponse/example */
static const char refunded[] =
	"{\"refund\":{\"amount_money\":{\"amount\":1000,\"currency\":\"USD\"},\"app_fee_money\":{\"amount\""
	":10,\"currency\":\"USD\"},\"created_at\":\"2021-10-13T21:23:19.116Z\",\"id\":\"R2B3Z8WMVt3EAmzY"
	"WLZvz7Y69EbZY_KlWP8IC1557ddwc9QWTKrCVU6m0JXDz15R2Qym5eQfR\",\"location_id\":\"L88917AVBK"
	"2S5\",\"order_id\":\"1JLEUZeEooAIX8HMqm9kvWd69aQZY\",\"payment_id\":\"R2B3Z8WMVt3EAmzYWLZvz7"
	"Y69EbZY\",\"reason\":\"Example\",\"status\":\"PENDING\",\"updated_at\":\"2021-10-13T21:23:19.508"
	"Z\"}}";

/* /components/schemas/GetPaymentRefundResponse/example */
static const char refund_shown[] =
	"{\"refund\":{\"amount_money\":{\"amount\":555,\"currency\":\"USD\"},\"created_at\":\"2021-10-13T1"
	"9:59:05.073Z\",\"id\":\"bP9mAsEMYPUGjjGNaNO5ZDVyLhSZY_69MmgHubkLqx9wGhnmenRUHOaKitE6llfZ"
	"uxcWYjGxd\",\"location_id\":\"L88917AVBK2S5\",\"order_id\":\"9ltv0bx5PuvGXUYHYHxYSKEqC3IZY\","
	"\"payment_id\":\"bP9mAsEMYPUGjjGNaNO5ZDVyLhSZY\",\"processing_fee\":[{\"amount_money\":{\"amo"
	"unt\":-34,\"currency\":\"USD\"},\"effective_at\":\"2021-10-13T21:34:35.000Z\",\"type\":\"INITIAL"
	"\"}],\"reason\":\"Example Refund\",\"status\":\"COMPLETED\",\"updated_at\":\"2021-10-13T20:00:02"
	".442Z\"}}";

static PgwConnector *square;

static int
setup(void **state)
{
	(void) state;
	square = compile(read_document("test/connectors/square.json"));
	return 0;
}

static int
teardown(void **state)
{
	(void) state;
	pgw_connector_free(square);
	return 0;
}

/* reference: ours, as the example has it; ids: those of charge and refund that were asked about. */
static PgwAnswer
judged(PgwBankOp op, const char *reference, const char *charge, const char *refund, long status,
	   const char *body)
{
	PgwQuestion question = {.op = op,
							.transaction_ref = reference,
							.original_ref = reference,
							.bank_reference = charge,
							.operation_reference = refund,
							.currency = "USD",
							.iso_exponent = 2};
	PgwAnswer answer;

	pgw_connector_judge(square, &question,
						&(PgwGivenAnswer){.status = status, .body = body, .len = strlen(body)},
						&answer);
	return answer;
}

static void
charges(void **state)
{
	PgwAnswer a = judged(PGW_OP_CHARGE, "123456", NULL, NULL, 200, created);

	(void) state;
	assert_int_equal(a.outcome, PGW_OUT_APPROVED);
	assert_string_equal(a.bank_reference, "R2B3Z8WMVt3EAmzYWLZvz7Y69EbZY");
	assert_string_equal(a.authorization_code, "vNEn2f");
	assert_int_equal(a.amount, 1000);
	assert_string_equal(a.currency, "USD");
	assert_int_equal(a.captured, 1000);
	assert_int_equal(a.refunded, 0);
	assert_false(a.voided);
	assert_string_equal(a.card_last4, "1111");
	/* somebody else's */
	assert_int_equal(judged(PGW_OP_CHARGE, OURS, NULL, NULL, 200, created).outcome,
					 PGW_OUT_UNKNOWN);
	a = judged(
		PGW_OP_CHARGE, OURS, NULL, NULL, 402,
		"{\"errors\":[{\"category\":\"PAYMENT_METHOD_ERROR\",\"code\":\"INSUFFICIENT_FUNDS\"}]}");
	assert_int_equal(a.outcome, PGW_OUT_DECLINED);
	assert_string_equal(a.error_code, "insufficient_funds");
}

static void
what_follows(void **state)
{
	PgwAnswer a =
		judged(PGW_OP_CAPTURE, OURS, "bP9mAsEMYPUGjjGNaNO5ZDVyLhSZY", NULL, 200, completed);

	(void) state;
	assert_int_equal(a.outcome, PGW_OUT_APPROVED);
	assert_int_equal(a.captured, 555);
	a = judged(PGW_OP_VOID, OURS, "1QjqpBVyrI9S4H9sTGDWU9JeiWdZY", NULL, 200, canceled);
	assert_int_equal(a.outcome, PGW_OUT_APPROVED);
	assert_true(a.voided);
	a = judged(PGW_OP_REFUND, OURS, "R2B3Z8WMVt3EAmzYWLZvz7Y69EbZY", NULL, 200, refunded);
	assert_int_equal(a.outcome, PGW_OUT_ACCEPTED);
	assert_string_equal(
		a.bank_reference,
		"R2B3Z8WMVt3EAmzYWLZvz7Y69EbZY_KlWP8IC1557ddwc9QWTKrCVU6m0JXDz15R2Qym5eQfR");
	assert_int_equal(a.amount, 1000);
}

/* By their ids; the published payment has no reference_id, so of a charge it is nobody's. */
static void
look_ups(void **state)
{
	static const char id[] =
		"bP9mAsEMYPUGjjGNaNO5ZDVyLhSZY_69MmgHubkLqx9wGhnmenRUHOaKitE6llfZuxcWYjGxd";

	(void) state;
	assert_int_equal(judged(PGW_OP_LOOKUP_REFUND, OURS, NULL, id, 200, refund_shown).outcome,
					 PGW_OUT_APPROVED);
	assert_int_equal(judged(PGW_OP_LOOKUP_REFUND, OURS, NULL, "other", 200, refund_shown).outcome,
					 PGW_OUT_UNKNOWN);
	assert_int_equal(
		judged(PGW_OP_LOOKUP_CHARGE, OURS, "bP9mAsEMYPUGjjGNaNO5ZDVyLhSZY", NULL, 200, shown)
			.outcome,
		PGW_OUT_UNKNOWN);
	assert_int_equal(
		judged(PGW_OP_LOOKUP_CHARGE, "123456", "R2B3Z8WMVt3EAmzYWLZvz7Y69EbZY", NULL, 200, created)
			.outcome,
		PGW_OUT_APPROVED);
}

/* As the examples of CreatePaymentRequest and RefundPaymentRequest have it. */
static void
requests(void **state)
{
	PgwSecretValues secrets = {1, {{"", "EAAA"}}};
	PgwCallParams params = {.amount = 1000,
							.has_amount = true,
							.currency = "USD",
							.iso_exponent = 2,
							.token = "ccof:GaJGNaZa8x4OgDJn4GB",
							.transaction_ref = OURS,
							.original_ref = OURS,
							.idempotency_key = OURS,
							.reason = "Example",
							.secrets = &secrets,
							.settings = "{\"location_id\":\"L88917AVBK2S5\"}"};
	PgwConnectorError err;
	PgwRendered r;

	(void) state;
	pgw_rendered_init(&r);
	assert_true(pgw_connector_render(square, PGW_OP_CHARGE, &params, &r, &err));
	assert_string_equal(
		r.body.data,
		"{\"source_id\":\"ccof:GaJGNaZa8x4OgDJn4GB\",\"idempotency_key\":\"" OURS
		"\",\"amount_money\":{\"amount\":1000,\"currency\":\"USD\"},\"autocomplete\":true,\"reference_id\":\"" OURS
		"\",\"location_id\":\"L88917AVBK2S5\"}");
	params.bank_reference = "R2B3Z8WMVt3EAmzYWLZvz7Y69EbZY";
	params.operation_reference = "R2B3_1";
	assert_true(pgw_connector_render(square, PGW_OP_REFUND, &params, &r, &err));
	assert_string_equal(
		r.body.data,
		"{\"idempotency_key\":\"" OURS
		"\",\"amount_money\":{\"amount\":1000,\"currency\":\"USD\"},\"payment_id\":\"R2B3Z8WMVt3EAmzYWLZvz7Y69EbZY\",\"reason\":\"Example\"}");
	assert_true(pgw_connector_render(square, PGW_OP_LOOKUP_REFUND, &params, &r, &err));
	assert_string_equal(r.path.data, "/v2/refunds/R2B3_1");
	assert_true(pgw_connector_render(square, PGW_OP_CAPTURE, &params, &r, &err));
	assert_string_equal(r.body.data, "{}");
	pgw_rendered_free(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(charges), cmocka_unit_test(what_follows),
									   cmocka_unit_test(look_ups), cmocka_unit_test(requests)};

	return cmocka_run_group_tests(tests, setup, teardown);
}
