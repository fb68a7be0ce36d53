/*
 * health_shard.h - pgw.health(): is this database a shard, and of what?
 */
#ifndef PGW_OPERATOR_API_HEALTH_SHARD_H
#define PGW_OPERATOR_API_HEALTH_SHARD_H

#include "operator_api/health_report.h"

extern void pgw_health_check_shard(PgwHealthReport *r);

#endif
