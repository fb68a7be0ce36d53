/*
 * trace_context.h - the trace that a call is part of: options.traceparent and options.tracestate,
 * as W3C Trace Context has them
 *
 * Plain data of bounded size.
 */
#ifndef PGW_CORE_REQUEST_TRACE_CONTEXT_H
#define PGW_CORE_REQUEST_TRACE_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/buf.h"

#define PGW_TRACEPARENT_LENGTH 55 /* of version 00 */
#define PGW_MAX_TRACEPARENT_BYTES 255
#define PGW_MAX_TRACESTATE_BYTES 512

/*
 * The member of bank_fields that keeps it beside the attempt.  No caller's member and no
 * placeholder has such a name.
 */
#define PGW_TRACE_FIELD "pgw.trace"

/* "": none, or what of it is not kept: pgw_trace_header() */
typedef struct PgwTrace
{
	char parent[PGW_TRACEPARENT_LENGTH + 1]; /* in the form of version 00, of whatever it came */
	char state[PGW_MAX_TRACESTATE_BYTES + 1];
} PgwTrace;

/* Read a text.  false: nothing else can be made of it, *message says what is wrong. */
extern bool pgw_trace_read_parent(const char *text, PgwTrace *t, const char **message);
extern bool pgw_trace_read_state(const char *text, PgwTrace *t, const char **message);

/*
 * May an id of it be a card's number?  Random digits look like one once in some ten thousand
 * calls, so that is no reason to refuse a payment; but it is not kept either.
 */
extern bool pgw_trace_parent_like_card(const PgwTrace *t);

/* In the place of what is not kept. */
extern void pgw_trace_hide_parent(PgwTrace *t);
extern void pgw_trace_hide_state(PgwTrace *t);

/* What of it goes into a header: NULL where there is none, or it is not kept. */
extern const char *pgw_trace_header(const char *text);

/* bank_fields (JSON text of an object) with the trace; nothing is appended where there is none. */
extern void pgw_trace_into_fields(const PgwTrace *t, const char *bank_fields, PgwBuf *out);

/* ... and out of them again.  false: there is none. */
extern bool pgw_trace_of_fields(const char *bank_fields, PgwTrace *t);

#endif
