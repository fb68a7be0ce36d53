/*
 * show_version.h - pgw.version(), and the row of pgw.health() that goes with it
 */
#ifndef PGW_OPERATOR_API_SHOW_VERSION_H
#define PGW_OPERATOR_API_SHOW_VERSION_H

#include "operator_api/health_report.h"

/* Puts the row.  false: the library does not serve this database. */
extern bool pgw_health_check_version(PgwHealthReport *r);

#endif
