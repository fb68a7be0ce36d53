/*
 * test_request_language.c - what version 2 of the connector language says of requests: secrets by
 * name, how values are written, and computed ones
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "cmocka_names.h"
#include "core/bank_message/render_request.h"
#include "core/connector/connector.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static PgwRendered rendered;
static PgwConnectorError err;

/* A document whose charge has this path, these members beside, and the token in its body. */
static const char *
document(int version, const char *top, const char *path, const char *headers, const char *body)
{
	static char text[8192];

	snprintf(
		text, sizeof(text),
		"{\"v\":%d,\"capabilities\":{\"tokens\":true},%s\"operations\":{\"charge\":{\"method\":\"POST\",\"path\":\"%s\","
		"\"headers\":{%s},\"body\":{\"t\":\"{{token}}\"%s%s},\"answer\":{\"rules\":[{\"status\":200,\"outcome\":\"approved\"}]}}}}",
		version, top, path, headers, *body ? "," : "", body);
	return text;
}

static PgwConnector *
compile(const char *text)
{
	PgwConnector *c = pgw_connector_compile(text, strlen(text), &err);

	if (c == NULL)
		fail_msg("%s: %s in %s", err.pointer, err.message, text);
	return c;
}

/* It does not compile: where, and what the message must say. */
static void
refused(const char *text, const char *pointer, const char *says)
{
	PgwConnector *c = pgw_connector_compile(text, strlen(text), &err);

	if (c != NULL)
		fail_msg("compiles: %s", text);
	if (strcmp(err.pointer, pointer) != 0 || strstr(err.message, says) == NULL)
		fail_msg("%s: %s\ninstead of %s: %s", err.pointer, err.message, pointer, says);
}

static void
render(const PgwConnector *c, PgwBankOp op, const PgwCallParams *p)
{
	pgw_rendered_init(&rendered);
	if (!pgw_connector_render(c, op, p, &rendered, &err))
		fail_msg("%s: %s", err.pointer, err.message);
}

static const char *
header(const char *name)
{
	for (int i = 0; i < rendered.nheaders; i++)
	{
		const char *line = rendered.headers[i].data;

		if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
			return line + strlen(name) + 2;
	}
	return NULL;
}

/* ---- secrets by name ---- */

static void
test_secrets(void **state)
{
	static const PgwSecretValues secrets = {3, {{"user", "m=1"}, {"key", "s/3"}, {"other", "o"}}};
	PgwCallParams p = {.token = "tok", .secrets = &secrets};
	PgwConnector *c = compile(document(2, "\"headers\":{\"X-Key\":\"Key {{secret.key}}\"},", "/c",
									   "\"A\":\"{{secret.user}}:{{secret.key}}\"",
									   "\"u\":\"{{secret.user}}\",\"gone\":\"{{secret.gone}}\""));
	const char *const *names;

	(void) state;
	assert_int_equal(pgw_connector_secret_names(c, &names), 3);
	assert_string_equal(names[0], "key");
	assert_string_equal(names[1], "user");
	assert_string_equal(names[2], "gone");
	render(c, PGW_OP_CHARGE, &p);
	assert_string_equal(header("X-Key"), "Key s/3");
	assert_string_equal(header("A"), "m=1:s/3");
	assert_string_equal(rendered.body.data, "{\"t\":\"tok\",\"u\":\"m=1\"}");
	pgw_rendered_free(&rendered);
	pgw_connector_free(c);

	/* one value without a name, whatever stands in it */
	c = compile(document(2, "", "/c", "\"A\":\"{{secret}}\"", ""));
	assert_int_equal(pgw_connector_secret_names(c, &names), 0);
	p.secrets = &(PgwSecretValues){1, {{"", "user=m=1"}}};
	render(c, PGW_OP_CHARGE, &p);
	assert_string_equal(header("A"), "user=m=1");
	pgw_rendered_free(&rendered);
	pgw_connector_free(c);
}

static void
test_secrets_refused(void **state)
{
	char body[1024] = "";

	(void) state;
	refused(document(1, "", "/c", "\"A\":\"{{secret.key}}\"", ""), "/operations/charge/headers/A",
			"a secret by name needs version 2");
	refused(document(2, "", "/c/{{secret.key}}", "", ""), "/operations/charge/path",
			"must not stand in a path");
	refused(
		document(2, "\"headers\":{\"K\":\"{{secret}}\"},", "/c", "", "\"k\":\"{{secret.key}}\""),
		"/operations/charge/body/k", "{{secret}} and {{secret.key}} in one connector");
	refused(
		document(2, "\"headers\":{\"K\":\"{{secret.key}}\"},", "/c", "", "\"k\":\"{{secret}}\""),
		"/operations/charge/body/k", "{{secret}} and {{secret.key}} in one connector");
	refused(document(2, "", "/c", "", "\"k\":\"{{secret.}}\""), "/operations/charge/body/k",
			"unknown placeholder {{secret.}}; known: amount, ");
	refused(document(2, "", "/c", "", "\"k\":\"{{secret.a b}}\""), "/operations/charge/body/k",
			"secret, secret.NAME, card_expiry");
	for (int i = 0; i < 17; i++)
		snprintf(body + strlen(body), sizeof(body) - strlen(body), "%s\"k%d\":\"{{secret.n%d}}\"",
				 i ? "," : "", i, i);
	refused(document(2, "", "/c", "", body), "/operations/charge/body/k16", "more than 16 names");
}

/* ---- how a value is written ---- */

static const PgwCallParams everything = {.amount = 1234,
										 .has_amount = true,
										 .currency = "EUR",
										 .iso_exponent = 2,
										 .token = "tok",
										 .card_number = "4111111111111111",
										 .card_expiry_month = 9,
										 .card_expiry_year = 2031,
										 .transaction_ref = "0123456789abcdef0123456789abcdef",
										 .original_ref = "ffffffffffffffffffffffffffffffff",
										 .reference = "a?b~",
										 .bank_fields = "{\"n\": 5, \"s\": \"x\"}",
										 /* 2026-11-07 08:09:10.123456 */
										 .now = INT64_C(1794038950123456)};

/* What stands in the body as "v" with this placeholder there. */
static void
written(const char *top, const char *value, const PgwCallParams *p, const char *expected)
{
	char member[200];
	char body[300];
	PgwConnector *c;

	snprintf(member, sizeof(member), "\"v\":\"%s\"", value);
	c = compile(document(2, top, "/c", "", member));
	render(c, PGW_OP_CHARGE, p);
	snprintf(body, sizeof(body), "{\"t\":\"tok\"%s%s}", *expected ? ",\"v\":" : "", expected);
	if (strcmp(rendered.body.data, body) != 0)
		fail_msg("%s: %s instead of %s", value, rendered.body.data, body);
	for (size_t i = rendered.body.len; i < rendered.body.cap; i++)
		assert_int_equal(rendered.body.data[i], 0);
	pgw_rendered_free(&rendered);
	pgw_connector_free(c);
}

static void
test_filters(void **state)
{
	static const char *const cases[][2] = {
		{"{{amount}}", "1234"},
		{"{{amount|string}}", "\"1234\""},
		{"{{amount_decimal}}", "\"12.34\""},
		{"{{amount_decimal|number}}", "12.34"},
		{"{{currency|lower}}", "\"eur\""},
		{"{{currency|numeric}}", "\"978\""},
		{"{{currency|numeric|number}}", "978"},
		{"{{card_expiry|MM}}", "\"09\""},
		{"{{card_expiry|MM|number}}", "9"},
		{"{{card_expiry|YY}}", "\"31\""},
		{"{{card_expiry|YYYY|number}}", "2031"},
		{"{{card_expiry|MM/YY}}", "\"09/31\""},
		{"{{card_expiry|MM-YYYY}}", "\"09-2031\""},
		{"{{card_expiry|YYYY-MM}}", "\"2031-09\""},
		{"{{card_expiry|YYMM}}", "\"3109\""},
		{"{{card_expiry_month|string}}", "\"09\""},
		{"{{bank_fields.n}}", "5"},
		{"{{bank_fields.n|string}}", "\"5\""},
		{"{{bank_fields.s|base64}}", "\"eA==\""},
		{"{{reference|base64}}", "\"YT9ifg==\""},
		{"{{reference|hex}}", "\"613f627e\""},
		{"{{currency|lower|hex}}", "\"657572\""},
		{"{{card_brand}}", "\"visa\""},
		{"{{now|rfc1123}}", "\"Sat, 07 Nov 2026 08:09:10 GMT\""},
		{"{{now|iso8601}}", "\"2026-11-07T08:09:10Z\""},
		{"{{now|epoch}}", "\"1794038950\""},
		{"{{now|epoch|number}}", "1794038950"},
		{"{{now|epoch_ms|number}}", "1794038950123"},
		{"<{{amount_decimal|number}}:{{currency|numeric|number}}>", "\"<12.34:978>\""},
		{"{{merchant|base64}}", ""},
	};

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
		written("", cases[i][0], &everything, cases[i][1]);
}

static void
test_filters_at_the_rim(void **state)
{
	static const char brands[] = "\"card_brands\":{\"visa\":\"VI\",\"amex\":\"AX\"},";
	PgwCallParams p = everything;

	(void) state;
	written(brands, "{{card_brand}}", &p, "\"VI\"");
	p.card_number = "5555555555554444";
	written("", "{{card_brand}}", &p, "\"mastercard\"");
	written(brands, "{{card_brand}}", &p, "");
	p.card_number = NULL;
	written("", "{{card_brand}}", &p, "");
	p.currency = "ALL"; /* 008 */
	written("", "{{currency|numeric}}", &p, "\"008\"");
	written("", "{{currency|numeric|number}}", &p, "8");
	p.currency = "JPY";
	p.iso_exponent = 0;
	written("", "{{amount_decimal|number}}", &p, "1234");
	p.card_expiry_year = 2000;
	written("", "{{card_expiry|YY|number}}", &p, "0");
	p.card_expiry_month = 0;
	written("", "{{card_expiry|MM/YY}}", &p, "");
	p.now = 0;
	written("", "{{now|epoch}}", &p, "");
	written("", "{{nonce}}", &p, "");
	p.reference = "";
	written("", "{{reference|base64}}", &p, "\"\"");
}

/* The same again for the same request, another for every other. */
static void
test_nonce(void **state)
{
	PgwConnector *c = compile(document(2, "", "/c", "\"N\":\"{{nonce}}\"", ""));
	PgwCallParams p = everything;
	char first[64];

	(void) state;
	render(c, PGW_OP_CHARGE, &p);
	snprintf(first, sizeof(first), "%s", header("N"));
	assert_int_equal(strlen(first), 32);
	assert_int_equal(strspn(first, "0123456789abcdef"), 32);
	pgw_rendered_free(&rendered);
	render(c, PGW_OP_CHARGE, &p);
	assert_string_equal(header("N"), first);
	pgw_rendered_free(&rendered);
	p.now++;
	render(c, PGW_OP_CHARGE, &p);
	assert_string_not_equal(header("N"), first);
	pgw_rendered_free(&rendered);
	p = everything;
	p.transaction_ref = everything.original_ref;
	render(c, PGW_OP_CHARGE, &p);
	assert_string_not_equal(header("N"), first);
	pgw_rendered_free(&rendered);
	pgw_connector_free(c);
}

static void
test_filters_refused(void **state)
{
	static const char *const cases[][2] = {
		{"{{amount|lower}}",
		 "\"|lower\" cannot stand here in {{amount}}; known: |string, |base64, |hex"},
		{"{{currency|number}}", "known: |lower, |numeric, |base64, |hex"},
		{"{{currency|numeric|lower}}", "known: |number, |base64, |hex"},
		{"{{currency|}}", "\"|\" cannot stand here"},
		{"{{currency|numeric|number|hex}}", "nothing can stand behind this filter"},
		{"{{token|frob}}", "\"|frob\" cannot stand here in {{token}}; known: |base64, |hex"},
		{"{{bank_fields.x|lower}}", "in {{bank_fields.x}}; known: |string, |base64, |hex"},
		{"{{card_expiry}}", "{{card_expiry}} needs a format, one of |MM, |YY, |YYYY"},
		{"{{card_expiry|MMMM}}", "known: |MM, |YY"},
		{"{{card_expiry|MM/YY|number}}", "known: |base64, |hex"},
		{"{{now}}", "{{now}} needs a format, one of |rfc1123, |iso8601, |epoch, |epoch_ms"},
		{"{{now|rfc1123|number}}", "known: |base64, |hex"},
		{"{{token|base64|base64|base64|base64}}", "more than 3 filters"},
		{"{{nope|hex}}", "unknown placeholder {{nope}}"},
	};
	char member[200];

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		snprintf(member, sizeof(member), "\"v\":\"%s\"", cases[i][0]);
		refused(document(2, "", "/c", "", member), "/operations/charge/body/v", cases[i][1]);
	}
	refused(document(1, "", "/c", "", "\"v\":\"{{currency|lower}}\""), "/operations/charge/body/v",
			"a filter needs version 2");
	refused(document(1, "", "/c", "", "\"v\":\"{{nonce}}\""), "/operations/charge/body/v",
			"needs version 2");
	refused(document(2, "", "/c", "\"E\":\"{{card_expiry|MM}}\"", ""),
			"/operations/charge/headers/E", "card data must not stand in a header");
	refused(document(2, "", "/c/{{secret|base64}}", "", ""), "/operations/charge/path",
			"must not stand in a path");
	refused(document(2, "\"card_brands\":{\"visas\":\"V\"},", "/c", "", ""), "/card_brands/visas",
			"unknown brand; known: visa, mastercard");
	refused(document(2, "\"card_brands\":{\"visa\":1},", "/c", "", ""), "/card_brands/visa",
			"must be a string");
	refused(document(1, "\"card_brands\":{},", "/c", "", ""), "/card_brands", "needs version 2");
}

/* ---- computed values ---- */

/* The expected values were computed with Python's hmac and hashlib. */
static void
test_computed(void **state)
{
	static const char top[] =
		"\"computed\":[{\"name\":\"digest\",\"sha256\":\"{{body}}\",\"as\":\"base64\"},"
		"{\"name\":\"basic\",\"text\":[\"{{secret.user}}\",\":{{secret.pw}}\"],\"as\":\"base64\"},"
		"{\"name\":\"signature\",\"hmac_sha512\":{\"key\":\"{{secret.hex}}\",\"key_as\":\"hex\",\"text\":[\"{{method}}\\n{{host}}\\n\","
		"\"{{merchant}}!\",\"{{path}}\\n{{now|rfc1123}}\\n{{computed.digest}}\"]},\"as\":\"hex\"}],"
		"\"headers\":{\"Authorization\":\"Basic {{computed.basic}}\",\"Digest\":\"SHA-256={{computed.digest}}\",\"Signature\":\"v1={{computed.signature}}\"},";
	static const PgwSecretValues secrets = {3, {{"user", "me"}, {"pw", "pw"}, {"hex", "00ff10"}}};
	PgwCallParams p = everything;
	PgwConnector *c = compile(document(2, top, "/c?x=1", "", "\"k\":\"v\""));

	(void) state;
	p.secrets = &secrets;
	p.base_url = "https://api.bank.example:8443/base/";
	render(c, PGW_OP_CHARGE, &p);
	assert_string_equal(rendered.body.data, "{\"t\":\"tok\",\"k\":\"v\"}");
	assert_string_equal(header("Authorization"), "Basic bWU6cHc=");
	assert_string_equal(header("Digest"), "SHA-256=/lRyXM10ezkrm7nDMruXCVgrOYIgUw4FCqdHTbuyfiw=");
	assert_string_equal(header("Signature"),
						"v1=422ac6fee8c51fa3dbadcc736d39355e5f782f24aa34358d12f0d4fa7547c184"
						"6ae76774043bf53b587a93bf2e8d1e3f95435af762a5eab10206043a49b65fb9");
	pgw_rendered_free(&rendered);
	pgw_connector_free(c);
	/* the usual port is not named, nor a path that there is not */
	p.base_url = "https://api.bank.example:443";
	c = compile(
		document(2, "\"computed\":[{\"name\":\"where\",\"text\":\"{{method}} {{host}}{{path}}\"}],",
				 "/c", "\"W\":\"{{computed.where}}\"", ""));
	render(c, PGW_OP_CHARGE, &p);
	assert_string_equal(header("W"), "POST api.bank.example/c");
	pgw_rendered_free(&rendered);
	/* pgw.banks takes this, and libcurl names no port */
	p.base_url = "HTTPS://api.bank.example:443/";
	render(c, PGW_OP_CHARGE, &p);
	assert_string_equal(header("W"), "POST api.bank.example/c");
	pgw_rendered_free(&rendered);
	pgw_connector_free(c);
	/* in the body, what is not made of it */
	c = compile(document(
		2,
		"\"computed\":[{\"name\":\"mac\",\"hmac_sha256\":{\"key\":\"{{secret.pw}}\",\"text\":\"{{token}}\"},\"as\":\"hex\"}],",
		"/c", "", "\"mac\":\"{{computed.mac}}\""));
	render(c, PGW_OP_CHARGE, &p);
	assert_string_equal(
		rendered.body.data,
		"{\"t\":\"tok\",\"mac\":\"823790384bb64db2dff72cb17966b71f3e98341db87741146d0060edcb7c11dc\"}");
	pgw_rendered_free(&rendered);
	pgw_connector_free(c);
}

static void
test_computed_keys(void **state)
{
	static const struct
	{
		const char *as;
		const char *key;
		bool good;
	} cases[] = {
		{"plain", "k", true},     {"plain", "", false},      {"hex", "0aFF", true},
		{"hex", "0aF", false},    {"hex", "0g", false},      {"base64", "AP8Q", true},
		{"base64", "AP8=", true}, {"base64", "AA==", true},  {"base64", "A===", false},
		{"base64", "AP8", false}, {"base64", "AP-_", false},
	};

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwSecretValues secrets = {1, {{"k", cases[i].key}}};
		PgwCallParams p = everything;
		char top[300];
		PgwConnector *c;

		snprintf(
			top, sizeof(top),
			"\"computed\":[{\"name\":\"m\",\"hmac_sha256\":{\"key\":\"{{secret.k}}\",\"key_as\":\"%s\",\"text\":\"x\"},\"as\":\"hex\"}],",
			cases[i].as);
		c = compile(document(2, top, "/c", "\"M\":\"{{computed.m}}\"", ""));
		p.secrets = &secrets;
		pgw_rendered_init(&rendered);
		if (pgw_connector_render(c, PGW_OP_CHARGE, &p, &rendered, &err) != cases[i].good)
			fail_msg("%s %s: %s", cases[i].as, cases[i].key, err.message);
		if (!cases[i].good && cases[i].key[0] != '\0')
			assert_null(strstr(err.message, cases[i].key));
		pgw_rendered_free(&rendered);
		pgw_connector_free(c);
	}
}

static void
test_computed_refused(void **state)
{
	static const char *const cases[][3] = {
		{"{\"name\":\"a\",\"text\":\"{{computed.a}}\"}", "/computed/0/text",
		 "there is no {{computed.a}} before this one"},
		{"{\"name\":\"a\",\"text\":\"{{computed.b}}\"},{\"name\":\"b\",\"text\":\"x\"}",
		 "/computed/0/text", "no {{computed.b}} before"},
		{"{\"name\":\"a\",\"text\":\"{{body}}\"}", "/computed/0/text", "can only be digested"},
		{"{\"name\":\"a\",\"sha256\":\"{{body}}\"}", "/computed/0/as", "missing"},
		{"{\"name\":\"a\",\"sha256\":\"{{body}}\",\"as\":\"plain\"}", "/computed/0/as",
		 "must be \"hex\" or \"base64\""},
		{"{\"name\":\"a\",\"as\":\"hex\"}", "/computed/0", "exactly one of text, sha256"},
		{"{\"name\":\"a\",\"text\":\"x\",\"sha256\":\"y\",\"as\":\"hex\"}", "/computed/0",
		 "exactly one of"},
		{"{\"name\":\"a\",\"md5\":\"x\"}", "/computed/0/md5", "unknown key"},
		{"{\"name\":\"a\",\"sha256\":[],\"as\":\"hex\"}", "/computed/0/sha256", "array of texts"},
		{"{\"name\":\"a\",\"sha256\":[\"x\",1],\"as\":\"hex\"}", "/computed/0/sha256/1",
		 "must be a string"},
		{"{\"name\":\"a\",\"hmac_sha256\":{\"text\":\"x\"},\"as\":\"hex\"}",
		 "/computed/0/hmac_sha256/key", "missing"},
		{"{\"name\":\"a\",\"hmac_sha256\":{\"key\":\"{{secret}}\"},\"as\":\"hex\"}",
		 "/computed/0/hmac_sha256/text", "missing"},
		{"{\"name\":\"a\",\"hmac_sha256\":{\"key\":\"{{secret}}\",\"text\":\"x\",\"key_as\":\"raw\"},\"as\":\"hex\"}",
		 "/computed/0/hmac_sha256/key_as", "must be \"plain\", \"hex\" or \"base64\""},
		{"{\"name\":\"a b\",\"text\":\"x\"}", "/computed/0/name", "1 to 63 letters"},
		{"{\"name\":\"a\",\"sha256\":\"{{card_number}}\",\"as\":\"hex\"}", "/computed/0/sha256",
		 "card data must not stand in a computed value"},
	};
	static const char of_body[] =
		"\"computed\":[{\"name\":\"d\",\"sha256\":\"{{body}}\",\"as\":\"hex\"},{\"name\":\"s\",\"text\":\"x\"},"
		"{\"name\":\"e\",\"sha512\":\"{{computed.d}}\",\"as\":\"hex\"}],";
	char top[500];

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		snprintf(top, sizeof(top), "\"computed\":[%s],", cases[i][0]);
		refused(document(2, top, "/c", "", ""), cases[i][1], cases[i][2]);
	}
	refused(document(1, "\"computed\":[],", "/c", "", ""), "/computed", "needs version 2");
	refused(document(2, of_body, "/c", "", "\"d\":\"{{computed.e}}\""), "/operations/charge/body/d",
			"is made of the body and cannot stand in it");
	refused(document(2, of_body, "/c/{{computed.s}}", "", ""), "/operations/charge/path",
			"must not stand in a path");
	refused(document(2, "", "/c", "\"B\":\"{{body}}\"", ""), "/operations/charge/headers/B",
			"{{body}} stands in \"computed\" only");
	refused(document(2, "", "/c", "\"B\":\"{{computed.x}}\"", ""), "/operations/charge/headers/B",
			"there is no {{computed.x}}: it must stand in \"computed\"");
}

/* What everybody can read who reads the tables signs nothing. */
static void
test_keys_are_secret(void **state)
{
	static const char *const open[] = {"key", "{{settings.key}}", "{{merchant}}", "{{computed.c}}"};
	static const char *const secret[] = {"{{secret.k}}", "v1{{secret.k}}", "{{computed.s}}",
										 "{{computed.d}}"};
	char top[600];

	(void) state;
	for (size_t i = 0; i < LENGTH(open); i++)
	{
		for (int k = 0; k < 2; k++)
		{
			snprintf(
				top, sizeof(top),
				"\"computed\":[{\"name\":\"c\",\"text\":\"{{currency}}\"},{\"name\":\"s\",\"text\":\"AWS4{{secret.k}}\"},"
				"{\"name\":\"d\",\"hmac_sha256\":{\"key\":\"{{computed.s}}\",\"text\":\"{{now|epoch}}\"},\"as\":\"hex\"},"
				"{\"name\":\"a\",\"hmac_sha512\":{\"key\":\"%s\",\"text\":\"{{secret.k}}\"},\"as\":\"hex\"}],",
				k == 0 ? open[i] : secret[i]);
			if (k == 0)
				refused(document(2, top, "/c", "", ""), "/computed/3/hmac_sha512/key",
						"a value of the secret's file");
			else
				pgw_connector_free(compile(document(2, top, "/c", "", "")));
		}
	}
}

/* What a bank must not say again: digests of the body, not what a key stands in. */
static void
test_digests_noted(void **state)
{
	static const char three[] =
		"\"computed\":[{\"name\":\"d\",\"sha256\":\"{{body}}\",\"as\":\"hex\"},{\"name\":\"e\",\"sha512\":\"x{{computed.d}}\",\"as\":\"hex\"},"
		"{\"name\":\"f\",\"%s\":%s,\"as\":\"hex\"},{\"name\":\"g\",\"sha256\":\"{{path}}\",\"as\":\"hex\"}],";
	static const char all[] =
		"\"D\":\"{{computed.d}}\",\"E\":\"{{computed.e}}{{computed.e}}\",\"F\":\"{{computed.f}}\",\"G\":\"{{computed.g}}\"";
	PgwSecretValues secrets = {.n = 1, .values = {{"k", "key"}}};
	PgwCallParams p = {.currency = "EUR", .iso_exponent = 2, .token = "tok", .secrets = &secrets};
	PgwConnector *c;
	char top[800];

	(void) state;
	snprintf(top, sizeof(top), three, "hmac_sha256",
			 "{\"key\":\"{{secret.k}}\",\"text\":\"{{body}}\"}");
	c = compile(document(2, top, "/c", all, ""));
	render(c, PGW_OP_CHARGE, &p);
	assert_int_equal(rendered.ndigests, 2);
	assert_string_equal(rendered.digests[0], header("D"));
	assert_int_equal(strlen(rendered.digests[1]), 128);
	assert_memory_equal(rendered.digests[1], header("E"), 128);
	pgw_rendered_free(&rendered);
	assert_int_equal(rendered.ndigests, 0);
	assert_string_equal(rendered.digests[0], "");
	pgw_connector_free(c);
	snprintf(top, sizeof(top), three, "sha256", "\"{{body}}\"");
	refused(document(2, top, "/c", all, ""), "/computed/2", "more than 2 digests");
}

/* ---- the order of members ---- */

/* Some banks validate it, and a jsonb would have ordered them by their length. */
static void
test_order(void **state)
{
	static const char body[] =
		"\"zz\":{\"b\":1,\"a\":[{\"y\":\"{{transaction_ref}}\",\"x\":\"{{reason}}\",\"w\":2}]},\"a\":0,\"B\":-1.50";
	PgwConnector *c = compile(document(2, "", "/c", "", body));
	const PgwCallParams p = {.token = "tok", .transaction_ref = "r"};

	(void) state;
	render(c, PGW_OP_CHARGE, &p);
	assert_string_equal(
		rendered.body.data,
		"{\"t\":\"tok\",\"zz\":{\"b\":1,\"a\":[{\"y\":\"r\",\"w\":2}]},\"a\":0,\"B\":-1.50}");
	pgw_rendered_free(&rendered);
	pgw_connector_free(c);
}

/* ---- amounts that must be a multiple ---- */

/* In the bank's unit: where that is the hundredth of the currency's, of hundreds of it. */
static void
test_multiples(void **state)
{
	static const struct
	{
		const char *currency;
		int iso_exponent;
		int64_t amount;
		const char *sent; /* NULL: nothing */
	} cases[] = {
		{"KWD", 3, 1230, "1230"}, {"KWD", 3, 1234, NULL}, {"KWD", 3, 10, "10"},
		{"KWD", 3, 1, NULL},      {"ISK", 0, 5, "500"},   {"ISK", 0, 1, "100"},
		{"UGX", 0, 500, "500"},   {"UGX", 0, 550, NULL},  {"EUR", 2, 1, "1"},
	};
	static const char caps[] =
		"{\"v\":2,\"capabilities\":{\"tokens\":true,\"exponents\":{\"ISK\":2},\"amount_multiple\":{\"KWD\":10,\"ISK\":100,\"UGX\":100}},"
		"\"operations\":{\"charge\":{\"method\":\"POST\",\"path\":\"/c\",\"body\":{\"t\":\"{{token}}\",\"a\":\"{{amount}}\"},"
		"\"answer\":{\"rules\":[{\"status\":200,\"outcome\":\"approved\"}]}}}}";
	PgwConnector *c = compile(caps);
	char body[100];

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		const PgwCallParams p = {.token = "t",
								 .amount = cases[i].amount,
								 .has_amount = true,
								 .currency = cases[i].currency,
								 .iso_exponent = cases[i].iso_exponent};

		pgw_rendered_init(&rendered);
		assert_int_equal(pgw_connector_render(c, PGW_OP_CHARGE, &p, &rendered, &err),
						 cases[i].sent != NULL);
		if (cases[i].sent == NULL)
			assert_non_null(strstr(err.message, "cannot be said exactly"));
		else
		{
			snprintf(body, sizeof(body), "{\"t\":\"t\",\"a\":%s}", cases[i].sent);
			assert_string_equal(rendered.body.data, body);
		}
		pgw_rendered_free(&rendered);
	}
	pgw_connector_free(c);
}

static void
test_multiples_refused(void **state)
{
	static const char *const cases[][3] = {
		{"{\"XXQ\":10}", "/capabilities/amount_multiple/XXQ", "ISO 4217"},
		{"{\"KWD\":1}", "/capabilities/amount_multiple/KWD", "from 2 to 1000000"},
		{"{\"KWD\":\"10\"}", "/capabilities/amount_multiple/KWD", "from 2 to 1000000"},
		{"[]", "/capabilities/amount_multiple", "must be an object"},
	};
	char text[200];

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		snprintf(text, sizeof(text),
				 "{\"v\":2,\"capabilities\":{\"tokens\":true,\"amount_multiple\":%s}}",
				 cases[i][0]);
		refused(text, cases[i][1], cases[i][2]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_secrets),
		cmocka_unit_test(test_secrets_refused),
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_filters_at_the_rim),
		cmocka_unit_test(test_nonce),
		cmocka_unit_test(test_filters_refused),
		cmocka_unit_test(test_computed),
		cmocka_unit_test(test_computed_keys),
		cmocka_unit_test(test_computed_refused),
		cmocka_unit_test(test_keys_are_secret),
		cmocka_unit_test(test_digests_noted),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_multiples),
		cmocka_unit_test(test_multiples_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
