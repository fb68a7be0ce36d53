#!/bin/bash
# pgw on every PostgreSQL that it supports, each on the Debian that has it (16: on Ubuntu 24.04), in chroots that are made here: root on Debian 12 or newer, with debootstrap,
# Debian's mirror and Ubuntu's, and nothing else.
#
#   matrix.sh [COLUMN...]            build with gcc and clang and test in each, and print the table; COLUMN is 15, 16, 17, 18, or assertions: 15 once more, with a
#                                    server built to check itself.  KINDS names the kinds of tests of test/run.sh, OUT a folder for the logs.
#                                    SHORT=1: gcc alone, without the column assertions, and the kinds and TAP tests that say most within a minute
#   matrix.sh in COLUMN command...   a command as root in a fresh copy of the chroot, which is thrown away; it starts in a copy of this tree, and
#                                    what it leaves in /out stays in $OUT.  BARE=1: a Debian in which nothing has been installed but make.
#                                    COLUMN is 15 to 18; TESTS, PGW_PART and JOBS are handed on
#   matrix.sh chroot COLUMN          make the chroot, if it is not there
#   LAYER=name matrix.sh chroot COLUMN package...   a further layer with more packages; LAYER=name with "in" uses it
#
# $MATRIX_DIR/SUITE/base ($MATRIX_DIR: /var/tmp/pgw-matrix) is the bare Debian; SUITE/tools lies over it and has what test/setup.sh installs.  They are made once and kept; remove them
# to have them made anew.  What is mounted is mounted in a namespace of its own, which ends with its processes: nothing stays mounted or running, however a run ends.
set -eu
self=$(realpath "$0")
top=$(dirname "$(dirname "$self")")
dir=${MATRIX_DIR:-/var/tmp/pgw-matrix}
mirror=${MIRROR:-http://deb.debian.org/debian}
ubuntu=${UBUNTU_MIRROR:-http://archive.ubuntu.com/ubuntu}

# the short form: SQL on the server itself, its locks, dumps, crashes, and the bank inside
short_kinds='test-regress test-isolation test-pgtap test-tap'
short_tap='test/tap/010_lifecycle.pl test/tap/040_dump.pl test/tap/101_crash.pl test/tap/320_test_bank.pl'

suite_of() # column
{
	case $1 in
	15 | assertions) echo bookworm ;;
	16) echo noble ;;
	17) echo trixie ;;
	18) echo forky ;;
	*) echo "matrix.sh: no column $1: 15, 16, 17, 18, assertions" >&2; return 1 ;;
	esac
}

# The keys that Ubuntu signs with, as Debian has them: in 13, not in 12.
ubuntu_keys()
{
	local keys=$dir/noble/keys
	[ -d "$keys" ] || {
		make_base trixie
		inside "$dir/trixie/base" "$keys.new" sh -c 'apt-get -q update && cd /tmp && apt-get -q download ubuntu-keyring && dpkg -x ubuntu-keyring_*.deb /tmp/keys' >&2
		mv "$keys.new/tmp/keys" "$keys"
		rm -rf "$keys.new" "$keys.new.work" "$keys.new.root"
	}
	echo "$keys/usr/share/keyrings/ubuntu-archive-keyring.gpg"
}

# A suite that the debootstrap of this system is too old to know is made as the newest that it knows.
make_base() # suite
{
	local script=/usr/share/debootstrap/scripts/$1 base=$dir/$1/base from=$mirror
	local options=(--variant=minbase --include=make,ca-certificates)
	[ ! -d "$base" ] || return 0
	command -v debootstrap >/dev/null || apt-get -qy install debootstrap >/dev/null
	rm -rf "$base.new"
	mkdir -p "$dir/$1"
	if [ "$1" = noble ]; then
		from=$ubuntu
		options+=(--components=main,universe --keyring="$(ubuntu_keys)")
		[ -e "$script" ] || script=/usr/share/debootstrap/scripts/gutsy
	fi
	[ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
	debootstrap "${options[@]}" "$1" "$base.new" "$from" "$script" >"$dir/$1/debootstrap.log" 2>&1 ||
		{ tail "$dir/$1/debootstrap.log" >&2; return 1; }
	case $1 in
	bookworm | trixie) echo "deb ${SECURITY:-http://deb.debian.org/debian-security} $1-security main" >>"$base.new/etc/apt/sources.list" ;;
	noble) printf 'deb %s noble-%s main universe\n' "$ubuntu" updates "$ubuntu" security >>"$base.new/etc/apt/sources.list" ;;
	esac
	# how this system reaches the mirror, and whether it minds the mirror's age
	apt-config dump | grep -E '^Acquire::(https?::Proxy|Check-)' >"$base.new/etc/apt/apt.conf.d/90host" || :
	# no service starts by being installed
	printf '#!/bin/sh\nexit 101\n' >"$base.new/usr/sbin/policy-rc.d"
	chmod +x "$base.new/usr/sbin/policy-rc.d"
	mv "$base.new" "$base"
}

# Run a command in the layers that are given, the last of which takes what is written.
inside() # lower[:lower...], upper, command...
{
	local lower=$1 upper=$2
	shift 2
	mkdir -p "$upper" "$upper.work" "$upper.root"
	unshare --mount --pid --ipc --fork --kill-child --propagation private \
		"$self" enter "$lower" "$upper" "$@"
}

# The inner half of inside(), in the namespace.
enter() # lower, upper, command...
{
	local lower=$1 upper=$2 root=$2.root
	shift 2
	mount -t overlay overlay -o "lowerdir=$lower,upperdir=$upper,workdir=$upper.work" "$root"
	mount -t proc proc "$root/proc"
	mount --rbind /sys "$root/sys"
	mount --rbind /dev "$root/dev"
	mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
	cp --remove-destination /etc/resolv.conf "$root/etc/resolv.conf"
	grep -q . "$root/etc/hosts" 2>/dev/null || echo '127.0.0.1 localhost' >"$root/etc/hosts"
	if [ -n "${OUT:-}" ]; then
		mkdir -p "$root/out"
		mount --bind "$OUT" "$root/out"
	fi
	# the server that checks itself is built once for all runs, where test/checking-server.sh keeps it
	mkdir -p "$dir/assertions" "$root/var/tmp/pgw-assertions"
	mount --bind "$dir/assertions" "$root/var/tmp/pgw-assertions"
	exec chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
		DEBIAN_FRONTEND=noninteractive JOBS="${JOBS:-2}" ${TESTS:+"TESTS=$TESTS"} ${PGW_PART:+"PGW_PART=$PGW_PART"} ${SHORT:+"SHORT=$SHORT"} \
		sh -c '[ ! -d /pgw ] || cd /pgw; exec "$@"' sh "$@"
}

# A copy of this tree as a checkout would be, in a layer.
put_tree() # folder
{
	mkdir -p "$1/pgw"
	tar -C "$top" --exclude=.git --exclude='*.o' --exclude='*.bc' --exclude='*.so' --exclude=build --exclude=pgw-bank --exclude=node_modules -cf - . |
		tar -C "$1/pgw" --no-same-owner -xf -
}

make_layer() # suite, name, lower, command...
{
	local layer=$dir/$1/$2 lower=$3
	shift 3
	[ ! -d "$layer" ] || return 0
	rm -rf "$layer.new"
	put_tree "$layer.new"
	inside "$lower" "$layer.new" "$@" >&2
	rm -rf "$layer.new/pgw" "$layer.new.work" "$layer.new.root"
	mv "$layer.new" "$layer"
}

# It is one for all who use it: one at a time makes it, and what is there is not changed any more.
make_chroot() # column, package...
{
	local suite at
	suite=$(suite_of "$1")
	at=$dir/$suite
	shift
	mkdir -p "$at"
	exec 9>"$at/lock"
	flock 9
	make_base "$suite"
	if [ -z "${BARE:-}" ]; then
		make_layer "$suite" tools "$at/base" test/setup.sh
		[ -z "${LAYER:-}" ] || make_layer "$suite" "$LAYER" "$at/tools:$at/base" sh -c 'apt-get -q update && apt-get -qy --no-install-recommends install "$@"' sh "$@"
	fi
	exec 9>&-
}

in_chroot() # column, command...
{
	local suite at lower run status=0
	suite=$(suite_of "$1")
	at=$dir/$suite
	make_chroot "$1"
	# what a run has left that was killed itself: none lasts a day
	find "$at" -maxdepth 1 -name 'run.*' -mtime +0 -exec rm -rf {} +
	shift
	lower=${LAYER:+$at/$LAYER:}$at/tools:$at/base
	[ -z "${BARE:-}" ] || lower=$at/base
	run=$(mktemp -d "$at/run.XXXXXX")
	put_tree "$run/upper"
	inside "$lower" "$run/upper" "$@" || status=$?
	rm -rf "$run"
	return $status
}

# What clang says of the server's own headers is not asked.
with_clang()
{
	if make -s -j2 PG_CONFIG="$pg_config" CC=clang with_llvm=no WERROR=1 COPT="-Wno-ignored-attributes -Wno-unknown-warning-option -Wno-ignored-optimization-argument" all >/out/clang.log 2>&1; then
		echo "clang 1 passed, 0 failed"
	else
		echo "clang 0 passed, 1 failed"
		grep -E 'error|warning' /out/clang.log | head -20
		return 1
	fi
}

# What a column runs, in the chroot, as root; the tests themselves are an ordinary user's.
column()
{
	local pg_config=/usr/lib/postgresql/$(test/lib/major.sh)/bin/pg_config clang=1
	test/setup.sh
	[ -n "${SHORT:-}" ] || test/setup.sh python3-psycopg libdbd-pg-perl pgbouncer
	echo "column $("$pg_config" --version | cut -d' ' -f2), $(gcc -dumpfullversion), $(clang --version | sed -n 's/.*version \([0-9.]*\).*/\1/p'), $(pkg-config --modversion libcurl json-c | paste -sd,)"
	[ -n "${SHORT:-}" ] || with_clang || clang=0
	if [ "$1" = assertions ]; then
		test/setup.sh dpkg-dev bison flex libssl-dev libxml2-dev zlib1g-dev
		test/checking-server.sh assertions >/dev/null
		export PG_CONFIG=$(test/checking-server.sh assertions)
	fi
	shift
	[ -z "${SHORT:-}" ] || export TESTS="${TESTS:-$short_tap}"
	KEEP_LOGS=/out/logs test/run.sh "$@" && [ "$clang" -eq 1 ]
}

# A row for each kind, a column for each server: how many tests have passed, and how many have not.
table() # folder, column...
{
	local logs=$1
	shift
	for column in "$@"; do
		sed -nE "s/^column (.*)/$column;about;\1/p; s/^([a-z]+) +([0-9]+) passed, ([0-9]+) failed.*/$column;\1;\2;\3/p" "$logs/$column.log"
	done | awk -F';' -v columns="$*" '
		$2 == "about" { about[$1] = $3; next }
		{ if (!($2 in seen)) { seen[$2] = 1; kinds[++n] = $2 } cell[$1, $2] = $3 ($4 > 0 ? ", " $4 " failed" : "") }
		END {
			m = split(columns, c, " ")
			printf "| |"; for (j = 1; j <= m; j++) printf " %s |", c[j]
			printf "\n|---|"; for (j = 1; j <= m; j++) printf "---|"
			printf "\n| server, gcc, clang, libcurl, json-c |"; for (j = 1; j <= m; j++) printf " %s |", about[c[j]]
			for (i = 1; i <= n; i++) { printf "\n| %s |", kinds[i]; for (j = 1; j <= m; j++) printf " %s |", cell[c[j], kinds[i]] == "" ? "-" : cell[c[j], kinds[i]] }
			printf "\n"
		}'
}

matrix() # column...
{
	local out kinds column bad=0
	out=${OUT:-$(mktemp -d /tmp/pgw-matrix.XXXXXX)}
	for column in "$@"; do suite_of "$column" >/dev/null; done
	for column in "$@"; do
		mkdir -p "$out/$column"
		chmod 777 "$out/$column"
		kinds=${KINDS:-${SHORT:+$short_kinds}}
		kinds=${kinds:-test-unit test-regress test-isolation test-pgtap test-tap test-chaos}
		# the assertions are looked for where only a server can fail
		[ "$column" != assertions ] || kinds=${KINDS:-test-regress test-isolation test-pgtap test-tap test-chaos}
		OUT=$out/$column in_chroot "$column" test/matrix.sh column "$column" $kinds >"$out/$column.log" 2>&1 || bad=1
		tail -1 "$out/$column.log" | grep -q passed || tail -20 "$out/$column.log"
		grep -E '^not ok|^#   Failed test' "$out/$column.log" | sed "s/^/$column: /" || :
	done
	table "$out" "$@"
	echo "the logs are in $out"
	return $bad
}

case ${1:-} in
enter) shift; enter "$@" ;;
column) shift; column "$@" ;;
in) shift; in_chroot "$@" ;;
chroot) shift; make_chroot "$@" ;;
'') matrix 15 16 17 18 $([ -n "${SHORT:-}" ] || echo assertions) ;;
[0-9]* | assertions) matrix "$@" ;;
*) sed -n '2,/^set/s/^# \{0,1\}//p' "$self" >&2; exit 2 ;;
esac
