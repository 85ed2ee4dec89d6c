// The memory that a worker lays out for a plan: a state is [amplitude][real, imaginary][lane].
#pragma once

#ifdef QDLLM_SANITIZE
#include <sanitizer/asan_interface.h>
#endif

#include <algorithm>

#include "plan.hpp"
#include "vector.hpp"

namespace qdllm {
namespace {

template <class L>
using V = typename L::V;
template <class L>
using Real = typename L::Real;

template <class L>
struct Amplitude {
    V<L> re, im;
};

// A rotation by angle/2 of pairs (a, b) in two ways. Plain, two fused multiply-adds: a - t b and b + t a, with
// t = tan(angle/2), too long by 1/cos(angle/2), which the state's scale takes up. Where that would grow too large,
// three shears: a -= u b, b += s a, a -= u b, with u = tan(angle/4).
template <class L>
struct Rotation {
    V<L> tangent, cosine, half_tangent, sine;
};

// One worker's memory.
template <class L>
struct Workspace {
    V<L> *angles, *gradients;               // per angle
    Rotation<L> *rotations;                 // per angle
    V<L> *low, *high;                       // the two factors of the product state
    V<L> *low_gradients, *high_gradients;
    V<L> *weights;                          // per bit of a number read
    Amplitude<L> *state, *adjoint;
    Amplitude<L> *phases;                   // cos, sin of a diagonal stage that differs between samples
    V<L> *scratch;                          // one vector a basis state
    V<L> *phase_gradients;                  // (n_tables, 2^n), summed over blocks
    double *totals;                         // per angle, gradients summed over samples
};

// Hands out a block piece by piece; a sanitized build sees an access between two.
struct Arena {
    char *at = nullptr;
    uint64_t used = 0;

    template <class T>
    T *get(uint64_t count) {
        T *place = at ? reinterpret_cast<T *>(at + used) : nullptr;
        const uint64_t end = used + count * sizeof(T);
        used = (end + 63) / 64 * 64;
#ifdef QDLLM_SANITIZE
        used += 64;
        if (at) ASAN_POISON_MEMORY_REGION(at + end, used - end);
#endif
        return place;
    }
};

template <class L>
Workspace<L> lay_out(Arena &arena, const Plan &plan, bool keeps, bool backward) {
    const uint64_t size = plan.size(), angles = plan.n_angles();
    const bool varies = std::any_of(plan.stages.begin(), plan.stages.end(),
                                    [](const Stage &stage) { return stage.diagonal && stage.of_sample; });
    Workspace<L> w;
    w.angles = arena.get<V<L>>(angles);
    w.gradients = arena.get<V<L>>(angles);
    w.rotations = arena.get<Rotation<L>>(angles);
    w.low = arena.get<V<L>>(plan.product.low.size());
    w.high = arena.get<V<L>>(plan.product.high.size());
    w.low_gradients = arena.get<V<L>>(plan.product.low.size());
    w.high_gradients = arena.get<V<L>>(plan.product.high.size());
    w.weights = arena.get<V<L>>(plan.n_qubits);
    w.state = arena.get<Amplitude<L>>(keeps ? 0 : size);
    w.adjoint = arena.get<Amplitude<L>>(backward ? size : 0);
    w.phases = arena.get<Amplitude<L>>(varies ? size : 0);
    w.scratch = arena.get<V<L>>(size);
    w.phase_gradients = arena.get<V<L>>(backward ? size * plan.n_tables : 0);
    w.totals = arena.get<double>(angles);
    return w;
}

template <class L>
struct Job {
    const Call<Real<L>> &call;
    char *memory;
    uint64_t stride;  // bytes a worker
    bool backward;

    Workspace<L> workspace(uint32_t worker) const {
        Arena arena{memory + worker * stride, 0};
        return lay_out<L>(arena, call.plan, call.kept.states && !backward, backward);
    }
};

}  // namespace
}  // namespace qdllm
