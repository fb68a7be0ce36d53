#!/bin/bash
# Build a PostgreSQL server that checks itself, from Debian's source package (Debian's, because tests find the extension by extension_destdir, which is a patch
# of theirs), and print the path of its pg_config.  It is built once; CHECKING_DIR says where.
#
#   checking-server.sh assertions   with assertions, its own and pgw's
#   checking-server.sh sanitized    with assertions, AddressSanitizer and UndefinedBehaviorSanitizer
#
# What the sanitizers see: the server's and the extension's stack, globals, malloc() and what libcurl and json-c do with memory that they were given; undefined behaviour of
# C; and by the assertions, with which palloc() overwrites what is freed and checks the ends of what it gave out.  Not: a read beyond the end of one palloc()ed
# piece into the next (valgrind over the units sees what the core does there).
set -eu
kind=${1:-}
case $kind in
assertions) flags="-O2 -g -fno-omit-frame-pointer" ;;
sanitized) flags="-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all" ;;
*) echo "usage: $0 assertions|sanitized" >&2; exit 2 ;;
esac
dir=${CHECKING_DIR:-/var/tmp/pgw-$kind}

# Debian's build installs libraries into the system's own folder unless "postgres" stands in the prefix: a build as root would overwrite the system's server.
# So it has that name, and root's build is an ordinary user's, who could not.
prefix=$dir/postgres
self=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")
if [ "$(id -u)" -eq 0 ]; then
	mkdir -p "$dir"
	chown -R postgres: "$dir"
	exec runuser -u postgres -- env HOME="$dir" CHECKING_DIR="$dir" "$self" "$@"
fi
mkdir -p "$dir"
cd "$dir"

# the tools that are built are run while building, and do not free what they end with
export ASAN_OPTIONS=detect_leaks=0
# beside the server: what its tests are run with, what ours preload, and pgTAP, which is SQL, as Debian has it
parts="src/test/regress src/test/isolation src/test/perl contrib/pg_stat_statements contrib/test_decoding contrib/auto_explain contrib/pageinspect contrib/postgres_fdw"
if [ "$(cat built 2>/dev/null)" = "$flags $parts" ]; then
	cp /usr/share/postgresql/15/extension/pgtap* postgres/share/extension/
	echo "$prefix/bin/pg_config"
	exit 0
fi

# A list of sources of our own: the system's is left alone.  The newest version that the mirror really has.
fetch()
{
	local key=/usr/share/keyrings/debian-archive-keyring.gpg suite version options
	suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
	mkdir -p apt/lists/partial apt/cache/archives/partial
	printf 'deb-src [signed-by=%s] http://deb.debian.org/debian %s main\ndeb-src [signed-by=%s] http://deb.debian.org/debian-security %s-security main\n' \
		$key "$suite" $key "$suite" >apt/sources.list
	options="-q -o Dir::Etc::SourceList=$dir/apt/sources.list -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists=$dir/apt/lists -o Dir::Cache=$dir/apt/cache"
	apt-get $options update
	for version in $(apt-cache $options showsrc postgresql-15 | sed -n 's/^Version: //p' | sort -rVu); do
		apt-get $options source "postgresql-15=$version" && return 0
	done
	return 1
}

build()
{
	rm -rf postgres
	mkdir -p obj
	cd obj
	# nothing that was built otherwise is kept: make would not see it
	grep -qs -- "--prefix=$prefix' .*'--with-libxml'" config.status || {
		find . -mindepth 1 -delete
		../postgresql-15-*/configure -q --prefix="$prefix" --enable-cassert --enable-debug --with-openssl --with-libxml --without-readline --enable-tap-tests CFLAGS="$flags"
	}
	make -s -j2 -C src/backend generated-headers
	make -s -j2
	# not a file of the system's: see above
	case $(sed -n 's/^.*define PKGLIBDIR "\(.*\)"$/\1/p' src/port/pg_config_paths.h) in
		"$prefix"/*) ;;
		*) echo "this build would be installed outside of $prefix" >&2; return 1 ;;
	esac
	make -s install
	for part in $parts; do
		make -s -C $part install
	done
}

# in a shell of its own, where errors end it
if [ "${2:-}" = build ]; then
	ls -d postgresql-15-*/ 2>/dev/null || fetch
	build
	exit
fi
if ! "$self" "$kind" build >build.log 2>&1; then
	tail -40 build.log >&2
	echo "the server could not be built: $dir/build.log" >&2
	exit 1
fi
cp /usr/share/postgresql/15/extension/pgtap* postgres/share/extension/
echo "$flags $parts" >built
echo "$prefix/bin/pg_config"
