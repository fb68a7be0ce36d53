/*
 * render_request.c - render a request from a compiled operation
 *
 * Owns the meaning of every placeholder.  Invariants: card data goes from the caller's parameters
 * into the caller's PgwBufs and nowhere else - not through temporary memory of the heap; small
 * numbers made from it on the stack are wiped.  A placeholder without a value drops its member, an
 * object or array that had members and lost them all is dropped, and bytes taken back are wiped.
 * bank_fields and settings are the only JSON texts read here; they hold no card data.
 */
#include "core/bank_message/render_request.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf_json.h"
#include "core/base/characters.h"
#include "core/base/money.h"
#include "core/connector/compiled.h"
#include "core/json/json_read.h"
#include "core/json/json_text.h"

typedef enum How
{
	AS_JSON,  /* inside a JSON string: escaped */
	AS_TYPED, /* a whole JSON value */
	AS_FORM,  /* percent-encoded */
	AS_PATH,  /* percent-encoded, never empty */
	AS_HEADER
} How;

typedef enum Put
{
	PUT_DONE,
	PUT_MISSING,
	PUT_FAULT /* err is filled */
} Put;

typedef struct Render
{
	const PgwCallParams *p;
	PgwBankOp op;
	int exponent; /* the bank's */
	PgwJson bank_fields;
	PgwJson settings;
	PgwConnectorError *err;
	const char *place; /* pointer of header, or NULL: path or body of op */
	const char *part;  /* "path" or "body" */
} Render;

static Put fault(Render *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static Put
fault(Render *r, const char *fmt, ...)
{
	va_list args;

	if (r->place != NULL)
		snprintf(r->err->pointer, sizeof(r->err->pointer), "%s", r->place);
	else
		snprintf(r->err->pointer, sizeof(r->err->pointer), "/operations/%s/%s", pgw_op_name(r->op),
				 r->part);
	va_start(args, fmt);
	vsnprintf(r->err->message, sizeof(r->err->message), fmt, args);
	va_end(args);
	pgw_drop_cut_characters(r->err->pointer);
	pgw_drop_cut_characters(r->err->message);
	return PUT_FAULT;
}

/* ---- writing one text in the manner of its place ---- */

static void
percent_encode(PgwBuf *b, const char *s)
{
	static const char hex[] = "0123456789ABCDEF";

	for (; *s != '\0'; s++)
	{
		unsigned char c = (unsigned char) *s;

		if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
			c == '-' || c == '.' || c == '_' || c == '~')
			pgw_buf_append(b, s, 1);
		else
		{
			char code[3] = {'%', hex[c >> 4], hex[c & 15]};

			pgw_buf_append(b, code, 3);
		}
	}
}

static Put
put_text(Render *r, PgwBuf *b, How how, const char *s)
{
	size_t quote;

	if (s == NULL)
		return PUT_MISSING;
	switch (how)
	{
		case AS_TYPED:
			pgw_buf_json_string(b, s);
			break;
		case AS_JSON:
			/* without the quotes: overwrite the first, take the last back */
			quote = b->len;
			pgw_buf_json_string(b, s);
			if (!b->failed)
			{
				memmove(b->data + quote, b->data + quote + 1, b->len - quote - 1);
				pgw_buf_truncate(b, b->len - 2);
			}
			break;
		case AS_PATH:
			if (*s == '\0')
				return PUT_MISSING;
			if (strcmp(s, ".") == 0 || strcmp(s, "..") == 0)
				return fault(r, "a value in the path is \"%s\", which would change the path", s);
			percent_encode(b, s);
			break;
		case AS_FORM:
			percent_encode(b, s);
			break;
		case AS_HEADER:
			if (pgw_has_ascii_control(s, "\t"))
				return fault(
					r,
					"a value holds a control character such as a line end, which a header must not");
			pgw_buf_puts(b, s);
			break;
	}
	return PUT_DONE;
}

/* A number or true/false: bare in a JSON value. */
static Put
put_bare(PgwBuf *b, const char *s)
{
	pgw_buf_puts(b, s);
	return PUT_DONE;
}

static Put
put_amount(Render *r, PgwBuf *b, How how, bool decimal)
{
	const PgwCallParams *p = r->p;
	char text[48];
	int64_t amount;

	if (!p->has_amount)
		return PUT_MISSING;
	if (p->amount < 0 || !pgw_money_rescale(p->amount, p->iso_exponent, r->exponent, &amount))
		return fault(r, "the amount cannot be said exactly in the bank's unit of %s",
					 p->currency ? p->currency : "the currency");
	if (!decimal)
		snprintf(text, sizeof(text), "%lld", (long long) amount);
	else if (!pgw_money_to_decimal(amount, r->exponent, text, sizeof(text)))
		return fault(r, "the amount cannot be written as a decimal number");
	return how == AS_TYPED && !decimal ? put_bare(b, text) : put_text(r, b, how, text);
}

static Put
put_expiry(Render *r, PgwBuf *b, How how, PgwPlaceholder kind)
{
	int month = r->p->card_expiry_month;
	int year = r->p->card_expiry_year;
	char text[16];
	Put put;

	if ((kind != PGW_PH_CARD_EXPIRY_YEAR && (month < 1 || month > 12)) ||
		(kind != PGW_PH_CARD_EXPIRY_MONTH && (year < 1 || year > 9999)))
		return PUT_MISSING;
	if (kind == PGW_PH_CARD_EXPIRY_MMYY)
		snprintf(text, sizeof(text), "%02d%02d", month, year % 100);
	else if (kind == PGW_PH_CARD_EXPIRY_MONTH)
		snprintf(text, sizeof(text), how == AS_TYPED ? "%d" : "%02d", month);
	else
		snprintf(text, sizeof(text), "%d", year);
	if (how == AS_TYPED && kind != PGW_PH_CARD_EXPIRY_MMYY)
		put = put_bare(b, text);
	else
		put = put_text(r, b, how, text);
	explicit_bzero(text, sizeof(text));
	return put;
}

/*
 * A member of bank_fields or settings: a string's characters, anything else as it stands, so that a
 * number of any length keeps its digits.
 */
static Put
put_member(Render *r, PgwBuf *b, How how, const PgwJson *v, const char *name, char *text)
{
	PgwJsonType type = pgw_json_type(v);
	size_t len = v->len;

	if (type == PGW_JSON_STRING)
		len = pgw_json_text(v, text, v->len);
	else
		memcpy(text, v->text, v->len);
	text[len] = '\0';
	if (strlen(text) != len)
		return fault(r, "\"%s\" holds U+0000", name);
	if (type == PGW_JSON_STRING)
		return put_text(r, b, how, text);
	if (how == AS_TYPED)
		return put_bare(b, text);
	if (type == PGW_JSON_OBJECT || type == PGW_JSON_ARRAY)
		return fault(r, "\"%s\" is an object or array, which can stand only alone in a JSON body",
					 name);
	return put_text(r, b, how, text);
}

static Put
put_named(Render *r, PgwBuf *b, How how, const PgwJson *object, const char *name)
{
	PgwJson v;
	char *text;
	Put put;

	if (!pgw_json_member(object, name, &v) || pgw_json_type(&v) == PGW_JSON_NULL)
		return PUT_MISSING;
	text = malloc(v.len + 1);
	if (text == NULL)
		return fault(r, "\"%s\": out of memory", name);
	put = put_member(r, b, how, &v, name, text);
	free(text);
	return put;
}

static Put
put_segment(Render *r, PgwBuf *b, How how, const PgwSegment *segment)
{
	const PgwCallParams *p = r->p;

	switch (segment->kind)
	{
		case PGW_PH_AMOUNT:
		case PGW_PH_AMOUNT_DECIMAL:
			return put_amount(r, b, how, segment->kind == PGW_PH_AMOUNT_DECIMAL);
		case PGW_PH_CURRENCY:
			return put_text(r, b, how, p->currency);
		case PGW_PH_TOKEN:
			return put_text(r, b, how, p->token);
		case PGW_PH_CARD_NUMBER:
			return put_text(r, b, how, p->card_number);
		case PGW_PH_CARD_EXPIRY_MONTH:
		case PGW_PH_CARD_EXPIRY_YEAR:
		case PGW_PH_CARD_EXPIRY_MMYY:
			return put_expiry(r, b, how, segment->kind);
		case PGW_PH_CARD_CVV:
			return put_text(r, b, how, p->card_cvv);
		case PGW_PH_CARD_HOLDER:
			return put_text(r, b, how, p->card_holder);
		case PGW_PH_TRANSACTION_REF:
			return put_text(r, b, how, p->transaction_ref);
		case PGW_PH_ORIGINAL_REF:
			return put_text(r, b, how, p->original_ref);
		case PGW_PH_BANK_REFERENCE:
			return put_text(r, b, how, p->bank_reference);
		case PGW_PH_IDEMPOTENCY_KEY:
			return put_text(r, b, how, p->idempotency_key);
		case PGW_PH_CORRELATION_ID:
			return put_text(r, b, how, p->correlation_id);
		case PGW_PH_MERCHANT:
			return put_text(r, b, how, p->merchant);
		case PGW_PH_REFERENCE:
			return put_text(r, b, how, p->reference);
		case PGW_PH_REASON:
			return put_text(r, b, how, p->reason);
		case PGW_PH_FINAL:
			if (r->op != PGW_OP_CAPTURE)
				return PUT_MISSING;
			if (how == AS_TYPED)
				return put_bare(b, p->final_capture ? "true" : "false");
			return put_text(r, b, how, p->final_capture ? "true" : "false");
		case PGW_PH_SECRET:
			return put_text(
				r, b, how,
				pgw_secret_value(p->secrets, segment->text != NULL ? segment->text : ""));
		case PGW_PH_BANK_FIELDS:
			return put_named(r, b, how, &r->bank_fields, segment->text);
		case PGW_PH_SETTINGS:
			return put_named(r, b, how, &r->settings, segment->text);
		case PGW_PH_NONE:
			break;
	}
	return PUT_MISSING;
}

/* Literals as they are in paths and headers, encoded elsewhere. */
static Put
put_segments(Render *r, PgwBuf *b, How how, const PgwText *text)
{
	for (int i = 0; i < text->nsegments; i++)
	{
		const PgwSegment *segment = &text->segments[i];
		Put put;

		if (segment->kind != PGW_PH_NONE)
			put = put_segment(r, b, how, segment);
		else if (how == AS_PATH || how == AS_HEADER)
			put = put_bare(b, segment->text);
		else
			put = put_text(r, b, how, segment->text);
		if (put == PUT_MISSING && how == AS_PATH)
		{
			char name[80];

			pgw_segment_name(segment, name, sizeof(name));
			return fault(r, "the path needs a value for %s", name);
		}
		if (put != PUT_DONE)
			return put;
	}
	return PUT_DONE;
}

/* ---- bodies ---- */

static Put put_node(Render *r, PgwBuf *b, const PgwNode *node);

static Put
put_children(Render *r, PgwBuf *b, const PgwNode *node)
{
	bool object = node->kind == PGW_NODE_OBJECT;
	int written = 0;

	pgw_buf_append(b, object ? "{" : "[", 1);
	for (int i = 0; i < node->nchildren; i++)
	{
		size_t mark = b->len;
		Put put;

		if (object)
			pgw_buf_json_name(b, node->names[i]);
		else
			pgw_buf_json_comma(b, ",");
		put = put_node(r, b, node->children[i]);
		if (put == PUT_FAULT)
			return put;
		if (put == PUT_MISSING)
			pgw_buf_truncate(b, mark);
		else
			written++;
	}
	if (node->nchildren > 0 && written == 0)
		return PUT_MISSING;
	pgw_buf_append(b, object ? "}" : "]", 1);
	return PUT_DONE;
}

static Put
put_node(Render *r, PgwBuf *b, const PgwNode *node)
{
	Put put;

	switch (node->kind)
	{
		case PGW_NODE_OBJECT:
		case PGW_NODE_ARRAY:
			return put_children(r, b, node);
		case PGW_NODE_RAW:
			return put_bare(b, node->raw);
		case PGW_NODE_TEXT:
			break;
	}
	if (node->text.nsegments == 1)
		return put_segments(r, b, AS_TYPED, &node->text);
	pgw_buf_append(b, "\"", 1);
	put = put_segments(r, b, AS_JSON, &node->text);
	pgw_buf_append(b, "\"", 1);
	return put;
}

static Put
put_form(Render *r, PgwBuf *b, const PgwNode *body)
{
	for (int i = 0; i < body->nchildren; i++)
	{
		const PgwNode *node = body->children[i];
		size_t mark = b->len;
		Put put;

		if (b->len > 0)
			pgw_buf_append(b, "&", 1);
		percent_encode(b, body->names[i]);
		pgw_buf_append(b, "=", 1);
		if (node->kind == PGW_NODE_RAW)
			put = put_text(r, b, AS_FORM, node->raw);
		else
			put = put_segments(r, b, AS_FORM, &node->text);
		if (put == PUT_FAULT)
			return put;
		if (put == PUT_MISSING)
			pgw_buf_truncate(b, mark);
	}
	return b->len > 0 ? PUT_DONE : PUT_MISSING;
}

/* ---- the whole request ---- */

void
pgw_rendered_init(PgwRendered *r)
{
	memset(r, 0, sizeof(*r));
	pgw_buf_init(&r->path, PGW_PATH_MAX_BYTES);
	for (int i = 0; i < PGW_MAX_HEADERS; i++)
		pgw_buf_init(&r->headers[i], PGW_HEADER_MAX_BYTES);
	pgw_buf_init(&r->body, PGW_BODY_MAX_BYTES);
}

void
pgw_rendered_free(PgwRendered *r)
{
	pgw_buf_free(&r->path);
	for (int i = 0; i < PGW_MAX_HEADERS; i++)
		pgw_buf_free(&r->headers[i]);
	pgw_buf_free(&r->body);
	r->nheaders = 0;
	r->has_body = false;
	r->method[0] = '\0';
}

/* An object of settings or bank fields; NULL text: there is none. */
static bool
read_object(Render *r, const char *text, const char *what, PgwJson *object)
{
	size_t len = text != NULL ? strlen(text) : 0;

	if (text == NULL)
		return true;
	if (len > PGW_BODY_MAX_BYTES)
		return fault(r, "%s is too large", what) == PUT_DONE;
	if (pgw_json_read(text, len, PGW_DOC_MAX_NESTING, object) != PGW_JSON_GOOD ||
		pgw_json_type(object) != PGW_JSON_OBJECT)
		return fault(r, "%s is not a JSON object", what) == PUT_DONE;
	return true;
}

/*
 * Without what says which charge or refund is meant, nothing is sent: the path notices by itself, a
 * body would leave it out.
 */
static bool
has_identity(Render *r, const PgwCompiledOp *op)
{
	static const PgwPlaceholder identities[] = {PGW_PH_TRANSACTION_REF, PGW_PH_ORIGINAL_REF,
												PGW_PH_BANK_REFERENCE};
	const char *values[] = {r->p->transaction_ref, r->p->original_ref, r->p->bank_reference};

	for (int i = 0; i < 3; i++)
	{
		if ((op->needs & PGW_PH_BIT(identities[i])) != 0 &&
			(values[i] == NULL || *values[i] == '\0'))
			return fault(r, "the request needs a value for {{%s}}",
						 pgw_placeholder_name(identities[i])) == PUT_DONE;
	}
	return true;
}

static bool
render_parts(Render *r, const PgwCompiledOp *op, PgwRendered *out)
{
	Put put;

	r->part = "path";
	if (put_segments(r, &out->path, AS_PATH, &op->path) != PUT_DONE)
		return false;
	if (out->path.failed)
		return fault(r, "the path is too long") == PUT_DONE;
	r->part = "body";
	if (!has_identity(r, op))
		return false;
	for (int i = 0; i < op->nheaders; i++)
	{
		const PgwHeader *header = &op->headers[i];
		PgwBuf *b = &out->headers[out->nheaders];
		size_t mark;

		r->place = header->pointer;
		pgw_buf_puts(b, header->name);
		pgw_buf_puts(b, ": ");
		mark = b->len;
		put = put_segments(r, b, AS_HEADER, &header->value);
		if (put == PUT_FAULT)
			return false;
		if (b->failed)
			return fault(r, "header %s is too long", header->name) == PUT_DONE;
		if (put == PUT_MISSING || b->len == mark)
			pgw_buf_reset(b);
		else
			out->nheaders++;
	}
	r->place = NULL;
	r->part = "body";
	if (op->body == NULL)
		return true;
	if (op->encoding == PGW_ENC_FORM)
		put = put_form(r, &out->body, op->body);
	else
		put = put_node(r, &out->body, op->body);
	if (put == PUT_FAULT)
		return false;
	if (out->body.failed)
		return fault(r, "the body is too large") == PUT_DONE;
	if (put == PUT_MISSING)
		pgw_buf_reset(&out->body);
	out->has_body = put == PUT_DONE;
	return true;
}

bool
pgw_connector_render(const PgwConnector *c, PgwBankOp which, const PgwCallParams *p, PgwRendered *r,
					 PgwConnectorError *err)
{
	Render state = {.p = p, .op = which, .err = err, .part = "body"};
	bool good;

	err->pointer[0] = err->message[0] = '\0';
	r->nheaders = 0;
	r->has_body = false;
	pgw_buf_reset(&r->path);
	for (int i = 0; i < PGW_MAX_HEADERS; i++)
		pgw_buf_reset(&r->headers[i]);
	pgw_buf_reset(&r->body);
	if (!pgw_connector_has(c, which))
	{
		snprintf(err->pointer, sizeof(err->pointer), "/operations");
		snprintf(err->message, sizeof(err->message), "the bank has no operation \"%s\"",
				 pgw_op_name(which));
		return false;
	}
	memcpy(r->method, c->ops[which].method, sizeof(r->method));
	state.exponent = pgw_connector_exponent(c, p->currency, p->iso_exponent);
	good = read_object(&state, p->bank_fields, "bank_fields", &state.bank_fields) &&
		   read_object(&state, p->settings, "settings", &state.settings) &&
		   render_parts(&state, &c->ops[which], r);
	if (!good)
	{
		/* nothing half-made is left for anyone to send */
		pgw_buf_reset(&r->path);
		for (int i = 0; i < PGW_MAX_HEADERS; i++)
			pgw_buf_reset(&r->headers[i]);
		pgw_buf_reset(&r->body);
		r->nheaders = 0;
		r->has_body = false;
	}
	return good;
}
