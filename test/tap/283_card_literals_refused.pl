# Card data as literals is refused wherever the call stands in a statement, and whoever runs it: neither the server's logs (in three formats) nor the client
# nor the statistics hold number, CVV or holder afterwards; bound values are taken.
use strict;
use warnings;
use lib 'test/lib';
use PgwCardLiterals;
use PgwLogs;
use PgwTest;
use PgwSession;
use PgwWire;
use Test::More;

my $node = card_literals_node('literals');
$node->safe_psql('postgres', q{
	CREATE TABLE secret (a int);
	CREATE FUNCTION by_format(card text, cvv text, holder text) RETURNS pgw.payment_result LANGUAGE plpgsql AS $$
	DECLARE
		r pgw.payment_result;
	BEGIN
		EXECUTE format('SELECT * FROM pgw.process_payment(%L, 100, %L, card_number => %L, card_expiry_month => 12, card_expiry_year => 2039, card_cvv => %L, card_holder => %L)',
			'by format', 'EUR', card, cvv, holder) INTO r;
		RETURN r;
	END $$;
	CREATE FUNCTION by_format_within(card text, cvv text, holder text) RETURNS pgw.payment_result LANGUAGE plpgsql AS
	$$ BEGIN RETURN by_format(card, cvv, holder); EXCEPTION WHEN division_by_zero THEN RETURN NULL; END $$;
	CREATE FUNCTION bound(card text, cvv text, holder text, id text) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		RETURN (pgw.process_payment(id, 100, 'EUR', card_number => card, card_expiry_month => 12, card_expiry_year => 2039, card_cvv => cvv, card_holder => holder)).status;
	END $$;
});

part($node, 'the search finds what is there', sub {
	my $before = logs_size($node);
	run_as($node, 'postgres', "SELECT 1/0, '$CARD', '$CVV', '$HOLDER'");
	is(join(' ', leaks(logs_since($node, $before))), 'number CVV holder', 'a failed statement that has nothing to do with pgw is in the logs as it is');
});

part($node, 'execute format', sub {
	# The card comes from outside, as it should; then the function puts it into a statement.
	my $pay = "SELECT status FROM by_format($SPELT_DATA)";
	leaves_nothing($node, 'EXECUTE format', 'PW400', 'payer', $pay);
	leaves_nothing($node, 'EXECUTE format, nested', 'PW400', 'payer', "SELECT status FROM by_format_within($SPELT_DATA)");
	leaves_nothing($node, 'EXECUTE format, time-out', 'PW400', 'payer', $pay, options => '-c statement_timeout=1s');
	leaves_nothing($node, 'EXECUTE format, READ ONLY', 'PW400', 'payer', "BEGIN READ ONLY; $pay; COMMIT;");
	leaves_nothing($node, 'EXECUTE format, no grant on the function', 'PW400', 'stranger', $pay);
	leaves_nothing($node, 'EXECUTE format, no client of pgw', 'PW400', 'half', $pay);
	leaves_nothing($node, 'EXECUTE format, all of the log', 'PW400', 'postgres', $pay, options => '-c log_statement=all -c log_min_error_statement=debug5 -c log_min_messages=debug1 -c client_min_messages=debug1');
});

part($node, 'in the statement', sub {
	leaves_nothing($node, 'a literal', 'PW400', 'payer', "SELECT $LITERAL_CALL");
	leaves_nothing($node, 'READ ONLY', 'PW400', 'payer', "BEGIN READ ONLY; SELECT $LITERAL_CALL; COMMIT;");
	leaves_nothing($node, 'no grant on the function', 'PW400', 'stranger', "SELECT $LITERAL_CALL");
	leaves_nothing($node, 'no client of pgw', 'PW400', 'half', "SELECT $LITERAL_CALL");
	leaves_nothing($node, 'no grant on a table', 'PW400', 'payer', "SELECT $LITERAL_CALL FROM secret");
	leaves_nothing($node, 'within a DO block', 'PW400', 'payer', "DO \$\$ BEGIN PERFORM $LITERAL_CALL; END \$\$");
	leaves_nothing($node, "in a long text, $_ bytes from its beginning", 'PW400', 'payer', 'DO $$ BEGIN /*' . ' filler' x ($_ / 7) . "*/ PERFORM $LITERAL_CALL; " . 'PERFORM 1; ' x 1e5 . 'END $$')
	  for 1e3, 1024 * 1024 - 200, 1024 * 1024 + 8000, 2.5e6;
	leaves_nothing($node, 'prepared', 'PW400', 'payer', "PREPARE p AS SELECT $LITERAL_CALL");
	leaves_nothing($node, 'EXECUTE of what was prepared', 'PW400', 'payer', "PREPARE p(text, text, text) AS SELECT pgw.process_payment('literal', 100, 'EUR', card_number => \$1, card_expiry_month => 12,
		card_expiry_year => 2039, card_cvv => \$2, card_holder => \$3); EXECUTE p('$CARD', '$CVV', '$HOLDER')");
	leaves_nothing($node, 'a function with a card in its body', 'PW400', 'payer', "CREATE FUNCTION mine() RETURNS text LANGUAGE plpgsql AS \$\$ DECLARE c text := '$CARD'; BEGIN PERFORM $LITERAL_CALL; END \$\$");
	leaves_nothing($node, 'COPY', 'PW400', 'payer', "COPY (SELECT $LITERAL_CALL) TO STDOUT");
	leaves_nothing($node, 'EXPLAIN', 'PW400', 'payer', "EXPLAIN ANALYZE SELECT $LITERAL_CALL");
	leaves_nothing($node, 'through a function, READ ONLY', 'PW400', 'payer', "BEGIN READ ONLY; SELECT bound('$CARD', spelt('$CVV'), spelt('x'), 'id'); COMMIT;");
	leaves_nothing($node, 'log_statement = all', 'PW400', 'postgres', "SELECT $LITERAL_CALL", options => '-c log_statement=all -c log_min_duration_statement=0');
	leaves_nothing($node, 'parse trees', 'PW400', 'postgres', "SELECT $LITERAL_CALL", options => '-c debug_print_parse=on -c debug_print_rewritten=on -c debug_print_plan=on');
});

# Columns that stand on one another: each level doubles the ways down to the parameter.
sub doubling_query
{
	my ($levels, $first) = @_;
	return "WITH v0 AS MATERIALIZED (SELECT $first AS n)" . join('', map { ", v$_ AS MATERIALIZED (SELECT n || n AS n FROM v" . ($_ - 1) . ')' } 1 .. $levels)
	  . " SELECT 1 FROM v$levels, pgw.process_payment('far', 100, 'EUR', card_number => v$levels.n) p WHERE false";
}

# Levels of a function around a value.
sub within_functions { my ($levels, $value) = @_; return 'lower(' x $levels . $value . ')' x $levels }

part($node, 'far away', sub {
	is(run_as($node, 'payer', doubling_query(10, "spelt('visa')")), '', 'a value that a thousand ways lead to is a bound one');
	leaves_nothing($node, 'a literal that a thousand ways lead to', 'PW400', 'payer', doubling_query(10, "'$HOLDER'"));
	# A stranger may not pay; the look comes before that is known. It would go on for years, and could not be cancelled.
	my $said = run_as($node, 'stranger', doubling_query(60, "spelt('visa')"), options => '-c statement_timeout=60s');
	like($said, qr/PW400.*"field": "card_number", "code": "card_literal", "message": "too many expressions/s, 'more ways than anybody can go: refused');
	leaves_nothing($node, 'a literal that lies beyond', 'PW400', 'payer', doubling_query(60, "'$HOLDER'"));
	my $call = "pgw.process_payment('far', 100, 'EUR', 'tok_ok', card_cvv => %s, card_holder => %s)";
	leaves_nothing($node, 'CVV and holder within 70 functions', 'PW400', 'payer', 'SELECT ' . sprintf $call, within_functions(70, "'$CVV'"), within_functions(70, "'$HOLDER'"));
	leaves_nothing($node, 'CVV and holder within 1100 functions', 'PW400', 'payer', 'SELECT ' . sprintf $call, within_functions(1100, "'$CVV'"), within_functions(1100, "'$HOLDER'"));
	my $recursive = "WITH RECURSIVE r(i, c, h) AS (SELECT 1, %s UNION ALL SELECT i + 1, h, c || 'x' FROM r WHERE i < 3) SELECT count(*) FROM r, pgw.process_payment('far', 100, 'EUR', card_number => r.c) p WHERE false";
	is(run_as($node, 'payer', sprintf $recursive, "spelt('visa'), spelt('visa')"), "0\n", 'a recursive CTE over a bound value');
	leaves_nothing($node, 'a recursive CTE over a literal', 'PW400', 'payer', sprintf $recursive, "spelt('visa'), '$HOLDER'");
});

# What only looks like a call, or stands where nobody can call pgw.
part($node, 'other names', sub {
	my $number = '4242 ' x 4;
	is(run_as($node, 'postgres', "DO \$\$ BEGIN PERFORM 'process_payment_list of $number'; END \$\$"), '', 'a longer word is another name');
	leaves_nothing($node, 'the word for many', 'PW400', 'postgres', "DO \$\$ BEGIN PERFORM 'process_payments of $CARD'; END \$\$");
	leaves_nothing($node, 'the word itself', 'PW400', 'postgres', "DO \$\$ BEGIN PERFORM 'process_payment of $CARD'; END \$\$");
	$node->safe_psql('postgres', 'CREATE DATABASE elsewhere');
	my $elsewhere = PgwSession->new($node, db => 'elsewhere');
	my $comment = "COMMENT ON DATABASE elsewhere IS 'process_payment of $number'";
	$elsewhere->run($comment);
	is($elsewhere->state, '00000', 'a database without pgw keeps what it likes') or diag($elsewhere->err);
	$elsewhere->query('CREATE EXTENSION pgw');
	$elsewhere->run($comment);
	is($elsewhere->state, 'PW400', 'until it has pgw');
});

# A prepared statement that has lost its tree.
part($node, 'EXECUTE after a failure', sub {
	$node->safe_psql('postgres', 'CREATE TABLE changing (x int); INSERT INTO changing VALUES (1); GRANT SELECT ON changing TO payer');
	my %prepared = (
		named => "card_number => \$1, card_expiry_month => \$4, card_expiry_year => 2039, card_cvv => trim(\$2), card_holder => \$3", placed => "NULL, \$1, \$4, 2039, trim(\$2), \$3");
	for my $how (sort keys %prepared)
	{
		my $payer = PgwWire->new($node, user => 'payer');
		$payer->simple("PREPARE p(text, text, text, int) AS SELECT p.status FROM changing, pgw.process_payment('lost $how', 100, 'EUR', $prepared{$how}) p WHERE changing.x = 1");
		is($payer->state, '00000', "$how: prepared");
		$node->safe_psql('postgres', 'ALTER TABLE changing RENAME x TO y');
		$payer->simple('EXECUTE p(NULL, NULL, NULL, NULL)');
		is($payer->state, '42703', "$how: it cannot be analyzed for a while");
		$node->safe_psql('postgres', 'ALTER TABLE changing RENAME y TO x');
		my $before = logs_size($node);
		$payer->simple("EXECUTE p('$CARD', '$CVV', '$HOLDER', 12)");
		is($payer->state, 'PW400', "$how: literals are refused") or diag($payer->err);
		is(join(',', $payer->err =~ /"field": "(\w+)"/g), 'card_number,card_cvv,card_holder', "$how: all three, and the month is none");
		is(join(' ', leaks(logs_since($node, $before))), '', "$how: nothing in the logs");
		$payer->simple(sprintf "EXECUTE p(%s, 12)", $SPELT_DATA);
		is($payer->state, '00000', "$how: and what is none is taken") or diag($payer->err);
		$payer->quit;
	}
});

part($node, 'statistics', sub {
	my $s = PgwSession->new($node, name => 'refused');
	$s->run("SELECT $LITERAL_CALL");
	is($s->state, 'PW400', 'a session is refused, and stays');
	is(join(' ', leaks($node->safe_psql('postgres', "SELECT query FROM pg_stat_activity"))), '', 'its text is not to be seen in pg_stat_activity');
	run_as($node, 'payer', "DO \$\$ BEGIN PERFORM $LITERAL_CALL; EXCEPTION WHEN OTHERS THEN NULL; END \$\$");
	run_as($node, 'payer', "SELECT shown(\$\$SELECT $LITERAL_CALL\$\$)");
	my $all = $node->safe_psql('postgres', "SELECT query FROM pg_stat_statements");
	like($all, qr/SET application_name = (?:'refused'|\$1)/, 'pg_stat_statements has seen the session');
	is(join(' ', leaks($all)), '', 'and no card');
});

part($node, 'bound', sub {
	# The same functions with variables: the charge is made, and errors show nothing.
	my $before = logs_size($node);
	is(run_as($node, 'payer', "SELECT bound($SPELT_DATA, 'fine')"), "captured\n", 'variables in PL/pgSQL are fine');
	my $out = run_as($node, 'payer', "SELECT bound($SPELT_DATA, 'late')", options => '-c statement_timeout=1s');
	like($out, qr/57014/, 'and with a time-out');
	is(join(' ', leaks($out . logs_since($node, $before))), '', 'nothing in the logs');
});

done_testing();
