/*
 * trust_file.h - may libcurl be handed this file of trusted certificates?
 */
#ifndef PGW_CORE_BASE_TRUST_FILE_H
#define PGW_CORE_BASE_TRUST_FILE_H

#include <stdbool.h>

/* It is there, an ordinary file, and no larger than any bundle of certificates is. */
extern bool pgw_trust_file_fits(const char *path);

#endif
