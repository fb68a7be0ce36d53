# The extension's script is built from pgw--1.0.sql and the connectors' documents: what is built has each of them, and what would be half a script is none.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use Cwd qw(getcwd);
use File::Basename qw(basename);
use File::Copy qw(copy);
use File::Path qw(make_path);
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = getcwd();
my @documents = glob 'src/connectors/*.json';
my $scratch = PostgreSQL::Test::Utils::tempdir();

# make in that folder: its status, and all that it said.
sub run_make
{
	my ($dir, @args) = @_;
	my $said = '';
	my $ok = IPC::Run::run([ 'make', '-C', $dir, "PG_CONFIG=$ENV{PGW_PG_CONFIG}", 'with_llvm=no', @args ], '>', \$said, '2>&1');
	return ($ok ? 1 : 0, $said);
}

# A folder of the server's.
sub server_directory
{
	my ($which) = @_;
	my $path = '';
	IPC::Run::run([ $ENV{PGW_PG_CONFIG}, "--$which" ], '>', \$path) or die $which;
	chomp $path;
	return $path;
}

# What the build needs, with these changes: path => text.
my $trees = 0;
sub source_tree
{
	my (%files) = @_;
	my $dir = "$scratch/tree" . $trees++;
	make_path("$dir/src/connectors");
	copy($_, "$dir/$_") or die "$_: $!" for 'Makefile', 'pgw.control', 'pgw--1.0.sql', 'src/connectors/insert.awk', @documents;
	for my $path (keys %files)
	{
		unlink "$dir/$path";
		append_to_file("$dir/$path", $files{$path}) if defined $files{$path};
	}
	return $dir;
}

my $node = pgw_node('script');
part($node, 'what is installed', sub {
	$node->safe_psql('postgres', 'CREATE EXTENSION pgw');
	cmp_ok(scalar @documents, '>=', 1, 'there are built-in connectors');
	is($node->safe_psql('postgres', "SELECT string_agg(name, ' ' ORDER BY name) FROM pgw.connectors WHERE builtin AND name <> 'test'"),
		join(' ', sort map { basename($_, '.json') } @documents), 'each document is a built-in connector');
	is($node->safe_psql('postgres', "SELECT t.definition::jsonb - 'name' - 'description' = j.definition::jsonb - 'name' - 'description' #- '{headers,Authorization}'
		FROM pgw.connectors t, pgw.connectors j WHERE t.name = 'test' AND j.name = 'json'"), 't', 'and the one of the bank inside is made of the reference protocol\'s');
	for my $path (@documents)
	{
		my $name = basename($path, '.json');
		is($node->safe_psql('postgres', "SELECT definition::text = \$d\$" . slurp_file($path) . "\$d\$ FROM pgw.connectors WHERE name = '$name'"), 't', "$path as it is in the file, to the byte");
	}
	unlike(slurp_file('build/pgw--1.0.sql'), qr/\@connectors\@/, 'no mark is left');
	$node->safe_psql('postgres', 'DROP EXTENSION pgw');
});

part($node, 'the source alone', sub {
	# beside the library that the server has loaded already
	my ($share, $lib) = map { "$scratch/source$_" } server_directory('sharedir'), server_directory('pkglibdir');
	make_path("$share/extension", $lib);
	copy($_, "$share/extension/$_") or die $! for 'pgw.control', 'pgw--1.0.sql';
	symlink $ENV{PGW_INST} . server_directory('pkglibdir') . '/pgw.so', "$lib/pgw.so" or die $!;
	my $where = $ENV{PGW_CONF} =~ /^extension_control_path/m ? "extension_control_path = '$share'" : "extension_destdir = '$scratch/source'";
	my ($status, undef, $err) = $node->psql('postgres', "SET $where; CREATE EXTENSION pgw");
	isnt($status, 0, 'is refused');
	like($err, qr/this script lacks pgw's connectors: "make" adds them, to build\/pgw--1\.0\.sql/, 'and says what to do');
	is($node->safe_psql('postgres', "SELECT count(*) FROM pg_namespace WHERE nspname = 'pgw'"), 0, 'nothing is left of it');
});

part($node, 'half a script', sub {
	my $source = slurp_file('pgw--1.0.sql');
	my $twice = $source . "-- \@connectors\@\n";
	(my $unmarked = $source) =~ s/\@connectors\@//;
	my %broken = (
		'a document that ends its own quotes' => { 'src/connectors/other.json' => "{\"a\": \"\$connector\$\"}\n" },
		'an empty document' => { 'src/connectors/other.json' => '' },
		'a name that is none' => { 'src/connectors/O.ther.json' => "{}\n" },
		'no document' => { map { $_ => undef } @documents },
		'two marks' => { 'pgw--1.0.sql' => $twice },
		'no mark' => { 'pgw--1.0.sql' => $unmarked },
	);
	for my $what (sort keys %broken)
	{
		my $dir = source_tree(%{ $broken{$what} });
		my ($ok, $said) = run_make($dir, 'build/pgw--1.0.sql');
		ok(!$ok, "$what: no script") or diag($said);
		ok(!-e "$dir/build/pgw--1.0.sql", 'and none lies there');
	}
});

part($node, 'make', sub {
	my $dir = source_tree();
	my $script = 'build/pgw--1.0.sql';
	my ($ok, $said) = run_make($dir, $script);
	ok($ok, 'builds the script') or diag($said);
	is(slurp_file("$dir/$script"), slurp_file($script), 'the same wherever that is');
	ok((run_make($dir, '-q', $script))[0], 'once');
	ok(!(run_make($dir, '-q', '-W', $_, $script))[0], "again when $_ has changed") for 'pgw--1.0.sql', 'src/connectors/insert.awk', @documents;
	append_to_file("$dir/src/connectors/other.json", "{\"second\": 1}\n");
	($ok, $said) = run_make($dir, $script);
	like(slurp_file("$dir/$script"), qr/^VALUES \('json', .*^VALUES \('other', [^\n]*\{"second": 1\}\n\$connector\$\);$/ms, 'and when a document has come');
	make_path("$scratch/elsewhere");
	my $plain = source_tree();
	($ok, $said) = run_make("$scratch/elsewhere", '-f', "$plain/Makefile", $script);
	ok($ok, 'in another folder than the sources') or diag($said);
	is(slurp_file("$scratch/elsewhere/$script"), slurp_file($script), 'it is the same');
	ok(!-e "$plain/build", 'and lies there alone');
	ok((run_make($dir, 'clean'))[0], 'clean');
	ok(!-e "$dir/build", 'takes it away');
	my $dest = "$scratch/dest";
	($ok, $said) = run_make($top, "DESTDIR=$dest", 'install');
	ok($ok, 'install with DESTDIR') or diag($said);
	is(slurp_file($dest . server_directory('sharedir') . "/extension/pgw--1.0.sql"), slurp_file($script), 'puts it into the extension folder, under its name');
});

$node->stop('fast');
done_testing();
