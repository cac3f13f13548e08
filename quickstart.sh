#!/usr/bin/env bash
# Installs what is missing, builds swath for the CPU, trains the demonstration and shows what it learned. Safe to run again:
# what is done already is kept. Debian 12 and Ubuntu 24.04.
set -euo pipefail
cd "$(dirname "$0")"
started=$SECONDS
say() { printf '\n== %s\n' "$*"; }

say "1/5 packages"
./packages.sh build

say "2/5 build (preset cpu, in build/cpu)"
launcher=()
if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
cmake --preset cpu -DSWATH_TESTS=OFF "${launcher[@]}" >build-configure.log 2>&1 || { cat build-configure.log; exit 1; }
sed -n '/^-- *$/,/^-- Configuring/p' build-configure.log | sed '$d'
mv build-configure.log build/cpu/configure.log
cmake --build --preset cpu --target swath_program
swath=build/cpu/apps/swath

say "3/5 synthetic scenes (the images are generated, not photographs)"
"$swath" scenes --out scenes --images 2400 --size 64

say "4/5 training: configs/demo.json, from scratch"
"$swath" train --config configs/demo.json --resume auto

say "5/5 evaluation on the test split"
recall() { sed -n '/"recall"/,/}/s/.*"1": *\([0-9.e-]*\),*/\1/p' "$1" | head -n 1; }
"$swath" eval --run runs/demo --part test --checkpoint untrained --samples 0 --out runs/demo/eval-untrained >/dev/null
"$swath" eval --run runs/demo --part test --out runs/demo/eval
untrained=$(recall runs/demo/eval-untrained/metrics.json)
trained=$(recall runs/demo/eval/metrics.json)
printf '\n%-28s%s\n' "test split" "Recall@1"
printf '%-28s%.4f\n' "untrained network" "$untrained" "trained network" "$trained"
printf '%-28s%+.4f\n' "gain" "$(awk -v a="$trained" -v b="$untrained" 'BEGIN { print a - b }')"
printf '\nPictures: runs/demo/eval/retrieved.svg (queries and what was found), runs/demo/eval/overlap.svg (distances),\n'
printf '          runs/demo/curves.svg and runs/demo/loss.svg (training).\n'
printf 'Next: build/cpu/apps/swath train --help; README.md says how to train on a real archive.\n'
printf 'Took %d s.\n' $((SECONDS - started))
