"""Settings under which this processor rounds as other processors do.

Libraries choose the instructions of a computation by the processor, and other instructions add numbers in
another order. These variables of the environment make them choose as on an older processor. They are read
when a process starts.
"""

from __future__ import annotations

from zenlib.threads import ONE_THREAD

KERNELS: dict[str, dict[str, str]] = {
    "own": ONE_THREAD,
    "sse": ONE_THREAD
    | {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "OPENBLAS_CORETYPE": "Nehalem",
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
    },
    "avx2": ONE_THREAD
    | {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    },
    "two-threads": dict.fromkeys(ONE_THREAD, "2"),
}
"""Variables of the environment by the name of a setting; "own" is this processor as it is."""
