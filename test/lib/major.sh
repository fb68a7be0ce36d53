#!/bin/sh
# The PostgreSQL that this Debian or Ubuntu has, and that everything is built for when PG_CONFIG names no other: 15 to 18.
. /etc/os-release
case ${VERSION_ID:-newer} in
12) echo 15 ;;
13) echo 17 ;;
24.04) echo 16 ;;
*) echo 18 ;;
esac
