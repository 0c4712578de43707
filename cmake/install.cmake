# Installs four components, which packagers may divide:
#   runtime  the shared library
#   devel    the header, the static library, what pkg-config and find_package(iouringnet) read, the man pages of functions
#   tools    the programs and their man pages
#   doc      the documents, the sources of the examples, and the manual as HTML
# Man pages and HTML are installed if the target `manual` has made them. CPack packs all four into one archive.
include(CMakePackageConfigHelpers)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/iouringnet")

# The prefix is found from the .pc file's own place, so that an installed tree can be moved. Exception: directories that are
# absolute stay where they are.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  set(pc_prefix "${CMAKE_INSTALL_PREFIX}")
  set(pc_libdir "${CMAKE_INSTALL_LIBDIR}")
else()
  file(RELATIVE_PATH pc_prefix "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
  string(REGEX REPLACE "/$" "" pc_prefix "\${pcfiledir}/${pc_prefix}")
  set(pc_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
endif()
if(IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
  set(pc_includedir "${CMAKE_INSTALL_INCLUDEDIR}")
else()
  set(pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
list(TRANSFORM iouringnet_system_libraries PREPEND "-l" OUTPUT_VARIABLE pc_libraries)
list(JOIN pc_libraries " " pc_libraries)
configure_file(cmake/iouringnet.pc.in iouringnet.pc @ONLY)

configure_package_config_file(cmake/iouringnetConfig.cmake.in iouringnetConfig.cmake
  INSTALL_DESTINATION "${package_dir}" PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR)
# Before 1.0 a new minor version may change the interface.
write_basic_package_version_file(iouringnetConfigVersion.cmake COMPATIBILITY SameMinorVersion)

# The notices of the Rust standard library, a part of which is in both libraries.
execute_process(COMMAND "${RUSTC}" --print sysroot WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
  OUTPUT_VARIABLE rust_sysroot OUTPUT_STRIP_TRAILING_WHITESPACE)
set(rust_notices "${rust_sysroot}/share/doc/rust/COPYRIGHT-library.html")

# As CMake does it for its own shared libraries: Debian's are not executable, those of other systems are.
set(shared_mode OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
if(NOT CMAKE_INSTALL_SO_NO_EXE)
  list(APPEND shared_mode OWNER_EXECUTE GROUP_EXECUTE WORLD_EXECUTE)
endif()
install(FILES "${shared_real}" TYPE LIB PERMISSIONS ${shared_mode} COMPONENT runtime)
install(FILES "${PROJECT_BINARY_DIR}/${shared_soname}" TYPE LIB COMPONENT runtime)

install(FILES "${PROJECT_BINARY_DIR}/libiouringnet.so" "${static_real}" TYPE LIB COMPONENT devel)
install(FILES include/iouringnet.h TYPE INCLUDE COMPONENT devel)
install(FILES "${PROJECT_BINARY_DIR}/iouringnet.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig" COMPONENT devel)
install(FILES "${PROJECT_BINARY_DIR}/iouringnetConfig.cmake" "${PROJECT_BINARY_DIR}/iouringnetConfigVersion.cmake"
  DESTINATION "${package_dir}" COMPONENT devel)
install(DIRECTORY "${PROJECT_BINARY_DIR}/man/man3" "${PROJECT_BINARY_DIR}/man/man7" TYPE MAN COMPONENT devel OPTIONAL)

if(IOURINGNET_TOOLS)
  install(TARGETS iouringnet_probe_tool RUNTIME COMPONENT tools)
endif()
install(DIRECTORY "${PROJECT_BINARY_DIR}/man/man1" TYPE MAN COMPONENT tools OPTIONAL)

# The folders are those of the source tree, so that README.md's links lead somewhere.
install(FILES README.md CHANGELOG.md SECURITY.md SUPPORT.md LICENSE-MIT LICENSE-APACHE LICENSE-THIRD-PARTY TYPE DOC COMPONENT doc)
install(FILES "${rust_notices}" TYPE DOC COMPONENT doc OPTIONAL)
install(DIRECTORY docs TYPE DOC COMPONENT doc FILES_MATCHING PATTERN "*.md" PATTERN "*.svg" PATTERN "*.[ch]" PATTERN manual EXCLUDE)
install(DIRECTORY examples-c TYPE DOC COMPONENT doc FILES_MATCHING PATTERN "*.[ch]")
install(DIRECTORY docs/guide/programs DESTINATION "${CMAKE_INSTALL_DOCDIR}/docs/guide" COMPONENT doc
  FILES_MATCHING PATTERN "*.c" PATTERN "*.cpp")
install(DIRECTORY "${PROJECT_BINARY_DIR}/html" TYPE DOC COMPONENT doc OPTIONAL)

if(PROJECT_IS_TOP_LEVEL)
  set(CPACK_GENERATOR TGZ)
  set(CPACK_PACKAGE_VENDOR "the authors of libiouringnet")
  set(CPACK_PACKAGE_FILE_NAME "iouringnet-${PROJECT_VERSION}-${CMAKE_SYSTEM_NAME}-${CMAKE_SYSTEM_PROCESSOR}")
  set(CPACK_RESOURCE_FILE_LICENSE "${PROJECT_SOURCE_DIR}/LICENSE-MIT")
  set(CPACK_RESOURCE_FILE_README "${PROJECT_SOURCE_DIR}/README.md")
  set(CPACK_PACKAGE_CHECKSUM SHA256)
  set(CPACK_SOURCE_GENERATOR TGZ)
  set(CPACK_SOURCE_IGNORE_FILES "/build/;/\\.git/;/\\.git$")
  set(CPACK_VERBATIM_VARIABLES ON)
  include(CPack)
endif()
