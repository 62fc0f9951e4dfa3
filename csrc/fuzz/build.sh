#!/usr/bin/env bash
# Builds fuzz_program, forge and make_corpus with clang and its sanitizers.
# Usage: csrc/fuzz/build.sh DIRECTORY [OPTION OF THE COMPILER...]
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: $0 DIRECTORY [OPTION OF THE COMPILER...]" >&2; exit 2; }
directory=$1
shift
cmake -S "$(dirname "$0")/.." -B "$directory" --log-level=WARNING -DCMAKE_CXX_COMPILER=clang++ \
  -DCMAKE_CXX_FLAGS="-g1 -fno-sanitize-recover=all $*" -DHORIZON_SANITIZE=address,undefined \
  -DHORIZON_PYTHON=OFF -DHORIZON_FUZZ=ON
cmake --build "$directory" --parallel "$(nproc)" --target fuzz_program forge make_corpus
