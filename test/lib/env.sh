# env.sh - what demo and tests share: a private copy of the tree, built and installed into a folder of its own,
# owned by an ordinary user (initdb refuses root).  Sourced; needs PGW_TOP.
#
# Everything lives under $PGW_WORK; nothing of the system's PostgreSQL is touched.

PGW_PG_CONFIG=${PG_CONFIG:-/usr/lib/postgresql/$("$PGW_TOP/test/lib/major.sh")/bin/pg_config}
[ -x "$PGW_PG_CONFIG" ] || PGW_PG_CONFIG=$(command -v pg_config)
export PGW_PG_CONFIG

# Start again as an ordinary user, in a copy of the tree that this user owns.
pgw_drop_privileges() # script, arguments...
{
	script=$1
	shift
	if [ -z "${PGW_WORK:-}" ]; then
		PGW_WORK=$(mktemp -d /tmp/pgw.XXXXXX)
		export PGW_WORK
		chmod 711 "$PGW_WORK"
		mkdir "$PGW_WORK/tree"
		(cd "$PGW_TOP" && tar --exclude=.git --exclude='*.o' --exclude='*.so' --exclude=build --exclude=pgw-bank -cf - .) | tar -xf - -C "$PGW_WORK/tree"
		status=0
		if [ "$(id -u)" -eq 0 ]; then
			chown -R postgres: "$PGW_WORK"
			runuser -u postgres -- env HOME="$PGW_WORK" PGW_WORK="$PGW_WORK" "$PGW_WORK/tree/$script" "$@" || status=$?
		else
			"$PGW_WORK/tree/$script" "$@" || status=$?
		fi
		# KEEP leaves the cluster up, but only after a run that worked
		if [ -z "${KEEP:-}" ] || [ "$status" -ne 0 ]; then
			rm -rf "$PGW_WORK"
		fi
		exit "$status"
	fi
	cd "$PGW_WORK/tree"
	PGW_BIN=$("$PGW_PG_CONFIG" --bindir)
	PGW_INST=$PGW_WORK/inst
	export PGW_BIN PGW_INST PATH="$PGW_BIN:$PATH" LC_ALL=C TZ=UTC
	unset PGHOST PGPORT PGDATABASE PGUSER PGOPTIONS || :
	pgw_libcurl
	# tests with hundreds of calls in flight need as many descriptors
	ulimit -Sn "$(ulimit -Hn)" 2>/dev/null || :
}

# Build and run with the libcurl that lies somewhere in folder LIBCURL (test/libcurl.sh), not with the system's.
pgw_libcurl()
{
	[ -n "${LIBCURL:-}" ] || return 0
	lib=$(find "$LIBCURL" -name 'libcurl.so.4' | head -1)
	header=$(find "$LIBCURL" -path '*/curl/curl.h' | head -1)
	[ -n "$lib" ] && [ -n "$header" ] || { echo "no libcurl.so.4 or curl.h in $LIBCURL" >&2; exit 1; }
	export CPATH="${header%/curl/curl.h}" LIBRARY_PATH="${lib%/*}" LD_LIBRARY_PATH="${lib%/*}"
	echo "with $lib"
}

pgw_build()
{
	make -s -j2 PG_CONFIG="$PGW_PG_CONFIG" with_llvm=no WERROR=1 all >"$PGW_WORK/build.log" 2>&1 &&
		make -s PG_CONFIG="$PGW_PG_CONFIG" with_llvm=no DESTDIR="$PGW_INST" install >>"$PGW_WORK/build.log" 2>&1 &&
		make -s -C test/bank WERROR=1 >>"$PGW_WORK/build.log" 2>&1 &&
		gcc -shared -fPIC -O2 -Wall -Wextra -Werror -o test/lib/clock.so docs/examples/testing/clock.c -ldl >>"$PGW_WORK/build.log" 2>&1 || {
		cat "$PGW_WORK/build.log" >&2
		echo "the build failed" >&2
		return 1
	}
}

# Another build of the extension, in $PGW_WORK/variant/<name>/inst.  Starting from a variant that is there already, only the files that
# mention the macro are compiled again.
pgw_build_variant() # name, compiler flags, [variant to start from, macro]
{
	local dir="$PGW_WORK/variant/$1"
	mkdir -p "$dir"
	if [ -n "${3:-}" ]; then
		cp -a "$PGW_WORK/variant/$3/tree" "$dir/tree"
		grep -rl --include='*.c' "$4" "$dir/tree/src" | sed 's/c$/o/' | xargs -r rm -f
	else
		mkdir "$dir/tree"
		cp -a Makefile pgw.control pgw--1.0.sql src README.md LICENSE docs "$dir/tree"
		find "$dir/tree/src" -name '*.o' -delete
	fi
	rm -f "$dir/tree/pgw.so"
	make -s -j2 -C "$dir/tree" PG_CONFIG="$PGW_PG_CONFIG" with_llvm=no WERROR=1 COPT="-O1 -g0 $2" all >"$PGW_WORK/variant-$1.log" 2>&1 &&
		make -s -C "$dir/tree" PG_CONFIG="$PGW_PG_CONFIG" with_llvm=no DESTDIR="$dir/inst" install >>"$PGW_WORK/variant-$1.log" 2>&1 || {
		cat "$PGW_WORK/variant-$1.log" >&2
		echo "the build of variant $1 failed" >&2
		return 1
	}
}

# Settings for a server that finds the extension in $PGW_INST: up to 17 by a patch of Debian's, from 18 on by a setting of PostgreSQL's own.
pgw_server_conf()
{
	if [ "$("$PGW_PG_CONFIG" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')" -ge 18 ]; then
		echo "extension_control_path = '$PGW_INST$("$PGW_PG_CONFIG" --sharedir):\$system'"
	else
		echo "extension_destdir = '$PGW_INST'"
	fi
	cat <<CONF
dynamic_library_path = '$PGW_INST$("$PGW_PG_CONFIG" --pkglibdir):\$libdir'
shared_preload_libraries = 'pgw'
pgw.secrets_dir = '$PGW_WORK/secrets'
listen_addresses = ''
max_worker_processes = 16
max_prepared_transactions = 20
max_connections = 300
fsync = on
CONF
}

pgw_secrets()
{
	mkdir -p "$PGW_WORK/secrets"
	(umask 077 && printf '%s\n' "${1:-test-secret}" >"$PGW_WORK/secrets/bank")
	chmod 700 "$PGW_WORK/secrets"
}

# Start the bank simulator; sets BANK_PID, BANK_PORT.
pgw_bank_start()
{
	rm -f "$PGW_WORK/bank.port"
	test/bank/pgw-bank --port 0 --port-file "$PGW_WORK/bank.port" --secret test-secret "$@" >"$PGW_WORK/bank.log" 2>&1 &
	BANK_PID=$!
	while [ ! -s "$PGW_WORK/bank.port" ]; do
		kill -0 "$BANK_PID" 2>/dev/null || { cat "$PGW_WORK/bank.log" >&2; return 1; }
		read -r _ </dev/null || :
	done
	BANK_PORT=$(cat "$PGW_WORK/bank.port")
}

# TAP tests with the environment that they need; PGW_DEBUG_INST is where the build with debug points is.
pgw_prove() # tests...
{
	local lib dir=${PGW_TESTDIR:-$PGW_WORK}
	lib=$("$PGW_PG_CONFIG" --pkglibdir)/pgxs/src/test
	mkdir -p "$dir"
	TESTDIR="$dir" PG_REGRESS="$lib/regress/pg_regress" TESTDATADIR="$dir/tap" TESTLOGDIR="$dir/tap/log" \
		PGW_CONF="$(pgw_server_conf)" TMPDIR=/tmp PGCTLTIMEOUT=300 \
		prove -v -j "${JOBS:-2}" --timer -I "$lib/perl" -I test/lib "$@"
}

# The servers of $PGW_WORK/data: told all at once, then waited for.
pgw_stop_servers()
{
	for how in -W -w; do
		for data in "$PGW_WORK"/data/*; do
			[ ! -f "$data/postmaster.pid" ] || pg_ctl -D "$data" -m immediate $how stop >"$PGW_WORK/null" 2>&1 || :
		done
	done
}
