#!/bin/bash
# image.sh SUITE POSTGRESQL PACKAGES UNUSED TAG BASE ORIGIN CACHE FOLDER
# Makes the image of one release of Debian where it is not here yet, once for each recipe; about a minute where ORIGIN is
# empty, that is, where BASE neither comes from a registry nor is an image made before. A scenario that runs
# beside another one waits here for what the other makes.
set -euo pipefail
suite=$1 postgresql=$2 packages=$3 unused=$4 tag=$5 base=$6 origin=$7 cache=$8 folder=$9
mkdir -p "$cache"
exec 9>"$cache/$suite.lock"
flock 9
if podman image exists "$tag"; then exit 0; fi

if [ -z "$origin" ]; then
    mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources 2>/dev/null |
        grep -oE '^(deb|URIs:) *(\[[^]]*\] *)?https?://[^ ]*debian/?( |$)' | grep -oE 'https?://[^ ]*' | head -n 1) || true
    # What is thrown away if power fails needs no sync after every file. A mirror may lag behind: signatures are checked all the same.
    # Documentation and translations are left out as in Debian's own slim images.
    mmdebstrap --quiet --variant=minbase --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' --aptopt='Acquire::Check-Valid-Until "false"' \
        --aptopt='Acquire::Languages "none"' --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
        "$suite" - "${mirror:-http://deb.debian.org/debian}" | podman import - "$base"
fi
podman build --network=host --isolation=chroot --label="dihya-migration=$suite" --build-arg=BASE="$base" \
    --build-arg=POSTGRESQL="$postgresql" --build-arg=PACKAGES="$packages" --build-arg=UNUSED="$unused" --tag="$tag" --file="$folder/Containerfile" "$folder"
# Images of older recipes; one that still runs stays.
podman images --quiet --filter="label=dihya-migration=$suite" --filter="before=$tag" | xargs -r podman rmi || true
echo made
