#include "kernels/amx.h"

#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>

#include "kernels/cpu.h"

namespace horizon {

bool amx_permitted() {
  constexpr int kRequestPermission = 0x1023, kTileContents = 18;  // of arch_prctl
  static const bool permitted =
      cpu_has_amx() && syscall(SYS_arch_prctl, kRequestPermission, kTileContents) == 0;
  return permitted;
}

const char* amx_remark() {
  return cpu_has_amx() && !amx_permitted() ? ", AMX refused by the system" : "";
}

}  // namespace horizon

#else

bool horizon::amx_permitted() { return false; }
const char* horizon::amx_remark() { return ""; }

#endif
