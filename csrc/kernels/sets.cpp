// The tables of the instruction sets, and the choice of one at run time.
#include "kernels/sets.h"

#include <cstdlib>
#include <cstring>

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace horizon {
namespace {

// Whether the CPU has a feature, by the name that the compiler has for it. On x86 the compiler's
// run-time library also asks the operating system whether it saves the registers.
#if defined(__x86_64__)
#define HORIZON_CPU_HAS(feature) (__builtin_cpu_supports(#feature) != 0)
#elif defined(__aarch64__)
#define HORIZON_CPU_HAS(feature) cpu_has_##feature()
bool cpu_has_dotprod() { return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0; }
#endif

#define HORIZON_ENTRY(function, Args) function,
#define HORIZON_ENTRIES(function, Args) function, function##_scratch,
#define HORIZON_TABLE(set, needs)                                                                \
  const Kernels* set##_table() {                                                                 \
    using namespace set;                                                                         \
    static constexpr Kernels kTable = {#set, HORIZON_OPERATORS(HORIZON_ENTRY, HORIZON_ENTRIES)}; \
    return (needs) ? &kTable : nullptr;                                                          \
  }
HORIZON_SETS(HORIZON_TABLE)
HORIZON_TABLE(scalar, true)

struct Available {
  const Kernels* sets[HORIZON_SET_COUNT + 1];
  std::size_t count = 0;

  Available() {
    const auto add = [this](const Kernels* set) {
      if (set != nullptr) sets[count++] = set;
    };
#define HORIZON_ADD(set, needs) add(set##_table());
    HORIZON_SETS(HORIZON_ADD)
    add(scalar_table());
  }
};

bool is_known(const char* name) {
  for (const char* known : {HORIZON_SET_NAMES, "scalar"}) {
    if (std::strcmp(name, known) == 0) return true;
  }
  return false;
}

}  // namespace

std::span<const Kernels* const> available_kernels() {
  static const Available available;
  return {available.sets, available.count};
}

const Kernels* choose_kernels(const char** error) {
  if (error != nullptr) *error = nullptr;
  const char* wanted = std::getenv("HORIZON_KERNELS");
  const bool any = wanted == nullptr || *wanted == '\0';
  for (const Kernels* kernels : available_kernels()) {
    if (any || std::strcmp(wanted, kernels->name) == 0) return kernels;
  }
  if (error != nullptr) {
    *error = is_known(wanted)
                 ? "HORIZON_KERNELS names kernels that this CPU or this build does not "
                   "have; unset it to use the best that there are"
                 : "HORIZON_KERNELS is unknown; expected scalar" HORIZON_SET_CHOICE;
  }
  return nullptr;
}

}  // namespace horizon
