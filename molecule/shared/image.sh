#!/bin/bash
# image.sh SUITE SCRIPT POSTGRESQL PACKAGES UNUSED TAG BASE ORIGIN CACHE FOLDER
# Makes the image of one release of Debian where it is not here yet, once for each recipe; about two minutes where ORIGIN is
# empty, that is, where BASE neither comes from a registry nor is an image made before. A scenario that runs
# beside another one waits here for what the other makes.
set -euo pipefail
suite=$1 script=$2 postgresql=$3 packages=$4 unused=$5 tag=$6 base=$7 origin=$8 cache=$9 folder=${10}
mkdir -p "$cache/packages"
exec 9>"$cache/$suite.lock"
flock 9
if podman image exists "$tag"; then exit 0; fi

if [ -z "$origin" ]; then
    mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources 2>/dev/null |
        grep -oE '^(deb|URIs:) *(\[[^]]*\] *)?https?://[^ ]*debian/?( |$)' | grep -oE 'https?://[^ ]*' | head -n 1) || true
    root=$(mktemp -d "$cache/root.XXXXXX")
    trap 'rm -rf "$root"' EXIT
    debootstrap --variant=minbase --cache-dir="$cache/packages" "$suite" "$root" "${mirror:-http://deb.debian.org/debian}" \
        "/usr/share/debootstrap/scripts/$script"
    tar -C "$root" --exclude='./var/cache/apt/archives/*.deb' -c . | podman import - "$base"
fi
podman build --network=host --isolation=chroot --label="dihya-migration=$suite" --build-arg=BASE="$base" \
    --build-arg=POSTGRESQL="$postgresql" --build-arg=PACKAGES="$packages" --build-arg=UNUSED="$unused" --tag="$tag" --file="$folder/Containerfile" "$folder"
# Images of older recipes; one that still runs stays.
podman images --quiet --filter="label=dihya-migration=$suite" --filter="before=$tag" | xargs -r podman rmi || true
echo made
