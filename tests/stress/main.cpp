// SPDX-License-Identifier: MIT
// Fifty readers and writers, half over the mount and half over 9P, do random things to 200 machines
// of a real server, 20 of which run, and know what must come of it.
//
// usage: stress [--seed N] [--seconds S] [--limit MS] [--workers N] [--machines N] [--running N]
//               [--quiet] BUILD
//
// BUILD has the programs. --limit: what takes longer than so many milliseconds is stuck. The same
// seed gives each worker the same operations; how they meet is up to the host.
#include <getopt.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/client/server.h"
#include "tests/stress/client.h"
#include "tests/stress/meddler.h"
#include "tests/stress/own_vm.h"
#include "tests/vmcore/machine/tiny_kernel.h"

namespace ennead::stress {
namespace {

namespace code = vmcore::test::code;
using client::mounted_files;
using client::nine_files;
using client::Server;

struct Options {
    std::uint64_t seed = std::random_device{}();
    std::chrono::seconds time{10};
    std::chrono::milliseconds limit{1'000};
    unsigned workers = 50, machines = 200, running = 20;
    bool quiet = false;
    std::string build;
};

struct Kernels {
    explicit Kernels(const Server& server)
        : hello(make(server, "hello", code::kHello)),
          echo(make(server, "echo", code::kEcho)),
          spin(make(server, "spin", code::kSpin)) {}
    static std::string make(const Server& server, const char* name,
                            const std::vector<vmcore::u8>& code) {
        const auto image = vmcore::test::TinyKernel{.code = code, .cmdline_size = 2047}.image();
        return server.add_file(name, {reinterpret_cast<const char*>(image.data()), image.size()});
    }
    const std::string hello, echo, spin;
};

class Worker {
  public:
    Worker(std::unique_ptr<Client> client, unsigned id) : client_(std::move(client)), id_(id) {}

    [[nodiscard]] unsigned id() const { return id_; }
    void make_machines(const Kernels& kernels, unsigned count, unsigned running,
                       std::atomic<unsigned>& last) {
        for (unsigned i = 0; i < count; ++i) {
            // Two count for ever: more would be a test of the host's scheduler.
            const auto guest = i >= running ? OwnVm::Guest::hello
                               : id_ < 2    ? OwnVm::Guest::spin
                               : id_ % 2    ? OwnVm::Guest::echo
                                            : OwnVm::Guest::hello;
            const std::string& kernel = guest == OwnVm::Guest::echo   ? kernels.echo
                                        : guest == OwnVm::Guest::spin ? kernels.spin
                                                                      : kernels.hello;
            own_.push_back(std::make_unique<OwnVm>(
                *client_, 'w' + std::to_string(id_) + '-' + std::to_string(i), guest, kernel,
                i < running));
            note(own_.back()->number(), last);
        }
    }
    void work(const std::vector<std::string>& victims, std::atomic<unsigned>& last,
              Clock::time_point until) {
        Meddler meddler(*client_, victims, last);
        while (Clock::now() < until) {
            if (!own_.empty() && client_->one_in(2)) {
                OwnVm& vm = *client_->pick(own_);
                vm.step();
                note(vm.number(), last);
            } else {
                meddler.step();
            }
        }
    }
    void end() {
        for (const auto& vm : own_) {
            vm->verify();
            vm->destroy();
        }
        own_.clear();
    }

  private:
    static void note(unsigned number, std::atomic<unsigned>& last) {
        unsigned known = last.load();
        while (known < number && !last.compare_exchange_weak(known, number)) {
        }
    }

    std::unique_ptr<Client> client_;
    const unsigned id_;
    std::vector<std::unique_ptr<OwnVm>> own_;
};

template <class Act>
void each_in_a_thread(std::vector<std::unique_ptr<Worker>>& workers, Act act) {
    std::vector<std::thread> threads;
    for (const auto& worker : workers) {
        threads.emplace_back([&act, &worker] { act(*worker); });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
}

// What is closed last is closed soon after.
template <class Done>
bool soon(Done done) {
    const auto limit = Clock::now() + std::chrono::seconds(30);
    while (!done() && Clock::now() < limit) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return done();
}

void compare_descriptors(Report& report, const char* whose, pid_t process,
                         const std::vector<std::string>& before) {
    if (soon([&] { return Server::descriptors(process) == before; })) {
        return;
    }
    const std::vector<std::string> after = Server::descriptors(process);
    std::vector<std::string> more;
    std::ranges::set_difference(after, before, std::back_inserter(more));
    std::string text = std::string(whose) + " had " + std::to_string(before.size()) +
                       " descriptors and has " + std::to_string(after.size()) + ':';
    for (const std::string& each : more) {
        text += ' ' + each;
    }
    report.wrong(text);
}

bool prepare(Client& client, const Kernels& kernels, const std::vector<std::string>& victims,
             const std::string& root) {
    const int outcome = client.put("ctl",
                                   "reap 0\ndefault mem 24M\ndefault root " + root +
                                       "\ndefault kernel " + kernels.hello + '\n',
                                   O_WRONLY);
    client.expect("settings of the server", outcome, {0});
    for (const std::string& victim : victims) {
        client.expect("mkdir " + victim, client.mkdir(victim), {0});
    }
    return outcome == 0;
}

int run(const Options& options) {
    std::printf("stress: seed %llu, %u workers, %u machines, %u of them on\n",
                static_cast<unsigned long long>(options.seed), options.workers, options.machines,
                options.running);
    std::fflush(stdout);
    Report report(options.limit);
    Server server(options.build);
    if (!server.good()) {
        return 1;
    }
    const Kernels kernels(server);
    const std::string root = server.path("state");
    const std::vector<std::string> victims{"victim0", "victim1", "victim2", "victim3"};
    const auto client = [&](unsigned id) {
        std::unique_ptr<Files> files =
            id % 2 == 0 ? mounted_files(server.mount()) : nine_files(server.socket());
        return files ? std::make_unique<Client>(std::move(files), report,
                                                "worker " + std::to_string(id),
                                                options.seed * 1000 + id)
                     : nullptr;
    };

    // One of everything, so that what stays open from then on is.
    const auto first = client(0);
    std::vector<std::string> server_before;
    {
        const auto nine = client(1);
        if (!nine || !prepare(*first, kernels, {}, root)) {
            std::fprintf(stderr, "stress: the server does not answer\n");
            return 1;
        }
        OwnVm vm(*nine, "first", OwnVm::Guest::echo, kernels.echo, true);
        vm.destroy();
    }
    soon([&] { return server.machines().empty(); });
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    server_before = Server::descriptors(server.process());

    prepare(*first, kernels, victims, root);
    // A machine that nobody stops: what its process has open stays the same, too.
    OwnVm quiet_vm(*first, "quiet", OwnVm::Guest::echo, kernels.echo, true);
    const std::vector<pid_t> processes = server.machines();
    const pid_t machine = processes.empty() ? -1 : processes.front();
    const std::vector<std::string> machine_before = Server::descriptors(machine);

    std::vector<std::unique_ptr<Worker>> workers;
    for (unsigned id = 0; id < options.workers; ++id) {
        auto own = client(id);
        if (!own) {
            std::fprintf(stderr, "stress: worker %u cannot connect\n", id);
            return 1;
        }
        workers.push_back(std::make_unique<Worker>(std::move(own), id));
    }
    std::atomic<unsigned> last{1};
    each_in_a_thread(workers, [&](Worker& worker) {
        const auto share = [&](unsigned all) {
            return all / options.workers + (worker.id() < all % options.workers ? 1 : 0);
        };
        worker.make_machines(kernels, share(options.machines), share(options.running), last);
    });
    const auto until = Clock::now() + options.time;
    each_in_a_thread(workers, [&](Worker& worker) { worker.work(victims, last, until); });
    compare_descriptors(report, "a machine's process", machine, machine_before);
    each_in_a_thread(workers, [](Worker& worker) { worker.end(); });
    workers.clear();

    quiet_vm.verify();
    quiet_vm.destroy();
    // Victims, whatever they are called by now.
    const std::string left = first->cat("status");
    for (std::size_t begin = 0; begin < left.size(); begin = left.find('\n', begin) + 1) {
        const std::string number = left.substr(begin, left.find(' ', begin) - begin);
        first->expect("destroy", first->put(number + "/ctl", "destroy\n", O_WRONLY), {0});
    }
    first->expect_text("status of the server", first->cat("status"), "");
    compare_descriptors(report, "the server", server.process(), server_before);
    if (!soon([&] { return server.machines().empty(); })) {
        report.wrong("processes of machines are left");
    }
    first->expect("quit", first->put("ctl", "quit\n", O_WRONLY), {0});
    const int status = server.wait_for_end(std::chrono::seconds(60));
    if (status != 0) {
        report.wrong("the server ended with status " + std::to_string(status));
    }
    for (const std::string& line : server.alarms()) {
        report.wrong("log: " + line);
    }
    if (!options.quiet || report.failures() != 0) {
        report.print();
    }
    if (report.failures() != 0) {
        std::printf("stress: %zu things were wrong; again: --seed %llu\n", report.failures(),
                    static_cast<unsigned long long>(options.seed));
    }
    return report.failures() == 0 ? 0 : 1;
}

int usage() {
    std::fprintf(stderr,
                 "usage: stress [--seed N] [--seconds S] [--limit MS] [--workers N] [--machines N] "
                 "[--running N] [--quiet] BUILD\n");
    return 2;
}

}  // namespace
}  // namespace ennead::stress

int main(int argc, char** argv) {
    ennead::stress::Options options;
    const option longs[] = {
        {"seed", required_argument, nullptr, 's'},     {"seconds", required_argument, nullptr, 't'},
        {"limit", required_argument, nullptr, 'l'},    {"workers", required_argument, nullptr, 'w'},
        {"machines", required_argument, nullptr, 'm'}, {"running", required_argument, nullptr, 'r'},
        {"quiet", no_argument, nullptr, 'q'},          {nullptr, 0, nullptr, 0}};
    for (int c = 0; (c = getopt_long(argc, argv, "", longs, nullptr)) != -1;) {
        const unsigned long long number = optarg != nullptr ? std::strtoull(optarg, nullptr, 0) : 0;
        switch (c) {
            case 's':
                options.seed = number;
                break;
            case 't':
                options.time = std::chrono::seconds(number);
                break;
            case 'l':
                options.limit = std::chrono::milliseconds(number);
                break;
            case 'w':
                options.workers = std::max(1u, static_cast<unsigned>(number));
                break;
            case 'm':
                options.machines = static_cast<unsigned>(number);
                break;
            case 'r':
                options.running = static_cast<unsigned>(number);
                break;
            case 'q':
                options.quiet = true;
                break;
            default:
                return ennead::stress::usage();
        }
    }
    if (optind + 1 != argc) {
        return ennead::stress::usage();
    }
    options.build = argv[optind];
    return ennead::stress::run(options);
}
