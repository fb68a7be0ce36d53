/*
 * reported_by_bank.c - what a bank shows of a charge that pgw has not made
 *
 * Invariants
 *     - Only what is left when all that pgw has done is taken away counts as made at the bank, and
 *       only while nothing of that kind is open: an open operation may be what the bank shows.
 *     - Shown again, the same total adds nothing.
 *     - A total that has become less takes back what was made at the bank, never what pgw has made;
 *       and only if the look-up is known to show all of that.
 *     - What the bank does not name, or nobody can read, is no total.
 *     - Told of one operation by a bank that can be asked nothing, that one is recorded once, by
 *       its id: whoever has made it, and however often and in whatever order it is told; and only
 *       while it cannot be one of pgw's own whose id is not known yet.
 */
#include "core/payment/reported_by_bank.h"

#include <string.h>

#include "core/base/mutant.h"
#include "core/payment/shown_by_bank.h"

/* Sums of a few of them are numbers, too; more is nobody's payment. */
#define MOST (INT64_MAX / 8)

bool
pgw_report_may_matter(PgwPaymentStatus status)
{
	switch (status)
	{
		case PGW_PAY_AUTHORIZED:
		case PGW_PAY_PARTIALLY_CAPTURED:
		case PGW_PAY_CAPTURED:
		case PGW_PAY_PARTIALLY_REFUNDED:
		case PGW_PAY_REFUNDED:
			return true;
		default:
			return false;
	}
}

bool
pgw_report_change_matters(unsigned changes, PgwPaymentStatus status)
{
	bool open = status == PGW_PAY_AUTHORIZED || status == PGW_PAY_PARTIALLY_CAPTURED;

	if ((changes & PGW_CHANGE_CAPTURED) != 0 && open)
		return true;
	if ((changes & PGW_CHANGE_VOIDED) != 0 && pgw_report_may_matter(status) &&
		status != PGW_PAY_REFUNDED)
		return true;
	return (changes & PGW_CHANGE_REFUNDED) != 0 && pgw_report_may_matter(status);
}

/* Does it say how the charge stands?  A no says so, too, of one that was voided. */
static bool
tells(const PgwAnswer *a)
{
	return !a->charge_state_unreadable && !a->other_reference &&
		   (a->outcome == PGW_OUT_APPROVED || (a->outcome == PGW_OUT_DECLINED && a->voided));
}

static int64_t
captured_of(const PgwPaymentAmounts *s)
{
	return s->captured + s->bank_captured;
}

static void
read_captured(const PgwReportInput *in, PgwReport *out)
{
	const PgwPaymentAmounts *s = in->s;
	int64_t more = in->answer->captured - captured_of(s);

	if (in->answer->captured < 0 || more == 0)
		return;
	if (s->reserved > 0 || s->capture_pending > 0)
		out->again = true;
	else if (more > 0)
		out->captured = more;
	else if (in->shows_all)
		out->unexplained = true; /* what was taken of a card is given back, never not taken */
	else
		out->again = true;
}

/* Given back by whatever means; -1: not said. */
static int64_t
refunded_shown(const PgwReportInput *in, int64_t captured)
{
	PgwAsked asked = {.op = PGW_OP_REFUND, .charged = in->s->authorized, .taken = captured};

	return captured > 0 && pgw_shown_undone_by_void(&asked, in->answer) &&
				   in->answer->refunded < captured
			   ? captured
			   : in->answer->refunded;
}

static void
read_refunded(const PgwReportInput *in, PgwReport *out)
{
	const PgwPaymentAmounts *s = in->s;
	int64_t shown = refunded_shown(in, captured_of(s) + out->captured);
	int64_t more = shown - s->refunded - s->bank_refunded;

	if (shown < 0 || more == 0)
		return;
	if (s->refund_pending > 0 && !PGW_MUTATED(REPORTED_WHILE_OPEN))
		out->again = true;
	else if (more > 0)
		out->refunded = more;
	else if (!in->shows_all)
		out->again = true;
	else
	{
		out->taken_back = -more < s->bank_refunded ? -more : s->bank_refunded;
		out->unexplained = -more > s->bank_refunded;
	}
}

static void
read_voided(const PgwReportInput *in, PgwReport *out)
{
	const PgwPaymentAmounts *s = in->s;

	if (!in->answer->voided || s->status != PGW_PAY_AUTHORIZED || captured_of(s) > 0 ||
		in->answer->captured > 0)
		return;
	if (s->reserved > 0 || s->capture_pending > 0)
		out->again = true;
	else
		out->voided = true;
}

void
pgw_report_read(const PgwReportInput *in, PgwReport *out)
{
	*out = (PgwReport){.told = tells(in->answer)};
	if (!out->told || !pgw_report_may_matter(in->s->status))
		return;
	if (pgw_shown_other_currency(in->currency, in->answer) || in->answer->captured > MOST ||
		in->answer->refunded > MOST)
	{
		out->unexplained = true;
		return;
	}
	read_captured(in, out);
	read_refunded(in, out);
	read_voided(in, out);
}

/* ---------------------------------------------------------------- told, and not asked */

static bool
can_be_done(const PgwToldInput *in)
{
	switch (in->about)
	{
		case PGW_OP_CAPTURE:
			return in->s->status == PGW_PAY_AUTHORIZED ||
				   in->s->status == PGW_PAY_PARTIALLY_CAPTURED;
		case PGW_OP_VOID:
			return in->s->status == PGW_PAY_AUTHORIZED && captured_of(in->s) == 0;
		case PGW_OP_REFUND:
			return pgw_report_may_matter(in->s->status);
		default:
			return false;
	}
}

static bool
says_how_much(const PgwToldInput *in)
{
	return in->about == PGW_OP_VOID ||
		   (in->has_amount && in->amount > 0 && in->amount <= MOST && in->said_currency != NULL &&
			strcmp(in->said_currency, in->currency) == 0);
}

/* With all that was told before, too, it is a number. */
static bool
adds_up(const PgwToldInput *in)
{
	int64_t before = in->about == PGW_OP_CAPTURE  ? in->s->bank_captured
					 : in->about == PGW_OP_REFUND ? in->s->bank_refunded
												  : 0;

	return in->about == PGW_OP_VOID || in->amount <= MOST - before;
}

/* Said of what is known here already, whoever has made it. */
static PgwToldStep
told_of_known(const PgwToldInput *in)
{
	if (in->owner == PGW_TOLD_ELSEWHERES || in->differs)
		return PGW_TOLD_UNCLEAR;
	if (in->done)
		return in->owner_failed ? PGW_TOLD_UNCLEAR : PGW_TOLD_SEEN;
	if (!in->owner_done)
		return PGW_TOLD_SEEN;
	return in->owner == PGW_TOLD_BANKS && in->about == PGW_OP_REFUND ? PGW_TOLD_TAKE_BACK
																	 : PGW_TOLD_UNCLEAR;
}

PgwToldStep
pgw_report_told(const PgwToldInput *in)
{
	if (in->of_other_charge)
		return PGW_TOLD_UNCLEAR;
	if (in->owner != PGW_TOLD_NOBODYS && !PGW_MUTATED(TOLD_AGAIN))
		return told_of_known(in);
	if (!in->done)
		return PGW_TOLD_SEEN;
	if (in->lacks_id || in->failed_too || !says_how_much(in) || !adds_up(in))
		return PGW_TOLD_UNCLEAR;
	/* pgw's own of which no id is known yet may be what is told of */
	if (in->own_unnamed_open && !PGW_MUTATED(TOLD_TOO_SOON))
		return PGW_TOLD_WAITS;
	if (in->own_unnamed_done)
		return PGW_TOLD_UNCLEAR;
	/* pgw's own is open: it may be over, and the other not, or the reverse */
	if (in->about != PGW_OP_REFUND && (in->s->reserved > 0 || in->s->capture_pending > 0))
		return PGW_TOLD_WAITS;
	return can_be_done(in) ? PGW_TOLD_RECORD : PGW_TOLD_UNCLEAR;
}
