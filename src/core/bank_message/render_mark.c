/*
 * render_mark.c - what stands for values that nobody is to see, in a request that is shown to
 * people
 *
 * Owns the list of such values.  Invariant: of a value nothing stands in its mark but the last four
 * digits of a card number.
 */
#include "core/bank_message/render_value.h"

#include <stdio.h>
#include <string.h>

#include "core/json/json_text.h"

static const char *
last4_of(const char *number)
{
	size_t len = strlen(number);

	return len >= 12 ? number + len - 4 : "";
}

/* An object without members is a sample: it has everything that is asked of it. */
static void
mark_token_part(const PgwRender *r, const PgwSegment *segment, char *mark, size_t size)
{
	const char *where = segment->text;
	PgwJson v;

	if (!r->token_is_object ||
		(r->token.members.n > 0 && (!pgw_answer_body_follow(&r->token, &segment->pointer, &v) ||
									pgw_json_type(&v) == PGW_JSON_NULL)))
		return;
	if (where[strspn(where, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-/")] !=
		'\0')
		where = "";
	snprintf(mark, size, "(token%s%.60s)", *where != '\0' ? "." : "", where);
}

static void
mark_customer(const PgwRender *r, const PgwSegment *segment, char *mark, size_t size)
{
	PgwJson v;

	if (r->p->customer == NULL || (r->customer.members.n > 0 &&
								   (!pgw_answer_body_follow(&r->customer, &segment->pointer, &v) ||
									pgw_json_type(&v) == PGW_JSON_NULL)))
		return;
	snprintf(mark, size, "(customer%s%s)", *segment->text != '\0' ? "." : "", segment->text);
}

bool
pgw_render_mark(const PgwRender *r, const PgwSegment *segment, char *mark, size_t size)
{
	const PgwCallParams *p = r->p;

	mark[0] = '\0';
	switch (segment->kind)
	{
		case PGW_PH_SECRET:
			snprintf(mark, size, segment->text != NULL ? "(secret.%s)" : "(secret)", segment->text);
			return true;
		case PGW_PH_COMPUTED:
			snprintf(mark, size, "(computed.%s)", r->connector->computed[segment->computed].name);
			return true;
		case PGW_PH_TOKEN:
			if (r->token_is_object)
				snprintf(mark, size, "(token)");
			return r->token_is_object;
		case PGW_PH_TOKEN_PART:
			mark_token_part(r, segment, mark, size);
			return true;
		case PGW_PH_CUSTOMER:
			mark_customer(r, segment, mark, size);
			return true;
		case PGW_PH_CARD_NUMBER:
			if (p->card_number != NULL)
				snprintf(mark, size, "************%s", last4_of(p->card_number));
			return true;
		case PGW_PH_CARD_CVV:
			snprintf(mark, size, "%s", p->card_cvv != NULL ? "***" : "");
			return true;
		case PGW_PH_CARD_HOLDER:
			snprintf(mark, size, "%s", p->card_holder != NULL ? "(card_holder)" : "");
			return true;
		default:
			return false;
	}
}
