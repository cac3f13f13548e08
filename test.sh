#!/usr/bin/env bash
# Builds and runs every test: the CPU configuration, and the CUDA one where nvcc is there. With CI=true a missing nvcc or CUDA
# simulator is a failure. Environment: SWATH_GPUSIM (folder of a built CUDA simulator), SWATH_DATA (folder with real
# archives), SWATH_PEERS_PYTHON (python with the packages listed below; made in build/peers
# otherwise). The last line is "N passed, N failed", with ", N skipped" where tests were.
set -uo pipefail
cd "$(dirname "$0")" || exit 1
passed=0 failed=0 skipped=0
say() { printf '\n== %s\n' "$*"; }
broken() { echo "FAILED: $*"; failed=$((failed + 1)); }
launcher=()
if command -v ccache >/dev/null; then
  launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_CUDA_COMPILER_LAUNCHER=ccache)
fi
mkdir -p build

say "packages"
./packages.sh test || broken "packages could not be installed"

nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null || true)
say "peers (Python packages that results are compared with)"
if [ -z "${SWATH_PEERS_PYTHON:-}" ]; then
  packages=(numpy pillow safetensors scikit-learn iterative-stratification rasterio nanobind tensorboard wandb)
  [ -n "$nvcc" ] && packages+=(nvidia-cudnn-frontend nvidia-cuda-nvdisasm)
  if [ "$(cat build/peers/ready 2>/dev/null)" != "${packages[*]}" ]; then
    python3 -m venv build/peers && build/peers/bin/pip install -q "${packages[@]}" && echo "${packages[*]}" >build/peers/ready ||
      broken "the peers could not be installed"
  fi
  export SWATH_PEERS_PYTHON=$PWD/build/peers/bin/python
fi
echo "$SWATH_PEERS_PYTHON"

# run_tests <preset> <tests> <cmake options…>: configures (SWATH_TESTS=<tests>), builds, runs ctest, adds to the counts.
run_tests() {
  local preset=$1 tests=$2 report=build/$1/tests.xml
  shift 2
  say "configuration $preset: build"
  # quickstart.sh leaves SWATH_TESTS=OFF in the cache of build/cpu.
  if ! cmake --preset "$preset" -DSWATH_TESTS="$tests" "${launcher[@]}" "$@" || ! cmake --build --preset "$preset"; then
    broken "the configuration $preset does not build"
    return
  fi
  say "configuration $preset: tests"
  rm -f "$report"
  local status=0
  # Two threads a test, which sleep instead of spinning while they wait: tests run side by side.
  OMP_NUM_THREADS=${OMP_NUM_THREADS:-2} OMP_WAIT_POLICY=passive ctest --test-dir "build/$preset" -j "$(nproc)" --output-on-failure --output-junit tests.xml --no-tests=error ${SWATH_CTEST_ARGS:-} || status=$?
  if [ ! -f "$report" ]; then
    broken "ctest wrote no report for $preset"
    return
  fi
  local counts total bad left
  counts=$(grep -m1 -A12 '<testsuite' "$report" | tr '\n' ' ')
  total=$(sed -n 's/.*tests="\([0-9]*\)".*/\1/p' <<<"$counts")
  bad=$(sed -n 's/.*failures="\([0-9]*\)".*/\1/p' <<<"$counts")
  left=$(grep -c '<testcase.*status="\(notrun\|disabled\)"' "$report")
  if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then broken "ctest itself failed for $preset"; fi
  passed=$((passed + total - bad - left)) failed=$((failed + bad)) skipped=$((skipped + left))
}

# The benchmarks are compiled here, not run. The Python package is built for the peers' interpreter.
run_tests cpu ON -DSWATH_BENCH=ON -DSWATH_PYTHON=ON -DPython_EXECUTABLE="$SWATH_PEERS_PYTHON"

if [ -n "$nvcc" ]; then
  if [ "${CI:-}" = true ] && [ -z "${SWATH_GPUSIM:-}" ] && ! nvidia-smi >/dev/null 2>&1; then
    broken "CI needs a GPU or a CUDA simulator: set SWATH_GPUSIM to the folder that its build made"
  fi
  PATH=$PATH:$(dirname "$nvcc")
  # What the CPU configuration has shown already is neither built nor run twice.
  SWATH_CTEST_ARGS="-L cuda|gpu|cudnn|nccl|consumer" run_tests cuda CUDA -DSWATH_BENCH=ON -DSWATH_PYTHON=ON -DPython_EXECUTABLE="$SWATH_PEERS_PYTHON" ${SWATH_GPUSIM:+-DSWATH_GPUSIM=$SWATH_GPUSIM}
elif [ "${CI:-}" = true ]; then
  broken "CI needs nvcc: install the CUDA Toolkit"
else
  echo "nvcc is not there: the CUDA configuration is not tested"
fi

tail=""
[ "$skipped" -gt 0 ] && tail=", $skipped skipped"
printf '\n%d passed, %d failed%s\n' "$passed" "$failed" "$tail"
[ "$failed" -eq 0 ]
