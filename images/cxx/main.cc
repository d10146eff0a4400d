// SPDX-License-Identifier: MIT
// What libstdc++ needs of the runtime: exceptions, destructors, streams, time
#include <algorithm>
#include <chrono>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace
{

struct counted {
    static inline int alive = 0;
    counted()
    {
        alive++;
    }
    ~counted()
    {
        alive--;
    }
};

// Throws through `depth` frames, each with something to destroy.
int descend(int depth)
{
    counted frame;

    if (depth == 0)
        throw std::out_of_range("the bottom");
    return descend(depth - 1) + frame.alive;
}

bool unwinds()
{
    try {
        descend(1000);
    } catch (const std::out_of_range &error) {
        return std::string(error.what()) == "the bottom" && counted::alive == 0;
    }
    return false;
}

bool rethrows()
{
    try {
        try {
            throw 42;
        } catch (...) {
            std::throw_with_nested(std::runtime_error("outer"));
        }
    } catch (const std::exception &error) {
        try {
            std::rethrow_if_nested(error);
        } catch (int inner) {
            return inner == 42;
        }
    }
    return false;
}

bool runs_out_of_memory()
{
    volatile std::size_t size = std::size_t{1} << 46;

    try {
        std::vector<char> large(size);
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

bool casts()
{
    struct base {
        virtual ~base() = default;
    };
    struct left : virtual base {
    };
    struct right : virtual base {
    };
    struct both : left, right {
    };
    struct other : base {
    };
    auto object = std::make_unique<both>();
    base *pointer = static_cast<left *>(object.get());

    return dynamic_cast<right *>(pointer) && !dynamic_cast<other *>(pointer);
}

bool streams()
{
    std::istringstream in("12 0x1f 2.5 word");
    std::ostringstream out;
    int decimal, hex;
    double real;
    std::string word;

    in >> decimal >> std::hex >> hex >> real >> word;
    out << decimal + hex << ' ' << real * 2 << ' ' << word;
    return out.str() == "43 5 word";
}

bool containers()
{
    std::mt19937 random(1);
    std::vector<unsigned> numbers(100000);
    std::map<unsigned, unsigned> counts;

    std::generate(numbers.begin(), numbers.end(), std::ref(random));
    std::sort(numbers.begin(), numbers.end());
    for (unsigned number : numbers)
        counts[number % 1000]++;
    return std::is_sorted(numbers.begin(), numbers.end()) &&
           counts.size() == 1000;
}

bool time_passes()
{
    auto begin = std::chrono::steady_clock::now();

    while (std::chrono::steady_clock::now() - begin <
           std::chrono::milliseconds(1))
        ;
    return std::chrono::system_clock::now().time_since_epoch().count() > 0;
}

struct at_end {
    ~at_end()
    {
        std::cout << "destroyed" << std::endl;
    }
} const at_end;

} // namespace

int main()
{
    const std::pair<const char *, bool (*)()> tests[] = {
        {"unwinds", unwinds},
        {"rethrows", rethrows},
        {"bad_alloc", runs_out_of_memory},
        {"casts", casts},
        {"streams", streams},
        {"containers", containers},
        {"time", time_passes},
    };
    int failed = 0;

    for (const auto &[name, test] : tests) {
        bool good = test();

        failed += !good;
        std::cout << (good ? "ok " : "not ok ") << name << '\n';
    }
    return failed;
}
