/*
 * log_guard.c - keeps card numbers out of lines that the server itself writes
 *
 * Before a statement is analyzed, nobody can refuse it: a syntax error, a function that is missing,
 * a cancel while it waits for a lock, log_statement, and the postmaster's "failed process was
 * running" write its text.  And where the logging of parameters is turned on while statements are
 * prepared, the first one is logged before our code runs.  So each line on its way to the log is
 * looked at: where it may have to do with payments by card (it names process_payment, it lists
 * bound parameters, or the session has paid with a card) and one of its texts holds a card number,
 * that text is cut before the first thing that may be secret; with the number go CVV and holder,
 * which stand beside it.  The client gets the same, cut texts.
 *
 * Owns: the hook on log lines, and whether this session is watched.  Runs inside error handling: no
 * catalogs, no locks, no errors; memory of the error's own context only.
 */
#include "postgres.h"

#include <ctype.h>

#include "tcop/tcopprot.h"
#include "utils/elog.h"

#include "card_guard/card_loggers.h"
#include "card_guard/log_guard.h"
#include "core/base/mutant.h"
#include "core/card/card_text.h"

#define FUNCTION "process_payment"
#define NOT_SHOWN "(not shown by pgw: it may hold card data)"

static emit_log_hook_type previous_hook = NULL;
static bool watched = false;

void
pgw_log_guard_watch(void)
{
	watched = true;
}

/* Where the function's name ends; NULL: nowhere. */
static const char *
after_mention(const char *text, size_t len)
{
	size_t n = strlen(FUNCTION);

	for (size_t i = 0; i + n <= len; i++)
	{
		if ((text[i] == 'p' || text[i] == 'P') && pg_strncasecmp(text + i, FUNCTION, n) == 0)
			return text + i + n;
	}
	return NULL;
}

bool
pgw_log_guard_mentions(const char *text, size_t len)
{
	return after_mention(text, len) != NULL;
}

static bool
mentions(const char *text)
{
	return text != NULL && after_mention(text, strlen(text)) != NULL;
}

static bool
holds_number(const char *text)
{
	return text != NULL && pgw_text_has_card_number(text, strlen(text));
}

/* Up to the function's name, the first quote or the first digits that may be a number's. */
static size_t
harmless_length(const char *text)
{
	const char *mention = after_mention(text, strlen(text));
	size_t max = mention != NULL ? (size_t) (mention - text) : strlen(text);

	for (size_t i = 0; i < max; i++)
	{
		if (text[i] == '\'' ||
			(isdigit((unsigned char) text[i]) && isdigit((unsigned char) text[i + 1]) &&
			 isdigit((unsigned char) text[i + 2]) && isdigit((unsigned char) text[i + 3])))
			return i;
	}
	return max;
}

/*
 * A list of bound parameters, in any language; or a line of pgaudit's, which may have one.  They
 * come with the first call through a function of the caller's own.
 */
static bool
lists_parameters(const char *text)
{
	return text != NULL && (strstr(text, "$1 = '") != NULL || strstr(text, "$1 = NULL") != NULL ||
							strncmp(text, "AUDIT: ", 7) == 0);
}

/*
 * A session that has paid with a card may pay again: its lists of parameters are cut also where the
 * number is too short to be seen as one.
 */
static void
cut(char **text)
{
	if (holds_number(*text) || (watched && lists_parameters(*text)))
		*text = psprintf("%.*s %s", (int) harmless_length(*text), *text, NOT_SHOWN);
}

/* Has the text to do with payments by card, as far as can be told? */
static bool
concerns_us(const char *text)
{
	return mentions(text) || lists_parameters(text);
}

static void
guard_line(ErrorData *line)
{
	if (!watched && !concerns_us(line->message) && !concerns_us(line->detail) &&
		!concerns_us(line->detail_log) && !concerns_us(line->context) &&
		!mentions(line->internalquery) && !mentions(debug_query_string))
		return;
	if (PGW_MUTATED(LOG_GUARD))
		return;
	if (holds_number(debug_query_string))
		line->hide_stmt = true;
	cut(&line->message);
	cut(&line->detail);
	cut(&line->detail_log);
	cut(&line->hint);
	cut(&line->context);
	if (holds_number(line->internalquery))
	{
		line->internalquery = NULL;
		line->internalpos = 0;
	}
}

static void
guard(ErrorData *line)
{
	guard_line(line);
	if (previous_hook != NULL)
		previous_hook(line);
}

void
pgw_log_guard_init(void)
{
	previous_hook = emit_log_hook;
	emit_log_hook = guard;
	pgw_loggers_beneath("emit_log", (void *) previous_hook);
}
