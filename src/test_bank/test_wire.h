/*
 * test_wire.h - requests to the bank inside the worker: what http/http.h is for all others
 */
#ifndef PGW_TEST_BANK_TEST_WIRE_H
#define PGW_TEST_BANK_TEST_WIRE_H

#include "postgres.h"

#include "http/http.h"

/* Is it answered inside the worker?  By the bank's base_url, or a request's URL. */
extern bool pgw_test_wire_takes(const char *url);

/* As their namesakes of http.h. */
extern void *pgw_test_wire_start(const PgwHttpRequest *req, void *tag, const char **error);
extern void pgw_test_wire_disown(void *transfer);
extern void pgw_test_wire_drive(void); /* outside a transaction */
extern bool pgw_test_wire_next_done(PgwHttpDone *done);
extern void pgw_test_wire_release(void *handle);
extern long pgw_test_wire_timeout_ms(void); /* -1: no need */

#endif
