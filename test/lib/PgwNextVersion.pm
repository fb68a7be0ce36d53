# PgwNextVersion - a made-up version 1.1 of pgw: a library that serves it, its control file, and an update script, to be installed over 1.0 in a
# folder of the test's own, as a package does: other files take the names of the old ones, and what has the old ones loaded keeps them.
package PgwNextVersion;

use strict;
use warnings;
use Exporter 'import';
use Fcntl ':flock';
use File::Find;
use PgwTest;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(next_version install_files files_like updatable_node);

# What an update does at least: a column, an index, another body of a function, a new function in C; and the end that each such script has.
my $UPDATE = <<'SQL';
\echo Use "ALTER EXTENSION pgw UPDATE TO '1.1'" to load this file. \quit
SET LOCAL search_path = pg_catalog, pg_temp;
ALTER TABLE pgw.payment_transactions ADD COLUMN made_up text;
COMMENT ON COLUMN pgw.payment_transactions.made_up IS 'Nothing.';
CREATE INDEX payment_transactions_made_up ON pgw.payment_transactions (made_up) WHERE made_up IS NOT NULL;
ALTER TABLE pgw.payments ADD COLUMN made_up text;
CREATE OR REPLACE FUNCTION pgw.review_actions(kind pgw.operation_kind, came_from pgw.transaction_status) RETURNS text[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$SELECT '{}'::text[]$$;
CREATE FUNCTION pgw.version_again(OUT library text, OUT library_serves text, OUT script text, OUT advice text)
AS 'MODULE_PATHNAME', 'pgw_version_1_0' LANGUAGE C STABLE;
SELECT pgw.revoke_unexplained_privileges();
SELECT pgw.record_baseline();
SQL

# Built once, from the build with debug points (that for mutants can be one), with the same flags; returns its folder.
sub next_version
{
	my ($from) = $ENV{PGW_DEBUG_INST} =~ m{([^/]+)/inst$};
	my $dir = "$ENV{PGW_WORK}/variant/$from-next";
	my $mutants = $from eq 'mutants' ? '-DPGW_MUTANTS' : '';
	open my $building, '>', "$dir.lock" or die "$dir.lock: $!";
	flock $building, LOCK_EX or die;    # two mutants may want it at the same time
	if (!-d "$dir/inst")
	{
		system('bash', '-c', ". test/lib/env.sh; pgw_build_variant '$from-next' \"-DPGW_DEBUG_POINTS $mutants -DPGW_SCRIPT_VERSION='\\\"1.1\\\"'\" '$from' base/version.h") == 0
		  or die 'the build of the next version failed';
	}
	close $building;
	my ($control) = files_like("$dir/inst", qr{/pgw\.control$});
	my $text = slurp_file($control);
	$text =~ s/^default_version = .*/default_version = '1.1'/m or die;
	write_file($control, $text);
	write_file($control =~ s{pgw\.control$}{pgw--1.0--1.1.sql}r, $UPDATE);
	return "$dir/inst";
}

# A node of the build with debug points in a folder of its own; returns both.
sub updatable_node
{
	my ($name, %o) = @_;
	my $node = pgw_node($name, debug => 1, start => 0, %o);
	my $live = $node->basedir . '/inst';
	install_files($ENV{PGW_DEBUG_INST}, $live);
	my $conf = slurp_file($node->data_dir . '/postgresql.conf');
	$conf =~ s/\Q$ENV{PGW_DEBUG_INST}\E/$live/g or die;
	write_file($node->data_dir . '/postgresql.conf', $conf);
	$node->start;
	return ($node, $live);
}

sub install_files
{
	my ($from, $to) = @_;
	for my $file (files_like($from, qr/./))
	{
		my $target = $to . substr($file, length $from);
		my ($folder) = $target =~ m{(.*)/};
		system('mkdir', '-p', $folder) == 0 && system('cp', '-p', $file, "$target.new") == 0 && rename("$target.new", $target) or die "install $target";
	}
}

sub files_like
{
	my ($dir, $like) = @_;
	my @found;
	find({ no_chdir => 1, wanted => sub { push @found, $_ if -f && /$like/ } }, $dir);
	return @found;
}

sub write_file
{
	my ($name, $text) = @_;
	open my $f, '>', $name or die "$name: $!";
	print $f $text;
	close $f or die $!;
}

1;
