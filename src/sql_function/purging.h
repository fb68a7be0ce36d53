/*
 * purging.h - is pgw.purge_test_data() deleting just now?
 */
#ifndef PGW_SQL_FUNCTION_PURGING_H
#define PGW_SQL_FUNCTION_PURGING_H

#include <stdbool.h>

extern bool pgw_purging_test_data;

#endif
