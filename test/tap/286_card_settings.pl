# Which settings write bound card data to a log, whether pgw then takes a call with a card, what is written of such calls, and whether pgw.health() warns: each is
# really set, payments are made with parameters of the protocol (taken, refused, timed out, without rights, directly and through a function of one's own),
# and the logs in three formats are searched for number, CVV and holder.  The outcome is the table in docs/security.md.
use strict;
use warnings;
use lib 'test/lib';
use PgwBound;
use PgwLogs;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $lib = `$ENV{PGW_BIN}/pg_config --pkglibdir` || `pg_config --pkglibdir`;
chomp $lib;
my %have = map { $_ => -e "$lib/$_.so" } qw(auto_explain pg_stat_statements pgaudit plpgsql_check plugin_debugger);
my $preload = join ', ', grep({ $have{$_} } qw(pg_stat_statements pgaudit)), 'pgw';
my $node = pgw_node('settings', conf => "shared_preload_libraries = '$preload'\nwal_level = logical\nlog_parameter_max_length = -1\npg_stat_statements.track = all\n" . logs_conf());
my $bank = bank_start();
my $slow = bank_start('--delay-ms', 4000);
pgw_setup($node, $bank);
$node->safe_psql('postgres', "INSERT INTO pgw.banks (name, connector, base_url, secret, priority) VALUES ('slow', 'json', '$slow->{url}', 'bank', 1000)");
$node->safe_psql('postgres', 'CREATE EXTENSION pg_stat_statements') if $have{pg_stat_statements};
$node->safe_psql('postgres', q{
	CREATE ROLE tester LOGIN SUPERUSER;
	CREATE ROLE stranger LOGIN; GRANT USAGE ON SCHEMA pgw TO stranger;
	-- What an ordinary function leaves in the log: the same arguments, and no payment.
	CREATE FUNCTION plain(id text, card text, cvv text, holder text) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pg_sleep(CASE WHEN id LIKE 'late%' THEN 20 ELSE 0 END);
		IF id LIKE 'invalid%' THEN
			RAISE EXCEPTION 'invalid';
		END IF;
		RETURN left(card, 2);
	END $$;
	CREATE FUNCTION plain_strict(id text, card text, cvv text, holder text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		r text;
	BEGIN
		SELECT 'x' INTO STRICT r FROM pg_class WHERE relname = card || cvv || holder;
		RETURN r;
	END $$;
	CREATE FUNCTION wrapper(id text, card text, cvv text, holder text) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		RETURN (pgw.process_payment(id, CASE WHEN id LIKE 'invalid%' THEN -1 ELSE 100 END, 'EUR', card_number => card, card_expiry_month => 12, card_expiry_year => 2039, card_cvv => cvv,
			card_holder => holder, bank => CASE WHEN id LIKE 'late%' THEN 'slow' ELSE 'bank' END)).status;
	END $$;
	CREATE FUNCTION wrapper_strict(id text, card text, cvv text, holder text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		r text;
	BEGIN
		SELECT p.status INTO STRICT r FROM pgw.process_payment(id, 100, 'EUR', card_number => card, card_expiry_month => 12, card_expiry_year => 2039, card_cvv => cvv, card_holder => holder) p
			WHERE p.status = 'declined';
		RETURN r;
	END $$;
});

# ---------------------------------------------------------------- calls with parameters of the protocol

my ($n, %text) = (0);
my $not_a_card = '9876' x 4;    # for the ordinary function: nothing that pgw would recognize and cut
my @arguments = ('(:id::text)', '(:card::numeric)::text', '(:cvv::int)::text', ':holder::text');
$text{plain} = "SELECT plain($arguments[0], $arguments[1], $arguments[2], $arguments[3]);";
$text{plain_strict} = $text{plain} =~ s/plain/plain_strict/r;
$text{wrapper} = $text{plain} =~ s/plain/wrapper/r;
$text{wrapper_strict} = $text{plain} =~ s/plain/wrapper_strict/r;
$text{direct} = "SELECT status FROM pgw.process_payment(:id::text, (:amount::numeric), 'EUR', card_number => $arguments[1], card_expiry_month => 12, card_expiry_year => 2039,"
  . " card_cvv => $arguments[2], card_holder => $arguments[3], bank => :bank::text);";

# One call with parameters of the protocol; what is said of an error.
sub call_bound
{
	my ($how, $id, %o) = @_;
	$id .= ++$n;
	my %value = (id => $id, card => $how =~ /plain/ ? $not_a_card : $CARD, cvv => $CVV, holder => $HOLDER, amount => $id =~ /invalid/ ? -1 : 100, bank => $id =~ /late/ ? 'slow' : 'bank');
	local $ENV{PGOPTIONS} = ($o{options} // '') . ($id =~ /late/ ? ' -c statement_timeout=400ms' : '');
	return run_bound($node, $text{$how}, \%value, role => 'tester', %o);
}

# All accidents; which of number, CVV and holder are in the logs then, and how many calls were refused because they would be.
sub all_accidents
{
	my ($how, $strict) = @_;
	my $before = logs_size($node);
	my @said = map { call_bound($how, $_) } qw(fine invalid late);
	push @said, call_bound($how, 'fine', role => 'stranger');
	push @said, call_bound($strict, 'strict') if $strict;
	my $log = logs_since($node, $before);
	return { found => [ leaks($log, $how =~ /plain/ ? $not_a_card : $CARD) ], refused => scalar(grep { /would write bound parameters/ } @said), calls => scalar @said, said => \@said, log => $log };
}

sub health
{
	return $node->safe_psql('postgres', "SELECT status FROM pgw.health() WHERE check_name = 'card_logging'", extra_params => [ '-U', 'tester' ]);
}

sub listed { my (@what) = @_; return @what ? join(', ', @what) : 'nothing' }

# ---------------------------------------------------------------- the settings

my @rows = (
	[ '(none of these)' ],
	[ 'log_statement = all', 'log_statement = all' ],
	[ 'log_statement = mod', 'log_statement = mod' ],
	[ 'log_statement = ddl', 'log_statement = ddl' ],
	[ 'log_statement = all, log_parameter_max_length = 0', 'log_statement = all', 'log_parameter_max_length = 0' ],
	[ 'log_statement = all, log_parameter_max_length = 8', 'log_statement = all', 'log_parameter_max_length = 8' ],
	[ 'log_min_duration_statement', 'log_min_duration_statement = 0' ],
	[ 'log_min_duration_statement, log_parameter_max_length = 0', 'log_min_duration_statement = 0', 'log_parameter_max_length = 0' ],
	[ 'log_min_duration_sample', 'log_min_duration_sample = 0', 'log_statement_sample_rate = 1' ],
	[ 'log_transaction_sample_rate', 'log_transaction_sample_rate = 1' ],
	[ 'log_duration', 'log_duration = on' ],
	[ 'log_parameter_max_length_on_error', 'log_parameter_max_length_on_error = -1' ],
	[ 'debug_print_parse', 'debug_print_parse = on' ],
	[ 'debug_print_rewritten', 'debug_print_rewritten = on' ],
	[ 'debug_print_plan', 'debug_print_plan = on' ],
	[ 'log_parser_stats, log_planner_stats, log_executor_stats', 'log_parser_stats = on', 'log_planner_stats = on', 'log_executor_stats = on' ],
	[ 'log_statement_stats', 'log_statement_stats = on' ],
	[ 'log_error_verbosity = verbose', 'log_error_verbosity = verbose' ],
	[ 'log_min_error_statement = debug5', 'log_min_error_statement = debug5' ],
	[ 'log_min_messages, client_min_messages = debug5', 'log_min_messages = debug5', 'client_min_messages = debug5', 'log_min_error_statement = debug5' ],
	[ 'backtrace_functions', q{backtrace_functions = 'ProcessInterrupts,exec_stmt_raise,pgw_raise_invalid'} ],
	[ 'log_lock_waits', 'log_lock_waits = on', q{deadlock_timeout = '1ms'} ],
	[ 'plpgsql.print_strict_params', 'plpgsql.print_strict_params = on' ],
	[ 'auto_explain loaded', 'session_preload_libraries = auto_explain' ],
	[ 'auto_explain.log_min_duration', 'session_preload_libraries = auto_explain', 'auto_explain.log_min_duration = 0' ],
	[ 'auto_explain.log_min_duration, log_verbose', 'session_preload_libraries = auto_explain', 'auto_explain.log_min_duration = 0', 'auto_explain.log_verbose = on' ],
	[ 'auto_explain.log_min_duration, log_nested_statements, log_analyze', 'session_preload_libraries = auto_explain', 'auto_explain.log_min_duration = 0', 'auto_explain.log_verbose = on',
		'auto_explain.log_nested_statements = on', 'auto_explain.log_analyze = on' ],
	[ 'pgaudit.log = all', 'pgaudit.log = all' ],
	[ 'pgaudit.log = all, pgaudit.log_parameter', 'pgaudit.log = all', 'pgaudit.log_parameter = on' ],
	[ 'pgaudit.log_parameter, nothing audited', 'pgaudit.log_parameter = on' ],
	[ 'plugin_debugger loaded', 'session_preload_libraries = plugin_debugger' ],
	[ 'plpgsql_check loaded', 'session_preload_libraries = plpgsql_check' ],
	[ 'plpgsql_check.tracer', 'session_preload_libraries = plpgsql_check', 'plpgsql_check.enable_tracer = on', 'plpgsql_check.tracer = on', 'plpgsql_check.tracer_errlevel = log' ],
);

# What docs/security.md says.
my ($section) = slurp_file('docs/security.md') =~ /^## Settings that could write a card\n(.*?)^## /ms;
my %docs = $section =~ /^\| ((?:`[^|]*`|\(none[^|]*)) (\|[^\n]*\|)$/mg;
my %newer = $section =~ /^\| (`[^|]*`) \(PostgreSQL 16 and newer\) (\|[^\n]*\|)$/mg;
%docs = (%docs, %newer) if $node->pg_version >= 16;
my (@table, $missing);

sub is_as_documented
{
	my ($name, @settings) = @_;
	my ($library) = map { /session_preload_libraries = (\w+)/ ? $1 : /^(pgaudit)\./ ? $1 : () } @settings;
SKIP:
	{
		if ($library && !$have{$library})
		{
			$missing++;
			skip "$library is not installed", 3;
		}
		for my $role ('tester', 'stranger')
		{
			$node->safe_psql('postgres', join ' ', "ALTER ROLE $role RESET ALL;", map { "ALTER ROLE $role SET " . s/ = (?!')(.*)$/ = '$1'/r . ';' } @settings);
		}
		my $strict = $name =~ /strict/;
		my $plain = all_accidents('plain', $strict && 'plain_strict');
		my $direct = all_accidents('direct');
		my $wrapped = all_accidents('wrapper', $strict && 'wrapper_strict');
		my $health = health();
		my $what = $direct->{refused} == $direct->{calls} ? 'refused' : $direct->{refused} == 0 ? 'taken' : "$direct->{refused} of $direct->{calls} refused";
		my $cells = sprintf '| %s | %s | %s | %s | %s |', listed(@{ $plain->{found} }), $what, listed(@{ $direct->{found} }), listed(@{ $wrapped->{found} }), $health eq 'ok' ? '' : $health;
		my $shown = $name =~ /^\(/ ? $name : "`$name`";
		push @table, "| $shown $cells";
		is(join(' ', @{ $direct->{found} }), '', "$name: nothing of a call with a card") or diag(substr $direct->{log}, 0, 4000);
		ok(!@{ $plain->{found} } || $health ne 'ok', "$name: pgw.health() warns, if the server writes what is bound") or diag(join ' ', @{ $plain->{found} });
		is($cells, $docs{$shown} // 'no such row', "$name: as docs/security.md says") or diag(join "\n", @{ $direct->{said} }, @{ $wrapped->{said} });
	}
}

part($node, 'settings', sub {
	is_as_documented(@$_) for @rows;
	$node->safe_psql('postgres', 'ALTER ROLE tester RESET ALL; ALTER ROLE stranger RESET ALL');
	my $text = join "\n", '| setting | what the server then writes of bound values | a call with a card | written of it | written through a function of your own | `pgw.health()` |', '|---|---|---|---|---|---|', @table;
	append_to_file($ENV{PGW_CARD_TABLE}, "$text\n") if $ENV{PGW_CARD_TABLE};    # to be put into the docs
	my %ran = map { /^\| ((?:`[^|]*`|\(none[^|]*)) / ? ($1 => 1) : () } @table;
	is(join("\n", grep { !$ran{$_} } grep { !/^\(none/ } sort keys %docs), '', 'docs/security.md has no row that is not tested') unless $missing;
});

# ---------------------------------------------------------------- however it is set

part($node, 'how it is set', sub {
	my $before = logs_size($node);
	my @said;
	local $text{direct_set} = "SET log_min_duration_statement = 0;\n$text{direct}";
	push @said, call_bound('direct_set', 'fine');
	$node->safe_psql('postgres', 'ALTER DATABASE postgres SET log_statement = \'all\'');
	push @said, call_bound('direct', 'fine');
	$node->safe_psql('postgres', 'ALTER DATABASE postgres RESET log_statement');
	$node->append_conf('postgresql.conf', 'log_parameter_max_length_on_error = 100');
	$node->reload;
	push @said, call_bound('direct', 'fine');
	is(scalar(grep { /would write bound parameters/ } @said), 3, 'refused: set in the session, for the database, in the file') or diag(@said);
	is(join(' ', leaks(logs_since($node, $before))), '', 'and nothing is written');
	$node->append_conf('postgresql.conf', 'log_parameter_max_length_on_error = 0');
	$node->reload;

	# A plan that is kept is not looked at when it is planned: the server logs the parameters before pgw's function runs.
	$before = logs_size($node);
	# pgbench prepares each of its statements once: the settings of the first round are in force in the second.
	local $text{kept} = "$text{direct}\nSET log_min_duration_statement = 0;\nSET log_statement = 'all';";
	my $said = call_bound('kept', 'fine', mode => 'prepared', times => 3, options => '-c plan_cache_mode=force_generic_plan');
	like($said, qr/would write bound parameters/, 'refused with a plan that was made before');
	my $log = logs_since($node, $before);
	like($log, qr/not shown by pgw/, 'what the server logs by itself is cut');
	is(join(' ', leaks($log)), '', 'nothing is written') or diag($log);
});

# ---------------------------------------------------------------- who looks on

part($node, 'others who look on', sub {
	# While it runs, pg_stat_activity shows its text without values; pg_stat_statements keeps it so.
	my $p = { err => '' };
	my $file = $node->basedir . '/direct.sql';
	append_to_file($file, "$text{direct}\n") unless -e $file;
	$p->{h} = IPC::Run::start([ 'pgbench', '-n', '-t', 1, '-M', 'extended', '-D', 'id=watched', '-D', "card=$CARD", '-D', "cvv=$CVV", '-D', "holder=$HOLDER", '-D', 'amount=100', '-D', 'bank=slow',
			'-h', $node->host, '-p', $node->port, '-U', 'tester', '-f', $file, 'postgres' ], '<', \undef, '>', \$p->{out}, '2>', \$p->{err});
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'SELECT status FROM pgw.process%' AND state = 'active'"), 'a call runs');
	is(join(' ', leaks($node->safe_psql('postgres', 'SELECT query FROM pg_stat_activity'))), '', 'pg_stat_activity has no values');

	# Cancelled from outside.
	my $before = logs_size($node);
	$node->safe_psql('postgres', "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT status FROM pgw.process%'");
	$p->{h}->finish;
	like($p->{err}, qr/canceling statement due to user request/, 'cancelled');
	my $log = logs_since($node, $before);
	like($log, qr/canceling statement due to user request/, 'the log says so');
	is(join(' ', leaks($log . $p->{err})), '', 'without values');
	is(join(' ', leaks($node->safe_psql('postgres', 'SELECT query FROM pg_stat_statements'))), '', 'pg_stat_statements has no values') if $have{pg_stat_statements};

	my @wal = grep { -f && slurp_file($_) =~ /\Q$CARD\E|\Q$HOLDER\E/ } glob $node->data_dir . '/pg_wal/*';
	is(scalar @wal, 0, 'nor has the WAL, with wal_level = logical');
});

part($node, 'unknown loggers', sub {
	# By the name of a setting; by what a function is written to do; by a hook.
	my $details = sub { return $node->safe_psql('postgres', "SET client_min_messages = error; $_[0]; SELECT status, details->>'$_[1]' FROM pgw.health() WHERE check_name = 'card_logging'") };
	is($details->('SELECT 1', 'settings_to_look_at') =~ s/^1\n//r, 'ok|[]', 'nothing to look at');
	is($details->('SET plpgsql.print_strict_params = on', 'settings_to_look_at'), 'warning|["plpgsql.print_strict_params"]', 'a setting that PL/pgSQL will have when it is loaded');
	is($details->("LOAD 'plpgsql'; SET plpgsql.print_strict_params = on", 'settings_to_look_at'), 'warning|["plpgsql.print_strict_params"]', "a loaded library's setting, by its name");
	is($details->("LOAD 'plpgsql'; SET plpgsql.print_strict_params = off", 'settings_to_look_at'), 'ok|[]', 'switched off');
	$node->safe_psql('postgres', q{CREATE FUNCTION strictly_printed() RETURNS void LANGUAGE plpgsql AS $$
		#print_strict_params on
		BEGIN PERFORM pgw.process_payment(NULL, NULL, NULL); END $$});
	is($details->('SELECT', 'functions_that_print_parameters') =~ s/^\n//r, 'warning|["public.strictly_printed()"]', 'a function that prints parameters');
	$node->safe_psql('postgres', 'DROP FUNCTION strictly_printed()');
	# A library with a hook that sees everything, and that pgw has not heard of: a copy under another name
SKIP:
	{
		skip 'auto_explain is not installed', 2 unless $have{auto_explain};
		my $copy = $node->basedir . '/newtrace.so';
		system_or_bail('cp', "$lib/auto_explain.so", $copy);
		like($details->("LOAD '$copy'", 'hooks_to_look_at'), qr/^warning\|\[.*"ExecutorEnd: newtrace"/, 'an unknown library in the hooks of the executor');
		like($details->("LOAD '$copy'", 'hooks_to_look_at'), qr/"ExecutorRun: newtrace"/, 'and in each of them');
	}
});

done_testing();
