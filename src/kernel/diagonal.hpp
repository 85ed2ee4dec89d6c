// Diagonal stages: phases by one transform, applied and differentiated.
#pragma once

#include <algorithm>
#include <cstring>

#include "angles.hpp"
#include "walsh_hadamard.hpp"

namespace qdllm {
namespace {

// cos and sin of every basis state's shared phase.
template <class L>
void fill_tables(const Call<Real<L>> &call) {
    const Plan &plan = call.plan;
    const uint64_t size = plan.size();
    typedef Lanes<double, sizeof(V<L>) / sizeof(double)> D;
    const uint64_t bytes = std::max<uint64_t>(size, D::lanes) * sizeof(double);
    double *phases = static_cast<double *>(take(bytes));
    for (const Stage &stage : plan.stages) {
        if (!stage.diagonal || stage.of_sample) continue;
        std::memset(phases, 0, bytes);
        for (size_t i = 0; i < stage.masks.size(); ++i)
            phases[stage.masks[i]] += 0.5 * double(reduced<L>(call.kept.angles[stage.angles[i]]));
        walsh_hadamard(phases, size);
        Real<L> *cosines = call.kept.tables + stage.table * size * 2, *sines = cosines + size;
        for (uint64_t k = 0; k < size; k += D::lanes) {
            typename D::V sine, cosine;
            D::sincos(D::load(phases + k), sine, cosine);
            for (uint64_t lane = 0; lane < std::min<uint64_t>(D::lanes, size - k); ++lane) {
                cosines[k + lane] = Real<L>(cosine[lane]);
                sines[k + lane] = Real<L>(sine[lane]);
            }
        }
    }
    give(phases, bytes);
}

template <class L>
void fill_phases(Workspace<L> &w, const Stage &stage, uint64_t size) {
    std::memset(static_cast<void *>(w.scratch), 0, size * sizeof(V<L>));
    for (size_t i = 0; i < stage.masks.size(); ++i)
        w.scratch[stage.masks[i]] += Real<L>(0.5) * w.angles[stage.angles[i]];
    walsh_hadamard(w.scratch, size);
    for (uint64_t k = 0; k < size; ++k) L::sincos(w.scratch[k], w.phases[k].im, w.phases[k].re);
}

// Where a diagonal stage's cos and sin come from: one table for all samples, or a vector each.
template <class L>
struct Shared {
    const Real<L> *cosines, *sines;
    V<L> cos(uint64_t k) const { return L::all(cosines[k]); }
    V<L> sin(uint64_t k) const { return L::all(sines[k]); }
};
template <class L>
struct Own {
    const Amplitude<L> *phases;
    V<L> cos(uint64_t k) const { return phases[k].re; }
    V<L> sin(uint64_t k) const { return phases[k].im; }
};
template <class L>
struct None {
    V<L> cos(uint64_t) const { return L::all(1); }
    V<L> sin(uint64_t) const { return V<L>{}; }
};

// Call body with the source of a stage's phases and the place of their gradients.
template <class L, class Function>
void with_phases(Workspace<L> &w, const Call<Real<L>> &call, const Stage *stage, Function body) {
    const uint64_t size = call.plan.size();
    if (!stage) {
        body(None<L>{}, w.scratch);
    } else if (stage->of_sample) {
        fill_phases(w, *stage, size);
        std::memset(static_cast<void *>(w.scratch), 0, size * sizeof(V<L>));
        body(Own<L>{w.phases}, w.scratch);
    } else {
        V<L> *gradients = w.phase_gradients ? w.phase_gradients + stage->table * size : nullptr;
        const Real<L> *table = call.kept.tables + stage->table * size * 2;
        body(Shared<L>{table, table + size}, gradients);
    }
}

// Twice the gradients of a stage's own phases, in scratch, become gradients of its angles.
template <class L>
void collect_own(Workspace<L> &w, const Stage *stage, uint64_t size) {
    if (!stage || !stage->of_sample) return;
    walsh_hadamard(w.scratch, size);
    for (size_t i = 0; i < stage->masks.size(); ++i)
        w.gradients[stage->angles[i]] += w.scratch[stage->masks[i]];
}

template <class L>
void diagonal(Workspace<L> &w, const Call<Real<L>> &call, const Stage &stage, Amplitude<L> *state, V<L> scale) {
    with_phases(w, call, &stage, [&](auto phase, V<L> *) {
        for (uint64_t k = 0; k < call.plan.size(); ++k) {
            const Amplitude<L> a = state[k];
            const V<L> c = scale * phase.cos(k), s = scale * phase.sin(k);
            state[k] = {a.re * c + a.im * s, a.im * c - a.re * s};
        }
    });
}

template <class L>
void diagonal_backward(Workspace<L> &w, const Call<Real<L>> &call, const Stage &stage, V<L> scale) {
    const V<L> square = scale * scale;
    with_phases(w, call, &stage, [&](auto phase, V<L> *gradients) {
        for (uint64_t k = 0; k < call.plan.size(); ++k) {
            const Amplitude<L> a = w.state[k], b = w.adjoint[k];
            const V<L> c = scale * phase.cos(k), s = scale * phase.sin(k);
            gradients[k] += square * (b.re * a.im - b.im * a.re);
            w.state[k] = {a.re * c - a.im * s, a.im * c + a.re * s};
            w.adjoint[k] = {b.re * c - b.im * s, b.im * c + b.re * s};
        }
    });
    collect_own(w, &stage, call.plan.size());
}

}  // namespace
}  // namespace qdllm
