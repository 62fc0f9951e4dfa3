// The choice of the instruction set at run time.
#include <cstdlib>
#include <cstring>

#include "kernels/kernels.h"

namespace horizon {
namespace {

struct Candidate {
  const char* name;
  const Kernels* (*kernels)();
};

// The best first.
constexpr Candidate kCandidates[] = {
    {"avx512", avx512_kernels},
    {"avx2", avx2_kernels},
    {"neon", neon_kernels},
    {"scalar", scalar_kernels},
};

}  // namespace

const Kernels* choose_kernels(const char** error) {
  if (error != nullptr) *error = nullptr;
  const char* wanted = std::getenv("HORIZON_KERNELS");
  const bool any = wanted == nullptr || *wanted == '\0';
  bool known = any;
  for (const Candidate& candidate : kCandidates) {
    if (!any && std::strcmp(wanted, candidate.name) != 0) continue;
    known = true;
    if (const Kernels* kernels = candidate.kernels()) return kernels;
  }
  if (error != nullptr) {
    *error = known ? "HORIZON_KERNELS names kernels that this CPU or this build does not have; "
                     "unset it to use the best that there are"
                   : "HORIZON_KERNELS is unknown; expected scalar, avx2, avx512 or neon";
  }
  return nullptr;
}

}  // namespace horizon
