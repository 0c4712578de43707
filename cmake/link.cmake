# Links the two libraries of the Rust core, and defines the targets that C programs link with: iouringnet::iouringnet
# (shared) and iouringnet::static. In the binary directory appear
#   libiouringnet.so.MAJOR.MINOR.PATCH, with libiouringnet.so.SERIES (the soname) and libiouringnet.so pointing at it
#   libiouringnet.a
# Rust exports each function under one name, without a version, and in every library that takes up its archive. So the core
# becomes one object here, in which each function has both of its names and nothing else is global:
#   shared   each name has the version IOURINGNET_SERIES
#   static   each name is hidden, so that a library of a user's exports none of them, and the short ones are weak, so that a
#            program may have a function of that name
# Expects `core_archive` and the target iouringnet_cargo.

# As build.rs has it: before 1.0 a new minor version may change the interface.
set(series "${PROJECT_VERSION_MAJOR}")
if(PROJECT_VERSION_MAJOR EQUAL 0)
  set(series "0.${PROJECT_VERSION_MINOR}")
endif()
set(shared_real "${PROJECT_BINARY_DIR}/libiouringnet.so.${PROJECT_VERSION}")
set(shared_soname "libiouringnet.so.${series}")
set(static_real "${PROJECT_BINARY_DIR}/libiouringnet.a")

# --- the names, which the header holds ---

set(header "${PROJECT_SOURCE_DIR}/include/iouringnet.h")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${header}")
set(function "^[a-z][a-z0-9_ ]*[ *]([a-z0-9_]+)\\(")
set(twin "^#define ([a-z0-9_]+) (iouringnet_[a-z0-9_]+)$")
file(STRINGS "${header}" lines REGEX "${function}|${twin}")
set(names)
set(short_names)
set(options)
foreach(line IN LISTS lines)
  if(line MATCHES "${twin}")
    list(APPEND short_names ${CMAKE_MATCH_1})
    list(APPEND names ${CMAKE_MATCH_2})
    string(APPEND options "--defsym=${CMAKE_MATCH_2}=${CMAKE_MATCH_1}\n")
  elseif(line MATCHES "${function}")
    list(APPEND names ${CMAKE_MATCH_1})
    string(APPEND options "--undefined=${CMAKE_MATCH_1}\n")
  endif()
endforeach()

set(link "${PROJECT_BINARY_DIR}/link")
set(version_script "IOURINGNET_${series} {\nglobal:\n")
# A reference by which the linker learns that the name is hidden. The section is then removed.
set(hidden "__asm__(\".section iouringnet_names\");\n")
foreach(name IN LISTS names)
  string(APPEND version_script "  ${name};\n")
  string(APPEND hidden "__asm__(\".hidden ${name}\\n.8byte ${name}\");\n")
endforeach()
string(APPEND version_script "local:\n  *;\n};\n")

# Members of a section group would be found by name, also in the objects of others.
set(join_flags)
execute_process(COMMAND "${CMAKE_LINKER}" --help OUTPUT_VARIABLE linker_help ERROR_QUIET)
set(kept ${names})
if(linker_help MATCHES "force-group-allocation")
  set(join_flags --force-group-allocation)
else()
  list(APPEND kept DW.ref.rust_eh_personality)
endif()
list(JOIN kept "\n" kept)
list(JOIN short_names "\n" weak)

foreach(file IN ITEMS options version_script hidden kept weak)
  set(name "${link}/${file}")
  if(file STREQUAL "hidden")
    string(APPEND name .c)
  endif()
  file(CONFIGURE OUTPUT "${name}" CONTENT "${${file}}\n" @ONLY)
endforeach()

# --- the objects ---

if(NOT CMAKE_OBJCOPY)
  message(FATAL_ERROR "objcopy is missing. It comes with the linker: binutils, or llvm")
endif()

add_library(iouringnet_hidden OBJECT "${link}/hidden.c")
target_compile_options(iouringnet_hidden PRIVATE -fno-lto -g0)
set_target_properties(iouringnet_hidden PROPERTIES INTERPROCEDURAL_OPTIMIZATION OFF)

# The bitcode in the objects of Rust's standard library is for another LLVM than that of a C compiler, which would read it.
add_custom_command(OUTPUT "${link}/shared.o"
  COMMAND "${CMAKE_OBJCOPY}" --remove-section=.llvmbc --remove-section=.llvmcmd "${core_archive}" "${link}/core.a"
  COMMAND "${CMAKE_LINKER}" -r ${join_flags} "@${link}/options" "${link}/core.a" -o "${link}/core.o"
  COMMAND "${CMAKE_OBJCOPY}" "--keep-global-symbols=${link}/kept" "${link}/core.o" "${link}/shared.o"
  DEPENDS iouringnet_cargo "${core_archive}" "${link}/options" "${link}/kept"
  COMMENT "Giving the functions both of their names" VERBATIM)
add_custom_command(OUTPUT "${link}/static.o"
  COMMAND "${CMAKE_LINKER}" -r "${link}/shared.o" $<TARGET_OBJECTS:iouringnet_hidden> -o "${link}/hidden.o"
  COMMAND "${CMAKE_OBJCOPY}" "--weaken-symbols=${link}/weak" --remove-section=iouringnet_names "${link}/hidden.o"
          "${link}/static.o"
  DEPENDS "${link}/shared.o" $<TARGET_OBJECTS:iouringnet_hidden> "${link}/weak"
  COMMENT "Hiding the names of the static library" VERBATIM)
# Both libraries depend on one target, which alone runs the commands.
add_custom_target(iouringnet_objects DEPENDS "${link}/shared.o" "${link}/static.o")
add_dependencies(iouringnet_objects iouringnet_hidden)
set_source_files_properties("${link}/shared.o" "${link}/static.o" PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)

# --- the libraries ---

# What the Rust standard library needs from the system. The unwinder is not named: compilers add it by themselves, the shared
# one or, for a program that is static throughout, the other.
set(iouringnet_system_libraries util rt m dl)

add_library(iouringnet SHARED "${link}/shared.o")
add_library(iouringnet_static STATIC "${link}/static.o")
foreach(library IN ITEMS iouringnet iouringnet_static)
  add_dependencies(${library} iouringnet_objects)
  target_include_directories(${library} SYSTEM INTERFACE "${PROJECT_SOURCE_DIR}/include")
  # The names and places are the same in every configuration, and in a project that has this one as a part.
  set_target_properties(${library} PROPERTIES
    LINKER_LANGUAGE C
    OUTPUT_NAME iouringnet
    DEBUG_POSTFIX ""
    LIBRARY_OUTPUT_DIRECTORY "$<1:${PROJECT_BINARY_DIR}>"
    ARCHIVE_OUTPUT_DIRECTORY "$<1:${PROJECT_BINARY_DIR}>")
endforeach()

# The library's own calls are bound to itself, whatever names the program has. It is never unmapped, because the resolver's
# threads may outlive a dlclose.
set_target_properties(iouringnet PROPERTIES VERSION "${PROJECT_VERSION}" SOVERSION "${series}"
  LINK_DEPENDS "${link}/version_script")
target_link_options(iouringnet PRIVATE "LINKER:--version-script=${link}/version_script"
  LINKER:-Bsymbolic-functions,-z,nodelete LINKER:-z,relro,-z,now,-z,noexecstack LINKER:--gc-sections,--as-needed,-O1)
target_link_libraries(iouringnet PRIVATE Threads::Threads ${iouringnet_system_libraries})
target_link_libraries(iouringnet_static INTERFACE Threads::Threads ${iouringnet_system_libraries})
add_library(iouringnet::iouringnet ALIAS iouringnet)
add_library(iouringnet::static ALIAS iouringnet_static)
