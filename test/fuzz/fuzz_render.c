/*
 * fuzz_render.c - any values in the placeholders, with and without the typed ones
 *
 * Input: flags, amount, then texts separated by NUL.  Checks what a server on the other side relies
 * on: no control character in a header or path, bodies that are JSON again, and no trace of the
 * card after pgw_rendered_free() and reuse.
 */
#include <json-c/json.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/bank_message/render_request.h"
#include "core/connector/connector.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NTEXTS 11

static const char json_document[] =
	"{\"v\":1,\"capabilities\":{\"cards\":true,\"tokens\":true,\"exponents\":{\"KWD\":2}},\"headers\":{\"A\":\"B {{secret}}\",\"C\":\"{{settings.h}}{{reference}}\"},"
	"\"operations\":{\"charge\":{\"method\":\"POST\",\"path\":\"/a/{{merchant}}/b?c={{currency}}\",\"body\":"
	"{\"n\":\"{{amount}}\",\"d\":\"{{amount_decimal}}\",\"s\":{\"t\":\"{{token}}\",\"c\":{\"p\":\"{{card_number}}\",\"m\":\"{{card_expiry_month}}\","
	"\"y\":\"{{card_expiry_year}}\",\"v\":\"{{card_cvv}}\",\"h\":\"{{card_holder}}\"}},\"mix\":\"<{{reference}}:{{card_expiry_mmyy}}>\","
	"\"x\":[\"{{bank_fields.x}}\",\"{{settings.y}}\"],\"last\":\"{{reason}}\"},"
	"\"answer\":{\"rules\":[{\"status\":200,\"outcome\":\"approved\"}]}}}}";

static const char form_document[] =
	"{\"v\":1,\"capabilities\":{\"cards\":true,\"tokens\":true},"
	"\"operations\":{\"charge\":{\"method\":\"POST\",\"path\":\"/f\",\"encoding\":\"form\",\"body\":"
	"{\"a\":\"{{amount_decimal}}\",\"t\":\"{{token}}\",\"p\":\"{{card_number}}\",\"e\":\"{{card_expiry_mmyy}}\",\"h\":\"{{card_holder}}\",\"x y\":\"{{bank_fields.x}}\"},"
	"\"answer\":{\"rules\":[{\"status\":200,\"outcome\":\"approved\"}]}}}}";

/* What only version 2 has. */
static const char second_document[] =
	"{\"v\":2,\"capabilities\":{\"cards\":true,\"tokens\":true,\"token_objects\":true},"
	"\"computed\":[{\"name\":\"d\",\"sha256\":\"{{body}}\",\"as\":\"base64\"},{\"name\":\"m\",\"hmac_sha512\":{\"key\":\"{{secret.key}}\",\"key_as\":\"plain\","
	"\"text\":[\"{{method}}{{host}}{{path}}\",\"{{reference}}{{computed.d}}\"]},\"as\":\"hex\"},{\"name\":\"t\",\"text\":\"{{merchant}}:{{secret.user}}\"}],"
	"\"headers\":{\"A\":\"{{secret.user}}:{{secret.key}}\",\"D\":\"{{computed.d}}\",\"T\":\"{{computed.t}}\"},"
	"\"operations\":{\"charge\":{\"method\":\"POST\",\"path\":\"/s\",\"headers\":{\"M\":\"{{computed.m}}\"},\"body\":"
	"{\"t\":\"{{token}}\",\"o\":[\"{{token.}}\",\"{{token./a}}\",\"{{token./a/0|string}}\",\"{{token./b/c|hex}}\"],\"p\":\"{{card_number}}\",\"u\":\"{{secret.user}}\",\"k\":\"<{{secret.key}}>\","
	"\"a\":\"{{amount_decimal|number}}\",\"c\":\"{{currency|numeric|number}}\",\"e\":\"{{card_expiry|MM/YY}}\",\"m\":\"{{card_expiry|YY|number}}\","
	"\"r\":\"{{reference|base64}}\",\"h\":\"{{card_holder|hex}}\",\"b\":\"{{card_brand}}\",\"x\":\"{{bank_fields.x|string}}\","
	"\"w\":{\"{{customer./phone}}\":[\"{{customer./email}}\",\"<{{customer./ip}}>\",\"{{customer./browser/browserTZ}}\",\"{{customer./name|base64}}\"],\"{{customer.}}\":\"{{customer.}}\"},"
	"\"n\":[\"{{now|rfc1123}}\",\"{{now|epoch|number}}\",\"{{nonce}}\"]},"
	"\"answer\":{\"rules\":[{\"status\":200,\"outcome\":\"approved\"}]}}}}";

static PgwConnector *
compile(const char *text)
{
	PgwConnectorError err;
	PgwConnector *c = pgw_connector_compile(text, strlen(text), &err);

	if (c == NULL)
		abort();
	return c;
}

static void
check_plain(const PgwBuf *b, unsigned char highest)
{
	for (size_t i = 0; i < b->len; i++)
	{
		unsigned char ch = (unsigned char) b->data[i];

		if ((ch < 0x20 && ch != '\t') || ch == 0x7F || ch > highest)
			abort();
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static PgwConnector *banks[3];
	static const char *const currencies[] = {"EUR", "JPY", "KWD", NULL};
	static const int exponents[] = {2, 0, 3, 2};
	const char *texts[NTEXTS] = {NULL};
	PgwCallParams p = {0};
	PgwSecretValues secrets = {0};
	PgwRendered r;
	PgwConnectorError err;
	char *copy;
	uint8_t flags;

	if (banks[0] == NULL)
	{
		banks[0] = compile(json_document);
		banks[1] = compile(form_document);
		banks[2] = compile(second_document);
	}
	if (size < 12)
		return 0;
	flags = data[0];
	memcpy(&p.amount, data + 1, 8);
	p.has_amount = (flags & 1) != 0;
	p.card_expiry_month = data[9] % 15;
	p.card_expiry_year = data[10] == 0 ? 0 : 2000 + data[10];
	p.currency = currencies[data[11] & 3];
	p.iso_exponent = exponents[data[11] & 3];
	copy = malloc(size - 12 + 1);
	memcpy(copy, data + 12, size - 12);
	copy[size - 12] = '\0';
	for (size_t i = 0, at = 0; i < NTEXTS && at < size - 12; i++)
	{
		if (copy[at] != '\x01') /* this one alone: no value */
			texts[i] = copy + at;
		at += strlen(copy + at) + 1;
	}
	p.token = texts[0];
	p.card_number = texts[1];
	p.card_cvv = texts[2];
	p.card_holder = texts[3];
	if (texts[4] != NULL)
		secrets = (PgwSecretValues){3, {{"", texts[4]}, {"user", texts[4]}, {"key", texts[5]}}};
	p.secrets = &secrets;
	p.base_url = "https://h.example/b";
	p.transaction_ref = texts[7];
	memcpy(&p.now, data + 3, 8);
	p.reference = texts[5];
	p.merchant = texts[6];
	p.reason = texts[7];
	p.bank_fields = texts[8];
	p.settings = texts[9];
	p.customer = texts[10];

	pgw_rendered_init(&r);
	for (int i = 0; i < 3; i++)
	{
		const PgwConnector *c = banks[i];

		if (!pgw_connector_render(c, PGW_OP_CHARGE, &p, &r, &err))
		{
			if (err.message[0] == '\0' || err.pointer[0] != '/' || r.body.len != 0 ||
				r.nheaders != 0)
				abort();
			continue;
		}
		check_plain(&r.path, 0x7E);
		if (r.path.data[0] != '/')
			abort();
		for (int h = 0; h < r.nheaders; h++)
			check_plain(&r.headers[h], 0xFF);
		if (r.has_body != (r.body.len > 0) || (r.has_body && strlen(r.body.data) != r.body.len))
			abort();
		for (size_t at = r.body.len; at < r.body.cap; at++)
		{
			if (r.body.data[at] != '\0')
				abort(); /* something taken back was left */
		}
		if (i != 1 && r.has_body)
		{
			enum json_tokener_error e;
			json_object *again = json_tokener_parse_verbose(r.body.data, &e);

			if (again == NULL || !json_object_is_type(again, json_type_object))
				abort();
			json_object_put(again);
		}
		if (i == 1)
			check_plain(&r.body, 0x7E);
	}
	pgw_rendered_free(&r);
	free(copy);
	return 0;
}
