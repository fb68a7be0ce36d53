/*
 * render_computed.c - computed values: digests, HMACs and joined texts
 *
 * Each is computed once for a request, when it is first asked for, of parts that stand already: the
 * path before all, the body before the headers.  Computed anew wherever it stands, one that is made
 * of ten of the one before, and that of ten, would keep the worker for years.  Invariant: what a
 * digest or signature was made of, and its key, are wiped when it is done; the values, when the
 * request is rendered.
 */
#include "core/bank_message/render_value.h"

#include <string.h>

#include "core/base/byte_text.h"
#include "core/base/sha2.h"

/* The request with its JSON, and what is signed around it. */
#define TEXT_MAX_BYTES (PGW_BODY_MAX_BYTES + PGW_BODY_MAX_BYTES)

/* false: a placeholder has no value, or there is a fault. */
static PgwPut
put_text(PgwRender *r, PgwBuf *b, const PgwText *text)
{
	for (int i = 0; i < text->nsegments; i++)
	{
		const PgwSegment *segment = &text->segments[i];
		PgwPut put = segment->kind == PGW_PH_NONE ? pgw_render_bare(b, segment->text)
												  : pgw_render_segment(r, b, PGW_AS_RAW, segment);

		if (put == PGW_PUT_MISSING)
			return pgw_render_left_out(r, text, segment);
		if (put != PGW_PUT_DONE)
			return put;
	}
	return PGW_PUT_DONE;
}

/* A text of which something has no value is left out as a whole. */
static PgwPut
put_texts(PgwRender *r, PgwBuf *b, const PgwComputed *c)
{
	for (int i = 0; i < c->ntexts; i++)
	{
		size_t mark = b->len;
		PgwPut put = put_text(r, b, &c->texts[i]);

		if (put == PGW_PUT_FAULT)
			return put;
		if (put == PGW_PUT_MISSING)
			pgw_buf_truncate(b, mark);
	}
	return b->failed ? pgw_render_fault(r, "what is to be computed is too long") : PGW_PUT_DONE;
}

/* Without its key there is no signature, and no request. */
static PgwPut
sign(PgwRender *r, const PgwComputed *c, const PgwBuf *text, unsigned char *mac, size_t *len)
{
	PgwBuf written;
	PgwBuf key;
	PgwPut put;

	pgw_buf_init(&written, PGW_HEADER_MAX_BYTES);
	pgw_buf_init(&key, PGW_HEADER_MAX_BYTES);
	put = put_text(r, &written, &c->key);
	if (put == PGW_PUT_MISSING || (put == PGW_PUT_DONE && written.len == 0))
		put = pgw_render_fault(r, "{{computed.%s}} needs a value for its key", c->name);
	else if (put == PGW_PUT_DONE && !pgw_read_bytes(written.data, c->key_as, &key))
		put = pgw_render_fault(r, "the key of {{computed.%s}} is not written as \"key_as\" says",
							   c->name);
	if (put == PGW_PUT_DONE)
		*len = pgw_hmac(c->hash, key.data, key.len, text->data != NULL ? text->data : "", text->len,
						mac);
	pgw_buf_free(&written);
	pgw_buf_free(&key);
	return put;
}

/* The value of one, which those before it can stand in. */
static PgwPut
compute(PgwRender *r, const PgwComputed *c, PgwBuf *out)
{
	unsigned char bytes[PGW_SHA2_MAX];
	size_t len = 0;
	PgwBuf text;
	PgwPut put;

	pgw_buf_init(&text, TEXT_MAX_BYTES);
	put = put_texts(r, &text, c);
	if (put == PGW_PUT_DONE && c->kind == PGW_COMPUTED_HMAC)
		put = sign(r, c, &text, bytes, &len);
	else if (c->kind == PGW_COMPUTED_DIGEST)
		len = pgw_sha2(c->hash, text.data != NULL ? text.data : "", text.len, bytes);
	if (c->kind == PGW_COMPUTED_TEXT)
		pgw_put_bytes(out, (const unsigned char *) (text.data != NULL ? text.data : ""), text.len,
					  c->as);
	else
		pgw_put_bytes(out, bytes, len, c->as);
	if (put == PGW_PUT_DONE && out->failed)
		put = pgw_render_fault(r, "{{computed.%s}} is too long", c->name);
	explicit_bzero(bytes, sizeof(bytes));
	pgw_buf_free(&text);
	return put;
}

/* So that what a bank repeats of it is seen (bank_call/echoed_card.c). */
static void
note_digest(PgwRendered *out, const PgwComputed *c, const PgwBuf *value)
{
	if (c->kind == PGW_COMPUTED_DIGEST && c->of_body && out->ndigests < PGW_MAX_BODY_DIGESTS &&
		value->len < PGW_BODY_DIGEST_SIZE)
		memcpy(out->digests[out->ndigests++], value->data, value->len + 1);
}

PgwPut
pgw_render_computed(PgwRender *r, PgwBuf *b, PgwHow how, int which)
{
	PgwBuf *value = &r->computed[which];
	bool in_body = r->in_body;

	if (!r->is_computed[which])
	{
		PgwPut put;

		pgw_buf_init(value, TEXT_MAX_BYTES);
		r->is_computed[which] = true;
		r->in_body = false;
		put = compute(r, &r->connector->computed[which], value);
		r->in_body = in_body;
		if (put != PGW_PUT_DONE)
			return put;
		note_digest(r->out, &r->connector->computed[which], value);
	}
	return pgw_render_text(r, b, how, value->data != NULL ? value->data : "");
}

void
pgw_render_forget_computed(PgwRender *r)
{
	for (int i = 0; i < PGW_MAX_COMPUTED; i++)
	{
		if (r->is_computed[i])
			pgw_buf_free(&r->computed[i]);
		r->is_computed[i] = false;
	}
}
