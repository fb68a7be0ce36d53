/*
 * health_work.h - pgw.health(): what is under way, who waits for whom, and the banks
 */
#ifndef PGW_OPERATOR_API_HEALTH_WORK_H
#define PGW_OPERATOR_API_HEALTH_WORK_H

#include "operator_api/health_report.h"

/* Each puts its rows. */
extern void pgw_health_check_work(PgwHealthReport *r);
extern void pgw_health_check_prepared(PgwHealthReport *r);
extern void pgw_health_check_banks(PgwHealthReport *r);
extern void pgw_health_check_versions(PgwHealthReport *r);
extern void pgw_health_check_quotas(PgwHealthReport *r);

#endif
