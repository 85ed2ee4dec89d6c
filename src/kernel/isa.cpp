// One instruction set, chosen by the build: the same engine with that set's vectors and registers.
#include "engine.hpp"

namespace qdllm {

#if defined(QDLLM_AVX512)
const InstructionSet avx512{"avx512", Engine<float, 16, 4, 3>::kernel(), Engine<double, 8, 4, 3>::kernel()};
#elif defined(QDLLM_AVX2)
const InstructionSet avx2{"avx2", Engine<float, 8, 3, 2>::kernel(), Engine<double, 4, 3, 2>::kernel()};
#else
const InstructionSet baseline{"baseline", Engine<float, 4, 3, 2>::kernel(), Engine<double, 2, 3, 2>::kernel()};
#endif

}  // namespace qdllm
