/*
 * health_tables.h - pgw.health(): pgw's tables, what others have put onto them, and what the
 * server does with them
 */
#ifndef PGW_OPERATOR_API_HEALTH_TABLES_H
#define PGW_OPERATOR_API_HEALTH_TABLES_H

#include "operator_api/health_report.h"

/* Each puts its rows. */
extern void pgw_health_check_foreign_keys(PgwHealthReport *r);
extern void pgw_health_check_code_of_others(PgwHealthReport *r);
extern void pgw_health_check_privileges(PgwHealthReport *r);
extern void pgw_health_check_partitions(PgwHealthReport *r);
extern void pgw_health_check_transaction_ids(PgwHealthReport *r);
extern void pgw_health_check_notify_queue(PgwHealthReport *r);
extern void pgw_health_check_table_locks(PgwHealthReport *r);
extern void pgw_health_check_tables(PgwHealthReport *r);
extern void pgw_health_check_baseline(PgwHealthReport *r);
extern void pgw_health_check_card_logging(PgwHealthReport *r);

#endif
