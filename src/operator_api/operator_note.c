/*
 * operator_note.c - what a note of an operator's may hold, and the options of his call
 *
 * Owns: the rule, one for all functions that take a note.  A note is kept for ever and is shown to
 * people: it holds no card number, no control characters that a terminal would obey, and is not
 * without end.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "core/base/characters.h"
#include "core/card/card_text.h"
#include "core/request/validate.h"
#include "operator_api/operator_note.h"
#include "sql_function/arguments.h"
#include "sql_function/raise_error.h"

bool
pgw_note_is_blank(const char *s)
{
	return s[strspn(s, " \t\r\n")] == '\0';
}

char *
pgw_note_faults(char *before, const char *note, int max_chars)
{
	char *faults = before;

	if (pg_mbstrlen(note) > max_chars)
		faults = pgw_arg_fault(faults, "note", "too_long",
							   psprintf("must be at most %d characters", max_chars));
	if (pgw_has_control(note, "\t\r\n"))
		faults = pgw_arg_fault(faults, "note", "control_characters",
							   "must not contain control characters but tabs and line ends");
	if (strlen(note) <= PGW_MAX_SEARCHED_BYTES && pgw_text_has_card_number(note, strlen(note)))
		faults = pgw_arg_fault(faults, "note", "card_number_in_stored_field",
							   "must not contain a card number");
	return faults;
}

char *
pgw_operator_options(char *before, FunctionCallInfo fcinfo, PgwCallerSays *says)
{
	const char *options = pgw_arg_json(fcinfo, "options");
	char *all = before;
	PgwBuf faults;

	memset(says, 0, sizeof(*says));
	/* malloc'd memory: copied before anything can raise */
	pgw_buf_init(&faults, 0);
	if (pgw_validate_options(options, says->end_user, &faults) > 0 && !faults.failed)
	{
		const char *found = MemoryContextStrdup(CurrentMemoryContext, faults.data);

		all = before != NULL ? psprintf("%s, %s", before, found) : unconstify(char *, found);
	}
	pgw_buf_free(&faults);
	return all;
}
