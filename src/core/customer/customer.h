/*
 * customer.h - what may be told of a customer: options.customer
 *
 * For the templates of connectors alone ({{customer./POINTER}}).  It is kept nowhere, so nothing
 * here keeps it, and no fault holds a value of it.
 */
#ifndef PGW_CORE_CUSTOMER_CUSTOMER_H
#define PGW_CORE_CUSTOMER_CUSTOMER_H

#include <stdbool.h>
#include <stddef.h>

#include "core/json/json_read.h"

/* where: "options.customer.browser.browserIP". */
typedef void (*PgwCustomerTell)(void *to, const char *where, const char *code, const char *message);

/* Tells all that is wrong with it, and changes nothing. */
extern void pgw_customer_check(const PgwJson *customer, PgwCustomerTell tell, void *to);

/*
 * Can something stand at this place of it: a member, an object of members, or the whole ("")?
 * pointer: as it stands in a connector's document.
 */
extern bool pgw_customer_has_place(const char *pointer);

/* Is what stands there a whole number, written as one or as its digits? */
extern bool pgw_customer_is_number(const char *pointer);

#endif
