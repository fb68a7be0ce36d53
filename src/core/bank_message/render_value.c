/*
 * render_value.c - the value of one placeholder, written in the manner of its place
 *
 * Owns the meaning of every placeholder and of every filter.  Invariants: card data goes from the
 * caller's parameters into PgwBufs, which are wiped, and nowhere else - not through other memory of
 * the heap; small numbers made from it on the stack are wiped.  bank_fields and settings are the
 * only JSON texts read here that are kept; a token that is an object and options.customer are not.
 * The same parameters give the same bytes, time and nonce included: a repetition under its key is
 * the same request.
 */
#include "core/bank_message/render_value.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "core/base/buf_json.h"
#include "core/base/byte_text.h"
#include "core/base/characters.h"
#include "core/base/money.h"
#include "core/base/mutant.h"
#include "core/base/sha2.h"
#include "core/card/card_checks.h"
#include "core/json/json_text.h"

PgwPut
pgw_render_fault(PgwRender *r, const char *fmt, ...)
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
	return PGW_PUT_FAULT;
}

/* ---- writing one text in the manner of its place ---- */

void
pgw_render_percent(PgwBuf *b, const char *s)
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

PgwPut
pgw_render_text(PgwRender *r, PgwBuf *b, PgwHow how, const char *s)
{
	size_t quote;

	if (s == NULL)
		return PGW_PUT_MISSING;
	switch (how)
	{
		case PGW_AS_TYPED:
			pgw_buf_json_string(b, s);
			break;
		case PGW_AS_JSON:
			/* without the quotes: overwrite the first, take the last back */
			quote = b->len;
			pgw_buf_json_string(b, s);
			if (!b->failed)
			{
				memmove(b->data + quote, b->data + quote + 1, b->len - quote - 1);
				pgw_buf_truncate(b, b->len - 2);
			}
			break;
		case PGW_AS_PATH:
			if (*s == '\0')
				return PGW_PUT_MISSING;
			if (strcmp(s, ".") == 0 || strcmp(s, "..") == 0)
				return pgw_render_fault(
					r, "a value in the path is \"%s\", which would change the path", s);
			pgw_render_percent(b, s);
			break;
		case PGW_AS_FORM:
			pgw_render_percent(b, s);
			break;
		case PGW_AS_HEADER:
			if (pgw_has_ascii_control(s, "\t"))
				return pgw_render_fault(
					r,
					"a value holds a control character such as a line end, which a header must not");
			pgw_buf_puts(b, s);
			break;
		case PGW_AS_RAW:
			pgw_buf_puts(b, s);
			break;
	}
	return PGW_PUT_DONE;
}

PgwPut
pgw_render_bare(PgwBuf *b, const char *s)
{
	pgw_buf_puts(b, s);
	return PGW_PUT_DONE;
}

static PgwPut
put_amount(PgwRender *r, PgwBuf *b, PgwHow how, bool decimal)
{
	const PgwCallParams *p = r->p;
	char text[48];
	int64_t amount;

	if (!p->has_amount)
		return PGW_PUT_MISSING;
	if (p->amount < 0 ||
		!pgw_connector_amount(r->connector, p->currency, p->iso_exponent, p->amount, &amount))
		return pgw_render_fault(r, "the amount cannot be said exactly in the bank's unit of %s",
								p->currency ? p->currency : "the currency");
	if (!decimal)
		snprintf(text, sizeof(text), "%lld", (long long) amount);
	else if (!pgw_money_to_decimal(amount, r->exponent, text, sizeof(text)))
		return pgw_render_fault(r, "the amount cannot be written as a decimal number");
	return how == PGW_AS_TYPED && !decimal ? pgw_render_bare(b, text)
										   : pgw_render_text(r, b, how, text);
}

static PgwPut
put_expiry(PgwRender *r, PgwBuf *b, PgwHow how, PgwPlaceholder kind)
{
	int month = r->p->card_expiry_month;
	int year = r->p->card_expiry_year;
	char text[16];
	PgwPut put;

	if ((kind != PGW_PH_CARD_EXPIRY_YEAR && (month < 1 || month > 12)) ||
		(kind != PGW_PH_CARD_EXPIRY_MONTH && (year < 1 || year > 9999)))
		return PGW_PUT_MISSING;
	if (kind == PGW_PH_CARD_EXPIRY_MMYY)
		snprintf(text, sizeof(text), "%02d%02d", month, year % 100);
	else if (kind == PGW_PH_CARD_EXPIRY_MONTH)
		snprintf(text, sizeof(text), how == PGW_AS_TYPED ? "%d" : "%02d", month);
	else
		snprintf(text, sizeof(text), "%d", year);
	if (how == PGW_AS_TYPED && kind != PGW_PH_CARD_EXPIRY_MMYY)
		put = pgw_render_bare(b, text);
	else
		put = pgw_render_text(r, b, how, text);
	explicit_bzero(text, sizeof(text));
	return put;
}

/*
 * A member of bank_fields or settings: a string's characters, anything else as it stands, so that a
 * number of any length keeps its digits.
 */
static PgwPut
put_member(PgwRender *r, PgwBuf *b, PgwHow how, const PgwJson *v, const char *name, char *text)
{
	PgwJsonType type = pgw_json_type(v);
	size_t len = v->len;

	if (type == PGW_JSON_STRING)
		len = pgw_json_text(v, text, v->len);
	else
		memcpy(text, v->text, v->len);
	text[len] = '\0';
	if (strlen(text) != len)
		return pgw_render_fault(r, "\"%s\" holds U+0000", name);
	if (type == PGW_JSON_STRING)
		return pgw_render_text(r, b, how, text);
	if (how == PGW_AS_TYPED)
		return pgw_render_bare(b, text);
	if (type == PGW_JSON_OBJECT || type == PGW_JSON_ARRAY)
		return pgw_render_fault(
			r, "\"%s\" is an object or array, which can stand only alone in a JSON body", name);
	return pgw_render_text(r, b, how, text);
}

static PgwPut
put_named(PgwRender *r, PgwBuf *b, PgwHow how, const PgwJson *object, const char *name)
{
	PgwJson v;
	char *text;
	PgwPut put;

	if (!pgw_json_member(object, name, &v) || pgw_json_type(&v) == PGW_JSON_NULL)
		return PGW_PUT_MISSING;
	text = malloc(v.len + 1);
	if (text == NULL)
		return pgw_render_fault(r, "\"%s\": out of memory", name);
	put = put_member(r, b, how, &v, name, text);
	free(text);
	return put;
}

/*
 * What stands at a place of what is kept nowhere: its copy lies in a buffer that is wiped.
 */
static PgwPut
put_place_of(PgwRender *r, PgwBuf *b, PgwHow how, const PgwAnswerBody *object,
			 const PgwSegment *segment)
{
	PgwJson v;
	PgwBuf text;
	PgwPut put;

	if (!pgw_answer_body_follow(object, &segment->pointer, &v) ||
		pgw_json_type(&v) == PGW_JSON_NULL)
		return PGW_PUT_MISSING;
	pgw_buf_init(&text, PGW_BODY_MAX_BYTES);
	pgw_buf_append(&text, v.text, v.len);
	put = text.failed ? pgw_render_fault(r, "out of memory")
					  : put_member(r, b, how, &v, segment->text, text.data);
	pgw_buf_free(&text);
	return put;
}

/* A token that is an object is card data. */
static PgwPut
put_token_part(PgwRender *r, PgwBuf *b, PgwHow how, const PgwSegment *segment)
{
	PgwPut put;

	if (!r->token_is_object)
		return PGW_PUT_MISSING;
	put = put_place_of(r, b, how, &r->token, segment);
	r->token_used |= put == PGW_PUT_DONE;
	return put;
}

/* Likewise: a person's address is nobody's who reads memory. */
static PgwPut
put_customer(PgwRender *r, PgwBuf *b, PgwHow how, const PgwSegment *segment)
{
	PgwPut put;

	if (r->p->customer == NULL)
		return PGW_PUT_MISSING;
	put = put_place_of(r, b, how, &r->customer, segment);
	r->customer_used |= put == PGW_PUT_DONE;
	return put;
}

/* The text of one that is an object is card data as well: never where requests are logged. */
static PgwPut
put_token(PgwRender *r, PgwBuf *b, PgwHow how)
{
	if (r->token_is_object && !r->in_body)
		return pgw_render_fault(
			r, "a token that is an object stands in the body only, and in no computed value");
	r->token_used |= r->p->token != NULL;
	return pgw_render_text(r, b, how, r->p->token);
}

/* "MM/YY" and the like: what is neither M nor Y stands as it is. */
static PgwPut
put_shape(PgwRender *r, PgwBuf *b, const char *shape)
{
	int month = r->p->card_expiry_month;
	int year = r->p->card_expiry_year;
	char text[16];

	if (month < 1 || month > 12 || year < 1 || year > 9999)
		return PGW_PUT_MISSING;
	while (*shape != '\0')
	{
		size_t n = strspn(shape, *shape == 'M' ? "M" : "Y");

		if (*shape == 'M')
			snprintf(text, sizeof(text), "%02d", month);
		else if (n == 4)
			snprintf(text, sizeof(text), "%04d", year);
		else if (n == 2)
			snprintf(text, sizeof(text), "%02d", year % 100);
		else
			snprintf(text, sizeof(text), "%c", *shape);
		pgw_buf_puts(b, text);
		shape += n > 0 ? n : 1;
	}
	explicit_bzero(text, sizeof(text));
	return PGW_PUT_DONE;
}

/* Of the first time that this request was sent. */
static PgwPut
put_now(PgwRender *r, PgwBuf *b, PgwFilter format)
{
	static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
										 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t seconds = (time_t) (r->p->now / 1000000);
	struct tm t;

	if (r->p->now <= 0 || gmtime_r(&seconds, &t) == NULL)
		return PGW_PUT_MISSING;
	if (format == PGW_FILTER_RFC1123)
		pgw_buf_printf(b, "%s, %02d %s %d %02d:%02d:%02d GMT", days[t.tm_wday], t.tm_mday,
					   months[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
	else if (format == PGW_FILTER_ISO8601)
		pgw_buf_printf(b, "%04d-%02d-%02dT%02d:%02d:%02dZ", t.tm_year + 1900, t.tm_mon + 1,
					   t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec);
	else
		pgw_buf_printf(
			b, "%lld",
			(long long) (format == PGW_FILTER_EPOCH_MS ? r->p->now / 1000 : r->p->now / 1000000));
	return PGW_PUT_DONE;
}

/*
 * 32 hex digits that no other request has, and this one has again when it is repeated: made of the
 * operation, its key, and when that was first sent (a look-up: when it is made, so that each one
 * has its own).
 */
static PgwPut
put_nonce(PgwRender *r, PgwBuf *b, PgwHow how)
{
	unsigned char digest[PGW_SHA2_MAX];
	char text[200];
	PgwBuf hex;
	PgwPut put;
	int n;

	if (r->p->transaction_ref == NULL || r->p->now <= 0)
		return PGW_PUT_MISSING;
	n = snprintf(text, sizeof(text), "nonce %s %.100s %lld", pgw_op_name(r->op),
				 r->p->transaction_ref, (long long) r->p->now);
	(void) pgw_sha2(PGW_SHA256, text, (size_t) n, digest);
	pgw_buf_init(&hex, 0);
	pgw_put_hex(&hex, digest, 16);
	put = hex.failed ? pgw_render_fault(r, "out of memory") : pgw_render_text(r, b, how, hex.data);
	pgw_buf_free(&hex);
	return put;
}

/* What is appended to the base URL's own path, or its host as HTTP names it: no usual port. */
static PgwPut
put_place(PgwRender *r, PgwBuf *b, PgwHow how, bool host)
{
	const char *url = r->p->base_url;
	const char *at = url != NULL ? strstr(url, "://") : NULL;
	size_t len = at != NULL ? strcspn(at + 3, "/") : 0;
	const char *usual = at != NULL && strncasecmp(url, "https", 5) == 0 ? ":443" : ":80";
	PgwBuf text;
	PgwPut put;

	if (len == 0)
		return PGW_PUT_MISSING;
	pgw_buf_init(&text, PGW_PATH_MAX_BYTES + PGW_HEADER_MAX_BYTES);
	if (host && len > strlen(usual) &&
		strncmp(at + 3 + len - strlen(usual), usual, strlen(usual)) == 0)
		pgw_buf_append(&text, at + 3, len - strlen(usual));
	else if (host)
		pgw_buf_append(&text, at + 3, len);
	else
	{
		pgw_buf_puts(&text, at + 3 + len);
		while (text.len > 0 && text.data[text.len - 1] == '/')
			pgw_buf_truncate(&text, text.len - 1);
		pgw_buf_puts(&text, r->out->path.data);
	}
	put = text.failed ? pgw_render_fault(r, "the URL is too long")
					  : pgw_render_text(r, b, how, text.data);
	pgw_buf_free(&text);
	return put;
}

/* In the bank's words, or ours where the connector has none. */
static const char *
brand_name(const PgwRender *r)
{
	const char *number = r->p->card_number;
	PgwCardBrand brand =
		number != NULL ? pgw_card_brand(number, strlen(number)) : PGW_BRAND_UNKNOWN;

	if (brand == PGW_BRAND_UNKNOWN)
		return NULL;
	return r->connector->has_card_brands ? r->connector->card_brands[brand]
										 : pgw_card_brand_name(brand);
}

/* Ours, as the bank takes them. */
static PgwPut
put_reference(PgwRender *r, PgwBuf *b, PgwHow how, const char *whole)
{
	char text[PGW_REFERENCE_SIZE];

	return pgw_render_text(r, b, how, pgw_connector_reference(r->connector, whole, text));
}

static PgwPut
put_plain(PgwRender *r, PgwBuf *b, PgwHow how, const PgwSegment *segment)
{
	const PgwCallParams *p = r->p;

	switch (segment->kind)
	{
		case PGW_PH_AMOUNT:
		case PGW_PH_AMOUNT_DECIMAL:
			return put_amount(r, b, how, segment->kind == PGW_PH_AMOUNT_DECIMAL);
		case PGW_PH_CURRENCY:
			return pgw_render_text(r, b, how, p->currency);
		case PGW_PH_TOKEN:
			return put_token(r, b, how);
		case PGW_PH_TOKEN_PART:
			return put_token_part(r, b, how, segment);
		case PGW_PH_CUSTOMER:
			return put_customer(r, b, how, segment);
		case PGW_PH_CARD_NUMBER:
			r->card_used |= p->card_number != NULL;
			return pgw_render_text(r, b, how, p->card_number);
		case PGW_PH_CARD_EXPIRY_MONTH:
		case PGW_PH_CARD_EXPIRY_YEAR:
		case PGW_PH_CARD_EXPIRY_MMYY:
			return put_expiry(r, b, how, segment->kind);
		case PGW_PH_CARD_CVV:
			return pgw_render_text(r, b, how, p->card_cvv);
		case PGW_PH_CARD_HOLDER:
			return pgw_render_text(r, b, how, p->card_holder);
		case PGW_PH_TRANSACTION_REF:
			return put_reference(r, b, how, p->transaction_ref);
		case PGW_PH_ORIGINAL_REF:
			return put_reference(r, b, how, p->original_ref);
		case PGW_PH_BANK_REFERENCE:
			return pgw_render_text(r, b, how, p->bank_reference);
		case PGW_PH_OPERATION_REFERENCE:
			return pgw_render_text(r, b, how, p->operation_reference);
		case PGW_PH_NOTIFICATION_ID:
			return pgw_render_text(r, b, how, p->notification_id);
		case PGW_PH_IDEMPOTENCY_KEY:
			return pgw_render_text(r, b, how, p->idempotency_key);
		case PGW_PH_CORRELATION_ID:
			return pgw_render_text(r, b, how, p->correlation_id);
		case PGW_PH_TRACEPARENT:
			return pgw_render_text(r, b, how, p->traceparent);
		case PGW_PH_TRACESTATE:
			return pgw_render_text(r, b, how, p->tracestate);
		case PGW_PH_MERCHANT:
			return pgw_render_text(r, b, how, p->merchant);
		case PGW_PH_REFERENCE:
			return pgw_render_text(r, b, how, p->reference);
		case PGW_PH_REASON:
			return pgw_render_text(r, b, how, p->reason);
		case PGW_PH_FINAL:
			if (r->op != PGW_OP_CAPTURE)
				return PGW_PUT_MISSING;
			if (how == PGW_AS_TYPED)
				return pgw_render_bare(b, p->final_capture ? "true" : "false");
			return pgw_render_text(r, b, how, p->final_capture ? "true" : "false");
		case PGW_PH_SECRET:
			return pgw_render_text(
				r, b, how,
				pgw_secret_value(p->secrets, segment->text != NULL ? segment->text : ""));
		case PGW_PH_CARD_EXPIRY:
			return put_shape(r, b, segment->shape);
		case PGW_PH_CARD_BRAND:
			return pgw_render_text(r, b, how, brand_name(r));
		case PGW_PH_NOW:
			return put_now(r, b, segment->filters[0]);
		case PGW_PH_NONCE:
			return put_nonce(r, b, how);
		case PGW_PH_METHOD:
			return pgw_render_text(r, b, how, r->out->method);
		case PGW_PH_HOST:
		case PGW_PH_PATH:
			return put_place(r, b, how, segment->kind == PGW_PH_HOST);
		case PGW_PH_BODY:
			return pgw_render_text(r, b, how, r->out->body.data != NULL ? r->out->body.data : "");
		case PGW_PH_COMPUTED:
			return pgw_render_computed(r, b, how, segment->computed);
		case PGW_PH_BANK_FIELDS:
			return put_named(r, b, how, &r->bank_fields, segment->text);
		case PGW_PH_SETTINGS:
			return put_named(r, b, how, &r->settings, segment->text);
		case PGW_PH_NONE:
			break;
	}
	return PGW_PUT_MISSING;
}

/* ---- filters ---- */

/* The text becomes what an encoder makes of it; the old one is wiped. */
static void
encode(PgwBuf *text, void (*encoder)(PgwBuf *, const unsigned char *, size_t))
{
	PgwBuf encoded;

	pgw_buf_init(&encoded, text->limit);
	encoder(&encoded, (const unsigned char *) (text->data != NULL ? text->data : ""), text->len);
	pgw_buf_free(text);
	*text = encoded;
}

/* ISO 4217 has three digits, zeros in front included. */
static PgwPut
make_numeric(PgwRender *r, PgwBuf *text)
{
	const PgwCurrency *currency = pgw_currency_find(r->p->currency);

	if (currency == NULL)
		return pgw_render_fault(r, "the currency has no number in ISO 4217");
	pgw_buf_reset(text);
	pgw_buf_printf(text, "%03d", currency->numeric);
	return PGW_PUT_DONE;
}

/* What JSON takes for a number: no zeros in front. */
static const char *
number_of(const char *text)
{
	while (text[0] == '0' && text[1] >= '0' && text[1] <= '9')
		text++;
	return text;
}

/* The times and shapes have written the text themselves. */
static PgwPut
apply(PgwRender *r, PgwBuf *text, PgwFilter filter)
{
	switch (filter)
	{
		case PGW_FILTER_LOWER:
			for (size_t i = 0; i < text->len; i++)
				text->data[i] += text->data[i] >= 'A' && text->data[i] <= 'Z' ? 'a' - 'A' : 0;
			return PGW_PUT_DONE;
		case PGW_FILTER_NUMERIC:
			return make_numeric(r, text);
		case PGW_FILTER_BASE64:
			encode(text, pgw_put_base64);
			return PGW_PUT_DONE;
		case PGW_FILTER_HEX:
			encode(text, pgw_put_hex);
			return PGW_PUT_DONE;
		default:
			return PGW_PUT_DONE;
	}
}

/* A mark has no character that would have to be escaped anywhere, but for what makes it one. */
static PgwPut
put_mark(PgwBuf *b, PgwHow how, const char *mark)
{
	if (mark[0] == '\0')
		return PGW_PUT_MISSING;
	if (how == PGW_AS_TYPED)
		pgw_buf_json_string(b, mark);
	else
		pgw_buf_puts(b, mark);
	return PGW_PUT_DONE;
}

PgwPut
pgw_render_segment(PgwRender *r, PgwBuf *b, PgwHow how, const PgwSegment *segment)
{
	bool number = false;
	char mark[96];
	PgwBuf text;
	PgwPut put;

	if (r->p->masked && pgw_render_mark(r, segment, mark, sizeof(mark)))
	{
		r->token_used |= mark[0] != '\0' &&
						 (segment->kind == PGW_PH_TOKEN || segment->kind == PGW_PH_TOKEN_PART);
		r->card_used |= mark[0] != '\0' && segment->kind == PGW_PH_CARD_NUMBER;
		return put_mark(b, how, mark);
	}
	if (segment->filters[0] == PGW_FILTER_NONE)
		return put_plain(r, b, how, segment);
	pgw_buf_init(&text, PGW_BODY_MAX_BYTES);
	put = put_plain(r, &text, PGW_AS_RAW, segment);
	for (int i = 0; i < PGW_MAX_FILTERS && put == PGW_PUT_DONE; i++)
	{
		put = apply(r, &text, segment->filters[i]);
		number |= segment->filters[i] == PGW_FILTER_NUMBER;
	}
	if (put == PGW_PUT_DONE && text.failed)
		put = pgw_render_fault(r, "a value is too long");
	else if (put == PGW_PUT_DONE && number)
		put = how == PGW_AS_TYPED ? pgw_render_bare(b, number_of(text.data))
								  : pgw_render_text(r, b, how, number_of(text.data));
	else if (put == PGW_PUT_DONE)
		put = pgw_render_text(r, b, how, text.data != NULL ? text.data : "");
	pgw_buf_free(&text);
	return put;
}

PgwPut
pgw_render_left_out(PgwRender *r, const PgwText *text, const PgwSegment *missing)
{
	/* whatever else may have no value does not stand beside them: always_there.c */
	const uint64_t named = PGW_PH_BIT(PGW_PH_TRANSACTION_REF) | PGW_PH_BIT(PGW_PH_ORIGINAL_REF) |
						   PGW_PH_BIT(PGW_PH_BANK_REFERENCE) | PGW_PH_BIT(PGW_PH_REFERENCE) |
						   PGW_PH_BIT(PGW_PH_AMOUNT) | PGW_PH_BIT(PGW_PH_AMOUNT_DECIMAL) |
						   PGW_PH_BIT(PGW_PH_IDEMPOTENCY_KEY);
	char name[80];

	if (missing->kind != PGW_PH_SETTINGS || PGW_MUTATED(SETTING_BESIDE))
		return PGW_PUT_MISSING;
	for (int i = 0; i < text->nsegments; i++)
	{
		if ((PGW_PH_BIT(text->segments[i].kind) & named & r->needs) == 0)
			continue;
		pgw_segment_name(missing, name, sizeof(name));
		return pgw_render_fault(r, "{{%s}} would be left out, because %s has no value",
								pgw_placeholder_name(text->segments[i].kind), name);
	}
	return PGW_PUT_MISSING;
}
