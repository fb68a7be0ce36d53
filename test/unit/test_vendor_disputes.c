/*
 * test_vendor_disputes.c - what the connectors that ship make of their vendors' notifications of
 * disputes
 *
 * Sources: Adyen: adyen-openapi, commit aa014f0, json/Webhooks-v1.json, /components/examples/
 * post-CHARGEBACK-chargeback and those beside it, with what of them the connector reads.  Stripe:
 * openapi/fixtures3.json, /resources/dispute, commit f6c2a48, in an event of Events.d.ts.
 * Checkout.com: the examples of dispute_lost (2024-04-24) and of the events beside it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "core/connector/compiled.h"
#include "core/notification/read_notification.h"
#include "core/payment/dispute_rules.h"
#include "documents.h"
#include "quotes.h"

#define BIT PGW_DISPUTE_BIT

static void
read_one(const char *connector, const char *body, PgwNotification *out)
{
	static char text[2048];
	PgwConnectorError err;
	const char *document = read_document(connector);
	PgwConnector *c = pgw_connector_compile(document, strlen(document), &err);
	PgwArrived a = {.body = text};

	if (c == NULL)
		fail_msg("%s: %s", err.pointer, err.message);
	snprintf(text, sizeof(text), "%s", body);
	with_quotes(text);
	a.len = strlen(text);
	pgw_notification_read(c, &a, false, out);
	pgw_connector_free(c);
}

static void
adyen(void **state)
{
	static const struct
	{
		const char *event;
		unsigned steps;
	} rows[] = {
		{"REQUEST_FOR_INFORMATION", BIT(PGW_DISPUTE_INQUIRY)},
		{"NOTIFICATION_OF_CHARGEBACK", BIT(PGW_DISPUTE_OPENED)},
		{"DISPUTE_OPENED_WITH_CHARGEBACK", BIT(PGW_DISPUTE_OPENED)},
		{"CHARGEBACK", BIT(PGW_DISPUTE_WITHDRAWN)},
		{"CHARGEBACK_REVERSED", BIT(PGW_DISPUTE_REINSTATED) | BIT(PGW_DISPUTE_WON)},
		{"SECOND_CHARGEBACK", BIT(PGW_DISPUTE_WITHDRAWN_AGAIN) | BIT(PGW_DISPUTE_LOST)},
		{"PREARBITRATION_WON", BIT(PGW_DISPUTE_WON)},
		{"PREARBITRATION_LOST", BIT(PGW_DISPUTE_LOST)},
		{"ISSUER_RESPONSE_TIMEFRAME_EXPIRED", BIT(PGW_DISPUTE_WON)},
		{"DISPUTE_DEFENSE_PERIOD_ENDED", BIT(PGW_DISPUTE_CLOSED)},
		{"NOTIFICATION_OF_FRAUD", 0},
		{"INFORMATION_SUPPLIED", 0},
	};
	PgwDispute d = {0};

	(void) state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		char body[1024];
		PgwNotification n;

		snprintf(body, sizeof(body),
				 "{'NotificationRequestItem': {'additionalData': {'chargebackReasonCode': '4853',"
				 " 'defensePeriodEndsAt': '2021-07-31T03:03:07+02:00', 'grossCurrency': 'EUR',"
				 " 'grossValue': '2000'}, 'amount': {'currency': 'EUR', 'value': 1000},"
				 " 'eventCode': '%s', 'eventDate': '2021-01-01T01:00:00+01:00',"
				 " 'merchantAccountCode': 'YOUR_MERCHANT_ACCOUNT', 'merchantReference':"
				 " 'YOUR_MERCHANT_REFERENCE', 'originalReference': '9913140798220028',"
				 " 'paymentMethod': 'mc', 'pspReference': 'QFQTPCQ8HXSKGK82', 'success':"
				 " 'true'}}",
				 rows[i].event);
		read_one("src/connectors/adyen.json", body, &n);
		if (n.dispute.steps != rows[i].steps)
			fail_msg("%s: %x", rows[i].event, n.dispute.steps);
		assert_false(n.is_evidence);
		if (rows[i].steps == 0)
			continue;
		assert_string_equal(n.dispute.id, "QFQTPCQ8HXSKGK82");
		assert_string_equal(n.bank_reference, "9913140798220028");
		assert_string_equal(n.reference, "YOUR_MERCHANT_REFERENCE");
		assert_true(n.dispute.amount.there && n.dispute.amount.amount == 1000);
		/* the signature does not cover them */
		assert_int_equal(n.dispute.deadline, 0);
		assert_false(n.dispute.moved.there);
	}

	/* all that can be told of one: taken, defended, taken again */
	for (int s = 0; s < PGW_NDISPUTE_STEPS; s++)
	{
		PgwSaidDispute said = {.amount = {true, 1000, "EUR"}};
		PgwDisputeChange change;

		if ((PgwDisputeStep) s == PGW_DISPUTE_REINSTATED_AGAIN)
			continue;
		pgw_dispute_take_step(&d, (PgwDisputeStep) s, &said, "EUR", &change);
	}
	assert_int_equal(pgw_dispute_takes(&d), 1000);
	assert_string_equal(pgw_dispute_status(&d), "lost");
}

static void
stripe(void **state)
{
	static const struct
	{
		const char *type;
		const char *status;
		unsigned steps;
		int64_t moved; /* -1: none */
		bool backwards;
	} rows[] = {
		{"created", "warning_needs_response", BIT(PGW_DISPUTE_INQUIRY), -1, false},
		{"updated", "warning_under_review", BIT(PGW_DISPUTE_INQUIRY), -1, false},
		{"created", "needs_response", BIT(PGW_DISPUTE_OPENED), -1, false},
		{"created", "of_next_year", BIT(PGW_DISPUTE_OPENED), -1, false},
		{"updated", "under_review", BIT(PGW_DISPUTE_OPENED), -1, false},
		{"updated", "of_next_year", 0, -1, false},
		{"funds_withdrawn", "needs_response", BIT(PGW_DISPUTE_WITHDRAWN), 1100, false},
		{"funds_reinstated", "won", BIT(PGW_DISPUTE_REINSTATED), 400, false},
		{"closed", "won", BIT(PGW_DISPUTE_WON), -1, false},
		{"closed", "lost", BIT(PGW_DISPUTE_LOST), -1, false},
		{"closed", "warning_closed", BIT(PGW_DISPUTE_CLOSED), -1, false},
		{"updated", "prevented", BIT(PGW_DISPUTE_CLOSED), -1, false},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		char body[1024];
		PgwNotification n;

		snprintf(body, sizeof(body),
				 "{'id': 'evt_1', 'object': 'event', 'type': 'charge.dispute.%s', 'created':"
				 " 1234567890, 'livemode': false, 'data': {'object': {'id':"
				 " 'dp_1Pgc71B7WZ01zgkWMevJiAUx', 'object': 'dispute', 'amount': 1000, 'currency':"
				 " 'usd', 'charge': 'ch_1PgafuB7WZ01zgkWXYmPNZs8', 'payment_intent':"
				 " 'pi_1PgafyB7WZ01zgkWSjxsAJo3', 'status': '%s', 'reason': 'general',"
				 " 'evidence_details': {'due_by': 1723679999}, 'balance_transactions': [{'amount':"
				 " -1100, 'currency': 'eur', 'fee': 1500}, {'amount': 400, 'currency': 'eur',"
				 " 'fee': 0}]}}}",
				 rows[i].type, rows[i].status);
		read_one("src/connectors/stripe.json", body, &n);
		if (n.dispute.steps != rows[i].steps ||
			(n.dispute.moved.there ? n.dispute.moved.amount : -1) != rows[i].moved)
			fail_msg("%s %s: %x, %d", rows[i].type, rows[i].status, n.dispute.steps,
					 (int) n.dispute.moved.amount);
		if (rows[i].steps == 0)
			continue;
		assert_string_equal(n.dispute.id, "dp_1Pgc71B7WZ01zgkWMevJiAUx");
		assert_string_equal(n.bank_reference, "pi_1PgafyB7WZ01zgkWSjxsAJo3");
		assert_true(n.dispute.amount.there && n.dispute.amount.amount == 1000);
		assert_string_equal(n.dispute.amount.currency, "USD");
		assert_int_equal(n.dispute.deadline, 1723679999);
		assert_string_equal(n.dispute.reason, "general");
		assert_int_equal(n.dispute.moved_backwards, rows[i].backwards);
	}
}

static void
checkout(void **state)
{
	static const struct
	{
		const char *type;
		unsigned steps;
	} rows[] = {
		{"dispute_evidence_required", BIT(PGW_DISPUTE_OPENED) | BIT(PGW_DISPUTE_WITHDRAWN)},
		{"dispute_canceled", BIT(PGW_DISPUTE_REINSTATED) | BIT(PGW_DISPUTE_CLOSED)},
		{"dispute_won", BIT(PGW_DISPUTE_REINSTATED) | BIT(PGW_DISPUTE_WON)},
		{"dispute_arbitration_won", BIT(PGW_DISPUTE_WON)},
		{"dispute_lost", BIT(PGW_DISPUTE_LOST)},
		{"dispute_expired", BIT(PGW_DISPUTE_LOST)},
		{"dispute_resolved", BIT(PGW_DISPUTE_CLOSED)},
		{"dispute_evidence_submitted", 0},
		{"payment_captured", 0},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		char body[1024];
		PgwNotification n;

		snprintf(body, sizeof(body),
				 "{'id': 'evt_2ewyh3rdawmezabpjv5ott4zb4', 'source': 'dispute', 'type': '%s',"
				 " 'timestamp': '2022-12-15T15:20:32.582+00:00', 'version': '1.0.6', 'data': {'id':"
				 " 'dsp_9rjdlsd4epepfjyyf9vl', 'date': '2022-12-15T15:20:31.5042702+00:00',"
				 " 'category': 'fraudulent', 'amount': 8150, 'currency': 'GBP', 'reason_code':"
				 " '10.4', 'payment_id': 'pay_cnhuomagalglgozxy5zm', 'payment_action_id':"
				 " 'act_7B15779D173D0W45700D', 'payment_reference': 'Disputes QA'}}",
				 rows[i].type);
		read_one("src/connectors/checkout.json", body, &n);
		if (n.dispute.steps != rows[i].steps)
			fail_msg("%s: %x", rows[i].type, n.dispute.steps);
		if (rows[i].steps == 0)
			continue;
		assert_string_equal(n.dispute.id, "dsp_9rjdlsd4epepfjyyf9vl");
		assert_string_equal(n.bank_reference, "pay_cnhuomagalglgozxy5zm");
		assert_string_equal(n.reference, "Disputes QA");
		assert_true(n.dispute.amount.there && n.dispute.amount.amount == 8150);
		assert_string_equal(n.dispute.amount.currency, "GBP");
		assert_string_equal(n.dispute.reason, "fraudulent");
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(adyen), cmocka_unit_test(stripe),
									   cmocka_unit_test(checkout)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
