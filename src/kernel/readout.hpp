// Values of Z strings from a state, and the adjoint state that their gradient starts from.
#pragma once

#include <algorithm>
#include <cstring>

#include "walsh_hadamard.hpp"
#include "workspace.hpp"

namespace qdllm {
namespace {

template <class L>
V<L> squared(const Amplitude<L> &a) { return a.re * a.re + a.im * a.im; }

// Visit pairs of states that differ in the readout's last bit.
template <class Function>
void visit_readout(const Plan &plan, Function body) {
    uint64_t y = 0;
    for (const uint64_t high : plan.rest.high)
        for (const uint64_t low : plan.rest.low) body(y++, high ^ low, high ^ low ^ plan.top);
}

template <class L>
void read(Workspace<L> &w, const Call<Real<L>> &call, const Amplitude<L> *state, V<L> scale, uint64_t first) {
    const Plan &plan = call.plan;
    const uint32_t fold = plan.single ? 0 : plan.rank;  // bits below stay for the transform
    V<L> *sums = w.weights;
    V<L> *p = w.scratch;
    uint64_t half = plan.size() / 2;
    if (fold == plan.n_qubits) {
        visit_readout(plan, [&](uint64_t y, uint64_t k0, uint64_t k1) {
            p[y] = squared(state[k0]);
            p[y + half] = squared(state[k1]);
        });
    } else {
        V<L> sum{};
        visit_readout(plan, [&](uint64_t y, uint64_t k0, uint64_t k1) {
            const V<L> a = squared(state[k0]), b = squared(state[k1]);
            sum += a - b;
            p[y] = a + b;
        });
        sums[plan.n_qubits - 1] = sum;
        for (int bit = int(plan.n_qubits) - 2; bit >= int(fold); --bit) {
            half = uint64_t(1) << bit;
            sum = V<L>{};
            for (uint64_t y = 0; y < half; ++y) {
                const V<L> a = p[y], b = p[y + half];
                sum += a - b;
                p[y] = a + b;
            }
            sums[bit] = sum;
        }
    }
    if (!plan.single) walsh_hadamard(p, uint64_t(1) << plan.rank);
    const V<L> square = scale * scale;
    for (uint64_t sample = first; sample < std::min(first + L::lanes, call.batch); ++sample) {
        Real<L> *values = call.values + sample * plan.n_observables;
        std::fill(values, values + plan.n_observables, Real<L>(0));
        for (const auto &r : plan.readings) {
            const V<L> &value = plan.single && r.string ? sums[__builtin_ctzll(r.string)] : p[r.string];
            values[r.observable] += Real<L>(r.coefficient) * square[sample - first] * value[sample - first];
        }
    }
}

// The adjoint state, the weighted sum of observables times the state; and a copy of the state to work on.
template <class L>
void seed(Workspace<L> &w, const Call<Real<L>> &call, const Amplitude<L> *state, V<L> scale, uint64_t first) {
    const Plan &plan = call.plan;
    const uint32_t fold = plan.single ? 0 : plan.rank;
    V<L> *sums = w.weights, *p = w.scratch;
    std::memset(static_cast<void *>(sums), 0, (plan.n_qubits + 1) * sizeof(V<L>));
    std::memset(static_cast<void *>(p), 0, (uint64_t(1) << fold) * sizeof(V<L>));
    for (uint64_t sample = first; sample < std::min(first + L::lanes, call.batch); ++sample) {
        const Real<L> *weights = call.weights + sample * plan.n_observables;
        for (const auto &r : plan.readings) {
            V<L> &value = plan.single && r.string ? sums[__builtin_ctzll(r.string)] : p[r.string];
            value[sample - first] += Real<L>(r.coefficient) * weights[r.observable];
        }
    }
    if (!plan.single) walsh_hadamard(p, uint64_t(1) << plan.rank);
    for (uint32_t bit = fold; bit + 1 < plan.n_qubits; ++bit)
        for (uint64_t y = 0, half = uint64_t(1) << bit; y < half; ++y) {
            const V<L> value = p[y];
            p[y + half] = value - sums[bit];
            p[y] = value + sums[bit];
        }
    // Of a number's last bit, the weights hold the sign alone, unless the transform has gone over it.
    const uint64_t last = fold == plan.n_qubits ? plan.size() : plan.size() / 2;
    const V<L> sum = fold == plan.n_qubits ? V<L>{} : sums[plan.n_qubits - 1];
    uint64_t k = 0;
    for (const uint64_t high : plan.numbers.high)
        for (const uint64_t low : plan.numbers.low) {
            const uint64_t y = high ^ low;
            const V<L> d = y & last ? p[y ^ last] - sum : p[y] + sum;
            const Amplitude<L> a = {scale * state[k].re, scale * state[k].im};
            w.state[k] = a;
            w.adjoint[k] = {d * a.re, d * a.im};
            ++k;
        }
}

}  // namespace
}  // namespace qdllm
