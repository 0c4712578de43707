# Installs the library, the header, and what pkg-config and find_package(iouringnet) read.
include(CMakePackageConfigHelpers)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/iouringnet")

# The prefix is found from the .pc file's own place, so that an installed tree can be moved.
file(RELATIVE_PATH pc_prefix "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
string(REGEX REPLACE "/$" "" pc_prefix "${pc_prefix}")
list(TRANSFORM iouringnet_system_libraries PREPEND "-l" OUTPUT_VARIABLE pc_libraries)
list(JOIN pc_libraries " " pc_libraries)
configure_file(cmake/iouringnet.pc.in iouringnet.pc @ONLY)

configure_package_config_file(cmake/iouringnetConfig.cmake.in iouringnetConfig.cmake
  INSTALL_DESTINATION "${package_dir}" PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR)
# Before 1.0 a new minor version may change the interface.
write_basic_package_version_file(iouringnetConfigVersion.cmake COMPATIBILITY SameMinorVersion)

install(FILES "${shared_real}" TYPE LIB
  PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
install(FILES "${PROJECT_BINARY_DIR}/${shared_soname}" "${PROJECT_BINARY_DIR}/libiouringnet.so" "${static_real}" TYPE LIB)
install(FILES include/iouringnet.h TYPE INCLUDE)
install(FILES "${PROJECT_BINARY_DIR}/iouringnet.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
install(FILES "${PROJECT_BINARY_DIR}/iouringnetConfig.cmake" "${PROJECT_BINARY_DIR}/iouringnetConfigVersion.cmake"
  DESTINATION "${package_dir}")
install(FILES LICENSE-MIT LICENSE-APACHE TYPE DOC)
