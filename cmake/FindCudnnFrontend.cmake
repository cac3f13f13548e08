# Finds the headers of cudnn-frontend: target CUDNN::frontend, CudnnFrontend_VERSION. They come from the folder
# SWATH_CUDNN_FRONTEND, else from the PyPI package nvidia-cudnn-frontend of SWATH_PEERS_PYTHON or python3.
set(SWATH_CUDNN_FRONTEND "" CACHE PATH "Folder that holds cudnn_frontend.h")
set(SWATH_PEERS_PYTHON "$ENV{SWATH_PEERS_PYTHON}" CACHE FILEPATH "A python with the packages that the tests compare with")
if(SWATH_CUDNN_FRONTEND)
  set(_folders ${SWATH_CUDNN_FRONTEND} ${SWATH_CUDNN_FRONTEND}/include)
elseif(NOT CUDNN_FRONTEND_INCLUDE)
  set(_query "import importlib.metadata as m
for f in m.distribution('nvidia-cudnn-frontend').files:
    if f.name == 'cudnn_frontend.h': print(f.locate().resolve().parent)")
  foreach(_python ${SWATH_PEERS_PYTHON} python3)
    execute_process(COMMAND ${_python} -c "${_query}" OUTPUT_VARIABLE _folders ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
    if(_folders)
      break()
    endif()
  endforeach()
endif()
find_path(CUDNN_FRONTEND_INCLUDE cudnn_frontend.h HINTS ${_folders})
if(CUDNN_FRONTEND_INCLUDE AND EXISTS ${CUDNN_FRONTEND_INCLUDE}/cudnn_frontend_version.h)
  file(STRINGS ${CUDNN_FRONTEND_INCLUDE}/cudnn_frontend_version.h _lines
    REGEX "#define CUDNN_FRONTEND_(MAJOR|MINOR|PATCH)_VERSION +[0-9]+")
  string(REGEX REPLACE ".*MAJOR_VERSION +([0-9]+).*MINOR_VERSION +([0-9]+).*PATCH_VERSION +([0-9]+).*" "\\1.\\2.\\3"
    CudnnFrontend_VERSION "${_lines}")
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CudnnFrontend REQUIRED_VARS CUDNN_FRONTEND_INCLUDE VERSION_VAR CudnnFrontend_VERSION)
mark_as_advanced(CUDNN_FRONTEND_INCLUDE)
if(CudnnFrontend_FOUND AND NOT TARGET CUDNN::frontend)
  add_library(CUDNN::frontend INTERFACE IMPORTED)
  target_include_directories(CUDNN::frontend SYSTEM INTERFACE ${CUDNN_FRONTEND_INCLUDE})
  target_link_libraries(CUDNN::frontend INTERFACE CUDNN::cudnn CUDA::cudart)
endif()
