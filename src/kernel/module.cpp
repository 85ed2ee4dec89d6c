// The Python module: builds plans, hands arrays over, chooses the instruction set.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>

#include "ngrams.hpp"
#include "plan.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using qdllm::Group;
using qdllm::InstructionSet;
using qdllm::Stage;
using qdllm::Sweep;

using Masks = std::vector<uint64_t>;
using Angles = std::vector<uint32_t>;
using PyGroup = std::tuple<Masks, Angles>;  // flips and angles of its rotations
using PySweep = std::tuple<std::vector<PyGroup>, Masks>;  // groups, and the walk from one piece to the others
using PyDependence = std::tuple<uint32_t, uint32_t, double>;
using PyReading = std::tuple<uint32_t, uint64_t, double>;

std::vector<const InstructionSet *> instruction_sets() {
    std::vector<const InstructionSet *> sets;
#ifdef QDLLM_X86
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
        sets.push_back(&qdllm::avx512);
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) sets.push_back(&qdllm::avx2);
#endif
    sets.push_back(&qdllm::baseline);
    return sets;
}

const InstructionSet &named(const std::string &name) {
    for (const InstructionSet *set : instruction_sets())
        if (set->name == name) return *set;
    throw std::invalid_argument("this machine has no instruction set " + name);
}

std::vector<Sweep> sweeps(const std::vector<PySweep> &given, uint64_t stride) {
    std::vector<Sweep> result;
    for (const auto &[groups, walk] : given) {
        Sweep sweep;
        for (const uint64_t step : walk) sweep.walk.push_back(step * stride);
        for (const auto &[flips, angles] : groups) {
            Group group{angles, {0}, {}};
            for (const uint64_t flip : flips)
                for (size_t j = 0, n = group.offsets.size(); j < n; ++j)
                    group.offsets.push_back(group.offsets[j] ^ flip * stride);
            for (const auto &other : groups)
                if (&std::get<0>(other) != &flips)
                    for (const uint64_t flip : std::get<0>(other)) group.walk.push_back(flip * stride);
            sweep.groups.push_back(group);
        }
        result.push_back(sweep);
    }
    return result;
}

std::vector<qdllm::Dependence> dependences(const std::vector<PyDependence> &given) {
    std::vector<qdllm::Dependence> result;
    for (const auto &[angle, column, coefficient] : given) result.push_back({angle, column, coefficient});
    return result;
}

// A forward run's memory, given back when Python drops it.
template <class Real>
struct Run {
    qdllm::Kept<Real> kept{};
    uint64_t states, tables, angles;

    Run(uint64_t states, uint64_t tables, uint64_t angles)
        : states(states * sizeof(Real)), tables(tables * sizeof(Real)), angles(angles * sizeof(double)) {
        kept.states = states ? static_cast<Real *>(qdllm::take(this->states)) : nullptr;
        kept.tables = static_cast<Real *>(qdllm::take(this->tables));
        kept.angles = static_cast<double *>(qdllm::take(this->angles));
    }
    Run(const Run &) = delete;
    ~Run() {
        if (kept.states) qdllm::give(kept.states, states);
        qdllm::give(kept.tables, tables);
        qdllm::give(kept.angles, angles);
    }
};

template <class Real>
struct Program {
    using Matrix = nb::ndarray<const Real, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
    using Vector = nb::ndarray<const Real, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
    using OutMatrix = nb::ndarray<Real, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
    using OutVector = nb::ndarray<Real, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

    qdllm::Plan plan;
    qdllm::Kernel<Real> kernel;

    explicit Program(const std::string &set) : kernel(pick(named(set))) {}

    static qdllm::Kernel<Real> pick(const InstructionSet &set) {
        if constexpr (sizeof(Real) == 4)
            return set.single_precision;
        else
            return set.double_precision;
    }

    void set_angles(uint32_t n_inputs, uint32_t n_parameters, const std::vector<double> &constants,
                    const std::vector<PyDependence> &inputs, const std::vector<PyDependence> &parameters) {
        plan.n_inputs = n_inputs;
        plan.n_parameters = n_parameters;
        plan.constants = constants;
        plan.inputs = dependences(inputs);
        plan.parameters = dependences(parameters);
        plan.of_sample.assign(constants.size(), 0);
        for (const auto &d : plan.inputs) plan.of_sample.at(d.angle) = 1;
    }

    void set_product(const Masks &flips, const Angles &angles) {
        plan.product.set(flips);
        plan.product_angles = angles;
    }

    void add_diagonal(const Masks &masks, const Angles &angles) {
        Stage stage;
        stage.diagonal = true;
        stage.masks = masks;
        stage.angles = angles;
        for (uint32_t angle : angles) stage.of_sample |= plan.of_sample.at(angle) != 0;
        if (!stage.of_sample) stage.table = plan.n_tables++;
        plan.stages.push_back(stage);
    }

    void add_local(const std::vector<PySweep> &forward, const std::vector<PySweep> &backward) {
        Stage stage;
        stage.forward = sweeps(forward, 2 * kernel.lanes);
        stage.backward = sweeps(backward, 2 * kernel.lanes);
        plan.stages.push_back(stage);
    }

    void set_size(uint32_t n_qubits, uint32_t n_observables) {
        plan.n_qubits = n_qubits;
        plan.n_observables = n_observables;
    }

    void add_readout(uint64_t flip, bool imaginary, Masks columns, uint32_t rank,
                     const std::vector<PyReading> &readings) {
        qdllm::Readout readout;
        if (flip) readout.reads = imaginary ? qdllm::Readout::imaginary : qdllm::Readout::real;
        readout.rank = rank;
        readout.top = columns.back();
        columns.pop_back();
        readout.rest.set(columns);
        for (const auto &[observable, string, coefficient] : readings) {
            readout.single = readout.single && (string & (string - 1)) == 0;
            readout.readings.push_back({observable, string, coefficient});
        }
        plan.readouts.push_back(readout);
    }

    std::unique_ptr<Run<Real>> forward(const Matrix &inputs, const Vector &parameters, const OutMatrix &values,
                                       bool keep, uint32_t threads) const {
        const uint64_t batch = inputs.shape(0), lanes = kernel.lanes;
        const uint64_t states = keep ? (batch + lanes - 1) / lanes * lanes * 2 * plan.size() : 0;
        auto run = std::make_unique<Run<Real>>(states, plan.n_tables * plan.size() * 2, plan.n_angles());
        const qdllm::Call<Real> call{plan,          run->kept, batch,   threads, inputs.data(), parameters.data(),
                                     values.data(), nullptr,   nullptr, nullptr};
        nb::gil_scoped_release release;
        kernel.forward(call);
        return run;
    }

    void backward(const Run<Real> &run, const Matrix &inputs, const Matrix &weights, const OutMatrix &input_gradients,
                  const OutVector &parameter_gradients, uint32_t threads) const {
        const qdllm::Call<Real> call{plan,    run.kept,       inputs.shape(0),        threads,
                                     inputs.data(), nullptr,  nullptr,                weights.data(),
                                     input_gradients.data(),  parameter_gradients.data()};
        nb::gil_scoped_release release;
        kernel.backward(call);
    }
};

template <class Real>
struct FormulaProgram {
    using Matrix = typename Program<Real>::Matrix;
    using OutMatrix = typename Program<Real>::OutMatrix;
    using PyPairs = std::vector<std::pair<uint32_t, uint32_t>>;

    qdllm::Formula<Real> formula;
    qdllm::Kernel<Real> kernel;

    explicit FormulaProgram(const std::string &set) : kernel(Program<Real>::pick(named(set))) {}

    void set_terms(uint32_t n_variables, uint32_t n_outputs, const PyPairs &left, const PyPairs &right,
                   const PyPairs &terms, const std::vector<Real> &numbers) {
        formula = {n_variables, n_outputs, {}, {}, terms, {}, numbers};
        for (const auto &[parent, factor] : left) formula.left.push_back({parent, factor});
        for (const auto &[parent, factor] : right) formula.right.push_back({parent, factor});
    }

    void set_train(uint32_t n_outputs, const std::vector<uint32_t> &ranks, const std::vector<Real> &numbers) {
        formula = {uint32_t(ranks.size()), n_outputs, {}, {}, {}, ranks, numbers};
    }

    void evaluate(const Matrix &angles, const OutMatrix &values) const {
        nb::gil_scoped_release release;
        kernel.evaluate(formula, angles.data(), angles.shape(0), values.data());
    }
};

using Characters = nb::ndarray<const uint32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Lengths = nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Signatures = nb::ndarray<const uint16_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Integers = nb::ndarray<nb::numpy, int32_t, nb::ndim<1>>;

Integers handed_over(std::vector<int32_t> &&numbers) {
    auto *const kept = new std::vector<int32_t>(std::move(numbers));
    const nb::capsule owner(kept, [](void *p) noexcept { delete static_cast<std::vector<int32_t> *>(p); });
    return Integers(kept->data(), {kept->size()}, owner);
}

std::tuple<Integers, Integers, Integers> count_slots(const qdllm::NgramCounter &counter, const Characters &characters,
                                                     const Lengths &lengths, const Signatures &signatures) {
    qdllm::SlotCounts found;
    {
        nb::gil_scoped_release release;
        const uint32_t bits = uint32_t(__builtin_ctzll(signatures.size()));
        found = counter.count(characters.data(), lengths.data(), lengths.size(), signatures.data(), bits);
    }
    return {handed_over(std::move(found.ends)), handed_over(std::move(found.slots)),
            handed_over(std::move(found.counts))};
}

template <class Real>
void bind(nb::module_ &m, const char *program, const char *run, const char *formula) {
    using F = FormulaProgram<Real>;
    nb::class_<F>(m, formula)
        .def(nb::init<const std::string &>(), "instruction_set"_a)
        .def("set_terms", &F::set_terms)
        .def("set_train", &F::set_train)
        .def("evaluate", &F::evaluate);
    using P = Program<Real>;
    nb::class_<Run<Real>>(m, run);
    nb::class_<P>(m, program)
        .def(nb::init<const std::string &>(), "instruction_set"_a)
        .def_prop_ro("n_observables", [](const P &p) { return p.plan.n_observables; })
        .def_prop_ro("forward_width", [](const P &p) { return p.kernel.forward_width; })
        .def_prop_ro("backward_width", [](const P &p) { return p.kernel.backward_width; })
        .def("set_size", &P::set_size)
        .def("set_angles", &P::set_angles)
        .def("set_product", &P::set_product)
        .def("add_diagonal", &P::add_diagonal)
        .def("add_local", &P::add_local)
        .def("add_readout", &P::add_readout)
        .def("forward", &P::forward)
        .def("backward", &P::backward);
}

}  // namespace

NB_MODULE(_kernel, m) {
    nb::set_leak_warnings(false);  // a graph that autograd still holds at exit is no leak
    m.attr("interface") = 4;  // with simulate/kernel.py; a change of what passes between them is a new number in both
    m.def("instruction_sets", [] {
        std::vector<std::string> names;
        for (const InstructionSet *set : instruction_sets()) names.push_back(set->name);
        return names;
    });
    m.def("lanes", [](const std::string &set, uint32_t bytes) {
        return bytes == 4 ? named(set).single_precision.lanes : named(set).double_precision.lanes;
    });
    nb::class_<qdllm::NgramCounter>(m, "NgramCounter")
        .def(
            "__init__",
            [](qdllm::NgramCounter *self, std::vector<uint8_t> kinds, uint64_t base, uint64_t first, uint64_t second,
               uint64_t around, uint64_t begins, uint64_t start, uint64_t end, uint32_t prefix) {
                new (self) qdllm::NgramCounter(std::move(kinds),
                                               {base, first, second, around, begins, start, end, prefix});
            },
            "kinds"_a, nb::kw_only(), "base"_a, "first"_a, "second"_a, "around"_a, "begins"_a, "start"_a, "end"_a,
            "prefix"_a)
        .def("count", &count_slots);
    bind<float>(m, "Program32", "Run32", "Formula32");
    bind<double>(m, "Program64", "Run64", "Formula64");
}
