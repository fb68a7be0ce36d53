# pgw - card payments as part of a database transaction
#
#   make && sudo make install    build against the PostgreSQL that PG_CONFIG names, and install
#   make demo [KEEP=1]           the main job for real, on a private cluster and a simulated bank
#   make demo-cluster [KEEP=1]   two shards behind a PL/Proxy router: a shard is added, slots move, one dies while customers pay
#   make test                    every test; prints "N passed, N failed"
#   make chaos SEED=n PAYMENTS=n KILLS=n [NOTIFIED=1]
#                                payments while everything breaks; see docs/reliability.md
#   make shard-chaos [SEED=n PAYMENTS=n]
#                                the same over shards and a PL/Proxy router, with calls to the wrong shard and slots that move
#   make webhook-chaos [EVENTS=n]
#                                webhooks while everything breaks: 100,000 events, none lost, each payment's in order
#   make bench [OUT=file.json] [SVG=file.svg], make bench-short, make bench-extremes
#                                pgw beside what the database can do, and beside an app server; see docs/performance.md
#   make bench-node              pgw beside an app server in Node, and what is wanted of the two (needs node, and npm for its packages)
#   make mutants [MUTANTS=names]
#                                each safeguard taken away, and the test that notices
#   make card-rates              how many ordinary ids are taken for card numbers; see docs/security.md
#   make test LIBCURL=folder     the same with another libcurl; test/libcurl.sh folder fetches that of Debian 13
#   make check-assertions [ASSERTIONS=kinds]
#                                regress, isolation, pgTAP and TAP on a server with assertions, its own and pgw's, built from
#                                Debian's source package once (a quarter of an hour)
#   make matrix [PG="15 16 17 18 assertions"] [KINDS=kinds] [SHORT=1] [OUT=folder]
#                                every PostgreSQL on the Debian (16: Ubuntu) that has it, in chroots, and one table; as root.
#                                SHORT=1: what says most in some minutes for each (see docs/reliability.md)
#   make check-sanitized         regress, isolation, a TAP test and a short chaos on a server with assertions, AddressSanitizer
#                                and UndefinedBehaviorSanitizer, built from Debian's source package once (half an hour)
#   make check-clients [CLIENTS=pattern]
#                                the drivers and poolers of docs/clients.md: what its table says is what comes of it
#   make check-static            gcc -fanalyzer, clang-tidy and cppcheck: no finding (some minutes)
#   make deb [OUT=folder]        Debian packages for the PostgreSQL of this system, in /var/tmp/pgw-deb
#   make check-packages [PACKAGES="15 17 18"]
#                                Debian packages built, installed, upgraded, removed, with a first payment, in chroots; and pg_upgrade from one to the next (root)
#   make bank                    the bank simulator (libmicrohttpd-dev), which make install then puts beside the server's programs
#   make docs [OUT=folder]       the pages as a site with search, in build/site; make check-docs: without a dead link
#   make dist [OUT=folder]       an archive for PGXN, of what is committed
#   make pictures                docs/pictures anew: the page of pgw.dashboard(), as test/tap/142_browser.pl sees it in Chromium
#   make format                  lay the C sources out as .clang-format says
#   make check-style, make fuzz, make valgrind, make sanitize, make help
#
# demo, demo-cluster and test need nothing but make and apt: test/setup.sh installs what is missing.

# the sources' folder: not the one that is built in after make -f
TOP := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))

EXTENSION = pgw
# built, because its source pgw--1.0.sql lacks the connectors: each of them is a file in src/connectors
DATA_built = build/pgw--1.0.sql
MODULE_big = pgw
OBJS = $(sort $(patsubst $(TOP)/%.c,%.o,$(wildcard $(addprefix $(TOP)/,src/*.c src/*/*.c src/core/*/*.c))))

PG_CPPFLAGS = -I$(abspath $(TOP))/src
# the headers of 19 are made for what the compiler speaks by itself
PG_CFLAGS = $(if $(filter 15 16 17 18,$(MAJORVERSION)),-std=gnu11) -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers -Wno-declaration-after-statement
ifdef WERROR
PG_CFLAGS += -Werror
endif
SHLIB_LINK = -lcurl -ljson-c

EXTRA_CLEAN = build src/*.bc src/*/*.bc src/core/*/*.bc src/*/*.o src/core/*/*.o test/unit/build test/fuzz/build test/bench/peer/build test/bench/node/node_modules results output_iso log tmp_check regression.diffs regression.out

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
# pgxs.mk alone does not do: Debian has it with the client, without the headers
SERVER_HEADER := $(wildcard $(shell $(PG_CONFIG) --includedir-server 2>/dev/null)/postgres.h)
.DEFAULT_GOAL = all

ifneq ($(SERVER_HEADER),)
# The server could inline functions of C into compiled expressions: none of ours gains by it, and compiling everything twice takes twice as long.
override with_llvm = no
include $(PGXS)
# A changed header rebuilds everything: the extension is small, and a stale object is worse than ten seconds.
$(OBJS): $(wildcard $(TOP)/src/*/*.h $(TOP)/src/core/*/*.h) $(TOP)/Makefile
# by their whole names, because the folders of the sources would do for others
FOLDERS = $(addprefix $(CURDIR)/,$(sort $(dir $(OBJS))))
$(OBJS) $(OBJS:.o=.bc): | $(FOLDERS)
$(FOLDERS):
	@mkdir -p $@

# The folder is newer when a document has come or gone.
CONNECTORS = $(sort $(wildcard $(TOP)/src/connectors/*.json))
build/pgw--1.0.sql: $(TOP)/pgw--1.0.sql $(TOP)/src/connectors $(TOP)/src/connectors/insert.awk $(CONNECTORS)
	@mkdir -p build
	awk -f $(TOP)/src/connectors/insert.awk $(CONNECTORS) $< >$@.new
	mv $@.new $@

# What people read keeps its folders, so that the pages find one another.
PAGES = '$(DESTDIR)$(docdir)/pgw'
install: install-pages install-report install-bank
install-pages:
	$(MKDIR_P) $(PAGES)/docs/examples/testing $(PAGES)/docs/examples/hooks $(PAGES)/docs/monitoring/grafana $(PAGES)/docs/pictures $(PAGES)/docs/sharding
	$(INSTALL_DATA) $(TOP)/README.md $(TOP)/LICENSE $(PAGES)
	$(INSTALL_DATA) $(wildcard $(TOP)/docs/*.md $(TOP)/docs/*.json) $(PAGES)/docs
	$(INSTALL_DATA) $(wildcard $(TOP)/docs/examples/*.*) $(PAGES)/docs/examples
	$(INSTALL_DATA) $(wildcard $(TOP)/docs/examples/testing/*) $(PAGES)/docs/examples/testing
	$(INSTALL_DATA) $(wildcard $(TOP)/docs/examples/hooks/*) $(PAGES)/docs/examples/hooks
	$(INSTALL_DATA) $(wildcard $(TOP)/docs/sharding/*.*) $(PAGES)/docs/sharding
	$(INSTALL_DATA) $(wildcard $(TOP)/docs/monitoring/*.yml) $(PAGES)/docs/monitoring
	$(INSTALL_DATA) $(wildcard $(TOP)/docs/monitoring/grafana/*) $(PAGES)/docs/monitoring/grafana
	$(INSTALL_DATA) $(wildcard $(TOP)/docs/pictures/*) $(PAGES)/docs/pictures
uninstall: uninstall-pages uninstall-report uninstall-bank
uninstall-pages:
	rm -rf $(PAGES)

install-report:
	$(MKDIR_P) '$(DESTDIR)$(bindir)' '$(DESTDIR)$(mandir)/man1'
	$(INSTALL_SCRIPT) $(TOP)/src/dashboard/pgw-report '$(DESTDIR)$(bindir)'
	$(INSTALL_DATA) $(TOP)/src/dashboard/pgw-report.1 '$(DESTDIR)$(mandir)/man1'
uninstall-report:
	rm -f '$(DESTDIR)$(bindir)/pgw-report' '$(DESTDIR)$(mandir)/man1/pgw-report.1'

# The bank simulator, where "make bank" has built it (it takes libmicrohttpd, which nothing else does): beside the server's programs.
install-bank:
ifneq ($(wildcard test/bank/pgw-bank),)
	$(MKDIR_P) '$(DESTDIR)$(bindir)' '$(DESTDIR)$(mandir)/man1'
	$(INSTALL_PROGRAM) test/bank/pgw-bank '$(DESTDIR)$(bindir)'
	$(INSTALL_DATA) test/bank/pgw-bank.1 '$(DESTDIR)$(mandir)/man1'
endif
uninstall-bank:
	rm -f '$(DESTDIR)$(bindir)/pgw-bank' '$(DESTDIR)$(mandir)/man1/pgw-bank.1'
else
all install:
	@echo "The headers of the PostgreSQL server were not found: $(or $(shell $(PG_CONFIG) --version 2>/dev/null),there is no $(PG_CONFIG))." >&2
	@echo "On Debian: apt install build-essential postgresql-server-dev-$$($(TOP)/test/lib/major.sh) libcurl4-openssl-dev libjson-c-dev" >&2
	@echo "Or name the pg_config of another PostgreSQL: make PG_CONFIG=/path/to/pg_config" >&2
	@exit 1
endif

.PHONY: demo demo-cluster docs check-docs test test-unit test-regress test-isolation test-pgtap test-tap test-chaos test-bench chaos shard-chaos webhook-chaos bench bench-short bench-extremes bench-node card-rates mutants catalog pictures check-clients check-style check-static check-assertions check-sanitized matrix format fuzz valgrind sanitize bank dist deb check-packages help

help:
	@sed -n '/^#/!q; 3,$$s/^# \{0,1\}//p' Makefile

demo:
	@test/setup.sh
	@KEEP='$(KEEP)' test/demo.sh

# the router of docs/scaling.md
PLPROXY = postgresql-$(shell $(TOP)/test/lib/major.sh)-plproxy
demo-cluster:
	@test/setup.sh $(PLPROXY)
	@KEEP='$(KEEP)' test/demo-cluster.sh

# the pooler, drivers and frameworks of docs/clients.md, as Debian has them; what the sample suites for pytest and Go need; and what makes the site of docs/
DRIVERS = pgbouncer libpq-dev odbc-postgresql python3-pyodbc libdbd-pg-perl python3-psycopg python3-psycopg2 python3-asyncpg python3-sqlalchemy python3-django php-cli php-pgsql php-illuminate-database \
	php-illuminate-http ruby ruby-pg ruby-activerecord ruby-rack golang-go golang-github-jackc-pgx-v4-dev \
	default-jdk-headless libpostgresql-jdbc-java libspring-jdbc-java libspring-transaction-java libjackson2-databind-java python3-fastapi python3-uvicorn
SUITES = python3-pytest golang-go golang-github-lib-pq-dev
# those for Node, from npm; they stay in test/clients/node_modules
NODE_DRIVERS = cd test/clients && npm install --silent --ignore-scripts --no-package-lock --no-audit --no-fund
# what docs/monitoring/ is for
MONITORING = prometheus prometheus-postgres-exporter prometheus-sql-exporter
# what opens pages: the fonts have Arabic and Hebrew, too
BROWSER = chromium chromium-driver fonts-dejavu-core
# what keeps a pair of servers in docs/scaling.md, and what its store and the store's password need
PATRONI = patroni python3-pysyncobj python3-cryptography
test:
	@test/setup.sh $(DRIVERS) $(SUITES) $(SPHINX) $(MONITORING) $(BROWSER) $(PLPROXY) $(PATRONI)
	@if command -v node >/dev/null && command -v npm >/dev/null; then $(NODE_DRIVERS); else false; fi || echo "npm is not to be had here: the drivers for Node are left out"
	@test/run.sh

test-unit test-regress test-isolation test-pgtap test-tap test-chaos test-bench valgrind sanitize fuzz check-style card-rates:
	@test/setup.sh
	@test/run.sh $@

# what make test does of it, and nothing may be missing
check-clients:
	@test/setup.sh $(DRIVERS) $(SUITES)
	@command -v node >/dev/null && command -v npm >/dev/null || { echo "check-clients needs node and npm." >&2; exit 1; }
	@$(NODE_DRIVERS)
	@CLIENTS='$(or $(CLIENTS),all)' TESTS='test/tap/330_drivers.pl test/tap/331_hooks.pl test/tap/336_sample_suites.pl test/tap/427_client_routing.pl' test/run.sh test-tap

catalog:
	@test/setup.sh
	@test/run.sh $@ 3>build/catalog.md && mv build/catalog.md docs/catalog.md

# through descriptor 3: the run itself is another user's
pictures:
	@test/setup.sh $(BROWSER)
	@mkdir -p build docs/pictures
	@test/run.sh $@ 3>build/pictures.tar && tar -C docs/pictures -xf build/pictures.tar

# docs/ and README.md as a site with search, in $(SITE); a dead link or a page that stands nowhere is an error
SITE = $(or $(OUT),build/site)
SPHINX = python3-sphinx python3-myst-parser python3-sphinx-rtd-theme graphviz
docs:
	@test/setup.sh $(SPHINX)
	@docs/site/build.sh '$(SITE)'
	@echo $(SITE)/index.html

check-docs:
	@test/setup.sh $(SPHINX)
	@test/run.sh $@

check-static:
	@test/setup.sh clang-tidy cppcheck
	@test/run.sh $@

# nothing but the server and what it loads is looked at for leaks: they all end with memory that they do not give back
check-sanitized:
	@test/setup.sh dpkg-dev bison flex libssl-dev libxml2-dev zlib1g-dev
	@test/checking-server.sh sanitized >/dev/null
	@ASAN_OPTIONS=detect_leaks=0 SANITIZED='$(SANITIZED)' PG_CONFIG=$$(test/checking-server.sh sanitized) test/run.sh $@

format:
	@test/setup.sh
	@clang-format -i $$(find src test/bank test/bench docs/examples/testing test/unit test/fuzz -name '*.[ch]' -not -path '*/build/*' -not -path '*/node_modules/*')

check-assertions:
	@test/setup.sh dpkg-dev bison flex libssl-dev libxml2-dev zlib1g-dev
	@test/checking-server.sh assertions >/dev/null
	@PG_CONFIG=$$(test/checking-server.sh assertions) test/run.sh $(or $(ASSERTIONS),test-regress test-isolation test-pgtap test-tap test-chaos)

matrix:
	@KINDS='$(KINDS)' SHORT='$(SHORT)' OUT='$(OUT)' test/matrix.sh $(PG)

mutants:
	@test/setup.sh
	@MUTANTS='$(MUTANTS)' test/run.sh mutants

chaos:
	@test/setup.sh
	@SEED='$(SEED)' PAYMENTS='$(PAYMENTS)' KILLS='$(KILLS)' NOTIFIED='$(NOTIFIED)' test/run.sh chaos

shard-chaos:
	@test/setup.sh $(PLPROXY)
	@SEED='$(SEED)' PAYMENTS='$(PAYMENTS)' test/run.sh shard-chaos

webhook-chaos:
	@test/setup.sh
	@EVENTS='$(or $(EVENTS),100000)' TESTS=test/tap/431_webhooks_lost.pl test/run.sh test-tap

# OUT and SVG are opened here: the run itself is another user's
bench:
	@test/setup.sh
	@ROUNDS='$(ROUNDS)' WARMUP='$(WARMUP)' SECONDS_EACH='$(SECONDS_EACH)' ONLY='$(ONLY)' BACKLOG='$(BACKLOG)' OUT='$(OUT)' SVG='$(SVG)' test/run.sh bench 3>$(or $(OUT),/dev/null) 4>$(or $(SVG),/dev/null)

bench-extremes:
	@test/setup.sh
	@STORED='$(STORED)' FLIGHT='$(FLIGHT)' LOAD='$(LOAD)' ONLY='$(ONLY)' test/run.sh bench-extremes

bench-short:
	@$(MAKE) -s bench ROUNDS=1 WARMUP=2 SECONDS_EACH=4 BACKLOG=20000

# for the record: no part of make test, and what it installs stays in test/bench/node/node_modules
BESIDE_NODE = node@1@0,process@1@0,limit2@64@0,peer@64@0,node@64@0,process@64@0,submit@64@0,node@256@0,process@256@0,node@256@50,process@256@50,limit100@8@0,process100@8@0,submit100@8@0,select@16@0,replay@16@0
bench-node:
	@test/setup.sh
	@command -v node >/dev/null && command -v npm >/dev/null || { echo "bench-node needs node and npm." >&2; exit 1; }
	@cd test/bench/node && npm install --silent --ignore-scripts --no-package-lock --no-audit --no-fund
	@$(MAKE) -s bench ONLY='$(or $(ONLY),$(BESIDE_NODE))'

# what is committed, as PGXN takes it
VERSION = $(shell sed -n 's/^\t"version": "\(.*\)",$$/\1/p' META.json)
DIST = $(or $(OUT),build)/pgw-$(VERSION).zip
dist:
	@mkdir -p $(dir $(DIST))
	@test/check-versions.pl
	@git archive --format=zip --prefix=pgw-$(VERSION)/ -o $(DIST) HEAD -- . ':(exclude).ci'
	@echo $(DIST)

deb:
	@test/setup.sh debhelper lintian postgresql-server-dev-all
	@test/packages/build.sh $(or $(OUT),/var/tmp/pgw-deb)

check-packages:
	@test/packages/check.sh $(PACKAGES)

bank:
	$(MAKE) -C test/bank
