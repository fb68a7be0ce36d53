/*
 * dispute_rules.c - what a dispute takes of a payment
 *
 * Invariants
 *     - Each step counts once, whatever else was said before: so neither a repetition nor the order
 *       in which steps are heard of changes what is taken in the end.
 *     - An inquiry takes nothing, and neither does the end of a dispute: money moves by the steps
 *       that say so.
 *     - What was moved counts in the payment's currency only where the bank says it in that; no
 * rate is ever made up.
 */
#include "core/payment/dispute_rules.h"

#include <string.h>

#include "core/base/mutant.h"

/* Sums of thousands of them are numbers, too; more is nobody's payment. */
#define MOST INT64_C(1000000000000000)

static bool
has(const PgwDispute *d, PgwDisputeStep step)
{
	return (d->steps & PGW_DISPUTE_BIT(step)) != 0;
}

int64_t
pgw_dispute_takes(const PgwDispute *d)
{
	return d->withdrawn > d->reinstated ? d->withdrawn - d->reinstated : 0;
}

bool
pgw_dispute_takes_unknown(const PgwDispute *d)
{
	return d->unclear && !PGW_MUTATED(UNCLEAR_PAID) &&
		   ((has(d, PGW_DISPUTE_WITHDRAWN) && d->withdrawn == 0) ||
			has(d, PGW_DISPUTE_WITHDRAWN_AGAIN));
}

const char *
pgw_dispute_status(const PgwDispute *d)
{
	unsigned inquired = PGW_DISPUTE_BIT(PGW_DISPUTE_INQUIRY);

	if (has(d, PGW_DISPUTE_LOST))
		return "lost";
	/* won, and then taken again: it goes on */
	if (has(d, PGW_DISPUTE_WITHDRAWN_AGAIN) && !has(d, PGW_DISPUTE_REINSTATED_AGAIN))
		return "open";
	if (has(d, PGW_DISPUTE_WON))
		return "won";
	if (has(d, PGW_DISPUTE_CLOSED))
		return "closed";
	return d->steps == inquired ? "inquiry" : "open";
}

PgwEventType
pgw_dispute_event(PgwDisputeStep step)
{
	switch (step)
	{
		case PGW_DISPUTE_INQUIRY:
			return PGW_EV_INQUIRY_OPENED;
		case PGW_DISPUTE_WITHDRAWN:
		case PGW_DISPUTE_WITHDRAWN_AGAIN:
			return PGW_EV_DISPUTE_WITHDRAWN;
		case PGW_DISPUTE_REINSTATED:
		case PGW_DISPUTE_REINSTATED_AGAIN:
			return PGW_EV_DISPUTE_REINSTATED;
		case PGW_DISPUTE_WON:
		case PGW_DISPUTE_LOST:
		case PGW_DISPUTE_CLOSED:
			return PGW_EV_DISPUTE_CLOSED;
		case PGW_DISPUTE_OPENED:
		case PGW_NDISPUTE_STEPS:
			break;
	}
	return PGW_EV_DISPUTE_OPENED;
}

static bool
is_in(const PgwSaidMoney *money, const char *currency)
{
	return money->there && money->amount <= MOST && strcmp(money->currency, currency) == 0;
}

/*
 * What moved, in this currency: what the account shows says most; else what is disputed, but not of
 * what has come back in another currency, which may be a part only.  -1: it cannot be told.
 */
static int64_t
amount_in(const PgwSaidDispute *said, bool returns, const char *currency)
{
	bool unknown_part = (said->moved.there && !is_in(&said->moved, currency)) ||
						(said->moved_unreadable && !PGW_MUTATED(DISPUTE_UNREADABLE));

	if (said->moved_backwards || (returns && unknown_part))
		return -1;
	if (is_in(&said->moved, currency))
		return said->moved.amount;
	if (is_in(&said->amount, currency) || (PGW_MUTATED(DISPUTE_CURRENCY) && said->amount.there))
		return said->amount.amount;
	return -1;
}

bool
pgw_dispute_take_step(PgwDispute *d, PgwDisputeStep step, const PgwSaidDispute *said,
					  const char *currency, PgwDisputeChange *change)
{
	bool takes = pgw_dispute_step_takes(step);
	bool returns = pgw_dispute_step_returns(step);
	int64_t before = pgw_dispute_takes(d);
	int64_t amount = takes || returns ? amount_in(said, returns, currency) : 0;

	*change = (PgwDisputeChange){.unclear = amount < 0};
	if (has(d, step) && !PGW_MUTATED(DISPUTE_ONCE))
		return false;
	d->steps |= PGW_DISPUTE_BIT(step);
	d->unclear |= change->unclear;
	if (takes && amount > 0)
		d->withdrawn += amount;
	if (returns && amount > 0)
		d->reinstated += amount;
	change->taken = pgw_dispute_takes(d) - before;
	return true;
}

bool
pgw_dispute_contradicts(const PgwDispute *d, const PgwSaidDispute *said, const char *currency)
{
	unsigned again = said->steps & d->steps;
	bool takes = (again & PGW_DISPUTE_BIT(PGW_DISPUTE_WITHDRAWN)) != 0 &&
				 !has(d, PGW_DISPUTE_WITHDRAWN_AGAIN);
	bool returns = (again & PGW_DISPUTE_BIT(PGW_DISPUTE_REINSTATED)) != 0 &&
				   !has(d, PGW_DISPUTE_REINSTATED_AGAIN);
	int64_t amount = amount_in(said, returns, currency);

	if (amount < 0)
		return false;
	return (takes && amount != d->withdrawn) || (returns && amount != d->reinstated);
}
