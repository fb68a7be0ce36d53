/*
 * json_errors.c - what the server says of a text that it cannot read as JSON: without the text
 *
 * Drivers bind "options", "requests" and the like as text that the server's own json_in reads, long
 * before anything of ours runs.  Of one that was cut short, or that holds \u0000, it quotes a word
 * in DETAIL and a whole line in CONTEXT, and Bind adds the parameter behind that: a customer's
 * address, a wallet's token.  Which function it was meant for cannot be known yet, where that is
 * called by one of the application's.
 *
 * Runs inside error handling, as log_redaction.c does.  Knows the errors by what they are before
 * they are translated.  Invariant: of the context only lines that name a function's place remain.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "tcop/tcopprot.h"
#include "utils/elog.h"

#include "card_guard/json_errors.h"
#include "core/base/mutant.h"

#define NOT_SHOWN "(not shown by pgw: it may hold a card's or a customer's data)"

/* No other type's error is without the value itself. */
static bool
is_of_json(const ErrorData *line)
{
	if (line->message_id == NULL || PGW_MUTATED(JSON_ERRORS))
		return false;
	return strcmp(line->message_id, "invalid input syntax for type %s") == 0 ||
		   strcmp(line->message_id, "unsupported Unicode escape sequence") == 0;
}

/* Where is it?  The lines of procedural languages say so; all others may be the value. */
static char *
places(const char *context)
{
	StringInfoData kept;

	initStringInfo(&kept);
	appendStringInfoString(&kept, NOT_SHOWN);
	while (context != NULL && *context != '\0')
	{
		size_t len = strcspn(context, "\n");

		/* names of functions and their types, no quotation */
		if (strncmp(context, "PL/", 3) == 0 && memchr(context, '{', len) == NULL &&
			memchr(context, '"', len) == NULL)
			appendStringInfo(&kept, "\n%.*s", (int) len, context);
		context += len + (context[len] == '\n' ? 1 : 0);
	}
	return kept.data;
}

void
pgw_json_errors_guard(ErrorData *line)
{
	if (!is_of_json(line))
		return;
	if (line->detail != NULL)
		line->detail = pstrdup(NOT_SHOWN);
	if (line->detail_log != NULL)
		line->detail_log = pstrdup(NOT_SHOWN);
	if (line->context != NULL)
		line->context = places(line->context);
	/* a statement that is given the text itself */
	if (debug_query_string != NULL && strchr(debug_query_string, '{') != NULL)
		line->hide_stmt = true;
	if (line->internalquery != NULL && strchr(line->internalquery, '{') != NULL)
	{
		line->internalquery = NULL;
		line->internalpos = 0;
	}
}
