# Installs the build into a prefix of its own, builds tests/package/consumer and the examples against it with
# find_package alone, and runs them; the consumer with the shared and with the static library.
#
#   cmake -D BUILD_DIR=.. -D WORK_DIR=.. -D SOURCE_DIR=.. -D VERSION=.. -D CXX=.. -D GENERATOR=.. -P install_test.cmake

function(run what)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${what} failed (${result}):\n${output}")
  endif()
  message(STATUS "${what}: ok")
endfunction()

file(REMOVE_RECURSE ${WORK_DIR})
set(prefix ${WORK_DIR}/prefix)
run("install" ${CMAKE_COMMAND} --install ${BUILD_DIR} --prefix ${prefix})

# Moved away from where it was installed: nothing may remember that place.
file(RENAME ${prefix} ${WORK_DIR}/moved)
set(prefix ${WORK_DIR}/moved)

foreach(file include/polyattn/polyattn.hpp bin/polyattn)
  if(NOT EXISTS ${prefix}/${file})
    message(FATAL_ERROR "${file} was not installed")
  endif()
endforeach()
# The lab is part of the program and no library for others.
file(GLOB_RECURSE installed RELATIVE ${prefix} ${prefix}/*)
foreach(file IN LISTS installed)
  if(file MATCHES "(^|/)(lab|cli|base)/|polyattn_(lab|io)|flint")
    message(FATAL_ERROR "${file} was installed")
  endif()
endforeach()
file(GLOB_RECURSE package_files ${prefix}/*.cmake)
foreach(file IN LISTS package_files)
  file(READ ${file} text)
  foreach(place ${BUILD_DIR} ${WORK_DIR})
    string(FIND "${text}" "${place}" position)
    if(NOT position EQUAL -1)
      message(FATAL_ERROR "${file} names the build machine's ${place}")
    endif()
  endforeach()
  if(text MATCHES "polyattn_lab|flint|gmp")
    message(FATAL_ERROR "${file} asks users of the library for what only the lab needs")
  endif()
endforeach()
run("the installed program" ${prefix}/bin/polyattn --help)

function(build name source)
  run("configure ${name}" ${CMAKE_COMMAND} -S ${SOURCE_DIR}/${source} -B ${WORK_DIR}/${name} -G ${GENERATOR}
    -D CMAKE_CXX_COMPILER=${CXX} -D CMAKE_BUILD_TYPE=Release -D CMAKE_PREFIX_PATH=${prefix}
    -D EXPECTED_VERSION=${VERSION})
  run("build ${name}" ${CMAKE_COMMAND} --build ${WORK_DIR}/${name})
endfunction()
build(quickstart examples/quickstart)
run("run quickstart" ${WORK_DIR}/quickstart/quickstart)
build(streaming examples/streaming)
run("run streaming" ${WORK_DIR}/streaming/streaming)
build(match3 examples/match3)
run("run match3" ${WORK_DIR}/match3/match3 100 200)
build(consumer tests/package/consumer)
set(consumer ${WORK_DIR}/consumer)
run("run the consumer" ${CMAKE_CTEST_COMMAND} --test-dir ${consumer} --output-on-failure --no-tests=error)

string(REGEX MATCH "^[0-9]+\\.[0-9]+" soversion ${VERSION})
execute_process(COMMAND ldd ${consumer}/consumer_shared OUTPUT_VARIABLE libraries)
if(NOT libraries MATCHES "libpolyattn\\.so\\.${soversion} => ")
  message(FATAL_ERROR "the shared consumer does not load libpolyattn.so.${soversion}:\n${libraries}")
endif()
execute_process(COMMAND ldd ${consumer}/consumer_static OUTPUT_VARIABLE libraries)
if(libraries MATCHES "libpolyattn")
  message(FATAL_ERROR "the static consumer loads a shared polyattn:\n${libraries}")
endif()
