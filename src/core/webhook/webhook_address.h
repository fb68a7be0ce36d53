/*
 * webhook_address.h - to which addresses a webhook may be sent
 *
 * Asked of the address that is connected to, whatever name led there: who can name an endpoint must
 * not reach what only this machine reaches.
 */
#ifndef PGW_CORE_WEBHOOK_WEBHOOK_ADDRESS_H
#define PGW_CORE_WEBHOOK_WEBHOOK_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

struct sockaddr;

/* 127.0.0.0/8 and ::1, however they are written as an address. */
extern bool pgw_address_is_loopback(const struct sockaddr *address, size_t len);

/*
 * Is it an address of the public internet?  Neither private nor shared, link-local (and with it the
 * metadata services of clouds), loopback, multicast, reserved or for documents; nor one of IPv6
 * that leads to such a one of IPv4.
 */
extern bool pgw_address_is_public(const struct sockaddr *address, size_t len);

#endif
