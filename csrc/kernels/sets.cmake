# The instruction sets that kernels are compiled for, the best first.
#
# kernel_set(NAME PROCESSOR FEATURE...): the features, by the compiler's names, are what the files of
# the set are compiled with and what the CPU is asked for at run time. Makes
#   kernel_sets       those of the processor that is compiled for
#   flags_NAME        the options of the compiler
#   kernel_sets.h     the list for C++, in the build folder
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(processor x86_64)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  set(processor aarch64)
endif()
# What features of AArch64 are added to; not every compiler has the same names for it.
set(HORIZON_AARCH64 -march=armv8.2-a CACHE STRING "Option that names the base of AArch64")
set(kernel_sets)
set(set_names)
set(set_entries)

macro(kernel_set name for)
  list(APPEND set_names "\"${name}\"")
  if("${for}" STREQUAL "${processor}")
    list(APPEND kernel_sets ${name})
    set(options ${ARGN})
    list(TRANSFORM options REPLACE "(.+)" "HORIZON_CPU_HAS(\\1)" OUTPUT_VARIABLE needs)
    list(JOIN needs " && " needs)
    string(APPEND set_entries " \\\n  SET(${name}, ${needs})")
    if("${for}" STREQUAL "aarch64")
      list(JOIN options "+" options)
      set(flags_${name} ${HORIZON_AARCH64}+${options})
    else()
      list(TRANSFORM options PREPEND "-m" OUTPUT_VARIABLE flags_${name})
    endif()
  endif()
endmacro()

kernel_set(avx512 x86_64 avx512f avx512bw avx512dq avx512vl avx512vnni fma)
kernel_set(avx2 x86_64 avx2 fma)
kernel_set(neon aarch64 dotprod)

# Compilers take 256 bits where they are not told.
list(APPEND flags_avx512 -mprefer-vector-width=512)

# Sets that are made of another one (kernels/sets.h): their names, and the options of their files.
list(TRANSFORM set_names REPLACE "(\"avx512\")" "\"amx\";\\1")
list(TRANSFORM set_names REPLACE "(\"avx2\")" "\"avxvnni\";\\1")
set(kernel_variants)
if(processor STREQUAL "x86_64")
  set(kernel_variants amx avxvnni)
  set(flags_amx ${flags_avx512} -mamx-tile -mamx-int8)
  set(flags_avxvnni ${flags_avx2} -mavxvnni)
endif()

list(LENGTH kernel_sets set_count)
list(JOIN set_names ", " set_names)
string(REGEX REPLACE "\"([a-z0-9]+)\"" "\\1" set_choice "${set_names}")
string(REGEX REPLACE ", ([a-z0-9]+)$" " or \\1" set_choice ", ${set_choice}")
file(CONFIGURE OUTPUT generated/kernel_sets.h CONTENT [[
// Made by kernels/sets.cmake.
#pragma once

// SET(name, whether the CPU has what it needs), the best first.
#define HORIZON_SETS(SET)@set_entries@
#define HORIZON_SET_COUNT @set_count@
// Those of other processors too.
#define HORIZON_SET_NAMES @set_names@
#define HORIZON_SET_CHOICE "@set_choice@"
]] @ONLY)
