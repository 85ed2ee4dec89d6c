// The product state, written down with the phases that follow it.
#pragma once

#include <cstring>

#include "diagonal.hpp"

namespace qdllm {
namespace {

template <class L>
void factor(V<L> *out, const Workspace<L> &w, const uint32_t *angles, size_t count) {
    out[0] = L::all(1);
    for (size_t i = 0; i < count; ++i) {
        V<L> sine, cosine;
        L::sincos(w.angles[angles[i]] * Real<L>(0.5), sine, cosine);
        for (size_t j = 0; j < size_t(1) << i; ++j) {
            out[j + (size_t(1) << i)] = out[j] * sine;
            out[j] *= cosine;
        }
    }
}

template <class L>
void set_factors(Workspace<L> &w, const Plan &plan) {
    const size_t count = plan.product_angles.size();
    factor(w.low, w, plan.product_angles.data(), count / 2);
    factor(w.high, w, plan.product_angles.data() + count / 2, count - count / 2);
}

template <class L>
void product(Workspace<L> &w, const Call<Real<L>> &call, const Stage *phases, Amplitude<L> *state) {
    const Plan &plan = call.plan;
    set_factors(w, plan);
    if (plan.product_angles.size() < plan.n_qubits)
        std::memset(static_cast<void *>(state), 0, plan.size() * sizeof(Amplitude<L>));
    with_phases(w, call, phases, [&](auto phase, V<L> *) {
        for (size_t h = 0; h < plan.product.high.size(); ++h)
            for (size_t l = 0; l < plan.product.low.size(); ++l) {
                const uint64_t k = plan.product.high[h] ^ plan.product.low[l];
                const V<L> value = w.high[h] * w.low[l];
                state[k] = {value * phase.cos(k), -value * phase.sin(k)};
            }
    });
}

template <class L>
void collect_factor(Workspace<L> &w, const uint32_t *angles, size_t count, const V<L> *values, const V<L> *gradients) {
    for (size_t i = 0; i < count; ++i) {
        const size_t bit = size_t(1) << i;
        V<L> sum{};
        for (size_t j = 0; j < size_t(1) << count; ++j)
            if (!(j & bit)) sum += gradients[j | bit] * values[j] - gradients[j] * values[j | bit];
        w.gradients[angles[i]] += sum;
    }
}

template <class L>
void product_backward(Workspace<L> &w, const Call<Real<L>> &call, const Stage *phases, V<L> scale) {
    const Plan &plan = call.plan;
    set_factors(w, plan);
    for (size_t l = 0; l < plan.product.low.size(); ++l) w.low_gradients[l] = V<L>{};
    with_phases(w, call, phases, [&](auto phase, V<L> *gradients) {
        for (size_t h = 0; h < plan.product.high.size(); ++h) {
            V<L> sum{};
            const V<L> high = w.high[h];
            for (size_t l = 0; l < plan.product.low.size(); ++l) {
                const uint64_t k = plan.product.high[h] ^ plan.product.low[l];
                const Amplitude<L> a = w.adjoint[k];
                const V<L> c = scale * phase.cos(k), s = scale * phase.sin(k);
                const V<L> real = a.re * c - a.im * s;
                gradients[k] -= (a.re * s + a.im * c) * (high * w.low[l]);
                w.low_gradients[l] += real * high;
                sum += real * w.low[l];
            }
            w.high_gradients[h] = sum;
        }
    });
    collect_own(w, phases, plan.size());
    const size_t count = plan.product_angles.size();
    collect_factor(w, plan.product_angles.data(), count / 2, w.low, w.low_gradients);
    collect_factor(w, plan.product_angles.data() + count / 2, count - count / 2, w.high, w.high_gradients);
}

}  // namespace
}  // namespace qdllm
