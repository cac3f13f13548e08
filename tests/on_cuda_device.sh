#!/bin/sh
# on_cuda_device.sh SIMULATOR PROGRAM ARGS…: runs a CUDA program on a real GPU, else on the simulator in $SWATH_GPUSIM or
# SIMULATOR (folders ptxsim/rt, blas and dnn with stand-in libraries; further ones in $SWATH_STAND_INS), else ends with 77, which
# ctest reports as skipped. With $SWATH_SIMULATED it is the simulator or nothing.
simulator=${SWATH_GPUSIM:-$1}
shift
if [ -e /dev/nvidiactl ] || [ -e /dev/dxg ]; then
  if [ -n "${SWATH_SIMULATED:-}" ]; then
    echo "a real GPU hides the simulator"
    exit 77
  fi
  exec "$@"
fi
if [ -z "$simulator" ]; then
  echo "no CUDA device, and SWATH_GPUSIM names no simulator"
  exit 77
fi
LD_LIBRARY_PATH="${SWATH_STAND_INS:+$SWATH_STAND_INS:}$simulator/ptxsim/rt:$simulator/blas:$simulator/dnn${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export LD_LIBRARY_PATH
exec "$@"
