# The target `manual`: man pages in man/ and the site in html/ of the build directory. An ordinary build does not make it.
find_program(IOURINGNET_PYTHON python3 DOC "Python, for the manual")
if(IOURINGNET_PYTHON)
  set(manual_command "${IOURINGNET_PYTHON}" "${CMAKE_CURRENT_SOURCE_DIR}/docs/manual/build.py" --out "${PROJECT_BINARY_DIR}")
else()
  set(manual_command "${CMAKE_COMMAND}" -E echo "the manual needs python3" COMMAND "${CMAKE_COMMAND}" -E false)
endif()
add_custom_target(manual COMMAND ${manual_command} VERBATIM COMMENT "Making the manual")
