# Builds the Rust core and defines the targets that C programs link with: iouringnet::iouringnet (shared) and
# iouringnet::static. In the binary directory appear
#   libiouringnet.so.MAJOR.MINOR.PATCH, with libiouringnet.so.SERIES (the soname) and libiouringnet.so pointing at it
#   libiouringnet.a
# Cargo alone knows whether its sources changed, so it is asked in every build; the copies are only touched when they
# differ, so that programs are linked again only when the library did change. The crate types are named because the one for
# the Rust tests, an rlib, would have cargo leave out link-time optimisation in the others too.

find_program(CARGO cargo HINTS "$ENV{CARGO_HOME}/bin" "$ENV{HOME}/.cargo/bin")
if(NOT CARGO)
  message(FATAL_ERROR "cargo is missing. Install Rust: https://rustup.rs")
endif()

set(IOURINGNET_CARGO_FLAGS --locked CACHE STRING "Further arguments of cargo rustc")

# The target of the Rust code. Cross-compiling needs its standard library: rustup target add TARGET.
set(cross_target "$ENV{CARGO_BUILD_TARGET}")
if(CMAKE_CROSSCOMPILING AND NOT cross_target)
  set(rust_of_x86_64 x86_64-unknown-linux-gnu)
  set(rust_of_aarch64 aarch64-unknown-linux-gnu)
  set(rust_of_armv7l armv7-unknown-linux-gnueabihf)
  set(rust_of_i686 i686-unknown-linux-gnu)
  set(rust_of_ppc64le powerpc64le-unknown-linux-gnu)
  set(rust_of_riscv64 riscv64gc-unknown-linux-gnu)
  set(rust_of_s390x s390x-unknown-linux-gnu)
  set(cross_target "${rust_of_${CMAKE_SYSTEM_PROCESSOR}}")
endif()
set(IOURINGNET_CARGO_TARGET "${cross_target}" CACHE STRING
  "Rust target; empty: that of this machine. When cross-compiling, the toolchain file's processor chooses it")
if(CMAKE_CROSSCOMPILING AND NOT IOURINGNET_CARGO_TARGET)
  message(FATAL_ERROR "No Rust target is known for the processor '${CMAKE_SYSTEM_PROCESSOR}': "
    "name it with -DIOURINGNET_CARGO_TARGET=TARGET")
endif()

if(CMAKE_BUILD_TYPE STREQUAL "Debug")
  set(cargo_profile_flags)
  set(cargo_out debug)
else()
  set(cargo_profile_flags --release)
  set(cargo_out release)
endif()

# A make above us would pass down a job server that its own rules do not share with cargo.
set(cargo_env --unset=MAKEFLAGS --unset=MFLAGS --unset=MAKELEVEL "CARGO_TARGET_DIR=${PROJECT_BINARY_DIR}/cargo")

if(IOURINGNET_SANITIZE AND IOURINGNET_SANITIZE_RUST)
  # Stable compilers have the sanitizers behind this switch. The run-time library comes from the C compiler, which links
  # the programs. Naming the target keeps the flags away from build scripts.
  if(NOT IOURINGNET_CARGO_TARGET)
    execute_process(COMMAND rustc -vV OUTPUT_VARIABLE rustc_version COMMAND_ERROR_IS_FATAL ANY)
    string(REGEX MATCH "host: ([^\n]+)" _ "${rustc_version}")
    set(IOURINGNET_CARGO_TARGET "${CMAKE_MATCH_1}")
  endif()
  list(APPEND cargo_env RUSTC_BOOTSTRAP=1 "RUSTFLAGS=-Zsanitizer=address -Cforce-frame-pointers=yes"
    CARGO_PROFILE_DEV_OPT_LEVEL=1)
endif()

if(IOURINGNET_CARGO_TARGET)
  list(APPEND cargo_profile_flags --target "${IOURINGNET_CARGO_TARGET}")
  set(cargo_out "${IOURINGNET_CARGO_TARGET}/${cargo_out}")
  if(CMAKE_CROSSCOMPILING)
    string(TOUPPER "${IOURINGNET_CARGO_TARGET}" linker_variable)
    string(REPLACE "-" "_" linker_variable "${linker_variable}")
    list(APPEND cargo_env "CARGO_TARGET_${linker_variable}_LINKER=${CMAKE_C_COMPILER}")
  endif()
else()
  list(APPEND cargo_env --unset=CARGO_BUILD_TARGET) # cached as empty, and the path below goes by the cache
endif()

set(built "${PROJECT_BINARY_DIR}/cargo/${cargo_out}")
set(shared_real "${PROJECT_BINARY_DIR}/libiouringnet.so.${PROJECT_VERSION}")
# As build.rs has it: before 1.0 a new minor version may change the interface.
if(PROJECT_VERSION_MAJOR EQUAL 0)
  set(shared_soname "libiouringnet.so.0.${PROJECT_VERSION_MINOR}")
else()
  set(shared_soname "libiouringnet.so.${PROJECT_VERSION_MAJOR}")
endif()
set(static_real "${PROJECT_BINARY_DIR}/libiouringnet.a")

add_custom_target(iouringnet_cargo ALL
  COMMAND ${CMAKE_COMMAND} -E env ${cargo_env}
          ${CARGO} rustc --lib --crate-type cdylib,staticlib ${cargo_profile_flags} ${IOURINGNET_CARGO_FLAGS}
  COMMAND ${CMAKE_COMMAND} -E copy_if_different "${built}/libiouringnet.so" "${shared_real}"
  COMMAND ${CMAKE_COMMAND} -E copy_if_different "${built}/libiouringnet.a" "${static_real}"
  COMMAND ${CMAKE_COMMAND} -E create_symlink "libiouringnet.so.${PROJECT_VERSION}"
          "${PROJECT_BINARY_DIR}/${shared_soname}"
  COMMAND ${CMAKE_COMMAND} -E create_symlink "${shared_soname}" "${PROJECT_BINARY_DIR}/libiouringnet.so"
  BYPRODUCTS "${shared_real}" "${static_real}" "${PROJECT_BINARY_DIR}/${shared_soname}"
             "${PROJECT_BINARY_DIR}/libiouringnet.so"
  WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
  COMMENT "Building the Rust core"
  USES_TERMINAL VERBATIM)

# What the Rust standard library needs from the system when it is linked statically. The unwinder is not named: compilers
# add it by themselves, the shared one or, for a program that is static throughout, the other.
set(iouringnet_system_libraries util rt m dl)

add_library(iouringnet SHARED IMPORTED GLOBAL)
set_target_properties(iouringnet PROPERTIES
  IMPORTED_LOCATION "${shared_real}"
  IMPORTED_SONAME "${shared_soname}"
  INTERFACE_INCLUDE_DIRECTORIES "${PROJECT_SOURCE_DIR}/include")
add_dependencies(iouringnet iouringnet_cargo)
add_library(iouringnet::iouringnet ALIAS iouringnet)

add_library(iouringnet_static STATIC IMPORTED GLOBAL)
set_target_properties(iouringnet_static PROPERTIES
  IMPORTED_LOCATION "${static_real}"
  INTERFACE_INCLUDE_DIRECTORIES "${PROJECT_SOURCE_DIR}/include"
  INTERFACE_LINK_LIBRARIES "Threads::Threads;${iouringnet_system_libraries}")
add_dependencies(iouringnet_static iouringnet_cargo)
add_library(iouringnet::static ALIAS iouringnet_static)
