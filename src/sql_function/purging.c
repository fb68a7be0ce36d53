/*
 * purging.c - is pgw.purge_test_data() deleting just now?
 *
 * Owns the one fact that the function (operator_api/purge_test_data.c) and the trigger that keeps
 * records (table_rules/record_rules.c) share.
 */
#include "postgres.h"

#include "sql_function/purging.h"

bool pgw_purging_test_data = false;
