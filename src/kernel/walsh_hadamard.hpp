// The transform between the masks of a phase polynomial, or the strings of a readout, and basis states.
#pragma once

#include <stdint.h>

namespace qdllm {
namespace {

template <class T>
void walsh_hadamard(T *values, uint64_t size) {
    uint64_t step = 1;
    for (; step * 4 <= size; step *= 4)
        for (uint64_t i = 0; i < size; i += 4 * step)
            for (uint64_t j = i; j < i + step; ++j) {
                const T a = values[j] + values[j + step], b = values[j] - values[j + step];
                const T c = values[j + 2 * step] + values[j + 3 * step];
                const T d = values[j + 2 * step] - values[j + 3 * step];
                values[j] = a + c;
                values[j + step] = b + d;
                values[j + 2 * step] = a - c;
                values[j + 3 * step] = b - d;
            }
    for (; step < size; step *= 2)
        for (uint64_t i = 0; i < size; i += 2 * step)
            for (uint64_t j = i; j < i + step; ++j) {
                const T a = values[j], b = values[j + step];
                values[j] = a + b;
                values[j + step] = a - b;
            }
}

}  // namespace
}  // namespace qdllm
