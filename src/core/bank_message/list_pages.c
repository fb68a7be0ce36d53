/*
 * list_pages.c - a look-up's list of several pages: what they say together
 *
 * Invariants: "not found" is said only when the last page says that it is the last, every page
 * could be read, and none has the element; one that is found counts only when the other pages have
 * no second one; whatever else comes (a page that cannot be read or is no list, the same cursor
 * again, too many pages) is unknown.  Between two pages nothing is said.  The next page is the same
 * request with one parameter more: the bank's word for where to go on is never an address.
 */
#include "core/bank_message/list_pages.h"

#include <string.h>

#include "core/bank_message/render_value.h"
#include "core/base/mutant.h"
#include "core/connector/compiled.h"

/* Nothing is known, and nothing of it is kept but when to ask again. */
static void
say_nothing(PgwAnswer *answer)
{
	int http_status = answer->http_status;
	int retry_after_s = answer->retry_after_s;

	explicit_bzero(answer, sizeof(*answer));
	answer->outcome = PGW_OUT_UNKNOWN;
	answer->captured = answer->refunded = -1;
	answer->http_status = http_status;
	answer->retry_after_s = retry_after_s;
}

/* The bank's list is at its end: what was found on one of the pages, or nothing on any. */
static void
say_all(const PgwPages *pages, PgwAnswer *answer)
{
	if (pages->found)
		*answer = pages->answer;
	else
		answer->outcome = PGW_OUT_NOT_FOUND;
	answer->echoed |= pages->echoed;
	answer->card_echoed |= pages->card_echoed;
}

bool
pgw_pages_add(PgwPages *pages, PgwAnswer *answer)
{
	bool goes_on = answer->next_page[0] != '\0';
	bool readable = answer->of_list || (pages->n > 0 && PGW_MUTATED(PAGE_UNREAD));
	bool again = goes_on && strcmp(pages->cursor, answer->next_page) == 0;

	if (pages->n == 0 && !goes_on)
		return false; /* one answer, as any other */
	pages->n++;
	pages->echoed |= answer->echoed;
	pages->card_echoed |= answer->card_echoed;
	if (!readable || (answer->element && pages->found) || again ||
		(goes_on && pages->n >= PGW_MAX_PAGES))
	{
		/* a page of the other mode, or that names another payment, stays told as such */
		bool other_mode = answer->other_mode;
		bool other_reference = answer->other_reference;

		say_nothing(answer);
		answer->other_mode = other_mode;
		answer->other_reference = other_reference;
		answer->echoed = pages->echoed;
		answer->card_echoed = pages->card_echoed;
		return false;
	}
	if (answer->element)
	{
		pages->found = true;
		pages->answer = *answer;
	}
	if (!goes_on)
	{
		say_all(pages, answer);
		return false;
	}
	memcpy(pages->cursor, answer->next_page, sizeof(pages->cursor));
	say_nothing(answer);
	answer->echoed = pages->echoed;
	answer->card_echoed = pages->card_echoed;
	return true;
}

static const PgwSelect *
select_of(const PgwConnector *c, PgwBankOp op, const char *bank_reference)
{
	return &pgw_compiled_op(c, op, bank_reference)->answer.select;
}

bool
pgw_connector_has_pages(const PgwConnector *c, PgwBankOp op, const char *bank_reference)
{
	return pgw_op_is_lookup(op) && pgw_connector_has(c, op) &&
		   select_of(c, op, bank_reference)->next_name != NULL;
}

bool
pgw_connector_next_page(const PgwConnector *c, PgwBankOp op, const char *bank_reference,
						const char *cursor, size_t first_len, PgwBuf *path)
{
	const PgwSelect *select = select_of(c, op, bank_reference);

	pgw_buf_truncate(path, first_len);
	pgw_buf_puts(path, path->len > 0 && strchr(path->data, '?') != NULL ? "&" : "?");
	pgw_render_percent(path, select->next_name);
	pgw_buf_puts(path, "=");
	pgw_render_percent(path, cursor);
	return !path->failed && path->len <= PGW_PATH_MAX_BYTES;
}
