/*
 * fuzz_exchange.c - a connector document, the answer's status, headers and body as one input, from
 * the document to the decision
 *
 * Input: four control bytes, then document, headers and body, each ended by 0x1E (which stands in
 * none of them raw).  An empty document stands for src/connectors/json.json, or formbank.json or
 * hrefbank.json of test/connectors.  The headers and the body go through the callbacks that libcurl
 * calls (http/transfer.c, included, because they are static), the answer through the connector,
 * what it says through the flow: all as in the worker.
 *
 * What must hold is asked of an oracle that shares no code with what is tested where there is one:
 * json-c's own reader and pointers.
 */
#include <json-c/json.h>
#include <json-c/json_pointer.h>

#include "http/transfer.c"

#include "check_flow.h"
#include "core/bank_message/judge_answer.h"
#include "core/bank_message/render_request.h"
#include "core/bank_message/retry_after.h"
#include "core/base/error_codes.h"
#include "core/connector/compiled.h"
#include "core/json/json_text.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition) \
	do \
	{ \
		if (!(condition)) \
		{ \
			fprintf(stderr, "not so (line %d): %s\n", __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

#define SEPARATOR '\x1E'
#define AMOUNT 1234

static const char ours[] = "0191a2b3c4d5e6f708192a3b4c5d6e7f";
static const char original[] = "0191ffffeeeeddddccccbbbbaaaa9999";

/* ---- stubs of the server ---- */

int max_safe_fds = 240;

bool
AcquireExternalFD(void)
{
	return true;
}

void
ReserveExternalFD(void)
{
}

void
ReleaseExternalFD(void)
{
}

/* ---- the input's parts ---- */

/* A copy that ends where its content ends, so that a read beyond it is seen. */
typedef struct Part
{
	char *data;
	size_t len;
} Part;

static Part
next_part(const uint8_t **at, const uint8_t *end)
{
	const uint8_t *stop = memchr(*at, SEPARATOR, (size_t) (end - *at));
	Part p;

	if (stop == NULL)
		stop = end;
	p.len = (size_t) (stop - *at);
	p.data = malloc(p.len > 0 ? p.len : 1);
	memcpy(p.data, *at, p.len);
	*at = stop < end ? stop + 1 : end;
	return p;
}

static Part
read_document(const char *document)
{
	const char *roots[] = {getenv("PGW_SRCDIR"), ".", "../..", "../../.."};
	Part p = {malloc(65536), 0};

	for (size_t i = 0; p.len == 0 && i < LENGTH(roots); i++)
	{
		char path[1024];
		FILE *f;

		snprintf(path, sizeof(path), "%s/%s", roots[i] ? roots[i] : ".", document);
		if ((f = fopen(path, "r")) == NULL)
			continue;
		p.len = fread(p.data, 1, 65536, f);
		fclose(f);
	}
	MUST(p.len > 0);
	return p;
}

/* ---- oracles ---- */

/* RFC 3629: no overlong form, no surrogate, nothing above U+10FFFF. */
static bool
is_utf8(const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *) text;

	for (size_t i = 0; i < len;)
	{
		int more = s[i] < 0x80                    ? 0
				   : s[i] >= 0xC2 && s[i] <= 0xDF ? 1
				   : (s[i] & 0xF0) == 0xE0        ? 2
				   : s[i] >= 0xF0 && s[i] <= 0xF4 ? 3
												  : -1;

		if (more < 0 || len - i <= (size_t) more)
			return false;
		for (int k = 1; k <= more; k++)
		{
			if ((s[i + k] & 0xC0) != 0x80)
				return false;
		}
		if ((s[i] == 0xE0 && s[i + 1] < 0xA0) || (s[i] == 0xED && s[i + 1] > 0x9F) ||
			(s[i] == 0xF0 && s[i + 1] < 0x90) || (s[i] == 0xF4 && s[i + 1] > 0x8F))
			return false;
		i += (size_t) more + 1;
	}
	return true;
}

/* What goes into a table, a result or a message: terminated, UTF-8, no control characters. */
static bool
is_plain(const char *text, size_t size)
{
	size_t len = strnlen(text, size);

	for (size_t i = 0; i < len; i++)
	{
		if ((unsigned char) text[i] < 0x20 || text[i] == 0x7F)
			return false;
	}
	return len < size && is_utf8(text, len);
}

static json_object *
parse(Part p)
{
	json_tokener *t = json_tokener_new_ex(PGW_ANSWER_MAX_NESTING + 1);
	json_object *v;

	if (p.len >= 3 && memcmp(p.data, "\xEF\xBB\xBF", 3) == 0)
		v = json_tokener_parse_ex(t, p.data + 3, (int) p.len - 3);
	else
		v = json_tokener_parse_ex(t, p.data, (int) p.len);
	json_tokener_free(t);
	return v;
}

/* What the document says of an operation's answers; NULL: nothing. */
static json_object *
answer_member(json_object *document, PgwBankOp op, const char *name)
{
	json_object *v = document;
	const char *path[] = {"operations", pgw_op_name(op), "answer", name};

	for (size_t i = 0; i < LENGTH(path); i++)
	{
		if (!json_object_object_get_ex(v, path[i], &v))
			return NULL;
	}
	return v;
}

/* What stands in the body where the document says that the field is; NULL: nothing, or null. */
static json_object *
field_of(json_object *document, PgwBankOp op, json_object *body, const char *field)
{
	json_object *pointer;
	json_object *v;

	if (!json_object_object_get_ex(answer_member(document, op, "fields"), field, &pointer))
		return NULL;
	return json_pointer_get(body, json_object_get_string(pointer), &v) == 0 ? v : NULL;
}

/* An integer that the bank counts in the currency's own minor units. */
static bool
plain_amount(json_object *document, PgwBankOp op, json_object *v)
{
	json_object *capabilities;
	json_object *exponents;
	json_object *format;

	if (!json_object_is_type(v, json_type_int) ||
		(json_object_object_get_ex(answer_member(document, op, "fields"), "amount_format",
								   &format) &&
		 strcmp(json_object_get_string(format), "integer") != 0))
		return false;
	return !json_object_object_get_ex(document, "capabilities", &capabilities) ||
		   !json_object_object_get_ex(capabilities, "exponents", &exponents) ||
		   !json_object_object_get_ex(exponents, "EUR", NULL);
}

/* ---- what must hold ---- */

static void
check_rendered(const PgwRendered *r, bool document_is_utf8)
{
	MUST(r->path.len > 0 && r->path.len <= PGW_PATH_MAX_BYTES && r->path.data[0] == '/');
	for (size_t i = 0; i < r->path.len; i++)
		MUST(r->path.data[i] > ' ' && r->path.data[i] < 0x7F);
	MUST(r->nheaders <= PGW_MAX_HEADERS && pgw_http_is_token(r->method));
	for (int i = 0; i < r->nheaders; i++)
	{
		const PgwBuf *h = &r->headers[i];

		MUST(h->len <= PGW_HEADER_MAX_BYTES && strlen(h->data) == h->len);
		for (size_t j = 0; j < h->len; j++)
			MUST(((unsigned char) h->data[j] >= ' ' || h->data[j] == '\t') && h->data[j] != 0x7F);
	}
	MUST(r->has_body == (r->body.len > 0) && r->body.len <= PGW_BODY_MAX_BYTES);
	MUST(!r->has_body || !document_is_utf8 || is_utf8(r->body.data, r->body.len));
}

static void
check_answer(const PgwQuestion *q, const PgwAnswer *a, const Transfer *done, json_object *document,
			 json_object *body)
{
	PgwJson whole;
	bool readable =
		done->body.len > 0 && pgw_json_read(done->body.data, done->body.len, PGW_ANSWER_MAX_NESTING,
											&whole) == PGW_JSON_GOOD;
	json_object *v;

	MUST(is_plain(a->bank_reference, sizeof(a->bank_reference)) &&
		 is_plain(a->authorization_code, sizeof(a->authorization_code)));
	MUST(is_plain(a->bank_code, sizeof(a->bank_code)) &&
		 is_plain(a->card_brand, sizeof(a->card_brand)));
	MUST(a->card_last4[0] == '\0' ||
		 (strlen(a->card_last4) == 4 && strspn(a->card_last4, "0123456789") == 4));
	MUST(a->currency[0] == '\0' ||
		 (strlen(a->currency) == 3 && strspn(a->currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 3));
	MUST(a->error_code[0] == '\0' || pgw_error_find(a->error_code) != NULL);
	MUST(a->amount >= 0 && a->captured >= -1 && a->refunded >= -1 &&
		 !(a->has_amount && a->amount_unreadable && a->currency[0] != '\0'));
	MUST(a->retry_after_s >= -1 && a->retry_after_s <= PGW_RETRY_AFTER_MAX_S);
	MUST(a->bank_reference[0] == '\0' || !a->bank_reference_invalid);
	if (a->other_reference)
		MUST(a->outcome == PGW_OUT_UNKNOWN && a->bank_reference[0] == '\0' &&
			 a->bank_code[0] == '\0' && !a->has_amount && a->captured == -1);

	/* an answer without a body says something by its status and headers, and never of a charge */
	if (done->body.len == 0 && a->http_status >= 200 && a->http_status <= 299 &&
		a->outcome != PGW_OUT_UNKNOWN && q->op != PGW_OP_PING)
	{
		MUST(a->outcome != PGW_OUT_DECLINED && !a->has_amount && a->captured == -1);
		MUST(a->outcome != PGW_OUT_APPROVED ||
			 (q->op != PGW_OP_CHARGE && q->op != PGW_OP_AUTHORIZE && !pgw_op_is_lookup(q->op)));
		return;
	}
	/* nothing is said to have happened, or to be there or not, by what cannot be read */
	if (q->op != PGW_OP_PING && a->outcome != PGW_OUT_UNKNOWN && a->outcome != PGW_OUT_REJECTED &&
		a->outcome != PGW_OUT_NOT_PROCESSED)
		MUST(readable && body != NULL);
	/* of what json-c alone can read nothing counts but the status */
	if (a->outcome == PGW_OUT_UNKNOWN || body == NULL || !readable)
		return;

	/* it is about ours, and says of the amount what stands there */
	v = field_of(document, q->op, body, "reference");
	if (json_object_is_type(v, json_type_string))
		MUST(strcasestr(json_object_get_string(v), ours) != NULL ||
			 strcasestr(json_object_get_string(v), original) != NULL);
	v = field_of(document, q->op, body, "amount");
	if (v != NULL && plain_amount(document, q->op, v) && json_object_get_int64(v) < INT64_MAX &&
		json_object_get_int64(v) > INT64_MIN)
		MUST(json_object_get_int64(v) < 0 ? a->amount_unreadable
										  : a->has_amount && a->amount == json_object_get_int64(v));
}

static bool
says_no(const PgwChargeInput *in)
{
	switch (in->answer->outcome)
	{
		case PGW_OUT_DECLINED:
		case PGW_OUT_REQUIRES_ACTION:
			return true;
		case PGW_OUT_REJECTED:
		case PGW_OUT_NOT_PROCESSED:
			return !in->in_doubt;
		case PGW_OUT_NOT_FOUND:
			return in->op == PGW_OP_LOOKUP_CHARGE && in->not_found_counts && !in->approved_before;
		default:
			return false;
	}
}

static void
check_decision(const PgwChargeInput *in, const PgwDecision *d)
{
	const PgwAnswer *a = in->answer;
	const char *wrong = events_wrong(PGW_KIND_PAYMENT, in->state, d);

	if (wrong != NULL)
		fprintf(stderr, "%s\n", wrong);
	MUST(wrong == NULL);

	/*
	 * a yes is one to what was asked, from an answer that was whole; money that was taken otherwise
	 * is never kept
	 */
	if (d->state == PGW_BANK_APPROVED || d->state == PGW_SAVED || d->state == PGW_COMPLETED)
		MUST(in->transport == PGW_TRANSPORT_ANSWERED && a->outcome == PGW_OUT_APPROVED &&
			 !a->amount_unreadable && !a->other_reference &&
			 (!a->has_amount || a->amount == in->amount) &&
			 (a->currency[0] == '\0' || strcmp(a->currency, in->currency) == 0) && !a->voided &&
			 a->refunded <= 0 && !in->lacks_reference);
	/*
	 * a no is said by the bank, or it is not known: no answer, and none that is not understood, is
	 * one
	 */
	if (d->state == PGW_FAILED)
		MUST(in->transport == PGW_TRANSPORT_ANSWERED && says_no(in));
	if (d->payment == PGW_PAYMENT_BECOMES_CAPTURED || d->payment == PGW_PAYMENT_BECOMES_AUTHORIZED)
		MUST(d->authorized_amount == in->amount && d->captured_amount <= in->amount &&
			 (d->state == PGW_SAVED || d->state == PGW_COMPLETED));
	if (d->state == PGW_REFUNDING)
		MUST(in->transport == PGW_TRANSPORT_ANSWERED &&
			 (a->outcome == PGW_OUT_APPROVED || in->approved_before));
}

/* ---- one exchange ---- */

static void
render_all(const PgwConnector *c, bool document_is_utf8)
{
	static const PgwSecretValues s3cret = {1, {{"", "s3cret"}}};
	static const PgwCallParams params = {.amount = AMOUNT,
										 .has_amount = true,
										 .currency = "EUR",
										 .iso_exponent = 2,
										 .token = "tok_\xC3\xA4",
										 .transaction_ref = ours,
										 .original_ref = original,
										 .bank_reference = "ch/1?\xE2\x82\xAC",
										 .idempotency_key = "k",
										 .secrets = &s3cret,
										 .reference = "order \"7\"",
										 .merchant = "m",
										 .bank_fields =
											 "{\"descriptor\": \"a\\u0007b\", \"n\": 1e400}",
										 .settings = "{\"x\": [1, {\"y\": null}]}"};

	for (int op = 0; op < PGW_NOPS; op++)
	{
		PgwConnectorError err;
		PgwRendered r;

		pgw_rendered_init(&r);
		if (pgw_connector_render(c, (PgwBankOp) op, &params, &r, &err))
			check_rendered(&r, document_is_utf8);
		else
			MUST(err.message[0] != '\0' && r.body.len == 0 && r.nheaders == 0 &&
				 (!document_is_utf8 || is_utf8(err.message, strlen(err.message))));
		pgw_rendered_free(&r);
	}
}

/* As libcurl hands them over: a header a line, the body in pieces of its buffer. False: cut off. */
static bool
receive(Transfer *done, Part headers, Part body)
{
	for (size_t at = 0; at < headers.len;)
	{
		char *end = memchr(headers.data + at, '\n', headers.len - at);
		size_t len = end != NULL ? (size_t) (end + 1 - (headers.data + at)) : headers.len - at;

		if (on_header(headers.data + at, 1, len, done) != len)
			return false;
		at += len;
	}
	for (size_t at = 0; at < body.len;)
	{
		size_t len =
			body.len - at < (size_t) ANSWER_BUFFER ? body.len - at : (size_t) ANSWER_BUFFER;

		if (on_body(body.data + at, 1, len, done) != len)
			return false;
		at += len;
	}
	return true;
}

static void
decide(const PgwConnector *c, PgwBankOp op, uint8_t bits, const Transfer *done, const PgwAnswer *a)
{
	bool doubt = op == PGW_OP_LOOKUP_CHARGE || (bits & 1) != 0;
	PgwDecision d;
	PgwChargeInput in = {.kind = PGW_KIND_PAYMENT,
						 .op = op,
						 .state = doubt ? PGW_BANK_UNKNOWN : PGW_CREATED,
						 .in_doubt = doubt,
						 .not_found_counts = (bits & 2) != 0,
						 .capture =
							 op == PGW_OP_AUTHORIZE
								 ? ((bits & 4) != 0 ? PGW_CAPTURE_MANUAL : PGW_CAPTURE_ON_COMMIT)
								 : PGW_CAPTURE_IMMEDIATE,
						 .submitted = (bits & 8) != 0,
						 .payment_locked = (bits & 16) != 0,
						 .amount = AMOUNT,
						 .currency = "EUR",
						 .transport = done->result == PGW_HTTP_ANSWERED ? PGW_TRANSPORT_ANSWERED
																		: PGW_TRANSPORT_MAYBE_SENT,
						 .answer = a,
						 .lacks_reference = a->bank_reference[0] == '\0' &&
											pgw_connector_needs_bank_reference(c, PGW_OP_VOID),
						 .approved_before = doubt && (bits & 32) != 0,
						 .can_lookup = pgw_connector_has(c, PGW_OP_LOOKUP_CHARGE),
						 .can_cancel = pgw_connector_has(c, PGW_OP_CANCEL)};

	pgw_charge_result(&in, &d);
	check_decision(&in, &d);
}

static void
transfer(const PgwConnector *c, json_object *document, const uint8_t *control, Part headers,
		 Part body)
{
	Transfer *done = calloc(1, sizeof(Transfer));
	PgwQuestion q = {.op = (PgwBankOp) (control[0] % PGW_NOPS),
					 .transaction_ref = ours,
					 .original_ref = original,
					 .bank_reference = (control[3] & 64) != 0 ? "ch_1" : NULL,
					 .currency = "EUR",
					 .iso_exponent = 2};
	long status = (control[1] | (control[2] & 3) << 8) % 1000;
	bool whole;
	PgwHttpRequest asked = {0};
	PgwAnswer a = {.captured = -1, .refunded = -1, .retry_after_s = -1};

	done->begun = true;
	done->max_body = (control[2] & 4) != 0 ? 512 : PGW_ANSWER_MAX_BYTES;
	pgw_buf_init(&done->body, 0);
	pgw_buf_init(&done->wanted_headers, 0);
	pgw_buf_init(&done->kept_headers, MAX_KEPT_HEADERS);
	asked.nanswer_headers = pgw_connector_answer_headers(c, &asked.answer_headers);
	MUST(pgw_http_want_headers(done, &asked));
	whole = receive(done, headers, body);
	MUST(done->kept_headers.len <= MAX_KEPT_HEADERS &&
		 (asked.nanswer_headers > 0 || done->kept_headers.len == 0));
	MUST(done->body.len <= done->max_body && done->header_bytes <= MAX_HEADER_BYTES);
	MUST(strnlen(done->retry_after, sizeof(done->retry_after)) < sizeof(done->retry_after));
	pgw_http_classify(done, whole ? CURLE_OK : CURLE_WRITE_ERROR);
	MUST(whole || done->result == PGW_HTTP_MAYBE_SENT);
	if (done->result == PGW_HTTP_ANSWERED)
	{
		PgwAnswer again;
		json_object *read = parse(body);

		PgwGivenAnswer given = {
			.status = status,
			.retry_after = done->retry_after[0] != '\0' ? done->retry_after : NULL,
			.headers = done->kept_headers.len > 0 ? done->kept_headers.data : NULL,
			.body = done->body.data,
			.len = done->body.len};

		pgw_connector_judge(c, &q, &given, &a);
		check_answer(&q, &a, done, document, read);
		json_object_put(read);

		/* from an exact copy, and without the header: the same but for Retry-After */
		given.retry_after = NULL;
		given.body = body.data;
		given.len = body.len;
		pgw_connector_judge(c, &q, &given, &again);
		again.retry_after_s = a.retry_after_s;
		MUST(memcmp(&a, &again, sizeof(a)) == 0);
	}
	if (q.op == PGW_OP_CHARGE || q.op == PGW_OP_AUTHORIZE || q.op == PGW_OP_LOOKUP_CHARGE)
		decide(c, q.op, control[3], done, &a);
	pgw_buf_free(&done->body);
	pgw_buf_free(&done->wanted_headers);
	pgw_buf_free(&done->kept_headers);
	free(done);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const documents[] = {"src/connectors/json.json",
											"test/connectors/formbank.json",
											"test/connectors/hrefbank.json"};
	static PgwConnector *known[3];
	static json_object *texts[3];
	const uint8_t *at = data + 4;
	int which;
	Part parts[3];
	PgwConnectorError err;

	for (int i = 0; i < 3 && known[i] == NULL; i++)
	{
		Part p = read_document(documents[i]);

		known[i] = pgw_connector_compile(p.data, p.len, &err);
		texts[i] = parse(p);
		MUST(known[i] != NULL && texts[i] != NULL);
		free(p.data);
	}
	if (size < 4)
		return 0;
	which = (data[2] & 8) == 0 ? 0 : (data[2] & 16) == 0 ? 1 : 2;
	for (int i = 0; i < 3; i++)
		parts[i] = next_part(&at, data + size);
	if (parts[0].len == 0)
		transfer(known[which], texts[which], data, parts[1], parts[2]);
	else
	{
		PgwConnector *c = pgw_connector_compile(parts[0].data, parts[0].len, &err);
		bool utf8 = is_utf8(parts[0].data, parts[0].len);

		if (c != NULL)
		{
			json_object *document = parse(parts[0]);

			MUST(document != NULL);
			render_all(c, utf8);
			transfer(c, document, data, parts[1], parts[2]);
			json_object_put(document);
		}
		else
		{
			MUST(err.message[0] != '\0' && (err.pointer[0] == '\0' || err.pointer[0] == '/'));
			MUST(!utf8 || (is_utf8(err.message, strlen(err.message)) &&
						   is_utf8(err.pointer, strlen(err.pointer))));
		}
		pgw_connector_free(c);
	}
	for (int i = 0; i < 3; i++)
		free(parts[i].data);
	return 0;
}
