/*
 * log_redaction.c - keeps card data out of lines that the server itself writes
 *
 * Before a statement is analyzed, nobody can refuse it: a syntax error, a function that is missing,
 * a cancel while it waits for a lock, log_statement, and the postmaster's "failed process was
 * running" write its text.  And where the logging of parameters is turned on while statements are
 * prepared, the first one is logged before our code runs.  So each line on its way to the log is
 * looked at: where it may have to do with payments by card (it names a function that pays, it lists
 * bound parameters, or the transaction has paid with a card) and one of its texts holds a card
 * number or gives a call card data as a literal, that text is cut before the first thing that may
 * be secret.  The client gets the same, cut texts.
 *
 * A statement may be long, and may make many lines: it is looked at once, and for what it holds
 * only when a line shows it.  In a database without pgw only the statements of other sessions
 * matter.
 *
 * Owns: the hook on log lines, whether this transaction is watched, what is known of the statement.
 * Runs inside error handling: no catalogs, no locks, no errors; memory of the error's own context
 * only.
 */
#include "postgres.h"

#include <ctype.h>

#include "access/xact.h"
#include "catalog/namespace.h"
#include "tcop/tcopprot.h"
#include "utils/elog.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#include "card_guard/card_calls.h"
#include "card_guard/card_loggers.h"
#include "card_guard/json_errors.h"
#include "card_guard/log_redaction.h"
#include "core/base/mutant.h"
#include "core/card/card_text.h"

#define NOT_SHOWN "(not shown by pgw: it may hold card data)"
#define HEAD_SIZE 64
#define MAX_SEARCHED (4 * 1024 * 1024) /* a longer text counts as one with a number */

static emit_log_hook_type previous_hook = NULL;

/* ---------------------------------------------------------------- whether to look */

/* The message and the transaction in which the session has last paid with a card. */
static TimestampTz paid_in_message = 0;
static TimestampTz paid_in_transaction = 0;
static bool has_paid = false;

/* As far as is known since the schemas last changed. */
static enum
{
	PGW_MAY_BE_HERE,
	PGW_IS_HERE,
	PGW_IS_NOT_HERE
} this_database = PGW_MAY_BE_HERE;

void
pgw_log_redaction_watch(void)
{
	paid_in_message = GetCurrentStatementStartTimestamp();
	paid_in_transaction = GetCurrentTransactionStartTimestamp();
	has_paid = true;
}

static bool
is_watched(void)
{
	return has_paid && (paid_in_message == GetCurrentStatementStartTimestamp() ||
						paid_in_transaction == GetCurrentTransactionStartTimestamp());
}

static void
schemas_changed(Datum arg, int cache, uint32 hash)
{
	this_database = PGW_MAY_BE_HERE;
}

bool
pgw_log_redaction_learn_database(void)
{
	static bool told_of_changes = false;

	if (!told_of_changes)
		CacheRegisterSyscacheCallback(NAMESPACEOID, schemas_changed, (Datum) 0);
	told_of_changes = true;
	if (this_database == PGW_MAY_BE_HERE)
		this_database = OidIsValid(get_namespace_oid("pgw", true)) ? PGW_IS_HERE : PGW_IS_NOT_HERE;
	return this_database == PGW_IS_HERE;
}

/* ---------------------------------------------------------------- what a text holds */

static bool
mentions(const char *text)
{
	return text != NULL && pgw_find_call(text, strlen(text)) != NULL;
}

static bool
holds_number(const char *text)
{
	size_t len = text != NULL ? strlen(text) : 0;

	return len > MAX_SEARCHED || (len > 0 && pgw_text_may_have_card_number(text, len));
}

static bool
holds_literal(const char *text, bool names_count)
{
	return text != NULL && pgw_call_has_literal(text, strlen(text), names_count) &&
		   !PGW_MUTATED(LOGGED_LITERAL);
}

/* Up to the function's name, the first quote or the first digits that may be a number's. */
static size_t
harmless_length(const char *text)
{
	const char *mention = pgw_find_call(text, strlen(text));
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

/* Has the text to do with payments by card, as far as can be told? */
static bool
concerns_us(const char *text)
{
	return mentions(text) || lists_parameters(text);
}

/* ---------------------------------------------------------------- the statement */

typedef enum Known
{
	NOT_KNOWN,
	KNOWN_NO,
	KNOWN_YES
} Known;

/* Which statement it is, and what was found in it. */
static struct
{
	const char *text;
	TimestampTz start;
	char head[HEAD_SIZE]; /* background workers need not set a start */
	bool mentions;
	Known holds_secret;
} statement;

static void
look_at_statement(void)
{
	TimestampTz start = GetCurrentStatementStartTimestamp();

	if (debug_query_string == NULL)
	{
		memset(&statement, 0, sizeof(statement));
		return;
	}
	if (statement.text == debug_query_string && statement.start == start &&
		strncmp(statement.head, debug_query_string, HEAD_SIZE) == 0)
		return;
	statement.text = debug_query_string;
	statement.start = start;
	strncpy(statement.head, debug_query_string, HEAD_SIZE);
	statement.mentions = mentions(debug_query_string);
	statement.holds_secret = NOT_KNOWN;
}

static bool
statement_holds_secret(void)
{
	if (statement.text == NULL)
		return false;
	if (statement.holds_secret == NOT_KNOWN)
		statement.holds_secret = holds_number(statement.text) || holds_literal(statement.text, true)
									 ? KNOWN_YES
									 : KNOWN_NO;
	return statement.holds_secret == KNOWN_YES;
}

/* As elog.c decides it. */
static bool
shows_statement(const ErrorData *line)
{
	if (line->hide_stmt || debug_query_string == NULL || line->elevel == WARNING_CLIENT_ONLY)
		return false;
	if (line->elevel == LOG || line->elevel == LOG_SERVER_ONLY)
		return log_min_error_statement == LOG || log_min_error_statement <= ERROR;
	if (log_min_error_statement == LOG)
		return line->elevel >= FATAL;
	return line->elevel >= log_min_error_statement;
}

/* ---------------------------------------------------------------- a line */

static void
cut_at(char **text, size_t len)
{
	while (len > 0 && (*text)[len - 1] == ' ')
		len--;
	*text = psprintf("%.*s %s", (int) len, *text, NOT_SHOWN);
}

/*
 * A session that has paid with a card may pay again: its lists of parameters are cut also where the
 * number is too short to be seen as one.
 */
static void
cut(char **text, bool names_count)
{
	if (holds_number(*text) || (has_paid && lists_parameters(*text)) ||
		holds_literal(*text, names_count))
		cut_at(text, harmless_length(*text));
}

/*
 * A deadlock: for the client, DETAIL says who waits for whom; for the log it has the same at its
 * beginning, and then the statements of all sessions that are part of it.
 */
static void
cut_detail_log(ErrorData *line)
{
	size_t n = line->detail != NULL ? strlen(line->detail) : 0;

	if (line->detail_log == NULL)
		return;
	if (line->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED && n > 0 &&
		strncmp(line->detail_log, line->detail, n) == 0)
	{
		if (holds_number(line->detail_log + n) || holds_literal(line->detail_log + n, true))
			cut_at(&line->detail_log, n);
		return;
	}
	cut(&line->detail_log, true);
}

/* Where the first quotation begins, in English and other languages; NULL: nowhere. */
static const char *
quotation(const char *text)
{
	static const char *const marks[] = {"\"", "\xC2\xAB", "\xC2\xBB", "\xE2\x80\x9E",
										"\xE2\x80\x9C"};
	const char *first = NULL;

	for (size_t i = 0; i < lengthof(marks); i++)
	{
		const char *at = strstr(text, marks[i]);

		if (at != NULL && (first == NULL || at < first))
			first = at;
	}
	return first;
}

/*
 * An error about a literal quotes it: bad values always, syntax errors where they meet one.  Names
 * and keywords may be read.
 */
static void
cut_quoted(ErrorData *line)
{
	const char *at = line->message != NULL ? quotation(line->message) : NULL;

	if (at == NULL)
		return;
	if (ERRCODE_TO_CATEGORY(line->sqlerrcode) != ERRCODE_DATA_EXCEPTION &&
		!(line->sqlerrcode == ERRCODE_SYNTAX_ERROR && strpbrk(at, "'0123456789") != NULL))
		return;
	cut_at(&line->message, (size_t) (at - line->message));
}

static bool
may_concern_us(const ErrorData *line)
{
	if (this_database == PGW_IS_NOT_HERE)
		return mentions(line->detail_log);
	return is_watched() || statement.mentions || concerns_us(line->message) ||
		   concerns_us(line->detail) || concerns_us(line->detail_log) ||
		   concerns_us(line->context) || mentions(line->internalquery);
}

static void
guard_line(ErrorData *line)
{
	bool secret_query = false;

	if (this_database != PGW_IS_NOT_HERE)
	{
		look_at_statement();
		pgw_json_errors_guard(line);
	}
	if (!may_concern_us(line) || PGW_MUTATED(LOG_REDACTION))
		return;
	if (this_database != PGW_IS_NOT_HERE && shows_statement(line) && statement_holds_secret())
		line->hide_stmt = secret_query = true;
	if (holds_number(line->internalquery) || holds_literal(line->internalquery, true))
	{
		line->internalquery = NULL;
		line->internalpos = 0;
		secret_query = true;
	}
	if (secret_query)
		cut_quoted(line);
	cut(&line->message, true);
	cut_detail_log(line);
	cut(&line->detail, true);
	cut(&line->hint, true);

	/* In PL/pgSQL's statements names are variables. */
	cut(&line->context, false);
}

static void
guard(ErrorData *line)
{
	guard_line(line);
	if (previous_hook != NULL)
		previous_hook(line);
}

void
pgw_log_redaction_init(void)
{
	previous_hook = emit_log_hook;
	emit_log_hook = guard;
	pgw_loggers_beneath("emit_log", (void *) previous_hook);
}
