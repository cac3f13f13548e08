#!/usr/bin/env bash
# gpu-day.sh [ARGUMENTS of bench/gpu_day.py]: on a node with a GPU, builds the CUDA configuration and runs everything that only a
# GPU can show: ctest -L gpu, compute-sanitizer, every benchmark, steps beside PyTorch (eager and compiled), search beside FAISS,
# miners and losses beside pytorch-metric-learning, a training. Results: gpu-day/results.json and gpu-day/index.html.
# SWATH_PEERS_PYTHON: a python with nvidia-cudnn-frontend, PyTorch for CUDA and pytorch-metric-learning; the last two may be in
# that of SWATH_TORCH_PYTHON.
set -euo pipefail
cd "$(dirname "$0")"
./packages.sh test
command -v nvcc >/dev/null || export PATH="$PATH:/usr/local/cuda/bin"
command -v nvcc >/dev/null || { echo "gpu-day.sh needs the CUDA Toolkit: nvcc is not on the PATH" >&2; exit 1; }
launcher=()
if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_CUDA_COMPILER_LAUNCHER=ccache); fi
cmake --preset cuda -DSWATH_TESTS=CUDA -DSWATH_BENCH=ON "${launcher[@]}"
cmake --build --preset cuda
exec python3 bench/gpu_day.py build/cuda --out gpu-day "$@"
