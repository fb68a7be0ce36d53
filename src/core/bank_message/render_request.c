/*
 * render_request.c - render a request from a compiled operation
 *
 * Owns the request as a whole: path, headers, body.  Invariants: what is written goes into the
 * caller's PgwBufs and nowhere else.  A placeholder without a value drops its member, an object or
 * array that had members and lost them all is dropped, and bytes taken back are wiped.
 */
#include "core/bank_message/render_request.h"

#include <stdio.h>
#include <string.h>

#include "core/bank_message/render_value.h"
#include "core/base/buf_json.h"
#include "core/base/mutant.h"
#include "core/card/token_object.h"
#include "core/json/json_text.h"

/* Literals as they are in paths and headers, encoded elsewhere. */
static PgwPut
put_segments(PgwRender *r, PgwBuf *b, PgwHow how, const PgwText *text)
{
	for (int i = 0; i < text->nsegments; i++)
	{
		const PgwSegment *segment = &text->segments[i];
		PgwPut put;

		if (segment->kind != PGW_PH_NONE)
			put = pgw_render_segment(r, b, how, segment);
		else if (how == PGW_AS_PATH || how == PGW_AS_HEADER)
			put = pgw_render_bare(b, segment->text);
		else
			put = pgw_render_text(r, b, how, segment->text);
		if (put == PGW_PUT_MISSING && how == PGW_AS_PATH)
		{
			char name[80];

			pgw_segment_name(segment, name, sizeof(name));
			return pgw_render_fault(r, "the path needs a value for %s", name);
		}
		if (put == PGW_PUT_MISSING && segment->kind != PGW_PH_NONE)
			return pgw_render_left_out(r, text, segment);
		if (put != PGW_PUT_DONE)
			return put;
	}
	return PGW_PUT_DONE;
}

/* ---- bodies ---- */

static PgwPut put_node(PgwRender *r, PgwBuf *b, const PgwNode *node);

static PgwPut
put_children(PgwRender *r, PgwBuf *b, const PgwNode *node)
{
	bool object = node->kind == PGW_NODE_OBJECT;
	int written = 0;

	pgw_buf_append(b, object ? "{" : "[", 1);
	for (int i = 0; i < node->nchildren; i++)
	{
		size_t mark = b->len;
		PgwPut put;

		if (object)
			pgw_buf_json_name(b, node->names[i]);
		else
			pgw_buf_json_comma(b, ",");
		put = put_node(r, b, node->children[i]);
		if (put == PGW_PUT_FAULT)
			return put;
		if (put == PGW_PUT_MISSING)
			pgw_buf_truncate(b, mark);
		else
			written++;
	}
	if (node->nchildren > 0 && written == 0)
		return PGW_PUT_MISSING;
	pgw_buf_append(b, object ? "}" : "]", 1);
	return PGW_PUT_DONE;
}

/*
 * What is written to see whether it has a value is taken back, and wiped.  A token that only
 * chooses is not sent; but what is chosen by the customer would be another request without him, who
 * is kept nowhere, so he counts as used.
 */
static PgwPut
put_choice(PgwRender *r, PgwBuf *b, const PgwNode *node)
{
	for (int i = 0; i < node->nchildren; i++)
	{
		size_t mark = b->len;
		bool token_used = r->token_used;
		bool card_used = r->card_used;
		PgwPut put = put_segments(r, b, PGW_AS_TYPED, &node->choosers[i]);

		if (put == PGW_PUT_FAULT)
			return put;
		r->token_used = token_used;
		r->card_used = card_used;
		pgw_buf_truncate(b, mark);
		if (put == PGW_PUT_DONE)
			return put_node(r, b, node->children[i]);
	}
	return PGW_PUT_MISSING;
}

static PgwPut
put_node(PgwRender *r, PgwBuf *b, const PgwNode *node)
{
	PgwPut put;

	switch (node->kind)
	{
		case PGW_NODE_OBJECT:
		case PGW_NODE_ARRAY:
			return put_children(r, b, node);
		case PGW_NODE_CHOICE:
			return put_choice(r, b, node);
		case PGW_NODE_RAW:
			return pgw_render_bare(b, node->raw);
		case PGW_NODE_TEXT:
			break;
	}
	if (node->text.nsegments == 1)
		return put_segments(r, b, PGW_AS_TYPED, &node->text);
	pgw_buf_append(b, "\"", 1);
	put = put_segments(r, b, PGW_AS_JSON, &node->text);
	pgw_buf_append(b, "\"", 1);
	return put;
}

static PgwPut
put_form(PgwRender *r, PgwBuf *b, const PgwNode *body)
{
	for (int i = 0; i < body->nchildren; i++)
	{
		const PgwNode *node = body->children[i];
		size_t mark = b->len;
		PgwPut put;

		if (b->len > 0)
			pgw_buf_append(b, "&", 1);
		pgw_render_percent(b, body->names[i]);
		pgw_buf_append(b, "=", 1);
		if (node->kind == PGW_NODE_RAW)
			put = pgw_render_text(r, b, PGW_AS_FORM, node->raw);
		else
			put = put_segments(r, b, PGW_AS_FORM, &node->text);
		if (put == PGW_PUT_FAULT)
			return put;
		if (put == PGW_PUT_MISSING)
			pgw_buf_truncate(b, mark);
	}
	return b->len > 0 ? PGW_PUT_DONE : PGW_PUT_MISSING;
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
	explicit_bzero(r->digests, sizeof(r->digests));
	r->nheaders = r->ndigests = 0;
	r->has_body = false;
	r->method[0] = '\0';
}

/* An object of settings or bank fields; NULL text: there is none. */
static bool
read_object(PgwRender *r, const char *text, const char *what, PgwJson *object)
{
	size_t len = text != NULL ? strlen(text) : 0;

	if (text == NULL)
		return true;
	if (len > PGW_BODY_MAX_BYTES)
		return pgw_render_fault(r, "%s is too large", what) == PGW_PUT_DONE;
	if (pgw_json_read(text, len, PGW_DOC_MAX_NESTING, object) != PGW_JSON_GOOD ||
		pgw_json_type(object) != PGW_JSON_OBJECT)
		return pgw_render_fault(r, "%s is not a JSON object", what) == PGW_PUT_DONE;
	return true;
}

static void
read_unkept(PgwRender *r)
{
	r->token_is_object = pgw_token_is_object(r->p->token);
	if (r->token_is_object)
		pgw_answer_body_read(r->p->token, strlen(r->p->token), false, &r->token);
	if (r->p->customer != NULL)
		pgw_answer_body_read(r->p->customer, strlen(r->p->customer), false, &r->customer);
}

/*
 * Without what says which charge or refund is meant, nothing is sent: the path notices by itself, a
 * body would leave it out.
 */
static bool
has_identity(PgwRender *r, const PgwCompiledOp *op)
{
	static const PgwPlaceholder identities[] = {PGW_PH_TRANSACTION_REF, PGW_PH_ORIGINAL_REF,
												PGW_PH_BANK_REFERENCE, PGW_PH_REFERENCE,
												PGW_PH_OPERATION_REFERENCE};
	const char *values[] = {r->p->transaction_ref, r->p->original_ref, r->p->bank_reference,
							r->p->reference, r->p->operation_reference};

	for (int i = 0; i < 5; i++)
	{
		if ((op->needs & PGW_PH_BIT(identities[i])) != 0 &&
			(values[i] == NULL || *values[i] == '\0'))
			return pgw_render_fault(r, "the request needs a value for {{%s}}",
									pgw_placeholder_name(identities[i])) == PGW_PUT_DONE;
	}
	return true;
}

static bool
render_headers(PgwRender *r, const PgwCompiledOp *op, PgwRendered *out)
{
	for (int i = 0; i < op->nheaders; i++)
	{
		const PgwHeader *header = &op->headers[i];
		PgwBuf *b = &out->headers[out->nheaders];
		PgwPut put;
		size_t mark;

		r->place = header->pointer;
		pgw_buf_puts(b, header->name);
		pgw_buf_puts(b, ": ");
		mark = b->len;
		put = put_segments(r, b, PGW_AS_HEADER, &header->value);
		if (put == PGW_PUT_FAULT)
			return false;
		if (b->failed)
			return pgw_render_fault(r, "header %s is too long", header->name) == PGW_PUT_DONE;
		if (put == PGW_PUT_MISSING || b->len == mark)
			pgw_buf_reset(b);
		else
			out->nheaders++;
	}
	return true;
}

static bool
render_body(PgwRender *r, const PgwCompiledOp *op, PgwRendered *out)
{
	PgwPut put;

	if (op->body == NULL)
		return true;
	r->in_body = true;
	if (op->encoding == PGW_ENC_FORM)
		put = put_form(r, &out->body, op->body);
	else
		put = put_node(r, &out->body, op->body);
	r->in_body = false;
	if (put == PGW_PUT_FAULT)
		return false;
	if (out->body.failed)
		return pgw_render_fault(r, "the body is too large") == PGW_PUT_DONE;
	if (put == PGW_PUT_MISSING)
		pgw_buf_reset(&out->body);
	out->has_body = put == PGW_PUT_DONE;
	return true;
}

/*
 * A charge that holds nothing of what pays would be paid by nothing, or by what the bank knows of
 * somebody: a place of an object that is not there drops its member, and so may a choice.
 */
static bool
is_paid(PgwRender *r)
{
	bool charges = r->op == PGW_OP_CHARGE || r->op == PGW_OP_AUTHORIZE;

	if (!charges || r->token_used || r->card_used ||
		(r->p->token == NULL && r->p->card_number == NULL) || PGW_MUTATED(PAID_BY_NOTHING))
		return true;
	return pgw_render_fault(
			   r,
			   r->token_is_object
				   ? "the token is an object that has nothing at the places which the request names"
				   : "the request would hold neither the token nor the card's number") ==
		   PGW_PUT_DONE;
}

/* The headers come last, because a signature in one of them may cover path and body. */
static bool
render_parts(PgwRender *r, const PgwCompiledOp *op, PgwRendered *out)
{
	r->part = "path";
	if (put_segments(r, &out->path, PGW_AS_PATH, &op->path) != PGW_PUT_DONE)
		return false;
	if (out->path.failed)
		return pgw_render_fault(r, "the path is too long") == PGW_PUT_DONE;
	r->part = "body";
	return has_identity(r, op) && render_body(r, op, out) && render_headers(r, op, out) &&
		   is_paid(r);
}

bool
pgw_connector_render(const PgwConnector *c, PgwBankOp which, const PgwCallParams *p, PgwRendered *r,
					 PgwConnectorError *err)
{
	PgwRender state = {.connector = c, .out = r, .p = p, .op = which, .err = err, .part = "body"};
	const PgwCompiledOp *op;
	bool good;

	err->pointer[0] = err->message[0] = '\0';
	explicit_bzero(r->digests, sizeof(r->digests));
	r->nheaders = r->ndigests = 0;
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
	op = pgw_compiled_op(c, which, p->bank_reference);
	memcpy(r->method, op->method, sizeof(r->method));
	state.needs = op->needs;
	state.exponent = pgw_connector_exponent(c, p->currency, p->iso_exponent);
	good = read_object(&state, p->bank_fields, "bank_fields", &state.bank_fields) &&
		   read_object(&state, p->settings, "settings", &state.settings);
	read_unkept(&state);
	good = good && render_parts(&state, op, r);
	r->has_customer = good && state.customer_used;
	pgw_render_forget_computed(&state);
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

/* ---- what can never be sent ---- */

static bool
path_lacks_setting(PgwRender *r, const PgwCompiledOp *op, char *name, size_t size)
{
	bool lacks = false;

	for (int i = 0; i < op->path.nsegments && !lacks; i++)
	{
		const PgwSegment *segment = &op->path.segments[i];
		PgwBuf b;

		if (segment->kind != PGW_PH_SETTINGS)
			continue;
		pgw_buf_init(&b, PGW_PATH_MAX_BYTES);
		lacks = pgw_render_segment(r, &b, PGW_AS_PATH, segment) == PGW_PUT_MISSING;
		pgw_buf_free(&b);
		if (lacks)
			pgw_segment_name(segment, name, size);
	}
	return lacks;
}

bool
pgw_connector_lacks_setting(const PgwConnector *c, const char *settings, PgwBankOp *op, char *name,
							size_t size)
{
	/* a charge is looked up in two ways: with its id, and without */
	static const char *const ids[] = {NULL, "id"};
	PgwCallParams none = {.settings = settings};
	PgwConnectorError err;

	for (int i = 0; i < PGW_NOPS; i++)
	{
		PgwRender state = {.connector = c, .p = &none, .op = (PgwBankOp) i, .err = &err};

		if (!pgw_connector_has(c, state.op))
			continue;
		state.part = "path";
		if (!read_object(&state, settings, "settings", &state.settings))
			return false; /* the table refuses that */
		for (int k = 0; k < 2; k++)
		{
			*op = state.op;
			if (path_lacks_setting(&state, pgw_compiled_op(c, state.op, ids[k]), name, size))
				return true;
		}
	}
	return false;
}
