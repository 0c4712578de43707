# Has cargo build the Rust core, as the archive `core_archive`. cmake/link.cmake makes the two libraries of it.
#
# Cargo alone knows whether its sources changed, so it is asked in every build; the copy is only touched when it differs, so
# that programs are linked again only when the library did change. The crate type is named because the one for the Rust
# tests, an rlib, would have cargo leave out link-time optimisation in the others too.

find_program(CARGO cargo HINTS "$ENV{CARGO_HOME}/bin" "$ENV{HOME}/.cargo/bin")
if(NOT CARGO)
  message(FATAL_ERROR "cargo is missing. Install Rust: https://rustup.rs")
endif()

# Cargo would notice an old compiler only after it has downloaded everything.
cmake_path(GET CARGO PARENT_PATH cargo_directory)
find_program(RUSTC rustc HINTS "${cargo_directory}")
file(STRINGS "${PROJECT_SOURCE_DIR}/Cargo.toml" rust_line REGEX "^rust-version *=")
string(REGEX MATCH "[0-9]+\\.[0-9]+" rust_wanted "${rust_line}")
execute_process(COMMAND "${RUSTC}" --version WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
  OUTPUT_VARIABLE rust_found ERROR_VARIABLE rust_error OUTPUT_STRIP_TRAILING_WHITESPACE)
if(NOT rust_found MATCHES "^rustc ([0-9.]+)")
  message(FATAL_ERROR "Rust ${rust_wanted} or later is needed, and ${RUSTC} does not run: ${rust_error}")
elseif(CMAKE_MATCH_1 VERSION_LESS rust_wanted)
  message(FATAL_ERROR "Rust ${rust_wanted} or later is needed. Found ${CMAKE_MATCH_1}: ${RUSTC}. "
    "Install a newer one: https://rustup.rs")
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

# An optimised library names neither the builder's home nor the place of the sources, so two builds give the same files. This is
# the weakest way to pass flags to rustc: a user's RUSTFLAGS replace them. A debugger finds the sources by
# `set substitute-path`, and those of a debug build by itself.
if(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  if(DEFINED ENV{CARGO_HOME})
    file(TO_CMAKE_PATH "$ENV{CARGO_HOME}" cargo_home)
  else()
    file(TO_CMAKE_PATH "$ENV{HOME}/.cargo" cargo_home)
  endif()
  string(CONCAT remap "build.rustflags=["
    "'--remap-path-prefix=${PROJECT_SOURCE_DIR}=/usr/src/iouringnet-${PROJECT_VERSION}',"
    "'--remap-path-prefix=${cargo_home}=/usr/src/cargo']")
  list(APPEND cargo_profile_flags --config "${remap}")
endif()

# A make above us would pass down a job server that its own rules do not share with cargo.
set(cargo_env --unset=MAKEFLAGS --unset=MFLAGS --unset=MAKELEVEL "CARGO_TARGET_DIR=${PROJECT_BINARY_DIR}/cargo")

if(IOURINGNET_SANITIZE AND IOURINGNET_SANITIZE_RUST)
  # Stable compilers have the sanitizers behind this switch. The run-time library comes from the C compiler, which links
  # the programs. Naming the target keeps the flags away from build scripts.
  if(NOT IOURINGNET_CARGO_TARGET)
    execute_process(COMMAND "${RUSTC}" -vV OUTPUT_VARIABLE rustc_version COMMAND_ERROR_IS_FATAL ANY)
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

set(core_archive "${PROJECT_BINARY_DIR}/link/cargo.a")
add_custom_target(iouringnet_cargo
  COMMAND ${CMAKE_COMMAND} -E env ${cargo_env}
          ${CARGO} rustc --lib --crate-type staticlib ${cargo_profile_flags} ${IOURINGNET_CARGO_FLAGS}
  COMMAND ${CMAKE_COMMAND} -E copy_if_different "${PROJECT_BINARY_DIR}/cargo/${cargo_out}/libiouringnet.a" "${core_archive}"
  BYPRODUCTS "${core_archive}"
  WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
  COMMENT "Building the Rust core"
  USES_TERMINAL VERBATIM)
