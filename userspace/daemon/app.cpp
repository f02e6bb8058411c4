#include "daemon/app.hpp"

#include <sched.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <csignal>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "api/admin_api.hpp"
#include "api/gateway.hpp"
#include "daemon/collectors.hpp"
#include "daemon/performance_report.hpp"
#include "http/admin_server.hpp"
#include "http/gateway_server.hpp"
#include "http/tls_context.hpp"
#include "kernel/bpf_enforcer.hpp"
#include "kernel/interface_facts.hpp"
#include "kernel/syn_cookies.hpp"
#include "ledger/embedded_ledger.hpp"
#include "ledger/flusher.hpp"
#include "ledger/redis_ledger.hpp"

namespace sluice {
namespace {

namespace asio = boost::asio;

constexpr std::size_t kSweepBudget =
    100'000;  // limiter entries looked at in a second: all of four million in 40 s
constexpr Nanos kSynInterval = 250 * kMillisecond;
constexpr Nanos kPerformanceInterval = 60 * kSecond;

void tell(std::string_view message) {
    if (message.ends_with('\n')) message.remove_suffix(1);  // a list of problems ends every line
    std::cerr << "sluiced: " << message << std::endl;
}

unsigned usable_cpus() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    return static_cast<unsigned>(std::max(1, CPU_COUNT(&set)));
}

// Every connection takes two descriptors; the default soft limit of 1024 is for select().
void raise_descriptor_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

Nanos ms(std::uint64_t milliseconds) {
    return static_cast<Nanos>(milliseconds) * kMillisecond;
}

http::GatewayConfig gateway_config(const GatewaySettings& settings) {
    http::GatewayConfig config;
    // Parsed when the config was checked.
    for (const std::string& text : settings.listen)
        config.listen.push_back(http::Endpoint::parse(text).value());
    for (const std::string& text : settings.upstream)
        config.upstream.push_back(http::Endpoint::parse(text).value());
    if (settings.tls) config.tls = http::TlsFiles{settings.tls->certificate, settings.tls->key};
    config.workers = settings.workers != 0 ? settings.workers : usable_cpus();
    config.max_header_bytes = settings.max_header_bytes;
    config.max_body_bytes = settings.max_body_bytes;
    config.max_connections_per_worker = std::max<std::uint64_t>(1, settings.max_connections / config.workers);
    config.max_connections_per_source = settings.max_connections_per_source;
    config.header_deadline = ms(settings.header_deadline_ms);
    config.idle_deadline = ms(settings.idle_deadline_ms);
    config.body_deadline = ms(settings.body_deadline_ms);
    config.body_min_bytes_per_s = settings.body_min_bytes_per_s;
    config.write_deadline = ms(settings.write_deadline_ms);
    config.tunnel_deadline = ms(settings.tunnel_deadline_ms);
    config.connect_deadline = ms(settings.upstream_connect_deadline_ms);
    config.response_deadline = ms(settings.upstream_deadline_ms);
    config.response_gap_deadline = ms(settings.upstream_gap_deadline_ms);
    config.upstream_idle_deadline = ms(settings.upstream_idle_deadline_ms);
    return config;
}

std::vector<ProbeTarget> probe_targets(const HealthSettings& settings) {
    std::vector<ProbeTarget> targets;  // parsed when the config was checked
    if (!settings.database.empty())
        targets.push_back({"database", ProbeUrl::parse(settings.database).value()});
    for (const auto& [name, url] : settings.ai_providers)
        targets.push_back({name, ProbeUrl::parse(url).value()});
    return targets;
}

std::string describe(const LedgerRecovery& recovery) {
    std::string text = "ledger: ";
    if (!recovery.last_flush)
        text += "new, nothing to recover";
    else
        text += "recovered " + std::to_string(recovery.restored) + " counters (" +
                std::to_string(recovery.expired) + " expired, " + std::to_string(recovery.damaged) +
                " damaged) after " + (recovery.clean ? "a clean stop" : "a crash");
    if (!recovery.notice.empty()) text += "; " + recovery.notice;
    return text;
}

// One worker's own parts, as the control thread knows them.
struct Worker {
    WorkerMetrics* metrics;
    std::unique_ptr<TopRequests> top;
    http::WorkerContext* context;
    GatewayApplication* application;  // owned by the server
};

class App {
  public:
    explicit App(const Config& config) : config_(config) {}

    // Each step opens one part; a step that fails leaves what runs to the destructor.
    Result<> start();
    int run();

  private:
    Result<> open_log();
    Result<> open_ledger();
    Result<> open_kernel();
    Result<> start_policy();
    Result<> start_gateway();
    Result<> open_admin();
    void start_control_loop();

    Result<> activate(std::shared_ptr<const ActivePolicy> policy);
    void audit_self(Audit::Action action, std::string reason);
    void on_kernel_event(const KernelEvent& event);
    void on_admin_denied(const http::AdminDenied& denied);
    void every_second();
    void tell_of_attachments();
    void tell_of_redis();
    void follow_fleet();
    void look_at_syns();
    void reload();
    void begin_shutdown();
    void shut_down();

    asio::awaitable<void> every(Nanos interval, std::function<void()> task);
    asio::awaitable<void> follow_kernel_events();
    asio::awaitable<void> follow_captures();
    asio::awaitable<void> follow_signals();

    const Config& config_;
    const Nanos started_ = monotonic_now();
    std::string_view state_ = "starting";

    asio::io_context io_{1};
    EventStream stream_{static_cast<std::uint64_t>(wall_now())};
    std::unique_ptr<EventLog> log_;
    Metrics metrics_;
    std::unique_ptr<Ledger> ledger_;
    RedisLedger* redis_ = nullptr;  // the ledger, if hosts share it
    bool ledger_up_told_ = true;
    std::optional<KeyHasher> hasher_;
    std::unique_ptr<Limiter> limiter_;
    std::unique_ptr<EscalationTracker> escalation_;
    ActiveUsers active_users_;
    RoleWatch roles_;
    std::unique_ptr<KernelEnforcer> kernel_;         // null: requests only
    std::unique_ptr<SynCookieControl> syn_cookies_;  // null: no kernel enforcer
    std::unique_ptr<RequestPlane> plane_;
    std::unique_ptr<BanControl> bans_;
    std::unique_ptr<CaptureControl> captures_;
    std::unique_ptr<QuotaControl> quotas_;
    std::unique_ptr<FleetControl> fleet_;
    std::unique_ptr<PolicyControl> policy_;
    std::unique_ptr<HealthProber> health_;
    std::vector<Worker> workers_;
    std::unique_ptr<http::GatewayServer> gateway_;
    std::unique_ptr<StatusReport> report_;
    std::unique_ptr<PerformanceReport> performance_;
    std::unique_ptr<Flusher> flusher_;
    std::unique_ptr<http::AdminServer> admin_;
    BurstAggregator denied_;
    std::jthread drain_;
    std::uint64_t events_lost_told_ = 0;
    std::set<std::string> detached_told_;  // interfaces without their program, as the log says
};

Result<> App::start() {
    for (const auto step : {&App::open_log, &App::open_ledger, &App::open_kernel, &App::start_policy,
                            &App::start_gateway, &App::open_admin}) {
        const Result<> done = (this->*step)();
        if (done) continue;
        // What this start attached goes again; what an earlier life left pinned stays as it was.
        if (kernel_ && !kernel_->adopted().maps_adopted) (void)kernel_->detach();
        return done;
    }
    start_control_loop();
    return {};
}

Result<> App::open_log() {
    EventLog::Options options;
    options.directory = config_.log.directory;
    options.max_bytes = config_.log.max_bytes;
    options.files = config_.log.files;
    options.to_stdout = config_.log.to_stdout;
    auto log = EventLog::open(options, &stream_);
    if (!log) return log.error();
    log_ = *std::move(log);
    return {};
}

Result<> App::open_ledger() {
    const EmbeddedLedgerConfig local{.directory = config_.ledger.path};
    if (config_.ledger.kind == LedgerKind::kRedis) {
        auto ledger = RedisLedger::open(local, config_.ledger.redis);
        if (!ledger) return ledger.error();
        redis_ = ledger->get();
        ledger_ = *std::move(ledger);
        tell("ledger: Redis " + redis_->shared()->node + (redis_->shared()->up ? "" : ", away for now"));
        ledger_up_told_ = redis_->shared()->up;
    } else {
        auto ledger = EmbeddedLedger::open(local);
        if (!ledger) return ledger.error();
        ledger_ = *std::move(ledger);
    }

    auto secret = key_secret(*ledger_);
    if (!secret) {
        tell("ledger: " + secret.error().message + "; what is spent from now on will not survive a restart");
        secret = random_key_secret();
        if (!secret) return secret.error();
    }
    hasher_.emplace(*secret);
    escalation_ = std::make_unique<EscalationTracker>(*hasher_);
    limiter_ = std::make_unique<Limiter>(LimiterConfig{
        .max_keys = config_.limiter.max_keys, .max_bytes = config_.limiter.max_bytes, .track_changes = true});
    const auto recovery = ledger_->recover(*limiter_, ledger_now());
    if (!recovery) return recovery.error();
    const std::string text = describe(*recovery);
    tell(text);
    audit_self(Audit::Action::kDaemonStarted, text);
    flusher_ = std::make_unique<Flusher>(*limiter_, *ledger_);
    return {};
}

Result<> App::open_kernel() {
    if (config_.interfaces.empty()) return {};
    BpfEnforcerOptions options;
    options.interfaces = config_.interfaces;
    options.mode = config_.xdp_mode;
    options.priority = static_cast<unsigned>(config_.xdp_priority);
    auto kernel = open_bpf_enforcer(options);
    if (!kernel) {
        Error error = kernel.error();
        // What the kernel finds invalid is no fault of the config, which exit code 2 would say.
        if (error.code == ErrorCode::kInvalid) error.code = ErrorCode::kUnsupported;
        if (error.code == ErrorCode::kNotPermitted)
            error.message += "; interfaces need root, or CAP_BPF and CAP_NET_ADMIN";
        return error;
    }
    kernel_ = *std::move(kernel);
    syn_cookies_ = std::make_unique<SynCookieControl>(*kernel_);
    for (const InterfaceState& state : kernel_->interfaces())
        tell("interface " + state.name + ": XDP " + state.mode + ", " + state.via +
             (state.note.empty() ? "" : " (" + state.note + ")"));
    for (const std::string& note : kernel_->adopted().notes) tell("kernel: " + note);
    return {};
}

Result<> App::start_policy() {
    plane_.reset(
        new RequestPlane{Snapshot<ActivePolicy>{nullptr}, Snapshot<BanSet>{std::make_shared<const BanSet>()},
                         Snapshot<Overrides>{std::make_shared<const Overrides>()}, *hasher_, *limiter_,
                         *escalation_, active_users_, roles_, *log_, [this](const Escalation& escalation) {
                             asio::post(io_, [this, escalation] { bans_->escalated(escalation); });
                         }});
    if (redis_ != nullptr) plane_->leases = &redis_->lease(*limiter_);
    bans_ = std::make_unique<BanControl>(*plane_, kernel_.get(), *ledger_, metrics_);
    captures_ = std::make_unique<CaptureControl>(kernel_.get(), *log_);
    quotas_ = std::make_unique<QuotaControl>(*plane_, *ledger_);
    policy_ = std::make_unique<PolicyControl>(
        config_.policy, *hasher_, *ledger_, *log_, metrics_,
        [this](std::shared_ptr<const ActivePolicy> policy) { return activate(std::move(policy)); });

    std::string note;
    const auto first = policy_->start(note);
    if (!first) {
        const PolicyRefusal& refusal = first.error();
        return refusal.error ? *refusal.error : Error{ErrorCode::kInvalid, refusal.message()};
    }
    for (const Problem& warning : first->warnings) tell(to_string(warning));
    tell(note);
    if (const auto restored = quotas_->restore(); !restored)
        log_->write(SystemError{"ledger", "overrides_not_restored", restored.error().message});
    bans_->restore();
    fleet_ = std::make_unique<FleetControl>(FleetParts{redis_ != nullptr ? &redis_->fleet() : nullptr,
                                                       *ledger_, *bans_, *quotas_, *policy_, *log_});
    if (redis_ != nullptr) {
        redis_->fleet().on_news([this] { asio::post(io_, [this] { follow_fleet(); }); });
        asio::post(io_, [this] { follow_fleet(); });  // what was heard before
    }
    return {};
}

Result<> App::activate(std::shared_ptr<const ActivePolicy> policy) {
    if (kernel_) {
        const Policy& text = *policy->policy;
        if (auto applied =
                kernel_->apply(text.kernel, text.source_prefix, text.trusted_proxies, policy->generation);
            !applied)
            return applied;
    }
    plane_->policy.publish(std::move(policy));
    bans_->policy_changed();
    return {};
}

Result<> App::start_gateway() {
    if (config_.gateway.listen.empty()) return {};
    gateway_ = std::make_unique<http::GatewayServer>(
        gateway_config(config_.gateway),
        [this](http::WorkerContext& context) -> std::unique_ptr<http::Application> {
            Worker worker{&metrics_.add_worker(), std::make_unique<TopRequests>(), &context, nullptr};
            auto application = std::make_unique<GatewayApplication>(*plane_, *worker.metrics, *worker.top);
            worker.application = application.get();
            workers_.push_back(std::move(worker));
            return application;
        });
    if (auto started = gateway_->start(); !started) return started;
    for (const http::Endpoint& endpoint : gateway_->listening())
        tell("gateway: listening on " + endpoint.to_string() + (config_.gateway.tls ? " (TLS)" : ""));
    return {};
}

Result<> App::open_admin() {
    health_ = std::make_unique<HealthProber>(io_.get_executor(), probe_targets(config_.health));
    std::vector<TopRequests*> top;
    std::vector<const WorkerMetrics*> worker_metrics;
    for (const Worker& worker : workers_) {
        top.push_back(worker.top.get());
        worker_metrics.push_back(worker.metrics);
    }
    performance_ = std::make_unique<PerformanceReport>(std::move(worker_metrics));
    report_ = std::make_unique<StatusReport>(StatusSources{
        *plane_, kernel_.get(), syn_cookies_.get(), gateway_.get(), *ledger_, *log_, *policy_, *bans_,
        *health_, std::move(top), !config_.health.database.empty(), started_, [this] { return state_; }});
    if (kernel_)
        metrics_.add_collector(
            [this](Samples& samples) { collect_kernel(*kernel_, syn_cookies_->state(), samples); });
    metrics_.add_collector([this](Samples& samples) {
        collect_control(*bans_, *policy_, *ledger_, *log_, active_users_, samples);
        collect_limiter(*limiter_, plane_->in_flight, samples);
        fleet_->collect(samples);
    });
    metrics_.add_collector(collect_process);

    http::AdminServerOptions options;
    options.socket = config_.admin.socket;
    options.listen = config_.admin.listen;
    options.tokens_file = config_.admin.tokens;
    if (config_.admin.tls) {
        options.tls_certificate = config_.admin.tls->certificate;
        options.tls_key = config_.admin.tls->key;
    }
    options.max_body_bytes = kMaxAdminBodyBytes;
    auto admin = http::AdminServer::open(
        io_.get_executor(), options,
        make_admin_router({status_routes(*report_, metrics_, stream_), ban_routes(*bans_),
                           capture_routes(*captures_), fleet_routes(*fleet_), quota_routes(*quotas_),
                           policy_routes(*policy_)}),
        [this](const http::AdminDenied& denied) { on_admin_denied(denied); });
    if (!admin) return admin.error();
    admin_ = *std::move(admin);
    tell("admin: " + config_.admin.socket +
         (config_.admin.listen.empty()
              ? ""
              : " and " + config_.admin.listen +
                    (config_.admin.tls ? " (TLS)" : " (plain: keep it on loopback)")));
    return {};
}

void App::start_control_loop() {
    const auto spawn = [this](asio::awaitable<void> loop) {
        asio::co_spawn(io_, std::move(loop), asio::detached);
    };
    spawn(follow_signals());
    if (kernel_) spawn(follow_kernel_events());
    if (kernel_) spawn(follow_captures());
    spawn(every(ms(FileWatch::kPollMs), [this] { policy_->tick(monotonic_now()); }));
    spawn(every(kSecond, [this] { every_second(); }));
    if (kernel_) spawn(every(kSynInterval, [this] { look_at_syns(); }));
    spawn(every(kPerformanceInterval,
                [this] { log_->write(performance_->take(health_->services(), monotonic_now())); }));
    performance_->take(health_->services(), monotonic_now());
    health_->start();
}

asio::awaitable<void> App::every(Nanos interval, std::function<void()> task) {
    asio::steady_timer timer{io_};
    while (true) {
        timer.expires_after(std::chrono::nanoseconds{interval});
        co_await timer.async_wait(asio::use_awaitable);
        task();
    }
}

asio::awaitable<void> App::follow_kernel_events() {
    asio::posix::stream_descriptor events{io_, ::dup(kernel_->event_fd())};
    while (true) {
        co_await events.async_wait(asio::posix::stream_descriptor::wait_read, asio::use_awaitable);
        kernel_->drain([this](const KernelEvent& event) { on_kernel_event(event); });
    }
}

asio::awaitable<void> App::follow_captures() {
    asio::posix::stream_descriptor copies{io_, ::dup(kernel_->capture().fd())};
    while (true) {
        co_await copies.async_wait(asio::posix::stream_descriptor::wait_read, asio::use_awaitable);
        captures_->drain();
    }
}

asio::awaitable<void> App::follow_signals() {
    asio::signal_set signals{io_, SIGTERM, SIGINT, SIGHUP};
    while (true) {
        const int signal = co_await signals.async_wait(asio::use_awaitable);
        if (signal == SIGHUP)
            reload();
        else if (state_ == "draining")
            io_.stop();  // asked twice: now
        else
            begin_shutdown();
    }
}

void App::audit_self(Audit::Action action, std::string reason) {
    log_->write(audit_of({"sluiced", "", "", ""}, action, true, SLUICE_VERSION, std::move(reason)));
}

void App::on_kernel_event(const KernelEvent& event) {
    // Samples of drops are for a capture on request; without one the counters tell the same, completely.
    if (event.kind == KernelEvent::Kind::kBanBegan) bans_->kernel_banned(event);
}

void App::on_admin_denied(const http::AdminDenied& denied) {
    const auto client = IpAddress::parse(denied.caller.address).value_or(IpAddress{});
    if (!denied_.record(client, to_string(denied.reason), wall_now())) return;
    log_->write(audit_of(Actor::of(denied.caller), Audit::Action::kAccessDenied, false,
                         denied.method + " " + denied.path, std::string{to_string(denied.reason)}));
}

void App::every_second() {
    bans_->tick(ledger_now());
    captures_->drain();
    limiter_->sweep(ledger_now(), kSweepBudget);
    const Nanos wall = wall_now();
    for (const Worker& worker : workers_)
        worker.context->post([application = worker.application, wall] { application->tick(wall); });
    for (const BurstAggregator::Summary& summary : denied_.due(wall))
        log_->write(RefusalSummary{LogCategory::kAudit, summary.client, summary.what, summary.count,
                                   summary.first, summary.last});
    if (redis_ != nullptr) tell_of_redis();
    fleet_->tick();
    if (kernel_) {
        const std::uint64_t lost = kernel_->statistics().events_lost;
        if (lost > events_lost_told_)
            log_->write(SystemError{"kernel", "events_lost",
                                    std::to_string(lost - events_lost_told_) +
                                        " kernel events were lost; the counters are complete"});
        events_lost_told_ = lost;
        tell_of_attachments();
    }
    ::sd_notify(0, "WATCHDOG=1");
}

void App::look_at_syns() {
    const auto policy = plane_->policy.load();
    if (!syn_cookies_->tick(policy->policy->kernel, monotonic_now())) return;
    const SynCookieState& state = syn_cookies_->state();
    const bool answering = state.state == "answering";
    log_->write(SystemError{"kernel", "syn_cookies_" + std::string{state.state},
                            std::string{answering ? "SYNs are answered with cookies in XDP"
                                                  : "SYNs are no longer answered with cookies in XDP"} +
                                ": " + std::to_string(static_cast<long>(state.unfinished_per_second)) +
                                " unfinished connection attempts a second" +
                                (state.why.empty() ? "" : "; " + state.why)});
}

// Other work of this thread goes between two parts of a flood of news.
void App::follow_fleet() {
    if (fleet_->drain()) asio::post(io_, [this] { follow_fleet(); });
}

void App::tell_of_redis() {
    const SharedLedgerState state = *redis_->shared();
    if (state.up == ledger_up_told_) return;
    ledger_up_told_ = state.up;
    log_->write(SystemError{"ledger", state.up ? "redis_back" : "redis_away",
                            state.up
                                ? "Redis " + state.node + " answers again"
                                : redis_->health().error + "; each limit does as its on_ledger_loss says"});
}

// That an interface lost its program, and that it has it again: packets are not limited in between.
void App::tell_of_attachments() {
    for (const InterfaceState& state : kernel_->interfaces()) {
        const bool told = detached_told_.contains(state.name);
        if (state.attached == !told) continue;
        if (state.attached)
            detached_told_.erase(state.name);
        else
            detached_told_.insert(state.name);
        log_->write(SystemError{"kernel", state.attached ? "program_attached" : "program_detached",
                                "interface " + state.name + ": the XDP program is " +
                                    (state.attached ? "attached again" : "no longer attached")});
    }
}

void App::reload() {
    tell("SIGHUP: reading the policy and the TLS files again");
    policy_->reload();
    const auto tell_failure = [this](const char* whose, const Result<>& reloaded) {
        if (!reloaded) log_->write(SystemError{whose, "tls_not_reloaded", reloaded.error().message});
    };
    if (gateway_ && config_.gateway.tls) tell_failure("gateway", gateway_->reload_tls());
    tell_failure("admin", admin_->reload_tls());
}

void App::begin_shutdown() {
    state_ = "draining";
    ::sd_notify(0, "STOPPING=1\nSTATUS=draining");
    tell("stopping: waiting for requests in flight");
    if (!gateway_) return io_.stop();
    // On a thread of its own: policy deadlines, bans and the admin API go on meanwhile.
    drain_ = std::jthread{[this] {
        const std::size_t cut = gateway_->drain(ms(config_.gateway.drain_deadline_ms));
        if (cut != 0) tell("stopping: cut off " + std::to_string(cut) + " connections at the drain deadline");
        asio::post(io_, [this] { io_.stop(); });
    }};
}

int App::run() {
    state_ = "running";
    ::sd_notify(0, "READY=1\nSTATUS=running");
    tell("running");
    io_.run();
    shut_down();
    return kExitClean;
}

void App::shut_down() {
    health_->stop();
    if (drain_.joinable()) {
        gateway_->stop();
        drain_.join();
    }
    admin_.reset();
    if (redis_ != nullptr) redis_->stop();  // it wakes requests of the gateway
    gateway_.reset();                       // its applications write their last summaries
    bans_->tick(ledger_now());
    flusher_.reset();
    if (const auto closed = ledger_->close(ledger_now()); !closed) tell("ledger: " + closed.error().message);
    if (kernel_ && config_.on_exit == OnExit::kDetach) {
        syn_cookies_->stop();
        if (const auto detached = kernel_->detach(); !detached) tell("kernel: " + detached.error().message);
    }
    audit_self(Audit::Action::kDaemonStopped, {});
    tell("stopped");
}

int exit_code_of(const Error& error) {
    return error.code == ErrorCode::kInvalid ? kExitInvalidConfig : kExitFailure;
}

}  // namespace

int run_daemon(const Config& config) {
    std::signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    App app{config};
    if (const auto started = app.start(); !started) {
        tell(started.error().message);
        return exit_code_of(started.error());
    }
    return app.run();
}

int check_everything(const Config& config) {
    const PolicyLoad load =
        load_policy_file(config.policy, enforceable_with(config.ledger.kind == LedgerKind::kRedis));
    for (const Problem& problem : load.problems) std::cerr << to_string(problem) << '\n';
    if (!load) return kExitInvalidConfig;
    const auto secret = random_key_secret();
    if (!secret) return kExitFailure;
    if (const auto compiled = ActivePolicy::compile(*load.loaded, 0, KeyHasher{*secret}); !compiled) {
        tell(compiled.error().message);
        return kExitInvalidConfig;
    }
    if (!config.admin.tokens.empty())
        if (const auto tokens = http::TokenStore::load(config.admin.tokens); !tokens) {
            tell(tokens.error().message);
            return kExitInvalidConfig;
        }
    for (const auto* tls : {&config.gateway.tls, &config.admin.tls})
        if (*tls)
            if (const auto context = http::make_server_tls((*tls)->certificate, (*tls)->key); !context) {
                tell(context.error().message);
                return kExitInvalidConfig;
            }
    for (const std::string& interface : config.interfaces)
        if (const auto facts = read_interface_facts(interface); !facts) {
            tell("interfaces: " + facts.error().message);
            return kExitInvalidConfig;
        }
    std::cout << "config and policy " << load.loaded->policy->name << " (hash " << load.loaded->hash
              << ") are valid\n";
    return kExitClean;
}

}  // namespace sluice
