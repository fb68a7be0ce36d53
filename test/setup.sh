#!/bin/sh
# Install what building and testing pgw needs, and what is named, and only what is missing (Debian 12 or newer; root, or a user with sudo).
set -eu
pg=postgresql-$("$(dirname "$0")/lib/major.sh")
# the sanitizers of clang: in Debian 12 no name stands for those of its version
[ "$pg" = postgresql-15 ] && sanitizers=libclang-rt-14-dev || sanitizers=libclang-rt-dev

# Server and headers in one call: security updates move both together.
packages="build-essential clang clang-format $sanitizers valgrind pkg-config openssl perl
$pg postgresql-server-dev-${pg#*-} $pg-pgtap $pg-wal2json gdb libtap-parser-sourcehandler-pgtap-perl libipc-run-perl libio-socket-ssl-perl
$pg-pgaudit $pg-plpgsql-check $pg-pldebugger
libcurl4-openssl-dev libjson-c-dev libmicrohttpd-dev libcmocka-dev"

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
