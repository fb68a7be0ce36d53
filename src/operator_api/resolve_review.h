/*
 * resolve_review.h - pgw.resolve_review(), and the setting of two pairs of eyes
 */
#ifndef PGW_OPERATOR_API_RESOLVE_REVIEW_H
#define PGW_OPERATOR_API_RESOLVE_REVIEW_H

#include "postgres.h"

extern void pgw_review_init(void); /* _PG_init */
extern bool pgw_four_eyes(void);   /* pgw.require_four_eyes */

#endif
