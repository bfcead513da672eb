# embed.cmake - writes files as byte arrays in C: what src/server/web.h declares.
#
#   cmake -DOUT=web_files.c -DFILES="a.html;b.css" -P cmake/embed.cmake
set(text "/* Written by cmake/embed.cmake from web/. */\n#include \"server/web.h\"\n\n")
set(entries "")
set(i 0)
foreach(file IN LISTS FILES)
  get_filename_component(name ${file} NAME)
  file(READ ${file} bytes HEX)
  string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  string(APPEND text "static const unsigned char file_${i}[] = {\n${bytes}\n};\n\n")
  string(APPEND entries "    {\"${name}\", file_${i}, sizeof file_${i}},\n")
  math(EXPR i "${i} + 1")
endforeach()
string(APPEND text "const nx_web_entry nx_web_entries[] = {\n${entries}    {0},\n};\n")
file(WRITE ${OUT} "${text}")
