#!/usr/bin/env bash
# Builds fuzz_program and make_corpus with clang and its sanitizers.
# Usage: csrc/fuzz/build.sh DIRECTORY [OPTION OF THE COMPILER...]
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: $0 DIRECTORY [OPTION OF THE COMPILER...]" >&2; exit 2; }
mkdir -p "$1"
directory=$(cd "$1" && pwd)
shift
cd "$(dirname "$0")/.."
options=(-std=c++20 -O1 -g1 -I. -Wno-unknown-warning-option -fsanitize=address,undefined
  -fno-sanitize-recover=all -fno-omit-frame-pointer "$@")

# A file of kernels is compiled for the instruction set that its name ends in, as in CMakeLists.txt.
flags_of() {
  case "$(uname -m):$1" in
    x86_64:*_avx2.cpp) echo -mavx2 -mfma ;;
    x86_64:*_avx512.cpp)
      echo -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mfma -mprefer-vector-width=512 ;;
    aarch64:*_neon.cpp) echo -march=armv8.2-a+dotprod ;;
  esac
}

objects=()
for source in hbm/*.cpp kernels/*.cpp executor/*.cpp; do
  object="$directory/${source//\//_}.o"
  # shellcheck disable=SC2046  # several flags
  clang++ -fsanitize=fuzzer-no-link "${options[@]}" $(flags_of "$source") -c "$source" -o "$object"
  objects+=("$object")
done
clang++ "${options[@]}" -fsanitize=fuzzer fuzz/fuzz_program.cpp fuzz/mutator.cpp \
  "${objects[@]}" -pthread -o "$directory/fuzz_program"
clang++ "${options[@]}" fuzz/make_corpus.cpp hbm/crc32.cpp -o "$directory/make_corpus"
