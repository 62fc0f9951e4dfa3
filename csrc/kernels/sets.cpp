// The tables of the instruction sets, and the choice of one at run time.
#include "kernels/sets.h"

#include <cstdlib>
#include <cstring>

#include "kernels/amx.h"
#include "kernels/cpu.h"

namespace horizon {
namespace {

#define HORIZON_CPU_HAS(feature) cpu_has_##feature()
#define HORIZON_ENTRY(function, Args) function,
#define HORIZON_ENTRIES(function, Args) function, function##_scratch,
#define HORIZON_TABLE(set, needs)                                                          \
  const Kernels* set##_table() {                                                           \
    using namespace set;                                                                   \
    static constexpr Kernels kTable = {#set, false,                                        \
                                       HORIZON_OPERATORS(HORIZON_ENTRY, HORIZON_ENTRIES)}; \
    return (needs) ? &kTable : nullptr;                                                    \
  }
HORIZON_SETS(HORIZON_TABLE)
HORIZON_TABLE(scalar, true)

#define HORIZON_VARIANT_TABLE(set, base, needs, compared)      \
  const Kernels* set##_table() {                               \
    if (base##_table() == nullptr || !(needs)) return nullptr; \
    static const Kernels table = [] {                          \
      Kernels kernels = *base##_table();                       \
      kernels.name = #set;                                     \
      kernels.for_comparison = compared;                       \
      kernels.conv = set::conv;                                \
      kernels.conv_scratch = set::conv_scratch;                \
      return kernels;                                          \
    }();                                                       \
    return &table;                                             \
  }
HORIZON_VARIANTS(HORIZON_VARIANT_TABLE)

#define HORIZON_ONE(...) +1
constexpr std::size_t kMost = HORIZON_SET_COUNT + 1 HORIZON_VARIANTS(HORIZON_ONE);

struct Available {
  const Kernels* sets[kMost];
  std::size_t count = 0;

  void add(const Kernels* set) {
    if (set != nullptr) sets[count++] = set;
  }
  // The variants of one set, or of all where `of` is null.
  void add_variants(const char* of, bool compared) {
    const auto add_one = [&](const Kernels* set, const char* base) {
      const bool wanted = of == nullptr || std::strcmp(of, base) == 0;
      if (wanted && set != nullptr && set->for_comparison == compared) add(set);
    };
#define HORIZON_ADD_VARIANT(set, base, needs, compared) add_one(set##_table(), #base);
    HORIZON_VARIANTS(HORIZON_ADD_VARIANT)
  }

  Available() {
#define HORIZON_ADD(set, needs) \
  add_variants(#set, false);    \
  add(set##_table());
    HORIZON_SETS(HORIZON_ADD)
    add_variants(nullptr, true);
    add(scalar_table());
  }
};

// On any CPU, not only those that this build is for.
#define HORIZON_NAME(set, base, needs, compared) #set,
bool is_known(const char* name) {
  for (const char* known : {HORIZON_SET_NAMES, HORIZON_X86_VARIANTS(HORIZON_NAME)
                                                   HORIZON_ANY_VARIANTS(HORIZON_NAME) "scalar"}) {
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
    if (any ? !kernels->for_comparison : std::strcmp(wanted, kernels->name) == 0) return kernels;
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
