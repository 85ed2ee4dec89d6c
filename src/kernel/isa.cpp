// One instruction set, chosen by the build: the same engine with that set's vectors and registers.
#include "runs.hpp"

namespace qdllm {

#if defined(QDLLM_AVX512)
const InstructionSet avx512{"avx512", kernel<Lanes<float, 16>, 4, 3>(), kernel<Lanes<double, 8>, 4, 3>()};
#elif defined(QDLLM_AVX2)
const InstructionSet avx2{"avx2", kernel<Lanes<float, 8>, 3, 2>(), kernel<Lanes<double, 4>, 3, 2>()};
#else
const InstructionSet baseline{"baseline", kernel<Lanes<float, 4>, 3, 2>(), kernel<Lanes<double, 2>, 3, 2>()};
#endif

}  // namespace qdllm
