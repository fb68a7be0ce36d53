/*
 * bank_url.h - which URL a bank may have
 */
#ifndef PGW_CORE_CONNECTOR_BANK_URL_H
#define PGW_CORE_CONNECTOR_BANK_URL_H

#include <stdbool.h>

/* What is wrong with it, as it follows upon its name; NULL: nothing. */
extern const char *pgw_bank_url_fault(const char *url);

/* Does a URL without fault name this machine itself, beyond doubt? */
extern bool pgw_bank_url_is_loopback(const char *url);

#endif
