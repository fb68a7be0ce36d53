/*
 * same_request.c - what makes two requests under one client_request_id the same request
 *
 * Owns the list of fields that are compared (contract section 5).  Not compared: CVV, holder,
 * metadata, timeout, options (who asks does not change what is asked for), process or submit.
 *
 * A digest of these fields has no ambiguity: each is a line, and none of them may hold a line end
 * (validate.c).  It has no card number either, only what is stored of the card.
 */
#include "core/request/same_request.h"

#include <stdbool.h>
#include <string.h>

#include "core/base/buf_json.h"

static bool
text_differs(const char *a, const char *b)
{
	return strcmp(a != NULL ? a : "", b != NULL ? b : "") != 0;
}

int
pgw_identity_differ(const PgwIdentity *a, const PgwIdentity *b, PgwBuf *names)
{
	const struct
	{
		const char *name;
		bool differs;
	} fields[] = {
		{"amount", a->amount != b->amount},
		{"currency", text_differs(a->currency, b->currency)},
		{"token", text_differs(a->token, b->token)},
		{"card_number", text_differs(a->card_last4, b->card_last4)},
		{"card_expiry_month", a->card_expiry_month != b->card_expiry_month},
		{"card_expiry_year", a->card_expiry_year % 100 != b->card_expiry_year % 100},
		{"bank", text_differs(a->bank, b->bank)},
		{"capture", a->capture != b->capture},
		{"reference", text_differs(a->reference, b->reference)},
		{"livemode", a->livemode != b->livemode},
	};
	int n = 0;

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
	{
		if (fields[i].differs)
		{
			pgw_buf_json_comma(names, ", ");
			pgw_buf_json_string(names, fields[i].name);
			n++;
		}
	}
	return n;
}

/* ---- the text whose digest is kept ---- */

/* Each field but the first begins a line. */
static void
add_text(PgwBuf *text, const char *s)
{
	pgw_buf_append(text, "\n", 1);
	if (s != NULL)
		pgw_buf_puts(text, s);
}

static void
add_number(PgwBuf *text, int64_t number)
{
	pgw_buf_append(text, "\n", 1);
	pgw_buf_int(text, number);
}

void
pgw_identity_text(const PgwIdentity *a, PgwBuf *text)
{
	pgw_buf_int(text, a->amount);
	add_text(text, a->currency);
	add_text(text, a->token);
	add_text(text, a->card_last4);
	add_number(text, a->card_expiry_month);
	add_number(text, a->card_expiry_year % 100);
	add_text(text, a->bank);
	add_text(text, pgw_capture_name(a->capture));
	add_text(text, a->reference);
	add_number(text, a->livemode);
}

void
pgw_operation_identity_text(const char *payment_id, int64_t amount, bool final, const char *reason,
							PgwBuf *text)
{
	pgw_buf_puts(text, payment_id);
	add_number(text, amount);
	add_number(text, final);
	add_text(text, reason);
}
