/*
 * fuzz_validate.c - libFuzzer over what reads free text: card numbers in text, decimals, UUIDs, and
 * a whole request
 *
 * Besides memory errors it looks for broken promises: a decimal that was read must come back the
 * same when written and read again, a UUID likewise, a card number put behind any text on a line of
 * its own must be found, and a request's faults must be one JSON array of as many members as were
 * counted, without the card number.
 */
#include <json-c/json.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/money.h"
#include "core/base/uuid7.h"
#include "core/card/card_text.h"
#include "core/request/validate.h"

#define CARD "4111111111111111"

static void
require(bool ok)
{
	if (!ok)
		abort();
}

static void
fuzz_decimal(const char *text, int exponent)
{
	int64_t value;
	int64_t again;
	char buf[32];
	bool whole = pgw_money_from_numeric(text, &value) == PGW_AMOUNT_OK;

	require(pgw_money_from_decimal(text, 0, &again) == whole && (!whole || again == value));
	if (!pgw_money_from_decimal(text, exponent, &value))
		return;
	require(pgw_money_to_decimal(value, exponent, buf, sizeof(buf)));
	require(pgw_money_from_decimal(buf, exponent, &again) && again == value);
	if (pgw_money_rescale(value, exponent, 2, &again))
		require(pgw_money_rescale(again, 2, exponent, &again) && again == value);
}

static void
fuzz_uuid(const char *text)
{
	uint8_t uuid[16];
	uint8_t again[16];
	char buf[37];

	if (!pgw_uuid_from_text(text, uuid))
		return;
	pgw_uuid_to_text(uuid, buf);
	require(pgw_uuid_from_text(buf, again) && memcmp(uuid, again, 16) == 0);
	pgw_uuid_to_hex32(uuid, buf);
	require(pgw_uuid_from_text(buf, again) && memcmp(uuid, again, 16) == 0);
}

static void
fuzz_request(const char *text, unsigned which)
{
	PgwPaymentArgs r = {
		.client_request_id = "id",
		.amount = 1,
		.currency = "EUR",
		.card_number = CARD,
		.card_expiry_month = 1,
		.card_expiry_year = 2090,
		.capture = "manual",
		.metadata = "{}",
		.bank_fields = "{}",
		.timeout_isnull = true,
		.merchant = "m",
		.options = "{}",
	};
	const char **fields[] = {&r.client_request_id, &r.currency,    &r.token,      &r.card_cvv,
							 &r.card_holder,       &r.bank,        &r.capture,    &r.reference,
							 &r.metadata,          &r.bank_fields, &r.on_failure, &r.merchant,
							 &r.options,           &r.card_number};
	PgwCheckedArgs out;
	PgwBuf b;
	int n;
	struct json_object *parsed;

	*fields[which % (sizeof(fields) / sizeof(fields[0]))] = text;
	pgw_buf_init(&b, 0);
	n = pgw_validate_payment_args(&r, 1795430000, &out, &b);
	require(!b.failed && strstr(b.data, CARD) == NULL);
	require(n > 0 || strstr(out.says.end_user, CARD) == NULL);
	require(strstr(out.says.not_a_card, CARD) == NULL);
	parsed = json_tokener_parse(b.data);
	require(parsed != NULL && (int) json_object_array_length(parsed) == n);
	json_object_put(parsed);
	pgw_buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;
	size_t len;

	if (size < 1)
		return 0;
	len = size - 1;
	text = malloc(len + sizeof("\n" CARD));
	if (text == NULL)
		return 0;
	memcpy(text, data + 1, len);
	(void) pgw_text_has_card_number((const char *) data, size); /* no NUL behind it */
	memcpy(text + len, "\n" CARD, sizeof("\n" CARD));
	require(pgw_text_has_card_number(text, len + sizeof("\n" CARD) - 1));
	text[len] = '\0';
	fuzz_decimal(text, data[0] % 21 - 1);
	fuzz_uuid(text);
	fuzz_request(text, data[0]);
	free(text);
	return 0;
}
