# install.cmake - what `make install` puts where, under its prefix:
#   bin/nexus  lib/libnexus.so*  include/nexus/nexus.h  lib/pkgconfig/nexus.pc
#   share/man/man1/nexus.1  share/doc/nexus/  share/nexus/models/ (where bin/nexus looks for it)
set(NX_LIBDIR lib)

install(TARGETS nexus RUNTIME DESTINATION bin)
install(TARGETS libnexus LIBRARY DESTINATION ${NX_LIBDIR})
install(FILES include/nexus/nexus.h DESTINATION include/nexus)
install(FILES docs/nexus.1 DESTINATION share/man/man1)
install(FILES LICENSE README.md DESTINATION share/doc/nexus)
install(FILES examples/stream.c DESTINATION share/doc/nexus/examples)
install(DIRECTORY models/ DESTINATION share/nexus/models OPTIONAL
  FILES_MATCHING PATTERN "*.gguf" PATTERN "README.md")

# The prefix is known only now, at install time: cmake --install build/release --prefix /usr
install(CODE "
  set(NX_LIBDIR ${NX_LIBDIR})
  set(PROJECT_VERSION ${PROJECT_VERSION})
  set(PROJECT_DESCRIPTION \"${PROJECT_DESCRIPTION}\")
  configure_file(\"${CMAKE_SOURCE_DIR}/cmake/nexus.pc.in\" \"${CMAKE_BINARY_DIR}/nexus.pc\" @ONLY)
")
install(FILES ${CMAKE_BINARY_DIR}/nexus.pc DESTINATION ${NX_LIBDIR}/pkgconfig)

# Programs find a new library in /usr/local/lib only after ldconfig; not for a staged install.
install(CODE "
  if(\"\$ENV{DESTDIR}\" STREQUAL \"\")
    execute_process(COMMAND ldconfig ERROR_QUIET)
  endif()
")
