/*
 * test_checkout.c - the connector for Checkout.com: what it makes of an answer that says nothing of
 * the payment, but of the traffic or of the key
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
#include "documents.h"

#define OURS "0123456789abcdef0123456789abcdef"
#define CHARGE_REF "ffffffffffffffffffffffffffffffff"

static const PgwBankOp operations[] = {PGW_OP_CHARGE, PGW_OP_AUTHORIZE, PGW_OP_CAPTURE, PGW_OP_VOID,
									   PGW_OP_REFUND};

static PgwConnector *checkout;

static int
setup(void **state)
{
	(void) state;
	checkout = compile(read_document("src/connectors/checkout.json"));
	return 0;
}

static int
teardown(void **state)
{
	(void) state;
	pgw_connector_free(checkout);
	return 0;
}

static PgwAnswer
judged(PgwBankOp op, long status, const char *body)
{
	PgwQuestion question = {.op = op,
							.transaction_ref = OURS,
							.original_ref = CHARGE_REF,
							.bank_reference = "pay_1",
							.currency = "EUR",
							.iso_exponent = 2};
	PgwAnswer answer;

	pgw_connector_judge(checkout, &question,
						&(PgwGivenAnswer){.status = status, .body = body, .len = strlen(body)},
						&answer);
	return answer;
}

/*
 * Too many requests at a time: nothing was done, and it can be sent again.  A request with this key
 * is being processed: asked about, or once more with the key.  An error of theirs: who knows.
 */
static void
not_of_the_payment(void **state)
{
	static const char *const bodies[] = {"", "{}", "<html>", "{\"error_type\":\"busy\"}"};

	(void) state;
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
		for (size_t k = 0; k < sizeof(bodies) / sizeof(bodies[0]); k++)
		{
			PgwAnswer a = judged(operations[i], 429, bodies[k]);

			assert_int_equal(a.outcome, PGW_OUT_NOT_PROCESSED);
			a = judged(operations[i], 409, bodies[k]);
			assert_int_equal(a.outcome, PGW_OUT_UNKNOWN);
			assert_int_equal(a.key_word, PGW_KEY_IN_PROGRESS);
			for (long status = 500; status <= 504; status++)
			{
				a = judged(operations[i], status, bodies[k]);
				assert_int_equal(a.outcome, PGW_OUT_UNKNOWN);
				assert_int_equal(a.key_word, PGW_KEY_UNSAID);
			}
		}
}

/* Of a look-up that was not answered nothing follows. */
static void
look_ups(void **state)
{
	static const long statuses[] = {404, 409, 429, 500, 503};

	(void) state;
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
	{
		assert_int_equal(judged(PGW_OP_LOOKUP_CHARGE, statuses[i], "{}").outcome, PGW_OUT_UNKNOWN);
		assert_int_equal(judged(PGW_OP_LOOKUP_REFUND, statuses[i], "{}").outcome, PGW_OUT_UNKNOWN);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(not_of_the_payment),
		cmocka_unit_test(look_ups),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
