/*
 * interface.h - the settings of the SQL interface
 */
#ifndef PGW_CLIENT_API_INTERFACE_H
#define PGW_CLIENT_API_INTERFACE_H

extern void pgw_interface_init(void); /* _PG_init */
extern void pgw_review_init(void);    /* by pgw_interface_init() */
extern bool pgw_four_eyes(void);      /* pgw.require_four_eyes */

#endif
