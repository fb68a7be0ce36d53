#!/bin/sh
# Debian packages of this tree, with the sources, for the PostgreSQL that this system has: build.sh FOLDER.  The tree itself is left alone.
set -eu
cd "$(dirname "$0")/../.."
mkdir -p "$1"
out=$(cd "$1" && pwd)
. /etc/os-release

# Packages of a later Debian or Ubuntu are newer, so that an upgrade of the system takes them.
package=$(sed -n '1s/^pgw (\(.*\)) .*/\1/p' debian/changelog)
version=${package%-*}
[ "$ID" = debian ] && system=deb || system=$ID
package=$package~$system${VERSION_ID:-$VERSION_CODENAME}

work=$(mktemp -d /var/tmp/pgw-deb.XXXXXX)
trap 'rm -rf "$work"' EXIT
source=$work/pgw-$version
mkdir "$source"
tar --exclude=./.git --exclude=./debian --exclude='*.o' --exclude='*.bc' --exclude='*.so' --exclude=build --exclude=pgw-bank --exclude=node_modules -cf - . |
	tar -C "$source" --no-same-owner -xf -
tar -C "$work" -czf "$work/pgw_$version.orig.tar.gz" "pgw-$version"
cp -a debian "$source"
cd "$source"
sed -i "1s/(.*)/($package)/" debian/changelog
pg_buildext updatecontrol
dpkg-buildpackage -us -uc
find "$work" -maxdepth 1 -type f -exec cp {} "$out" \;
find "$out" -name "*_${package}_*.deb"
