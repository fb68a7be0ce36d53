/*
 * payment_requests.h - the requests of pgw.process_payments(), read from their document
 */
#ifndef PGW_CLIENT_API_PAYMENT_REQUESTS_H
#define PGW_CLIENT_API_PAYMENT_REQUESTS_H

#include "postgres.h"
#include "fmgr.h"

#include "client_api/pay_common.h"

/*
 * The argument `requests`: an array of objects, each with what process_payment() takes as
 * arguments, but for cards and what is the whole call's.  Fills args and checked of *n pays, zeroed
 * else, in the order of the document.  PW400 with every fault of all of them, two of one id
 * included.
 */
extern PgwPay *pgw_payment_requests(FunctionCallInfo fcinfo, int *n);

/* Their places in the order of merchant and id. */
extern int *pgw_payment_requests_order(const PgwPay *pays, int n);

#endif
