// Whether this process may use AMX's tiles.
#pragma once

namespace horizon {

// The CPU has tiles and products of int8, and the operating system keeps them and has let this
// process use them, for which it is asked once. Without a word if not: then AVX-512 does the work.
bool amx_permitted();

// What a user of a CPU that has them should know of it: a remark behind the name of the kernels, or
// nothing.
const char* amx_remark();

}  // namespace horizon
