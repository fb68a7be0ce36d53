/*
 * health_writes.h - checks of pgw.health(): can payments be written?
 */
#ifndef PGW_OPERATOR_API_HEALTH_WRITES_H
#define PGW_OPERATOR_API_HEALTH_WRITES_H

#include "operator_api/health_report.h"

/* Shared memory only. */
extern void pgw_health_check_writes(PgwHealthReport *r, const PgwExchangeStatus *s);

/* Within SPI, as the owner. */
extern void pgw_health_check_publications(PgwHealthReport *r);
extern void pgw_health_check_read_only(PgwHealthReport *r);
extern void pgw_health_check_grants(PgwHealthReport *r);

#endif
