# What an operator hands to the tools for connectors may hold a card number, as a literal or bound: the logs (in three formats), pg_stat_activity and
# pg_stat_statements do not hold it afterwards, and the result does not show it.
use strict;
use warnings;
use lib 'test/lib';
use PgwLogs;
use PgwSession;
use PgwTest;
use PgwWire;
use PostgreSQL::Test::Utils;
use Test::More;

my $everything = "log_statement = all\nlog_min_duration_statement = 0\nlog_parameter_max_length = -1\nlog_parameter_max_length_on_error = -1\nlog_error_verbosity = verbose\n";
my $node = pgw_node('tools', conf => "shared_preload_libraries = 'pg_stat_statements, pgw'\n$everything" . logs_conf());
pgw_setup($node, bank_start());
$node->safe_psql('postgres', 'CREATE EXTENSION pg_stat_statements');
my $psql = PgwSession->new($node);
my $wire = PgwWire->new($node);

# A call, what it must come to, and whether its answer tells of a card that was left out.
sub leaves_nothing
{
	my ($what, $state, $code) = @_;
	my $since = logs_size($node);
	my ($session, $rows) = $code->();
	is($session->state, $state, "$what: comes to $state") or diag($session->err);
	is(join(' ', leaks(($rows // '') . $session->err)), '', "$what: the client is not shown the number");
	my $log = logs_since($node, $since);
	like($log, qr/not shown by pgw|statement: .*judge_answer|render_request/, "$what: the log has the call");
	is(join(' ', leaks($log)), '', "$what: and not the number") or diag($log);
	return if $state eq '42883';    # pgw never came to see it
	my $pid = $session->backend;
	is($node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE pid = $pid AND query LIKE '%' || repeat('4242', 4) || '%'"), 0, "$what: nor pg_stat_activity");
	is($node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_statements WHERE query LIKE '%' || repeat('4242', 4) || '%'"), 0, "$what: nor pg_stat_statements");
}

sub literal { my ($sql) = @_; return sub { return ($psql, $psql->run($sql)) } }
sub bound { my ($sql, @values) = @_; return sub { return ($wire, $wire->send($sql, \@values)->wait) } }

$CARD eq '4242' x 4 or die 'the test looks for this number';
my $body = qq({"status": "approved", "id": "ch_1", "authorization_code": "$CARD"});

part($node, 'an answer with a card number', sub {
	is($psql->query('SELECT outcome, fields FROM pgw.judge_answer($$json$$, $$charge$$, 200, body => $${"status": "approved", "id": "ch_1"}$$)'), 'approved|{"bank_reference": "ch_1"}', 'one without');
	my $since = logs_size($node);
	$psql->query("SELECT '$CARD' AS another_statement");
	is(join(' ', leaks(logs_since($node, $since))), 'number', 'another statement is logged as it stands');
	leaves_nothing('a literal', '00000', literal("SELECT * FROM pgw.judge_answer('json', 'charge', 200, body => '$body')"));
	leaves_nothing('a parameter', '00000', bound('SELECT * FROM pgw.judge_answer($1, $2, $3, body => $4)', 'json', 'charge', 200, $body));
	leaves_nothing('in the headers', '00000', literal("SELECT * FROM pgw.judge_answer('json', 'charge', 200, 'X-Card: $CARD')"));
	leaves_nothing('a wrong connector', 'PW400', literal("SELECT * FROM pgw.judge_answer('jsn', 'charge', 200, body => '$body')"));
	leaves_nothing('as the connector', 'PW400', literal(qq(SELECT * FROM pgw.judge_answer('{"v": 2, "x": "{{$CARD}}"}', 'charge', 200))));
	leaves_nothing('in headers that are none', 'PW400', bound('SELECT * FROM pgw.judge_answer($1, $2, $3, $4)', 'json', 'charge', 200, $CARD));
	leaves_nothing('an error after it', '22012', literal("SELECT *, 1 / (length(outcome) - 8) FROM pgw.judge_answer('json', 'charge', 200, body => '$body')"));
	leaves_nothing('an argument too many', '42883', literal("SELECT * FROM pgw.judge_answer('json', 'charge', 200, bodi => '$body')"));
});

part($node, 'a request for a card', sub {
	my $arguments = qq({"card_number": "$CARD", "card_cvv": "$CVV", "card_holder": "$HOLDER", "card_expiry_month": 9, "card_expiry_year": 2031});
	like($psql->query("SELECT body, headers FROM pgw.render_request('bank', 'charge', '{\"card_cvv\": \"123\"}')"), qr/"number":"\*{12}4242".*Bearer \(secret\)/s, 'masked');
	leaves_nothing('a literal', '00000', literal("SELECT * FROM pgw.render_request('bank', 'charge', '$arguments')"));
	leaves_nothing('a parameter', '00000', bound('SELECT * FROM pgw.render_request($1, $2, $3)', 'bank', 'charge', $arguments));
	leaves_nothing('no such bank', 'PW400', literal("SELECT * FROM pgw.render_request('bnk', 'charge', '$arguments')"));
	leaves_nothing('no such argument', 'PW400', literal(qq(SELECT * FROM pgw.render_request('bank', 'charge', '{"$CARD": 1}'))));
	leaves_nothing('as a reference', 'PW400', literal(qq(SELECT * FROM pgw.render_request('bank', 'charge', '{"reference": "$CARD"}'))));
});

done_testing();
