/*
 * limit_submitted.h - how many payments of one merchant, and of one role, may wait to be sent
 */
#ifndef PGW_QUOTA_LIMIT_SUBMITTED_H
#define PGW_QUOTA_LIMIT_SUBMITTED_H

#include "postgres.h"
#include "utils/timestamp.h"

typedef enum PgwQuotaOf
{
	PGW_QUOTA_MERCHANT = 0,
	PGW_QUOTA_ROLE,
	PGW_NQUOTAS
} PgwQuotaOf;

extern void pgw_quota_init(void); /* _PG_init: settings, shared memory */

/*
 * One more submitted payment of this merchant or role (at most 63 bytes)?  Counts it as one; false:
 * as many as may wait are waiting, *limit. A count is never given back: it is made anew from the
 * table.
 */
extern bool pgw_quota_take(PgwQuotaOf of, const char *name, int *limit);

extern const char *pgw_quota_setting(PgwQuotaOf of);

/* What was refused since the server's start in this database. */
typedef struct PgwQuotaReport
{
	PgwQuotaOf of;
	char name[NAMEDATALEN];
	uint32 waiting;         /* at the time of the report; a million stands for any larger number */
	TimestampTz counted_at; /* while it was taken for full, or last */
	uint64 refused;
	TimestampTz refused_at;
} PgwQuotaReport;

/* Those that were refused something since then; returns how many, at most max. */
extern int pgw_quota_refused(TimestampTz since, PgwQuotaReport *out, int max);

#endif
