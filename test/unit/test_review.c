/*
 * test_review.c - every cell of the review grid against a transcription, the edges of
 * state_machine.c and the page in docs/
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "check_docs.h"
#include "core/payment/review_rules.h"

#define LENGTH(a) ((int) (sizeof(a) / sizeof((a)[0])))

static const char *const actions[] = {"retry", "mark_charged", "mark_not_charged", "mark_refunded",
									  "refund"};

/*
 * kind | came from[,came from] | where each action leads, "-": refused; typed by hand, not from
 * review_rules.c
 */
static const char *const expected[] = {
	"payment|Created,BankUnknown|BankUnknown BankApproved Failed - -",
	"payment|BankApproved|BankApproved BankApproved - Refunded Refunding",
	"payment|Saved|Saved Completed - Refunded Refunding",
	"payment|Refunding|Refunding - Failed Refunded -",
	"payment|Refunded|Refunding - - Refunded -",
	"payment|Failed|Failed - Failed Refunded -",
	"capture|Created,BankUnknown|BankUnknown BankApproved Failed - -",
	"void,refund|Created,BankUnknown|BankUnknown - Failed BankApproved -",
	"capture,void,refund|BankApproved|BankApproved - - - -",
	"capture|Saved|BankUnknown BankApproved Failed - -",
	"void,refund|Saved|BankUnknown - Failed BankApproved -",
	"refund|Completed|- - Failed Completed -",
	"capture|Completed|- Completed Failed - -",
	"capture|Failed|- Completed Failed - -",
	"void,refund|Failed|- - Failed Completed -",
};

static bool
has_word(const char *list, size_t len, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; p < list + len;)
	{
		size_t w = strcspn(p, ",|");

		if (w == n && strncmp(p, word, n) == 0)
			return true;
		p += w + 1;
	}
	return false;
}

/* The state that an action should lead to; "-": refused; NULL: no review comes from there. */
static const char *
should(int kind, int from, int action, char *word)
{
	for (int i = 0; i < LENGTH(expected); i++)
	{
		const char *bar = strchr(expected[i], '|');
		const char *bar2 = strchr(bar + 1, '|');
		const char *p = bar2 + 1;

		if (!has_word(expected[i], bar - expected[i], pgw_kind_name((PgwKind) kind)) ||
			!has_word(bar + 1, bar2 - bar - 1, pgw_state_name((PgwState) from)))
			continue;
		for (int skip = action; skip > 0; skip--)
			p = strchr(p, ' ') + 1;
		snprintf(word, 32, "%.*s", (int) strcspn(p, " "), p);
		return word;
	}
	return NULL;
}

static void
every_cell(void **unused)
{
	int allowed = 0;

	(void) unused;
	for (int kind = 0; kind < PGW_NKINDS; kind++)
		for (int from = 0; from < PGW_NSTATES; from++)
			for (int a = 0; a < PGW_NREVIEW_ACTIONS; a++)
			{
				char word[32];
				const char *want = should(kind, from, a, word);
				const PgwReviewCell *cell =
					pgw_review_cell((PgwKind) kind, (PgwState) from, (PgwReviewAction) a);

				if (want == NULL)
				{
					assert_null(cell);
					continue;
				}
				assert_non_null(cell);
				if (strcmp(want, "-") == 0)
				{
					assert_int_equal(cell->to, PGW_STATE_NONE);
					assert_true(cell->refusal != NULL && strlen(cell->refusal) > 20);
					continue;
				}
				assert_string_equal(pgw_state_name(cell->to), want);
				assert_null(cell->refusal);
				allowed++;
			}
	assert_int_equal(allowed, 62);
	assert_null(pgw_review_cell(PGW_KIND_PAYMENT, PGW_CREATED, (PgwReviewAction) -1));
	assert_null(pgw_review_cell(PGW_KIND_PAYMENT, PGW_CREATED, PGW_NREVIEW_ACTIONS));
	assert_null(pgw_review_cell((PgwKind) -1, PGW_CREATED, PGW_REVIEW_RETRY));
}

/*
 * Every state from which an attempt can come to be reviewed has its row, no other has one, and none
 * leads off the legal edges.
 */
static void
fits_the_states(void **unused)
{
	size_t n;
	const PgwReviewRow *rows = pgw_review_rows(&n);

	(void) unused;
	for (int kind = 0; kind < PGW_NKINDS; kind++)
		for (int from = 0; from < PGW_NSTATES; from++)
		{
			bool reviewed =
				pgw_event_legal((PgwKind) kind, (PgwState) from, PGW_REQUIRES_MANUAL_REVIEW,
								PGW_EV_MANUAL_REVIEW_REQUIRED);

			assert_int_equal(pgw_review_cell((PgwKind) kind, (PgwState) from, PGW_REVIEW_RETRY) !=
								 NULL,
							 reviewed);
		}
	for (size_t i = 0; i < n; i++)
	{
		bool any = false;

		for (size_t j = 0; j < i; j++)
			assert_false(rows[i].kind == rows[j].kind && rows[i].from == rows[j].from);
		for (int a = 0; a < PGW_NREVIEW_ACTIONS; a++)
		{
			PgwState to = rows[i].cells[a].to;

			any = any || to != PGW_STATE_NONE;
			assert_true(to == PGW_STATE_NONE ||
						pgw_event_legal(rows[i].kind, PGW_REQUIRES_MANUAL_REVIEW, to,
										PGW_EV_MANUAL_REVIEW_RESOLVED));
		}
		assert_true(any); /* nothing is stuck for good */
	}
}

/* What keeps an operator from paying twice, as far as the grid can. */
static void
safe(void **unused)
{
	size_t n;
	const PgwReviewRow *rows = pgw_review_rows(&n);

	(void) unused;
	for (size_t i = 0; i < n; i++)
	{
		const PgwReviewCell *c = rows[i].cells;
		bool in_doubt = rows[i].from == PGW_CREATED || rows[i].from == PGW_BANK_UNKNOWN;

		for (int a = 0; a < PGW_NREVIEW_ACTIONS; a++)
			/* from there it would be sent without a look */
			assert_int_not_equal(c[a].to, PGW_CREATED);
		if (in_doubt)
		{
			assert_int_equal(c[PGW_REVIEW_REFUND].to, PGW_STATE_NONE);
			assert_int_equal(c[PGW_REVIEW_RETRY].to, PGW_BANK_UNKNOWN);
		}
		if (rows[i].from == PGW_REFUNDING || rows[i].from == PGW_REFUNDED)
		{
			assert_int_equal(c[PGW_REVIEW_REFUND].to, PGW_STATE_NONE);
			assert_int_equal(c[PGW_REVIEW_MARK_CHARGED].to, PGW_STATE_NONE);
		}
	}
	for (int a = 0; a < PGW_NREVIEW_ACTIONS; a++)
		assert_int_equal(pgw_review_needs_reference((PgwReviewAction) a),
						 a == PGW_REVIEW_MARK_CHARGED || a == PGW_REVIEW_MARK_REFUNDED);
	assert_true(pgw_review_key_did_nothing("refused"));
	assert_false(pgw_review_key_did_nothing("no_way_to_find_out"));
	assert_false(pgw_review_key_did_nothing("charge_not_found"));
	assert_false(pgw_review_key_did_nothing("no_operation"));
	assert_false(pgw_review_key_did_nothing(NULL));
}

static void
names(void **unused)
{
	(void) unused;
	assert_int_equal(LENGTH(actions), PGW_NREVIEW_ACTIONS);
	for (int i = 0; i < PGW_NREVIEW_ACTIONS; i++)
	{
		assert_string_equal(pgw_review_action_name((PgwReviewAction) i), actions[i]);
		assert_int_equal(pgw_review_action_parse(actions[i]), i);
	}
	assert_null(pgw_review_action_name(PGW_NREVIEW_ACTIONS));
	assert_int_equal(pgw_review_action_parse("Retry"), -1);
	assert_int_equal(pgw_review_action_parse(NULL), -1);
}

/*
 * The refusals in the order in which the grid first gives them; returns the number of this one,
 * from 1.
 */
static void
docs_agree(void **unused)
{
	const char *refusals[MAX_REFUSALS];
	int nrefusals = 0;
	char want[1024];
	size_t n;
	const PgwReviewRow *rows = pgw_review_rows(&n);
	FILE *f = open_docs(
		"docs/manual-review.md",
		"| kind | came from | retry | mark_charged | mark_not_charged | mark_refunded | refund |");

	(void) unused;
	for (size_t i = 0; i < n; i++)
	{
		int len = snprintf(want, sizeof(want), "| %s | %s |", pgw_kind_name(rows[i].kind),
						   pgw_state_name(rows[i].from));

		for (int a = 0; a < PGW_NREVIEW_ACTIONS; a++)
		{
			const PgwReviewCell *cell = &rows[i].cells[a];

			if (cell->to != PGW_STATE_NONE)
				len += snprintf(want + len, sizeof(want) - len, " %s |", pgw_state_name(cell->to));
			else
				len += snprintf(want + len, sizeof(want) - len, " no (%d) |",
								number_of(refusals, &nrefusals, cell->refusal));
		}
		expect_line(f, want);
	}
	expect_line(f, "");
	fclose(f);

	f = open_docs("docs/manual-review.md", "| no | why, and what to do instead |");
	for (int i = 0; i < nrefusals; i++)
	{
		snprintf(want, sizeof(want), "| %d | %s |", i + 1, refusals[i]);
		expect_line(f, want);
	}
	expect_line(f, "");
	fclose(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cell), cmocka_unit_test(fits_the_states), cmocka_unit_test(safe),
		cmocka_unit_test(names),      cmocka_unit_test(docs_agree),
	};

	return cmocka_run_group_tests_name("review", tests, NULL, NULL);
}
