"""horizon_runtime.h for ctypes."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, c_char_p, c_double, c_int, c_int32, c_size_t, c_uint32
from ctypes import c_uint64 as u64
from ctypes import c_void_p as pointer

from horizon.runtime import c_library

OK, INVALID_ARGUMENT, INVALID_PROGRAM, OUT_OF_MEMORY, SYSTEM_ERROR, BUSY = range(6)


class Info(Structure):
    _fields_ = (
        ("name", c_char_p),
        ("march", c_char_p),
        ("opt", c_uint32),
        ("size_multiple", c_uint32),
        ("arena_bytes", u64),
        ("constant_bytes", u64),
        ("input_count", c_uint32),
        ("output_count", c_uint32),
        ("instruction_count", c_uint32),
    )


class Tensor(Structure):
    _fields_ = (
        ("name", c_char_p),
        ("type", c_int),
        ("layout", c_int),
        ("shape", c_uint32 * 4),
        ("bytes", u64),
        ("zero_point", c_int32),
        ("scale_count", c_uint32),
        ("scales", POINTER(c_double)),
    )


class Buffer(Structure):
    """hrt_input and hrt_output."""

    _fields_ = (("data", pointer), ("bytes", c_size_t))


class Counters(Structure):
    _fields_ = (("load_bytes", u64), ("store_bytes", u64), ("nanoseconds", u64))


def load() -> ctypes.CDLL:
    """The library; ctypes takes argument types from here, so that pointers are not cut to int."""
    library = ctypes.CDLL(str(c_library()))
    for name, arguments in {
        "hrt_model_open": (c_char_p, pointer),
        "hrt_model_from_memory": (c_char_p, c_size_t, pointer),
        "hrt_model_info": (pointer, pointer),
        "hrt_model_input": (pointer, c_uint32, pointer),
        "hrt_model_output": (pointer, c_uint32, pointer),
        "hrt_model_layer": (pointer, c_uint32, pointer),
        "hrt_session_create": (pointer, c_int, pointer),
        "hrt_session_run": (pointer, pointer, c_size_t, pointer, c_size_t),
        "hrt_session_counters": (pointer, pointer),
        "hrt_session_profile": (pointer, c_int),
        "hrt_session_times": (pointer, pointer),
    }.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, c_int
    for name in ("hrt_model_close", "hrt_session_close"):
        function = getattr(library, name)
        function.argtypes, function.restype = (pointer,), None
    for name in ("hrt_version", "hrt_kernels_name", "hrt_last_error"):
        getattr(library, name).restype = c_char_p
    return library
