#!/bin/sh
# Install what building and testing pgw needs, and what is named, and only what is missing (Debian 12; root, or a user with sudo).
set -eu

# Server and headers in one call: security updates move both together.
packages='build-essential clang clang-format libclang-rt-14-dev valgrind pkg-config openssl perl
postgresql-15 postgresql-server-dev-15 postgresql-15-pgtap postgresql-15-wal2json gdb libtap-parser-sourcehandler-pgtap-perl libipc-run-perl
postgresql-15-pgaudit postgresql-15-plpgsql-check postgresql-15-pldebugger
libcurl4-openssl-dev libjson-c-dev libmicrohttpd-dev libcmocka-dev'

missing=
for p in $packages "$@"; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || {
		echo "Missing packages:$missing" >&2
		echo "Run this as root, or install sudo." >&2
		exit 1
	}
	as_root=sudo
fi
echo "Installing:$missing"
log=$(mktemp)
if ! { $as_root apt-get -q update &&
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qy --no-install-recommends install $missing; } >"$log" 2>&1; then
	tail -30 "$log" >&2
	echo "apt could not install the packages." >&2
	exit 1
fi
rm -f "$log"
