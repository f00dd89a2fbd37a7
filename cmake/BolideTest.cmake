# bolide_test(NAME SOURCES...): one gtest executable, one ctest entry per test case.
# Every case carries the label `quick` unless LABELS says otherwise (for example `slow`, or `gpu` for tests that need a GPU and
# skip without one). PREFIX goes before the cases' names, for an executable that runs another's cases under other conditions.
include(GoogleTest)
function(bolide_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT;PREFIX" "LABELS" ${ARGN})
  if(NOT ARG_LABELS)
    set(ARG_LABELS quick)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${name} ${ARG_UNPARSED_ARGUMENTS})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests)
  target_compile_definitions(${name} PRIVATE BOLIDE_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  target_link_libraries(${name} PRIVATE bolide fmt::fmt spdlog::spdlog nlohmann_json::nlohmann_json GTest::gmock_main)
  gtest_discover_tests(${name} TEST_PREFIX "${ARG_PREFIX}" PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT} DISCOVERY_TIMEOUT 60)
endfunction()
