# PgwCardLiterals - calls of pgw whose card data stands as literals in the text of a statement: a cluster with the roles that make them, the call
# itself, and the search for what is left of the card in the logs (in three formats) and at the client.
package PgwCardLiterals;

use strict;
use warnings;
use Exporter 'import';
use PgwLogs;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(card_literals_node run_as leaves_nothing $LITERAL_CALL $SPELT_DATA);

# A call with number, CVV and holder as literals; and the three as values that are none.
our $LITERAL_CALL =
  "pgw.process_payment('literal', 100, 'EUR', card_number => '$CARD', card_expiry_month => 12, card_expiry_year => 2039, card_cvv => '$CVV', card_holder => '$HOLDER')";
our $SPELT_DATA = join ', ', map { "spelt('" . join('x', split //, $_) . "')" } $CARD, $CVV, $HOLDER;

# A cluster that writes all logs and statistics, with a bank that takes its time; and the roles: a client, one without any grant on the function, one
# that may call it but is no client.  shown() runs a statement that it is given as a text.
sub card_literals_node
{
	my ($name) = @_;
	my $node = pgw_node($name, conf => "shared_preload_libraries = 'pg_stat_statements, pgw'\nrestart_after_crash = on\nlog_error_verbosity = verbose\n" . logs_conf());
	pgw_setup($node, bank_start('--delay-ms', 3000));
	$node->safe_psql('postgres', q{
		CREATE EXTENSION pg_stat_statements;
		CREATE ROLE payer LOGIN; SELECT pgw.grant_access('payer', 'client');
		CREATE ROLE stranger LOGIN; GRANT USAGE ON SCHEMA pgw TO stranger;
		CREATE ROLE half LOGIN; GRANT USAGE ON SCHEMA pgw TO half; GRANT EXECUTE ON FUNCTION pgw.process_payment TO half;
		CREATE TABLE orders (a int); GRANT ALL ON orders TO PUBLIC; GRANT CREATE ON SCHEMA public TO PUBLIC;
		CREATE FUNCTION shown(what text) RETURNS text LANGUAGE plpgsql AS $$ DECLARE r text; BEGIN EXECUTE what INTO r; RETURN r; END $$;
	});
	return $node;
}

# Run statements as a role; what psql says of it, with everything that it knows.
sub run_as
{
	my ($node, $role, $sql, %o) = @_;
	my ($out, $err) = ('', '');
	my $file = $node->basedir . '/literal.sql';
	unlink $file;
	append_to_file($file, $sql);
	local $ENV{PGOPTIONS} = $o{options} // '';
	IPC::Run::run([ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-v', 'SHOW_CONTEXT=always', '-h', $node->host, '-p', $node->port, '-U', $role, '-d', 'postgres', '-f', $file ],
		'>', \$out, '2>', \$err);
	unlink $file;
	# psql shows the line of its own text at which the server points
	$err =~ s/^LINE \d+:[^\n]*\n[^\n]*\n//mg;
	return $out . $err;
}

# One accident: the SQLSTATE it must have, and no trace of the card anywhere.
sub leaves_nothing
{
	my ($node, $name, $state, $role, $sql, %o) = @_;
	my $before = logs_size($node);
	my $client = run_as($node, $role, $sql, %o);
	my $log = logs_since($node, $before);
	like($client, qr/$state/, "$name: $state");
	is(join(' ', leaks($client)), '', "$name: nothing at the client") or diag($client);
	is(join(' ', leaks($log)), '', "$name: nothing in the logs") or diag($log);
	like($log, qr/$state/, "$name: but the error is there");
}

1;
