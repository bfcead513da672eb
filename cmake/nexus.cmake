# nexus.cmake - how folders, programs and tests of this project become targets.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

option(NX_FUZZ "Build the fuzz targets (clang's libFuzzer)" OFF)
option(NX_SHARED "Build libnexus.so (sanitizers live in programs, not in libraries)" ON)

# -ffp-contract=off: kernels agree bit for bit only if no compiler fuses on its own
# (src/tensor/backend.h). -fno-math-errno lets sqrtf and rintf be instructions.
add_compile_options(-Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes
  -Wmissing-prototypes -Wold-style-definition -Wvla -Wformat=2 -Wundef -Wwrite-strings
  -Werror -ffp-contract=off -fno-math-errno)
add_compile_definitions(_POSIX_C_SOURCE=200809L _DEFAULT_SOURCE)
if(NX_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)    # lets the fuzzer see which branches ran
endif()
add_link_options(-Wl,--as-needed)    # libnexus.so asks only for what it calls
include_directories(${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR}/src)

# nx_folder(path [DEPS folders...] [LIBS targets...] [PKG pkg-config names...])
# makes the static library nx_<path with _ for /> of src/<path>/*.c and its ref/ folder.
function(nx_folder path)
  cmake_parse_arguments(A "" "" "DEPS;LIBS;PKG" ${ARGN})
  string(REPLACE "/" "_" name nx_${path})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${path}/*.c
                                      ${CMAKE_SOURCE_DIR}/src/${path}/ref/*.c)
  # Kernels for an instruction set are compiled only where their compiler knows it.
  if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
    list(FILTER sources EXCLUDE REGEX "_avx2\\.c$")
  endif()
  # main.c belongs to the program, not to a library.
  list(FILTER sources EXCLUDE REGEX "/main\\.c$")
  if(NOT sources)
    add_library(${name} INTERFACE)
    set(scope INTERFACE)
  else()
    add_library(${name} STATIC ${sources})
    set(scope PUBLIC)
  endif()
  foreach(dep IN LISTS A_DEPS)
    string(REPLACE "/" "_" dep nx_${dep})
    target_link_libraries(${name} ${scope} ${dep})
  endforeach()
  target_link_libraries(${name} ${scope} ${A_LIBS})
  foreach(pkg IN LISTS A_PKG)
    string(MAKE_C_IDENTIFIER PKG_${pkg} var)
    if(NOT TARGET PkgConfig::${var})
      pkg_check_modules(${var} REQUIRED IMPORTED_TARGET GLOBAL ${pkg})
    endif()
    target_link_libraries(${name} ${scope} PkgConfig::${var})
  endforeach()
  foreach(source IN LISTS sources)
    if(source MATCHES "_avx2\\.c$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma;-mf16c")
    endif()
  endforeach()
endfunction()

# nx_embed(folder dir): the files of dir become byte arrays of that folder's library.
function(nx_embed folder dir)
  file(GLOB files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${dir}/*.*)
  set(out ${CMAKE_BINARY_DIR}/${dir}_files.c)
  add_custom_command(OUTPUT ${out} VERBATIM
    COMMAND ${CMAKE_COMMAND} -DOUT=${out} "-DFILES=${files}" -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
    DEPENDS ${files} ${CMAKE_SOURCE_DIR}/cmake/embed.cmake)
  target_sources(nx_${folder} PRIVATE ${out})
endfunction()

function(nx_program name)
  add_executable(${name} ${CMAKE_SOURCE_DIR}/src/cli/main.c)
  target_link_libraries(${name} PRIVATE nx_cli)
endfunction()

# nx_bench(name [targets...]): bench/<name>.c, which isn't installed. With no target it measures from
# outside, and links nothing of ours.
function(nx_bench name)
  add_executable(bench_${name} ${CMAKE_SOURCE_DIR}/bench/${name}.c)
  target_link_libraries(bench_${name} PRIVATE ${ARGN})
endfunction()

# libnexus.so: the same objects, only what nexus.h marks NX_API visible.
function(nx_shared_library name)
  add_library(lib${name} SHARED $<TARGET_PROPERTY:nx_lib,SOURCES>)
  set_target_properties(lib${name} PROPERTIES OUTPUT_NAME ${name} VERSION ${PROJECT_VERSION}
    SOVERSION ${PROJECT_VERSION_MAJOR})
  target_link_libraries(lib${name} PRIVATE nx_engine nx_backend_cpu -Wl,--no-undefined)
endfunction()

# What every test finds in its environment. A sanitizer's allocator must refuse an absurd size as
# malloc does, by NULL: that is what those tests are about.
set(NX_TEST_ENV
  NX_SOURCE_DIR=${CMAKE_SOURCE_DIR}
  NX_BUILD_DIR=${CMAKE_BINARY_DIR}
  NEXUS_BIN=$<TARGET_FILE:nexus>
  NX_SHARED=${CMAKE_SOURCE_DIR}/../shared
  ASAN_OPTIONS=allocator_may_return_null=1
  TSAN_OPTIONS=allocator_may_return_null=1)

# tests/unit/<folder path>/test_<noun>.c is a cmocka program; its folder's library, and the floors
# beneath it, are what it may use.
function(nx_tests)
  if(NOT BUILD_TESTING)
    return()
  endif()
  pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
  file(GLOB_RECURSE tests CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/unit/*/test_*.c)
  foreach(test IN LISTS tests)
    get_filename_component(dir ${test} DIRECTORY)
    get_filename_component(name ${test} NAME_WE)
    file(RELATIVE_PATH folder ${CMAKE_SOURCE_DIR}/tests/unit ${dir})
    string(REPLACE "/" "_" library nx_${folder})
    string(REPLACE "/" "_" target ${folder}_${name})
    add_executable(${target} ${test})
    target_link_libraries(${target} PRIVATE ${library} PkgConfig::CMOCKA)
    target_compile_definitions(${target} PRIVATE NX_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    if(folder STREQUAL "rag") # with the small model, which lib/ knows how to compute
      target_link_libraries(${target} PRIVATE nx_lib)
    endif()
    add_test(NAME unit/${folder}/${name} COMMAND ${target})
    set_tests_properties(unit/${folder}/${name} PROPERTIES LABELS unit SKIP_RETURN_CODE 77
      TIMEOUT 300 ENVIRONMENT "${NX_TEST_ENV}")
  endforeach()
  # Short by themselves; `make torture` and `make tsan` give them larger counts.
  set_tests_properties(unit/store/test_crash PROPERTIES LABELS "unit;torture" TIMEOUT 7200)
  set_tests_properties(unit/store/test_threads PROPERTIES TIMEOUT 7200)
  add_subdirectory(tests)
endfunction()
