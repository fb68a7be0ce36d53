/*
 * test_notification.c - notifications: the vendors' own signed examples verify, and what was
 * changed of them does not; what a notification says
 *
 * Sources, read 2026-11-27: Stripe: stripe-dotnet, EventUtilityTest.cs and
 * Resources/event_test_signature.json; Standard Webhooks: the example of Svix's documentation, the
 * same as in the specification's libraries; Adyen: adyen-ruby-api-library, its HMAC validator's
 * spec; Square: the example of its documentation.  Checkout.com publishes none: that one was
 * computed with Python's hmac.  Basic authentication: RFC 7617, section 2.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "core/connector/compiled.h"
#include "core/notification/ask_again.h"
#include "core/notification/given_headers.h"
#include "core/notification/kept_ids.h"
#include "core/notification/match_again.h"
#include "core/notification/notification_verdict.h"
#include "core/notification/read_notification.h"
#include "quotes.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

#define FIELDS "'fields': {'bank_reference': '/id', 'livemode': '/livemode'}"

static const char stripe_body[] =
	"{\n  \"id\": \"evt_123\",\n  \"object\": \"event\",\n  \"account\": \"acct_123\",\n"
	"  \"api_version\": \"2017-05-25\",\n  \"created\": 1533204620,\n  \"data\": {\n"
	"    \"object\": {\n      \"id\": \"cus_123\",\n      \"object\": \"customer\",\n"
	"      \"created\": 123456789,\n      \"email\": \"test@stripe.com\",\n"
	"      \"livemode\": false,\n      \"metadata\": {}\n    }\n  },\n  \"livemode\": false,\n"
	"  \"pending_webhooks\": 1,\n  \"request\": {\n    \"id\": \"req_123\",\n"
	"    \"idempotency_key\": \"idempotency-key-123\"\n  },\n  \"type\": \"customer.created\"\n}\n";

static const char adyen_body[] =
	"{\"live\":\"false\",\"notificationItems\":[{\"NotificationRequestItem\":{"
	"\"additionalData\":{\"hmacSignature\":\"coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0=\"},"
	"\"amount\":{\"value\":1130,\"currency\":\"EUR\"},\"pspReference\":\"7914073381342284\","
	"\"eventCode\":\"AUTHORISATION\",\"merchantAccountCode\":\"TestMerchant\","
	"\"merchantReference\":\"TestPayment-1407325143704\",\"paymentMethod\":\"visa\","
	"\"success\":\"true\"}}]}";

#define ITEM "/notificationItems/0/NotificationRequestItem"
#define ADYEN \
	"'signature': {'scheme': 'hmac_fields', 'at': '" ITEM "/additionalData/hmacSignature'," \
	" 'fields': ['" ITEM "/pspReference', '" ITEM "/originalReference'," \
	" '" ITEM "/merchantAccountCode', '" ITEM "/merchantReference', '" ITEM "/amount/value'," \
	" '" ITEM "/amount/currency', '" ITEM "/eventCode', '" ITEM "/success']," \
	" 'separator': ':', 'as': 'base64', 'key_as': 'hex'}"
#define ADYEN_KEY "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"

#define STRIPE \
	"'signature': {'scheme': 'timestamped_hmac', 'header': 'Stripe-Signature'}, 'identity':" \
	" '/id', 'type': '/type', 'time': '/created'"
#define STRIPE_SIGNATURE "2220f87ef101a04665f11cdf770523143f875572008577fa0f20882ddb9cc3c7"
#define STRIPE_V0 "63f3a72374a733066c4be69ed7f8e5ac85c22c9f0a6a612ab9a025a9e4ee7eef"

#define STANDARD \
	"'signature': {'scheme': 'standard_webhooks'}, 'identity': {'header': 'webhook-id'}"
#define STANDARD_ID "msg_p5jXN8AQM9LWM0D4loKWxJek"
#define STANDARD_SIGNATURE "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

#define SQUARE \
	"'signature': {'scheme': 'hmac_url_body', 'header': 'x-square-hmacsha256-signature', 'as':" \
	" 'base64'}"
#define SQUARE_URL "https://example.com/webhook"

#define CHECKOUT "'signature': {'scheme': 'hmac_body', 'header': 'Cko-Signature', 'as': 'hex'}"

#define BASIC "'signature': {'scheme': 'basic_auth'}"

/* One that can be asked for a notification by its id. */
#define ASK "'signature': {'scheme': 'ask'}, 'identity': '/id', 'time': '/asked'"
static const char verify[] =
	"'verify_notification': {'method': 'GET', 'path': '/e/{{notification_id}}', 'answer': {'rules':"
	" [{'status': 200, 'when': {'/id': {'exists': true}}, 'outcome': 'approved'},"
	" {'status': 404, 'outcome': 'not_found'}]}}, ";

/* A bank that can be asked, for those that need one: its notifications begin with a blank. */
#define LOOK " 'signature'"
#define LOOK_ANYWAY "'type': '/t', " /* with what begins by "'signature'" */
#define REFUNDS "refund"             /* ... is there, where something is said of it */
static const char refund[] =
	"'refund': {'method': 'POST', 'path': '/c/{{original_ref}}/{{transaction_ref}}', 'answer': {'rules':"
	" [{'status': 200, 'outcome': 'approved'}]}}, ";
static const char lookup[] =
	"'lookup_charge': {'method': 'GET', 'path': '/c?r={{original_ref}}', 'answer': {'rules':"
	" [{'status': 200, 'outcome': 'approved'}], 'fields': {'reference': '/r', 'captured': '/t', 'refunded': '/b',"
	" 'voided': '/v'}}}, ";

static PgwConnector *
compile(const char *notifications, PgwConnectorError *err)
{
	static char document[4096];

	snprintf(
		document, sizeof(document),
		"{'v': 2, 'capabilities': {'tokens': true}, 'not_ids': ['0'], 'operations': {%s%s%s'charge':"
		" {'method': 'POST', 'path': '/c', 'encoding': 'json', 'body': {'t': '{{token}}',"
		" 'r': '{{transaction_ref}}'}, 'answer': {'rules': [{'status': 200, 'outcome':"
		" 'approved'}]}}}, 'notifications': {%s}}",
		strstr(notifications, LOOK) != NULL ? lookup : "",
		strstr(notifications, REFUNDS) != NULL ? refund : "",
		strstr(notifications, "/asked") != NULL ? verify : "", notifications);
	memset(err, 0, sizeof(*err));
	with_quotes(document);
	return pgw_connector_compile(document, strlen(document), err);
}

static PgwConnector *
connector(const char *notifications)
{
	static char text[2048];
	PgwConnectorError err;
	PgwConnector *c;

	snprintf(text, sizeof(text), "%s, " FIELDS, notifications);
	c = compile(text, &err);
	if (c == NULL)
		fail_msg("%s: %s", err.pointer, err.message);
	return c;
}

/* ---- verifying ---- */

typedef struct Case
{
	const char *what;
	PgwVerified wanted;
	const char *header[3][2];
	const char *body;
	const char *secrets[3];
	int64_t received_at;
	const char *url;
} Case;

static void
check(const char *notifications, const Case *cases, size_t n)
{
	PgwConnector *c = connector(notifications);

	for (size_t i = 0; i < n; i++)
	{
		const Case *k = &cases[i];
		PgwGivenHeader headers[3];
		PgwSecretValues secrets = {.n = 0};
		PgwArrived a = {.headers = headers,
						.body = k->body,
						.len = strlen(k->body),
						.url = k->url,
						.received_at = k->received_at};
		PgwVerified got;

		for (int h = 0; h < 3 && k->header[h][0] != NULL; h++)
			headers[a.nheaders++] = (PgwGivenHeader){k->header[h][0], k->header[h][1]};
		for (int s = 0; s < 3 && k->secrets[s] != NULL; s++)
			secrets.values[secrets.n++] = (PgwSecretValue){"", k->secrets[s]};
		got = pgw_verify_signature(&c->notifications.signature, &a, &secrets);
		if (got != k->wanted)
			fail_msg("%s: %s", k->what, pgw_verified_text(got));
	}
	pgw_connector_free(c);
}

static void
test_stripe(void **state)
{
	static char other_body[sizeof(stripe_body)];
	const Case cases[] = {
#define SENT(what, verdict, header, body, at, ...) \
	{what, verdict, {{"stripe-signature", header}}, body, {__VA_ARGS__}, at, NULL}
		SENT("as published", PGW_VERIFIED, "t=1533204620,v1=" STRIPE_SIGNATURE ",v0=" STRIPE_V0,
			 stripe_body, 1533204720, "webhook_secret"),
		SENT("the other order, and blanks", PGW_VERIFIED,
			 "v1=" STRIPE_SIGNATURE ", v1=ab, t=1533204620", stripe_body, 1533204620,
			 "webhook_secret"),
		SENT("one of two, of which the second is good", PGW_VERIFIED,
			 "t=1533204620,v1=" STRIPE_V0 ",v1=" STRIPE_SIGNATURE, stripe_body, 1533204620,
			 "webhook_secret"),
		SENT("during a rotation: the new one", PGW_VERIFIED, "t=1533204620,v1=" STRIPE_SIGNATURE,
			 stripe_body, 1533204620, "old", "webhook_secret"),
		SENT("... the old one", PGW_VERIFIED, "t=1533204620,v1=" STRIPE_SIGNATURE, stripe_body,
			 1533204620, "webhook_secret", "new"),
		SENT("in capitals", PGW_VERIFIED,
			 "t=1533204620,v1=2220F87EF101A04665F11CDF770523143F875572008577FA0F20882DDB9CC3C7",
			 stripe_body, 1533204620, "webhook_secret"),
		SENT("at the end of its time", PGW_VERIFIED, "t=1533204620,v1=" STRIPE_SIGNATURE,
			 stripe_body, 1533204920, "webhook_secret"),
		SENT("after it", PGW_OUT_OF_TIME, "t=1533204620,v1=" STRIPE_SIGNATURE, stripe_body,
			 1533204921, "webhook_secret"),
		SENT("before it", PGW_OUT_OF_TIME, "t=1533204620,v1=" STRIPE_SIGNATURE, stripe_body,
			 1533204319, "webhook_secret"),
		SENT("another time", PGW_WRONG_SIGNATURE, "t=1533204621,v1=" STRIPE_SIGNATURE, stripe_body,
			 1533204620, "webhook_secret"),
		SENT("the time as it is worth, not as it was signed", PGW_WRONG_SIGNATURE,
			 "t=01533204620,v1=" STRIPE_SIGNATURE, stripe_body, 1533204620, "webhook_secret"),
		SENT("two times", PGW_NOT_SIGNED, "t=1533204620,t=1533204620,v1=" STRIPE_SIGNATURE,
			 stripe_body, 1533204620, "webhook_secret"),
		SENT("no time", PGW_NOT_SIGNED, "v1=" STRIPE_SIGNATURE, stripe_body, 1533204620,
			 "webhook_secret"),
		SENT("a time that is none", PGW_NOT_SIGNED, "t=-1533204620,v1=" STRIPE_SIGNATURE,
			 stripe_body, 1533204620, "webhook_secret"),
		SENT("the signature of the old scheme", PGW_NOT_SIGNED, "t=1533204620,v0=" STRIPE_SIGNATURE,
			 stripe_body, 1533204620, "webhook_secret"),
		SENT("no signature", PGW_NOT_SIGNED, "t=1533204620", stripe_body, 1533204620,
			 "webhook_secret"),
		SENT("an empty one", PGW_NOT_SIGNED, "t=1533204620,v1=", stripe_body, 1533204620,
			 "webhook_secret"),
		SENT("half of it", PGW_WRONG_SIGNATURE, "t=1533204620,v1=2220f87ef101a04665f11cdf77052314",
			 stripe_body, 1533204620, "webhook_secret"),
		SENT("another secret", PGW_WRONG_SIGNATURE, "t=1533204620,v1=" STRIPE_SIGNATURE,
			 stripe_body, 1533204620, "webhook_secreu"),
		SENT("no secret", PGW_NO_SECRET, "t=1533204620,v1=" STRIPE_SIGNATURE, stripe_body,
			 1533204620, NULL),
		SENT("a changed body", PGW_WRONG_SIGNATURE, "t=1533204620,v1=" STRIPE_SIGNATURE, other_body,
			 1533204620, "webhook_secret"),
		{"no header", PGW_NOT_SIGNED, {{NULL}}, stripe_body, {"webhook_secret"}, 1533204620, NULL},
		{"the header twice",
		 PGW_NOT_SIGNED,
		 {{"stripe-signature", "t=1533204620,v1=" STRIPE_SIGNATURE},
		  {"Stripe-Signature", "t=1533204620,v1=" STRIPE_SIGNATURE}},
		 stripe_body,
		 {"webhook_secret"},
		 1533204620,
		 NULL},
	};

	(void) state;
	memcpy(other_body, stripe_body, sizeof(stripe_body));
	*strstr(other_body, "cus_123") = 'k';
	check(STRIPE, cases, LENGTH(cases));
}

/* Each byte of the signature and of the body counts. */
static void
test_every_byte(void **state)
{
	PgwConnector *c = connector(STRIPE);
	char header[] = "t=1533204620,v1=" STRIPE_SIGNATURE;
	char body[sizeof(stripe_body)];
	PgwGivenHeader given = {"Stripe-Signature", header};
	PgwSecretValues secrets = {1, {{"", "webhook_secret"}}};
	PgwArrived a = {.nheaders = 1,
					.headers = &given,
					.body = body,
					.len = sizeof(stripe_body) - 1,
					.received_at = 1533204620};
	const PgwSignature *s = &c->notifications.signature;

	(void) state;
	memcpy(body, stripe_body, sizeof(stripe_body));
	assert_int_equal(pgw_verify_signature(s, &a, &secrets), PGW_VERIFIED);
	for (size_t i = 0; i < a.len; i++)
	{
		body[i] ^= 1;
		assert_int_equal(pgw_verify_signature(s, &a, &secrets), PGW_WRONG_SIGNATURE);
		body[i] ^= 1;
	}
	for (size_t i = strlen("t=1533204620,v1="); header[i] != '\0'; i++)
	{
		header[i] ^= 1;
		assert_int_not_equal(pgw_verify_signature(s, &a, &secrets), PGW_VERIFIED);
		header[i] ^= 1;
	}
	a.len--;
	assert_int_equal(pgw_verify_signature(s, &a, &secrets), PGW_WRONG_SIGNATURE);
	pgw_connector_free(c);
}

static void
test_standard_webhooks(void **state)
{
#define HEADERS(id, time, signature) \
	{ \
		{"webhook-id", id}, {"webhook-timestamp", time}, \
		{ \
			"webhook-signature", signature \
		} \
	}
	const char *key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
	const char *body = "{\"test\": 2432232314}";
	const Case cases[] = {
		{"as published",
		 PGW_VERIFIED,
		 HEADERS(STANDARD_ID, "1614265330", "v1," STANDARD_SIGNATURE),
		 body,
		 {key},
		 1614265330,
		 NULL},
		{"a list",
		 PGW_VERIFIED,
		 HEADERS(STANDARD_ID, "1614265330", "v1a,AAAA v1," STANDARD_SIGNATURE " v2,BBBB"),
		 body,
		 {key},
		 1614265330,
		 NULL},
		{"the secret without its prefix, and an old one",
		 PGW_VERIFIED,
		 HEADERS(STANDARD_ID, "1614265330", "v1," STANDARD_SIGNATURE),
		 body,
		 {"whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
		 1614265330,
		 NULL},
		{"another id",
		 PGW_WRONG_SIGNATURE,
		 HEADERS("msg_p5jXN8AQM9LWM0D4loKWxJel", "1614265330", "v1," STANDARD_SIGNATURE),
		 body,
		 {key},
		 1614265330,
		 NULL},
		{"part of the time in the id",
		 PGW_NOT_SIGNED,
		 HEADERS(STANDARD_ID ".16", "14265330", "v1," STANDARD_SIGNATURE),
		 body,
		 {key},
		 1614265330,
		 NULL},
		{"another time",
		 PGW_WRONG_SIGNATURE,
		 HEADERS(STANDARD_ID, "1614265331", "v1," STANDARD_SIGNATURE),
		 body,
		 {key},
		 1614265330,
		 NULL},
		{"too late",
		 PGW_OUT_OF_TIME,
		 HEADERS(STANDARD_ID, "1614265330", "v1," STANDARD_SIGNATURE),
		 body,
		 {key},
		 1614265631,
		 NULL},
		{"of another scheme",
		 PGW_NOT_SIGNED,
		 HEADERS(STANDARD_ID, "1614265330", "v1a," STANDARD_SIGNATURE),
		 body,
		 {key},
		 1614265330,
		 NULL},
		/* its last letter holds two bits that mean nothing: written otherwise it is no signature */
		{"the same bytes, written otherwise",
		 PGW_WRONG_SIGNATURE,
		 HEADERS(STANDARD_ID, "1614265330", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OF="),
		 body,
		 {key},
		 1614265330,
		 NULL},
		{"a secret that is no base64",
		 PGW_BAD_SECRET,
		 HEADERS(STANDARD_ID, "1614265330", "v1," STANDARD_SIGNATURE),
		 body,
		 {"whsec_*"},
		 1614265330,
		 NULL},
		{"another body",
		 PGW_WRONG_SIGNATURE,
		 HEADERS(STANDARD_ID, "1614265330", "v1," STANDARD_SIGNATURE),
		 "{\"test\": 2432232315}",
		 {key},
		 1614265330,
		 NULL},
	};

	(void) state;
	check(STANDARD, cases, LENGTH(cases));
}

static void
test_adyen(void **state)
{
	static const char *const changes[][2] = {
		{"7914073381342284", "7914073381342285"},
		{"1130", "1131"},
		{"EUR", "USD"},
		{"AUTHORISATION", "CANCELLATION"},
		{"\"true\"", "\"false\""},
		{"TestMerchant", "TestMercham"},
		{"1407325143704", "1407325143705"},
		{"\"success\"", "\"originalReference\":\"8\",\"success\""},
		{"1130", "[1130]"}};
	char body[sizeof(adyen_body) + 64];
	Case k = {"as published", PGW_VERIFIED, {{NULL}}, adyen_body, {"AB", ADYEN_KEY}, 0, NULL};

	(void) state;
	check(ADYEN, &k, 1);
	for (size_t i = 0; i < LENGTH(changes); i++)
	{
		const char *at = strstr(adyen_body, changes[i][0]);

		assert_non_null(at);
		snprintf(body, sizeof(body), "%.*s%s%s", (int) (at - adyen_body), adyen_body, changes[i][1],
				 at + strlen(changes[i][0]));
		k = (Case){changes[i][1], PGW_WRONG_SIGNATURE, {{NULL}}, body, {ADYEN_KEY}, 0, NULL};
		if (changes[i][1][0] == '[')
			k.wanted = PGW_NOT_SIGNED;
		check(ADYEN, &k, 1);
	}
	/* what it does not cover is not covered */
	snprintf(body, sizeof(body), "%s", adyen_body);
	memcpy(strstr(body, "visa"), "amex", 4);
	k = (Case){"another method", PGW_VERIFIED, {{NULL}}, body, {ADYEN_KEY}, 0, NULL};
	check(ADYEN, &k, 1);
	k = (Case){"no document", PGW_NOT_SIGNED, {{NULL}}, "", {ADYEN_KEY}, 0, NULL};
	check(ADYEN, &k, 1);
}

static void
test_the_others(void **state)
{
	const char *hello = "{\"hello\":\"world\"}";
	const char *mac = "2kRE5qRU2tR+tBGlDwMEw2avJ7QM4ikPYD/PJ3bd9Og=";
	const Case square[] = {
		{"as published",
		 PGW_VERIFIED,
		 {{"X-Square-HmacSha256-Signature", mac}},
		 hello,
		 {"asdf1234"},
		 0,
		 SQUARE_URL},
		{"another URL",
		 PGW_WRONG_SIGNATURE,
		 {{"X-Square-HmacSha256-Signature", mac}},
		 hello,
		 {"asdf1234"},
		 0,
		 SQUARE_URL "/"},
		{"no URL",
		 PGW_NO_URL,
		 {{"X-Square-HmacSha256-Signature", mac}},
		 hello,
		 {"asdf1234"},
		 0,
		 NULL},
		{"another body",
		 PGW_WRONG_SIGNATURE,
		 {{"X-Square-HmacSha256-Signature", mac}},
		 "{\"hello\":\"worle\"}",
		 {"asdf1234"},
		 0,
		 SQUARE_URL},
	};
	const Case checkout[] = {
		{"hexadecimal",
		 PGW_VERIFIED,
		 {{"cko-signature", "94ac0e7332354ed289b045e70b1c7d4c130d04e1efba153ce3c03b49aeb889af"}},
		 hello,
		 {"asdf1234"},
		 0,
		 NULL},
		{"no header", PGW_NOT_SIGNED, {{"cko", "27"}}, hello, {"asdf1234"}, 0, NULL},
	};
	const Case basic[] = {
		{"as in RFC 7617",
		 PGW_VERIFIED,
		 {{"Authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}},
		 hello,
		 {"old:one", "Aladdin:open sesame"},
		 0,
		 NULL},
		{"another password",
		 PGW_WRONG_SIGNATURE,
		 {{"Authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}},
		 hello,
		 {"Aladdin:open sesamf"},
		 0,
		 NULL},
		{"another scheme",
		 PGW_NOT_SIGNED,
		 {{"Authorization", "Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}},
		 hello,
		 {"Aladdin:open sesame"},
		 0,
		 NULL},
		{"nothing",
		 PGW_WRONG_SIGNATURE,
		 {{"Authorization", "Basic "}},
		 hello,
		 {"Aladdin:open sesame"},
		 0,
		 NULL},
		{"a secret without a colon",
		 PGW_BAD_SECRET,
		 {{"Authorization", "Basic QWxh"}},
		 hello,
		 {"Aladdin"},
		 0,
		 NULL},
	};

	(void) state;
	check(SQUARE, square, LENGTH(square));
	check(CHECKOUT, checkout, LENGTH(checkout));
	check(BASIC, basic, LENGTH(basic));
}

static void
test_bombs(void **state)
{
	static char big[PGW_NOTIFICATION_MAX_BYTES + 1];
	static char list[PGW_NOTIFICATION_MAX_HEADER + 2];
	static PgwGivenHeader many[PGW_NOTIFICATION_MAX_HEADERS + 1];
	PgwConnector *c = connector(STRIPE);
	PgwSecretValues secrets = {1, {{"", "webhook_secret"}}};
	PgwGivenHeader given = {"stripe-signature", "t=1533204620,v1=" STRIPE_SIGNATURE};
	PgwArrived a = {.nheaders = 1,
					.headers = &given,
					.body = big,
					.len = sizeof(big),
					.received_at = 1533204620};
	const PgwSignature *s = &c->notifications.signature;

	(void) state;
	assert_int_equal(pgw_verify_signature(s, &a, &secrets), PGW_NOT_SIGNED);
	a.len--;
	assert_int_equal(pgw_verify_signature(s, &a, &secrets), PGW_WRONG_SIGNATURE);
	a.body = stripe_body;
	a.len = sizeof(stripe_body) - 1;
	memset(list, ',', sizeof(list) - 1);
	memcpy(list, given.value, strlen(given.value));
	given.value = list;
	assert_int_equal(pgw_verify_signature(s, &a, &secrets), PGW_NOT_SIGNED);
	list[sizeof(list) - 2] = '\0';
	assert_int_equal(pgw_verify_signature(s, &a, &secrets), PGW_VERIFIED);
	for (size_t i = 0; i < LENGTH(many); i++)
		many[i] = (PgwGivenHeader){"x", "y"};
	many[0] = given;
	a.headers = many;
	a.nheaders = LENGTH(many);
	assert_int_equal(pgw_verify_signature(s, &a, &secrets), PGW_NOT_SIGNED);
	a.nheaders--;
	assert_int_equal(pgw_verify_signature(s, &a, &secrets), PGW_VERIFIED);
	pgw_connector_free(c);
}

/* ---- headers as an application hands them over ---- */

static void
test_headers(void **state)
{
	static const char *const faults[] = {"",          "[]",   "\"x\"",
										 "{\"a\": 1", "null", "{\"a\": \"1\", \"a\": \"2\"}"};
	static char many[8000];
	PgwGivenHeaders h;
	PgwArrived a = {0};
	char json[] = "{'A': 'one', 'B': ['two', 'three'], 'c': 4, 'D': null, 'e': {'f': 'g'}, 'F': [],"
				  " 'H': ['\\u00e4'], 'i': ''}";
	size_t len = 0;

	(void) state;
	with_quotes(json);
	assert_true(pgw_given_headers_read(json, strlen(json), &h));
	a.headers = h.list;
	a.nheaders = h.n;
	assert_int_equal(h.n, 5);
	assert_string_equal(pgw_arrived_header(&a, "a"), "one");
	assert_null(pgw_arrived_header(&a, "b")); /* twice */
	assert_null(pgw_arrived_header(&a, "c"));
	assert_string_equal(pgw_arrived_header(&a, "h"), "\xC3\xA4");
	assert_string_equal(pgw_arrived_header(&a, "I"), "");
	pgw_given_headers_end(&h);
	for (size_t i = 0; i < LENGTH(faults); i++)
	{
		assert_false(pgw_given_headers_read(faults[i], strlen(faults[i]), &h));
		assert_int_equal(h.n, 0);
		pgw_given_headers_end(&h);
	}
	len = (size_t) snprintf(many, sizeof(many), "{\"x\": [\"\"");
	for (int i = 1; i < PGW_NOTIFICATION_MAX_HEADERS; i++)
		len += (size_t) snprintf(many + len, sizeof(many) - len, ", \"\"");
	snprintf(many + len, sizeof(many) - len, "]}");
	assert_true(pgw_given_headers_read(many, strlen(many), &h));
	assert_int_equal(h.n, PGW_NOTIFICATION_MAX_HEADERS);
	pgw_given_headers_end(&h);
	snprintf(many + len, sizeof(many) - len, ", \"\"]}");
	assert_false(pgw_given_headers_read(many, strlen(many), &h));
	pgw_given_headers_end(&h);
}

/* ---- reading ---- */

static void
read_body(const char *notifications, const char *body, bool livemode, PgwNotification *out)
{
	static char text[1024];
	PgwConnectorError err;
	PgwConnector *c = compile(notifications, &err);
	PgwArrived a = {.body = text};

	if (c == NULL)
		fail_msg("%s: %s", err.pointer, err.message);
	snprintf(text, sizeof(text), "%s", body);
	with_quotes(text);
	a.len = strlen(text);
	pgw_notification_read(c, &a, livemode, out);
	pgw_connector_free(c);
}

static void
test_says(void **state)
{
	static const char spec[] = STRIPE
		", 'fields': {'bank_reference': [{'when': {'/object': 'refund'}, 'from': '/intent'}, '/id'],"
		" 'reference': '/ref', 'livemode': '/live'}";
	PgwNotification n;

	(void) state;
	read_body(spec,
			  "{'id': 'evt_1', 'type': 'paid', 'created': 1533204620, 'ref': 'ab', 'live': true}",
			  true, &n);
	assert_true(n.readable);
	assert_string_equal(n.event_id, "evt_1");
	assert_string_equal(n.type, "paid");
	assert_string_equal(n.time, "1533204620");
	assert_string_equal(n.bank_reference, "evt_1");
	assert_string_equal(n.reference, "ab");
	assert_false(n.other_mode);
	/* printf '%s' '"evt_1"' and a line end, sha256sum */
	assert_string_equal(n.identity,
						"ed0f4b8fddd20b71ca8f5dd995fbab399948819cd3df520c623ae2ba4fb338eb");

	read_body(spec, "{'id': 'r', 'object': 'refund', 'intent': '0', 'live': false}", true, &n);
	assert_string_equal(n.bank_reference, ""); /* one of not_ids */
	assert_true(n.other_mode);
	read_body(spec, "{'id': 'r', 'live': 'yes'}", true, &n);
	assert_true(n.other_mode); /* neither */
	read_body(spec, "{'id': 'r'}", true, &n);
	assert_false(n.other_mode); /* it says nothing */
	/* a text that is no id is not kept if it holds a card number */
	read_body(spec, "{'id': 'a', 'type': '4111111111111111'}", true, &n);
	assert_string_equal(n.type, "");
	read_body(spec, "{'type': 'paid'}", true, &n);
	assert_string_equal(n.identity, "");
	read_body(spec, "{'id': 'a', 'id': 'b'}", true, &n);
	assert_false(n.readable);
	assert_int_equal(strlen(n.digest), 64);
}

/*
 * A bank's id of sixteen digits may look like a card's number: it is one where it ends like the
 * card that was charged, or where anybody may have sent it.
 */
static void
test_ids_like_cards(void **state)
{
	static const char spec[] =
		STRIPE ", 'fields': {'bank_reference': '/charge', 'reference': '/ref'}";
	static const char body[] = "{'id': 'evt_5105105105105100', 'charge': 'ch_5166802200000683',"
							   " 'ref': '4111 1111 1111 1111'}";
	static const char *const ids[] = {"evt_5105105105105100", "ch_5166802200000683",
									  "4111 1111 1111 1111", "4242424242424242"};
	static const struct
	{
		const char *last4;
		int dropped; /* of ids; -1: none, -2: each */
	} cases[] = {{NULL, -2},  {"", -1},    {"9999", -1}, {"5100", 0},
				 {"0683", 1}, {"1111", 2}, {"4242", 3}};

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwNotification n;
		const char *const places[] = {n.event_id, n.bank_reference, n.reference,
									  n.operation_reference};

		read_body(spec, body, true, &n);
		strcpy(n.operation_reference, ids[3]);
		/* as they came: for finding the payment by */
		for (int k = 0; k < 4; k++)
			assert_string_equal(places[k], ids[k]);
		pgw_notification_keep_ids(&n, cases[i].last4);
		for (int k = 0; k < 4; k++)
			assert_string_equal(places[k],
								cases[i].dropped == -2 || cases[i].dropped == k ? "" : ids[k]);
		assert_int_equal(strlen(n.identity), 64);
	}
}

/* Amounts are those of the currency beside them, and compared with what was asked for. */
static void
test_amounts(void **state)
{
	static const char integer[] =
		BASIC ", 'fields': {'reference': '/ref', 'amount': '/a', 'currency': '/c'}";
	static const char decimal[] = BASIC
		", 'fields': {'reference': '/ref', 'amount': [{'when': {'/t': 'paid'}, 'from': '/a'}],"
		" 'currency': '/c', 'amount_format': 'decimal'}";
	static const struct
	{
		const char *spec;
		const char *body;
		PgwSaidAmount wanted; /* of 1230 EUR */
	} cases[] = {
		{integer, "{'a': 1230, 'c': 'EUR'}", PGW_SAID_EQUAL},
		{integer, "{'a': '1230', 'c': 'eur'}", PGW_SAID_EQUAL},
		{integer, "{'a': 1231, 'c': 'EUR'}", PGW_SAID_UNEQUAL},
		{integer, "{'a': 1230, 'c': 'USD'}", PGW_SAID_UNEQUAL},
		{integer, "{'a': 1230.5, 'c': 'EUR'}", PGW_SAID_UNREADABLE},
		{integer, "{'a': -1230, 'c': 'EUR'}", PGW_SAID_UNREADABLE},
		{integer, "{'a': 1230}", PGW_SAID_UNREADABLE},
		{integer, "{'a': 1230, 'c': 'XXX'}", PGW_SAID_UNREADABLE},
		{integer, "{'a': 1230, 'c': 978}", PGW_SAID_UNREADABLE},
		{integer, "{'c': 'EUR'}", PGW_SAID_NOTHING},
		{integer, "{'ref': 'x'}", PGW_SAID_NOTHING},
		{decimal, "{'t': 'paid', 'a': '12.30', 'c': 'EUR'}", PGW_SAID_EQUAL},
		{decimal, "{'t': 'paid', 'a': '12.3', 'c': 'EUR'}", PGW_SAID_EQUAL},
		{decimal, "{'t': 'paid', 'a': '1230', 'c': 'EUR'}", PGW_SAID_UNEQUAL},
		{decimal, "{'t': 'paid', 'a': '1230', 'c': 'JPY'}", PGW_SAID_UNEQUAL},
		{decimal, "{'t': 'refunded', 'a': '1.00', 'c': 'EUR'}", PGW_SAID_NOTHING},
	};

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwNotification n;

		read_body(cases[i].spec, cases[i].body, true, &n);
		if (pgw_notification_compare_amount(&n, 1230, "EUR") != cases[i].wanted)
			fail_msg("%s", cases[i].body);
	}
	assert_null(pgw_said_amount_name(PGW_SAID_NOTHING));
	assert_string_equal(pgw_said_amount_name(PGW_SAID_UNEQUAL), "unequal");
}

/* No part of an identity can be moved into the one beside it. */
static void
test_identity(void **state)
{
	static const char spec[] =
		"'signature': {'scheme': 'basic_auth'}, 'identity': ['/a', '/b'], " FIELDS;
	static const char *const different[] = {"{'a': 'x', 'b': 'y'}",    "{'a': 'x', 'b': true}",
											"{'a': 'x', 'b': 'true'}", "{'a': 'xy', 'b': ''}",
											"{'a': '', 'b': 'xy'}",    "{'a': 'x', 'b': 1}"};
	PgwNotification seen[LENGTH(different)];
	PgwNotification n;

	(void) state;
	for (size_t i = 0; i < LENGTH(different); i++)
	{
		read_body(spec, different[i], true, &seen[i]);
		assert_int_equal(strlen(seen[i].identity), 64);
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(seen[i].identity, seen[k].identity);
	}
	read_body(spec, "{'c': 1, 'b': 'y', 'a': 'x'}", true, &n);
	assert_string_equal(n.identity, seen[0].identity);
	read_body(spec, "{'a': 'x', 'b': null}", true, &n);
	assert_string_equal(n.identity, "");
}

/* Our reference as the bank was told it, in whatever the bank makes of it. */
static void
test_names(void **state)
{
	static const char ours[] = "0190a3f07c1b7d2e8f00112233445566";
	PgwConnector *whole = connector(BASIC);
	PgwConnector *brief;
	PgwConnectorError err;
	PgwNotification n = {.readable = true};
	char told[PGW_REFERENCE_SIZE];
	char document[] =
		"{'v': 2, 'capabilities': {'tokens': true}, 'references': {'length': 20, 'alphabet':"
		" '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ'}, 'operations': {'charge': {'method': 'POST',"
		" 'path': '/c', 'encoding': 'json', 'body': {'t': '{{token}}', 'r': '{{transaction_ref}}'},"
		" 'answer': {'rules': [{'status': 200, 'outcome': 'approved'}]}}}}";

	(void) state;
	memset(&err, 0, sizeof(err));
	with_quotes(document);
	brief = pgw_connector_compile(document, strlen(document), &err);
	if (brief == NULL)
		fail_msg("%s: %s", err.pointer, err.message);
	(void) pgw_connector_reference(brief, ours, told);
	assert_int_equal(strlen(told), 20);

	assert_false(pgw_notification_names(whole, &n, ours)); /* it names nothing */
	assert_false(pgw_notification_names(brief, &n, ours));
	strcpy(n.reference, ours);
	assert_true(pgw_notification_names(whole, &n, ours));
	assert_false(pgw_notification_names(brief, &n, ours)); /* it was never told that */
	snprintf(n.reference, sizeof(n.reference), "order-%s/1", told);
	assert_true(pgw_notification_names(brief, &n, ours));
	assert_false(pgw_notification_names(whole, &n, ours));
	/* what decides is about exactly that, and about nothing else */
	assert_false(pgw_notification_is_about(brief, &n, ours));
	strcpy(n.reference, told);
	assert_true(pgw_notification_is_about(brief, &n, ours));
	assert_false(pgw_notification_is_about(whole, &n, ours));
	snprintf(n.reference, sizeof(n.reference), "order-%s/1", told);
	for (char *p = n.reference; *p != '\0'; p++)
		*p = (char) (*p >= 'A' && *p <= 'Z' ? *p - 'A' + 'a' : *p);
	assert_true(pgw_notification_names(brief, &n, ours));
	told[19] = told[19] == '0' ? '1' : '0';
	strcpy(n.reference, told);
	assert_false(pgw_notification_names(brief, &n, ours));
	strcpy(n.reference, "0190a3f07c1b7d2e8f00112233445567");
	assert_false(pgw_notification_names(whole, &n, ours));
	pgw_connector_free(whole);
	pgw_connector_free(brief);
}

/* ---- what becomes of it ---- */

static int
judge(const char *notifications, const char *body, bool livemode, PgwJudged *out)
{
	PgwConnectorError err;
	PgwConnector *c = compile(notifications, &err);
	PgwSecretValues secrets = {1, {{"", ADYEN_KEY}}};
	PgwArrived a = {.body = body, .len = strlen(body)};
	int n;

	if (c == NULL)
		fail_msg("%s: %s", err.pointer, err.message);
	n = pgw_notification_judge(c, &a, &secrets, NULL, livemode, out);
	pgw_connector_free(c);
	return n;
}

/* What nobody has signed is a hint, whatever it says; as a form, too. */
static void
test_unsigned(void **state)
{
	static PgwJudged j[PGW_NOTIFICATION_MAX_ITEMS];

	(void) state;
	assert_int_equal(
		judge(LOOK ": {'scheme': 'none'}, 'format': 'form', " FIELDS, "id=tr_1", true, j), 1);
	assert_int_equal(j[0].verdict, PGW_NOTIFICATION_HINT);
	assert_string_equal(j[0].said.bank_reference, "tr_1");
	assert_string_equal(j[0].said.identity, "");
	judge(LOOK ": {'scheme': 'none'}, 'format': 'form', " FIELDS, "id", true, j);
	assert_int_equal(j[0].verdict, PGW_NOTIFICATION_UNREADABLE);
	judge(LOOK ": {'scheme': 'none'}, " FIELDS, "{\"id\": \"a\", \"livemode\": false}", true, j);
	assert_int_equal(j[0].verdict, PGW_NOTIFICATION_OTHER_MODE);
	/* an id is what a payment is found by, and of a hint nothing is kept */
	judge(LOOK ": {'scheme': 'none'}, " FIELDS, "{\"id\": \"4111111111111111\"}", true, j);
	assert_int_equal(j[0].verdict, PGW_NOTIFICATION_HINT);
	assert_string_equal(j[0].said.bank_reference, "4111111111111111");
	assert_int_equal(pgw_notification_http_status(PGW_NOTIFICATION_HINT), 200);
}

/* One that the bank is asked for: only its id is kept, and the answer's is looked at. */
static void
test_asked(void **state)
{
	static const char spec[] = ASK ", " FIELDS ", 'type': '/type'";
	static const char body[] = "{\"id\": \"evt_1\", \"type\": \"paid\", \"livemode\": true}";
	static PgwJudged j[PGW_NOTIFICATION_MAX_ITEMS];
	PgwConnectorError err;
	PgwConnector *c = compile(spec, &err);
	PgwNotification said;
	char identity[65];

	(void) state;
	if (c == NULL)
		fail_msg("%s: %s", err.pointer, err.message);
	assert_false(pgw_notification_needs_secret(c));
	assert_int_equal(judge(spec, body, true, j), 1);
	assert_int_equal(j[0].verdict, PGW_NOTIFICATION_TO_CONFIRM);
	assert_int_equal(j[0].proof, PGW_PROVED_BY_NOTHING);
	assert_string_equal(j[0].said.event_id, "evt_1");
	assert_int_equal(strlen(j[0].said.identity), 64);
	assert_string_equal(j[0].said.bank_reference, "");
	assert_string_equal(j[0].said.type, "");
	/* however its id is written, it is the same one; another one is not */
	memcpy(identity, j[0].said.identity, sizeof(identity));
	judge(spec, "{\"id\": \"\\u0065vt\\u005F1\", \"livemode\": true}", true, j);
	assert_string_equal(j[0].said.event_id, "evt_1");
	assert_string_equal(j[0].said.identity, identity);
	judge(spec, "{\"id\": \"evt_12\", \"livemode\": true}", true, j);
	assert_string_not_equal(j[0].said.identity, identity);
	judge(spec, "{\"id\": 123, \"livemode\": true}", true, j);
	memcpy(identity, j[0].said.identity, sizeof(identity));
	judge(spec, "{\"id\": \"123\", \"livemode\": true}", true, j);
	assert_string_equal(j[0].said.identity, identity);
	judge(spec, "{\"id\": \"\", \"livemode\": true}", true, j);
	assert_int_equal(j[0].verdict, PGW_NOTIFICATION_UNREADABLE);
	judge(spec, "{\"type\": \"paid\", \"livemode\": true}", true, j);
	assert_int_equal(j[0].verdict, PGW_NOTIFICATION_UNREADABLE);
	/* what may be a card's number is for the bank alone, and still the same one each time */
	judge(spec, "{\"id\": \"4111111111111111\", \"livemode\": true}", true, j);
	assert_int_equal(j[0].verdict, PGW_NOTIFICATION_ASKED_FIRST);
	assert_int_equal(pgw_notification_http_status(j[0].verdict), 503);
	assert_string_equal(j[0].said.event_id, "4111111111111111");
	memcpy(identity, j[0].said.identity, sizeof(identity));
	judge(spec, "{\"id\": 4111111111111111, \"livemode\": true}", true, j);
	assert_string_equal(j[0].said.identity, identity);
	judge(spec, "{\"id\": \"4111111111111112\", \"livemode\": true}", true, j);
	assert_int_equal(j[0].verdict, PGW_NOTIFICATION_TO_CONFIRM);

	assert_true(pgw_notification_confirmed(c, "evt_1", body, strlen(body), true, &said));
	assert_string_equal(said.type, "paid");
	assert_string_equal(said.identity, j[0].said.identity[0] != '\0' ? said.identity : "");
	assert_false(pgw_notification_confirmed(c, "evt_2", body, strlen(body), true, &said));
	assert_false(pgw_notification_confirmed(c, "evt_1", body, strlen(body) - 1, true, &said));
	assert_true(pgw_notification_confirmed(c, "evt_1", body, strlen(body), false, &said));
	assert_true(said.other_mode);
	assert_int_equal(pgw_notification_http_status(PGW_NOTIFICATION_TO_CONFIRM), 200);
	assert_int_equal(pgw_notification_http_status(PGW_NOTIFICATION_TOO_MANY), 503);
	pgw_connector_free(c);
}

/* For a day, ever less often; that the bank does not know it counts once it would. */
static void
test_ask_again(void **state)
{
	int64_t age = 0;
	int n = 0;

	(void) state;
	while (pgw_ask_again_ms(age) >= 0)
	{
		assert_true(pgw_ask_again_ms(age) >= 5000 && pgw_ask_again_ms(age) <= 3600 * 1000);
		age += pgw_ask_again_ms(age);
		n++;
	}
	assert_true(n > 20 && n < 100);
	assert_true(age >= PGW_ASK_FOR_MS);
	assert_true(pgw_ask_again_ms(-1000) > 0);
	assert_false(pgw_ask_not_found_counts(0));
	assert_false(pgw_ask_not_found_counts(59999));
	assert_true(pgw_ask_not_found_counts(60000));
}

#define ONE "/NotificationRequestItem"
#define ADYEN_ITEMS \
	"'items': '/notificationItems', 'signature': {'scheme': 'hmac_fields', 'at': '" ONE \
	"/additionalData/hmacSignature', 'fields': ['" ONE "/pspReference', '" ONE \
	"/originalReference', '" ONE "/merchantAccountCode', '" ONE "/merchantReference', '" ONE \
	"/amount/value', '" ONE "/amount/currency', '" ONE "/eventCode', '" ONE "/success']," \
	" 'separator': ':', 'as': 'base64', 'key_as': 'hex'}, 'identity': ['" ONE \
	"/pspReference', '" ONE "/eventCode', '" ONE "/success'], 'fields': {'bank_reference': '" ONE \
	"/pspReference', 'livemode': {'at': '/live', 'live': 'true', 'test': 'false'}}"

/* Several in one body: each is judged by itself, and they have one answer. */
static void
test_items(void **state)
{
	static PgwJudged j[PGW_NOTIFICATION_MAX_ITEMS];
	static char many[PGW_NOTIFICATION_MAX_BYTES];
	const char *from = strstr(adyen_body, "{\"NotificationRequestItem");
	int len = (int) (strlen(from) - strlen("]}"));
	char body[4096];
	char *forged;
	size_t at;

	(void) state;
	assert_int_equal(judge(ADYEN_ITEMS, adyen_body, false, j), 1);
	assert_int_equal(j[0].verdict, PGW_NOTIFICATION_ACCEPTED);
	assert_string_equal(j[0].said.bank_reference, "7914073381342284");
	snprintf(body, sizeof(body), "{\"live\":\"false\",\"notificationItems\":[%.*s,%.*s,%.*s]}", len,
			 from, len, from, len, from);
	forged = strstr(strstr(body, "},{"), "1130");
	memcpy(forged, "1131", 4);
	assert_int_equal(judge(ADYEN_ITEMS, body, false, j), 3);
	assert_int_equal(j[0].verdict, PGW_NOTIFICATION_ACCEPTED);
	assert_int_equal(j[1].verdict, PGW_NOTIFICATION_WRONG_SIGNATURE);
	assert_string_equal(j[1].said.bank_reference, "");
	assert_int_equal(j[2].verdict, PGW_NOTIFICATION_ACCEPTED);
	assert_string_equal(j[0].said.identity, j[2].said.identity);
	assert_int_equal(judge(ADYEN_ITEMS, body, true, j), 3);
	assert_int_equal(j[0].verdict, PGW_NOTIFICATION_OTHER_MODE);
	assert_int_equal(j[1].verdict, PGW_NOTIFICATION_WRONG_SIGNATURE);
	assert_int_equal(judge(ADYEN_ITEMS, "{\"notificationItems\": []}", false, j), 1);
	assert_int_equal(j[0].verdict, PGW_NOTIFICATION_UNREADABLE);
	assert_int_equal(judge(ADYEN_ITEMS, "{\"notificationItems\": {}}", false, j), 1);
	assert_int_equal(j[0].verdict, PGW_NOTIFICATION_UNREADABLE);
	assert_int_equal(judge(ADYEN_ITEMS, "{\"notificationItems\": [1]}", false, j), 1);
	assert_int_equal(j[0].verdict, PGW_NOTIFICATION_NOT_SIGNED);
	at = (size_t) snprintf(many, sizeof(many), "{\"notificationItems\": [1");
	for (int i = 1; i < PGW_NOTIFICATION_MAX_ITEMS; i++)
		at += (size_t) snprintf(many + at, sizeof(many) - at, ",1");
	snprintf(many + at, sizeof(many) - at, "]}");
	assert_int_equal(judge(ADYEN_ITEMS, many, false, j), PGW_NOTIFICATION_MAX_ITEMS);
	snprintf(many + at, sizeof(many) - at, ",1]}");
	assert_int_equal(judge(ADYEN_ITEMS, many, false, j), 1);
	assert_int_equal(j[0].verdict, PGW_NOTIFICATION_TOO_LARGE);
	/* the whole is not even read where its own signature is not good */
	assert_int_equal(judge("'items': '/a', " CHECKOUT ", " FIELDS, "{\"a\": [{}]}", true, j), 1);
	assert_int_equal(j[0].verdict, PGW_NOTIFICATION_NOT_SIGNED);
}

#define SIGNED_FIELDS \
	"'signature': {'scheme': 'hmac_fields', 'at': '/s', 'fields': ['/i', '/o', '/r', '/v', '/c'," \
	" '/e', '/ok'], 'separator': ':', 'as': 'hex'}, 'fields': {'reference': '/r'," \
	" 'bank_reference': [{'when': {'/e': 'AUTH'}, 'from': '/i'}, '/o'], 'amount': '/v'," \
	" 'currency': '/c'}"
#define RULE(when, about, outcome) \
	"{'when': {" when "}, 'about': '" about "', 'outcome': '" outcome "'}"

/* Which types may tell of what was done at the bank without pgw. */
static void
test_changes(void **state)
{
	static const char spec[] = LOOK_ANYWAY BASIC
		", " FIELDS
		", 'changes': {'captured': 'cap', 'refunded': ['ref', 'both'], 'voided': ['both']}";
	static const struct
	{
		const char *body;
		unsigned changes;
	} rows[] = {
		{"{'id': 'c', 't': 'cap'}", PGW_CHANGE_CAPTURED},
		{"{'id': 'c', 't': 'ref'}", PGW_CHANGE_REFUNDED},
		{"{'id': 'c', 't': 'both'}", PGW_CHANGE_REFUNDED | PGW_CHANGE_VOIDED},
		{"{'id': 'c', 't': 'refund'}", 0},
		{"{'id': 'c', 't': ''}", 0},
		{"{'id': 'c', 't': ['ref']}", 0},
		{"{'id': 'c'}", 0},
	};
	PgwNotification n;

	(void) state;
	for (size_t i = 0; i < LENGTH(rows); i++)
	{
		read_body(spec, rows[i].body, true, &n);
		if (n.changes != rows[i].changes)
			fail_msg("case %zu: %u", i, n.changes);
	}
}

/* The first rule that fits says what it is the bank's word on. */
static void
test_evidence(void **state)
{
	static const char spec[] = SIGNED_FIELDS
		", 'evidence': [" RULE("'/e': 'AUTH', '/ok': true", "charge", "approved") ", " RULE(
			"'/e': 'AUTH'", "charge", "declined") ", " RULE("'/e': 'R'", "refund", "approved") "]";
	PgwNotification n;

	(void) state;
	read_body(spec, "{'e': 'AUTH', 'ok': true, 'r': 'x', 'v': 1, 'c': 'EUR'}", true, &n);
	assert_true(n.is_evidence);
	assert_int_equal(n.about, PGW_OP_CHARGE);
	assert_int_equal(n.says, PGW_OUT_APPROVED);
	read_body(spec, "{'e': 'AUTH', 'ok': 'true', 'r': 'x', 'v': 1, 'c': 'EUR'}", true, &n);
	assert_true(n.is_evidence);
	assert_int_equal(n.says, PGW_OUT_DECLINED);
	read_body(spec, "{'e': 'R', 'r': 'x', 'v': 1, 'c': 'EUR'}", true, &n);
	assert_int_equal(n.about, PGW_OP_REFUND);
	read_body(spec, "{'e': 'REPORT', 'r': 'x'}", true, &n);
	assert_false(n.is_evidence);
	read_body(SIGNED_FIELDS, "{'e': 'AUTH', 'ok': true}", true, &n);
	assert_false(n.is_evidence);
}

/* What the bank writes where it has no id names no operation: of two refunds one would count. */
static void
test_no_operation_id(void **state)
{
	static const char spec[] =
		SIGNED_FIELDS ", 'evidence': [{'when': {'/e': 'R'}, 'about': 'refund', 'outcome':"
					  " 'approved', 'id': '/i'}]";
	static const char *const ids[] = {"'0'", "0", "''", "' '", "'   '", "null"};
	PgwNotification n;

	(void) state;
	read_body(spec, "{'e': 'R', 'r': 'x', 'v': 1, 'c': 'EUR', 'i': '00'}", true, &n);
	assert_string_equal(n.operation_reference, "00");
	for (size_t i = 0; i < LENGTH(ids); i++)
	{
		char body[256];

		snprintf(body, sizeof(body), "{'e': 'R', 'r': 'x', 'o': %s, 'v': 1, 'c': 'EUR', 'i': %s}",
				 ids[i], ids[i]);
		read_body(spec, body, true, &n);
		assert_true(n.is_evidence);
		assert_string_equal(n.operation_reference, "");
		assert_string_equal(n.bank_reference, "");
	}
}

/* A signed text of which the parts could be cut otherwise is nobody's word. */
static void
test_separator(void **state)
{
	static const struct
	{
		const char *reference;
		PgwVerified wanted;
	} cases[] = {{"R", PGW_VERIFIED}, {"junk-R", PGW_VERIFIED}, {"junk:R", PGW_NOT_SIGNED}};
	PgwConnectorError err;
	PgwConnector *c = compile(SIGNED_FIELDS, &err);
	PgwSecretValues secrets = {1, {{"", "key"}}};

	(void) state;
	assert_non_null(c);
	for (int i = 0; i < 3; i++)
	{
		char text[256];
		char body[512];
		unsigned char mac[PGW_SHA2_MAX];
		PgwArrived a = {.body = body};
		PgwBuf hex;

		snprintf(text, sizeof(text), "1:2:%s:400:EUR:REFUND:true", cases[i].reference);
		pgw_buf_init(&hex, 0);
		pgw_put_hex(&hex, mac, pgw_hmac(PGW_SHA256, "key", 3, text, strlen(text), mac));
		snprintf(body, sizeof(body),
				 "{'i': '1', 'o': '2', 'r': '%s', 'v': 400, 'c': 'EUR', 'e': 'REFUND', 'ok': true,"
				 " 's': '%s'}",
				 cases[i].reference, hex.data);
		with_quotes(body);
		a.len = strlen(body);
		assert_int_equal(pgw_verify_signature(&c->notifications.signature, &a, &secrets),
						 cases[i].wanted);
		pgw_buf_free(&hex);
	}
	pgw_connector_free(c);
}

static void
test_one_answer(void **state)
{
	static const PgwNotificationVerdict worst_last[] = {
		PGW_NOTIFICATION_REPEATED, PGW_NOTIFICATION_ACCEPTED, PGW_NOTIFICATION_WRONG_SIGNATURE,
		PGW_NOTIFICATION_BAD_SECRET};

	(void) state;
	for (size_t i = 1; i < LENGTH(worst_last); i++)
	{
		assert_int_equal(pgw_notification_worse(worst_last[i], worst_last[i - 1]), worst_last[i]);
		assert_int_equal(pgw_notification_worse(worst_last[i - 1], worst_last[i]), worst_last[i]);
	}
}

/* The same ones have one order, in whatever order they come; equal ones stay in the body's. */
static void
test_order(void **state)
{
	static const struct
	{
		const char *identities; /* a letter for each; "-": none */
		const char *want;       /* places, from 0 */
	} cases[] = {{"a", "0"},       {"abc", "012"},   {"cba", "210"},
				 {"bcab", "2031"}, {"b-a-", "1320"}, {"cccc", "0123"}};
	static PgwJudged j[PGW_NOTIFICATION_MAX_ITEMS];
	int order[PGW_NOTIFICATION_MAX_ITEMS];

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		int n = (int) strlen(cases[i].identities);
		char got[8] = "";

		for (int k = 0; k < n; k++)
		{
			j[k].said.identity[0] = cases[i].identities[k] == '-' ? '\0' : cases[i].identities[k];
			j[k].said.identity[1] = '\0';
		}
		pgw_notification_order(j, n, order);
		for (int k = 0; k < n; k++)
			got[k] = (char) ('0' + order[k]);
		assert_string_equal(got, cases[i].want);
	}
}

/* ---- faults of the document ---- */

static void
test_faults(void **state)
{
	static const char *const cases[][2] = {
		{FIELDS, "/notifications/signature"},
		{BASIC, "/notifications/fields"},
		{BASIC ", 'fields': {'bank_reference': 'header:Location'}", "/notifications/fields"},
		{BASIC ", 'fields': {'livemode': '/l'}", "/notifications/fields"},
		{BASIC ", 'fields': {'reference': '/l', 'amount': '/a'}", "/notifications/fields/amount"},
		{BASIC ", 'fields': {'reference': '/l', 'captured': '/a'}",
		 "/notifications/fields/captured"},
		{BASIC ", 'fields': {'reference': [{'when': {'/a': '{{original_ref}}'}, 'from': '/b'}]}",
		 "/notifications/fields/reference"},
		{"'signature': {'scheme': 'nothing'}, " FIELDS, "/notifications/signature/scheme"},
		{"'signature': {'scheme': 'none'}, " FIELDS, "/notifications/signature"},
		{"'signature': {'scheme': 'none', 'header': 'x'}, " FIELDS,
		 "/notifications/signature/header"},
		{"'signature': {'scheme': 'none'}, 'identity': '/id', " FIELDS, "/notifications/identity"},
		{"'signature': {'scheme': 'ask'}, 'identity': '/id', " FIELDS, "/notifications/signature"},
		{"'signature': {'scheme': 'ask', 'header': 'x'}, " FIELDS,
		 "/notifications/signature/header"},
		{ASK ", 'format': 'form', " FIELDS, "/notifications/format"},
		{ASK ", 'items': '/a', " FIELDS, "/notifications/items"},
		{BASIC ", 'time': '/asked', " FIELDS, "/operations/verify_notification"},
		{BASIC ", 'format': 'xml', " FIELDS, "/notifications/format"},
		{BASIC ", 'format': 'form', 'items': '/a', " FIELDS, "/notifications/items"},
		{BASIC ", 'items': '', " FIELDS, "/notifications/items"},
		{"'signature': {'scheme': 'basic_auth', 'header': 'x'}, " FIELDS,
		 "/notifications/signature/header"},
		{"'signature': {'scheme': 'hmac_body', 'as': 'hex'}, " FIELDS,
		 "/notifications/signature/header"},
		{"'signature': {'scheme': 'hmac_body', 'header': 'x'}, " FIELDS,
		 "/notifications/signature/as"},
		{"'signature': {'scheme': 'hmac_body', 'header': 'x', 'as': 'plain'}, " FIELDS,
		 "/notifications/signature/as"},
		{"'signature': {'scheme': 'hmac_body', 'header': 'a b', 'as': 'hex'}, " FIELDS,
		 "/notifications/signature/header"},
		{"'signature': {'scheme': 'hmac_fields', 'at': '/s', 'fields': [], 'separator': ':', 'as':"
		 " 'hex'}, " FIELDS,
		 "/notifications/signature/fields"},
		{"'signature': {'scheme': 'hmac_fields', 'at': '/s', 'fields': ['/a'], 'as': 'hex'}, " FIELDS,
		 "/notifications/signature/separator"},
		{"'signature': {'scheme': 'timestamped_hmac', 'header': 'x', 'tolerance_seconds': 0}, " FIELDS,
		 "/notifications/signature/tolerance_seconds"},
		{"'signature': {'scheme': 'timestamped_hmac', 'header': 'x', 'time': 'v1'}, " FIELDS,
		 "/notifications/signature/value"},
		{BASIC ", 'identity': [], " FIELDS, "/notifications/identity"},
		{BASIC ", 'identity': '', " FIELDS, "/notifications/identity"},
		{BASIC ", 'items': '/a', 'identity': {'header': 'webhook-id'}, " FIELDS,
		 "/notifications/identity"},
		{BASIC ", 'colour': 1, " FIELDS, "/notifications/colour"},
		/* what was done at the bank: told by its type, and asked about */
		{BASIC ", 'changes': {'refunded': 'r'}, " FIELDS, "/notifications/changes"},
		{BASIC ", 'type': '/t', 'changes': {'refunded': 'r'}, " FIELDS, "/notifications/changes"},
		{LOOK_ANYWAY BASIC ", 'changes': {}, " FIELDS, "/notifications/changes"},
		{LOOK_ANYWAY BASIC ", 'changes': {'refunds': 'r'}, " FIELDS,
		 "/notifications/changes/refunds"},
		{LOOK_ANYWAY BASIC ", 'changes': {'refunded': []}, " FIELDS,
		 "/notifications/changes/refunded"},
		{LOOK_ANYWAY BASIC ", 'changes': {'refunded': ['r', '']}, " FIELDS,
		 "/notifications/changes/refunded/1"},
		/* the bank's word: signed, of what it says, to whom, and how much; and it can be asked
		   nothing */
		{SIGNED_FIELDS ", 'evidence': []", "/notifications/evidence"},
		/* what tells two of them apart, too */
		{SIGNED_FIELDS
		 ", 'identity': ['/i', '/nid'], 'evidence': [" RULE("'/e': 'x'", "charge", "approved") "]",
		 "/notifications/evidence"},
		{SIGNED_FIELDS ", 'identity': {'header': 'webhook-id'}, 'evidence': [" RULE(
			 "'/e': 'x'", "charge", "approved") "]",
		 "/notifications/evidence"},
		{SIGNED_FIELDS ", 'evidence': [" RULE("", "charge", "approved") "]",
		 "/notifications/evidence/0/when"},
		{SIGNED_FIELDS ", 'evidence': [" RULE("'/live': 'x'", "charge", "approved") "]",
		 "/notifications/evidence/0/when"},
		/* of a place that is there, or is not, it is nobody's word */
		{SIGNED_FIELDS ", 'evidence': [" RULE("'/e': {'exists': true}", "charge", "approved") "]",
		 "/notifications/evidence/0/when"},
		{SIGNED_FIELDS ", 'evidence': [" RULE("'/e': {'exists': false}", "charge", "approved") "]",
		 "/notifications/evidence/0/when"},
		/* of an operation that there is not */
		{SIGNED_FIELDS ", 'evidence': [" RULE("'/e': 'x'", "capture", "approved") "]",
		 "/notifications/evidence/0/about"},
		{SIGNED_FIELDS ", 'evidence': [" RULE("'/e': 'x'", "ping", "approved") "]",
		 "/notifications/evidence/0/about"},
		{SIGNED_FIELDS ", 'evidence': [" RULE("'/e': 'x'", "charge", "pending") "]",
		 "/notifications/evidence/0/outcome"},
		{SIGNED_FIELDS ", 'evidence': [{'about': 'charge', 'outcome': 'approved'}]",
		 "/notifications/evidence/0/when"},
		{LOOK_ANYWAY SIGNED_FIELDS ", 'evidence': [" RULE("'/e': 'x'", "charge", "approved") "]",
		 "/notifications/evidence"},
		{BASIC ", 'fields': {'reference': '/r', 'bank_reference': '/o', 'amount': '/v', 'currency':"
			   " '/c'}, 'evidence': [" RULE("'/e': 'x'", "charge", "approved") "]",
		 "/notifications/evidence"},
		{CHECKOUT
		 ", 'fields': {'reference': '/r', 'amount': '/v', 'currency': '/c'}, 'evidence': [" RULE(
			 "'/e': 'x'", "charge", "approved") "]",
		 "/notifications/evidence"},
		{"'signature': {'scheme': 'hmac_fields', 'at': '/s', 'fields': ['/r', '/o', '/c', '/e'],"
		 " 'separator': ':', 'as': 'hex'}, 'fields': {'reference': '/r', 'bank_reference': '/o',"
		 " 'amount': '/v', 'currency': '/c'}, 'evidence': [" RULE("'/e': 'x'", "charge",
																  "approved") "]",
		 "/notifications/evidence"},
	};

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwConnectorError err;
		PgwConnector *c = compile(cases[i][0], &err);

		if (c != NULL)
			fail_msg("compiles: %s", cases[i][0]);
		assert_string_equal(err.pointer, cases[i][1]);
	}
}

/* Of an unknown payment: close looks at first, few in all, the last at the end of its time. */
static void
test_match_again(void **state)
{
	int64_t age = 0;
	int looks = 0;

	(void) state;
	while (age < PGW_MATCH_FOR_MS)
	{
		int64_t wait = pgw_match_again_ms(age);

		assert_true(wait >= 2000 || age + wait == PGW_MATCH_FOR_MS);
		assert_true(wait <= (age > 2000 ? age : 2000));
		age += wait;
		looks++;
	}
	assert_int_equal(age, PGW_MATCH_FOR_MS);
	assert_in_range(looks, 8, 14);
	assert_int_equal(pgw_match_again_ms(PGW_MATCH_FOR_MS), -1);
	assert_int_equal(pgw_match_again_ms(INT64_MAX), -1);
	/* the clock was set back */
	assert_int_equal(pgw_match_again_ms(-1), 2000);
	assert_int_equal(pgw_match_again_ms(INT64_MIN), 2000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stripe),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_standard_webhooks),
		cmocka_unit_test(test_adyen),
		cmocka_unit_test(test_the_others),
		cmocka_unit_test(test_bombs),
		cmocka_unit_test(test_says),
		cmocka_unit_test(test_ids_like_cards),
		cmocka_unit_test(test_amounts),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_unsigned),
		cmocka_unit_test(test_asked),
		cmocka_unit_test(test_ask_again),
		cmocka_unit_test(test_items),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_evidence),
		cmocka_unit_test(test_no_operation_id),
		cmocka_unit_test(test_separator),
		cmocka_unit_test(test_one_answer),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_match_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
