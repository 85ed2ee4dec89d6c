// From inputs and parameters to the angles of a block of samples.
#pragma once

#include <algorithm>
#include <cmath>

#include "workspace.hpp"

namespace qdllm {
namespace {

template <class L>
Rotation<L> rotation(V<L> angle) {
    Rotation<L> r;
    V<L> sine;
    L::sincos(angle * Real<L>(0.5), sine, r.cosine);
    r.tangent = sine / r.cosine;
    // The shears turn by 2 pi less where that keeps u within +-1; the whole state changes its sign, no more.
    const typename L::M back = r.cosine < 0;
    r.sine = back ? -sine : sine;
    r.half_tangent = r.sine / ((back ? -r.cosine : r.cosine) + Real<L>(1));
    return r;
}

template <class L>
Real<L> reduced(double angle) {  // within +-2 pi
    return Real<L>(angle - 12.566370614359172 * std::nearbyint(angle * 0.07957747154594767));
}

// The angles of one block of samples; lanes beyond the batch repeat its last sample.
template <class L>
void set_angles(Workspace<L> &w, const Call<Real<L>> &call, uint64_t first) {
    const Plan &plan = call.plan;
    for (int lane = 0; lane < L::lanes; ++lane) {
        const Real<L> *inputs = call.inputs + std::min(first + lane, call.batch - 1) * plan.n_inputs;
        double angle = 0;
        for (size_t i = 0; i < plan.inputs.size(); ++i) {  // sorted by angle
            const auto &d = plan.inputs[i];
            if (i == 0 || plan.inputs[i - 1].angle != d.angle) angle = call.kept.angles[d.angle];
            angle += d.coefficient * double(inputs[d.column]);
            w.angles[d.angle][lane] = reduced<L>(angle);
        }
    }
    for (uint64_t a = 0; a < plan.n_angles(); ++a)
        if (plan.of_sample[a]) w.rotations[a] = rotation<L>(w.angles[a]);
}

template <class L>
void set_shared_angles(Workspace<L> &w, const Call<Real<L>> &call) {
    const Plan &plan = call.plan;
    for (uint64_t a = 0; a < plan.n_angles(); ++a) {
        if (plan.of_sample[a]) continue;
        w.angles[a] = L::all(reduced<L>(call.kept.angles[a]));
        w.rotations[a] = rotation<L>(w.angles[a]);
    }
}

}  // namespace
}  // namespace qdllm
