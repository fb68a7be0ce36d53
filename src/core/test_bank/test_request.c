/*
 * test_request.c - a request to the bank inside the worker, read into an order
 *
 * The request may hold a card's number: it is read where it stands, and what is kept of it are the
 * brand and the last four digits.  The fingerprint, by which a key's other use is found, is made of
 * the order and not of the bytes: a hash of them would be a hash of the number.
 *
 * Owns nothing.
 */
#include <stdio.h>
#include <string.h>

#include "core/card/card_checks.h"
#include "core/json/json_text.h"
#include "core/test_bank/test_bank.h"

#define MAX_NESTING 16
#define MAX_AMOUNT INT64_C(1000000000000)
#define MAX_DIGITS 20
#define MAX_TOKEN 64

static bool
bad(PgwTestAnswer *a, const char *message)
{
	pgw_test_refuse(a, 400, "invalid_request", message);
	return false;
}

/* A member that is a text which fits; false: there is none. */
static bool
text_of(const PgwJson *object, const char *name, char *dst, size_t size)
{
	PgwJson value;
	size_t len;

	dst[0] = '\0';
	if (!pgw_json_member(object, name, &value) || pgw_json_type(&value) != PGW_JSON_STRING)
		return false;
	len = pgw_json_text(&value, dst, size - 1);
	dst[len < size ? len : size - 1] = '\0';
	return len < size;
}

static bool
is_reference(const char *s, size_t len)
{
	return len >= 1 && len < PGW_TEST_REFERENCE &&
		   strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") >= len;
}

static void
take_fault(PgwTestOrder *o, const char *token)
{
	if (pgw_fault_by_token(token, &o->fault))
		snprintf(o->fault_name, sizeof(o->fault_name), "%s", token);
}

/* What is wrong with the card; NULL: nothing. */
static const char *
take_card(PgwTestOrder *o, const PgwJson *card, int64_t now)
{
	char number[MAX_DIGITS];
	size_t len;
	PgwJson value;
	int64_t month = 0;
	int64_t year = 0;
	const char *token;
	const char *wrong = NULL;

	if (!text_of(card, "number", number, sizeof(number)))
		wrong = "no valid card number";
	len = strlen(number);
	if (wrong == NULL && (len < 12 || len > 19 || strspn(number, "0123456789") != len))
		wrong = "no valid card number";
	else if (wrong == NULL && !pgw_luhn_ok(number, len))
		wrong = "the check digit of the card number is wrong";
	else if (wrong == NULL)
	{
		snprintf(o->last4, sizeof(o->last4), "%s", number + len - 4);
		snprintf(o->brand, sizeof(o->brand), "%s",
				 pgw_card_brand_name(pgw_card_brand(number, len)));
		token = pgw_token_of_card(number);
		take_fault(o, token != NULL ? token : "tok_ok");
	}
	explicit_bzero(number, sizeof(number));
	if (wrong != NULL)
		return wrong;
	if (!pgw_json_member(card, "expiry_month", &value) || !pgw_json_integer(&value, 0, &month) ||
		!pgw_json_member(card, "expiry_year", &value) || !pgw_json_integer(&value, 0, &year) ||
		month < 1 || month > 12 || year < 0 || year > 9999)
		return "no valid expiry date";
	if (o->fault.kind == PGW_FAULT_NONE &&
		pgw_card_expired((int) month, (int) (year < 100 ? year + 2000 : year), now / 1000))
		take_fault(o, "tok_decline_expired_card");
	return NULL;
}

static bool
read_source(PgwTestOrder *o, const PgwJson *body, int64_t now, PgwTestAnswer *a)
{
	PgwJson source;
	PgwJson card;
	char token[MAX_TOKEN];
	const char *wrong = NULL;
	const char *reserved;

	if (!pgw_json_member(body, "source", &source))
		return bad(a, "source is missing");
	if (text_of(&source, "token", token, sizeof(token)))
	{
		take_fault(o, token);
		if (o->fault_name[0] == '\0')
			wrong = "unknown token: see docs/bank-protocol.md";
		strcpy(o->brand, "visa");
		strcpy(o->last4, "4242");
	}
	else if (pgw_json_member(&source, "card", &card))
		wrong = take_card(o, &card, now);
	else
		wrong = "source has neither token nor card";
	if (wrong != NULL)
		return bad(a, wrong);
	reserved = pgw_token_of_amount(o->amount);
	if (o->fault.kind == PGW_FAULT_NONE && reserved != NULL)
		take_fault(o, reserved);
	return true;
}

static bool
read_amount(PgwTestOrder *o, const PgwJson *body, bool needed, PgwTestAnswer *a)
{
	PgwJson value;

	if (!pgw_json_member(body, "amount", &value))
		return !needed || bad(a, "amount is missing");
	if (!pgw_json_integer(&value, 0, &o->amount))
		return bad(a, "amount must be a whole number of minor units");
	return (o->amount >= 1 && o->amount <= MAX_AMOUNT) || bad(a, "amount is out of range");
}

static bool
read_fields(PgwTestOrder *o, const PgwJson *body, int64_t now, PgwTestAnswer *a)
{
	bool is_new = o->op == PGW_TEST_OP_CHARGE || o->op == PGW_TEST_OP_AUTHORIZE;
	bool by_reference = is_new || o->op == PGW_TEST_OP_CANCEL;

	if (!read_amount(o, body, is_new, a))
		return false;
	if (text_of(body, "currency", o->currency, sizeof(o->currency))
			? strspn(o->currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 3
			: is_new)
		return bad(a, "currency must be three capital letters");
	if (text_of(body, "reference", o->reference, sizeof(o->reference))
			? !is_reference(o->reference, strlen(o->reference))
			: by_reference)
		return bad(a, "reference must be 1 to 64 letters and digits");
	if (by_reference)
		pgw_test_id(o->charge_id, "ch", o->reference);
	return !is_new || read_source(o, body, now, a);
}

/* "/v1/charges?reference=R" and its kin. */
static bool
route_look(PgwTestOrder *o, const char *path, PgwTestAnswer *a)
{
	static const struct
	{
		const char *path;
		PgwTestOp op;
	} looks[] = {{"/v1/charges?reference=", PGW_TEST_OP_LOOKUP_CHARGE},
				 {"/v1/captures?reference=", PGW_TEST_OP_LOOKUP_CAPTURE},
				 {"/v1/refunds?reference=", PGW_TEST_OP_LOOKUP_REFUND}};

	if (strcmp(path, "/v1/ping") == 0)
	{
		o->op = PGW_TEST_OP_PING;
		return true;
	}
	for (int i = 0; i < 3; i++)
	{
		size_t len = strlen(looks[i].path);

		if (strncmp(path, looks[i].path, len) != 0)
			continue;
		o->op = looks[i].op;
		if (!is_reference(path + len, strlen(path + len)))
			return bad(a, "reference is missing or not valid");
		snprintf(o->reference, sizeof(o->reference), "%s", path + len);
		if (o->op == PGW_TEST_OP_LOOKUP_CHARGE)
			pgw_test_id(o->charge_id, "ch", o->reference);
		return true;
	}
	if (strncmp(path, "/v1/charges/", 12) == 0 && is_reference(path + 12, strlen(path + 12)))
	{
		o->op = PGW_TEST_OP_LOOKUP_CHARGE;
		snprintf(o->charge_id, sizeof(o->charge_id), "%s", path + 12);
		return true;
	}
	pgw_test_refuse(a, 404, "not_found", "no such operation");
	return false;
}

static bool
route_order(PgwTestOrder *o, const char *path, PgwTestAnswer *a)
{
	const char *id = path + 12;
	const char *rest;
	bool known = true;

	if (strcmp(path, "/v1/charges") == 0)
		o->op = PGW_TEST_OP_CHARGE;
	else if (strcmp(path, "/v1/authorizations") == 0)
		o->op = PGW_TEST_OP_AUTHORIZE;
	else if (strcmp(path, "/v1/cancellations") == 0)
		o->op = PGW_TEST_OP_CANCEL;
	else if (strncmp(path, "/v1/charges/", 12) == 0 && (rest = strchr(id, '/')) != NULL &&
			 rest - id < PGW_TEST_ID)
	{
		snprintf(o->charge_id, sizeof(o->charge_id), "%.*s", (int) (rest - id), id);
		if (strcmp(rest, "/capture") == 0)
			o->op = PGW_TEST_OP_CAPTURE;
		else if (strcmp(rest, "/void") == 0)
			o->op = PGW_TEST_OP_VOID;
		else if (strcmp(rest, "/refunds") == 0)
			o->op = PGW_TEST_OP_REFUND;
		else
			known = false;
	}
	else
		known = false;
	if (!known)
		pgw_test_refuse(a, 404, "not_found", "no such operation");
	return known;
}

static uint64_t
hash(uint64_t h, const void *data, size_t len)
{
	for (const unsigned char *p = data; len > 0; p++, len--)
		h = (h ^ *p) * UINT64_C(1099511628211);
	return h;
}

static void
take_fingerprint(PgwTestOrder *o)
{
	uint64_t h = hash(UINT64_C(14695981039346656037), &o->op, sizeof(o->op));

	h = hash(h, o->charge_id, strlen(o->charge_id) + 1);
	h = hash(h, o->reference, strlen(o->reference) + 1);
	h = hash(h, &o->amount, sizeof(o->amount));
	h = hash(h, o->currency, strlen(o->currency) + 1);
	h = hash(h, o->fault_name, strlen(o->fault_name) + 1);
	h = hash(h, o->last4, strlen(o->last4) + 1);
	o->fingerprint = (int64_t) h;
}

bool
pgw_test_order_read(PgwTestOrder *o, const PgwTestRequest *req, PgwTestAnswer *a)
{
	PgwJson body = {0};

	memset(o, 0, sizeof(*o));
	o->amount = -1;
	o->fault.arg = -1;
	if (strcmp(req->method, "GET") == 0)
		return route_look(o, req->path, a);
	if (strcmp(req->method, "POST") != 0)
	{
		pgw_test_refuse(a, 405, "method_not_allowed", "only GET and POST");
		return false;
	}
	if (!route_order(o, req->path, a))
		return false;
	if (req->key != NULL)
	{
		if (!is_reference(req->key, strlen(req->key)))
			return bad(a, "the idempotency key must be 1 to 64 letters and digits");
		snprintf(o->key, sizeof(o->key), "%s", req->key);
	}
	if (req->body_len > 0 &&
		(pgw_json_read(req->body, req->body_len, MAX_NESTING, &body) != PGW_JSON_GOOD ||
		 pgw_json_type(&body) != PGW_JSON_OBJECT))
		return bad(a, "the body is not a JSON object");
	if (!read_fields(o, &body, req->now, a))
		return false;
	take_fingerprint(o);
	return true;
}
