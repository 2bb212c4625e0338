# cmake --install: headers, both libraries, the program, and the package files behind find_package(polyattn).
# The static library is in an export set of its own, because it alone needs OpenMP of its consumer.

include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/polyattn)

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.hpp" PATTERN "*.h")
install(TARGETS polyattn_shared EXPORT polyattn_shared_targets)
install(TARGETS polyattn_static EXPORT polyattn_static_targets)
if(TARGET polyattn_program)
  install(TARGETS polyattn_program)
endif()

foreach(kind shared static)
  install(EXPORT polyattn_${kind}_targets NAMESPACE polyattn:: DESTINATION ${package_dir}
    FILE polyattn-${kind}-targets.cmake)
endforeach()

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/polyattnConfig.cmake.in
  ${PROJECT_BINARY_DIR}/polyattnConfig.cmake INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
# While the major version is 0, only the same minor version is compatible.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/polyattnConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/polyattnConfig.cmake ${PROJECT_BINARY_DIR}/polyattnConfigVersion.cmake
  DESTINATION ${package_dir})
