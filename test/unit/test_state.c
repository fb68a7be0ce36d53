/*
 * test_state.c - every (kind, from, to, event) against a transcription of the contract's table, and
 * the pages that show it
 *
 * The transcription below is typed from the contract, in its own form (several states and events to
 * a row), not from state_machine.c.
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
#include "core/state/state_machine.h"
#include "core/state/steps.h"

/* from[,from] | to[,to] | events | kinds: * all, p payment, c capture, v void, r refund */
static const char *const contract[] = {
	"-|Created|TransactionStarted|*",
	"Created|Created|BankProcessingStarted,BankRetryScheduled|*",
	"Created|Created|BankSwitched|p",
	"Created,BankUnknown|BankApproved|BankProcessingCompleted|*",
	"Created,BankUnknown|Failed|BankProcessingFailed,TransactionFailed|*",
	"Created|BankUnknown|BankOutcomeUnknown,BankProcessingPending|*",
	"BankUnknown|BankUnknown|BankStatusChecked|*",
	"Created,BankUnknown|Refunding|BankOutcomeUnacceptable,CompensationStarted,RefundStarted|p",
	"Created|Created|TransactionAdopted|*",
	"BankUnknown|BankUnknown|TransactionAdopted|*",
	"BankApproved|BankApproved|TransactionAdopted|*",
	"Created,BankUnknown,BankApproved|RequiresManualReview|ManualReviewRequired|*",
	"BankApproved|BankApproved|PaymentDataSaveStarted|*",
	"BankApproved|Saved|PaymentDataSaveCompleted|*",
	"Saved|Completed|TransactionCompleted|*",
	"BankApproved|Completed|PaymentDataSaveCompleted,TransactionCompleted|*",
	"Saved|Saved|BankAccepted|*",
	"Saved|Failed|BankProcessingFailed,TransactionFailed|vr",
	"Saved|RequiresManualReview|CaptureReversed|pc",
	"Refunding|Refunding|BankAccepted|p",
	"Saved|Saved|CaptureStarted,CaptureFailed,CaptureRetryScheduled|p",
	"Saved|Completed|CaptureCompleted|p",
	"Saved|Refunding|CompensationStarted,RefundStarted|p",
	"BankApproved|Refunding|PaymentDataSaveFailed,CompensationStarted,RefundStarted|p",
	"Refunding|Refunding|RefundFailed,RefundPending,RefundOutcomeUnknown,RefundRetryScheduled,RefundStarted|p",
	"Refunding|Refunded|RefundCompleted|p",
	"Saved|RequiresManualReview|ManualReviewRequired|*",
	"Refunding|RequiresManualReview|ManualReviewRequired|p",
	"Refunded|RequiresManualReview|RefundReversed,ManualReviewRequired|p",
	"Completed|RequiresManualReview|RefundReversed|r",
	"Completed|RequiresManualReview|CaptureReversed|c",
	"Completed|RequiresManualReview|ManualReviewRequired|cr",
	"Completed|Completed|AuthorizationExpired|p",
	"Completed|Completed|InquiryOpened,DisputeOpened,DisputeWithdrawn,DisputeReinstated,DisputeClosed|p",
	"Failed|Refunding|LateApprovalReceived,CompensationStarted,RefundStarted|p",
	"Failed|RequiresManualReview|LateApprovalReceived,ManualReviewRequired|*",
	"Created|BankApproved|BankReported|cvr",
	"Completed|Failed|BankReported|r",
	"RequiresManualReview|BankUnknown,BankApproved,Completed,Failed|ManualReviewResolved|*",
	"RequiresManualReview|Saved,Refunding,Refunded|ManualReviewResolved|p",
};

static const char *const states[] = {
	"Created",   "BankApproved",         "Saved",       "Completed", "Failed",
	"Refunding", "RequiresManualReview", "BankUnknown", "Refunded"};

static const char *const events[] = {"TransactionStarted",
									 "BankProcessingStarted",
									 "BankProcessingCompleted",
									 "BankProcessingFailed",
									 "BankProcessingPending",
									 "BankRetryScheduled",
									 "BankSwitched",
									 "BankOutcomeUnknown",
									 "BankOutcomeUnacceptable",
									 "BankStatusChecked",
									 "BankAccepted",
									 "PaymentDataSaveStarted",
									 "PaymentDataSaveCompleted",
									 "PaymentDataSaveFailed",
									 "TransactionAdopted",
									 "TransactionCompleted",
									 "TransactionFailed",
									 "CaptureStarted",
									 "CaptureCompleted",
									 "CaptureFailed",
									 "CaptureRetryScheduled",
									 "CaptureReversed",
									 "AuthorizationExpired",
									 "CompensationStarted",
									 "RefundStarted",
									 "RefundCompleted",
									 "RefundFailed",
									 "RefundPending",
									 "RefundOutcomeUnknown",
									 "RefundRetryScheduled",
									 "RefundReversed",
									 "LateApprovalReceived",
									 "ManualReviewRequired",
									 "ManualReviewResolved",
									 "BankReported",
									 "InquiryOpened",
									 "DisputeOpened",
									 "DisputeWithdrawn",
									 "DisputeReinstated",
									 "DisputeClosed"};

#define LENGTH(a) ((int) (sizeof(a) / sizeof((a)[0])))

/* Is name one of the comma separated words between the given bars of row? */
static bool
row_has(const char *row, int column, const char *name)
{
	size_t len = strlen(name);

	for (; column > 0; column--)
		row = strchr(row, '|') + 1;
	for (;;)
	{
		size_t word = strcspn(row, ",|");

		if (word == len && strncmp(row, name, len) == 0)
			return true;
		if (row[word] != ',')
			return false;
		row += word + 1;
	}
}

static bool
expected(int kind, const char *from, const char *to, const char *event)
{
	for (int i = 0; i < LENGTH(contract); i++)
	{
		static const char letters[] = {[PGW_KIND_PAYMENT] = 'p',
									   [PGW_KIND_CAPTURE] = 'c',
									   [PGW_KIND_VOID] = 'v',
									   [PGW_KIND_REFUND] = 'r'};
		const char *who = strrchr(contract[i], '|') + 1;

		if (row_has(contract[i], 0, from) && row_has(contract[i], 1, to) &&
			row_has(contract[i], 2, event) && (who[0] == '*' || strchr(who, letters[kind]) != NULL))
			return true;
	}
	return false;
}

static void
every_triple(void **unused)
{
	int legal = 0;

	(void) unused;
	for (int kind = 0; kind < PGW_NKINDS; kind++)
		for (int from = -1; from < PGW_NSTATES; from++)
			for (int to = -1; to < PGW_NSTATES; to++)
			{
				bool any = false;

				for (int e = 0; e < PGW_NEVENTS; e++)
				{
					bool want = expected(kind, from < 0 ? "-" : states[from],
										 to < 0 ? "-" : states[to], events[e]);
					bool got = pgw_event_legal((PgwKind) kind, (PgwState) from, (PgwState) to,
											   (PgwEventType) e);

					if (want != got)
						fail_msg("kind %d: %s -> %s, %s: contract %d, table %d", kind,
								 from < 0 ? "-" : states[from], to < 0 ? "-" : states[to],
								 events[e], want, got);
					any = any || want;
					legal += got;
				}
				assert_int_equal(pgw_edge_legal((PgwKind) kind, (PgwState) from, (PgwState) to),
								 any);
			}
	assert_true(legal > 100);
	assert_false(pgw_edge_legal((PgwKind) PGW_NKINDS, PGW_CREATED, PGW_CREATED));
	assert_false(pgw_edge_legal((PgwKind) -1, PGW_CREATED, PGW_CREATED));
}

static void
no_row_twice(void **unused)
{
	size_t n;
	const PgwEdge *e = pgw_edges(&n);

	(void) unused;
	for (size_t i = 0; i < n; i++)
	{
		assert_true(e[i].kinds != 0 && e[i].kinds < PGW_KIND_BIT(PGW_NKINDS));
		for (size_t j = 0; j < i; j++)
			assert_false(e[i].from == e[j].from && e[i].to == e[j].to && e[i].event == e[j].event);
	}
}

/*
 * Each state but the first can be reached, and each state but Completed of some kinds can be left.
 */
static void
all_reachable(void **unused)
{
	(void) unused;
	for (int to = 0; to < PGW_NSTATES; to++)
	{
		bool reached = false;

		for (int from = -1; from < PGW_NSTATES; from++)
			reached = reached || (from != to &&
								  pgw_edge_legal(PGW_KIND_PAYMENT, (PgwState) from, (PgwState) to));
		assert_true(reached);
	}
}

static void
names(void **unused)
{
	(void) unused;
	assert_int_equal(LENGTH(states), PGW_NSTATES);
	assert_int_equal(LENGTH(events), PGW_NEVENTS);
	for (int i = 0; i < PGW_NSTATES; i++)
	{
		assert_string_equal(pgw_state_name((PgwState) i), states[i]);
		assert_int_equal(pgw_state_parse(states[i]), i);
		assert_int_equal(pgw_state_is_final((PgwState) i),
						 i == PGW_COMPLETED || i == PGW_FAILED || i == PGW_REFUNDED);
	}
	for (int i = 0; i < PGW_NEVENTS; i++)
	{
		assert_string_equal(pgw_event_name((PgwEventType) i), events[i]);
		assert_int_equal(pgw_event_parse(events[i]), i);
	}
	for (int i = 0; i < PGW_NKINDS; i++)
		assert_int_equal(pgw_kind_parse(pgw_kind_name((PgwKind) i)), i);
	assert_string_equal(pgw_kind_name(PGW_KIND_VOID), "void");
	assert_null(pgw_state_name(PGW_STATE_NONE));
	assert_null(pgw_state_name(PGW_NSTATES));
	assert_null(pgw_event_name(PGW_NEVENTS));
	assert_null(pgw_kind_name(PGW_NKINDS));
	assert_int_equal(pgw_state_parse(NULL), PGW_STATE_NONE);
	assert_int_equal(pgw_state_parse("created"), PGW_STATE_NONE);
	assert_int_equal(pgw_event_parse("x"), -1);
	assert_int_equal(pgw_kind_parse(NULL), -1);
	assert_false(pgw_state_is_final(PGW_STATE_NONE));
}

/* Whole histories of the contract, as a fold would walk them. */
static void
histories(void **unused)
{
	static const char *const walks[] = {
		"TransactionStarted>Created BankProcessingStarted>Created BankProcessingCompleted>BankApproved "
		"PaymentDataSaveStarted>BankApproved TransactionAdopted>BankApproved PaymentDataSaveStarted>BankApproved "
		"PaymentDataSaveCompleted>Saved TransactionCompleted>Completed",
		"TransactionStarted>Created BankProcessingStarted>Created BankOutcomeUnknown>BankUnknown "
		"BankStatusChecked>BankUnknown ManualReviewRequired>RequiresManualReview ManualReviewResolved>Refunding "
		"RefundFailed>Refunding RefundRetryScheduled>Refunding RefundStarted>Refunding RefundCompleted>Refunded",
	};

	(void) unused;
	for (int i = 0; i < LENGTH(walks); i++)
	{
		char copy[1024];
		char *save;
		PgwState at = PGW_STATE_NONE;

		snprintf(copy, sizeof(copy), "%s", walks[i]);
		for (char *step = strtok_r(copy, " ", &save); step != NULL;
			 step = strtok_r(NULL, " ", &save))
		{
			char *arrow = strchr(step, '>');
			PgwState to = pgw_state_parse(arrow + 1);

			*arrow = '\0';
			assert_true(
				pgw_event_legal(PGW_KIND_PAYMENT, at, to, (PgwEventType) pgw_event_parse(step)));
			at = to;
		}
	}
}

/* The rows of docs/state-machine.md's table of edges are those of the table, in its order. */
/* Of an update that may stand for several events. */
static void
steps_lead(void **unused)
{
	static const struct
	{
		PgwKind kind;
		PgwState from;
		PgwState to;
		int64_t steps;
		bool lead;
	} cases[] = {
		{PGW_KIND_PAYMENT, PGW_CREATED, PGW_BANK_APPROVED, 1, true},
		/* the approval, and that its data are being saved */
		{PGW_KIND_PAYMENT, PGW_CREATED, PGW_BANK_APPROVED, 2, true},
		{PGW_KIND_PAYMENT, PGW_CREATED, PGW_COMPLETED, 4, true},
		/* two events stand together on one edge */
		{PGW_KIND_PAYMENT, PGW_BANK_APPROVED, PGW_COMPLETED, 2, true},
		{PGW_KIND_PAYMENT, PGW_CREATED, PGW_COMPLETED, 1, false},
		{PGW_KIND_PAYMENT, PGW_COMPLETED, PGW_CREATED, 3, false},
		{PGW_KIND_PAYMENT, PGW_FAILED, PGW_COMPLETED, 40, true},
		/* the bank says by itself that it was done after all, and a person that it was */
		{PGW_KIND_CAPTURE, PGW_FAILED, PGW_COMPLETED, 40, true},
		/* no event */
		{PGW_KIND_PAYMENT, PGW_CREATED, PGW_CREATED, 0, true},
		{PGW_KIND_PAYMENT, PGW_REFUNDED, PGW_REFUNDED, 0, true},
		{PGW_KIND_PAYMENT, PGW_CREATED, PGW_BANK_APPROVED, 0, false},
		{PGW_KIND_PAYMENT, PGW_CREATED, PGW_CREATED, -1, false},
		{PGW_KIND_PAYMENT, PGW_BANK_APPROVED, PGW_COMPLETED, -2, false},
		{PGW_KIND_PAYMENT, PGW_COMPLETED, PGW_COMPLETED, INT64_MAX, true},
		{PGW_KIND_REFUND, PGW_FAILED, PGW_FAILED, INT64_MAX, true},
		{PGW_KIND_REFUND, PGW_FAILED, PGW_CREATED, 40, false},
		{PGW_KIND_PAYMENT, PGW_STATE_NONE, PGW_CREATED, 1, false},
		{PGW_KIND_PAYMENT, PGW_CREATED, PGW_STATE_NONE, 1, false},
	};

	(void) unused;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		/* the second time it comes from the cache */
		for (int again = 0; again < 2; again++)
		{
			if (pgw_steps_lead(cases[i].kind, cases[i].from, cases[i].to, cases[i].steps) !=
				cases[i].lead)
				fail_msg("case %zu", i);
		}
	}
}

/* As the page has it: "all", or their names. */
static const char *
kinds_named(unsigned kinds)
{
	static char text[64];

	if (kinds == (1u << PGW_NKINDS) - 1)
		return "all";
	text[0] = '\0';
	for (int kind = 0; kind < PGW_NKINDS; kind++)
	{
		if ((kinds & PGW_KIND_BIT(kind)) == 0)
			continue;
		if (text[0] != '\0')
			strcat(text, ", ");
		strcat(text, pgw_kind_name((PgwKind) kind));
	}
	return text;
}

static void
docs_agree(void **unused)
{
	const char *dir = getenv("PGW_SRCDIR");
	char path[1024];
	char line[512];
	char want[512];
	size_t n;
	size_t row = 0;
	bool in_table = false;
	const PgwEdge *e = pgw_edges(&n);
	FILE *f;

	(void) unused;
	snprintf(path, sizeof(path), "%s/docs/state-machine.md", dir ? dir : ".");
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL)
	{
		if (strcmp(line, "| from | to | event | kind |\n") == 0)
		{
			assert_non_null(fgets(line, sizeof(line), f));
			in_table = true;
			continue;
		}
		if (!in_table)
			continue;
		if (line[0] != '|')
			break;
		assert_true(row < n);
		snprintf(want, sizeof(want), "| %s | %s | %s | %s |\n",
				 e[row].from == PGW_STATE_NONE ? "None" : pgw_state_name(e[row].from),
				 pgw_state_name(e[row].to), pgw_event_name(e[row].event),
				 kinds_named(e[row].kinds));
		assert_string_equal(line, want);
		row++;
	}
	fclose(f);
	assert_int_equal(row, n);
}

/* What stands on a side of an arrow; "[*]" is the beginning, or the end. */
static PgwState
pictured_state(const char *name)
{
	return strcmp(name, "[*]") == 0 ? PGW_STATE_NONE : pgw_state_parse(name);
}

/* The kinds that may go from one state to the other. */
static unsigned
kinds_of_edge(PgwState from, PgwState to)
{
	unsigned kinds = 0;

	for (int k = 0; k < PGW_NKINDS; k++)
	{
		if (pgw_edge_legal((PgwKind) k, from, to))
			kinds |= PGW_KIND_BIT(k);
	}
	return kinds;
}

/*
 * The arrows of a page's picture, each once, as a table of from and to.  Each leads along an edge
 * of one of these kinds, or from a final state to the end. Returns how many edges there are.
 */
static int
read_picture(const char *page, unsigned kinds, bool seen[PGW_NSTATES + 1][PGW_NSTATES])
{
	FILE *f = open_docs_at(page, "stateDiagram-v2");
	char line[1024];
	int n = 0;
	int ends = 0;

	while (fgets(line, sizeof(line), f) != NULL && strncmp(line, "```", 3) != 0)
	{
		char from[64];
		char to[64];
		PgwState a;
		PgwState b;

		assert_int_equal(sscanf(line, " %63s --> %63[^:\n]", from, to), 2);
		a = pictured_state(from);
		b = pictured_state(to);
		if (strcmp(to, "[*]") == 0)
		{
			assert_true(pgw_state_is_final(a));
			ends++;
			continue;
		}
		assert_true(b != PGW_STATE_NONE);
		if ((kinds_of_edge(a, b) & kinds) == 0)
			fail_msg("%s shows %s --> %s, which is no edge", page, from, to);
		assert_false(seen[a + 1][b]);
		seen[a + 1][b] = true;
		n++;
	}
	fclose(f);
	assert_int_equal(ends, 3);
	return n;
}

/*
 * Every arrow of the README's picture is an edge of a payment; the picture of docs/state-machine.md
 * has them all, but for those that lead from a state to itself.
 */
static void
pictures_agree(void **unused)
{
	bool seen[PGW_NSTATES + 1][PGW_NSTATES] = {{false}};
	bool usual[PGW_NSTATES + 1][PGW_NSTATES] = {{false}};
	size_t n;
	const PgwEdge *e = pgw_edges(&n);

	(void) unused;
	assert_true(read_picture("README.md", PGW_KIND_BIT(PGW_KIND_PAYMENT), usual) >= 10);
	assert_true(read_picture("docs/state-machine.md", ~0u, seen) > 0);
	for (size_t i = 0; i < n; i++)
	{
		if (e[i].from != e[i].to && !seen[e[i].from + 1][e[i].to])
			fail_msg("docs/state-machine.md does not show %s --> %s",
					 e[i].from == PGW_STATE_NONE ? "[*]" : pgw_state_name(e[i].from),
					 pgw_state_name(e[i].to));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_triple),  cmocka_unit_test(no_row_twice),
		cmocka_unit_test(all_reachable), cmocka_unit_test(names),
		cmocka_unit_test(steps_lead),    cmocka_unit_test(histories),
		cmocka_unit_test(docs_agree),    cmocka_unit_test(pictures_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
