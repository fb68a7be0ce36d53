/*
 * said_dispute.c - the steps of a dispute by their names, and which of them move money
 */
#include "core/connector/said_dispute.h"

#include <stddef.h>
#include <string.h>

static const char *const names[PGW_NDISPUTE_STEPS] = {
	[PGW_DISPUTE_INQUIRY] = "inquiry",
	[PGW_DISPUTE_OPENED] = "opened",
	[PGW_DISPUTE_WITHDRAWN] = "withdrawn",
	[PGW_DISPUTE_REINSTATED] = "reinstated",
	[PGW_DISPUTE_WITHDRAWN_AGAIN] = "withdrawn_again",
	[PGW_DISPUTE_REINSTATED_AGAIN] = "reinstated_again",
	[PGW_DISPUTE_WON] = "won",
	[PGW_DISPUTE_LOST] = "lost",
	[PGW_DISPUTE_CLOSED] = "closed",
};

const char *
pgw_dispute_step_name(PgwDisputeStep step)
{
	return (int) step >= 0 && step < PGW_NDISPUTE_STEPS ? names[step] : NULL;
}

int
pgw_dispute_step_parse(const char *name)
{
	for (int i = 0; name != NULL && i < PGW_NDISPUTE_STEPS; i++)
	{
		if (strcmp(names[i], name) == 0)
			return i;
	}
	return -1;
}

bool
pgw_dispute_step_takes(PgwDisputeStep step)
{
	return step == PGW_DISPUTE_WITHDRAWN || step == PGW_DISPUTE_WITHDRAWN_AGAIN;
}

bool
pgw_dispute_step_returns(PgwDisputeStep step)
{
	return step == PGW_DISPUTE_REINSTATED || step == PGW_DISPUTE_REINSTATED_AGAIN;
}
