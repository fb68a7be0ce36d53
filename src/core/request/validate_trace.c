/*
 * validate_trace.c - checks of the trace that a call is part of: options.traceparent, tracestate
 *
 * Both are kept, and go to the bank.  This call's own card in them is refused as everywhere.  What
 * only looks like somebody's card is not: a trace's ids are random, made by a library that knows of
 * no cards, and a payment must not fail for them.  It is left out instead (trace_context.h).
 */
#include "core/request/validate_internal.h"

#include <string.h>

#include "core/base/mutant.h"
#include "core/json/json_text.h"

#define PARENT "options.traceparent"
#define STATE "options.tracestate"

/* A string into text; false: there is none (JSON null), or a fault was told. */
static bool
read_string(PgwChecker *c, const char *field, const PgwJson *value, char *text, size_t size,
			const char *too_long)
{
	size_t len;

	text[0] = '\0';
	if (pgw_json_type(value) == PGW_JSON_NULL)
		return false;
	if (pgw_json_type(value) != PGW_JSON_STRING)
	{
		pgw_check_fault(c, field, "invalid_format", "must be a string");
		return false;
	}
	len = pgw_json_text(value, text, size - 1);
	text[len < size ? len : 0] = '\0';
	if (len >= size)
		pgw_check_fault(c, field, "too_long", too_long);
	else if (strlen(text) != len)
		pgw_check_fault(c, field, "invalid_format", "must be printable ASCII");
	return len < size && strlen(text) == len;
}

/* This call's own number, anywhere in it; an id may hold the CVV's digits by chance. */
static bool
has_own_card(PgwChecker *c, const char *field, const char *text)
{
	PgwSought own = {.card_number = c->sought.card_number, .last4 = PGW_NO_STRANGERS};

	if (own.card_number == NULL || PGW_MUTATED(TRACE_OWN_CARD) ||
		pgw_card_in_text(&own, PGW_TEXT_ID, text, strlen(text)) == PGW_FOUND_NOTHING)
		return false;
	pgw_check_fault(c, field, "card_number_in_stored_field", "must not contain a card number");
	return true;
}

static void
check_parent(PgwChecker *c, const PgwJson *value, PgwTrace *trace)
{
	char text[PGW_MAX_TRACEPARENT_BYTES + 1];
	const char *message;

	if (!read_string(c, PARENT, value, text, sizeof(text), "must be at most 255 bytes") ||
		has_own_card(c, PARENT, text))
		return;
	if (!pgw_trace_read_parent(text, trace, &message))
		pgw_check_fault(c, PARENT, "invalid_format", message);
	else if (pgw_trace_parent_like_card(trace))
		pgw_trace_hide_parent(trace);
}

static void
check_state(PgwChecker *c, const PgwJson *value, PgwTrace *trace)
{
	char text[PGW_MAX_TRACESTATE_BYTES + 1];
	const char *message;

	if (!read_string(c, STATE, value, text, sizeof(text), "must be at most 512 bytes") ||
		has_own_card(c, STATE, text))
		return;
	if (!pgw_trace_read_state(text, trace, &message))
		pgw_check_fault(c, STATE, "invalid_format", message);
	else if (pgw_card_in_text(NULL, PGW_TEXT_ID, trace->state, strlen(trace->state)) !=
			 PGW_FOUND_NOTHING)
		pgw_trace_hide_state(trace);
}

bool
pgw_check_trace_option(PgwChecker *c, const char *name, const PgwJson *value, PgwTrace *trace)
{
	if (strcmp(name, "traceparent") == 0)
		check_parent(c, value, trace);
	else if (strcmp(name, "tracestate") == 0)
		check_state(c, value, trace);
	else
		return false;
	return true;
}

/* The two together, and with the fields beside which they are kept. */
void
pgw_check_trace(PgwChecker *c, const char *bank_fields, const PgwTrace *trace)
{
	PgwBuf kept;

	if (trace->parent[0] == '\0')
	{
		if (trace->state[0] != '\0')
			pgw_check_fault(c, PARENT, "required", "must be given where options.tracestate is");
		return;
	}
	pgw_buf_init(&kept, 0);
	pgw_trace_into_fields(trace, bank_fields, &kept);
	if (kept.failed || kept.len > PGW_MAX_BANK_FIELDS_BYTES)
		pgw_check_fault(
			c, "options", "too_long",
			"bank_fields, traceparent and tracestate must be at most 4096 bytes together");
	pgw_buf_free(&kept);
}
