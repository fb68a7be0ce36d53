/*
 * sender.h - the process that sends webhooks for one database
 */
#ifndef PGW_WEBHOOK_SENDER_H
#define PGW_WEBHOOK_SENDER_H

extern void pgw_webhooks_init(void); /* _PG_init: settings */

#endif
