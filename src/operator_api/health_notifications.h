/*
 * health_notifications.h - pgw.health(): the notifications that banks are still asked for
 */
#ifndef PGW_OPERATOR_API_HEALTH_NOTIFICATIONS_H
#define PGW_OPERATOR_API_HEALTH_NOTIFICATIONS_H

#include "operator_api/health_report.h"

extern void pgw_health_check_unconfirmed(PgwHealthReport *r);

#endif
