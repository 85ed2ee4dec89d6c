// Whole runs over blocks of samples. Included once an instruction set, all in an unnamed namespace, so that no set's
// code is ever linked in place of another's.
#pragma once

#include <algorithm>
#include <cstring>

#include "formula.hpp"
#include "product.hpp"
#include "readout.hpp"
#include "rotations.hpp"

namespace qdllm {
namespace {

// The diagonal stage right after the product state, which is applied while that is written.
inline const Stage *first_phases(const Plan &plan) {
    return !plan.stages.empty() && plan.stages[0].diagonal ? &plan.stages[0] : nullptr;
}

// The scale that the forward run left the final state with.
template <class L>
V<L> kept_scale(const Workspace<L> &w, const Plan &plan) {
    V<L> scale = L::all(1);
    for (const Stage &stage : plan.stages) {
        if (stage.diagonal)
            scale = L::all(1);
        else
            shrink(scale, w, stage.forward);
    }
    return scale;
}

template <class L, int FORWARD>
void forward_blocks(void *context, uint32_t worker, uint64_t begin, uint64_t end) {
    const Job<L> &job = *static_cast<Job<L> *>(context);
    const Call<Real<L>> &call = job.call;
    const Plan &plan = call.plan;
    const Stage *phases = first_phases(plan);
    Workspace<L> w = job.workspace(worker);
    set_shared_angles(w, call);
    for (uint64_t block = begin; block < end; ++block) {
        Amplitude<L> *kept = reinterpret_cast<Amplitude<L> *>(call.kept.states);
        Amplitude<L> *state = kept ? kept + block * plan.size() : w.state;
        set_angles(w, call, block * L::lanes);
        product(w, call, phases, state);
        V<L> scale = L::all(1);  // true state = scale * stored state
        for (const Stage &stage : plan.stages) {
            if (&stage == phases) continue;
            if (!stage.diagonal) {
                local<FORWARD>(w, stage, state, scale);
            } else {
                diagonal(w, call, stage, state, scale);
                scale = L::all(1);
            }
        }
        read(w, call, state, scale, block * L::lanes);
    }
}

template <class L, int BACKWARD>
void backward_blocks(void *context, uint32_t worker, uint64_t begin, uint64_t end) {
    const Job<L> &job = *static_cast<Job<L> *>(context);
    const Call<Real<L>> &call = job.call;
    const Plan &plan = call.plan;
    const Stage *phases = first_phases(plan);
    Workspace<L> w = job.workspace(worker);
    set_shared_angles(w, call);
    std::memset(static_cast<void *>(w.phase_gradients), 0, plan.size() * plan.n_tables * sizeof(V<L>));
    std::fill(w.totals, w.totals + plan.n_angles(), 0.0);
    for (uint64_t block = begin; block < end; ++block) {
        set_angles(w, call, block * L::lanes);
        std::memset(static_cast<void *>(w.gradients), 0, plan.n_angles() * sizeof(V<L>));
        const Amplitude<L> *kept = reinterpret_cast<const Amplitude<L> *>(call.kept.states) + block * plan.size();
        seed(w, call, kept, kept_scale(w, plan), block * L::lanes);
        V<L> scale = L::all(1);  // of state and adjoint alike
        for (size_t i = plan.stages.size(); i-- > 0;) {
            const Stage &stage = plan.stages[i];
            if (&stage == phases) break;
            if (!stage.diagonal) {
                local_backward<BACKWARD>(w, stage, scale);
            } else {
                diagonal_backward(w, call, stage, scale);
                scale = L::all(1);
            }
        }
        product_backward(w, call, phases, scale);
        for (uint64_t sample = block * L::lanes; sample < std::min(block * L::lanes + L::lanes, call.batch); ++sample) {
            Real<L> *gradients = call.input_gradients + sample * plan.n_inputs;
            std::fill(gradients, gradients + plan.n_inputs, Real<L>(0));
            for (const auto &d : plan.inputs)
                gradients[d.column] += Real<L>(d.coefficient) * w.gradients[d.angle][sample - block * L::lanes];
        }
        for (uint64_t a = 0; a < plan.n_angles(); ++a) w.totals[a] += L::sum(w.gradients[a]);
    }
}

template <class L>
uint64_t blocks(const Call<Real<L>> &call) { return (call.batch + L::lanes - 1) / L::lanes; }

template <class L>
Job<L> start(const Call<Real<L>> &call, uint32_t workers, bool backward) {
    Arena arena;
    lay_out<L>(arena, call.plan, call.kept.states && !backward, backward);
    return {call, static_cast<char *>(take(arena.used * workers)), arena.used, backward};
}

template <class L, int FORWARD>
void forward(const Call<Real<L>> &call) {
    const Plan &plan = call.plan;
    for (uint64_t a = 0; a < plan.n_angles(); ++a) call.kept.angles[a] = plan.constants[a];
    for (const auto &d : plan.parameters)
        call.kept.angles[d.angle] += d.coefficient * double(call.parameters[d.column]);
    fill_tables<L>(call);
    const uint32_t workers = uint32_t(std::min<uint64_t>(call.threads, blocks<L>(call)));
    Job<L> job = start<L>(call, workers, false);
    parallel(blocks<L>(call), workers, forward_blocks<L, FORWARD>, &job);
    give(job.memory, job.stride * workers);
}

template <class L, int BACKWARD>
void backward(const Call<Real<L>> &call) {
    const Plan &plan = call.plan;
    const uint32_t workers = uint32_t(std::min<uint64_t>(call.threads, blocks<L>(call)));
    Job<L> job = start<L>(call, workers, true);
    parallel(blocks<L>(call), workers, backward_blocks<L, BACKWARD>, &job);
    const Workspace<L> w = job.workspace(0);
    for (const Stage &stage : plan.stages) {
        if (!stage.diagonal || stage.of_sample) continue;
        V<L> *gradients = w.phase_gradients + stage.table * plan.size();
        for (uint32_t worker = 1; worker < workers; ++worker) {
            const V<L> *others = job.workspace(worker).phase_gradients + stage.table * plan.size();
            for (uint64_t k = 0; k < plan.size(); ++k) gradients[k] += others[k];
        }
        walsh_hadamard(gradients, plan.size());
        for (size_t i = 0; i < stage.masks.size(); ++i)
            w.totals[stage.angles[i]] += L::sum(gradients[stage.masks[i]]);
    }
    for (uint32_t worker = 1; worker < workers; ++worker)
        for (uint64_t a = 0; a < plan.n_angles(); ++a) w.totals[a] += job.workspace(worker).totals[a];
    std::fill(call.parameter_gradients, call.parameter_gradients + plan.n_parameters, Real<L>(0));
    for (const auto &d : plan.parameters)
        call.parameter_gradients[d.column] += Real<L>(d.coefficient * w.totals[d.angle]);
    give(job.memory, job.stride * workers);
}

// The engine on vectors of so many lanes, with passes of up to so many rotations.
template <class L, int FORWARD, int BACKWARD>
constexpr Kernel<Real<L>> kernel() {
    return {L::lanes, FORWARD, BACKWARD, forward<L, FORWARD>, backward<L, BACKWARD>, evaluate<L>};
}

}  // namespace
}  // namespace qdllm
