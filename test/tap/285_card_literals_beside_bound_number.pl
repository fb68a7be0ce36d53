# The number is bound, and CVV and holder stand beside it as literals: nothing in the text looks like a card, and yet neither the logs (in three formats) nor
# the client hold them afterwards; what is bound stays in the log.
use strict;
use warnings;
use lib 'test/lib';
use PgwCardLiterals;
use PgwLogs;
use PgwTest;
use PgwWire;
use Test::More;

my $node = card_literals_node('beside_bound');
$node->safe_psql('postgres', q{
	CREATE FUNCTION broken(card text, cvv text, holder text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pgw.process_payment('broken', 1/length(cvv), 'EUR', card_number => card, card_cvv => cvv, card_holder => holder);
	END $$;
});

part($node, 'beside a bound number', sub {
	my $literals = "card_cvv => '$CVV', card_holder => '$HOLDER'";
	my $bound = "pgw.process_payment('beside', 100, 'EUR', card_number => \$1, card_expiry_month => 12, card_expiry_year => 2039, card_cvv => %s, card_holder => %s)";
	my $call = sprintf $bound, "'$CVV'", "'$HOLDER'";
	my $simple = $call =~ s/\$1/current_user::text/r;
	my $checked = sub {
		my ($name, $state, $sql, %o) = @_;
		my $wire = PgwWire->new($node, user => $o{user} // 'payer');
		$wire->simple($_) for @{ $o{before} // [] };
		my $before = logs_size($node);
		$o{simple} ? $wire->simple($sql) : $wire->send($sql, [ $o{value} // $CARD ])->wait;
		is($wire->state, $state, "$name: $state") or diag($wire->err);
		my $log = logs_since($node, $before);
		is(join(' ', leaks($log . $wire->err)), '', "$name: nothing in the logs") or diag($log);
		like($log, qr/$state/, "$name: but the error is there");
		$wire->quit;
		return $log;
	};
	# Before there is a tree
	$checked->('a misspelt argument', '42883', "SELECT pgw.process_payment('beside', 100, 'EUR', card_nr => \$1, $literals)");
	$checked->('misspelt names of the literals', '42883', "SELECT pgw.process_payment('beside', 100, 'EUR', card_number => \$1, cvv_code => '$CVV', cardholder => '$HOLDER')");
	$checked->('no names', '42883', "SELECT pgw.process_payment('beside', 1.5::float8, 'EUR', NULL, \$1, 12, 2039, '$CVV', '$HOLDER')");
	$checked->('in an aborted transaction', '25P02', "SELECT $call", before => [ 'BEGIN', 'SELECT 1/0' ]);
	$checked->('another statement of the text', '22012', "SELECT 1/0; SELECT $simple", simple => 1);
	$checked->('a syntax error', '42601', "SELECT $call FORM orders a b c");
	my $log = $checked->('a syntax error right at the literal', '42601', "SELECT pgw.process_payment('beside', 100, 'EUR', card_number => \$1, card_cvv => 'x' '$CVV', card_holder => '$HOLDER')");
	like($log, qr/syntax error at or near \(not shown by pgw/, 'the log says that something is missing');
	$checked->('a literal of the wrong type', '22P02', "SELECT pgw.process_payment('beside', 100, 'EUR', card_number => \$1, card_expiry_month => '$HOLDER', $literals)");
	$checked->('literals under a column\'s name', '42703', "SELECT no_such_column, (" . sprintf($bound, 'v.c', 'v.h') . ").status FROM (VALUES ('$CVV', '$HOLDER')) v(c, h)");
	$checked->('all of the log', 'PW400', "SELECT $call", user => scalar getpwuid($>), before => [ 'SET log_statement = all' ]);
	# From a tree
	my $columns = sprintf $bound, 'x.c', 'x.h';
	$checked->('XMLTABLE', 'PW400', "SELECT ($columns).status FROM xmltable('/r' PASSING '<r><c>$CVV</c><h>$HOLDER</h></r>' COLUMNS c text PATH 'c', h text PATH 'h') x");
	$checked->('a default of XMLTABLE', 'PW400', "SELECT ($columns).status FROM xmltable('/r' PASSING xmlparse(CONTENT '<r>' || \$1 || '</r>') COLUMNS c text PATH 'c' DEFAULT '$CVV', h text PATH 'h' DEFAULT '$HOLDER') x");
	my @x = ('CREATE TEMP TABLE x (n text, c text, h text, i int)', "INSERT INTO x VALUES ('a', 'b', 'c', 0)");
	$checked->('UPDATE … RETURNING', 'PW400', "UPDATE x SET c = '$CVV', h = '$HOLDER' RETURNING ($columns).status", before => \@x);
	$checked->('UPDATE of several columns', 'PW400', "UPDATE x SET (c, h) = (SELECT '$CVV', '$HOLDER') RETURNING ($columns).status", before => \@x);
	$checked->('INSERT … ON CONFLICT … RETURNING', 'PW400', "INSERT INTO x (i, c, h) SELECT 0, \$1, \$1 ON CONFLICT (i) DO UPDATE SET c = '$CVV', h = '$HOLDER' RETURNING ($columns).status",
		before => [ @x, 'ALTER TABLE x ADD UNIQUE (i)' ]);
	$checked->('GROUP BY', 'PW400', "SELECT ($columns).status FROM (VALUES ('$CVV', '$HOLDER')) x(c, h) GROUP BY x.c, x.h");
	my $version = $node->safe_psql('postgres', "SELECT current_setting('server_version_num')::int / 10000");
	my $merge = "MERGE INTO x USING (VALUES (0)) v(i) ON x.i = v.i WHEN MATCHED THEN UPDATE SET c = '$CVV', h = '$HOLDER' RETURNING";
	$checked->('MERGE … RETURNING', 'PW400', "$merge ($columns).status", before => \@x) if $version >= 17;
	if ($version >= 18)
	{
		my $old = sprintf $bound, 'old.c', 'NULL';
		for my $case ([ 'UPDATE', "UPDATE x SET c = '$CVV' RETURNING" ], [ 'MERGE', $merge ])
		{
			my $log = $checked->("$case->[0] … RETURNING old", 'PW400', "$case->[1] ($old).status", value => 'no number', before => \@x);
			like($log, qr/"field":"card_number","code":"invalid_format"/, 'an old value is not taken for a literal');
		}
		$checked->('RETURNING new', 'PW400', "UPDATE x SET c = '$CVV', h = '$HOLDER' RETURNING (" . sprintf($bound, 'new.c', 'new.h') . ').status', before => \@x);
	}
	# What is bound stays in the log, and the same columns' old values are nobody's literals.
	$log = $checked->('all bound', '22012', "SELECT 1/0, (" . sprintf($bound, '$1::text::varchar(4)', '$1') . ").status");
	like($log, qr/STATEMENT:  SELECT 1\/0.*card_number => \$1/, 'a statement whose card is bound is shown');
	$log = $checked->('old values', 'PW400', "UPDATE x SET c = '$CVV', h = (" . sprintf($bound, 'x.c', 'NULL') . ').status', value => 'no number', before => \@x);
	like($log, qr/"field":"card_number","code":"invalid_format"/, 'are not taken for literals');
	$log = $checked->('a function with variables', '22012', "SELECT broken(\$1, '', \$1)");
	like($log, qr/CONTEXT:  SQL statement "SELECT pgw.process_payment\('broken', 1\/length\(cvv\), .*\n.*PL\/pgSQL function broken\(text,text,text\) line 3/, 'its CONTEXT stays');
});

done_testing();
