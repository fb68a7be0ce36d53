/*-------------------------------------------------------------------------
 *
 * form.c
 *		The second dialect, "formbank": form-encoded requests under /form.
 *
 * It has no look-up and no idempotency, amounts are decimal text, and a
 * failure looks like an answer: HTTP 200 with code 96.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bank.h"

static const struct
{
	const char *code; /* of the reference dialect */
	int status;
	const char *resp;
	const char *text;
} codes[] = {{"insufficient_funds", 402, "51", "INSUFFICIENT FUNDS"},
			 {"do_not_honor", 402, "05", "DO NOT HONOR"},
			 {"lost_card", 402, "41", "LOST CARD"},
			 {"expired_card", 402, "54", "EXPIRED CARD"},
			 {"fraud", 402, "59", "SUSPECTED FRAUD"},
			 {"authentication_required", 402, "1A", "AUTHENTICATION REQUIRED"},
			 {"invalid_request", 400, "30", "FORMAT ERROR"},
			 {"unauthorized", 401, "58", "NOT PERMITTED"},
			 {"not_found", 404, "25", "UNKNOWN TRANSACTION"},
			 {"internal_error", 200, "96", "SYSTEM MALFUNCTION"},
			 {"not_processed", 200, "91", "NOT PROCESSED"},
			 {"rate_limited", 200, "91", "NOT PROCESSED"},
			 {"amount_too_large", 402, "61", "AMOUNT TOO LARGE"},
			 {"authorization_expired", 402, "79", "AUTHORIZATION EXPIRED"},
			 {"not_settled", 402, "40", "NOT SETTLED YET"},
			 {"already_captured", 402, "12", "ALREADY SETTLED"},
			 {"already_voided", 402, "12", "ALREADY CANCELLED"},
			 {"already_refunded", 402, "12", "ALREADY CREDITED"},
			 {"refund_refused", 402, "57", "CREDIT REFUSED"},
			 {"capture_refused", 402, "57", "SETTLEMENT REFUSED"},
			 {"void_refused", 402, "57", "CANCELLATION REFUSED"}};

static void
put_resp(Request *req, int status, const char *code, const char *text)
{
	req->status = status;
	req->answered = true;
	req->out.len = 0;
	buf_printf(&req->out, "{\"resp\":{\"code\":\"%s\",\"text\":\"%s\"}}", code, text);
}

void
form_error(Request *req, int status, const char *code, const char *message)
{
	(void) status;
	(void) message;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
	{
		if (strcmp(codes[i].code, code) == 0)
		{
			put_resp(req, codes[i].status, codes[i].resp, codes[i].text);
			return;
		}
	}
	put_resp(req, 402, "12", "INVALID TRANSACTION");
}

/* Copy one decoded field out of the body; NULL if it is missing or too long. */
static const char *
field(const Request *req, const char *name, char *dst, size_t size)
{
	const char *p = req->body.data;
	size_t len = strlen(name);

	while (p != NULL && *p != '\0')
	{
		const char *next = strchr(p, '&');
		size_t n = 0;

		if (strncmp(p, name, len) == 0 && p[len] == '=')
		{
			for (p += len + 1; *p != '\0' && *p != '&'; p++)
			{
				char c = *p;

				if (c == '+')
					c = ' ';
				else if (c == '%' && hex_digit(p[1]) >= 0 && hex_digit(p[2]) >= 0)
				{
					c = (char) (hex_digit(p[1]) * 16 + hex_digit(p[2]));
					p += 2;
				}
				if (n + 1 >= size || c == '\0')
					return NULL;
				dst[n++] = c;
			}
			dst[n] = '\0';
			return dst;
		}
		p = next ? next + 1 : NULL;
	}
	return NULL;
}

static bool
bad(Request *req)
{
	answer_error(req, 400, "invalid_request", "wrong field");
	return false;
}

static bool
parse_amount(Request *req, const char *currency)
{
	char text[32];

	if (field(req, "amount", text, sizeof(text)) == NULL &&
		field(req, "amt", text, sizeof(text)) == NULL)
		return true;
	req->order.amount = decimal_amount(text, decimal_digits(currency));
	return req->order.amount > 0;
}

static bool
parse_pay(Request *req)
{
	Order *o = &req->order;
	char text[128];
	const char *token;

	if (field(req, "op", text, sizeof(text)) == NULL)
		return bad(req);
	if (strcmp(text, "auth") == 0)
		o->op = OP_AUTHORIZE;
	else if (strcmp(text, "sale") != 0)
		return bad(req);
	if (field(req, "cur", text, 4) == NULL || strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 3)
		return bad(req);
	memcpy(o->currency, text, 4);
	if (!parse_amount(req, o->currency) || o->amount < 0)
		return bad(req);
	if (field(req, "ref", text, 65) == NULL || text[0] == '\0' ||
		strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") !=
			strlen(text))
		return bad(req);
	o->reference = xstrdup(text);
	o->merchant = xstrdup(field(req, "merchant", text, sizeof(text)));
	if (field(req, "tok", text, sizeof(text)) != NULL)
	{
		if (order_token(o, text) != NULL)
			return bad(req);
	}
	else
	{
		char pan[20];
		char expiry[8];
		int month;
		int year;

		if (field(req, "pan", pan, sizeof(pan)) == NULL ||
			field(req, "exp", expiry, sizeof(expiry)) == NULL ||
			(sscanf(expiry, "%2d/%2d", &month, &year) != 2 &&
			 sscanf(expiry, "%2d%2d", &month, &year) != 2) ||
			order_card(o, pan, month, year) != NULL)
			return bad(req);
	}
	token = pgw_token_of_amount(o->amount);
	if (o->fault.kind == PGW_FAULT_NONE && token != NULL)
		(void) pgw_fault_by_token(token, &o->fault);
	return true;
}

/* Read a request into its order; false = answered already. */
bool
form_parse(Request *req)
{
	Order *o = &req->order;
	const char *path = req->path + 5;
	char text[256];
	const Charge *c;

	if (strcmp(path, "/pay") == 0)
		o->op = OP_CHARGE;
	else if (strcmp(path, "/settle") == 0)
		o->op = OP_CAPTURE;
	else if (strcmp(path, "/cancel") == 0)
		o->op = OP_VOID;
	else if (strcmp(path, "/credit") == 0)
		o->op = OP_REFUND;
	if (req->body_too_large || o->op == OP_OTHER || strcmp(req->method, "POST") != 0)
		return bad(req);
	if (field(req, "api_key", text, sizeof(text)) == NULL || strcmp(text, settings.secret) != 0)
	{
		answer_error(req, 401, "unauthorized", "wrong key");
		return false;
	}
	if (o->op == OP_CHARGE)
		return parse_pay(req);
	if (field(req, "txn", text, 64) == NULL)
		return bad(req);
	o->charge_id = xstrdup(text);
	o->reference = xstrdup(field(req, "ref", text, 65));
	c = charge_by_id(o->charge_id);
	if (c != NULL && !parse_amount(req, c->currency))
		return bad(req);
	return true;
}

void
form_answer(Request *req, const Outcome *out, const Fault *fault)
{
	const Charge *c = out->charge;
	Buf *b = &req->out;
	const char *currency;
	int64_t amount;
	int digits;

	if (out->http != 0)
	{
		form_error(req, out->http, out->code, out->message);
		return;
	}
	if (c->error != NULL || (out->step != NULL && out->step->status == RE_FAILED))
	{
		form_error(req, 402, c->error ? c->error : out->step->error, "");
		return;
	}
	amount = out->step != NULL ? out->step->amount : c->amount;
	if (fault->kind == PGW_FAULT_WRONG_AMOUNT)
		amount += 100;
	currency = c->currency;
	digits = decimal_digits(currency);
	if (fault->kind == PGW_FAULT_WRONG_CURRENCY)
		currency = strcmp(currency, "USD") == 0 ? "EUR" : "USD";
	req->status = 200;
	buf_printf(b, "{\"resp\":{%s\"code\":\"%s\",\"auth\":\"%s\",",
			   fault->kind == PGW_FAULT_DOUBLE_KEYS ? "\"code\":\"05\"," : "",
			   c->status == CH_PENDING || (out->step != NULL && out->step->status == RE_PENDING)
				   ? "09"
				   : "00",
			   c->auth_code);
	if (fault->kind != PGW_FAULT_NO_IDS)
		buf_printf(b, "\"txn\":\"%s\",", c->id);
	if (out->step != NULL && fault->kind != PGW_FAULT_NO_IDS)
		buf_printf(b, "\"step\":\"%s\",", out->step->id);
	buf_puts(b, "\"amt\":\"");
	put_decimal(b, amount, digits);
	buf_printf(b, "\",\"cur\":\"%s\",\"last4\":\"%s\"}}", currency, c->last4);
}
