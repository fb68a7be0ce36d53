/*
 * health_processes.h - pgw.health(): launcher, workers and slots; is this database paused,
 * restored or a copy?
 */
#ifndef PGW_OPERATOR_API_HEALTH_PROCESSES_H
#define PGW_OPERATOR_API_HEALTH_PROCESSES_H

#include "exchange/exchange_status.h"
#include "operator_api/health_report.h"

/* Each puts its rows. */
extern void pgw_health_check_processes(PgwHealthReport *r, const PgwExchangeStatus *s);
extern void pgw_health_check_slots(PgwHealthReport *r, const PgwExchangeStatus *s);
extern void pgw_health_check_mode(PgwHealthReport *r);
extern void pgw_health_check_restored(PgwHealthReport *r);
extern void pgw_health_check_state_file(PgwHealthReport *r);
extern void pgw_health_check_subscriptions(PgwHealthReport *r);

#endif
