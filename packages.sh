#!/usr/bin/env bash
# packages.sh build|test: installs the packages that are missing, by name, with sudo where needed. Debian 12, Ubuntu 24.04.
# A release without a needed package is an error; optional ones are left out with a line that says so.
set -euo pipefail
wanted="build-essential cmake ninja-build pkg-config ca-certificates libcli11-dev nlohmann-json3-dev libspdlog-dev libfmt-dev
  libturbojpeg0-dev libspng-dev libgdal-dev libdnnl-dev libopenblas-openmp-dev libfaiss-dev librandom123-dev libxxhash-dev
  libcpp-httplib-dev librsvg2-bin libopenmpi-dev openmpi-bin"
optional=""
case "${1:-}" in
  build) ;;
  test)
    wanted="$wanted libgtest-dev python3 python3-dev python3-venv git dpkg-dev make libzstd-dev"  # the last two build the CUDA simulator
    optional="clang-format-14 ccache chromium"
    ;;
  *) echo "usage: packages.sh build|test" >&2; exit 2 ;;
esac
missing=()
for package in $wanted $optional; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "all packages are installed"
  exit 0
fi
echo "installing: ${missing[*]}"
root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "packages.sh needs root: run as root, or install sudo, or ask for: ${missing[*]}" >&2; exit 1; }
  root=(sudo)
fi
"${root[@]}" apt-get update -q
known=() unknown=()
for package in "${missing[@]}"; do
  if apt-cache show "$package" >/dev/null 2>&1; then
    known+=("$package")
  elif [[ " $optional " == *" $package "* ]]; then
    echo "this release has no package $package; going on without it"
  else
    unknown+=("$package")
  fi
done
if [ ${#unknown[@]} -gt 0 ]; then
  echo "this release has no package ${unknown[*]}, which swath needs; use Debian 12 or Ubuntu 24.04 with its universe packages" >&2
  exit 1
fi
[ ${#known[@]} -eq 0 ] && exit 0
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${known[@]}"
