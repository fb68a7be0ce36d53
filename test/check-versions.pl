#!/usr/bin/perl
# One version everywhere: META.json, pgw.control, the library, the changelogs.  And META.json is what PGXN's specification 1.0 asks for, and true:
# what it names is there.  Prints one line for each fault.
use strict;
use warnings;
use File::Basename 'dirname';
use JSON::PP;

chdir dirname(__FILE__) . '/..' or die $!;
my @faults;

sub fault { push @faults, join '', @_ }

sub text
{
	my ($file) = @_;
	open my $f, '<:raw', $file or return fault("$file: $!") && '';
	local $/;
	return <$f>;
}

sub found
{
	my ($file, $like) = @_;
	return text($file) =~ $like ? $1 : (fault("$file: no version like $like"), '')[1];
}

my $meta = eval { JSON::PP->new->decode(text('META.json')) } || do { print "META.json: $@"; exit 1 };

# ---------------------------------------------------------------- META.json has the form that the specification asks for

my $TERM = qr{^[^/\\\s[:cntrl:]]{2,}$};
my $NUMBER = qr/(?:0|[1-9]\d*)/;
my $VERSION = qr/$NUMBER\.$NUMBER\.$NUMBER(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?/;
my $RANGE = qr/(?:(?:[=!]=|[<>]=?)\s*)?(?:$VERSION|0)/;
my $LICENSE = qr/^(?:agpl_3|apache_[12]_[01]|artistic_[12]|bsd|freebsd|gfdl_1_[23]|gpl_[123]|lgpl_2_1|lgpl_3_0|mit|mozilla_1_[01]|openssl|perl_5|postgresql|qpl_1_0|ssleay|sun|zlib|open_source|restricted|unrestricted|unknown)$/;
my $TEXT = qr/./s;

# like: what the values are; needs: which must be there; others may not be, but for x_…
sub members
{
	my ($where, $object, $needs, %like) = @_;
	return fault("$where is no object") if ref $object ne 'HASH';
	for my $name (@$needs) { fault("$where.$name is missing") unless exists $object->{$name} }
	for my $name (sort keys %$object)
	{
		next if $name =~ /^x_./i;
		my ($like, $value) = ($like{$name}, $object->{$name});
		if (!defined $like) { fault("$where.$name is not in the specification") }
		elsif (ref $like eq 'CODE') { $like->("$where.$name", $value) }
		elsif (ref $value || $value !~ $like) { fault("$where.$name is not as it must be") }
	}
}

# An object whose names are terms; each value is looked at by code, or has a form.
sub named
{
	my ($look) = @_;
	return sub {
		my ($where, $object) = @_;
		return fault("$where is no object with members") if ref $object ne 'HASH' || !%$object;
		for my $name (sort keys %$object)
		{
			fault("$where: \"$name\" is no term") if $name !~ $TERM;
			members($where, { $name => $object->{$name} }, [], $name => $look);
		}
	};
}

sub list_of
{
	my ($like) = @_;
	return sub {
		my ($where, $list) = @_;
		my %seen;
		return fault("$where is no list with members") if ref $list ne 'ARRAY' || !@$list;
		for (@$list) { fault("$where: a value is not as it must be") if ref || !defined || !/$like/ || $seen{$_}++ }
	};
}

sub phase { my ($where, $value) = @_; members($where, $value, [], map { $_ => named(qr/^$RANGE(?:,\s*$RANGE)*$/) } qw(requires recommends suggests conflicts)) }
my @needed = qw(name version abstract maintainer license provides meta-spec);
members('META.json', $meta, \@needed,
	name => $TERM, version => qr/^$VERSION$/, abstract => $TEXT, maintainer => $TEXT, license => $LICENSE, description => $TEXT, generated_by => $TEXT,
	release_status => qr/^(?:stable|testing|unstable)$/, tags => list_of(qr{^[^/\\[:cntrl:]]{2,255}$}),
	'meta-spec' => sub { members(@_, ['version'], version => qr/^1\.0\.\d+$/, url => qr{^https?://pgxn\.org/meta/spec\.txt$}) },
	prereqs => sub { members(@_, [], map { $_ => \&phase } qw(configure build test runtime develop)) },
	provides => named(sub { members(@_, [ 'file', 'version' ], file => qr/../, version => qr/^$VERSION$/, abstract => $TEXT, docfile => qr/../) }));

# ---------------------------------------------------------------- and is true

my $version = $meta->{version} // '';
my $script = $version =~ /^(\d+\.\d+)\./ ? $1 : 'of no number';
my $extension = $meta->{provides}{pgw} // {};
fault("META.json: pgw $extension->{version}, the archive $version") if ($extension->{version} // '') ne $version;
for my $name (qw(file docfile)) { fault("META.json: $name, $extension->{$name}, is not there") unless -f ($extension->{$name} // '') }
fault('META.json: the license is another one') unless text('LICENSE') =~ /^PostgreSQL License/;
my ($lowest) = ($meta->{prereqs}{runtime}{requires}{PostgreSQL} // '') =~ /^(\d+)\.0\.0$/;
my $supported = found('debian/pgversions', qr/^(\d+)\+$/m);
fault('META.json: PostgreSQL ', $lowest // 'of no version', ", but the packages begin with $supported") if ($lowest // '') ne $supported;

# ---------------------------------------------------------------- one version everywhere

for (
	[ 'src/core/base/version.h', qr/^#define PGW_LIBRARY_VERSION "(.*)"$/m, $version ],
	[ 'src/core/base/version.h', qr/^#define PGW_SCRIPT_VERSION "(.*)"$/m, $script ],
	[ 'pgw.control', qr/^default_version = '(.*)'$/m, $script ],
	[ 'docs/changelog.md', qr/^## (\S+)/m, $version ],
	[ 'src/dashboard/pgw-report', qr/echo 'pgw-report (\S+)'/, $version ], [ 'src/dashboard/pgw-report.1', qr/^\.TH PGW-REPORT 1 \S+ "pgw (\S+)"/, $version ],
	[ 'debian/changelog', qr/^pgw \((\S+?)-[^-]*\)/, $version ])
{
	my ($file, $like, $expected) = @$_;
	my $is = found($file, $like);
	fault("$file: $is, expected $expected") if $is ne $expected;
}
fault("there is no pgw--$script.sql") unless -f "pgw--$script.sql";

print "$_\n" for @faults;
exit(@faults ? 1 : 0);
