#!/bin/sh
# The PostgreSQL that this Debian has, and that everything is built for when PG_CONFIG names no other: 15, 17 or 18.
. /etc/os-release
case ${VERSION_ID:-newer} in
12) echo 15 ;;
13) echo 17 ;;
*) echo 18 ;;
esac
