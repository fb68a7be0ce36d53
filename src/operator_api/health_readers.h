/*
 * health_readers.h - pgw.health(): those who read the events, and webhooks
 */
#ifndef PGW_OPERATOR_API_HEALTH_READERS_H
#define PGW_OPERATOR_API_HEALTH_READERS_H

#include "operator_api/health_report.h"

extern void pgw_health_check_event_consumers(PgwHealthReport *r);
extern void pgw_health_check_webhooks(PgwHealthReport *r);

#endif
