#!/usr/bin/env bash
# consumer.sh CMAKE BUILD SOURCE: installs the build into a fresh prefix, builds the consumer against it with CMake, then
# compiles it a second time with pkg-config's flags, and runs both.
set -euo pipefail
cmake=$1 build=$2 source=$3
place=$build/tests/consumer
rm -rf "$place"
mkdir -p "$place"
"$cmake" --install "$build" --prefix "$place/prefix" >"$place/install.log"
"$cmake" -S "$source" -B "$place/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$place/prefix"
"$cmake" --build "$place/build"
OMP_NUM_THREADS=1 "$place/build/consumer"
"$place/prefix/bin/swath" --version
pc=$(find "$place/prefix" -name swath.pc)
PKG_CONFIG_PATH=$(dirname "$pc") pkg-config --print-errors --exists swath
# shellcheck disable=SC2046
g++ -O1 $(PKG_CONFIG_PATH=$(dirname "$pc") pkg-config --cflags swath) "$source/consumer.cpp" -o "$place/consumer-pc" \
  $(PKG_CONFIG_PATH=$(dirname "$pc") pkg-config --libs swath)
OMP_NUM_THREADS=1 "$place/consumer-pc"
