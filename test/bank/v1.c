/*-------------------------------------------------------------------------
 *
 * v1.c
 *		The reference dialect: JSON under /v1.
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bank.h"

#define MAX_AMOUNT INT64_C(1000000000000)

static bool
bad(Request *req, const char *message)
{
	answer_error(req, 400, "invalid_request", message);
	return false;
}

static const char *
text_of(json_object *obj, const char *name)
{
	json_object *value;

	if (!json_object_object_get_ex(obj, name, &value) ||
		!json_object_is_type(value, json_type_string))
		return NULL;
	return json_object_get_string(value);
}

static bool
good_reference(const char *s)
{
	size_t len = strlen(s);

	if (len < 1 || len > 64)
		return false;
	for (; *s != '\0'; s++)
		if (!isalnum((unsigned char) *s) && *s != '-' && *s != '_')
			return false;
	return true;
}

static bool
luhn(const char *number, size_t len)
{
	int sum = 0;

	for (size_t i = 0; i < len; i++)
	{
		int digit = number[len - 1 - i] - '0';

		if (i % 2 == 1)
			digit = digit > 4 ? digit * 2 - 9 : digit * 2;
		sum += digit;
	}
	return sum % 10 == 0;
}

/*
 * Take brand, last digits and fault from a card.  Both dialects use it.
 * Answers what is wrong, or NULL.
 */
const char *
order_card(Order *o, const char *number, long month, long year)
{
	size_t len = number ? strlen(number) : 0;
	const char *token;
	time_t t = time(NULL);
	struct tm today;

	if (len < 12 || len > 19 || strspn(number, "0123456789") != len)
		return "no valid card number";
	if (month < 1 || month > 12 || year < 0)
		return "no valid expiry date";
	if (!luhn(number, len))
		return "the check digit of the card number is wrong";
	memcpy(o->last4, number + len - 4, 5);
	o->brand = brand_of_card(number);
	token = pgw_token_of_card(number);
	if (token != NULL)
		(void) pgw_fault_by_token(token, &o->fault);
	gmtime_r(&t, &today);
	if (year < 100)
		year += 2000;
	if (o->fault.kind == PGW_FAULT_NONE &&
		(year < today.tm_year + 1900 || (year == today.tm_year + 1900 && month < today.tm_mon + 1)))
		(void) pgw_fault_by_token("tok_decline_expired_card", &o->fault);
	return NULL;
}

/* The same with a token. */
const char *
order_token(Order *o, const char *token)
{
	if (!pgw_fault_by_token(token, &o->fault))
		return "unknown token";
	memcpy(o->last4, "4242", 5);
	o->brand = "visa";
	return NULL;
}

static long
number_of(json_object *obj, const char *name)
{
	json_object *value;

	if (!json_object_object_get_ex(obj, name, &value))
		return -1;
	return (long) json_object_get_int64(value);
}

static bool
parse_source(Request *req, json_object *body)
{
	Order *o = &req->order;
	json_object *source;
	json_object *card;
	const char *wrong;
	const char *token;

	if (!json_object_object_get_ex(body, "source", &source) ||
		!json_object_is_type(source, json_type_object))
		return bad(req, "source is missing");
	token = text_of(source, "token");
	if (token != NULL)
		wrong = order_token(o, token);
	else if (json_object_object_get_ex(source, "card", &card) &&
			 json_object_is_type(card, json_type_object))
		wrong = order_card(o, text_of(card, "number"), number_of(card, "expiry_month"),
						   number_of(card, "expiry_year"));
	else
		wrong = "source has neither token nor card";
	if (wrong != NULL)
		return bad(req, wrong);
	token = pgw_token_of_amount(o->amount);
	if (o->fault.kind == PGW_FAULT_NONE && token != NULL)
		(void) pgw_fault_by_token(token, &o->fault);
	return true;
}

static bool
parse_fields(Request *req, json_object *body)
{
	Order *o = &req->order;
	bool is_new = (o->op == OP_CHARGE || o->op == OP_AUTHORIZE);
	json_object *value;
	const char *s;

	if (json_object_object_get_ex(body, "amount", &value))
	{
		if (!json_object_is_type(value, json_type_int))
			return bad(req, "amount must be a whole number of minor units");
		o->amount = json_object_get_int64(value);
		if (o->amount < 1 || o->amount > MAX_AMOUNT)
			return bad(req, "amount is out of range");
	}
	else if (is_new)
		return bad(req, "amount is missing");

	s = text_of(body, "currency");
	if (s != NULL)
	{
		if (strlen(s) != 3 || strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 3)
			return bad(req, "currency must be three capital letters");
		memcpy(o->currency, s, 4);
	}
	else if (is_new)
		return bad(req, "currency is missing");

	s = text_of(body, "reference");
	if (s != NULL)
	{
		if (!good_reference(s))
			return bad(req, "reference must be 1 to 64 letters and digits");
		o->reference = xstrdup(s);
	}
	else if (is_new || o->op == OP_CANCEL)
		return bad(req, "reference is missing");

	o->merchant = xstrdup(text_of(body, "merchant"));
	o->merchant_reference = xstrdup(text_of(body, "merchant_reference"));
	o->reason = xstrdup(text_of(body, "reason"));
	return is_new ? parse_source(req, body) : true;
}

/* Which operation, by method and path; false = answered. */
static bool
route(Request *req)
{
	Order *o = &req->order;
	const char *path = req->path + 3;
	bool get = strcmp(req->method, "GET") == 0;
	const char *rest;

	if (!get && strcmp(req->method, "POST") != 0)
	{
		answer_error(req, 405, "method_not_allowed", "only GET and POST");
		return false;
	}
	if (get)
	{
		const char *reference;

		if (strcmp(path, "/ping") == 0)
		{
			o->op = OP_PING;
			return true;
		}
		reference =
			MHD_lookup_connection_value(req->connection, MHD_GET_ARGUMENT_KIND, "reference");
		if (strcmp(path, "/charges") == 0 || strcmp(path, "/refunds") == 0 ||
			strcmp(path, "/captures") == 0)
		{
			o->op = OP_LOOKUP;
			o->lookup = path[1] == 'r' ? "refunds" : path[2] == 'h' ? "charges" : "captures";
			if (reference == NULL || !good_reference(reference))
				return bad(req, "reference is missing or not valid");
			o->reference = xstrdup(reference);
			return true;
		}
		if (strncmp(path, "/charges/", 9) == 0 && strchr(path + 9, '/') == NULL)
		{
			o->op = OP_LOOKUP;
			o->charge_id = xstrdup(path + 9);
			return true;
		}
	}
	else if (strcmp(path, "/charges") == 0)
		o->op = OP_CHARGE;
	else if (strcmp(path, "/authorizations") == 0)
		o->op = OP_AUTHORIZE;
	else if (strcmp(path, "/cancellations") == 0)
		o->op = OP_CANCEL;
	else if (strncmp(path, "/charges/", 9) == 0 && (rest = strchr(path + 9, '/')) != NULL)
	{
		if (strcmp(rest, "/capture") == 0)
			o->op = OP_CAPTURE;
		else if (strcmp(rest, "/void") == 0)
			o->op = OP_VOID;
		else if (strcmp(rest, "/refunds") == 0)
			o->op = OP_REFUND;
		o->charge_id = xstrdup(path + 9);
		o->charge_id[rest - (path + 9)] = '\0';
	}
	if (o->op == OP_OTHER)
	{
		answer_error(req, 404, "not_found", "no such operation");
		return false;
	}
	return true;
}

static bool
authorized(Request *req)
{
	const char *value =
		MHD_lookup_connection_value(req->connection, MHD_HEADER_KIND, "Authorization");

	return value != NULL && strncmp(value, "Bearer ", 7) == 0 &&
		   strcmp(value + 7, settings.secret) == 0;
}

/* Read a request into its order; false = answered already. */
bool
v1_parse(Request *req)
{
	json_object *body;
	json_tokener *tokener;
	bool good;

	good = route(req);
	if (!authorized(req))
	{
		answer_error(req, 401, "unauthorized", "wrong or missing bearer token");
		return false;
	}
	if (!good)
		return false;
	if (req->order.op == OP_LOOKUP || req->order.op == OP_PING)
		return true;
	if (req->body_too_large)
		return bad(req, "the request is too large");
	if (req->body.len == 0 && req->order.op != OP_CANCEL)
		return parse_fields(req, NULL);
	tokener = json_tokener_new_ex(16);
	body =
		json_tokener_parse_ex(tokener, req->body.data ? req->body.data : "", (int) req->body.len);
	if (json_tokener_get_error(tokener) != json_tokener_success ||
		!json_object_is_type(body, json_type_object))
		good = bad(req, "the body is not a JSON object");
	else
		good = parse_fields(req, body);
	json_object_put(body);
	json_tokener_free(tokener);
	return good;
}

/* ---- answers ---- */

void
v1_error(Request *req, int status, const char *code, const char *message)
{
	req->status = status;
	buf_puts(&req->out, "{\"error\":{\"code\":");
	buf_json(&req->out, code);
	buf_puts(&req->out, ",\"message\":");
	buf_json(&req->out, message);
	buf_puts(&req->out, "}}");
}

/* An id of digits stands as a number, longer than any that a program calculates with. */
static void
put_id(Buf *b, const char *name, const char *id)
{
	const char *quote = id[0] == '9' ? "" : "\"";

	buf_printf(b, "\"%s\":%s%s%s,", name, quote, id, quote);
}

/* amounts: with what was captured and refunded, and whether it was voided */
static void
put_charge(Buf *b, const Charge *c, const Fault *fault, bool amounts)
{
	static const char *const names[] = {"approved", "declined", "pending", "requires_action"};
	int64_t amount = c->amount;
	const char *currency = c->currency;

	if (fault->kind == PGW_FAULT_WRONG_AMOUNT)
		amount += 100;
	if (fault->kind == PGW_FAULT_WRONG_CURRENCY)
		currency = strcmp(currency, "USD") == 0 ? "EUR" : "USD";
	if (fault->kind != PGW_FAULT_NO_IDS)
		put_id(b, "id", c->id);
	if (fault->kind == PGW_FAULT_DOUBLE_KEYS)
		buf_printf(b, "\"status\":\"%s\",",
				   names[c->status == CH_APPROVED ? CH_DECLINED : CH_APPROVED]);
	buf_printf(b,
			   "\"status\":\"%s\",\"amount\":%lld,\"currency\":\"%s\","
			   "\"reference\":\"%s\",\"authorization_code\":",
			   names[c->status], (long long) amount, currency, c->reference);
	buf_json(b, c->auth_code[0] != '\0' ? c->auth_code : NULL);
	if (amounts)
		buf_printf(b, ",\"captured\":%lld,\"refunded\":%lld,\"voided\":%s", (long long) c->captured,
				   (long long) c->refunded, c->voided ? "true" : "false");
	buf_printf(b, ",\"card\":{\"brand\":\"%s\",\"last4\":\"%s\"}", c->brand, c->last4);
	if (c->expires_at != 0)
		buf_printf(b, ",\"expires_at_ms\":%lld", (long long) c->expires_at);
	if (c->error != NULL)
		buf_printf(b, ",\"error\":{\"code\":\"%s\",\"message\":\"the card was not charged\"}",
				   c->error);
}

static void
put_step(Buf *b, const Step *s, const Fault *fault)
{
	static const char *const names[] = {"succeeded", "pending", "failed"};
	int64_t amount = s->amount + (fault->kind == PGW_FAULT_WRONG_AMOUNT ? 100 : 0);
	const char *currency = s->charge->currency;

	if (fault->kind == PGW_FAULT_WRONG_CURRENCY)
		currency = strcmp(currency, "USD") == 0 ? "EUR" : "USD";
	if (fault->kind != PGW_FAULT_NO_IDS)
	{
		put_id(b, "id", s->id);
		put_id(b, "charge", s->charge->id);
	}
	if (fault->kind == PGW_FAULT_DOUBLE_KEYS)
		buf_printf(b, "\"status\":\"%s\",",
				   names[s->status == RE_SUCCEEDED ? RE_FAILED : RE_SUCCEEDED]);
	buf_printf(b, "\"status\":\"%s\",\"amount\":%lld,\"currency\":\"%s\",\"reference\":",
			   names[s->status], (long long) amount, currency);
	buf_json(b, s->reference);
	if (s->error != NULL)
		buf_printf(b, ",\"error\":{\"code\":\"%s\",\"message\":\"the refund failed\"}", s->error);
}

void
v1_answer(Request *req, const Outcome *out, const Fault *fault)
{
	static const Fault none = {PGW_FAULT_NONE, -1, NULL};
	Buf *b = &req->out;
	Operation op = req->order.op;

	if (out->http != 0)
	{
		answer_error(req, out->http, out->code, out->message);
		return;
	}
	req->status = 200;
	buf_puts(b, "{");
	if (settings.livemode != NULL)
		buf_printf(b, "\"livemode\":%s,", settings.livemode);
	switch (op)
	{
		case OP_CHARGE:
		case OP_AUTHORIZE:
			put_charge(b, out->charge, fault, true);
			if (out->charge->status != CH_DECLINED)
				req->status = 201;
			break;
		case OP_CAPTURE:
			put_charge(b, out->charge, fault, true);
			buf_puts(b, ",\"capture\":{");
			put_step(b, out->step, fault);
			buf_puts(b, "}");
			req->status = 201;
			break;
		case OP_REFUND:
			put_step(b, out->step, fault);
			if (out->step->status != RE_FAILED)
				req->status = 201;
			break;
		case OP_LOOKUP:
			if (out->step != NULL)
				put_step(b, out->step, fault);
			else
			{
				put_charge(b, out->charge, fault, settings.lookup_amounts);
				if (out->matches > 0)
					buf_printf(b, ",\"matches\":%d", out->matches);
			}
			break;
		case OP_CANCEL:
			buf_printf(b, "\"reference\":\"%s\",\"result\":\"%s\"",
					   fault->kind == PGW_FAULT_OTHER_ANSWER && out->charge != NULL
						   ? out->charge->reference
						   : req->order.reference,
					   out->result);
			if (out->charge != NULL)
			{
				buf_puts(b, ",\"charge\":{");
				put_charge(b, out->charge, fault, true);
				buf_puts(b, "}");
			}
			if (out->step != NULL && out->step->op == OP_REFUND)
			{
				buf_puts(b, ",\"refund\":{");
				put_step(b, out->step, &none);
				buf_puts(b, "}");
			}
			break;
		case OP_VOID:
			put_charge(b, out->charge, fault, true);
			break;
		default:
			buf_puts(b, "\"status\":\"ok\"");
			break;
	}
	buf_puts(b, "}");
}
