// Whether this process may use AMX's tiles.
#pragma once

namespace horizon {

// Whether the CPU has tiles and int8 products, and the operating system saves tiles and lets this
// process use them. The system is asked once. If it refuses, AVX-512 does the work without a
// message.
bool amx_permitted();

// A remark for users of a CPU with tiles, printed after the name of the kernels; may be empty.
const char* amx_remark();

}  // namespace horizon
