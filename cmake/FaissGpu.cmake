# FAISS on the GPU. Include after find_package(faiss). Sets SWATH_WITH_FAISS_GPU, SWATH_FAISS_GPU_STATUS for the summary,
# and swath_use_faiss_gpu(<target>).
#
# A FAISS of the user's own that has GPU headers is taken as it is. Otherwise the system's FAISS 1.7.3 is CPU only, and the
# same version's Debian source package holds the GPU half: configure downloads it into the build folder (0.9 MB, through apt
# with a private source list; nothing of the system changes), and the files for flat indexes are compiled beside it.
set(SWATH_WITH_FAISS_GPU FALSE CACHE INTERNAL "")
if(NOT SWATH_FAISS_GPU MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "SWATH_FAISS_GPU must be AUTO, ON or OFF, not ${SWATH_FAISS_GPU}")
endif()
if(SWATH_FAISS_GPU STREQUAL "OFF")
  set(SWATH_FAISS_GPU_STATUS "off (SWATH_FAISS_GPU=OFF)" CACHE INTERNAL "")
  return()
endif()

macro(swath_faiss_gpu_missing reason)
  set(SWATH_FAISS_GPU_STATUS "off (${reason})" CACHE INTERNAL "")
  if(SWATH_FAISS_GPU STREQUAL "ON")
    message(FATAL_ERROR "SWATH_FAISS_GPU=ON cannot be: ${reason}; use AUTO or OFF to search on the CPU.")
  endif()
  if(SWATH_WITH_CUDA)
    message(STATUS "FAISS searches on the CPU: ${reason}.")
  endif()
  return()
endmacro()

if(NOT SWATH_WITH_CUDA)
  swath_faiss_gpu_missing("this build has no CUDA")
endif()

find_path(FAISS_INCLUDE faiss/IndexFlat.h)
mark_as_advanced(FAISS_INCLUDE)
get_target_property(_faiss_includes faiss INTERFACE_INCLUDE_DIRECTORIES)
foreach(_folder ${_faiss_includes} ${FAISS_INCLUDE})
  if(EXISTS ${_folder}/faiss/gpu/GpuIndexFlat.h)
    set(SWATH_WITH_FAISS_GPU TRUE CACHE INTERNAL "")
    set(SWATH_FAISS_GPU_STATUS "found, ${_folder}" CACHE INTERNAL "")
    function(swath_use_faiss_gpu target)
      target_link_libraries(${target} PRIVATE CUDA::cudart CUDA::cublas)
    endfunction()
    return()
  endif()
endforeach()

# Version of the package that the system's FAISS was built from.
set(_build ${PROJECT_BINARY_DIR}/faiss-gpu)
set(_source ${_build}/faiss-1.7.3)
if(NOT EXISTS ${_source}/faiss/gpu/GpuIndexFlat.cu)
  find_program(SWATH_APT_GET apt-get)
  find_program(SWATH_DPKG_SOURCE dpkg-source)
  find_program(SWATH_DPKG_QUERY dpkg-query)
  mark_as_advanced(SWATH_APT_GET SWATH_DPKG_SOURCE SWATH_DPKG_QUERY)
  if(NOT SWATH_APT_GET OR NOT SWATH_DPKG_SOURCE OR NOT SWATH_DPKG_QUERY)
    swath_faiss_gpu_missing("no FAISS with GPU headers, and no apt-get and dpkg-dev to fetch them")
  endif()
  execute_process(COMMAND ${SWATH_DPKG_QUERY} -W -f "\${source:Version}" libfaiss-dev
    OUTPUT_VARIABLE _version ERROR_QUIET)
  if(NOT _version MATCHES "^1\\.7\\.3-")
    swath_faiss_gpu_missing("no FAISS with GPU headers, and libfaiss-dev is not 1.7.3, whose GPU half is known to build")
  endif()
  file(MAKE_DIRECTORY ${_build}/apt/sources.list.d ${_build}/apt/lists/partial ${_build}/apt/cache/archives/partial)
  file(GLOB _lists /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources)
  foreach(_list ${_lists})
    file(READ ${_list} _text)
    string(REGEX REPLACE "(^|\n)deb " "\\1deb-src " _text "${_text}")
    string(REGEX REPLACE "(^|\n)Types:[^\n]*" "\\1Types: deb-src" _text "${_text}")
    get_filename_component(_name ${_list} NAME)
    file(WRITE ${_build}/apt/sources.list.d/${_name} "${_text}")
  endforeach()
  set(_apt ${SWATH_APT_GET} -qq -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts=${_build}/apt/sources.list.d
    -o Dir::State::Lists=${_build}/apt/lists -o Dir::Cache=${_build}/apt/cache -o APT::Sandbox::User=)
  message(STATUS "Fetching the source package of FAISS ${_version}")
  execute_process(COMMAND ${_apt} update WORKING_DIRECTORY ${_build} RESULT_VARIABLE _status OUTPUT_QUIET ERROR_VARIABLE _error)
  if(_status EQUAL 0)
    execute_process(COMMAND ${_apt} source --only-source faiss=${_version} WORKING_DIRECTORY ${_build}
      RESULT_VARIABLE _status OUTPUT_QUIET ERROR_VARIABLE _error)
  endif()
  if(NOT EXISTS ${_source}/faiss/gpu/GpuIndexFlat.cu)
    file(WRITE ${_build}/apt.log "${_error}")
    swath_faiss_gpu_missing("the source package of FAISS ${_version} could not be fetched (${_build}/apt.log)")
  endif()
endif()

set(_gpu ${_source}/faiss/gpu)
file(GLOB _block_select ${_gpu}/utils/blockselect/*.cu)
# Objects rather than a library, so that what is installed needs no further archive.
add_library(swath_faiss_gpu OBJECT
  ${_gpu}/GpuDistance.cu ${_gpu}/GpuIndex.cu ${_gpu}/GpuIndexFlat.cu ${_gpu}/GpuResources.cpp ${_gpu}/StandardGpuResources.cpp
  ${_gpu}/impl/BroadcastSum.cu ${_gpu}/impl/Distance.cu ${_gpu}/impl/FlatIndex.cu ${_gpu}/impl/IndexUtils.cu
  ${_gpu}/impl/L2Norm.cu ${_gpu}/impl/L2Select.cu ${_gpu}/impl/VectorResidual.cu
  ${_gpu}/utils/BlockSelectFloat.cu ${_gpu}/utils/DeviceUtils.cu ${_gpu}/utils/StackDeviceMemory.cpp ${_block_select})
# Its code predates CUDA 13, which lacks nothing it needs but C++14.
set_target_properties(swath_faiss_gpu PROPERTIES CUDA_STANDARD 17 CXX_STANDARD 17)
target_compile_options(swath_faiss_gpu PRIVATE -w $<$<COMPILE_LANGUAGE:CXX>:${OpenMP_CXX_FLAGS}>)
target_include_directories(swath_faiss_gpu SYSTEM PUBLIC ${_source})
target_link_libraries(swath_faiss_gpu PRIVATE CUDA::cudart CUDA::cublas)
set(SWATH_WITH_FAISS_GPU TRUE CACHE INTERNAL "")
set(SWATH_FAISS_GPU_STATUS "1.7.3, compiled from the distribution's source package" CACHE INTERNAL "")

function(swath_use_faiss_gpu target)
  target_sources(${target} PRIVATE $<TARGET_OBJECTS:swath_faiss_gpu>)
  target_include_directories(${target} SYSTEM PRIVATE $<TARGET_PROPERTY:swath_faiss_gpu,INTERFACE_INCLUDE_DIRECTORIES>)
  target_link_libraries(${target} PRIVATE CUDA::cudart CUDA::cublas)
endfunction()
