/*
 * merchants.h - the merchants that may take payments
 */
#ifndef PGW_STORE_MERCHANTS_H
#define PGW_STORE_MERCHANTS_H

#include "postgres.h"

/* false: no such merchant. */
extern bool pgw_store_merchant(const char *name, bool *enabled);

#endif
