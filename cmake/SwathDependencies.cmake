# Finds the libraries and decides what is built. Every decision ends in a row of the summary table.
find_package(Threads REQUIRED)
if(SWATH_OPENMP)
  find_package(OpenMP REQUIRED COMPONENTS CXX)
endif()
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)

find_path(RANDOM123_INCLUDE Random123/philox.h REQUIRED)
find_path(XXHASH_INCLUDE xxhash.h REQUIRED)
find_library(XXHASH_LIBRARY xxhash REQUIRED)

# The OpenMP build of OpenBLAS shares one thread pool with the kernels and oneDNN.
find_library(OPENBLAS_LIBRARY NAMES openblas
  HINTS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/openblas-openmp REQUIRED)
find_path(OPENBLAS_INCLUDE cblas.h
  HINTS /usr/include/${CMAKE_LIBRARY_ARCHITECTURE}/openblas-openmp REQUIRED)
add_library(swath_blas INTERFACE)
target_link_libraries(swath_blas INTERFACE ${OPENBLAS_LIBRARY})
target_include_directories(swath_blas SYSTEM INTERFACE ${OPENBLAS_INCLUDE})

# oneDNN computes the convolutions on the CPU. Its packaged CMake configuration asks for OpenCL, which is not used here.
find_library(ONEDNN_LIBRARY NAMES dnnl REQUIRED)
find_path(ONEDNN_INCLUDE dnnl.hpp REQUIRED)
add_library(swath_onednn INTERFACE)
target_link_libraries(swath_onednn INTERFACE ${ONEDNN_LIBRARY})
target_include_directories(swath_onednn SYSTEM INTERFACE ${ONEDNN_INCLUDE})

include(SwathCuda)
