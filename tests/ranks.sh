#!/usr/bin/env bash
# ranks.sh N PROGRAM…: the program as N ranks on this machine, whatever its number of cores and whoever runs it. Exits 77 where
# there is no mpirun outside CI.
set -euo pipefail
ranks=$1
shift
if ! command -v mpirun >/dev/null; then
  echo "mpirun is not installed (openmpi-bin)"
  [ "${CI:-}" = true ] && exit 1
  exit 77
fi
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
# In a container the kernel may refuse the copy from another process's memory.
export OMPI_MCA_btl_vader_single_copy_mechanism=none OMPI_MCA_mpi_yield_when_idle=1
# shellcheck disable=SC2086
exec mpirun --oversubscribe ${SWATH_MPIRUN_ARGS:-} -n "$ranks" "$@"
