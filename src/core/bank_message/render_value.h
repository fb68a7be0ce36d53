/*
 * render_value.h - the value of one placeholder, written in the manner of its place; for
 * render_request.c alone
 */
#ifndef PGW_CORE_BANK_MESSAGE_RENDER_VALUE_H
#define PGW_CORE_BANK_MESSAGE_RENDER_VALUE_H

#include "core/bank_message/answer_body.h"
#include "core/bank_message/render_request.h"
#include "core/connector/compiled.h"
#include "core/json/json_read.h"

typedef enum PgwHow
{
	PGW_AS_JSON,  /* inside a JSON string: escaped */
	PGW_AS_TYPED, /* a whole JSON value */
	PGW_AS_FORM,  /* percent-encoded */
	PGW_AS_PATH,  /* percent-encoded, never empty */
	PGW_AS_HEADER,
	PGW_AS_RAW /* as it is: not for the request yet */
} PgwHow;

typedef enum PgwPut
{
	PGW_PUT_DONE,
	PGW_PUT_MISSING,
	PGW_PUT_FAULT /* err is filled */
} PgwPut;

typedef struct PgwRender
{
	const PgwConnector *connector;
	const PgwCallParams *p;
	PgwBankOp op;
	uint64_t needs;   /* see PgwCompiledOp */
	PgwRendered *out; /* what stands of the request already */
	int exponent;     /* the bank's */
	PgwJson bank_fields;
	PgwJson settings;
	bool token_is_object;
	PgwAnswerBody token; /* ... what stands where in it */
	bool token_used;     /* something of the token stands in the request */
	bool card_used;      /* ... the card's number */
	PgwAnswerBody customer;
	bool customer_used; /* ... or has chosen what stands in it */
	PgwConnectorError *err;
	const char *place; /* pointer of header, or NULL: path or body of op */
	const char *part;  /* "path" or "body" */
	bool in_body;      /* what is written goes into the body, and not into a computed value */
	PgwBuf computed[PGW_MAX_COMPUTED];
	bool is_computed[PGW_MAX_COMPUTED];
} PgwRender;

/* Fills err; always PGW_PUT_FAULT. */
extern PgwPut pgw_render_fault(PgwRender *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

extern void pgw_render_percent(PgwBuf *b, const char *s);
extern PgwPut pgw_render_text(PgwRender *r, PgwBuf *b, PgwHow how, const char *s);

/* A number or true/false: bare in a JSON value. */
extern PgwPut pgw_render_bare(PgwBuf *b, const char *s);
extern PgwPut pgw_render_segment(PgwRender *r, PgwBuf *b, PgwHow how, const PgwSegment *segment);

/* This text is left out for want of this one's value: a fault where it would name what is meant. */
extern PgwPut pgw_render_left_out(PgwRender *r, const PgwText *text, const PgwSegment *missing);

/*
 * render_mark.c: what stands for the value, whatever the filters would make of it; false: the value
 * may be seen.  *mark is empty where there is no value.
 */
extern bool pgw_render_mark(const PgwRender *r, const PgwSegment *segment, char *mark, size_t size);

/* render_computed.c */
extern PgwPut pgw_render_computed(PgwRender *r, PgwBuf *b, PgwHow how, int which);
extern void pgw_render_forget_computed(PgwRender *r);

#endif
