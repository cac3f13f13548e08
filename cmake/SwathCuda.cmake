# CUDA Toolkit, cuDNN and cudnn-frontend; sets SWATH_WITH_CUDA, and makes the target swath_cuda (runtime and build flags).
# Results for the summary: SWATH_CUDA_STATUS, SWATH_CUDNN_STATUS, SWATH_CUDNN_FRONTEND_STATUS, SWATH_GPUSIM_STATUS.
set(SWATH_GPUSIM "" CACHE PATH "Folder of a CUDA simulator (lib folders ptxsim/rt, blas, dnn) that runs the CUDA tests")
set(SWATH_WITH_CUDA FALSE)
set(SWATH_CUDNN_STATUS "not looked for")
set(SWATH_CUDNN_FRONTEND_STATUS "not looked for")
set(SWATH_GPUSIM_STATUS "not given")

if(NOT SWATH_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "SWATH_CUDA must be AUTO, ON or OFF, not ${SWATH_CUDA}")
endif()
if(SWATH_CUDA STREQUAL "OFF")
  set(SWATH_CUDA_STATUS "off (SWATH_CUDA=OFF)")
  return()
endif()

# With AUTO a missing part turns CUDA off with one line, with ON it ends the configuration.
macro(swath_cuda_missing what remedy)
  set(SWATH_CUDA_STATUS "off (no ${what})")
  if(SWATH_CUDA STREQUAL "ON")
    message(FATAL_ERROR "SWATH_CUDA=ON, but there is no ${what}: ${remedy}, or configure with -DSWATH_CUDA=OFF.")
  endif()
  message(STATUS "CUDA is off: no ${what} (${remedy}).")
  return()
endmacro()

if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(SWATH_NVCC nvcc HINTS ENV CUDA_PATH /usr/local/cuda PATH_SUFFIXES bin)
  mark_as_advanced(SWATH_NVCC)
  if(SWATH_NVCC)
    set(CMAKE_CUDA_COMPILER ${SWATH_NVCC} CACHE FILEPATH "CUDA compiler")
  endif()
endif()
include(CheckLanguage)
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  swath_cuda_missing("CUDA compiler" "install the CUDA Toolkit or set CMAKE_CUDA_COMPILER")
endif()

# sm_80: A100; sm_90: H100; the PTX of compute_90 serves later devices.
set(CMAKE_CUDA_ARCHITECTURES "80-real;90-real;90-virtual" CACHE STRING "CUDA architectures")
set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)
enable_language(CUDA)
if(NOT DEFINED CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake before 3.26 does not know that nvcc has C++20
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
endif()
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)
find_package(CUDAToolkit 12.3)
if(NOT TARGET CUDA::cudart OR NOT TARGET CUDA::cublasLt OR NOT TARGET CUDA::cublas OR NOT TARGET CUDA::nvrtc)
  swath_cuda_missing("CUDA Toolkit 12.3 or later with cuBLAS and NVRTC" "install cuda-toolkit (cudart, cuBLAS, NVRTC, headers)")
endif()

find_package(Cudnn 9.8)
if(NOT Cudnn_FOUND)
  swath_cuda_missing("cuDNN 9.8 or later" "install cuDNN (cudnn.h, libcudnn.so) or set CUDNN_ROOT")
endif()
set(SWATH_CUDNN_STATUS "${Cudnn_VERSION}, ${CUDNN_LIBRARY}")
find_package(CudnnFrontend 1.14)
if(NOT CudnnFrontend_FOUND)
  swath_cuda_missing("cudnn-frontend 1.14 or later"
    "pip install nvidia-cudnn-frontend (SWATH_PEERS_PYTHON names the python that has it) or set SWATH_CUDNN_FRONTEND to a folder with cudnn_frontend.h")
endif()
set(SWATH_CUDNN_FRONTEND_STATUS "${CudnnFrontend_VERSION}, ${CUDNN_FRONTEND_INCLUDE}")

set(SWATH_WITH_CUDA TRUE)
set(SWATH_CUDA_STATUS "${CMAKE_CUDA_COMPILER_VERSION}, architectures ${CMAKE_CUDA_ARCHITECTURES}")
if(SWATH_GPUSIM)
  if(NOT EXISTS ${SWATH_GPUSIM}/ptxsim/rt/libcudart.so)
    message(FATAL_ERROR "SWATH_GPUSIM=${SWATH_GPUSIM} holds no ptxsim/rt/libcudart.so; give the folder of a built simulator.")
  endif()
  set(SWATH_GPUSIM_STATUS "${SWATH_GPUSIM}")
endif()

# What every target of the project that touches CUDA links. RUNPATH rather than RPATH, so that LD_LIBRARY_PATH (a
# simulator, a site's own libraries) is searched first.
target_compile_options(swath_build INTERFACE
  $<$<COMPILE_LANGUAGE:CUDA>:-lineinfo;--expt-relaxed-constexpr;-Xcompiler=-Wall,-Wextra,-Wno-unused-parameter>)
target_link_options(swath_build INTERFACE -Wl,--enable-new-dtags)
add_link_options(-Wl,--enable-new-dtags)
