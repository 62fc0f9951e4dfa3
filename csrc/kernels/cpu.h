// What this CPU has, by the names that compilers have for it. A feature counts where the operating
// system saves its registers, too. (__builtin_cpu_supports is not asked, because the run-time
// library of some compilers answers no to everything.)
#pragma once

namespace horizon {

#if defined(__x86_64__)
bool cpu_has_fma();
bool cpu_has_avx2();
bool cpu_has_avxvnni();
bool cpu_has_avx512f();
bool cpu_has_avx512bw();
bool cpu_has_avx512dq();
bool cpu_has_avx512vl();
bool cpu_has_avx512vnni();
bool cpu_has_amx();  // tiles, and products of int8
#elif defined(__aarch64__)
bool cpu_has_dotprod();
#endif

}  // namespace horizon
