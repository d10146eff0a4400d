// SPDX-License-Identifier: MIT
// What C++ programs do with threads: locks, futures, exceptions, thread_local
//
// With the argument "terminate" a thread lets an exception out.
#include <atomic>
#include <barrier>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <future>
#include <iostream>
#include <iterator>
#include <latch>
#include <mutex>
#include <numeric>
#include <queue>
#include <random>
#include <semaphore>
#include <set>
#include <shared_mutex>
#include <stdexcept>
#include <string>
#include <syncstream>
#include <system_error>
#include <thread>
#include <vector>

namespace
{

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

// Runs function(i) for each i below `count` in a thread of its own, to the end.
template <typename function> void in_threads(int count, function &&run)
{
    std::vector<std::thread> threads;

    for (int i = 0; i < count; i++)
        threads.emplace_back(run, i);
    for (auto &thread : threads)
        thread.join();
}

bool threads()
{
    std::mutex lock;
    std::set<std::thread::id> ids;
    std::latch all(500);

    in_threads(500, [&](int) {
        {
            std::lock_guard guard(lock);
            ids.insert(std::this_thread::get_id());
        }
        all.arrive_and_wait();
    });
    return ids.size() == 500 && !ids.contains(std::this_thread::get_id()) &&
           std::thread::hardware_concurrency() >= 1;
}

bool locks()
{
    std::mutex lock;
    std::recursive_mutex again;
    std::timed_mutex timed;
    long sum = 0;
    bool late = false;

    in_threads(8, [&](int) {
        for (int i = 0; i < 20000; i++) {
            std::lock_guard guard(lock);
            sum++;
        }
    });
    std::scoped_lock both(again, timed);
    std::lock_guard twice(again);
    std::thread([&] {
        auto begin = clock::now();

        late = !timed.try_lock_for(10ms) && clock::now() - begin >= 10ms &&
               !again.try_lock();
    }).join();
    return sum == 160000 && late;
}

// Readers are together; what a writer does is seen as a whole.
bool shared_locks()
{
    std::shared_mutex lock;
    std::barrier readers(4);
    int one = 0, other = 0;
    std::atomic<int> torn = 0;

    in_threads(4, [&](int) {
        std::shared_lock guard(lock);
        readers.arrive_and_wait();
    });
    in_threads(8, [&](int number) {
        for (int i = 0; i < 2000; i++) {
            if (number % 4) {
                std::shared_lock guard(lock);
                torn += one != other;
            } else {
                std::unique_lock guard(lock);
                one++;
                other++;
            }
        }
    });
    return torn == 0 && one == 4000;
}

// A queue of eight places between producers and consumers.
class bounded
{
    std::mutex lock;
    std::condition_variable changed;
    std::queue<int> numbers;

  public:
    void put(int number)
    {
        std::unique_lock guard(lock);

        changed.wait(guard, [&] { return numbers.size() < 8; });
        numbers.push(number);
        changed.notify_all();
    }
    int get()
    {
        std::unique_lock guard(lock);

        changed.wait(guard, [&] { return !numbers.empty(); });
        int number = numbers.front();
        numbers.pop();
        changed.notify_all();
        return number;
    }
};

bool conditions()
{
    bounded queue;
    std::atomic<long> sum = 0;

    in_threads(8, [&](int number) {
        for (int i = 1; i <= 1000; i++) {
            if (number % 2)
                queue.put(i);
            else
                sum += queue.get();
        }
    });
    return sum == 4 * 500500;
}

bool timed_waits()
{
    std::mutex lock;
    std::condition_variable never;
    std::condition_variable_any any;
    std::unique_lock guard(lock);
    auto begin = clock::now();

    bool steady = never.wait_for(guard, 10ms) == std::cv_status::timeout;
    bool system = never.wait_until(guard, std::chrono::system_clock::now() +
                                              10ms) == std::cv_status::timeout;
    bool other = !any.wait_for(guard, 10ms, [] { return false; });
    return steady && system && other && clock::now() - begin >= 30ms;
}

bool sleeps()
{
    auto begin = clock::now();

    std::this_thread::sleep_for(20ms);
    std::this_thread::sleep_until(begin + 40ms);
    // Not one after the other.
    in_threads(50, [](int) { std::this_thread::sleep_for(20ms); });
    return clock::now() - begin >= 60ms && clock::now() - begin < 1s;
}

bool futures()
{
    auto task = std::async(std::launch::async, [] { return 40; });
    auto lazy = std::async(std::launch::deferred, [] { return 2; });
    std::packaged_task<int(int)> twice([](int n) { return 2 * n; });
    auto packaged = twice.get_future();
    std::promise<int> given;
    auto shared = given.get_future().share();
    std::atomic<int> sum = 0;
    bool early = shared.wait_for(1ms) == std::future_status::timeout;

    std::thread(std::move(twice), 21).join();
    std::thread giver([&] {
        std::this_thread::sleep_for(5ms);
        given.set_value(7);
    });
    in_threads(10, [&, shared](int) { sum += shared.get(); });
    giver.join();
    return early && task.get() + lazy.get() == 42 && packaged.get() == 42 &&
           sum == 70;
}

bool futures_bring_exceptions()
{
    auto task = std::async(std::launch::async, []() -> int {
        throw std::domain_error("from a thread");
    });
    std::future<int> broken = std::promise<int>().get_future();

    try {
        task.get();
        return false;
    } catch (const std::domain_error &error) {
        if (error.what() != std::string("from a thread"))
            return false;
    }
    try {
        broken.get();
    } catch (const std::future_error &error) {
        return error.code() == std::future_errc::broken_promise;
    }
    return false;
}

struct counted {
    std::atomic<int> &alive;
    explicit counted(std::atomic<int> &counter) : alive(counter)
    {
        alive++;
    }
    ~counted()
    {
        alive--;
    }
};

int descend(int depth, std::atomic<int> &alive)
{
    counted frame(alive);

    if (depth == 0) {
        std::this_thread::yield();
        throw depth;
    }
    return descend(depth - 1, alive) + 1;
}

// Many unwind at once, and leave what they have caught to another.
bool exceptions()
{
    std::atomic<int> alive = 0, caught = 0;
    std::vector<std::exception_ptr> kept(8);

    in_threads(8, [&](int number) {
        for (int i = 0; i < 300; i++) {
            try {
                descend(i % 30, alive);
            } catch (int) {
                caught += !std::uncaught_exceptions();
            }
        }
        try {
            throw std::out_of_range(std::to_string(number));
        } catch (...) {
            kept[number] = std::current_exception();
        }
    });
    for (int i = 0; i < 8; i++) {
        try {
            std::rethrow_exception(kept[i]);
        } catch (const std::out_of_range &error) {
            caught += error.what() == std::to_string(i);
        }
    }
    return alive == 0 && caught == 8 * 300 + 8;
}

std::atomic<int> locals = 0;
std::string order;

struct local {
    char name;
    explicit local(char name) : name(name)
    {
        locals++;
    }
    ~local()
    {
        locals--;
        order += name;
    }
};

// Made at the first use, destroyed in reverse when the thread ends.
bool thread_locals()
{
    thread_local local first('1'), second('2');
    thread_local int number = 5;
    std::atomic<int> own = 0;
    static std::mutex lock;

    in_threads(20, [&](int i) {
        std::lock_guard guard(lock);
        thread_local local mine('a');
        thread_local local other('b');

        number += i;
        own += number == 5 + i && mine.name + 1 == other.name;
    });
    return own == 20 && number == 5 && locals == 2 && order.size() == 40 &&
           second.name == '2' && first.name == '1';
}

bool thread_locals_in_order()
{
    order.clear();
    std::thread([] {
        thread_local local a('a');
        thread_local local b('b');
        thread_local local c('c');
        order += std::string{a.name, b.name, c.name};
    }).join();
    return order == "abccba";
}

bool once()
{
    std::once_flag flag;
    std::atomic<int> done = 0, made = 0, wrong = 0;

    in_threads(20, [&](int) {
        static int value = [&] {
            std::this_thread::sleep_for(2ms);
            return ++made;
        }();
        std::call_once(flag, [&] {
            std::this_thread::sleep_for(2ms);
            done++;
        });
        wrong += value != 1 || done != 1;
    });
    return done == 1 && made == 1 && wrong == 0;
}

// Until memory is full; then there is room for as many again.
bool out_of_threads()
{
    std::size_t most[2] = {0, 0};
    bool refused = true;

    for (auto &count : most) {
        std::promise<void> end;
        auto ended = end.get_future().share();
        std::vector<std::thread> threads;

        try {
            for (;;)
                threads.emplace_back([ended] { ended.wait(); });
        } catch (const std::system_error &error) {
            refused &=
                error.code() == std::errc::resource_unavailable_try_again;
        }
        count = threads.size();
        end.set_value();
        for (auto &thread : threads)
            thread.join();
    }
    return refused && most[0] > 100 && most[1] > most[0] * 9 / 10;
}

bool cxx20()
{
    std::counting_semaphore<8> places(0);
    std::atomic<int> turn = 0;
    std::barrier rounds(4, [&]() noexcept { turn++; });
    std::atomic<bool> go = false, stopped = false;

    std::thread waiter([&] {
        go.wait(false);
        places.release(3);
    });
    go = true;
    go.notify_all();
    for (int i = 0; i < 3; i++)
        places.acquire();
    waiter.join();
    in_threads(4, [&](int) {
        for (int i = 0; i < 100; i++)
            rounds.arrive_and_wait();
    });
    {
        std::jthread runs([&](std::stop_token token) {
            std::mutex lock;
            std::condition_variable_any never;
            std::unique_lock guard(lock);

            never.wait(guard, token, [] { return false; });
            stopped = token.stop_requested();
        });
    }
    return turn == 100 && stopped && !places.try_acquire_for(1ms);
}

bool random_device()
{
    std::random_device device;
    std::set<unsigned> numbers;

    for (int i = 0; i < 100; i++)
        numbers.insert(device());
    return numbers.size() > 95;
}

bool files()
{
    namespace fs = std::filesystem;
    fs::path root = fs::temp_directory_path() / "mayfly" / "b";
    std::uintmax_t sizes = 0;
    std::string line, lines;

    fs::create_directories(root);
    in_threads(10, [&](int i) {
        std::ofstream(root / std::to_string(i)) << std::string(i, 'x') << '\n';
    });
    for (const auto &entry : fs::recursive_directory_iterator(root))
        sizes += entry.file_size();
    fs::copy_file(root / "3", root / "c");
    fs::rename(root / "c", root / "d");
    for (std::ifstream in(root / "d"); std::getline(in, line);)
        lines += line;
    try {
        sizes += fs::file_size(root / "none");
        return false;
    } catch (const fs::filesystem_error &error) {
        if (error.code() != std::errc::no_such_file_or_directory)
            return false;
    }
    return sizes == 55 && lines == "xxx" &&
           fs::remove_all(root.parent_path()) == 13;
}

// Lines of standard input, each added up and printed whole by a thread.
bool streams()
{
    std::vector<std::thread> threads;
    std::string line;

    while (std::getline(std::cin, line))
        threads.emplace_back([line] {
            std::istringstream in(line);
            std::vector<int> numbers(std::istream_iterator<int>(in), {});

            std::osyncstream(std::cout)
                << "sum of " << numbers.size() << " is "
                << std::reduce(numbers.begin(), numbers.end()) << std::endl;
        });
    for (auto &thread : threads)
        thread.join();
    return std::cin.eof() && std::cout.good();
}

struct at_end {
    ~at_end()
    {
        std::cout << "destroyed " << locals << " " << order << std::endl;
    }
} const at_end;

} // namespace

int main(int argc, char **argv)
{
    const std::pair<const char *, bool (*)()> tests[] = {
        {"threads", threads},
        {"locks", locks},
        {"shared locks", shared_locks},
        {"conditions", conditions},
        {"timed waits", timed_waits},
        {"sleeps", sleeps},
        {"futures", futures},
        {"futures bring exceptions", futures_bring_exceptions},
        {"exceptions", exceptions},
        {"thread_local", thread_locals},
        {"thread_local in order", thread_locals_in_order},
        {"once", once},
        {"out of threads", out_of_threads},
        {"C++20", cxx20},
        {"random_device", random_device},
        {"files", files},
        {"streams", streams},
    };
    int failed = 0;

    if (argc > 1 && !std::strcmp(argv[1], "terminate"))
        std::thread([] { throw std::runtime_error("nobody catches"); }).join();
    for (const auto &[name, test] : tests) {
        bool good = test();

        failed += !good;
        std::cout << (good ? "ok " : "not ok ") << name << std::endl;
    }
    order.clear();
    return failed;
}
